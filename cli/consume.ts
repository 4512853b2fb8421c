/** What monitor, read and demo have in common: their output options, and the way from a source to the sinks. */
import { type Entry, type ListenStats, SystemError } from "../mod.ts";
import { duration, type Option, type Parsed, UsageError, wholeNumber } from "./args.ts";
import type { Io } from "./io.ts";
import type { Details } from "./names.ts";
import { fileTarget, pcapngRecorder, pcapRecorder, planRecording, type RecordingFormat } from "./recording.ts";
import { type Account, jsonSink, recordingSink, type Sink, textSink } from "./sinks.ts";

/** The options about what is printed, and how much of it. */
export const OUTPUT_OPTIONS: readonly Option[] = [
  { name: "verbose", letter: "v", help: "print each packet's bytes below its line" },
  { name: "details", help: "add interface names, cookie, tunnel, probability, namespace, sender to each line" },
  { name: "json", help: "print one JSON object a line instead of text" },
  { name: "text", help: "print text also where --write is given" },
  {
    name: "write",
    letter: "w",
    value: "FILE",
    help: "record: FILE.pcapng the packets, FILE.pcap the netlink messages; - is standard output",
  },
  { name: "format", value: "FORMAT", help: "what --write records, whatever the FILE is called: pcap or pcapng" },
  { name: "rotate", value: "SIZE|TIME", repeats: true, help: "go on in FILE-00002 and so on, after 100MB or 1h of packets" },
  { name: "keep", value: "N", help: "keep only the last N of the files that --rotate makes" },
  { name: "count", value: "N", help: "stop after N samples" },
  { name: "duration", value: "TIME", help: "stop after TIME: 10s, 500ms, 2m, 1h" },
  { name: "quiet", letter: "q", help: "no summary and no notices" },
];

/** Where entries come from. */
export interface Source extends Account {
  /** What came, a batch at a time; lent until the next one is asked for. */
  batches(options: { lend: true }): AsyncIterable<Entry[]>;
  /** No more is wanted: what has come already is still given. */
  end(): void;
  /** No more is wanted, at once. */
  close(): Promise<void>;
}

/** What is printed, and how much of it. */
export interface OutputPlan {
  /** Opens what is written to. Only once there is something to write: an old recording is not emptied by a start that fails. */
  open(): readonly Sink[];
  readonly count: number;
  readonly durationMs: number | undefined;
  readonly quiet: boolean;
}

/**
 * Checks what the options ask for. `family` is asked for the number that a recording of nothing names; `format` is that of
 * a recording whose name does not tell.
 */
export function planOutput(
  parsed: Parsed,
  io: Io,
  details: () => Details,
  family: () => number,
  format: RecordingFormat = "pcap",
): OutputPlan {
  const { switches, values } = parsed;
  const file = values.get("write")?.[0];
  if (switches.has("json") && switches.has("text")) throw new UsageError("--json and --text exclude each other");
  const printed = switches.has("json") || switches.has("text") || switches.has("details") || switches.has("verbose");
  if (file === "-" && printed) throw new UsageError("--write - sends the recording to standard output: nothing can be printed beside it");
  if (file === "-" && io.outIsTerminal) {
    throw new UsageError("standard output is a terminal: send the recording to a file or a program, as in psample -w - | tshark -r -");
  }
  // The limits first: a wrong one must not empty a file.
  const recording = planRecording(parsed, file, format);
  const count = values.has("count") ? wholeNumber(values.get("count")![0]!, "--count", Number.MAX_SAFE_INTEGER, 1) : Infinity;
  const durationMs = values.has("duration") ? duration(values.get("duration")![0]!, "--duration") : undefined;
  let known: Details | undefined;
  const names = (): Details => known ??= details();
  const open = (): Sink[] => {
    const sinks: Sink[] = [];
    if (file !== undefined) {
      const recorder = recording.format === "pcapng" ? pcapngRecorder(names()) : pcapRecorder(family);
      const out = { write: (data: Uint8Array | string) => io.out.write(data), close: () => {} };
      sinks.push(recordingSink(file === "-" ? { next: () => out } : fileTarget(io, file, recording.rotation), recorder));
    }
    if (switches.has("json")) {
      sinks.push(jsonSink(io.out));
    } else if (file === undefined || printed) {
      sinks.push(textSink(io.out, { verbose: switches.has("verbose"), details: switches.has("details") ? names() : undefined }));
    }
    return sinks;
  };
  return { open, count, durationMs, quiet: switches.has("quiet") };
}

/**
 * Hands everything from the source to the sinks, until the source ends, a limit is reached, a signal comes, or
 * nobody reads any more. Returns how many samples were written; `undefined` where nobody reads any more: then nobody
 * wants to know the numbers either.
 */
export async function consume(source: Source, plan: OutputPlan, io: Io): Promise<number | undefined> {
  let left = plan.count;
  let sinks: readonly Sink[] | undefined;
  let signals = 0;
  let interrupt = (): void => {};
  // Not Promise.race: a promise that is pending for months would keep every race that it was in.
  const unlessInterrupted = (work: Promise<void> | void): Promise<void> =>
    new Promise((resolve, reject) => {
      interrupt = () => reject(new Interruption());
      Promise.resolve(work).then(resolve, reject);
    });
  // The first signal lets what is queued through; the second does not, nor does it wait for a reader that does not read.
  const deaf = io.onSignal(() => {
    if (++signals === 1) return source.end();
    void source.close();
    interrupt();
  });
  const timer = plan.durationMs === undefined ? undefined : setTimeout(() => source.end(), plan.durationMs);
  try {
    // What is received now is received already: a file that cannot be written is better known at once.
    if (source.stats) sinks = plan.open();
    for await (let batch of source.batches({ lend: true })) {
      if (left !== Infinity) batch = firstSamples(batch, left);
      sinks ??= plan.open();
      for (const sink of sinks) await unlessInterrupted(sink.write(batch, source));
      if (left === Infinity) continue;
      for (const entry of batch) if (entry.type === "sample") left--;
      if (left === 0) break;
    }
    // A recording of nothing is still a recording.
    sinks ??= plan.open();
    for (const sink of sinks) await unlessInterrupted(sink.close(source));
    return written(sinks);
  } catch (error) {
    if (error instanceof Interruption) return written(sinks ?? []);
    // What is recorded by now is whole nevertheless; that it fails too is not what went wrong first.
    await Promise.allSettled((sinks ?? []).map(async (sink) => await sink.close(source)));
    // Whoever reads has seen enough, as in "| head".
    if (error instanceof SystemError && error.code === "EPIPE") return undefined;
    throw error;
  } finally {
    clearTimeout(timer);
    deaf();
    await source.close();
  }
}

/** How many samples each of the sinks has written. */
function written(sinks: readonly Sink[]): number {
  return sinks.length === 0 ? 0 : Math.min(...sinks.map(({ samples }) => samples));
}

/** The second signal. */
class Interruption extends Error {}

/** The batch up to its `most`th sample. */
function firstSamples(batch: Entry[], most: number): Entry[] {
  let samples = 0;
  for (let i = 0; i < batch.length; i++) {
    if (batch[i]!.type === "sample" && ++samples === most) return batch.slice(0, i + 1);
  }
  return batch;
}

/** The line that says what was received and what was lost; `handed` is how many samples were printed or recorded. */
export function summary(stats: ListenStats, handed: number, askedBytes?: number): string {
  const parts = [`received ${plural(stats.received, "sample")}`];
  // More had come by the time that the last one was wanted, or could be written.
  if (handed < stats.received) parts[0] += `, ${handed} of them printed or recorded`;
  if (stats.events > 0) parts.push(plural(stats.events, "group event"));
  const lost = stats.groups.filter((group) => group.lost > 0);
  const where = lost.map((group) => `group ${group.group}${group.nsid === undefined ? "" : ` of nsid ${group.nsid}`}: ${group.lost}`);
  parts.push(`lost ${stats.lost}${where.length > 0 ? ` by sequence number (${where.join(", ")})` : ""}`);
  if (stats.dropped > 0) {
    parts.push(`${plural(stats.dropped, "message")} dropped because the receive buffer of ${stats.receiveBufferBytes} bytes was full`);
  }
  if (stats.malformed > 0) parts.push(`${stats.malformed} malformed (the last: ${stats.lastMalformed})`);
  if (stats.unknown > 0) parts.push(`${stats.unknown} of unknown kinds`);
  const unnumbered = stats.groups.filter((group) => !group.numbered && group.received > 1);
  if (unnumbered.length > 0) {
    parts.push(`group ${unnumbered.map((group) => group.group).join(", ")} is not numbered: losses show only as drops`);
  }
  let line = `psample: ${parts.join("; ")}\n`;
  if (stats.dropped > 0 && askedBytes !== undefined && stats.receiveBufferBytes < askedBytes) {
    line += `psample: ${askedBytes} bytes were asked for: raise net.core.rmem_max (sysctl), or run as root\n`;
  }
  return line;
}

function plural(count: number, what: string): string {
  return `${count} ${what}${count === 1 ? "" : "s"}`;
}
