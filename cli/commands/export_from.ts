/** `psample export --from FILE`: sends what was recorded to collectors. */
import { paced, type Sink, type Stage } from "../../mod.ts";
import { open } from "../../src/socket/open.ts";
import type { Batch } from "../../src/stream/batch.ts";
import { type Collectors, type CollectorValues, openCollectors } from "../collectors.ts";
import { explainRecording } from "../explain.ts";
import { GroupStage } from "../group_stage.ts";
import type { Io } from "../io.ts";
import { openRecordings, recordingPaths } from "../open_recordings.ts";
import { flag, longName, texts, UsageError } from "../options.ts";
import type { OutputValues } from "../output_options.ts";
import { type OutputPlan, planOutput } from "../outputs.ts";
import { accountOf, lossesUpTo, readingProgress, tellRepeated, tellTerminal } from "../reading.ts";
import { Rounds } from "../rounds.ts";
import { endedByItself, inSession, STATUS } from "../session.ts";
import { type Speed, speedOption } from "../speed.ts";
import { isFile } from "../words.ts";
import { SAMPLING } from "./sampling.ts";

/** The options about recordings. */
export const FROM_OPTIONS = {
  from: texts({
    value: "FILE",
    offers: { things: ["file"] },
    help: "export this recording instead; may be repeated, - is stdin",
    details:
      "A recording as psample read takes it: of packets or of netlink messages, pcapng or pcap. Samples have the interfaces, rates " +
      "and times of the recording, and so do IPFIX records. sFlow carries no times: collectors use the time of arrival. --group chooses " +
      "groups, --filter packets. Requires no privileges.",
  }),
  speed: speedOption(
    "with --from: X times as fast as recorded, or max",
    "Each sample keeps its time after the first, divided by X; a datagram holds samples of the same second. max does not wait; a " +
      "collector that cannot keep up loses samples unnoticed, because UDP confirms nothing. With tcp: it waits for the collector.",
  ),
  loop: flag({
    help: "with --from: begin again at the end, until it is interrupted",
    details: "Each round has the times of the recording. --count and --duration end it too.",
  }),
};

/** What the options of the command say about it. */
export interface FromValues extends CollectorValues, OutputValues {
  readonly from: readonly string[] | undefined;
  readonly speed: Speed;
  readonly loop: boolean;
  readonly group: readonly number[] | undefined;
  readonly netns: string | undefined;
  readonly latency: "batch" | "low";
}

/** Options that are about what is sampled here and now. */
const LIVE = [
  ...SAMPLING,
  "device",
  "allNamespaces",
  "config",
  "buffer",
  "user",
  "wait",
  "check",
  "counters",
  "polling",
  "drops",
  "dropLimit",
];

/** Refuses what does not go together with recordings, or without them. */
export function checkFrom({ from, speed, loop }: FromValues, given: ReadonlySet<string>, words: readonly string[]): void {
  if (from === undefined) {
    const file = words.find(isFile);
    if (file !== undefined) throw new UsageError(`${JSON.stringify(file)} is a file, not a device: to export a recording, --from ${file}`);
    if (speed !== undefined) throw new UsageError("--speed requires --from FILE");
    if (loop) throw new UsageError("--loop requires --from FILE");
    return;
  }
  if (loop && from.includes("-")) throw new UsageError("--loop requires files: standard input can be read only once");
  if (words.length > 0) {
    throw new UsageError(
      `--from exports a recording, and ${JSON.stringify(words[0])} is sampled now: they cannot be combined (several recordings: --from ` +
        "for each)",
    );
  }
  const live = LIVE.find((name) => given.has(name));
  if (live !== undefined) throw new UsageError(`${longName(live)} is not for recordings: it cannot be combined with --from`);
}

/** Counts the samples that are exported. */
class CountingStage implements Stage {
  samples = 0;

  select(batch: Batch, pick: (i: number) => void): void {
    this.samples += batch.samples;
    for (let i = 0; i < batch.count; i++) pick(i);
  }
}

/** Exports recordings, one after the other. Resolves to the exit status. */
export async function exportRecordings(options: FromValues, io: Io): Promise<number> {
  if (options.explain) {
    await io.print(explainRecording(options.filter));
    return STATUS.done;
  }
  const { from = [], speed = 1, loop, group, netns, latency, count } = options;
  const paths = recordingPaths(from);
  const plan = planOutput(options, io, { lines: "none", recording: "pcapng" });
  return await inSession(io, { ...options, reloads: true }, async (session) => {
    tellTerminal(paths, io, session);
    const recordings = await openRecordings(paths, io, { command: "psample export" });
    tellRepeated(paths, recordings, session);
    let collectors: Collectors | undefined;
    let outputs: Awaited<ReturnType<OutputPlan["open"]>> | undefined;
    try {
      const sys = await open({ netns });
      // sFlow changes to the larger form as soon as an interface needs it.
      const shown: Sink[] = [];
      const metrics = { source: recordings, sinks: shown };
      collectors = await session.unlessOver(openCollectors(sys, options, { latency, expanded: false, session, metrics }));
      if (!collectors) return;
      outputs = await plan.open(session, paths);
      const sent = collectors;
      const groups = group && new GroupStage(group);
      session.notice(`exporting to ${sent.names}`);
      const { sinks, reopen } = outputs.start();
      shown.push(...sent.sinks, ...sent.otlp, ...sinks);
      const counted = new CountingStage();
      let before = 0;
      const rounds: Rounds = new Rounds(recordings, () => openRecordings(paths, io, { command: "psample export" }), () => {
        if (!loop) return false;
        if (counted.samples === before) {
          session.fail("--loop: nothing in the recordings was exported, so psample stops here");
          return false;
        }
        before = counted.samples;
        timed?.restart();
        return true;
      });
      const timed = speed === "max" ? undefined : paced(rounds, { speed });
      const summary = await session.pump(timed ?? rounds, {
        sinks: [...sent.all, ...sinks],
        stages: [...groups ? [groups] : [], ...plan.stages, counted],
        reopen,
        reload: () => sent.reload(session, () => reopen("if-moved")),
        count,
        progress: readingProgress(rounds),
        account: (stats) => {
          // Not how many were delivered: that is said of each collector.
          const read = Math.min(counted.samples, count ?? Infinity);
          const losses = lossesUpTo(count, read, stats, group);
          const inRounds = rounds.round > 1 ? [`${rounds.round} rounds`] : [];
          return [accountOf(recordings, read, groups?.leftOut ?? 0, losses), ...inRounds, ...sent.accounts()].join("; ");
        },
        summary: () => true,
      });
      if (summary && endedByItself(summary)) sent.reportUnreached(session);
    } finally {
      collectors?.abort();
      outputs?.discard();
      await recordings.close();
    }
  });
}
