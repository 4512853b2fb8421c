/** A TCP socket that sends to one address. Source: tcp(7), connect(2), net/ipv4/tcp.c. */
import { SystemError } from "../errors.ts";
import {
  AF_INET,
  EAGAIN,
  EALREADY,
  ECONNREFUSED,
  ECONNRESET,
  EINPROGRESS,
  EINTR,
  ENOTCONN,
  IPPROTO_TCP,
  type Memory,
  MSG_DONTWAIT,
  MSG_NOSIGNAL,
  POLLERR,
  POLLHUP,
  POLLIN,
  POLLOUT,
  POLLRDHUP,
  SHUT_WR,
  SO_KEEPALIVE,
  SOCK_CLOEXEC,
  SOCK_NONBLOCK,
  SOCK_STREAM,
  SOL_SOCKET,
  type Sys,
  TCP_INFO,
  TCP_KEEPCNT,
  TCP_KEEPIDLE,
  TCP_KEEPINTVL,
  TCP_NODELAY,
  TCP_NOTSENT_LOWAT,
  TCP_USER_TIMEOUT,
} from "../sys/sys.ts";
import { int, LITTLE, memory, viewOf } from "../wire/native.ts";
import { dissolve, noSocket, type SocketOptions, takeError } from "./ip_socket.ts";
import { openSocket } from "./open.ts";
import { encodeAddress, type Family, scopeIdOf, type SocketAddress } from "./socket_address.ts";

/** A peer that does not answer for about half a minute is given up, whether or not there is something to send. */
const IDLE_S = 15;
const PROBE_S = 5;
const PROBES = 3;
/** The connection ends if bytes are not acknowledged for this long, or the peer's window stays closed for this long. */
const UNACKNOWLEDGED_MS = 60_000;
/** How much the kernel takes that it cannot send yet. Data should wait where it can be counted and reported. */
const UNSENT_BYTES = 1 << 18;

/** Kernels without one of them do without. */
const OPTIONS: SocketOptions = [
  [SOL_SOCKET, SO_KEEPALIVE, 1],
  [IPPROTO_TCP, TCP_KEEPIDLE, IDLE_S],
  [IPPROTO_TCP, TCP_KEEPINTVL, PROBE_S],
  [IPPROTO_TCP, TCP_KEEPCNT, PROBES],
  [IPPROTO_TCP, TCP_USER_TIMEOUT, UNACKNOWLEDGED_MS],
  [IPPROTO_TCP, TCP_NOTSENT_LOWAT, UNSENT_BYTES],
  // What is sent is gathered already.
  [IPPROTO_TCP, TCP_NODELAY, 1],
];

/** Where `struct tcp_info` counts acknowledged bytes (tcpi_bytes_acked, since Linux 4.1; include/uapi/linux/tcp.h). */
const BYTES_ACKED = 120;
const READ_BYTES = 4096;
/** How much of what a peer sends is read at once: collectors send nothing. */
const MOST_READS = 16;

/**
 * A TCP socket, for as long as its owner lives: when a connection has ended, it makes the next one. So it stays in the network namespace that
 * it was opened in, also when the right to enter that is gone.
 */
export class TcpSocket {
  readonly family: Family;
  readonly #sys: Sys;
  readonly #scratch: Memory = memory(READ_BYTES);
  #fd: number;
  /** The address that it is being connected to, as the kernel takes it. */
  #to: Memory = memory(0);

  /** Opens a socket. */
  constructor(sys: Sys, family: Family) {
    this.#sys = sys;
    this.family = family;
    const fd = this.#open();
    if (fd < 0) throw noSocket("TCP", family, -fd);
    this.#fd = fd;
  }

  /** Begins a connection. Returns 0 or EINPROGRESS, whose outcome {@linkcode TcpSocket.progress} reports, or the negative error number. */
  connect(to: SocketAddress): number {
    if (this.#fd < 0) this.#fd = this.#reopen();
    if (this.#fd < 0) return this.#fd;
    const scopeId = scopeIdOf(this.#sys, this.#fd, to.scope);
    if (scopeId < 0) return scopeId;
    this.#to = encodeAddress(to, scopeId);
    const result = this.#sys.connect(this.#fd, this.#to);
    // When interrupted, it continues (connect(2)).
    return result === -EINPROGRESS || result === -EALREADY || result === -EINTR ? EINPROGRESS : result;
  }

  /** How far the connection has come: 0 if it is made, EINPROGRESS, or the negative error number. */
  progress(): number {
    const events = this.#sys.poll(this.#fd, POLLOUT);
    if ((events & (POLLOUT | POLLERR | POLLHUP)) === 0) return EINPROGRESS;
    const errno = takeError(this.#sys, this.#fd);
    if (errno !== 0) return -errno;
    if (events & POLLHUP) return -ENOTCONN;
    return this.#isOwn() ? -ECONNREFUSED : 0;
  }

  /** Sends what it can at once: returns the number of bytes, 0 if there is no room now, or the negative error number. */
  send(bytes: Memory): number {
    for (;;) {
      // Without MSG_NOSIGNAL a peer that is gone would end this process (SIGPIPE).
      const sent = this.#sys.send(this.#fd, bytes, MSG_DONTWAIT | MSG_NOSIGNAL);
      if (sent === -EINTR) continue;
      return sent === -EAGAIN ? 0 : sent;
    }
  }

  /** Whether there is room in the send buffer, or nothing can be sent any more. */
  get isWritable(): boolean {
    return this.#sys.poll(this.#fd, POLLOUT) !== 0;
  }

  /**
   * Why the connection is over: 0 if it is not. A collector that closes it reads nothing more; none closes only its own direction, in which
   * nothing is ever sent.
   */
  ending(): number {
    const events = this.#sys.poll(this.#fd, POLLIN | POLLRDHUP);
    if (events & (POLLERR | POLLHUP | POLLRDHUP)) return takeError(this.#sys, this.#fd) || ECONNRESET;
    // Unread bytes would take memory, and make the kernel reset the connection at the end instead of delivering the rest.
    for (let i = 0; events & POLLIN && i < MOST_READS; i++) if (this.#sys.read(this.#fd, this.#scratch) < READ_BYTES) break;
    return 0;
  }

  /** How many bytes of this connection the peer's kernel has confirmed; `undefined` if this kernel does not report it. */
  acknowledged(): number | undefined {
    const info = memory(BYTES_ACKED + 8);
    const size = this.#sys.getsockopt(this.#fd, IPPROTO_TCP, TCP_INFO, info);
    if (size < info.length) return undefined;
    const bytes = Number(viewOf(info).getBigUint64(BYTES_ACKED, LITTLE));
    // The opening of the connection counts as a byte.
    return bytes === 0 ? undefined : bytes - 1;
  }

  /** Tells the peer that nothing more follows. */
  finish(): void {
    this.#sys.shutdown(this.#fd, SHUT_WR);
  }

  /** Ends the connection, or the attempt, at once: what has not arrived never will. The next one may begin. */
  disconnect(): void {
    if (this.#fd < 0) return;
    if (dissolve(this.#sys, this.#fd) < 0) {
      this.close();
      return;
    }
    // That it was ended is no error of the next one.
    takeError(this.#sys, this.#fd);
  }

  /** Closes the descriptor, once. What was sent is still delivered. */
  close(): void {
    const fd = this.#fd;
    this.#fd = -1;
    if (fd >= 0) this.#sys.close(fd);
  }

  /**
   * Whether it is connected to itself (simultaneous open, RFC 9293, section 3.5): nobody listens on that port of this machine, and it is the
   * one that the kernel has chosen for this end. Whatever is sent would be confirmed, and no collector could listen there.
   */
  #isOwn(): boolean {
    const own = memory(this.#to.length);
    const end = this.family === AF_INET ? 8 : 24;
    return this.#sys.getsockname(this.#fd, own) === 0 && own.subarray(0, end).every((byte, i) => byte === this.#to[i]);
  }

  #open(): number {
    const fd = openSocket(this.#sys, this.family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    for (const [level, name, value] of fd < 0 ? [] : OPTIONS) this.#sys.setsockopt(fd, level, name, int(value));
    return fd;
  }

  #reopen(): number {
    try {
      return this.#open();
    } catch (error) {
      // The right to enter its network namespace may be gone.
      if (!(error instanceof SystemError)) throw error;
      return -error.errno;
    }
  }
}
