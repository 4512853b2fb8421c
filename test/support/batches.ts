/** Batches without a socket. */
import type { Device } from "../../src/link/device.ts";
import { Ledger } from "../../src/receive/ledger.ts";
import { type Batch, BatchBuffer, type EntryView } from "../../src/stream/batch.ts";
import type { Source } from "../../src/stream/source.ts";
import type { ListenStats } from "../../src/stream/stats.ts";

/** What is known besides the entries. */
export interface BatchesOptions {
  /** Whether they come from a recording. Defaults to false. */
  readonly recorded?: boolean;
  /** How many messages the socket drops before each batch. Defaults to none. */
  readonly dropped?: number;
  /** The devices. Defaults to none. */
  readonly devices?: (ifindex: number) => Device | undefined;
  /** What reading fails with after the last batch. Defaults to the end. */
  readonly failure?: unknown;
}

/** A source of given batches, with the statistics that a listener would keep. */
export class BatchesSource implements Source {
  readonly #batches: (readonly EntryView[])[];
  readonly #options: BatchesOptions;
  readonly #ledger = new Ledger();
  readonly #batch = new BatchBuffer();
  #drops = 0;
  #over = false;

  constructor(batches: readonly (readonly EntryView[])[], options: BatchesOptions = {}) {
    this.#batches = [...batches];
    this.#options = options;
    this.#batch.recorded = options.recorded ?? false;
    this.#batch.devices = { find: (ifindex) => options.devices?.(ifindex) };
  }

  read(): Batch | undefined | Promise<Batch | undefined> {
    const entries = this.#over ? undefined : this.#batches.shift();
    const { failure, dropped = 0 } = this.#options;
    if (!entries) return failure === undefined ? undefined : Promise.reject(failure);
    const batch = this.#batch;
    batch.clear();
    batch.readAtNs = 1_700_000_000_000_000_000n;
    batch.dropped = dropped;
    this.#ledger.drops(this.#drops += dropped);
    for (const entry of entries) {
      if (entry.type === "sample") {
        batch.add(entry, this.#ledger.sample(entry));
      } else {
        batch.add(entry);
        this.#ledger.event(entry);
      }
      batch.recordedAt(1_700_000_000, 0);
    }
    return batch;
  }

  end(): void {
    this.#over = true;
  }

  close(): Promise<void> {
    this.#over = true;
    return Promise.resolve();
  }

  stats(): ListenStats {
    return this.#ledger.stats(0);
  }
}
