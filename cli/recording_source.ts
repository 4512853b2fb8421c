/** A recording as a source of batches. */
import type { Device } from "../mod.ts";
import { RecordDecoder } from "../src/format/netlink_record.ts";
import { PcapReader } from "../src/format/pcap.ts";
import { Ledger } from "../src/receive/ledger.ts";
import { type Batch, BatchBuffer } from "../src/stream/batch.ts";
import type { Source } from "../src/stream/source.ts";
import type { ListenStats } from "../src/stream/stats.ts";
import { LITTLE } from "../src/wire/native.ts";
import { UsageError } from "./options.ts";

/** How to read a recording. */
export interface RecordingSourceOptions {
  /** The number of the psample family, if the file does not tell. */
  readonly familyId: number | undefined;
  /** Whether it is recorded again. */
  readonly rewrites: boolean;
  /** Called with how many bytes have been read so far. */
  readonly onProgress: (bytes: number) => void;
  /** Called when no more comes. */
  readonly onEnd: () => void;
}

/** Reads a recording chunk by chunk. Damage is an error once everything before it was given. */
export class RecordingSource implements Source {
  readonly decoder: RecordDecoder;
  readonly reader = new PcapReader();
  readonly #chunks: AsyncIterator<Uint8Array>;
  readonly #options: RecordingSourceOptions;
  readonly #ledger = new Ledger();
  readonly #batch = new BatchBuffer();
  #first: IteratorResult<Uint8Array> | undefined;
  #bytes = 0;
  #over = false;
  #end = (): void => {};
  readonly #ended: Promise<void>;

  constructor(chunks: AsyncIterable<Uint8Array>, options: RecordingSourceOptions) {
    this.#chunks = chunks[Symbol.asyncIterator]();
    this.#options = options;
    this.decoder = new RecordDecoder({ familyId: options.familyId });
    this.#batch.recorded = true;
    this.#batch.devices = {
      find: (ifindex, nsid): Device | undefined => this.reader.recordedInterface(ifindex, nsid),
    };
    this.#ended = new Promise((resolve) => this.#end = resolve);
  }

  /** Resolves when there is something to read, or nothing will be: a file that cannot be read is an error before anything is written. */
  async begin(): Promise<void> {
    this.#first = await this.#next();
  }

  async read(): Promise<Batch | undefined> {
    try {
      const batch = await this.#read();
      if (!batch) this.#options.onEnd();
      return batch;
    } catch (error) {
      this.#options.onEnd();
      throw error;
    }
  }

  async #read(): Promise<Batch | undefined> {
    while (!this.#over) {
      const next = this.#first ?? await this.#next();
      this.#first = undefined;
      if (!next || this.#over) break;
      if (next.done) {
        this.#over = true;
        this.reader.end();
        this.decoder.end();
        break;
      }
      this.#decode(next.value);
      this.#options.onProgress(this.#bytes += next.value.length);
      if (this.#batch.count > 0) return this.#batch;
    }
    return undefined;
  }

  end(): void {
    this.#over = true;
    this.#end();
  }

  close(): Promise<void> {
    this.end();
    // Whoever waits for a pipe waits on; nobody waits for that.
    this.#chunks.return?.()?.catch(() => {});
    return Promise.resolve();
  }

  stats(): ListenStats {
    return { ...this.#ledger.stats(0), malformed: this.decoder.counts.malformed };
  }

  /** A pipe or a terminal may have nothing for as long as it likes. */
  #next(): Promise<IteratorResult<Uint8Array> | undefined> {
    return Promise.race([this.#chunks.next(), this.#ended]).then((next) => next || undefined);
  }

  #decode(chunk: Uint8Array): void {
    const bytes = chunk.buffer instanceof ArrayBuffer ? chunk as Uint8Array<ArrayBuffer> : new Uint8Array(chunk);
    const batch = this.#batch;
    batch.clear();
    for (const record of this.reader.push(bytes)) {
      if (this.#options.rewrites && record.littleEndian !== LITTLE) {
        throw new UsageError(
          "this recording was made on a machine with the opposite byte order; it can be printed but not rewritten here",
        );
      }
      for (const entry of this.decoder.decode(record)) {
        if (entry.type === "sample") {
          batch.add(entry, this.#ledger.sample(entry));
        } else {
          batch.add(entry);
          this.#ledger.event(entry);
        }
        const { timestampNs = 0n } = record;
        batch.recordedAt(Number(timestampNs / 1_000_000_000n), Number(timestampNs % 1_000_000_000n));
      }
    }
  }
}
