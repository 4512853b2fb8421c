/** The way from a source to the sinks. */
import { type Entry, type Listener, type ListenStats, SystemError } from "../mod.ts";
import type { Io } from "./io.ts";
import type { OutputPlan } from "./outputs.ts";
import type { Account, Sink } from "./sinks.ts";

/** Where entries come from. */
export interface Source extends Account {
  /** What came, a batch at a time; lent until the next one is asked for. */
  batches(options: { lend: true }): AsyncIterable<Entry[]>;
  /** No more is wanted: what has come already is still given. */
  end(): void;
  /** No more is wanted, at once. */
  close(): Promise<void>;
}

/** A listener as a source. */
export function liveSource(listener: Listener): Source {
  let more = false;
  return {
    async *batches(): AsyncGenerator<Entry[]> {
      for await (const batch of listener.lentBatches()) {
        more = batch.more;
        yield batch.entries.slice();
      }
    },
    get more() {
      return more;
    },
    stats: () => listener.stats(),
    end: () => listener.end(),
    close: () => listener.close(),
  };
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
