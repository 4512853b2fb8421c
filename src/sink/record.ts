/** A sink that records into files: one, or one after the other. */
import type { Ending, Recorder } from "../format/recorder.ts";
import type { Batch } from "../stream/batch.ts";
import { nowNs } from "../stream/clock.ts";
import type { Closing, Sink } from "../stream/sink.ts";
import type { Destination } from "./destination.ts";
import { Spool, SPOOL_BYTES } from "./spool.ts";

/**
 * When a recording continues in a new file.
 *
 * @category Recordings
 */
export interface Rotation {
  /** Maximum size of a file in bytes; only its first packet may exceed it. Defaults to no limit. */
  readonly bytes?: number | undefined;
  /**
   * A new file begins with the first packet after this many milliseconds: by this machine's monotonic clock while receiving, by the
   * packets' times when rewriting a recording. Defaults to no limit.
   */
  readonly periodMs?: number | undefined;
}

/**
 * How a {@linkcode Recording} delivers.
 *
 * @category Recordings
 */
export interface RecordingOptions {
  /** When it continues in a new file. Defaults to never. */
  rotation?: Rotation | undefined;
  /**
   * What to do if more than {@linkcode RecordingOptions.spoolBytes} are waiting, which only the reader of a pipe can cause: `"wait"` pauses
   * reading, `"drop"` leaves out samples and counts them. Defaults to `"wait"`.
   */
  policy?: "wait" | "drop" | undefined;
  /** Maximum number of bytes that may wait. Defaults to 64 MiB. */
  spoolBytes?: number | undefined;
}

/**
 * A sink that records.
 *
 * @category Recordings
 */
export interface RecordingSink extends Sink {
  /**
   * Ends the current file and continues in a new one of the same name: for files that something else, such as logrotate, has moved away. If
   * that fails, the current file continues.
   *
   * @throws {ArgumentError} if the file has not been moved away: it would be emptied.
   * @throws {SystemError} if the file cannot be written.
   */
  reopen(): void;
}

/** One file of a recording. */
interface File {
  readonly spool: Spool;
  /** Number of entries. */
  entries: number;
  /** When it was begun: by the wall clock, by the monotonic clock, and by the time of its first sample. */
  readonly startNs: bigint;
  readonly startMs: number;
  firstNs: bigint | undefined;
}

/** Records samples in one format. The start of a file is written at once, so that one that is cut off early can be read. */
export class Recording implements RecordingSink {
  skipped = 0;
  readonly name: string;
  readonly ended: Promise<unknown>;
  readonly #recorder: Recorder;
  readonly #next: () => Destination;
  readonly #options: RecordingOptions;
  #end!: (error: unknown) => void;
  #file: File;
  /** Files that are ended, and still being delivered. */
  readonly #endedFiles = new Set<Spool>();
  #writtenBefore = 0;
  #bytesBefore = 0;
  #recorded = false;
  #over = false;

  /** Records with `recorder` into what `next` opens: the first file at once, another at each rotation. */
  constructor(recorder: Recorder, next: () => Destination, options: RecordingOptions = {}) {
    this.#recorder = recorder;
    this.#next = next;
    this.#options = options;
    this.ended = new Promise((resolve) => this.#end = resolve);
    const first = next();
    this.name = first.name;
    this.#file = this.#begin(first);
  }

  get written(): number {
    let written = this.#writtenBefore + this.#file.spool.written;
    for (const spool of this.#endedFiles) written += spool.written;
    return written;
  }

  get isWaiting(): boolean {
    return this.#file.spool.isWaiting || [...this.#endedFiles].some((spool) => spool.isWaiting);
  }

  /** Total size of all files, in bytes. */
  get bytes(): number {
    return this.#bytesBefore + this.#file.spool.length;
  }

  take(batch: Batch): void {
    if (this.#over) return;
    this.#recorded = batch.recorded;
    const recorder = this.#recorder;
    recorder.enter(batch);
    const { rotation, policy } = this.#options;
    if (policy === "drop" && this.#file.spool.isFull) {
      this.skipped += batch.samples;
      return;
    }
    const { entries, count } = batch;
    for (let i = 0; i < count; i++) {
      if (rotation && this.#isFull(rotation, batch, i)) this.#rotate(batch.readAtNs);
      const file = this.#file;
      // Only rewritten recordings are split by the times of their samples.
      if (rotation?.periodMs !== undefined && batch.recorded && entries[i]!.type === "sample" && batch.hasTime(i)) {
        file.firstNs ??= batch.timeNs(i);
      }
      recorder.write(file.spool.output, batch, i);
      file.entries++;
      file.spool.entered(entries[i]!.type === "sample" ? 1 : 0);
    }
    this.#file.spool.settle(batch.more);
  }

  full(): Promise<void> | undefined {
    return this.#options.policy === "drop" ? undefined : this.#file.spool.full();
  }

  reopen(): void {
    if (this.#over) return;
    // Opened before anything else: if that fails, the current file continues.
    const file = this.#next();
    this.#rotate(nowNs(), () => file);
  }

  async flush(): Promise<void> {
    for (const spool of this.#endedFiles) await spool.flush();
    await this.#file.spool.flush();
  }

  async close({ stats, period }: Closing): Promise<void> {
    if (this.#over) return;
    this.#over = true;
    const { spool, startNs } = this.#file;
    this.#recorder.end(spool.output, { stats, period: this.#recorded ? undefined : period && { startNs, endNs: period.endNs } });
    await Promise.all([...this.#endedFiles, spool].map((each) => each.close()));
  }

  abort(): void {
    this.#over = true;
    for (const spool of [...this.#endedFiles, this.#file.spool]) spool.abort();
  }

  #begin(destination: Destination): File {
    const spool = new Spool(destination, this.#options.spoolBytes ?? SPOOL_BYTES);
    spool.ended.then((error) => this.#end(error));
    this.#recorder.begin(spool.output);
    spool.settle(false);
    return { spool, entries: 0, startNs: nowNs(), startMs: performance.now(), firstNs: undefined };
  }

  #rotate(endNs: bigint, next = this.#next): void {
    const { spool, startNs } = this.#file;
    const ending: Ending = this.#recorded ? {} : { period: { startNs, endNs } };
    this.#recorder.end(spool.output, ending);
    // Files take everything at once, so this is nearly always done now; a failure is reported by `ended`.
    this.#bytesBefore += spool.length;
    const delivered = spool.close().catch(() => {});
    this.#file = this.#begin(next());
    this.#endedFiles.add(spool);
    delivered.finally(() => {
      this.#endedFiles.delete(spool);
      this.#writtenBefore += spool.written;
    });
  }

  #isFull({ bytes, periodMs }: Rotation, batch: Batch, i: number): boolean {
    const file = this.#file;
    const entry = batch.entries[i]!;
    if (bytes !== undefined && file.entries > 0 && file.spool.length + this.#recorder.mostBytes(entry) > bytes) return true;
    if (periodMs === undefined) return false;
    // Clocks may be changed while samples are received: two hours back must not mean two hours without a new file.
    if (!batch.recorded) return file.entries > 0 && performance.now() - file.startMs >= periodMs;
    if (entry.type !== "sample" || file.firstNs === undefined || !batch.hasTime(i)) return false;
    const apartNs = batch.timeNs(i) - file.firstNs;
    // Far before the first one counts as well: a single time from the future must not be the last rotation.
    return (apartNs < 0n ? -apartNs : apartNs) >= BigInt(Math.round(periodMs * 1e6));
  }
}
