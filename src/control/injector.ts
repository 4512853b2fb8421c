/** Sends samples to the listeners of a network namespace, as programs in user space do that sample by themselves. */
import { NetlinkError } from "../errors.ts";
import type { Family } from "../genl/ctrl.ts";
import { PSAMPLE_GENL_NAME, PSAMPLE_NL_MCGRP_SAMPLE_NAME } from "../psample/constants.ts";
import type { Datagrams } from "../socket/datagrams.ts";
import { findFamily, NO_FAMILY_HINT } from "../socket/family.ts";
import { MOST_ADDRESSED_GROUP, NetlinkSocket } from "../socket/netlink_socket.ts";
import { SocketLister, type SocketQueue } from "../socket/netlink_sockets.ts";
import { Requests } from "../socket/requests.ts";
import { ENOENT, EOPNOTSUPP, EPERM, type Memory, NETLINK_GENERIC, SO_SNDBUF, SO_SNDBUFFORCE, SOL_SOCKET, type Sys } from "../sys/sys.ts";
import { encodeMessage, NLMSG_HDRLEN, NLMSG_NOOP } from "../wire/message.ts";
import { LITTLE, memory, viewOf } from "../wire/native.ts";

/**
 * A socket that receives samples in this network namespace.
 *
 * @category Injecting
 */
export interface InjectionListener {
  /** Its netlink port id, which is usually the id of its process. */
  readonly portId: number;
  /** Its inode, as `/proc/PID/fd` names it: `socket:[INODE]`. */
  readonly inode: number;
  /** Messages that it lost since the injection began because its receive buffer was full; also those of other senders. */
  readonly dropped: number;
  /** Whether it was still there when the kernel was asked last. */
  readonly isOpen: boolean;
}

const OP = "send samples to psample's listeners";
const NO_PRIVILEGE_HINT =
  "Sending to a multicast group requires CAP_NET_ADMIN in the user namespace that owns this network namespace: run as root, or in " +
  "namespaces of your own (unshare -rn)";
const UNLOADED_HINT = `The psample module was unloaded. ${NO_FAMILY_HINT}`;

/** Maximum number of producers with a port of their own; all others share the first. */
const MOST_PORTS = 64;
/** Enough for the longest sample. */
const SEND_BUFFER_BYTES = 1 << 18;
/** About the size of a sample. */
const ORDINARY_BYTES = 256;
/** How much may be sent before the listeners are looked at again: the default receive buffer of a socket, which a new one may have. */
const MOST_CREDIT = 1 << 17;
/** How long a listener whose queue is full may read nothing before it is not waited for any more. */
const PATIENCE_MS = 1000;
/** How often the listeners and the family are looked at while messages are sent. */
const LOOK_MS = 1000;

interface Watched {
  readonly portId: number;
  readonly inode: number;
  /** Its drops when it was seen first. */
  readonly before: number;
  drops: number;
  isOpen: boolean;
  /** How much was in its queue, and since when that has not become less while it is full. */
  queued: number;
  fullSinceMs: number | undefined;
}

/** Sends messages of samples, and watches those who receive them. */
export class Injector {
  readonly #requests: Requests;
  readonly #lister: SocketLister | undefined;
  readonly #sys: Sys;
  #family: Family;
  #group: number;
  readonly #ports = new Map<string, NetlinkSocket>();
  readonly #listeners = new Map<number, Watched>();
  /** Sockets of the protocol that do not listen, and their drops: one that listens later does not lose what it lost before. */
  #others = new Map<number, number>();
  /** How much memory of the listeners may be used before they are looked at again. */
  #credit = 0;
  /** Whether their queues were empty when they were looked at last, and nothing was sent since. */
  #areEmpty = false;
  #lookedMs = -Infinity;
  #isKnown = false;
  /** A socket that sends to itself, to measure, and what it has measured by the logarithm of the size. */
  readonly #scale: NetlinkSocket;
  readonly #drain: Datagrams;
  readonly #costs: number[] = [];

  /**
   * Opens what is needed.
   *
   * @throws {NetlinkError} `ENOENT` if the kernel has no psample family, `EPERM` without CAP_NET_ADMIN.
   */
  static async open(sys: Sys): Promise<Injector> {
    const requests = new Requests(sys, NETLINK_GENERIC);
    let injector: Injector | undefined;
    try {
      const family = await findFamily(requests, PSAMPLE_GENL_NAME);
      if (!family) throw new NetlinkError(OP, ENOENT, { hint: NO_FAMILY_HINT });
      injector = new Injector(sys, requests, family);
      injector.#checkRight();
      await injector.look(ORDINARY_BYTES);
      return injector;
    } catch (error) {
      if (injector) injector.close();
      else requests.close();
      throw error;
    }
  }

  private constructor(sys: Sys, requests: Requests, family: Family) {
    this.#sys = sys;
    this.#requests = requests;
    this.#family = family;
    this.#group = groupOf(family);
    this.#scale = new NetlinkSocket(sys, NETLINK_GENERIC);
    this.#drain = this.#scale.batch(1);
    setSendBuffer(this.#scale);
    this.#lister = SocketLister.open(sys);
  }

  /** The listeners so far; `undefined` if this kernel does not list sockets (CONFIG_NETLINK_DIAG). */
  get listeners(): InjectionListener[] | undefined {
    if (!this.#isKnown) return undefined;
    return [...this.#listeners.values()].map(({ portId, inode, before, drops, isOpen }) => {
      return { portId, inode, dropped: (drops - before) >>> 0, isOpen };
    });
  }

  /**
   * Whether a message of `bytes` can be sent now: the listeners have room, or have had time enough to make some. If not,
   * {@linkcode Injector.look} at them.
   */
  isReady(bytes: number): boolean {
    if (performance.now() - this.#lookedMs >= LOOK_MS) return false;
    // An empty queue takes any message, however long (`netlink_broadcast_deliver` in net/netlink/af_netlink.c).
    return this.#credit >= this.#cost(bytes) || this.#areEmpty;
  }

  /**
   * Sends the message of a sample; its type and port id are filled in. False if it cannot be sent now.
   *
   * @throws {NetlinkError} if it cannot be sent at all.
   */
  send(message: Memory, producer: string): boolean {
    const port = this.#port(producer);
    const view = viewOf(message);
    view.setUint16(4, this.#family.id, LITTLE);
    view.setUint32(12, port.portId, LITTLE);
    if (!port.multicast(message, OP, this.#group)) return false;
    this.#credit -= this.#cost(message.length);
    this.#areEmpty = false;
    return true;
  }

  /** At least how much of a listener's receive buffer a message takes: the memory that the kernel has allocated for it. */
  #cost(bytes: number): number {
    const sizeClass = Math.max(6, 32 - Math.clz32(bytes - 1));
    return this.#costs[sizeClass] ?? this.#measure(sizeClass);
  }

  /** Sends something as long to itself: how much that takes depends on the kernel's version, configuration and architecture. */
  #measure(sizeClass: number): number {
    const scale = this.#scale;
    const bytes = 1 << sizeClass;
    // Twice the size in the allocator's classes, and the kernel's own structures (`alloc_skb`, SKB_TRUESIZE).
    const usual = 2 * bytes + 1024;
    try {
      if (!scale.send(encodeMessage({ type: NLMSG_NOOP, flags: 0 }, memory(bytes - NLMSG_HDRLEN)), OP, scale.portId)) return usual;
    } catch (error) {
      if (!(error instanceof NetlinkError) || error.errno === EPERM) throw error;
      // There is no memory for it now, or it is longer than what may be sent: the samples themselves may be shorter.
      return usual;
    }
    const measured = scale.queuedBytes();
    scale.receive(this.#drain);
    return this.#costs[sizeClass] = Math.max(measured, usual);
  }

  /**
   * Looks whether the listeners have room for a message of `bytes` and more, and whether the family is still the same.
   *
   * @throws {NetlinkError} `ENOENT` if the family has gone.
   */
  async look(bytes: number): Promise<void> {
    const nowMs = performance.now();
    if (nowMs - this.#lookedMs >= LOOK_MS) {
      const family = await findFamily(this.#requests, PSAMPLE_GENL_NAME);
      if (!family) throw new NetlinkError(OP, ENOENT, { hint: UNLOADED_HINT });
      this.#group = groupOf(family);
      this.#family = family;
      this.#lookedMs = nowMs;
    }
    const sockets = await this.#lister?.list(NETLINK_GENERIC);
    this.#credit = MOST_CREDIT;
    this.#areEmpty = true;
    if (!sockets) return;
    const isFirst = !this.#isKnown;
    this.#isKnown = true;
    for (const listener of this.#listeners.values()) listener.isOpen = false;
    const others = new Map<number, number>();
    for (const { portId, inode, groups, queue } of sockets) {
      if (!queue) continue;
      if (!groups.includes(this.#group)) {
        others.set(inode, queue.drops);
        continue;
      }
      let listener = this.#listeners.get(inode);
      if (!listener) {
        const before = this.#others.get(inode) ?? (isFirst ? queue.drops : 0);
        listener = { portId, inode, before, drops: before, isOpen: true, queued: 0, fullSinceMs: undefined };
        this.#listeners.set(inode, listener);
      }
      listener.drops = queue.drops;
      listener.isOpen = true;
      if (this.#isGivenUp(listener, queue, bytes, nowMs)) continue;
      this.#credit = Math.min(this.#credit, queue.limitBytes - queue.bytes);
      if (queue.bytes > 0) this.#areEmpty = false;
    }
    this.#others = others;
  }

  /** Whether a listener has had no room for a message, and read nothing, for so long that it is not waited for. */
  #isGivenUp(listener: Watched, queue: SocketQueue, bytes: number, nowMs: number): boolean {
    const isFull = queue.bytes > 0 && queue.limitBytes - queue.bytes < this.#cost(bytes);
    const hasRead = queue.bytes < listener.queued;
    listener.queued = queue.bytes;
    if (!isFull) listener.fullSinceMs = undefined;
    // One that was given up and reads again is waited for again.
    else if (listener.fullSinceMs === undefined || hasRead) listener.fullSinceMs = nowMs;
    return listener.fullSinceMs !== undefined && nowMs - listener.fullSinceMs >= PATIENCE_MS;
  }

  /** Closes all sockets. */
  close(): void {
    for (const port of new Set(this.#ports.values())) port.close();
    this.#scale.close();
    this.#lister?.close();
    this.#requests.close();
  }

  /** The socket that sends the samples of a producer: each has its own port, so that listeners tell them apart. */
  #port(producer: string): NetlinkSocket {
    let port = this.#ports.get(producer);
    if (port) return port;
    if (this.#ports.size >= MOST_PORTS) return this.#ports.values().next().value!;
    port = new NetlinkSocket(this.#sys, NETLINK_GENERIC);
    setSendBuffer(port);
    this.#ports.set(producer, port);
    return port;
  }

  /** Sending to a socket takes the same right as sending to a group (`netlink_sendmsg` in net/netlink/af_netlink.c). */
  #checkRight(): void {
    try {
      this.#cost(ORDINARY_BYTES);
    } catch (error) {
      if (!(error instanceof NetlinkError && error.errno === EPERM)) throw error;
      throw new NetlinkError(OP, EPERM, { hint: NO_PRIVILEGE_HINT });
    }
  }
}

/** Lets the socket send the longest sample. */
function setSendBuffer(socket: NetlinkSocket): void {
  if (!socket.option(SOL_SOCKET, SO_SNDBUFFORCE, SEND_BUFFER_BYTES)) socket.option(SOL_SOCKET, SO_SNDBUF, SEND_BUFFER_BYTES);
}

/** The number of the group of the samples. */
function groupOf({ groups }: Family): number {
  const group = groups.get(PSAMPLE_NL_MCGRP_SAMPLE_NAME);
  if (group === undefined) throw new NetlinkError(OP, ENOENT, { hint: "This kernel's psample has no group for them" });
  if (group <= MOST_ADDRESSED_GROUP) return group;
  throw new NetlinkError(OP, EOPNOTSUPP, {
    hint:
      `Their multicast group has the number ${group}, and programs can send to the first ${MOST_ADDRESSED_GROUP} only: load the module ` +
      "psample before others, as early as at boot (/etc/modules-load.d)",
  });
}
