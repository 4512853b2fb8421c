/** Output on its way to its destination: gathered into blocks while more is coming, kept within a bound while the reader is slow. */
import { SystemError } from "../errors.ts";
import { Output } from "../format/output.ts";
import { memory } from "../wire/native.ts";
import type { Destination } from "./destination.ts";

/**
 * Blocks begin at page boundaries of the file: the kernel then takes about half the time for the same bytes. The size also lets a block
 * stay in the processor's cache until the kernel has copied it.
 */
export const BLOCK_BYTES: number = 1 << 17;

/** Default for how much may wait for a reader. */
export const SPOOL_BYTES: number = 64 * 1024 * 1024;

/** Bytes that wait for the destination. */
class Waiting {
  readonly #bytes: Uint8Array<ArrayBuffer>;
  #length = 0;
  #at = 0;
  /** The end of each piece that was handed over, and how many samples it completes. */
  readonly #marks: { readonly end: number; readonly samples: number }[] = [];

  constructor(size: number) {
    this.#bytes = memory(Math.max(size, BLOCK_BYTES));
  }

  get isDone(): boolean {
    return this.#at === this.#length;
  }

  /** Appends bytes; false if there is no room for them. */
  append(bytes: Uint8Array, samples: number): boolean {
    const end = this.#length + bytes.length;
    if (end > this.#bytes.length) return false;
    this.#bytes.set(bytes, this.#length);
    this.#length = end;
    this.#marks.push({ end, samples });
    return true;
  }

  /** Lets the destination write as much as it takes. Returns the number of bytes. */
  writeTo(destination: Destination): number {
    const count = destination.write(this.#bytes.subarray(this.#at, this.#length));
    this.#at += count;
    return count;
  }

  /** How many samples have been completed since the last call. */
  takeSamples(): number {
    let samples = 0;
    while (this.#marks.length > 0 && this.#marks[0]!.end <= this.#at) samples += this.#marks.shift()!.samples;
    return samples;
  }
}

/** Gathers the output of entries and delivers it in order, in whole blocks while more is coming. */
export class Spool {
  /** The gathered output. Write into it, then call {@linkcode Spool.entered}. */
  readonly output: Output = new Output(2 * BLOCK_BYTES);
  /** Resolves when nothing more can be delivered: to `undefined` if nobody reads any more, else to what went wrong. */
  readonly ended: Promise<unknown>;
  /** Samples delivered completely. */
  written = 0;
  readonly #destination: Destination;
  readonly #limit: number;
  /** Bytes handed over: delivered or waiting. */
  #bytes = 0;
  /** Samples in {@linkcode Spool.output}, and the length at which that fills a block. */
  #samples = 0;
  #room = BLOCK_BYTES;
  #queue: Waiting[] = [];
  #queuedBytes = 0;
  #delivering: Promise<void> | undefined;
  #turn: ReturnType<typeof setImmediate> | undefined;
  #over = false;
  #closed = false;
  #failure: unknown;
  #end!: (error: unknown) => void;
  #roomMade: Promise<void> | undefined;
  #makeRoom = (): void => {};

  /** Delivers to `destination`; about `limit` bytes may wait for it. */
  constructor(destination: Destination, limit: number = SPOOL_BYTES) {
    this.#destination = destination;
    this.#limit = limit;
    this.ended = new Promise((resolve) => this.#end = resolve);
  }

  /** Total size of what was delivered, is waiting and is gathered, in bytes. */
  get length(): number {
    return this.#bytes + this.output.length;
  }

  /** Whether the bound is reached: nothing more should be gathered now. */
  get isFull(): boolean {
    return this.#queuedBytes >= this.#limit;
  }

  /** Whether something waits for the reader. */
  get isWaiting(): boolean {
    return this.#queuedBytes > 0;
  }

  /** Call it after each entry written into the output; `samples` is 1 for a sample, 0 for anything else. */
  entered(samples: number): void {
    this.#samples += samples;
    if (this.output.length < this.#room) return;
    // What remains is the end of this entry.
    const left = this.length % BLOCK_BYTES;
    this.#handOver(this.output.length - left, left > 0 ? samples : 0);
  }

  /** Call it after each batch. If more is available at once, output that does not fill a block waits for the event loop's turn. */
  settle(more: boolean): void {
    if (more) this.#turn ??= setImmediate(() => this.#handOverAll());
    else this.#handOverAll();
  }

  /** While the bound is reached: resolves when there is room again. */
  full(): Promise<void> | undefined {
    if (!this.isFull || this.#over) return undefined;
    return this.#roomMade ??= new Promise((resolve) => this.#makeRoom = resolve);
  }

  /**
   * Delivers everything gathered so far.
   *
   * @throws {SystemError} if that fails; not if its reader has gone.
   */
  async flush(): Promise<void> {
    this.#handOverAll();
    await this.#delivering;
    if (this.#failure !== undefined) throw this.#failure;
  }

  /** Delivers everything and closes the destination. */
  async close(): Promise<void> {
    try {
      await this.flush();
    } finally {
      this.abort();
    }
  }

  /** Closes the destination; waiting output is never delivered. Idempotent. */
  abort(): void {
    this.#over = true;
    this.#forget();
    if (!this.#closed) this.#destination.close();
    this.#closed = true;
  }

  #handOverAll(): void {
    if (this.#turn !== undefined) clearImmediate(this.#turn);
    this.#turn = undefined;
    this.#handOver(this.output.length, 0);
  }

  /** Hands over the first `size` bytes gathered; they leave `left` samples incomplete. */
  #handOver(size: number, left: number): void {
    const { output } = this;
    // After a failed write nobody knows how much of it was done: nothing could continue there.
    if (this.#over) return this.#forget();
    if (size === 0) return;
    const samples = this.#samples - left;
    let at = 0;
    if (this.#queue.length === 0) {
      try {
        for (let count = 1; at < size && count > 0; at += count) count = this.#destination.write(output.bytes.subarray(at, size));
      } catch (error) {
        return this.#fail(error);
      }
    }
    if (at === size) this.written += samples;
    else this.#enqueue(output.bytes.subarray(at, size), samples);
    this.#bytes += size;
    this.#room = BLOCK_BYTES - this.#bytes % BLOCK_BYTES;
    output.drop(size);
    this.#samples = left;
  }

  #enqueue(bytes: Uint8Array, samples: number): void {
    if (!this.#queue.at(-1)?.append(bytes, samples)) {
      const waiting = new Waiting(bytes.length);
      waiting.append(bytes, samples);
      this.#queue.push(waiting);
    }
    this.#queuedBytes += bytes.length;
    this.#delivering ??= this.#deliver();
  }

  async #deliver(): Promise<void> {
    try {
      for (let first = this.#queue[0]; first && !this.#over; first = this.#queue[0]) {
        await this.#destination.writable();
        if (this.#over) break;
        for (let count = 1; count > 0 && !first.isDone;) {
          count = first.writeTo(this.#destination);
          this.#queuedBytes -= count;
        }
        this.written += first.takeSamples();
        if (first.isDone) this.#queue.shift();
        if (!this.isFull) this.#tellRoom();
      }
    } catch (error) {
      this.#fail(error);
    } finally {
      this.#delivering = undefined;
    }
  }

  #fail(error: unknown): void {
    this.#over = true;
    this.#forget();
    const gone = error instanceof SystemError && error.code === "EPIPE";
    if (!gone) this.#failure = error;
    this.#end(gone ? undefined : error);
  }

  #forget(): void {
    if (this.#turn !== undefined) clearImmediate(this.#turn);
    this.#turn = undefined;
    this.output.clear();
    this.#queue = [];
    this.#queuedBytes = 0;
    this.#tellRoom();
  }

  #tellRoom(): void {
    this.#roomMade = undefined;
    this.#makeRoom();
  }
}
