/**
 * The UDP sockets of the scripted kernel: who can be reached, what arrives there, and the errors that come back, at the calls at which
 * Linux reports them.
 *
 * @module
 */
import {
  AF_INET,
  AF_UNSPEC,
  EAGAIN,
  EBADF,
  ECONNREFUSED,
  EINVAL,
  EMSGSIZE,
  ENODEV,
  IP_MTU,
  IP_MTU_DISCOVER,
  IP_PMTUDISC_WANT,
  IPPROTO_IP,
  IPPROTO_IPV6,
  IPV6_MTU,
  IPV6_MTU_DISCOVER,
  type Memory,
  POLLOUT,
  SO_ERROR,
  SOL_SOCKET,
} from "../src/sys/sys.ts";
import { LITTLE, viewOf } from "../src/wire/native.ts";
import { ipv4Text, ipv6Text } from "../src/wire/text.ts";
import { FakeFiles } from "./fake_files.ts";
import { FakeMemory } from "./fake_memory.ts";

const EDESTADDRREQ = 89;

/** A UDP socket of the fake kernel. */
export interface FakeUdpSocket {
  readonly family: number;
  readonly netns: string;
  port: number;
  /** Where it sends to: `"192.0.2.9:6343"`, `"[fe80::1%7]:6343"`. */
  peer: string | undefined;
  /** The error that the next call gets. */
  error: number;
  /** Values of options, by level and name. */
  readonly options: Map<string, number>;
}

/** A datagram that has arrived. */
export interface Arrived {
  readonly to: string;
  readonly from: number;
  readonly bytes: Uint8Array;
}

/** The part of the fake that sends datagrams. */
export class FakeUdp extends FakeFiles {
  protected readonly memory = new FakeMemory();
  /** Open UDP sockets. */
  readonly udp: Map<number, FakeUdpSocket> = new Map();
  /** What has arrived. */
  readonly arrived: Arrived[] = [];
  /** The error number that connecting and sending to an address fails with: there is no way to it. */
  readonly unreachable: Map<string, number> = new Map();
  /** The addresses at which nobody listens: an error comes back. */
  readonly refusing: Set<string> = new Set();
  /** The indexes of interfaces. */
  readonly interfaces: Map<string, number> = new Map([["eth0", 7]]);
  /** What paths take in one piece, headers included. */
  mtu = 1500;
  /** How many more datagrams the send buffer takes. */
  sendRoom = Infinity;
  #nextUdpPort = 40000;

  protected openUdp(family: number): number {
    const fd = this.newFd();
    this.udp.set(fd, { family, netns: this.netns, port: 0, peer: undefined, error: 0, options: new Map() });
    return fd;
  }

  bind(fd: number, address: Memory): number {
    const socket = this.udp.get(fd);
    if (!socket) return -EBADF;
    if (socket.port !== 0) return -EINVAL;
    socket.port = viewOf(address).getUint16(2) || this.#nextUdpPort++;
    return 0;
  }

  getsockname(fd: number, address: Memory): number {
    const socket = this.udp.get(fd);
    if (!socket) return -EBADF;
    viewOf(address).setUint16(2, socket.port);
    return 0;
  }

  setsockopt(fd: number, level: number, name: number, value: Memory): number {
    this.udp.get(fd)?.options.set(`${level}/${name}`, viewOf(value).getInt32(0, LITTLE));
    return this.udp.has(fd) ? 0 : -EBADF;
  }

  getsockopt(fd: number, level: number, name: number, value: Memory): number {
    const socket = this.udp.get(fd);
    if (!socket) return -EBADF;
    const answer = (number: number): number => {
      viewOf(value).setInt32(0, number, LITTLE);
      return 4;
    };
    if (level === SOL_SOCKET && name === SO_ERROR) {
      const { error } = socket;
      socket.error = 0;
      return answer(error);
    }
    const isMtu = level === IPPROTO_IP ? name === IP_MTU : level === IPPROTO_IPV6 && name === IPV6_MTU;
    return isMtu && socket.peer !== undefined ? answer(this.mtu) : -EINVAL;
  }

  connect(fd: number, address: Memory): number {
    const socket = this.udp.get(fd);
    if (!socket) return -EBADF;
    const view = viewOf(address);
    if (view.getUint16(0, LITTLE) === AF_UNSPEC) {
      socket.peer = undefined;
      // As on Linux, where a port that the kernel has chosen is released.
      socket.port = 0;
      return 0;
    }
    const failure = this.failure("connect");
    if (failure) return failure;
    if (view.getUint16(0, LITTLE) !== socket.family) this.faults.push(`connect of ${fd} to another family`);
    const scope = socket.family === AF_INET ? 0 : view.getUint32(24, LITTLE);
    const text = socket.family === AF_INET
      ? ipv4Text(address.subarray(4, 8))
      : `[${ipv6Text(address.subarray(8, 24))}${scope === 0 ? "" : `%${scope}`}]`;
    const peer = `${text}:${view.getUint16(2)}`;
    const errno = this.unreachable.get(peer);
    if (errno !== undefined) return -errno;
    if (socket.port === 0) this.faults.push(`connect of ${fd}, which has no port`);
    socket.peer = peer;
    return 0;
  }

  sendmmsg(fd: number, headers: bigint, count: number, _flags: number): number {
    const socket = this.udp.get(fd);
    if (!socket) return -EBADF;
    for (let i = 0; i < count; i++) {
      const errno = this.#send(socket, headers + BigInt(64 * i));
      // As the kernel: an error is told by nobody if something was sent in the same call.
      if (errno !== 0) return i > 0 ? i : -errno;
    }
    return count;
  }

  interfaceIndex(fd: number, name: string): number {
    if (!this.udp.has(fd)) return -EBADF;
    return this.interfaces.get(name) ?? -ENODEV;
  }

  override poll(fd: number, events: number): number {
    if (!this.udp.has(fd)) return super.poll(fd, events);
    return this.sendRoom > 0 ? events & POLLOUT : 0;
  }

  override close(fd: number): number {
    if (!this.udp.delete(fd)) return super.close(fd);
    this.log.push(`${fd} close`);
    return 0;
  }

  #send(socket: FakeUdpSocket, header: bigint): number {
    const { error } = socket;
    socket.error = 0;
    if (error !== 0) return error;
    const failure = -this.failure("sendmmsg");
    if (failure !== 0) return failure;
    const { peer } = socket;
    if (peer === undefined) return EDESTADDRREQ;
    const unreachable = this.unreachable.get(peer);
    if (unreachable !== undefined) return unreachable;
    const vector = viewOf(this.memory.at(viewOf(this.memory.at(header, 64)).getBigUint64(16, LITTLE), 16));
    const bytes = this.memory.at(vector.getBigUint64(0, LITTLE), Number(vector.getBigUint64(8, LITTLE))).slice();
    const discovery = socket.family === AF_INET ? `${IPPROTO_IP}/${IP_MTU_DISCOVER}` : `${IPPROTO_IPV6}/${IPV6_MTU_DISCOVER}`;
    const headerBytes = socket.family === AF_INET ? 28 : 48;
    if (bytes.length + headerBytes > this.mtu && socket.options.get(discovery) !== IP_PMTUDISC_WANT) return EMSGSIZE;
    if (this.sendRoom <= 0) return EAGAIN;
    this.sendRoom--;
    if (this.refusing.has(peer)) socket.error = ECONNREFUSED;
    else this.arrived.push({ to: peer, from: socket.port, bytes });
    return 0;
  }
}
