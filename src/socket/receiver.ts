/**
 * The receiving end of a multicast socket: waits, drains, and passes on each datagram in its own memory. It does not interpret datagrams.
 *
 * @module
 */
import { NetlinkError } from "../errors.ts";
import { NetlinkSocket } from "./netlink_socket.ts";
import { Pace } from "./pace.ts";
import type { Datagrams } from "./datagrams.ts";
import { type Memory, NETLINK_DROP_MEMBERSHIP, SOL_NETLINK, type Sys, type Watch } from "../sys/sys.ts";
import { memory, viewOf } from "../wire/native.ts";

/**
 * Default receive buffer of a listener: 32 MiB hold half a second of samples at 50,000 a second while the process is busy.
 *
 * @category Receiving
 */
export const RECEIVE_BUFFER_BYTES: number = 32 * 1024 * 1024;

/** Datagrams per recvmmsg, at most. */
const BATCH = 128;
/** Datagrams per drain, at most. */
const DRAIN = 1024;
/** While the queue never empties, how long the event loop waits for its turn: yielding to it costs about as much as 30 datagrams. */
const TURN_MS = 4;
/** How long to look for a datagram after the wake-up socket has received its copy. */
const BELL_MS = 1;

/** Takes the datagrams of a drain. */
export interface Sink {
  /** A datagram between two offsets of memory, which the sink may keep unless it is lent; `nsid` if it is from another namespace. */
  datagram(view: DataView, start: number, end: number, nsid: number | undefined): void;
  /** A datagram larger than any that this socket can expect: it is lost. */
  truncated(bytes: number): void;
}

/** How a {@linkcode Receiver} is opened. */
export interface ReceiverOptions {
  /** Maximum number of bytes that the kernel may queue. */
  receiveBufferBytes: number;
  /** Receive from all network namespaces that have an nsid in this one. */
  allNamespaces?: boolean | undefined;
  /** Wake up for each datagram instead of letting them gather for a millisecond. */
  lowLatency?: boolean | undefined;
}

/** Receives from one socket. Reading is pulled: while nobody reads, the kernel queues, and counts what it drops. */
export class Receiver {
  /** The size of the receive buffer that was granted, in bytes. */
  readonly receiveBufferBytes: number;
  /** Called at the end, or when this is closed before. */
  onEnd: (() => void) | undefined;
  readonly #socket: NetlinkSocket;
  /**
   * Wake-up socket. If the runtime reads a datagram in order to wake us, the datagram's namespace is lost: then a second socket with the
   * same memberships, and nearly no buffer, wakes us instead.
   */
  readonly #bell: NetlinkSocket | undefined;
  readonly #batch: Datagrams;
  readonly #lowLatency: boolean;
  readonly #memberships = new Map<number, string>();
  #watch: Watch | undefined;
  /** The last drain stopped before the queue was empty. */
  #full = false;
  /** When the event loop last had its turn, and whether it is due again. */
  #turnedMs = 0;
  #turnDue = false;
  readonly #pace = new Pace();
  /** How long to let datagrams gather before the next drain; 0 to wait for the next one. */
  #tickMs = 0;
  /** The drop counter when it was read last. */
  #drops = 0;
  /** No more is wanted: once the queue is empty this is closed. */
  #ending = false;
  #closed: Promise<void> | undefined;
  #wake: (() => void) | undefined;
  /** The datagram that the runtime read in order to wake us, in its own memory. */
  #first: Memory | undefined;

  private constructor(socket: NetlinkSocket, bell: NetlinkSocket | undefined, options: ReceiverOptions) {
    this.#socket = socket;
    this.#bell = bell;
    this.#lowLatency = options.lowLatency ?? false;
    this.receiveBufferBytes = socket.setReceiveBuffer(options.receiveBufferBytes);
    this.#batch = socket.batch(BATCH, { namespaces: options.allNamespaces });
    // The runtime closes a socket that reports ENOBUFS, and an overflowing one would stay deaf until it is empty.
    for (const one of this.#sockets()) {
      one.keepGoing();
      if (options.allNamespaces) one.listenAllNamespaces();
    }
    bell?.setReceiveBuffer(1);
  }

  /** Opens a socket of a netlink protocol, NETLINK_*. */
  static async open(sys: Sys, protocol: number, options: ReceiverOptions): Promise<Receiver> {
    const opened: NetlinkSocket[] = [];
    try {
      opened.push(new NetlinkSocket(sys, protocol));
      if (options.allNamespaces && sys.readsFirst) opened.push(new NetlinkSocket(sys, protocol));
      const receiver = new Receiver(opened[0]!, opened[1], options);
      const watched = receiver.#bell ?? receiver.#socket;
      receiver.#watch = await sys.watch(watched.fd, (first) => receiver.#ready(first));
      return receiver;
    } catch (error) {
      for (const socket of opened) socket.close();
      throw error;
    }
  }

  /** The port id by which others on this protocol reach the socket. */
  get portId(): number {
    return this.#socket.portId;
  }

  /** Whether the last {@linkcode Receiver.read} left something in the queue. */
  get full(): boolean {
    return this.#full;
  }

  /** Whether the next {@linkcode Receiver.read} will wait until something arrives, however long. */
  get idle(): boolean {
    return !this.#full && this.#tickMs === 0;
  }

  /** Whether the queue has something that was not read yet. */
  get unread(): boolean {
    if (this.#closed) return false;
    try {
      return this.#full || this.#first !== undefined || this.#socket.queuedBytes() > 0;
    } catch (error) {
      // Of a socket that is gone nothing more can be read, and reading from it reports that.
      if (!(error instanceof NetlinkError)) throw error;
      return false;
    }
  }

  /** Attaches a classic BPF program in front of the queue. */
  filter(program: Memory): void {
    for (const socket of this.#sockets()) socket.attachFilter(program);
  }

  /** Joins a multicast group by number. */
  join(group: number, name: string, hint?: (errno: number) => string | undefined): void {
    for (const socket of this.#sockets()) socket.join(group, name, hint);
    this.#memberships.set(group, name);
  }

  /** The kernel's count of what it dropped because the buffer was full; u32, wraps. After closing, its last value. */
  drops(): number {
    if (this.#closed) return this.#drops;
    try {
      this.#drops = this.#socket.drops();
    } catch (error) {
      // A socket that is gone counts nothing more; reading from it reports that.
      if (!(error instanceof NetlinkError)) throw error;
    }
    return this.#drops;
  }

  /**
   * Waits until something arrives, and passes it to `sink`, up to about a thousand datagrams. False after closing. With `lend` it is up to
   * a batch, in memory that the next read overwrites.
   */
  async read(sink: Sink, lend = false): Promise<boolean> {
    while (!this.#closed) {
      const waited = this.#wait();
      const rung = waited !== undefined && await waited;
      if (waited) this.#turnedMs = performance.now();
      if (this.#closed) break;
      if (this.#take(sink, lend)) return true;
      // The wake-up socket may have received its copy just before the other socket received the datagram: then look again soon.
      if (rung) this.#tickMs = BELL_MS;
      if (this.#ending) await this.close();
    }
    await this.#closed;
    return false;
  }

  /**
   * {@linkcode Receiver.read} if something is queued and there is nothing to wait for; false if that is not known, or the event loop's turn
   * is due.
   */
  readNow(sink: Sink, lend = false): boolean {
    return this.#full && !this.#turnDue && !this.#closed && this.#take(sink, lend);
  }

  /** Leaves all groups: {@linkcode Receiver.read} passes on what is queued, and then returns false. */
  end(): void {
    if (this.#ending || this.#closed) return;
    this.#ending = true;
    for (const socket of this.#sockets()) {
      for (const group of this.#memberships.keys()) socket.option(SOL_NETLINK, NETLINK_DROP_MEMBERSHIP, group);
    }
    this.onEnd?.();
    this.#wake?.();
  }

  /** Closes the descriptors, once and immediately, even while {@linkcode Receiver.read} is waiting. */
  close(): Promise<void> {
    return this.#closed ??= this.#close();
  }

  async #close(): Promise<void> {
    this.drops();
    this.#wake?.();
    this.onEnd?.();
    // The watch closes the descriptor that it took over: nobody else may use its number from here on.
    (this.#bell ?? this.#socket).fd = -1;
    this.#socket.close();
    await this.#watch?.close();
  }

  #sockets(): NetlinkSocket[] {
    return this.#bell ? [this.#socket, this.#bell] : [this.#socket];
  }

  #ready(first: Uint8Array | undefined): void {
    // A copy, since it is only lent; and kept, since it may arrive when nobody waits for it any more (after end).
    if (first && !this.#bell) {
      this.#first = memory(first.length);
      this.#first.set(first);
    }
    this.#wake?.();
  }

  /** Waits before the next drain, if necessary; resolves to true if the wake-up socket ended the wait. */
  #wait(): Promise<boolean> | undefined {
    if (this.#full) return this.#turnDue ? new Promise((resolve) => setImmediate(() => resolve(false))) : undefined;
    if (this.#tickMs > 0) return this.#tick();
    return this.#ending ? undefined : this.#arrival();
  }

  /** Waits for a datagram. */
  #arrival(): Promise<boolean> {
    return new Promise((resolve) => {
      this.#wake = () => {
        this.#wake = undefined;
        resolve(this.#bell !== undefined);
      };
      this.#watch!.wait();
    });
  }

  #tick(): Promise<boolean> {
    return new Promise((resolve) => {
      const done = (): void => {
        clearTimeout(timer);
        this.#wake = undefined;
        resolve(false);
      };
      const timer = setTimeout(done, this.#tickMs);
      this.#wake = done;
    });
  }

  /** Passes on what is queued, and decides what to wait for next. */
  #take(sink: Sink, lend: boolean): boolean {
    const taken = this.#drain(sink, lend);
    const now = performance.now();
    this.#turnDue = now - this.#turnedMs >= TURN_MS;
    this.#tickMs = taken === 0 || this.#lowLatency ? 0 : this.#pace.after(taken, now);
    return taken > 0;
  }

  #drain(sink: Sink, lend: boolean): number {
    let taken = 0;
    const first = this.#first;
    if (first) {
      this.#first = undefined;
      sink.datagram(viewOf(first), 0, first.length, undefined);
      taken++;
    }
    const batch = this.#batch;
    let most: number;
    let count: number;
    do {
      most = batch.together;
      count = this.#socket.receive(batch, most);
      if (count > 0) hand(sink, batch, count, lend ? batch.lend(count) : batch.own(count));
      taken += count;
      // The next receive would overwrite what is lent.
    } while (count === most && !lend && taken < DRAIN);
    this.#full = count === most;
    return taken;
  }
}

function hand(sink: Sink, batch: Datagrams, count: number, view: DataView): void {
  for (let i = 0; i < count; i++) {
    const start = batch.start(i);
    if (batch.truncated(i)) sink.truncated(batch.length(i));
    else sink.datagram(view, start, start + batch.length(i), batch.nsid(i));
  }
}
