/**
 * Receiving samples: options, the psample family's coming and going, and the two ways to iterate.
 *
 * @module
 */
import { ArgumentError, DecodeError, NetlinkError } from "../errors.ts";
import { findFamily, NO_FAMILY_HINT } from "../socket/family.ts";
import {
  CTRL_CMD_DELFAMILY,
  CTRL_CMD_NEWFAMILY,
  decodeFamily,
  type Family,
  GENL_GROUP_NOTIFY,
  GENL_HDRLEN,
  GENL_ID_CTRL,
} from "../genl/ctrl.ts";
import type { ListenStats } from "../stream/stats.ts";
import { Ledger } from "./ledger.ts";
import { Requests } from "../socket/requests.ts";
import {
  PSAMPLE_CMD_DEL_GROUP,
  PSAMPLE_CMD_NEW_GROUP,
  PSAMPLE_CMD_SAMPLE,
  PSAMPLE_GENL_NAME,
  PSAMPLE_NL_MCGRP_CONFIG_NAME,
  PSAMPLE_NL_MCGRP_SAMPLE_NAME,
} from "../psample/constants.ts";
import { decodeMessage, type GroupEvent } from "../psample/group.ts";
import { encodeGroupFilter } from "../filter/group_filter.ts";
import { type DecodeOptions, decodeSampleAt, Sample } from "../psample/sample.ts";
import { RECEIVE_BUFFER_BYTES, Receiver } from "../socket/receiver.ts";
import { loadSys } from "../sys/load.ts";
import { ENODEV, ENOENT, EPERM, NETLINK_GENERIC, type Sys } from "../sys/sys.ts";
import { MessageReader, NLMSG_HDRLEN, splitMessages } from "../wire/message.ts";
import { LITTLE } from "../wire/native.ts";

/** What a listener yields: `type` tells the two apart. */
export type Entry = Sample | GroupEvent;

/** How to {@linkcode listen}. */
export interface ListenOptions {
  /** Only these psample groups, filtered in the kernel; all unless given. */
  groups?: readonly number[] | undefined;
  /** Receive samples; true unless given. Takes CAP_NET_ADMIN. */
  samples?: boolean | undefined;
  /** Receive events about groups that are made and removed; true unless given. Takes no privilege. */
  events?: boolean | undefined;
  /**
   * How much the kernel may queue for this listener, in bytes; 32 MiB unless given. Memory is taken only for
   * what waits to be read. {@linkcode Listener.receiveBufferBytes} says what was granted.
   */
  receiveBufferBytes?: number | undefined;
  /** Wait for the psample family where the kernel does not have it, also when it goes and comes back; otherwise that is an error. */
  wait?: boolean | undefined;
  /** Receive from all network namespaces that have an nsid in this one. Takes CAP_NET_BROADCAST. */
  allNamespaces?: boolean | undefined;
  /**
   * `"batch"`, the default: while samples keep coming look for more every millisecond, or every 10 where they are few, which is cheapest.
   * `"low"`: wake up for each as soon as it is there.
   */
  latency?: "batch" | "low" | undefined;
  /** Closes the listener when it aborts: an iteration then ends as if there were no more. */
  signal?: AbortSignal | undefined;
}

/** How to take {@linkcode Listener.batches}. */
export interface BatchesOptions {
  /**
   * Lend the samples instead of giving them away: they and their bytes hold until the next batch is asked for, and
   * are then written to again. Nothing is allocated and nothing is copied that way, so it is the fastest; keep what
   * you read from a sample, not the sample. Group events are not lent.
   */
  lend?: boolean | undefined;
}

const NO_RIGHT_HINT = "Receiving samples takes CAP_NET_ADMIN in the user namespace that owns this network namespace, since Linux 6.7 and " +
  "the stable kernels of December 2023 (4.14.333, 4.19.302, 5.4.264, 5.10.204, 5.15.143, 6.1.68, 6.6.7): run it as root. Group events take no privilege";

/**
 * Starts to receive samples and group events. It resolves when the socket has joined: nothing that comes later is
 * missed unnoticed.
 *
 * @throws {NetlinkError} `ENOENT` where the kernel has no psample family, `EPERM` without the privilege.
 */
export async function listen(options: ListenOptions = {}): Promise<Listener> {
  return await listenWith(await loadSys(), options);
}

/** {@linkcode listen} on a given seam. */
export async function listenWith(sys: Sys, options: ListenOptions = {}): Promise<Listener> {
  const { samples = true, events = true, receiveBufferBytes = RECEIVE_BUFFER_BYTES, groups, signal } = options;
  if (!samples && !events) throw new ArgumentError("Cannot listen to nothing: one of samples and events must be on");
  if (!Number.isInteger(receiveBufferBytes) || receiveBufferBytes < 1 || receiveBufferBytes > 0x3fffffff) {
    throw new ArgumentError(`Cannot set a receive buffer of ${receiveBufferBytes} bytes: expected a whole number from 1 to 1073741823`);
  }
  // Before the socket: a wrong group is the caller's mistake, whatever the kernel can do.
  const filter = groups && encodeGroupFilter(groups);
  signal?.throwIfAborted();
  const { allNamespaces, latency } = options;
  const receiver = await Receiver.open(sys, NETLINK_GENERIC, { receiveBufferBytes, allNamespaces, lowLatency: latency === "low" });
  const lookUp = async (): Promise<Family | undefined> => {
    const requests = new Requests(sys, NETLINK_GENERIC);
    return await findFamily(requests, PSAMPLE_GENL_NAME).finally(() => requests.close());
  };
  const listener = new Listener(receiver, { ...options, samples, events, findFamily: lookUp });
  try {
    signal?.throwIfAborted();
    // Filter first, so that no foreign sample ever gets in; the controller's news before the look-up, so that none is missed.
    if (filter) receiver.filter(filter);
    receiver.join(GENL_GROUP_NOTIFY, "notify of nlctrl");
    const family = await lookUp();
    if (!family && !options.wait) throw new NetlinkError("receive samples", ENOENT, { hint: `${NO_FAMILY_HINT}, or wait for it` });
    await listener.join(family);
    signal?.throwIfAborted();
    return listener;
  } catch (error) {
    await listener.close();
    signal?.throwIfAborted();
    throw error;
  }
}

/** What {@linkcode Listener} needs to know of {@linkcode ListenOptions}. */
export interface ListenerOptions {
  /** Join the group of the samples. */
  samples: boolean;
  /** Join the group of the group events. */
  events: boolean;
  /** Outlive the psample family. */
  wait?: boolean | undefined;
  /** Closes the listener when it aborts. */
  signal?: AbortSignal | undefined;
  /** Looks the psample family up; where it is missing, only the controller's news tell that it came or went. */
  findFamily?: (() => Promise<Family | undefined>) | undefined;
}

/** While the queue never empties, how often the socket's drops are counted: a system call each time. */
const READS_PER_COUNT = 8;

/** What a process or a machine can be short of for a while. */
const SHORTAGES: ReadonlySet<string> = new Set(["EMFILE", "ENFILE", "ENOBUFS", "ENOMEM"]);

/** While messages are being dropped, how often to look whether the psample family is still there. */
const CHECK_MS = 1000;

/**
 * Samples and group events as they come, made by {@linkcode listen}.
 *
 * Iterate over it, or over {@linkcode Listener.batches}; what one iteration takes another does not see. While
 * nobody asks for more, nothing is read: the kernel's buffer fills, and what it drops is counted. Leaving the
 * loop closes it.
 */
export class Listener implements AsyncIterable<Entry>, AsyncDisposable {
  readonly #receiver: Receiver;
  readonly #options: ListenerOptions;
  readonly #ledger = new Ledger();
  readonly #reader = new MessageReader(new DataView(new ArrayBuffer(0)));
  /** Message type of the psample family; -1 while the kernel has none. */
  #family: number;
  /** What the drain under way has brought so far. */
  #batch: Entry[] = [];
  /** Samples to be filled again and again, and how many of them are lent now. */
  readonly #lent: Sample[] = [];
  #lentCount = 0;
  /** {@linkcode #lent} while what is read is lent. */
  #pool: Sample[] | undefined;
  /** Why the stream ends, where it does by itself. */
  #failure: unknown;
  /** What to throw when the stream has ended. */
  #reason: unknown;
  #last: Promise<unknown> = Promise.resolve();
  /** How many wait for {@linkcode #last}. */
  #asking = 0;
  #closed: Promise<void> | undefined;
  /** Closed by who uses this: nothing that is left over is wanted. */
  #discard = false;
  #decodeOptions: DecodeOptions | undefined;
  /** Messages were dropped since the psample family was last known to be there. */
  #unsure = false;
  #checkedAt = -Infinity;
  /** Reads since the socket's drops were counted. */
  #uncounted = 0;

  /** For {@linkcode listen}: reads messages of type `family` from `receiver`. */
  constructor(receiver: Receiver, options: ListenerOptions, family = -1) {
    this.#receiver = receiver;
    this.#options = options;
    this.#family = family;
    options.signal?.addEventListener("abort", this.#abort, { once: true });
  }

  /** Message type of the psample family in this boot of this kernel; -1 while the kernel does not have it. */
  get family(): number {
    return this.#family;
  }

  /** The size of the receive buffer that the kernel granted, in bytes. Less than asked for where the privilege is missing. */
  get receiveBufferBytes(): number {
    return this.#receiver.receiveBufferBytes;
  }

  /** True where what was yielded last left something in the kernel's queue: then more is there at once. Who gathers output writes it when this is false. */
  get more(): boolean {
    return this.#receiver.full;
  }

  /** What was received and lost so far; still there when the listener is closed. */
  stats(): ListenStats {
    this.#countDrops();
    return this.#ledger.stats(this.#receiver.receiveBufferBytes);
  }

  /** Each sample and group event by itself. */
  [Symbol.asyncIterator](): AsyncIterator<Entry, undefined> {
    let batch: Entry[] = [];
    let at = 0;
    // Who asks for more before the last one got something queues behind it: each takes from the batch in turn.
    let asking = 0;
    let last: Promise<unknown> = Promise.resolve();
    const next = async (before: Promise<unknown>): Promise<IteratorResult<Entry, undefined>> => {
      asking++;
      try {
        await before.catch(() => {});
        if (at === batch.length || this.#discard) {
          const more = await this.#next(false);
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
      // By hand: an async generator costs more than decoding the sample.
      next: () => {
        if (asking === 0 && !this.#discard) {
          if (at === batch.length) {
            batch = this.#nextNow(false) ?? [];
            at = 0;
          }
          if (at < batch.length) return Promise.resolve({ done: false, value: batch[at++]! });
        }
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

  /** What each drain of the socket brought, in the order of arrival and never empty: the fast way. */
  batches(options: BatchesOptions = {}): AsyncIterableIterator<Entry[], undefined> {
    const { lend = false } = options;
    return {
      [Symbol.asyncIterator](): AsyncIterableIterator<Entry[], undefined> {
        return this;
      },
      next: () => {
        const value = this.#nextNow(lend);
        if (value) return Promise.resolve({ done: false, value });
        return this.#next(lend).then((value) => value ? { done: false, value } : { done: true, value: undefined });
      },
      return: async () => {
        await this.close();
        return { done: true, value: undefined };
      },
    };
  }

  /**
   * Stops receiving: what the kernel has queued already is still yielded, then the iteration ends; by throwing
   * `reason`, where one is given.
   */
  end(reason?: unknown): void {
    this.#reason = reason;
    this.#receiver.end();
  }

  /** Closes the socket, at once: what is queued is discarded and a waiting iteration ends. Closing again does nothing. */
  close(): Promise<void> {
    this.#discard = true;
    return this.#close();
  }

  #close(): Promise<void> {
    if (!this.#closed) {
      this.#countDrops();
      this.#options.signal?.removeEventListener("abort", this.#abort);
      this.#closed = this.#receiver.close();
    }
    return this.#closed;
  }

  /** Closes the socket at the end of an `await using` block. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /** For {@linkcode listen}: joins the family's groups, and waits for the family where there is none. */
  async join(family: Family | undefined): Promise<void> {
    if (family) this.#join(family);
    while (this.#family < 0 && !this.#closed) {
      if (!await this.#receiver.read(this.#sink)) return;
      if (this.#failure) throw this.#failure;
    }
  }

  /** One at a time, in the order of asking. */
  #next(lend: boolean): Promise<Entry[] | undefined> {
    this.#asking++;
    const next = this.#last.then(() => this.#pull(lend)).finally(() => this.#asking--);
    this.#last = next.catch(() => {});
    return next;
  }

  /** {@linkcode Listener.#next} where there is nothing to wait for: while a queue is long, promises would cost more than receiving. */
  #nextNow(lend: boolean): Entry[] | undefined {
    if (this.#asking > 0 || this.#closed || this.#failure !== undefined || this.#unsure || this.#batch.length > 0) return undefined;
    this.#reuse(lend);
    try {
      if (this.#receiver.readNow(this.#sink, lend)) this.#afterRead();
    } catch (error) {
      this.#failure = error;
    }
    return this.#takeBatch();
  }

  async #pull(lend: boolean): Promise<Entry[] | undefined> {
    for (;;) {
      if (this.#discard) {
        await this.#closed;
        return undefined;
      }
      const batch = this.#takeBatch();
      if (batch) return batch;
      this.#reuse(lend);
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
        if (this.#unsure && (this.#receiver.idle || performance.now() - this.#checkedAt > CHECK_MS)) await this.#checkFamily();
        if (await this.#receiver.read(this.#sink, lend)) this.#afterRead();
        else void this.#close();
      } catch (error) {
        this.#failure = error;
      }
    }
  }

  #takeBatch(): Entry[] | undefined {
    const batch = this.#batch;
    if (batch.length === 0) return undefined;
    this.#batch = [];
    return batch;
  }

  /** Makes what was lent ready for the next read. */
  #reuse(lend: boolean): void {
    this.#pool = lend ? this.#lent : undefined;
    this.#lentCount = 0;
  }

  #afterRead(): void {
    if (!this.#receiver.full || ++this.#uncounted === READS_PER_COUNT) this.#countDrops();
  }

  #countDrops(): void {
    this.#uncounted = 0;
    if (this.#ledger.drops(this.#receiver.drops())) this.#unsure = true;
  }

  /** The kernel has the psample family no more. */
  #gone(): void {
    this.#family = -1;
    if (this.#options.wait) return;
    const hint =
      "The kernel removed the psample family: its module was unloaded. With the option wait the listener goes on when it is back";
    this.#failure = new NetlinkError("receive samples", ENODEV, { hint });
  }

  /** News of the controller may be among what was dropped: ask, where otherwise it would be waited for in vain. */
  async #checkFamily(): Promise<void> {
    this.#unsure = false;
    this.#checkedAt = performance.now();
    const { findFamily } = this.#options;
    if (!findFamily) return;
    let family: Family | undefined;
    try {
      family = await findFamily();
    } catch (error) {
      // Nothing is wrong with what is received: asked again later.
      if (!(error instanceof NetlinkError) || !SHORTAGES.has(error.code)) throw error;
      this.#unsure = true;
      return;
    }
    if (this.#closed || (family?.id ?? -1) === this.#family) return;
    if (this.#family >= 0) this.#gone();
    if (family && this.#failure === undefined) this.#join(family);
  }

  readonly #abort = (): void => void this.close();

  readonly #sink = {
    datagram: (view: DataView, start: number, end: number, nsid: number | undefined): void => {
      try {
        // What nearly every datagram is needs no cursor.
        if (this.#isSample(view, start, end)) return this.#sample(view, start, end, nsid);
        const reader = this.#reader;
        reader.reset(view, start, end);
        while (reader.next()) this.#message(view, nsid);
      } catch (error) {
        if (!(error instanceof DecodeError)) throw error;
        this.#ledger.malformedMessage(error.message);
      }
    },
    truncated: (bytes: number): void => {
      this.#ledger.malformedMessage(`a datagram of more than ${bytes} bytes`);
    },
  };

  /** True for one whole sample and nothing else. */
  #isSample(view: DataView, start: number, end: number): boolean {
    return end - start >= NLMSG_HDRLEN + GENL_HDRLEN && view.getUint32(start, LITTLE) === end - start &&
      view.getUint16(start + 4, LITTLE) === this.#family && view.getUint8(start + NLMSG_HDRLEN) === PSAMPLE_CMD_SAMPLE;
  }

  #sample(view: DataView, start: number, end: number, nsid: number | undefined): void {
    const sample = decodeSampleAt(view, start, end, this.#blank(), nsid === undefined ? undefined : this.#from(nsid));
    this.#ledger.sample(sample);
    this.#batch.push(sample);
  }

  #message(view: DataView, nsid: number | undefined): void {
    const { type, start, end } = this.#reader;
    if (type === this.#family) {
      const command = end - start < NLMSG_HDRLEN + GENL_HDRLEN ? PSAMPLE_CMD_SAMPLE : view.getUint8(start + NLMSG_HDRLEN);
      if (command === PSAMPLE_CMD_SAMPLE) return this.#sample(view, start, end, nsid);
      if (command === PSAMPLE_CMD_NEW_GROUP || command === PSAMPLE_CMD_DEL_GROUP) {
        // They are few: each gets memory of its own, whatever is lent.
        const bytes = new Uint8Array(view.buffer, view.byteOffset + start, end - start).slice();
        const event = decodeMessage(bytes, { nsid }) as GroupEvent;
        this.#ledger.event(event);
        this.#batch.push(event);
        return;
      }
    } else if (type === GENL_ID_CTRL) {
      // The controller's news of another namespace is the same news again.
      if (nsid === undefined) this.#familyNews(new Uint8Array(view.buffer, view.byteOffset + start, end - start));
      return;
    }
    this.#ledger.unknown++;
  }

  /** A new one, or one that was lent before. */
  #blank(): Sample {
    const pool = this.#pool;
    return pool ? pool[this.#lentCount++] ??= new Sample() : new Sample();
  }

  #from(nsid: number): DecodeOptions {
    if (this.#decodeOptions?.nsid !== nsid) this.#decodeOptions = { nsid };
    return this.#decodeOptions!;
  }

  #familyNews(bytes: Uint8Array): void {
    const [message] = splitMessages(bytes);
    const command = message!.payload[0];
    if (command !== CTRL_CMD_NEWFAMILY && command !== CTRL_CMD_DELFAMILY) return;
    const family = decodeFamily(message!);
    if (family.name !== PSAMPLE_GENL_NAME) return;
    // The news may be older than the answer that the family's number is from.
    if (command === CTRL_CMD_DELFAMILY) {
      if (family.id !== this.#family) return;
      this.#gone();
    } else if (family.id !== this.#family) {
      try {
        this.#join(family);
      } catch (error) {
        this.#failure = error;
      }
    }
  }

  #join(family: Family): void {
    const hint = (errno: number): string | undefined => errno === EPERM ? NO_RIGHT_HINT : undefined;
    const groups = [
      ...(this.#options.events ? [PSAMPLE_NL_MCGRP_CONFIG_NAME] : []),
      ...(this.#options.samples ? [PSAMPLE_NL_MCGRP_SAMPLE_NAME] : []),
    ];
    // Samples that come between the join and here are read later: they find the number set.
    this.#family = family.id;
    for (const name of groups) {
      const group = family.groups.get(name);
      if (group === undefined) {
        throw new NetlinkError(`join the multicast group ${name} of psample`, ENOENT, { hint: "This kernel's psample has no such group" });
      }
      this.#receiver.join(group, `${name} of psample`, hint);
    }
  }
}
