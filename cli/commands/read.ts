/** `psample read`: what a recording has. */
import { UnknownFamilyError } from "../../src/format/unknown_families.ts";
import { RecordingFile } from "../../src/receive/recording.ts";
import type { Batch } from "../../src/stream/batch.ts";
import type { Stage } from "../../src/stream/stage.ts";
import { type Command, command } from "../command.ts";
import { number, numbers, streamName } from "../options.ts";
import { OUTPUT_OPTIONS, planOutput } from "../outputs.ts";
import { accountOf, lossesOf, Progress } from "../reading.ts";
import { inSession } from "../session.ts";

const OPTIONS = {
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
      "not contain it; genl ctrl get name psample tells it on the machine that was recorded on.",
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
  operands: { name: "FILE", least: 1, most: 1 },
  run: async ({ options, words }, io) => {
    const path = streamName(words[0]!, 0);
    const { group, familyId, count } = options;
    const plan = planOutput(options, io);
    return await inSession(io, options, async (session) => {
      const source = new RecordingFile(await io.openRecording(path), { familyId });
      const groups = group && new GroupStage(group);
      const progress = new Progress(io, source);
      try {
        const outputs = await plan.open(session, [path]);
        try {
          await session.pump(source, {
            ...outputs.start(),
            stages: groups ? [groups, ...plan.stages] : plan.stages,
            count,
            account: (stats, written) => {
              // What lies beyond the limit is not read, or only by chance.
              const losses = written < (count ?? Infinity) ? lossesOf(stats, group) : [];
              return accountOf(source, written, groups?.leftOut ?? 0, losses);
            },
            summary: () => true,
          });
        } finally {
          outputs.discard();
        }
      } catch (error) {
        if (error instanceof UnknownFamilyError) error.message += ": give psample's with --family-id N";
        throw error;
      } finally {
        progress.end();
        await source.close();
      }
    });
  },
});

/** Lets samples and events of some groups through. */
class GroupStage implements Stage {
  /** How many entries it has left out. */
  leftOut = 0;
  readonly #groups: ReadonlySet<number | undefined>;

  constructor(groups: readonly number[]) {
    this.#groups = new Set(groups);
  }

  select({ entries, count }: Batch, pick: (i: number) => void): void {
    for (let i = 0; i < count; i++) {
      if (this.#groups.has(entries[i]!.group)) pick(i);
      else this.leftOut++;
    }
  }
}
