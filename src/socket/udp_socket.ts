/** A UDP socket that sends to one address. Source: udp(7), ip(7), ipv6(7), net/ipv4/udp.c. */
import { SystemError } from "../errors.ts";
import {
  AF_INET,
  AF_INET6,
  EACCES,
  EAGAIN,
  EDESTADDRREQ,
  EINTR,
  EMSGSIZE,
  ENOBUFS,
  EPERM,
  IP_MTU,
  IP_MTU_DISCOVER,
  IP_PMTUDISC_DO,
  IP_PMTUDISC_WANT,
  IP_RECVERR,
  IPPROTO_IP,
  IPPROTO_IPV6,
  IPV6_MTU,
  IPV6_MTU_DISCOVER,
  IPV6_RECVERR,
  type Memory,
  MSG_DONTWAIT,
  POLLOUT,
  SO_BROADCAST,
  SO_RCVBUF,
  SO_SNDBUF,
  SO_SNDBUFFORCE,
  SOCK_CLOEXEC,
  SOCK_DGRAM,
  SOCK_NONBLOCK,
  SOL_SOCKET,
  type Sys,
} from "../sys/sys.ts";
import { int, LITTLE, memory, viewOf } from "../wire/native.ts";
import { dissolve, noSocket, type SocketOptions, takeError } from "./ip_socket.ts";
import { openSocket } from "./open.ts";
import type { SendHeaders } from "./send_headers.ts";
import { encodeAddress, type Family, scopeIdOf, type SocketAddress } from "./socket_address.ts";

/** What may wait in the kernel for the device: some hundred datagrams. Without CAP_NET_ADMIN at most net.core.wmem_max. */
const SEND_BUFFER_BYTES = 1 << 20;
/** Headers in front of a datagram: IPv4 or IPv6 without options, and UDP. */
const HEADERS: Readonly<Record<Family, number>> = { [AF_INET]: 20 + 8, [AF_INET6]: 40 + 8 };

const OPTIONS: Readonly<Record<Family, SocketOptions>> = {
  [AF_INET]: [[IPPROTO_IP, IP_RECVERR, 1], [IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_DO]],
  [AF_INET6]: [[IPPROTO_IPV6, IPV6_RECVERR, 1], [IPPROTO_IPV6, IPV6_MTU_DISCOVER, IP_PMTUDISC_DO]],
};

/** What became of what was sent. All figures count datagrams. */
export interface SendCounts {
  /** Accepted by the kernel. UDP does not confirm that they arrived. */
  sent: number;
  /** Not sent. */
  dropped: number;
  /** How many were dropped by each error number. */
  readonly droppedBy: Map<number, number>;
  /**
   * Errors that came back for datagrams that had been sent: nobody listens on the port, no way to the host. A router does not report every
   * datagram, so this is a minimum.
   */
  returned: number;
  /** The last of these errors. */
  returnedBy: number;
}

/** What happens to a datagram on this machine, and never comes back for one that was sent (net/ipv4/icmp.c, net/ipv6/icmp.c). */
const LOCAL: ReadonlySet<number> = new Set([ENOBUFS, EPERM]);

/** Nothing yet. */
export function noSendCounts(): SendCounts {
  return { sent: 0, dropped: 0, droppedBy: new Map(), returned: 0, returnedBy: 0 };
}

/** How one call of {@linkcode UdpSocket.send} went. */
export interface SendResult {
  /** The last error that is known, 0 if there was none. */
  errno: number;
  /** The size of a datagram that did not fit the path in one piece; 0 if there was none. */
  oversized: number;
  /** Whether errors came back of which the kernel did not say what they were. */
  isUntold: boolean;
}

/**
 * A UDP socket, for as long as its owner lives: with its port it is what collectors recognise an exporter by.
 *
 * It is connected, so that the kernel reports errors that come back, and lets it be seen what the path takes (IP_MTU). IP_RECVERR makes
 * it report them all, and drops by the device's queue as ENOBUFS: without it UDP loses these in silence.
 */
export class UdpSocket {
  readonly family: Family;
  /** The local port, assigned by the kernel. */
  readonly port: number;
  /** Whether the last address was one of broadcasts, at which nobody can be reached. */
  isBroadcast = false;
  readonly #sys: Sys;
  #fd: number;
  /** Why it is not connected: at first, because it has no address to send to. */
  #disconnected = EDESTADDRREQ;
  /** Whether larger datagrams than the path takes may be sent in fragments. */
  #fragments = false;

  /** Opens a socket. */
  constructor(sys: Sys, family: Family) {
    this.#sys = sys;
    this.family = family;
    const fd = openSocket(sys, family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) throw noSocket("UDP", family, -fd);
    this.#fd = fd;
    try {
      for (const [level, name, value] of OPTIONS[family]) sys.setsockopt(fd, level, name, int(value));
      if (sys.setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, int(SEND_BUFFER_BYTES)) < 0) {
        sys.setsockopt(fd, SOL_SOCKET, SO_SNDBUF, int(SEND_BUFFER_BYTES));
      }
      // It receives nothing but errors: what others send to it must not take memory. The kernel grants its minimum.
      sys.setsockopt(fd, SOL_SOCKET, SO_RCVBUF, int(1));
      this.#check("bind a UDP socket", sys.bind(fd, this.#any(0)));
      const own = this.#any(0);
      this.#check("read the address of a UDP socket", sys.getsockname(fd, own));
      this.port = viewOf(own).getUint16(2);
    } catch (error) {
      this.close();
      throw error;
    }
  }

  /**
   * From now on sends to this address: along the present route, and from the address that belongs to it. The port stays.
   *
   * @returns 0, or the negative error number; nothing can be sent then.
   */
  connect(to: SocketAddress): number {
    const sys = this.#sys;
    const scopeId = scopeIdOf(sys, this.#fd, to.scope);
    if (scopeId < 0) return this.#connected(scopeId);
    // Dissolving the association releases the local address and port (connect(2)). If the port is still bound, the second call is refused.
    dissolve(sys, this.#fd);
    sys.bind(this.#fd, this.#any(this.port));
    const peer = encodeAddress(to, scopeId);
    const result = sys.connect(this.#fd, peer);
    this.isBroadcast = result === -EACCES && this.#mayBroadcastTo(peer);
    return this.#connected(result);
  }

  /**
   * Whether an address is refused because it is one of broadcasts: prohibited routes have the same error, and cease to be
   * (__ip4_datagram_connect() in net/ipv4/datagram.c).
   */
  #mayBroadcastTo(peer: Memory): boolean {
    const sys = this.#sys;
    sys.setsockopt(this.#fd, SOL_SOCKET, SO_BROADCAST, int(1));
    const isConnected = sys.connect(this.#fd, peer) >= 0;
    sys.setsockopt(this.#fd, SOL_SOCKET, SO_BROADCAST, int(0));
    if (isConnected) dissolve(sys, this.#fd);
    return isConnected;
  }

  #connected(result: number): number {
    this.#disconnected = result < 0 ? -result : 0;
    return result;
  }

  /**
   * Sends the first `count` datagrams of the block, which end at `ends`. It never waits and never throws: what cannot be sent now is
   * dropped.
   *
   * @param counts What became of them is added to it.
   * @param onDropped Called with the index of each datagram that is dropped.
   * @param oneByOne Sends each by a system call of its own: only then does the kernel always say which error came back.
   */
  send(
    headers: SendHeaders,
    ends: Uint32Array,
    count: number,
    counts: SendCounts,
    onDropped: (i: number) => void,
    oneByOne = false,
  ): SendResult {
    const result: SendResult = { errno: this.#disconnected, oversized: 0, isUntold: false };
    let at = 0;
    /** The datagram that failed last, and why. */
    let failed = -1;
    let errno = this.#disconnected;
    /** Whether the last call ended before a datagram, and the kernel did not say why. */
    let isCutShort = false;
    /** Whether it failed because it was too large for the path, and may now be sent in fragments. */
    let isSplit = false;
    /** Errors that came back, of which the kernel did not say what they were: it had sent something in the same call. */
    let untold = 0;
    /** Whether one came back for a datagram of this call. */
    let isQuick = false;
    const drop = (): void => {
      counts.droppedBy.set(errno, (counts.droppedBy.get(errno) ?? 0) + 1);
      counts.dropped++;
      onDropped(at++);
    };
    headers.prepare(ends, count);
    while (at < count) {
      if (this.#disconnected !== 0) {
        drop();
        continue;
      }
      const most = oneByOne ? 1 : count - at;
      const sent = this.#sys.sendmmsg(this.#fd, headers.addressOf(at), most, MSG_DONTWAIT);
      if (sent > 0) {
        // A datagram is refused, and sent the next time, if the error was about an earlier one.
        if (isCutShort) {
          untold++;
          isQuick = oneByOne = true;
        } else if (failed === at && !isSplit && !LOCAL.has(errno)) {
          this.#returned(counts, result, errno);
          isQuick ||= at > 0;
        }
        counts.sent += sent;
        at += sent;
        isCutShort = sent < most;
        continue;
      }
      if (sent === -EINTR) continue;
      isCutShort = false;
      errno = result.errno = -sent;
      isSplit = errno === EMSGSIZE && this.#allowFragments();
      if (isSplit) result.oversized = ends[at]! - (at === 0 ? 0 : ends[at - 1]!);
      if (errno === EAGAIN || (failed === at && errno !== ENOBUFS && errno !== EMSGSIZE)) {
        // The buffer is full, or there is no way: that is so for all that follow.
        while (at < count) drop();
      } else if (failed === at) {
        drop();
      } else {
        failed = at;
      }
    }
    counts.returned += untold;
    result.isUntold = untold > 0;
    // That of the last datagram is there already, if they come at once.
    const last = isQuick ? this.takeError() : 0;
    if (last !== 0) this.#returned(counts, result, last);
    return result;
  }

  /** Maximum size of a datagram that the present path takes in one piece, in bytes; `undefined` if that is not known. */
  largestUnfragmented(): number | undefined {
    const value = memory(4);
    const [level, name] = this.family === AF_INET ? [IPPROTO_IP, IP_MTU] : [IPPROTO_IPV6, IPV6_MTU];
    const size = this.#sys.getsockopt(this.#fd, level, name, value);
    return size < 4 ? undefined : Math.max(0, viewOf(value).getInt32(0, LITTLE) - HEADERS[this.family]);
  }

  /** Takes the error that has come back for a datagram, if there is one: 0 if not. */
  takeError(): number {
    return takeError(this.#sys, this.#fd);
  }

  /** Whether there is room in the send buffer. */
  get isWritable(): boolean {
    return (this.#sys.poll(this.#fd, POLLOUT) & POLLOUT) !== 0;
  }

  /** Closes the descriptor, once. */
  close(): void {
    const fd = this.#fd;
    this.#fd = -1;
    if (fd >= 0) this.#sys.close(fd);
  }

  /** Counts an error that has come back for an earlier datagram. */
  #returned(counts: SendCounts, result: SendResult, errno: number): void {
    counts.returned++;
    counts.returnedBy = result.errno = errno;
  }

  /** Larger datagrams than the path takes go in fragments, which is better than not at all. Returns false if they did already. */
  #allowFragments(): boolean {
    if (this.#fragments) return false;
    this.#fragments = true;
    const [level, name] = this.family === AF_INET ? [IPPROTO_IP, IP_MTU_DISCOVER] : [IPPROTO_IPV6, IPV6_MTU_DISCOVER];
    return this.#sys.setsockopt(this.#fd, level, name, int(IP_PMTUDISC_WANT)) >= 0;
  }

  #any(port: number): Memory {
    return encodeAddress({ address: new Uint8Array(this.family === AF_INET ? 4 : 16), port });
  }

  #check(op: string, result: number): void {
    if (result < 0) throw new SystemError(op, -result);
  }
}
