/** `psample inject`: sends recorded samples to the programs of this machine that listen to the kernel's. */
import { injectInto, type InjectionSink, type ListenStats, paced, type PacedSource, type Source } from "../../mod.ts";
import { UnknownFamilyError } from "../../src/format/unknown_families.ts";
import { type Command, command } from "../command.ts";
import { explainRecording } from "../explain.ts";
import { GroupStage } from "../group_stage.ts";
import { openRecordings, recordingPaths } from "../open_recordings.ts";
import { flag, NETNS, number, numbers, UsageError } from "../options.ts";
import { OUTPUT_OPTIONS } from "../output_options.ts";
import { lossesUpTo, skippedOf, tellRepeated, tellTerminal } from "../reading.ts";
import type { Recordings } from "../recordings.ts";
import { Rounds } from "../rounds.ts";
import { endedByItself, inSession, type Session, STATUS } from "../session.ts";
import { speedOption } from "../speed.ts";
import { plural } from "../summary.ts";

const OPTIONS = {
  speed: speedOption(
    "X times as fast as it was recorded; max is as fast as listeners read",
    "Each sample keeps its time after the first, divided by X: 0.5 is half as fast. Late samples are sent at once. Each round of --loop " +
      "begins at once. The time between two FILEs passes too, if the second is later. With max, times do not matter.",
  ),
  loop: flag({
    help: "begin again at the end, until it is interrupted",
    details: "Sequence numbers continue from round to round, so that listeners see neither a restart nor a loss in between; time stamps " +
      "stay those of the recording. --count and --duration end it too.",
  }),
  group: numbers({
    letter: "g",
    value: "N",
    help: "only this group; may be repeated",
    details: "Leaves out samples of all other groups; the summary counts them.",
  }),
  filter: OUTPUT_OPTIONS.filter,
  explain: flag({
    help: "show what --filter does, and exit",
    details: "Nothing is sent, and no privileges are needed.",
  }),
  packetGroup: number({
    value: "N",
    default: 1,
    help: "the group for packets that psample did not record",
    details: "A recording made by tcpdump, for example, has packets with their sizes and times. Each becomes a sample of this group; " +
      "they are numbered from 0.",
  }),
  packetRate: number({
    value: "N",
    least: 1,
    default: 1,
    help: "the rate for packets that psample did not record",
    details: "Listeners multiply the packets by it: N of 1 in N.",
  }),
  familyId: number({
    value: "N",
    least: 16,
    most: 0xffff,
    help: "the psample family's number in FILE, if FILE does not contain it",
    details:
      "Recordings of nlmon devices that were begun after the module was loaded do not contain it; genl ctrl get name psample prints " +
      "it on the recorded machine. Samples are sent with the number that the family has here.",
  }),
  count: { ...OUTPUT_OPTIONS.count, help: "stop after N samples" },
  duration: OUTPUT_OPTIONS.duration,
  netns: NETNS,
  quiet: OUTPUT_OPTIONS.quiet,
};

/** The command `inject`. */
export const inject: Command = command({
  name: "inject",
  summary: "send a recording to the programs on this machine that listen to samples",
  usage: "inject [OPTION]... FILE|-...",
  about: "Sends the samples of recordings, one FILE after the other, to all programs that listen to psample on this machine: to hsflowd, " +
    "libpsample's tool, psample itself, or a program under test. They receive the recorded messages: groups, numbers, time stamps and " +
    "interface indices are those of the recording, and so are its losses. Only the sender differs: it is the port id of this process " +
    "instead of the kernel's 0. Group events are not sent. psample inject waits for a listener whose receive buffer is full, unless it " +
    "reads nothing for a second; the summary counts what each listener has lost. If nobody listened, the exit status is 1. Requires " +
    "CAP_NET_ADMIN, and the psample module.",
  examples: [
    ["psample inject samples.pcapng", "as it happened"],
    ["psample inject --speed max samples.pcapng", "as fast as listeners read"],
    ["psample inject --loop --speed 10 -g 5 all.pcapng", "group 5, ten times as fast, forever"],
    ["psample inject --packet-rate 100 tcpdump.pcap", "packets as samples of 1 in 100"],
    ["psample inject --netns blue samples.pcapng", "to listeners in another namespace"],
  ],
  options: OPTIONS,
  operands: { name: "FILE", least: 1, most: Infinity, offers: { things: ["file"] } },
  run: async ({ options, words }, io) => {
    if (options.explain) {
      await io.print(explainRecording(options.filter));
      return STATUS.done;
    }
    const { speed = 1, loop, group, packetGroup, packetRate, netns, count, familyId } = options;
    const paths = recordingPaths(words);
    if (loop && paths.includes("-")) throw new UsageError("--loop requires files: standard input can be read only once");
    const open = (): Promise<Recordings> => openRecordings(paths, io, { familyId, command: false });
    return await inSession(io, options, async (session) => {
      tellTerminal(paths, io, session);
      const first = await open();
      tellRepeated(paths, first, session);
      let sink: InjectionSink | undefined;
      try {
        sink = await injectInto({ netns, packetGroup, packetRate });
        const groups = group && new GroupStage(group);
        const rounds: Rounds = new Rounds(first, open, again(loop, sink, session, () => timed?.restart()));
        const timed: PacedSource | undefined = speed === "max" ? undefined : paced(rounds, { speed });
        const source: Source = timed ?? rounds;
        if (sink.listeners?.length === 0) session.notice(`nobody listens to samples here yet${netns === undefined ? "" : ` (${netns})`}`);
        const summary = await session.pump(source, {
          sinks: [sink],
          stages: [...groups ? [groups] : [], ...options.filter ?? []],
          count,
          progress: () => progress(rounds, timed, sink!),
          account: (stats, written) => account(stats, rounds, sink!, groups?.leftOut ?? 0, lossesUpTo(count, written, stats, group)),
          summary: () => true,
        });
        if (summary && endedByItself(summary) && sink.written > 0 && sink.listeners?.length === 0) {
          session.fail("nobody received the samples: start the program that is to receive them first");
        }
      } catch (error) {
        if (error instanceof UnknownFamilyError) error.message += ": give psample's with --family-id N";
        throw error;
      } finally {
        sink?.abort();
        await first.close();
      }
    });
  },
});

/** Whether there is another round, which is then announced. */
function again(loop: boolean, sink: InjectionSink, session: Session, restart: () => void): () => boolean {
  let before = 0;
  return () => {
    if (!loop) return false;
    // Without a sample nothing would ever wait.
    if (sink.written === before) {
      session.fail("--loop: nothing in the recordings was sent, so psample stops here");
      return false;
    }
    before = sink.written;
    sink.nextRound();
    restart();
    return true;
  };
}

/** What was sent and to whom, and what was not. */
function account(stats: ListenStats, rounds: Rounds, sink: InjectionSink, otherGroups: number, losses: readonly string[]): string {
  const { written, eventsLeftOut, listeners } = sink;
  const parts = [`sent ${plural(written, "sample")}${rounds.round > 1 ? ` in ${rounds.round} rounds` : ""}`];
  if (listeners === undefined) parts.push("this kernel does not report who listens, nor what listeners lost");
  else if (listeners.length === 0) parts.push("nobody listened");
  else parts.push(`to ${plural(listeners.length, "listener")}`);
  const short = listeners?.filter(({ dropped }) => dropped > 0) ?? [];
  for (const { portId, dropped } of short.slice(0, MOST_NAMED)) {
    parts.push(`the one with port id ${portId} lost ${plural(dropped, "message")}: its receive buffer was full`);
  }
  const others = short.slice(MOST_NAMED);
  if (others.length > 0) {
    parts.push(`${others.length} others lost ${plural(others.reduce((sum, { dropped }) => sum + dropped, 0), "message")}`);
  }
  if (eventsLeftOut > 0) parts.push(`${plural(eventsLeftOut, "group event")} left out`);
  if (otherGroups > 0) parts.push(`${otherGroups} of other groups`);
  parts.push(...losses, ...skippedOf(rounds.counts));
  if (stats.malformed > 0 && stats.lastMalformed !== undefined) parts.push(`the last malformed one: ${stats.lastMalformed}`);
  return parts.join("; ");
}

/** Maximum number of listeners named; nobody would read a line with many more. */
const MOST_NAMED = 4;

/** From this wait on, psample reports it at a terminal. */
const LONG_MS = 2000;

function progress(rounds: Rounds, timed: PacedSource | undefined, sink: InjectionSink): string {
  const { size, round } = rounds;
  const parts = [`psample: ${plural(sink.written, "sample")} sent`];
  if (round > 1) parts.push(`round ${round}`);
  if (size) parts.push(`${Math.floor(100 * rounds.bytesRead / size)} % read`);
  const waitMs = timed?.waitMs ?? 0;
  if (waitMs > LONG_MS) parts.push(`the next one in ${Math.round(waitMs / 1000)} s`);
  return parts.join(", ");
}
