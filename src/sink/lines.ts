/** A sink of lines: text, JSON, CSV. */
import type { Output } from "../format/output.ts";
import type { Batch } from "../stream/batch.ts";
import type { Sink } from "../stream/sink.ts";
import type { Destination } from "./destination.ts";
import { Spool, SPOOL_BYTES } from "./spool.ts";

/**
 * Writes an entry of a batch as a line, or as several.
 *
 * @category Pump
 */
export interface LineWriter {
  /** Writes what comes before the first line, such as the names of columns. */
  begin?(output: Output): void;
  /** Writes entry `i`. */
  write(output: Output, batch: Batch, i: number): void;
}

/**
 * How {@linkcode linesTo} delivers.
 *
 * @category Pump
 */
export interface LinesOptions {
  /**
   * What to do when the reader is too slow and {@linkcode LinesOptions.spoolBytes} are waiting for it: `"wait"` pauses reading (the
   * kernel's drops are counted), `"drop"` leaves out samples and counts them. Defaults to `"wait"`.
   */
  policy?: "wait" | "drop" | undefined;
  /** Maximum number of bytes that may wait for the reader. Defaults to 64 MiB. */
  spoolBytes?: number | undefined;
}

/** Writes a line for each entry to a destination. */
export class Lines implements Sink {
  skipped = 0;
  readonly #name: string;
  readonly #writer: LineWriter;
  readonly #spool: Spool;
  readonly #drops: boolean;

  /** For {@linkcode linesTo}. */
  constructor(destination: Destination, writer: LineWriter, options: LinesOptions = {}) {
    this.#name = destination.name;
    this.#writer = writer;
    this.#spool = new Spool(destination, options.spoolBytes ?? SPOOL_BYTES);
    this.#drops = options.policy === "drop";
    writer.begin?.(this.#spool.output);
  }

  get name(): string {
    return this.#name;
  }
  get written(): number {
    return this.#spool.written;
  }
  get ended(): Promise<unknown> {
    return this.#spool.ended;
  }
  get isWaiting(): boolean {
    return this.#spool.isWaiting;
  }

  take(batch: Batch): void {
    const spool = this.#spool;
    if (this.#drops && spool.isFull) {
      this.skipped += batch.samples;
      return;
    }
    const { entries, count } = batch;
    const writer = this.#writer;
    for (let i = 0; i < count; i++) {
      writer.write(spool.output, batch, i);
      spool.entered(entries[i]!.type === "sample" ? 1 : 0);
    }
    spool.settle(batch.more);
  }

  full(): Promise<void> | undefined {
    return this.#drops ? undefined : this.#spool.full();
  }

  flush(): Promise<void> {
    return this.#spool.flush();
  }

  close(): Promise<void> {
    return this.#spool.close();
  }

  abort(): void {
    this.#spool.abort();
  }
}
