/**
 * The pump: moves batches from a source through stages to sinks, and is the one place that knows about limits,
 * interruption, readers that have gone, and failures.
 *
 * @module
 */
import { ArgumentError } from "../errors.ts";
import { type Batch, Selection } from "./batch.ts";
import { LONGEST_TIMER_MS, nowNs } from "./clock.ts";
import type { Closing, Sink, SinkSummary } from "./sink.ts";
import { attachPump, detachPump, type SinkHolder, SinkSet } from "./sink_set.ts";
import type { Source } from "./source.ts";
import type { Stage } from "./stage.ts";
import { StageChain } from "./stage_chain.ts";
import type { ListenStats } from "./stats.ts";

/**
 * How to {@linkcode pump}.
 *
 * @category Pump
 */
export interface PumpOptions {
  /** Ends the stream when it aborts: what the source has queued is still delivered, within {@linkcode PumpOptions.deliverMs}. */
  signal?: AbortSignal | undefined;
  /** Ends everything at once when it aborts: nothing more is waited for. */
  cut?: AbortSignal | undefined;
  /** Stop after this many samples. Defaults to no limit. */
  count?: number | undefined;
  /** Stop after this many milliseconds. Defaults to no limit. */
  durationMs?: number | undefined;
  /**
   * How long delivering may take after `signal`, also if the stream had ended before, and how long it may stall after `durationMs`, in
   * milliseconds, before everything ends at once. Defaults to 5000.
   */
  deliverMs?: number | undefined;
  /**
   * Called once if delivering takes longer than an instant after `signal`, with the sinks whose readers are being waited for, and the rest
   * of {@linkcode PumpOptions.deliverMs}.
   */
  onWait?: ((sinks: readonly Sink[], leftMs: number) => void) | undefined;
  /** Called when a sink ends before the stream does; without an error if its reader has gone. */
  onSinkEnd?: ((sink: Sink, error: unknown) => void) | undefined;
}

/**
 * Why a {@linkcode pump} stopped.
 *
 * @category Pump
 */
export type PumpEnd =
  /** The source had no more. */
  | "source"
  /** {@linkcode PumpOptions.count} samples were handed on. */
  | "count"
  /** {@linkcode PumpOptions.durationMs} is over. */
  | "duration"
  /** {@linkcode PumpOptions.signal} aborted. */
  | "signal"
  /** {@linkcode PumpOptions.cut} aborted, or delivering took longer than {@linkcode PumpOptions.deliverMs}. */
  | "cut"
  /** No sink is left. */
  | "sinks";

/**
 * What a {@linkcode pump} did.
 *
 * @category Pump
 */
export interface Summary {
  /** Why it stopped. */
  readonly end: PumpEnd;
  /** Samples handed to the sinks, after stages and limits. */
  readonly samples: number;
  /** What the source received and lost. */
  readonly stats: ListenStats;
  /** The result of each sink, in the order given; of a {@linkcode SinkSet}, in the order of being added, also of removed ones. */
  readonly sinks: readonly SinkSummary[];
}

const DELIVER_MS = 5000;
/** How long waiting for a reader is not worth mentioning. */
const INSTANT_MS = 300;

/**
 * Moves everything from a source through stages to sinks until the source ends, a limit is reached, it is interrupted, or no
 * sink is left. Closes the source and the sinks.
 *
 * @example Record everything sampled in the next second, for Wireshark
 * ```ts ignore
 * import { listen, pump, recordTo, watchLinks } from "@psample/psample";
 *
 * const source = await listen({ devices: await watchLinks() });
 * const { samples, stats } = await pump(source, [], [recordTo("samples.pcapng")], { durationMs: 1000 });
 * console.log(`${samples} samples recorded, ${stats.lost} lost`);
 * ```
 *
 * A sink that fails, or whose reader has gone, does not stop the others; the summary reports it. But all of them must open: a sink may be a
 * promise of one, as {@linkcode recordTo} returns. Sinks of a {@linkcode SinkSet} may come and go.
 *
 * @returns What was moved, and the result of each sink.
 * @throws What the source threw, after the sinks have delivered what they had; why a sink could not be opened; the first sink's
 * error if every sink failed.
 * @category Pump
 */
export async function pump(
  source: Source,
  stages: readonly Stage[],
  sinks: readonly (Sink | PromiseLike<Sink>)[] | SinkSet,
  options: PumpOptions = {},
): Promise<Summary> {
  const { count = Infinity, durationMs, deliverMs = DELIVER_MS } = options;
  const opening = await Promise.allSettled(sinks instanceof SinkSet ? sinks.sinks : sinks);
  const opened = opening.flatMap((result) => result.status === "fulfilled" ? [result.value] : []);
  try {
    for (const result of opening) if (result.status === "rejected") throw result.reason;
    if (opened.length === 0) throw new ArgumentError("Cannot pump: there is no sink");
    if (count !== Infinity && (!Number.isInteger(count) || count < 1)) {
      throw new ArgumentError(`Cannot pump ${count} samples: expected a whole number from 1`);
    }
    for (const [what, ms] of [["durationMs", durationMs], ["deliverMs", deliverMs]] as const) {
      if (ms !== undefined && !(ms >= 0 && ms <= LONGEST_TIMER_MS)) {
        throw new ArgumentError(`Cannot pump: ${what} ${ms} is not between 0 and ${LONGEST_TIMER_MS}`);
      }
    }
  } catch (error) {
    for (const sink of opened) sink.abort();
    await source.close();
    throw error;
  }
  const set = sinks instanceof SinkSet ? sinks : new SinkSet(opened);
  return await new Pump(source, stages, set, { ...options, count, deliverMs }).run();
}

/** {@linkcode PumpOptions} with their defaults. */
interface Limits extends PumpOptions {
  readonly count: number;
  readonly deliverMs: number;
}

/** One sink and its result. */
interface Line {
  readonly sink: Sink;
  /** Samples that were for it, whether or not it could take them. */
  samples: number;
  open: boolean;
  /** Whether it is handed nothing more, because it is removed. */
  removed: boolean;
  /** Whether the time is over that it may take to deliver after that. */
  late: boolean;
  /** Whether its reader has gone. */
  left: boolean;
  /** Whether it was closed before everything was delivered. */
  cut: boolean;
  error: unknown;
}

/** One whose sink is removed and closed: only its result is kept, because there is no end of sinks that come and go. */
interface PastLine extends Omit<Line, "sink"> {
  readonly sink: Pick<Sink, "name" | "written" | "skipped">;
}

/** What {@linkcode Pump.wait} resolves to if something else came first. */
const INTERRUPTED = Symbol("interrupted");

class Pump implements SinkHolder {
  readonly #source: Source;
  readonly #stages: StageChain;
  readonly #sinks: SinkSet;
  /** All that there have been, and those of them that are handed samples. */
  readonly #allLines: (Line | PastLine)[] = [];
  #lines: readonly Line[] = [];
  /** The removals that are not done yet. */
  readonly #removals = new Set<Promise<unknown>>();
  readonly #options: Limits;
  readonly #firstOnes = new Selection();
  /** Samples still wanted. */
  #left: number;
  #samples = 0;
  readonly #startNs = nowNs();
  #end: PumpEnd | undefined;
  #cut = false;
  /** Functions that end the current waits. Not `Promise.race`: a promise pending for months would retain every race that it was in. */
  readonly #waits = new Set<() => void>();
  readonly #timers: ReturnType<typeof setTimeout>[] = [];

  constructor(source: Source, stages: readonly Stage[], sinks: SinkSet, options: Limits) {
    this.#source = source;
    this.#stages = new StageChain(stages);
    this.#options = options;
    this.#left = options.count;
    this.#sinks = sinks;
    for (const sink of attachPump(sinks, this)) this.add(sink);
  }

  get samples(): number {
    return this.#samples;
  }

  samplesFor(sink: Sink): number | undefined {
    return this.#lines.find((line) => line.sink === sink)?.samples;
  }

  add(sink: Sink): void {
    const line = { sink, samples: 0, open: true, removed: false, late: false, left: false, cut: false, error: undefined };
    sink.ended.then((error) => this.#sinkEnded(line, error));
    this.#allLines.push(line);
    // Others may be iterating over what there was before.
    this.#lines = [...this.#lines, line];
  }

  async remove(sink: Sink): Promise<SinkSummary> {
    const line = this.#lines.find((line) => line.sink === sink)!;
    line.removed = true;
    this.#lines = this.#lines.filter((other) => other !== line);
    // The pump may be waiting for it.
    this.#interrupt();
    const timer = setTimeout(() => {
      line.late = true;
      this.#interrupt();
    }, this.#options.deliverMs);
    const removal = this.#closeLine(line, { stats: this.#source.stats(), period: { startNs: this.#startNs, endNs: nowNs() } });
    this.#removals.add(removal);
    await removal;
    clearTimeout(timer);
    this.#removals.delete(removal);
    const { name, written, skipped } = sink;
    const past: PastLine = { ...line, sink: { name, written, skipped } };
    this.#allLines[this.#allLines.indexOf(line)] = past;
    return summaryOf(past);
  }

  async run(): Promise<Summary> {
    const { signal, cut, durationMs } = this.#options;
    const onSignal = (): void => this.#stop("signal");
    const onCut = (): void => this.#cutOff();
    signal?.addEventListener("abort", onSignal, { once: true });
    cut?.addEventListener("abort", onCut, { once: true });
    if (durationMs !== undefined) this.#timers.push(setTimeout(() => this.#stop("duration"), durationMs));
    if (signal?.aborted) onSignal();
    if (cut?.aborted) onCut();
    try {
      let failure: { readonly error: unknown } | undefined;
      try {
        await this.#move();
      } catch (error) {
        failure = { error };
      }
      this.#end ??= this.#anyOpen() ? "source" : "sinks";
      const period = { startNs: this.#startNs, endNs: nowNs() };
      detachPump(this.#sinks);
      await this.#close({ stats: this.#source.stats(), period, failed: failure !== undefined });
      if (failure) throw failure.error;
    } finally {
      for (const timer of this.#timers) clearTimeout(timer);
      signal?.removeEventListener("abort", onSignal);
      cut?.removeEventListener("abort", onCut);
      await this.#source.close();
    }
    const errors = this.#lines.map(({ error }) => error).filter((error) => error !== undefined);
    if (errors.length > 0 && errors.length === this.#lines.length) throw errors[0];
    return {
      end: this.#end,
      samples: this.#samples,
      stats: this.#source.stats(),
      sinks: this.#allLines.map(summaryOf),
    };
  }

  async #move(): Promise<void> {
    while (!this.#cut && this.#left > 0 && this.#anyOpen()) {
      const batch = await this.#next();
      if (!batch) return;
      const chosen = this.#choose(batch);
      for (const line of this.#lines) {
        if (line.removed) continue;
        line.samples += chosen.samples;
        if (!line.open) continue;
        try {
          line.sink.take(chosen);
        } catch (error) {
          this.#sinkEnded(line, error);
        }
      }
      this.#samples += chosen.samples;
      this.#left -= chosen.samples;
      for (const line of this.#lines) {
        while (line.open && !line.removed && !this.#cut) {
          const full = line.sink.full();
          if (!full) break;
          await this.#wait(full);
        }
      }
    }
    if (this.#left <= 0) this.#stop("count");
  }

  /** The next batch; `undefined` at the end, or if no more is wanted. */
  async #next(): Promise<Batch | undefined> {
    const coming = this.#source.read();
    if (!(coming instanceof Promise)) return coming;
    for (;;) {
      const batch = await this.#wait(coming);
      if (batch !== INTERRUPTED) return batch;
      // If only a sink has ended, the others still want the next batch.
      if (this.#cut || !this.#anyOpen()) return undefined;
    }
  }

  /** What the stages and the limit let through. */
  #choose(batch: Batch): Batch {
    const chosen = this.#stages.choose(batch);
    if (chosen.samples < this.#left) return chosen;
    // Entries after the last wanted sample are left out.
    const firstOnes = this.#firstOnes;
    firstOnes.from(chosen);
    for (let i = 0; firstOnes.samples < this.#left; i++) firstOnes.pick(i);
    return firstOnes;
  }

  async #close(closing: Closing): Promise<void> {
    await Promise.all([...this.#lines.map((line) => this.#closeLine(line, closing)), ...this.#removals]);
  }

  async #closeLine(line: Line, closing: Closing): Promise<void> {
    if (!line.open) return;
    let closed = false;
    try {
      const ending = line.sink.close(closing).then(() => closed = true);
      while (!closed && line.open && !line.late && !this.#cut) await this.#wait(ending);
      // Sinks that need no reader, such as files, are still ended properly: it takes no longer than a turn of the event loop.
      if (!closed && this.#cut) await this.#wait(ending, new Promise((resolve) => setTimeout(resolve, 0)));
      if (!closed && line.open) line.cut = true;
      if (!closed) line.sink.abort();
    } catch (error) {
      this.#sinkEnded(line, error);
    }
  }

  /** Resolves with the work, or to {@linkcode INTERRUPTED} if the pump is cut off, a sink ends, or the `turn` is over first. */
  #wait<Result>(work: Promise<Result>, turn?: Promise<void>): Promise<Result | typeof INTERRUPTED> {
    return new Promise((resolve, reject) => {
      const interrupt = (): void => {
        this.#waits.delete(interrupt);
        resolve(INTERRUPTED);
      };
      this.#waits.add(interrupt);
      turn?.then(interrupt);
      work.then((result) => {
        this.#waits.delete(interrupt);
        resolve(result);
      }, (error) => {
        this.#waits.delete(interrupt);
        reject(error);
      });
    });
  }

  #interrupt(): void {
    for (const interrupt of [...this.#waits]) interrupt();
  }

  /** Whether there is something to hand samples to, or may be again: that all were removed is no reason to end. */
  #anyOpen(): boolean {
    return this.#lines.length === 0 || this.#lines.some(({ open }) => open);
  }

  /** Ends the stream: what the source has queued is still delivered. */
  #stop(why: PumpEnd): void {
    // Also if it has ended already: readers are still being waited for.
    if (why === "signal") this.#boundSignalled();
    if (this.#end !== undefined) return;
    this.#end = why;
    this.#source.end();
    if (why === "duration") this.#boundDelivery(false);
  }

  /** Cuts off when the time to deliver after a signal is over, and reports readers that have to be waited for. */
  #boundSignalled(): void {
    this.#boundDelivery(true);
    const { onWait, deliverMs } = this.#options;
    const look = (leftMs: number): void => {
      if (!onWait || leftMs <= 0) return;
      this.#timers.push(setTimeout(() => {
        const waiting = this.#lines.filter(({ open, sink }) => open && sink.isWaiting === true).map(({ sink }) => sink);
        if (waiting.length > 0) onWait(waiting, leftMs);
        else look(leftMs - INSTANT_MS);
      }, INSTANT_MS));
    };
    look(deliverMs - INSTANT_MS);
  }

  /** Cuts off when the time to deliver is over; or, unless `strictly`, when nothing was delivered for that long. */
  #boundDelivery(strictly: boolean): void {
    const before = this.#delivered();
    this.#timers.push(setTimeout(() => {
      if (!strictly && this.#delivered() > before) this.#boundDelivery(strictly);
      else this.#cutOff();
    }, this.#options.deliverMs));
  }

  #delivered(): number {
    return this.#allLines.reduce((sum, { sink }) => sum + sink.written, 0);
  }

  #cutOff(): void {
    this.#cut = true;
    this.#end = "cut";
    this.#interrupt();
  }

  #sinkEnded(line: Line, error: unknown): void {
    if (!line.open) return;
    line.open = false;
    line.error = error;
    line.left = error === undefined;
    line.sink.abort();
    this.#options.onSinkEnd?.(line.sink, error);
    this.#interrupt();
  }
}

function summaryOf({ sink: { name, written, skipped }, samples, error, left, cut }: PastLine): SinkSummary {
  return { name, samples, written, skipped, error, left, cut };
}
