import { type Devices, NO_DEVICES } from "../link/device.ts";
import type { GroupEvent } from "../psample/group.ts";
import type { Sample } from "../psample/sample.ts";
import type { Receiver } from "../socket/receiver.ts";
import { type Batch, type BatchBuffer, Selection } from "../stream/batch.ts";
import { nowNs } from "../stream/clock.ts";
import type { Source } from "../stream/source.ts";
import type { ListenStats } from "../stream/stats.ts";
import type { Sys } from "../sys/sys.ts";
import { Decoder } from "./decoder.ts";
import { FamilyWatch, type Memberships } from "./family_watch.ts";
import { iterate } from "./iterate.ts";
import { Ledger } from "./ledger.ts";
import type { KernelFilter } from "./kernel_filter.ts";
import type { LiveLinks } from "./live_links.ts";

/**
 * What a listener yields: `type` tells the two apart.
 *
 * @category Receiving
 */
export type Entry = Sample | GroupEvent;

/**
 * Samples and group events as they arrive. Made by {@linkcode listen} and {@linkcode replay}.
 *
 * Iterate over it, over {@linkcode Listener.batches} or {@linkcode Listener.lentBatches}, or hand it to `pump`. Iterators share
 * one stream: each entry goes to exactly one of them. Nothing is read until you ask for more: the kernel's buffer fills, and what it
 * drops is counted. Leaving a loop closes the listener.
 *
 * @category Receiving
 */
export interface Listener<Item extends Entry = Entry> extends Source, AsyncIterable<Item>, AsyncDisposable {
  /** Current message type of the psample family; -1 while the kernel does not have it. */
  readonly family: number;
  /** Size of the receive buffer that the kernel granted, in bytes: without the privilege it may be less than requested. */
  readonly receiveBufferBytes: number;
  /** Yields samples and group events one by one. */
  [Symbol.asyncIterator](): AsyncIterator<Item, undefined>;
  /** Yields one non-empty array per read of the socket, in the order of arrival. Faster than one by one. */
  batches(): AsyncIterableIterator<Item[], undefined>;
  /**
   * Yields batches whose samples are lent: they and their bytes are valid only until the next batch is requested, when the objects
   * are reused. Fastest, since nothing is allocated.
   */
  lentBatches(): AsyncIterableIterator<Batch, undefined>;
  /** What was received and lost so far; still available after the end. */
  stats(): ListenStats;
  /** Stops receiving. What the kernel has queued is still yielded; then the iteration ends, or throws `reason` if one is given. */
  end(reason?: unknown): void;
  /** Closes the socket at once: what is queued is discarded and a waiting iteration ends. Idempotent. */
  close(): Promise<void>;
  /** Closes the socket at the end of an `await using` block. */
  [Symbol.asyncDispose](): Promise<void>;
}

/** While the queue never empties, the socket's drops are counted once per this many reads: each count is a system call. */
const READS_PER_COUNT = 8;

/** What a listener needs besides its socket. */
export interface ListenerOptions {
  /** The devices that samples name. Defaults to none. */
  readonly devices?: Devices | undefined;
  /** The same, to be updated with each batch, and closed at the end. */
  readonly links?: LiveLinks | undefined;
  /** Closes the listener when it aborts. */
  readonly signal?: AbortSignal | undefined;
  /** The filter for samples. Defaults to none, which lets all through. */
  readonly filter?: KernelFilter | undefined;
  /** Whether every sample of every group that it receives events about is expected: see {@linkcode Ledger}. Defaults to false. */
  readonly complete?: boolean | undefined;
}

/** Listens on a socket. */
export class SocketListener implements Listener {
  readonly #receiver: Receiver;
  readonly #ledger: Ledger;
  readonly #decoder: Decoder;
  readonly #signal: AbortSignal | undefined;
  readonly #links: LiveLinks | undefined;
  readonly #devices: Devices;
  readonly #filter: KernelFilter | undefined;
  readonly #selection = new Selection();
  /** The consumer has seen that more is queued, and may be holding output back. */
  #hasToldMore = false;
  #watch: FamilyWatch | undefined;
  /** Why the stream ends, if it does so without being asked. */
  #failure: unknown;
  /** What to throw when the stream has ended. */
  #reason: unknown;
  #last: Promise<unknown> = Promise.resolve();
  /** How many wait for {@linkcode #last}. */
  #asking = 0;
  #closed: Promise<void> | undefined;
  /** Closed by the user: what is left over is discarded. */
  #discard = false;
  /** Reads since the socket's drops were counted. */
  #uncounted = 0;
  /** The number of drops when they were last counted. */
  #drops = 0;
  /** Drops and losses reported in batches so far. */
  #dropsTold = 0;
  #lossesTold = 0;
  /** Whether the result of the last read was passed on. */
  #taken = true;

  /** Reads from `receiver`, and closes it. */
  constructor(receiver: Receiver, { devices, links, signal, filter, complete = false }: ListenerOptions = {}) {
    this.#receiver = receiver;
    this.#signal = signal;
    this.#ledger = new Ledger({
      complete: complete && !filter?.leavesOut,
      filtered: filter?.leavesGaps,
      readDrops: () => receiver.drops(),
    });
    this.#decoder = new Decoder(this.#ledger, (message) => this.#watch?.hear(message));
    this.#links = links;
    this.#filter = filter;
    this.#devices = devices ?? links ?? NO_DEVICES;
    this.#decoder.batch.devices = this.#devices;
    signal?.addEventListener("abort", this.#abort, { once: true });
  }

  /** Expects messages with this family number, from any sender. */
  expect(family: number): void {
    this.#decoder.family = family;
  }

  /**
   * Joins the psample family's groups, and stays in them. Resolves when it has joined, or when this is closed. `onFamily` is called when the
   * family has gone after that, and when it is back.
   */
  async join(sys: Sys, memberships: Memberships, onFamily?: (isThere: boolean) => void): Promise<void> {
    let isGone = false;
    this.#watch = new FamilyWatch(sys, this.#receiver, memberships, {
      gone: () => {
        this.expect(-1);
        this.#ledger.unloaded();
        isGone = true;
        if (memberships.wait) onFamily?.(false);
      },
      there: (family) => {
        this.expect(family);
        if (isGone) onFamily?.(true);
        isGone = false;
      },
      failed: (error) => {
        this.#failure = error;
        void this.#receiver.close();
      },
    });
    await this.#watch.start();
    while (this.family < 0 && !this.#closed) await this.#read(false);
    if (this.#failure !== undefined) throw this.#failure;
  }

  get family(): number {
    return this.#decoder.family;
  }

  get receiveBufferBytes(): number {
    return this.#receiver.receiveBufferBytes;
  }

  get unread(): boolean {
    return this.#receiver.unread;
  }

  stats(): ListenStats {
    this.#countDrops();
    return this.#ledger.stats(this.#receiver.receiveBufferBytes);
  }

  read(): Batch | undefined | Promise<Batch | undefined> {
    return this.#next(true, this.#lent);
  }

  lentBatches(): AsyncIterableIterator<Batch, undefined> {
    return iterate(() => this.read(), () => this.close());
  }

  batches(): AsyncIterableIterator<Entry[], undefined> {
    return iterate(() => this.#next(false, this.#given), () => this.close());
  }

  [Symbol.asyncIterator](): AsyncIterator<Entry, undefined> {
    let batch: Entry[] = [];
    let at = 0;
    // Requests made while another one waits queue behind it: each takes from the batch in turn.
    let asking = 0;
    let last: Promise<unknown> = Promise.resolve();
    const next = async (before: Promise<unknown>): Promise<IteratorResult<Entry, undefined>> => {
      asking++;
      try {
        await before.catch(() => {});
        if (at === batch.length || this.#discard) {
          const more = await this.#next(false, this.#given);
          if (!more) return { done: true, value: undefined };
          batch = more;
          at = 0;
        }
        return { done: false, value: batch[at++]! };
      } finally {
        asking--;
      }
    };
    return {
      // Written by hand: an async generator costs more than decoding the sample.
      next: () => {
        if (asking === 0 && at < batch.length && !this.#discard) return Promise.resolve({ done: false, value: batch[at++]! });
        const turn = next(last);
        last = turn;
        return turn;
      },
      return: async () => {
        await this.close();
        return { done: true, value: undefined };
      },
    };
  }

  end(reason?: unknown): void {
    this.#reason = reason;
    this.#receiver.end();
  }

  close(): Promise<void> {
    this.#discard = true;
    return this.#close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  readonly #abort = (): void => void this.close();

  #close(): Promise<void> {
    if (!this.#closed) {
      this.#countDrops();
      this.#signal?.removeEventListener("abort", this.#abort);
      this.#watch?.close();
      this.#filter?.close();
      this.#links?.close();
      this.#closed = this.#receiver.close();
    }
    return this.#closed;
  }

  /**
   * The next result of `take` after a read; one request at a time, in the order of asking. Not a promise if there is nothing to wait for:
   * while a queue is long, promises would cost more than receiving.
   */
  #next<Taken>(lend: boolean, take: () => Taken | undefined): Taken | undefined | Promise<Taken | undefined> {
    if (this.#asking === 0 && !this.#closed && this.#failure === undefined && !this.#watch?.due) {
      const taken = take() ?? this.#readNow(lend, take);
      if (taken) return taken;
    }
    this.#asking++;
    const next = this.#last.then(() => this.#pull(lend, take)).finally(() => this.#asking--);
    this.#last = next.catch(() => {});
    return next;
  }

  #readNow<Taken>(lend: boolean, take: () => Taken | undefined): Taken | undefined {
    this.#begin(lend);
    try {
      if (this.#receiver.readNow(this.#decoder, lend)) this.#afterRead();
    } catch (error) {
      this.#failure = error;
    }
    return take();
  }

  async #pull<Taken>(lend: boolean, take: () => Taken | undefined): Promise<Taken | undefined> {
    for (;;) {
      if (this.#discard) {
        await this.#closed;
        return undefined;
      }
      const taken = take();
      if (taken) return taken;
      if (this.#failure !== undefined) {
        const failure = this.#failure;
        this.#failure = undefined;
        await this.#close();
        throw failure;
      }
      if (this.#closed) {
        if (this.#reason === undefined) return undefined;
        this.#failure = this.#reason;
        this.#reason = undefined;
        continue;
      }
      try {
        await this.#read(lend);
      } catch (error) {
        this.#failure = error;
      }
    }
  }

  /** Waits for the next data; but first checks whether the family is there, if that is in doubt. */
  async #read(lend: boolean): Promise<void> {
    if (this.#watch?.due) return await this.#watch.check();
    this.#filter?.keepUp(() => this.#asking > 0, (error) => {
      this.#failure = error;
      void this.#receiver.close();
    });
    this.#begin(lend);
    if (await this.#receiver.read(this.#decoder, lend)) this.#afterRead();
    else void this.#close();
  }

  #begin(lend: boolean): void {
    this.#ledger.begin();
    this.#decoder.begin(lend);
    if (lend) this.#taken = false;
  }

  /** The batch that the last read filled, once. */
  readonly #lent = (): Batch | undefined => {
    const { batch } = this.#decoder;
    if (this.#taken || batch.count === 0) return undefined;
    this.#taken = true;
    this.#links?.begin();
    batch.more = this.#receiver.full;
    batch.readAtNs = nowNs();
    const chosen = this.#filter ? this.#chosen(this.#filter, batch) : batch;
    if (!chosen) return undefined;
    const { lost, dropped } = this.#ledger;
    batch.lost = lost - this.#lossesTold;
    batch.dropped = dropped - this.#dropsTold;
    this.#lossesTold = lost;
    this.#dropsTold = dropped;
    this.#hasToldMore = batch.more;
    return chosen;
  };

  /** What the filter lets through; `undefined` if that is nothing, unless the consumer is holding output back for more. */
  #chosen(filter: KernelFilter, batch: BatchBuffer): Batch | undefined {
    const selection = this.#selection;
    selection.from(batch);
    filter.select(batch, (i) => selection.pick(i));
    selection.finish();
    return selection.count > 0 || (this.#hasToldMore && !batch.more) ? selection : undefined;
  }

  /** The entries that the last read decoded, once. */
  readonly #given = (): Entry[] | undefined => {
    const { given } = this.#decoder;
    if (given.length === 0) return undefined;
    this.#decoder.given = [];
    const filter = this.#filter;
    if (!filter) return given;
    this.#links?.begin();
    const chosen = given.filter((entry) => entry.type !== "sample" || filter.matches(entry, this.#devices));
    return chosen.length > 0 ? chosen : undefined;
  };

  #afterRead(): void {
    if (!this.#receiver.full || ++this.#uncounted === READS_PER_COUNT) this.#countDrops();
  }

  #countDrops(): void {
    this.#uncounted = 0;
    this.#ledger.drops(this.#receiver.drops());
    if (this.#ledger.dropped === this.#drops) return;
    this.#drops = this.#ledger.dropped;
    this.#watch?.doubt();
  }
}
