import { DecodeError } from "../errors.ts";
import { CaptureReader } from "../format/capture_reader.ts";
import type { Origin } from "../format/decoded_interface.ts";
import { RecordingDecoder, WANTED_BLOCKS } from "../format/recording_decoder.ts";
import type { RecordingSink, Told } from "../format/recording_sink.ts";
import type { RecordCounts } from "../format/record_counts.ts";
import { type Batch, BatchBuffer, type EntryView } from "../stream/batch.ts";
import { nowNs } from "../stream/clock.ts";
import type { Source } from "../stream/source.ts";
import type { ListenStats } from "../stream/stats.ts";
import { loadSys } from "../sys/load.ts";
import { memory, viewOf } from "../wire/native.ts";
import { printableText } from "../wire/text.ts";
import { iterate } from "./iterate.ts";
import { Ledger } from "./ledger.ts";
import { DescriptorInput, IterableInput, type RecordingInput } from "./recording_input.ts";

/**
 * How a recording is read.
 *
 * @category Recordings
 */
export interface ReadRecordingOptions {
  /** The number of the psample family, if it is known. Defaults to the one found in the recording. */
  familyId?: number | undefined;
  /** How many bytes of messages are kept until the family's number is known. Defaults to 64 MiB. */
  pendingBytes?: number | undefined;
}

/**
 * The samples and group events of a recording, in the order of the file. Made by {@linkcode readRecording}.
 *
 * Hand it to `pump`, or request one batch after the other. Losses are those that the recording shows: what psample recorded with the
 * samples, else the gaps in their numbers. A file written by psample shows no false losses if a filter or another tool left samples out:
 * they are then known not to be lost.
 *
 * @category Recordings
 */
export interface RecordingSource extends Source, AsyncDisposable {
  /** Device and inode of the file; `undefined` if it is a pipe, or not a file at all. */
  readonly identity: string | undefined;
  /** Size of the file in bytes; `undefined` if it is not known. */
  readonly size: number | undefined;
  /** How many of its bytes have been read so far. */
  readonly bytesRead: number;
  /** The counts of its packets so far. */
  readonly counts: Readonly<RecordCounts>;
  /** Yields batches whose samples are lent: they and their bytes are valid only until the next batch is requested. */
  lentBatches(): AsyncIterableIterator<Batch, undefined>;
  /** Closes the file at the end of an `await using` block. */
  [Symbol.asyncDispose](): Promise<void>;
}

/** How much is read at a time. */
const PIECE = 1 << 18;
/** How long reading may block the event loop. */
const TURN_MS = 4;

/**
 * Opens a recording: pcap or pcapng, of packets or of netlink messages, in either byte order. Packets that psample did not record are
 * samples of which only the bytes, the size and the time are known. Waiting for a pipe or a terminal does not block.
 *
 * @example Rewrite a recording, which must not be emptied before it is read
 * ```ts ignore
 * import { pump, readRecording, recordTo } from "@psample/psample";
 *
 * const recording = await readRecording("samples.pcapng");
 * await pump(recording, [], [await recordTo("some.pcapng", { guarded: recording.identity ? [recording.identity] : [] })]);
 * ```
 *
 * @example Count the packets of each device
 * ```ts ignore
 * import { readRecording } from "@psample/psample";
 *
 * const packets = new Map<string, number>();
 * await using source = await readRecording("samples.pcapng");
 * for await (const batch of source.lentBatches()) {
 *   for (let i = 0; i < batch.count; i++) {
 *     const name = batch.device(i)?.name ?? "unknown";
 *     packets.set(name, (packets.get(name) ?? 0) + 1);
 *   }
 * }
 * console.log(packets, source.stats().lost);
 * ```
 *
 * @param input The path of a file or a pipe, or the pieces of a file.
 * @throws {SystemError} if the file cannot be opened.
 * @category Recordings
 */
export async function readRecording(
  input: string | AsyncIterable<Uint8Array>,
  options: ReadRecordingOptions = {},
): Promise<RecordingSource> {
  const from = typeof input === "string" ? DescriptorInput.open(await loadSys(), input) : new IterableInput(input);
  return new RecordingFile(from, options);
}

/** Nothing is available yet; or it is the event loop's turn. */
const WAIT = Symbol("wait");
const TURN = Symbol("turn");

/** A recording that is being read. */
export class RecordingFile implements RecordingSource, RecordingSink {
  readonly #input: RecordingInput;
  readonly #reader;
  readonly #decoder: RecordingDecoder;
  readonly #ledger = new Ledger();
  readonly #batch = new BatchBuffer();
  /** Bytes that were read and are not decoded yet are between two offsets. */
  #bytes = memory(PIECE);
  #view = viewOf(this.#bytes);
  #at = 0;
  #end = 0;
  /** The end was asked for, or reached. */
  #isOver = false;
  /** What to throw once everything before it was passed on. */
  #failure: { readonly error: unknown } | undefined;
  /** When the event loop last had its turn. */
  #turnMs = -Infinity;

  /** Reads `input`, and closes it. */
  constructor(input: RecordingInput, options: ReadRecordingOptions = {}) {
    this.#input = input;
    this.#decoder = new RecordingDecoder(this, options);
    this.#reader = new CaptureReader(this.#decoder, WANTED_BLOCKS);
    this.#batch.recorded = true;
  }

  get identity(): string | undefined {
    return this.#input.identity;
  }

  get size(): number | undefined {
    return this.#input.size;
  }

  get bytesRead(): number {
    return this.#reader.offset;
  }

  get counts(): Readonly<RecordCounts> {
    return this.#decoder.counts;
  }

  stats(): ListenStats {
    const { malformed, otherMessages } = this.#decoder.counts;
    return { ...this.#ledger.stats(0), malformed, lastMalformed: this.#decoder.lastMalformed, unknown: otherMessages };
  }

  read(): Batch | undefined | Promise<Batch | undefined> {
    const read = performance.now() - this.#turnMs < TURN_MS ? this.#readNow() : TURN;
    return read === TURN || read === WAIT ? this.#readLater(read) : read;
  }

  lentBatches(): AsyncIterableIterator<Batch, undefined> {
    return iterate(() => this.read(), () => this.close());
  }

  end(): void {
    this.#isOver = true;
    this.#input.close();
  }

  close(): Promise<void> {
    this.end();
    return Promise.resolve();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #readLater(why: typeof WAIT | typeof TURN): Promise<Batch | undefined> {
    for (;;) {
      await (why === WAIT ? this.#input.wait() : turn());
      this.#turnMs = performance.now();
      const read = this.#readNow();
      if (read !== WAIT && read !== TURN) return read;
      why = read;
    }
  }

  #readNow(): Batch | undefined | typeof WAIT | typeof TURN {
    const batch = this.#batch;
    while (!this.#isOver) {
      if (this.#failure) {
        this.end();
        throw this.#failure.error;
      }
      const { paused } = this.#decoder;
      batch.clear();
      this.#decoder.begin();
      try {
        if (!paused) {
          const size = this.#fill();
          if (size < 0) return WAIT;
          if (size === 0) {
            this.#reader.end(this.#end - this.#at);
            this.#decoder.end();
            this.end();
            return undefined;
          }
        }
        this.#at = this.#reader.read(this.#view, this.#at, this.#end);
      } catch (error) {
        const { name } = this.#input;
        if (error instanceof DecodeError && name !== undefined) error.message = `${printableText(name)}: ${error.message}`;
        this.#failure = { error };
      }
      if (batch.count > 0 || batch.dropped > 0 || batch.lost !== 0) {
        batch.readAtNs = nowNs();
        return batch;
      }
      if (performance.now() - this.#turnMs > TURN_MS) return TURN;
    }
    return undefined;
  }

  /** Reads more after what is left. */
  #fill(): number {
    if (this.#at > 0) {
      this.#bytes.copyWithin(0, this.#at, this.#end);
      this.#end -= this.#at;
      this.#at = 0;
    }
    // A record that is longer than the memory, which grows as bytes arrive: a length alone does not prove that they will.
    if (this.#end === this.#bytes.length) {
      const larger = memory(2 * this.#bytes.length);
      larger.set(this.#bytes);
      this.#bytes = larger;
      this.#view = viewOf(larger);
    }
    const into = this.#bytes.subarray(this.#end);
    const size = this.#input.read(into);
    if (size > 0) this.#end += size;
    this.#batch.more = size === into.length;
    return size;
  }

  /** For the decoder. */
  entry(entry: EntryView, told: Told, seconds: number, nanoseconds: number, { place }: Origin): void {
    const batch = this.#batch;
    if (entry.type !== "sample") {
      this.#ledger.event(entry);
      batch.add(entry);
    } else {
      batch.add(entry, told === "gap" ? this.#ledger.sample(entry) : this.#ledger.told(entry, told));
    }
    batch.recordedAt(seconds, nanoseconds);
    if (place !== undefined) batch.recordedOn(place);
  }

  /** For the decoder. */
  correct(late: number, dropped: number): void {
    this.#batch.lost -= this.#ledger.takeBack(late);
    this.#batch.dropped += dropped;
    this.#ledger.recordedDrops(dropped);
  }
}

/** Lets the event loop have its turn. Browsers have no setImmediate. */
function turn(): Promise<void> {
  return new Promise((resolve) => "setImmediate" in globalThis ? setImmediate(resolve) : setTimeout(resolve));
}
