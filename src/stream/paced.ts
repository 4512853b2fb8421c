/** A source whose entries come at their own times. */
import type { Device, Devices } from "../link/device.ts";
import type { PacketView } from "../packet/packet_view.ts";
import { ArgumentError } from "../errors.ts";
import type { Batch, EntryView } from "./batch.ts";
import { Clock, LONGEST_TIMER_MS } from "./clock.ts";
import type { Source } from "./source.ts";
import type { ListenStats } from "./stats.ts";

/**
 * How fast {@linkcode paced} is.
 *
 * @category Pump
 */
export interface PacedOptions {
  /** How many seconds of the recording pass in a second; more than 0. Defaults to 1. */
  readonly speed?: number | undefined;
}

/**
 * A source whose entries are delivered at their own times. Made by {@linkcode paced}.
 *
 * @category Pump
 */
export interface PacedSource extends Source {
  /** How far its clock is from the next entry that waits, in milliseconds of this machine's time; `undefined` if none waits. */
  readonly waitMs: number | undefined;
  /** The next entry is delivered at once, and time is counted from there: for another recording, or the same again. */
  restart(): void;
}

/**
 * Delivers the entries of a recording as they were sampled: each after its time since the first one, divided by the speed. Late entries,
 * because the recording or a sink was slow, are delivered at once; a time that lies more than a second before the latest one is a clock
 * that was set back, and time is counted from there. Time stamps, numbers and losses stay as they are.
 *
 * @example Watch a recording as it happened, ten times as fast
 * ```ts ignore
 * import { linesTo, paced, pump, readRecording } from "@psample/psample";
 * import { PacketWriter } from "@psample/psample/format";
 *
 * await pump(paced(await readRecording("samples.pcapng"), { speed: 10 }), [], [await linesTo(new PacketWriter())]);
 * ```
 *
 * @throws {ArgumentError} if the speed is not a number above 0.
 * @category Pump
 */
export function paced(source: Source, { speed = 1 }: PacedOptions = {}): PacedSource {
  if (!(speed > 0 && speed < Infinity)) throw new ArgumentError(`Cannot pace a source: speed ${speed} is not a number above 0`);
  return new Paced(source, speed);
}

/** Entries may be out of order by a little: several processors sample at once. */
const SET_BACK_MS = 1000;

class Paced implements PacedSource {
  readonly #source: Source;
  readonly #speed: number;
  readonly #clock = new Clock();
  readonly #part = new Part();
  #batch: Batch | undefined;
  /** The first entry of the batch that has not come. */
  #next = 0;
  /** A time of the recording and the time of this machine that it is; `undefined` before the first entry. */
  #base: { readonly recordedMs: number; readonly atMs: number } | undefined;
  /** The latest time so far. */
  #latestMs = -Infinity;
  #dueMs: number | undefined;
  #isOver = false;
  #wake = (): void => {};

  constructor(source: Source, speed: number) {
    this.#source = source;
    this.#speed = speed;
  }

  get waitMs(): number | undefined {
    return this.#dueMs === undefined ? undefined : Math.max(0, this.#dueMs - performance.now());
  }

  restart(): void {
    this.#base = undefined;
    this.#latestMs = -Infinity;
  }

  read(): Batch | undefined | Promise<Batch | undefined> {
    if (this.#isOver) return undefined;
    if (this.#batch !== undefined) return this.#nextPart(this.#batch);
    const coming = this.#source.read();
    return coming instanceof Promise ? coming.then((batch) => this.#take(batch)) : this.#take(coming);
  }

  end(): void {
    this.#isOver = true;
    this.#source.end();
    this.#wake();
  }

  close(): Promise<void> {
    this.#isOver = true;
    this.#wake();
    return this.#source.close();
  }

  stats(): ListenStats {
    return this.#source.stats();
  }

  #take(batch: Batch | undefined): Batch | undefined | Promise<Batch | undefined> {
    if (batch === undefined || this.#isOver) return undefined;
    this.#next = 0;
    // It only says what was lost.
    if (batch.count === 0) return batch;
    this.#batch = batch;
    return this.#nextPart(batch);
  }

  /** The entries whose time has come. */
  #nextPart(batch: Batch): Batch | Promise<Batch | undefined> {
    const nowMs = performance.now();
    const start = this.#next;
    let end = start;
    while (end < batch.count && this.#dueAt(batch, end, nowMs) <= nowMs) end++;
    if (end === start) return this.#later(batch, this.#dueAt(batch, end, nowMs) - nowMs);
    this.#next = end;
    if (end === batch.count) this.#batch = undefined;
    return this.#part.of(batch, start, end);
  }

  async #later(batch: Batch, waitMs: number): Promise<Batch | undefined> {
    this.#dueMs = performance.now() + waitMs;
    await new Promise<void>((resolve) => {
      // Timers have whole milliseconds, and some fire too early by a part of one. Longer waits than one timer's are made of several.
      const timer = setTimeout(resolve, Math.min(Math.ceil(waitMs), LONGEST_TIMER_MS));
      this.#wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
    this.#dueMs = undefined;
    return this.#isOver ? undefined : this.#nextPart(batch);
  }

  /** When entry `i` is to come. */
  #dueAt(batch: Batch, i: number, nowMs: number): number {
    // It comes with the one before it.
    if (!batch.hasTime(i)) return nowMs;
    batch.readTime(i, this.#clock);
    const recordedMs = this.#clock.seconds * 1000 + this.#clock.nanoseconds / 1e6;
    if (this.#base === undefined || recordedMs < this.#latestMs - SET_BACK_MS) {
      this.#base = { recordedMs, atMs: nowMs };
      this.#latestMs = recordedMs;
    }
    this.#latestMs = Math.max(this.#latestMs, recordedMs);
    return this.#base.atMs + (recordedMs - this.#base.recordedMs) / this.#speed;
  }
}

/** Some entries of a batch in a row. All of its parts together say what the batch does. */
class Part implements Batch {
  readonly entries: EntryView[] = [];
  samples = 0;
  lost = 0;
  dropped = 0;
  /** What follows is not due. */
  readonly more = false;
  #batch!: Batch;
  #start = 0;
  /** The losses that earlier parts reported. */
  #told = 0;

  of(batch: Batch, start: number, end: number): this {
    this.#batch = batch;
    this.#start = start;
    this.entries.length = 0;
    this.samples = 0;
    if (start === 0) this.#told = 0;
    let lost = 0;
    for (let i = start; i < end; i++) {
      const entry = batch.entries[i]!;
      this.entries.push(entry);
      if (entry.type === "sample") this.samples++;
      lost += batch.lostBefore(i) ?? 0;
    }
    // A batch may know of more losses than its entries show: that comes with the last of them.
    this.lost = end < batch.count ? lost : batch.lost - this.#told;
    this.#told += lost;
    this.dropped = start === 0 ? batch.dropped : 0;
    return this;
  }

  get count(): number {
    return this.entries.length;
  }
  get recorded(): boolean {
    return this.#batch.recorded;
  }
  get readAtNs(): bigint {
    return this.#batch.readAtNs;
  }
  timeNs(i: number): bigint {
    return this.#batch.timeNs(this.#start + i);
  }
  hasTime(i: number): boolean {
    return this.#batch.hasTime(this.#start + i);
  }
  readTime(i: number, clock: Clock): void {
    this.#batch.readTime(this.#start + i, clock);
  }
  lostBefore(i: number): number | undefined {
    return this.#batch.lostBefore(this.#start + i);
  }
  device(i: number): Device | undefined {
    return this.#batch.device(this.#start + i);
  }
  packet(i: number): PacketView {
    return this.#batch.packet(this.#start + i);
  }
  devicesOf(i: number): Devices {
    return this.#batch.devicesOf(this.#start + i);
  }
}
