/**
 * The TCP sockets of the scripted kernel: who accepts, how much it takes, and what it does then, at the calls at which Linux tells.
 *
 * @module
 */
import {
  AF_INET,
  AF_UNSPEC,
  EAGAIN,
  EBADF,
  ECONNREFUSED,
  EINPROGRESS,
  EPIPE,
  IPPROTO_TCP,
  type Memory,
  POLLHUP,
  POLLIN,
  POLLOUT,
  POLLRDHUP,
  SO_ERROR,
  SOL_SOCKET,
  TCP_INFO,
} from "../src/sys/sys.ts";
import { LITTLE, viewOf } from "../src/wire/native.ts";
import { ipv4Text, ipv6Text } from "../src/wire/text.ts";
import { FakeUdp } from "./fake_udp.ts";

const ENOTCONN = 107;

/** A connection to a peer of the fake kernel. */
export class FakeConnection {
  /** What has arrived. */
  bytes: Uint8Array = new Uint8Array(0);
  /** How many of these bytes are confirmed; all unless set. */
  acknowledged: number | undefined;
  /** The other end sends nothing more. */
  isFinished = false;
  /** The exporter sends nothing more, or has ended it. */
  isEnded = false;
  /** The other end has closed it, with an error number if it was reset. */
  closedBy: number | undefined;
}

/** Who is at an address. */
export interface FakePeer {
  /** Whether it answers, refuses, or is silent. */
  answer: "accept" | "refuse" | "silent";
  /** How many more bytes it takes, and how many at once. */
  room: number;
  most: number;
  readonly connections: FakeConnection[];
}

interface FakeTcpSocket {
  readonly family: number;
  readonly netns: string;
  peer: FakePeer | undefined;
  /** The address of the peer, as the kernel takes it. */
  to: Memory | undefined;
  connection: FakeConnection | undefined;
  error: number;
  readonly options: Map<string, number>;
}

/** The part of the fake that keeps connections. */
export class FakeTcp extends FakeUdp {
  /** Open TCP sockets. */
  readonly tcp: Map<number, FakeTcpSocket> = new Map();
  /** Who listens, by address and port. Nobody is at other addresses. */
  readonly peers: Map<string, FakePeer> = new Map();
  /** Whether the port of the other end is chosen for this one too, at the same address. */
  connectsToItself = false;
  /** Whether the kernel counts what is confirmed. */
  tellsAcknowledged = true;

  /** Somebody listens. */
  listen(address: string, answer: FakePeer["answer"] = "accept"): FakePeer {
    const peer: FakePeer = { answer, room: Infinity, most: Infinity, connections: [] };
    this.peers.set(address, peer);
    return peer;
  }

  /** Whether a descriptor is a UDP or TCP socket. */
  protected isInternet(fd: number): boolean {
    return this.udp.has(fd) || this.tcp.has(fd);
  }

  protected openTcp(family: number): number {
    const fd = this.newFd();
    this.tcp.set(fd, { family, netns: this.netns, peer: undefined, to: undefined, connection: undefined, error: 0, options: new Map() });
    return fd;
  }

  override connect(fd: number, address: Memory): number {
    const socket = this.tcp.get(fd);
    if (!socket) return super.connect(fd, address);
    const view = viewOf(address);
    if (view.getUint16(0, LITTLE) === AF_UNSPEC) {
      if (socket.connection) socket.connection.isEnded = true;
      socket.peer = socket.connection = undefined;
      return 0;
    }
    const failure = this.failure("connect");
    if (failure) return failure;
    if (socket.peer) this.faults.push(`connect of ${fd}, which is connected`);
    const host = socket.family === AF_INET ? ipv4Text(address.subarray(4, 8)) : `[${ipv6Text(address.subarray(8, 24))}]`;
    const name = `${host}:${view.getUint16(2)}`;
    const unreachable = this.unreachable.get(name);
    if (unreachable !== undefined) return -unreachable;
    const peer = this.peers.get(name);
    if (!peer || peer.answer === "refuse") {
      socket.error = ECONNREFUSED;
      return -EINPROGRESS;
    }
    socket.peer = peer;
    socket.to = address.slice();
    if (peer.answer === "accept") peer.connections.push(socket.connection = new FakeConnection());
    return -EINPROGRESS;
  }

  override getsockname(fd: number, address: Memory): number {
    const socket = this.tcp.get(fd);
    if (!socket) return super.getsockname(fd, address);
    if (socket.to) address.set(socket.to);
    if (!this.connectsToItself) viewOf(address).setUint16(2, 50_000);
    return 0;
  }

  override setsockopt(fd: number, level: number, name: number, value: Memory): number {
    const socket = this.tcp.get(fd);
    if (!socket) return super.setsockopt(fd, level, name, value);
    socket.options.set(`${level}/${name}`, viewOf(value).getInt32(0, LITTLE));
    return 0;
  }

  override getsockopt(fd: number, level: number, name: number, value: Memory): number {
    const socket = this.tcp.get(fd);
    if (!socket) return super.getsockopt(fd, level, name, value);
    if (level === SOL_SOCKET && name === SO_ERROR) {
      viewOf(value).setInt32(0, socket.error, LITTLE);
      socket.error = 0;
      return 4;
    }
    const { connection } = socket;
    if (level !== IPPROTO_TCP || name !== TCP_INFO || !connection || !this.tellsAcknowledged) return 0;
    // The opening counts.
    viewOf(value).setBigUint64(120, BigInt(1 + (connection.acknowledged ?? connection.bytes.length)), LITTLE);
    return value.length;
  }

  override interfaceIndex(fd: number, name: string): number {
    return this.tcp.has(fd) ? this.interfaces.get(name) ?? -19 : super.interfaceIndex(fd, name);
  }

  send(fd: number, bytes: Memory, _flags: number): number {
    const failure = this.failure("send");
    if (failure) return failure;
    const socket = this.tcp.get(fd);
    if (!socket) return -EBADF;
    const { connection, peer } = socket;
    if (!connection || !peer) return -EPIPE;
    if (connection.closedBy !== undefined) return -EPIPE;
    const taken = Math.min(bytes.length, peer.room, peer.most);
    if (taken === 0) return -EAGAIN;
    peer.room -= taken;
    const longer = new Uint8Array(connection.bytes.length + taken);
    longer.set(connection.bytes);
    longer.set(bytes.subarray(0, taken), connection.bytes.length);
    connection.bytes = longer;
    return taken;
  }

  shutdown(fd: number, _how: number): number {
    const connection = this.tcp.get(fd)?.connection;
    if (!connection) return -ENOTCONN;
    connection.isEnded = true;
    return 0;
  }

  override poll(fd: number, events: number): number {
    const socket = this.tcp.get(fd);
    if (!socket) return super.poll(fd, events);
    const { connection, peer } = socket;
    if (!connection) return peer ? 0 : POLLHUP | (events & POLLOUT);
    if (connection.closedBy !== undefined) {
      if (connection.closedBy !== 0) socket.error = connection.closedBy;
      return (events & (POLLIN | POLLRDHUP | POLLOUT)) | (connection.closedBy === 0 ? 0 : POLLHUP);
    }
    return peer!.room > 0 ? events & POLLOUT : 0;
  }

  override close(fd: number): number {
    const socket = this.tcp.get(fd);
    if (!socket) return super.close(fd);
    if (socket.connection) socket.connection.isEnded = true;
    this.tcp.delete(fd);
    this.log.push(`${fd} close`);
    return 0;
  }
}
