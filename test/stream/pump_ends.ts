/** Sources and sinks that tests of the pump control and look into. */
import { type Batch, BatchBuffer, type EntryView } from "../../src/stream/batch.ts";
import type { Sink } from "../../src/stream/sink.ts";
import type { Source } from "../../src/stream/source.ts";
import type { ListenStats } from "../../src/stream/stats.ts";

/** The pump does not look at its fields. */
const STATS = {} as ListenStats;

/** A source of given batches, and of those passed to `push`. */
export class TestSource implements Source {
  closed = 0;
  ended = 0;
  reads = 0;
  readonly #batches: Batch[];
  readonly #waits: boolean;
  #resolve: ((batch: Batch | undefined) => void) | undefined;
  failure: unknown;

  /** With `waits` it stays open when it is empty, until it is ended. */
  constructor(batches: Batch[], waits = false) {
    this.#batches = batches;
    this.#waits = waits;
  }
  read(): Batch | undefined | Promise<Batch | undefined> {
    this.reads++;
    if (this.failure) return Promise.reject(this.failure);
    const batch = this.#batches.shift();
    if (batch || !this.#waits || this.ended || this.closed) return batch;
    return new Promise((resolve) => this.#resolve = resolve);
  }
  push(batch: Batch): void {
    const resolve = this.#resolve;
    this.#resolve = undefined;
    if (resolve) resolve(batch);
    else this.#batches.push(batch);
  }
  end(): void {
    this.ended++;
    this.#resolve?.(undefined);
  }
  close(): Promise<void> {
    this.closed++;
    this.#resolve?.(undefined);
    return Promise.resolve();
  }
  stats(): ListenStats {
    return STATS;
  }
}

/** A sink that remembers the sequence numbers it took. */
export class TestSink implements Sink {
  readonly taken: (number | undefined)[] = [];
  written = 0;
  skipped = 0;
  closed = 0;
  aborted = 0;
  end!: (error?: unknown) => void;
  readonly ended: Promise<unknown> = new Promise((resolve) => this.end = resolve);
  room: Promise<void> | undefined;
  closing: Promise<void> = Promise.resolve();
  failTake: unknown;

  constructor(readonly name = "test") {}
  take(batch: Batch): void {
    if (this.failTake) throw this.failTake;
    for (let i = 0; i < batch.count; i++) this.taken.push(batch.entries[i]!.sequence);
    this.written += batch.samples;
  }
  full(): Promise<void> | undefined {
    return this.room;
  }
  flush(): Promise<void> {
    return Promise.resolve();
  }
  close(): Promise<void> {
    this.closed++;
    return this.closing;
  }
  abort(): void {
    this.aborted++;
  }
}

/** A batch of samples with these sequence numbers. */
export function batchOf(...sequences: number[]): Batch {
  const batch = new BatchBuffer();
  for (const sequence of sequences) batch.add({ type: "sample", sequence } as EntryView);
  return batch;
}

/** Long enough for the callbacks of all settled promises. */
export const turn = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 0));
