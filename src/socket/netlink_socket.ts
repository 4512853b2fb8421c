/** A netlink socket: opening, options, sending and receiving. */
import { NetlinkError } from "../errors.ts";
import { type DatagramOptions, Datagrams } from "./datagrams.ts";
import { openSocket } from "./open.ts";
import {
  AF_NETLINK,
  EACCES,
  EAFNOSUPPORT,
  EAGAIN,
  EINTR,
  ENOBUFS,
  ENOMEM,
  ENOSYS,
  EPERM,
  EPROTONOSUPPORT,
  type Memory,
  MSG_DONTWAIT,
  NETLINK_ADD_MEMBERSHIP,
  NETLINK_GENERIC,
  NETLINK_LISTEN_ALL_NSID,
  NETLINK_NO_ENOBUFS,
  NETLINK_ROUTE,
  NETLINK_SOCK_DIAG,
  SO_ATTACH_FILTER,
  SO_MEMINFO,
  SO_RCVBUF,
  SO_RCVBUFFORCE,
  SOCK_CLOEXEC,
  SOCK_NONBLOCK,
  SOCK_RAW,
  SOL_NETLINK,
  SOL_SOCKET,
  type Sys,
} from "../sys/sys.ts";
import { int, LITTLE, memory, viewOf } from "../wire/native.ts";

/** A datagram may contain 64 KiB of attributes, plus headers. */
const LARGEST_DATAGRAM = 68 * 1024;

// Offsets in the u32 words of SO_MEMINFO (linux/sock_diag.h).
export const SK_MEMINFO_RMEM_ALLOC = 0;
export const SK_MEMINFO_RCVBUF = 1;
export const SK_MEMINFO_DROPS = 8;
const SK_MEMINFO_VARS = 9;

/** The groups that an address can name: it has a bit for each. Members may have any number. */
export const MOST_ADDRESSED_GROUP = 32;

/** `struct sockaddr_nl`: u16 family, u16 padding, u32 port id, u32 groups. */
function socketAddress(portId: number, groups = 0): Memory {
  const address = memory(12);
  const view = viewOf(address);
  view.setUint16(0, AF_NETLINK, LITTLE);
  view.setUint32(4, portId, LITTLE);
  view.setUint32(8, groups, LITTLE);
  return address;
}

const KERNEL = socketAddress(0);

/** Common names of the protocols that this package uses. */
const PROTOCOL_NAMES: Readonly<Record<number, string>> = {
  [NETLINK_ROUTE]: "routing netlink",
  [NETLINK_SOCK_DIAG]: "socket diagnosis netlink",
  [NETLINK_GENERIC]: "generic netlink",
};

const FORBIDDEN = "A sandbox forbids it (seccomp, a systemd unit's RestrictAddressFamilies=, an LSM): allow AF_NETLINK, or run outside it";

/** What helps when no socket can be opened. */
const OPEN_HINTS: Readonly<Record<number, string>> = {
  [EPERM]: FORBIDDEN,
  [EACCES]: FORBIDDEN,
  [ENOSYS]: FORBIDDEN,
  [EAFNOSUPPORT]: "A systemd unit's RestrictAddressFamilies= or another sandbox forbids it: allow AF_NETLINK, or run outside it",
  [EPROTONOSUPPORT]: "This kernel or sandbox (gVisor) does not have that protocol: run on the host, or outside the sandbox",
};

const LOCKED = "A sandbox forbids it (seccomp, an LSM), or has locked the socket's filter (SO_LOCK_FILTER): run outside it";

/** What helps when a filter cannot be attached. */
const ATTACH_HINTS: Readonly<Record<number, string>> = {
  [EPERM]: LOCKED,
  [EACCES]: LOCKED,
  [ENOMEM]: "The program is too long for the sysctl net.core.optmem_max: raise that, or ask for less",
};

/** A netlink socket, open from the moment it exists. */
export class NetlinkSocket {
  /** The descriptor; -1 when closed or handed to a watch. */
  fd: number;
  /** The number by which others on this protocol reach the socket. */
  readonly portId: number;
  readonly #sys: Sys;
  readonly #memInfo = memory(4 * SK_MEMINFO_VARS);
  readonly #memInfoWords = new Uint32Array(this.#memInfo.buffer);

  /** Opens a socket of a netlink protocol, NETLINK_*; the kernel chooses the port id if none is given. */
  constructor(sys: Sys, protocol: number, portId = 0) {
    this.#sys = sys;
    const fd = openSocket(sys, AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, protocol);
    if (fd < 0) throw new NetlinkError(`open a ${PROTOCOL_NAMES[protocol] ?? "netlink"} socket`, -fd, { hint: OPEN_HINTS[-fd] });
    this.fd = fd;
    try {
      this.#check("bind a netlink socket", sys.bind(fd, socketAddress(portId)));
      const address = socketAddress(0);
      this.#check("read the address of a netlink socket", sys.getsockname(fd, address));
      this.portId = viewOf(address).getUint32(4, LITTLE);
    } catch (error) {
      this.close();
      throw error;
    }
  }

  /** Sets an integer option; false if the kernel does not know it. */
  option(level: number, name: number, value: number): boolean {
    return this.#sys.setsockopt(this.fd, level, name, int(value)) >= 0;
  }

  /** After an overflow, continues at once instead of refusing everything until the queue is empty; drops are counted all the same. */
  keepGoing(): void {
    this.#check("set the socket option NETLINK_NO_ENOBUFS", this.#sys.setsockopt(this.fd, SOL_NETLINK, NETLINK_NO_ENOBUFS, int(1)));
  }

  /** Receives the multicasts of all network namespaces that have an nsid in this one. */
  listenAllNamespaces(): void {
    const result = this.#sys.setsockopt(this.fd, SOL_NETLINK, NETLINK_LISTEN_ALL_NSID, int(1));
    this.#check("listen to all network namespaces", result, "Requires CAP_NET_BROADCAST: run as root");
  }

  /** Joins a multicast group by number. */
  join(group: number, name: string, hint?: (errno: number) => string | undefined): void {
    const result = this.#sys.setsockopt(this.fd, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, int(group));
    this.#check(`join the multicast group ${name}`, result, hint?.(-result));
  }

  /** Attaches a classic BPF program in front of the queue; it replaces an earlier one without a gap. */
  attachFilter(program: Memory): void {
    // struct sock_fprog: u16 count of instructions, padding, address.
    const fprog = memory(16);
    const view = viewOf(fprog);
    view.setUint16(0, program.length / 8, LITTLE);
    view.setBigUint64(8, this.#sys.addressOf(program), LITTLE);
    const result = this.#sys.setsockopt(this.fd, SOL_SOCKET, SO_ATTACH_FILTER, fprog);
    this.#check("attach a socket filter", result, ATTACH_HINTS[-result]);
  }

  /** Asks for a receive buffer of `bytes` and returns what was granted: without CAP_NET_ADMIN at most net.core.rmem_max. */
  setReceiveBuffer(bytes: number): number {
    if (!this.option(SOL_SOCKET, SO_RCVBUFFORCE, bytes)) this.option(SOL_SOCKET, SO_RCVBUF, bytes);
    const value = memory(4);
    this.#check("read the size of the receive buffer", this.#sys.getsockopt(this.fd, SOL_SOCKET, SO_RCVBUF, value));
    // The kernel doubles what it is asked for, and answers with the double (socket(7)).
    return viewOf(value).getInt32(0, LITTLE) / 2;
  }

  /** How many messages the kernel dropped because the receive buffer was full; u32, wraps. */
  drops(): number {
    return this.#memoryWord(SK_MEMINFO_DROPS, "read the socket's drop counter");
  }

  /** How much of the kernel's memory the messages take that wait to be received, in bytes: more than they are long. */
  queuedBytes(): number {
    return this.#memoryWord(SK_MEMINFO_RMEM_ALLOC, "read how much is queued in the socket");
  }

  #memoryWord(at: number, op: string): number {
    const info = this.#memInfo;
    const size = this.#sys.getsockopt(this.fd, SOL_SOCKET, SO_MEMINFO, info);
    this.#check(op, size);
    return size < info.length ? 0 : this.#memInfoWords[at]!;
  }

  /** Sends to a socket by port id; 0 is the kernel. False if the receiver's buffer is full. */
  send(bytes: Memory, op: string, portId = 0): boolean {
    const result = this.#sendTo(portId === 0 ? KERNEL : socketAddress(portId), bytes);
    if (result >= 0) return true;
    if (result === -EAGAIN) return false;
    throw new NetlinkError(op, -result);
  }

  /**
   * Sends to the members of a multicast group, by its number up to {@linkcode MOST_ADDRESSED_GROUP}. False if the kernel has no memory for
   * it now. Members whose receive buffer is full do not get it, and the sender is not told (`netlink_broadcast` in net/netlink/af_netlink.c).
   */
  multicast(bytes: Memory, op: string, group: number): boolean {
    const result = this.#sendTo(socketAddress(0, 1 << (group - 1) >>> 0), bytes);
    if (result >= 0) return true;
    if (result === -EAGAIN || result === -ENOBUFS || result === -ENOMEM) return false;
    throw new NetlinkError(op, -result);
  }

  /** Sends without waiting, again if a signal comes. Returns the negative error number of a failure. */
  #sendTo(address: Memory, bytes: Memory): number {
    for (;;) {
      const result = this.#sys.sendto(this.fd, bytes, MSG_DONTWAIT, address);
      if (result !== -EINTR) return result;
    }
  }

  /** Receives what is queued, up to `most` datagrams or a batch; 0 if there is nothing. */
  receive(batch: Datagrams, most: number = batch.count): number {
    batch.prepare();
    for (;;) {
      const result = this.#sys.recvmmsg(this.fd, batch.address, most, MSG_DONTWAIT);
      if (result >= 0) return result;
      if (result === -EAGAIN) return 0;
      // ENOBUFS reports an overflow before what is queued can be read: the drop counter has the number.
      if (result !== -EINTR && result !== -ENOBUFS) throw new NetlinkError("receive from a netlink socket", -result);
    }
  }

  /** A batch for {@linkcode NetlinkSocket.receive}. */
  batch(count: number, options?: DatagramOptions): Datagrams {
    return new Datagrams(this.#sys, count, LARGEST_DATAGRAM, options);
  }

  /** Closes the descriptor, once. */
  close(): void {
    const { fd } = this;
    this.fd = -1;
    if (fd >= 0) this.#sys.close(fd);
  }

  #check(op: string, result: number, hint?: string): void {
    if (result < 0) throw new NetlinkError(op, -result, { hint });
  }
}
