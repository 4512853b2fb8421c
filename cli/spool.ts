/** Output on its way to where it goes, gathered into blocks. */
import { Output } from "../src/format/output.ts";
import type { Out } from "./io.ts";

/**
 * Blocks begin where pages of a file begin: the kernel then takes about half of the time for the same bytes. This large,
 * because it also has to stay in the processor's cache until the kernel has copied it.
 */
const BLOCK = 1 << 17;

/** Gathers what entries become, and writes it by whole blocks while more is coming. */
export class Spool {
  /** What is gathered. */
  readonly output = new Output(2 * BLOCK);
  /** Bytes that are written. */
  bytes = 0;
  /** Samples of which all is written. */
  samples = 0;
  #out: Out;
  #gathered = 0;
  #room = BLOCK;
  #writing: Promise<void> | undefined;
  #turn: unknown;
  #failed = false;
  #failure: unknown;

  /** Writes to `out`, from its beginning. */
  constructor(out: Out) {
    this.#out = out;
  }

  /** Goes on in another file, from its beginning. All is written to the one before. */
  changeTo(out: Out): void {
    this.#out = out;
    this.bytes = 0;
    this.#room = BLOCK;
  }

  /** Enters that an entry has been gathered. True where it is time for {@linkcode Spool.writeBlocks}. */
  gathered({ type }: { readonly type: string }): boolean {
    if (type === "sample") this.#gathered++;
    return this.output.length >= this.#room;
  }

  /** To be called behind a batch: writes everything, or leaves that for later where more is there at once. */
  async settle(more = false): Promise<void> {
    if (more) this.writeSoon();
    else await this.writeAll();
  }

  /** Writes what fills blocks. */
  writeBlocks(): Promise<void> {
    return this.#write(() => this.output.length - (this.bytes + this.output.length) % BLOCK);
  }

  /** Writes everything. */
  writeAll(): Promise<void> {
    return this.#write(() => this.output.length);
  }

  /** Writes everything when the event loop has its turn: what was to come at once has come by then, or did not. */
  writeSoon(): void {
    this.#turn ??= setImmediate(() => {
      this.#turn = undefined;
      if (this.output.length > 0) this.writeAll().catch((error) => this.#failure = error);
    });
  }

  async #write(size: () => number): Promise<void> {
    while (this.#writing) await this.#writing.catch(() => {});
    if (this.#failure !== undefined) {
      const failure = this.#failure;
      this.#failure = undefined;
      throw failure;
    }
    this.#writing = this.#writeNow(size());
    try {
      await this.#writing;
    } finally {
      this.#writing = undefined;
    }
  }

  async #writeNow(size: number): Promise<void> {
    const { output } = this;
    // Where a write has failed nobody knows how much of it was done: nothing could go on from there.
    if (this.#failed) return output.clear();
    if (size === 0) return;
    // What does not fit is the end of the last entry. More may be gathered meanwhile.
    const left = size < output.length ? Math.min(this.#gathered, 1) : 0;
    const samples = this.#gathered - left;
    try {
      await this.#out.write(output.bytes.subarray(0, size));
    } catch (error) {
      this.#failed = true;
      throw error;
    }
    this.bytes += size;
    this.#room = BLOCK - this.bytes % BLOCK;
    output.drop(size);
    this.samples += samples;
    this.#gathered -= samples;
  }
}
