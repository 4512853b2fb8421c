/** `psample read`: what a recording has. */
import type { ListenStats } from "../../mod.ts";
import type { Batch } from "../../src/stream/batch.ts";
import type { Stage } from "../../src/stream/stage.ts";
import { type Command, command } from "../command.ts";
import type { Io } from "../io.ts";
import { number, numbers, streamName } from "../options.ts";
import { OUTPUT_OPTIONS, planOutput } from "../outputs.ts";
import { RecordingSource } from "../recording_source.ts";
import { inSession } from "../session.ts";
import { plural } from "../summary.ts";

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
      const outputs = await plan.open(session, [path]);
      const progress = new Progress(io, path);
      const source = new RecordingSource(io.read(path), {
        familyId,
        rewrites: options.write !== undefined,
        onProgress: (bytes) => progress.show(bytes),
        onEnd: () => progress.hide(),
      });
      const groups = group && new GroupStage(group);
      try {
        await session.unlessOver(source.begin());
        const account = (_: ListenStats, written: number): string => accountOf(source, written, groups?.leftOut ?? 0);
        await session.pump(source, {
          ...outputs.start(),
          stages: groups ? [groups] : [],
          count,
          account,
          summary: () => true,
        });
      } finally {
        outputs.discard();
      }
    });
  },
});

/** What was found, and what was skipped. */
function accountOf({ decoder: { counts }, reader }: RecordingSource, written: number, otherGroups: number): string {
  const parts = [`read ${plural(written, "sample")}`];
  if (counts.events > 0) parts.push(plural(counts.events, "group event"));
  if (otherGroups > 0) parts.push(`${otherGroups} of other groups`);
  const other = counts.otherProtocols + counts.otherMessages + reader.skipped;
  if (other > 0) parts.push(`skipped ${other} of other kinds`);
  if (counts.truncated > 0) parts.push(`${counts.truncated} cut by the recorder`);
  if (counts.malformed > 0) parts.push(`${counts.malformed} malformed`);
  if (counts.lostBeforeFamily > 0) parts.push(`${counts.lostBeforeFamily} lost: they came before the file told the family's number`);
  return parts.join("; ");
}

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

const PROGRESS_MS = 500;

/** How much of a file has been read, for whoever sits at a terminal. */
class Progress {
  readonly #io: Io;
  readonly #size: number | undefined;
  #shownAt = performance.now();
  #visible = false;

  constructor(io: Io, path: string) {
    this.#io = io;
    this.#size = io.errIsTerminal ? io.size(path) : undefined;
  }

  show(bytes: number): void {
    if (!this.#size || performance.now() - this.#shownAt < PROGRESS_MS) return;
    this.#shownAt = performance.now();
    this.#visible = true;
    this.#io.err(`\rpsample: ${Math.floor(100 * bytes / this.#size)} % read`);
  }

  hide(): void {
    if (this.#visible) this.#io.err("\r\x1b[K");
    this.#visible = false;
  }
}
