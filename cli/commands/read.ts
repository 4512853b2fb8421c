/** `psample read`: prints or rewrites the samples in a recording. */
import { UnknownFamilyError } from "../../src/format/unknown_families.ts";
import { RecordingFile } from "../../src/receive/recording.ts";
import { type Command, command } from "../command.ts";
import { explainRecording } from "../explain.ts";
import { GroupStage } from "../group_stage.ts";
import { openRecording } from "../open_recordings.ts";
import { number, numbers, streamName, text, UsageError } from "../options.ts";
import { OUTPUT_OPTIONS } from "../output_options.ts";
import { planOutput } from "../outputs.ts";
import { accountOf, lossesUpTo, readingProgress, tellTerminal } from "../reading.ts";
import { inSession, STATUS } from "../session.ts";
import { filterHint, filterStart } from "../words.ts";

const OPTIONS = {
  file: text({
    letter: "r",
    value: "FILE",
    offers: { things: ["file"] },
    help: "same as the argument FILE",
    details: "For people used to tcpdump.",
  }),
  group: numbers({
    letter: "g",
    value: "N",
    help: "only this group; may be repeated",
    details: "Leaves out samples and events of all other groups; the summary counts them.",
  }),
  familyId: number({
    value: "N",
    least: 16,
    most: 0xffff,
    help: "the psample family's number, if the file does not contain it",
    details: "The kernel chooses the number of a generic netlink family when it is registered. Recordings that were begun after that do " +
      "not contain it; genl ctrl get name psample prints it on the recorded machine.",
  }),
  ...OUTPUT_OPTIONS,
};

/** The command `read`. */
export const read: Command = command({
  name: "read",
  summary: "print the samples in a recording",
  usage: "read [OPTION]... FILE|-",
  about: "Decodes a recording: of packets, as psample -w FILE.pcapng writes it, or of netlink messages (pcap or pcapng, link type 253), " +
    "as psample -w FILE, libpsample, and tcpdump or dumpcap on an nlmon device do. Other traffic in it is skipped.",
  examples: [
    ["psample read samples.pcap", "print its samples"],
    ["psample read --json samples.pcap", "as JSON"],
    ["psample read -g 5 -w five.pcapng all.pcapng", "keep group 5 only"],
    ["psample read -w packets.pcapng messages.pcap", "the packets, for Wireshark"],
    ["tcpdump -i nlmon0 -w - | psample read -", "while it is recorded"],
  ],
  options: OPTIONS,
  operands: { name: "FILE", least: 0, most: Infinity, offers: { things: ["file"] } },
  run: async ({ options, words }, io) => {
    if (options.explain) {
      await io.print(explainRecording(options.filter));
      return STATUS.done;
    }
    const path = streamName(fileOf([...options.file === undefined ? [] : [options.file], ...words], words), 0);
    const { group, familyId, count } = options;
    const plan = planOutput(options, io);
    return await inSession(io, options, async (session) => {
      tellTerminal([path], io, session);
      const source = new RecordingFile(await openRecording(path, io), { familyId });
      const groups = group && new GroupStage(group);
      try {
        const outputs = await plan.open(session, [path]);
        try {
          await session.pump(source, {
            ...outputs.start(),
            // Instead of how the recording grows.
            recordedBytes: undefined,
            progress: readingProgress(source),
            stages: groups ? [groups, ...plan.stages] : plan.stages,
            count,
            account: (stats, written) => accountOf(source, written, groups?.leftOut ?? 0, lossesUpTo(count, written, stats, group)),
            summary: () => true,
          });
        } finally {
          outputs.discard();
        }
      } catch (error) {
        if (error instanceof UnknownFamilyError) error.message += ": give psample's with --family-id N";
        throw error;
      } finally {
        await source.close();
      }
    });
  },
});

/** The one file among the arguments, or the error about them. */
function fileOf(files: readonly string[], words: readonly string[]): string {
  const [file, more] = files;
  if (file === undefined) throw new UsageError(`missing FILE (usage: psample ${read.usage})`);
  if (more === undefined) return file;
  // Arguments after the file in tcpdump's command line.
  const start = files.length > words.length ? 0 : 1;
  if (filterStart(["", ...words.slice(start)]) === 1) throw new UsageError(filterHint(words.slice(start)));
  throw new UsageError(`unexpected argument ${JSON.stringify(more)}`);
}
