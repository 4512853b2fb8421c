/**
 * A scripted kernel under the seam. Memory is what addresses point to, as in the real one: recvmmsg follows the
 * headers to the slots. Sockets have queues, multicast groups, working filters, and errors on request; a small controller answers for the
 * psample family, which can be absent, and come and go.
 *
 * Every test ends with `sys.assertClean()`: all descriptors closed, each of them once.
 *
 * @module
 */
import { Buffer } from "node:buffer";
import { assertEquals } from "@std/assert";
import { NetlinkError } from "../src/errors.ts";
import {
  AF_INET,
  AF_INET6,
  EAGAIN,
  EBADF,
  ECONNREFUSED,
  EINVAL,
  ENOENT,
  EPERM,
  type Memory,
  NETLINK_ADD_MEMBERSHIP,
  NETLINK_DROP_MEMBERSHIP,
  NETLINK_GENERIC,
  NETLINK_LISTEN_ALL_NSID,
  NETLINK_ROUTE,
  NETLINK_SOCK_DIAG,
  NETLINK_USERSOCK,
  SO_ATTACH_FILTER,
  SO_MEMINFO,
  SO_RCVBUF,
  SO_RCVBUFFORCE,
  SOCK_STREAM,
  SOL_NETLINK,
  SOL_SOCKET,
  type Sys,
  type Watch,
} from "../src/sys/sys.ts";
import { type Message, splitMessages } from "../src/wire/message.ts";
import { LITTLE, viewOf } from "../src/wire/native.ts";
import { FakeProcess } from "./fake_process.ts";
import { listed } from "./fake_socket_diag.ts";
import { runFilter } from "./support/classic_bpf.ts";
import { ackMessage, doneMessage, FAMILY, familyMessage, groupEntry, joined } from "./support/messages.ts";

/** An entry in a socket's queue: a datagram, or an error that a read returns instead. */
export type Queued = { bytes: Uint8Array; portId: number; nsid: number | undefined } | { errno: number };

/** A socket of the fake kernel. */
export class FakeSocket {
  readonly queue: Queued[] = [];
  readonly groups: Set<number> = new Set();
  readonly fd: number;
  readonly portId: number;
  readonly protocol: number;
  filter: Uint8Array | undefined;
  allNamespaces = false;
  receiveBuffer = 212992;
  /** How many datagrams fit into the receive buffer. */
  room = Infinity;
  drops = 0;
  /** How often it was read from, by recvmmsg or by the runtime. */
  reads = 0;
  /** The network namespace that it was opened in. */
  readonly netns: string;
  /** The watch's callback, if there is one. */
  ready: ((first?: Uint8Array) => void) | undefined;
  waiting = false;
  scheduled = false;

  constructor(fd: number, protocol: number, portId: number, netns: string) {
    this.fd = fd;
    this.protocol = protocol;
    this.portId = portId;
    this.netns = netns;
  }
}

/** How the fake behaves. */
export interface FakeOptions {
  /** As on Bun: the runtime reads a datagram to find out that one has arrived. */
  readsFirst?: boolean;
  /** The user has no capability. */
  unprivileged?: boolean;
  /** The kernel has no psample family at first. */
  noFamily?: boolean;
  /** The kernel cannot list netlink sockets: it has no netlink_diag. */
  noSocketDiag?: boolean;
}

const RMEM_MAX = 212992;

/** The fake. */
export class FakeSys extends FakeProcess implements Sys {
  readonly runtime = "Bun" in globalThis ? "bun" : "deno";
  readonly readsFirst: boolean;
  readonly noSocketDiag: boolean;
  /** Open descriptors. */
  readonly fds: Map<number, FakeSocket> = new Map();
  /** The psample family, while the kernel has it. */
  family: { id: number; name: string; groups: Record<string, number> } | undefined;
  /** What the dump of groups lists. */
  groups: { group: number; refcount: number; sequence: number }[] = [];
  /** How many groups fit into a datagram of the dump. */
  groupsPerDatagram = 2;
  /** The attribute number of a group's reference count. */
  refcountType = 7;
  /** Answers a request to the kernel; may be replaced. */
  answer: (request: Message, socket: FakeSocket) => void = (request, socket) => this.#controller(request, socket);

  #nextPort = 1000;
  /** What the runtime reads into: overwritten as soon as the callback has returned. */
  readonly #scratch = Buffer.from(new ArrayBuffer(128 * 1024));

  constructor(options: FakeOptions = {}) {
    super(options.unprivileged ?? false);
    this.readsFirst = options.readsFirst ?? false;
    this.noSocketDiag = options.noSocketDiag ?? false;
    if (!options.noFamily) this.family = { id: FAMILY, name: "psample", groups: { config: 40, packets: 41 } };
  }

  // ---- the script

  /** The sockets that have joined a multicast group of psample or of the controller. */
  get listeners(): FakeSocket[] {
    return [...this.fds.values()].filter((socket) => socket.groups.size > 0);
  }

  /** The one that listens; the first if there are two. */
  get listener(): FakeSocket {
    const [socket] = this.listeners;
    if (!socket) throw new Error("nobody listens");
    return socket;
  }

  /** The kernel multicasts samples. */
  sample(...messages: Uint8Array[]): void {
    for (const bytes of messages) this.multicast(this.#group("packets"), bytes);
  }

  /** The kernel multicasts a group event. */
  event(bytes: Uint8Array): void {
    this.multicast(this.#group("config"), bytes);
  }

  /** The kernel multicasts to a group; `nsid` if the sender is in another namespace. */
  multicast(group: number, bytes: Uint8Array, nsid?: number): void {
    for (const socket of this.fds.values()) {
      if (!socket.groups.has(group) || (nsid !== undefined && !socket.allNamespaces)) continue;
      const kept = socket.filter ? runFilter(socket.filter, bytes) : bytes.length;
      if (kept > 0) this.deliver(socket, { bytes: bytes.slice(0, kept), portId: 0, nsid });
    }
  }

  /** Something arrives in a socket. */
  deliver(socket: FakeSocket, what: Queued): void {
    if (socket.queue.length >= socket.room) socket.drops++;
    else socket.queue.push(what);
    this.#poke(socket);
  }

  /** The kernel, or another process, sends to a socket. */
  reply(socket: FakeSocket, bytes: Uint8Array, portId = 0): void {
    this.deliver(socket, { bytes, portId, nsid: undefined });
  }

  /** The psample module is loaded. */
  addFamily(id = FAMILY, groups: Record<string, number> = { config: 40, packets: 41 }): void {
    this.family = { id, name: "psample", groups };
    this.multicast(0x10, familyMessage(1, this.family));
  }

  /** The psample module is unloaded: memberships of its groups end. */
  removeFamily(): void {
    const family = this.family!;
    this.family = undefined;
    for (const socket of this.fds.values()) for (const group of Object.values(family.groups)) socket.groups.delete(group);
    this.multicast(0x10, familyMessage(2, family));
  }

  /** Checks that every descriptor was closed, and nothing done twice. */
  assertClean(): void {
    assertEquals({ open: [...this.fds.keys(), ...this.udp.keys(), ...this.tcp.keys(), ...this.openFiles.keys()], faults: this.faults }, {
      open: [],
      faults: [],
    });
  }

  // ---- the calls

  socket(domain: number, type: number, protocol: number): number {
    const failure = this.failure("socket");
    if (failure) return failure;
    if (domain === AF_INET || domain === AF_INET6) return (type & 0xf) === SOCK_STREAM ? this.openTcp(domain) : this.openUdp(domain);
    const fd = this.newFd();
    this.fds.set(fd, new FakeSocket(fd, protocol, this.#nextPort++, this.netns));
    return fd;
  }

  override bind(fd: number, address: Memory): number {
    return this.failure("bind") || (this.isInternet(fd) ? super.bind(fd, address) : this.#with(fd, () => 0));
  }

  override getsockname(fd: number, address: Memory): number {
    const failure = this.failure("getsockname");
    if (failure || this.isInternet(fd)) return failure || super.getsockname(fd, address);
    return this.#with(fd, (socket) => {
      viewOf(address).setUint32(4, socket.portId, LITTLE);
      return 0;
    });
  }

  override setsockopt(fd: number, level: number, name: number, value: Memory): number {
    const failure = this.failure("setsockopt");
    if (failure || this.isInternet(fd)) return failure || super.setsockopt(fd, level, name, value);
    return this.#with(fd, (socket) => this.#setOption(socket, `${level}/${name}`, value));
  }

  override getsockopt(fd: number, level: number, name: number, value: Memory): number {
    const failure = this.failure("getsockopt");
    if (failure || this.isInternet(fd)) return failure || super.getsockopt(fd, level, name, value);
    return this.#with(fd, (socket) => {
      const view = viewOf(value);
      if (level === SOL_SOCKET && name === SO_RCVBUF) {
        view.setInt32(0, 2 * socket.receiveBuffer, LITTLE);
        return 4;
      }
      if (level !== SOL_SOCKET || name !== SO_MEMINFO) return -EINVAL;
      view.setUint32(0, socket.queue.reduce((sum, one) => sum + ("bytes" in one ? one.bytes.length : 0), 0), LITTLE);
      view.setUint32(4 * 8, socket.drops, LITTLE);
      return 36;
    });
  }

  sendto(fd: number, bytes: Memory, _flags: number, address: Memory): number {
    return this.failure("sendto") || this.#with(fd, (socket) => {
      const portId = viewOf(address).getUint32(4, LITTLE);
      const groups = viewOf(address).getUint32(8, LITTLE);
      if (this.unprivileged && socket.protocol === NETLINK_GENERIC && (portId !== 0 || groups !== 0)) return -EPERM;
      if (groups !== 0) return this.#sendToGroup(32 - Math.clz32(groups & -groups), bytes, socket);
      if (portId === 0) {
        const answer = socket.protocol === NETLINK_SOCK_DIAG ? this.#listSockets : this.answer;
        for (const request of splitMessages(bytes.slice())) answer(request, socket);
        return bytes.length;
      }
      const to = [...this.fds.values()].find((one) => one.protocol === socket.protocol && one.portId === portId);
      if (!to) return -ECONNREFUSED;
      if (to.queue.length >= to.room) return -EAGAIN;
      this.deliver(to, { bytes: bytes.slice(), portId: socket.portId, nsid: undefined });
      return bytes.length;
    });
  }

  /** As another process sends: the sender gets nothing itself. */
  #sendToGroup(group: number, bytes: Memory, { fd, protocol, portId }: FakeSocket): number {
    for (const socket of this.fds.values()) {
      if (socket.fd === fd || socket.protocol !== protocol || !socket.groups.has(group)) continue;
      this.deliver(socket, { bytes: bytes.slice(), portId, nsid: undefined });
    }
    return bytes.length;
  }

  recvmmsg(fd: number, headers: bigint, count: number, _flags: number): number {
    return this.failure("recvmmsg") || this.#with(fd, (socket) => {
      socket.reads++;
      for (let i = 0; i < count; i++) {
        const next = socket.queue[0];
        if (!next) return i > 0 ? i : -EAGAIN;
        // As the kernel: an error is told by the call after the one that brought what came before it.
        if ("errno" in next && i > 0) return i;
        socket.queue.shift();
        if ("errno" in next) return -next.errno;
        this.memory.fill(headers + BigInt(64 * i), next, socket.allNamespaces);
      }
      return count;
    });
  }

  override close(fd: number): number {
    if (!this.fds.delete(fd)) return super.close(fd);
    this.log.push(`${fd} close`);
    return 0;
  }

  bpf(_command: number, _attributes: Memory): number {
    return -EPERM;
  }

  addressOf(memory: Memory): bigint {
    return this.memory.addressOf(memory);
  }

  // deno-lint-ignore require-await -- a failure is a rejection
  async watch(fd: number, ready: (first?: Uint8Array) => void): Promise<Watch> {
    const failure = this.failure("watch");
    if (failure) throw new NetlinkError("watch a socket", -failure);
    const socket = this.fds.get(fd)!;
    socket.ready = ready;
    let closed: Promise<void> | undefined;
    return {
      wait: () => {
        if (closed) return;
        socket.waiting = true;
        this.#poke(socket);
      },
      close: () =>
        closed ??= new Promise((resolve) => {
          socket.ready = undefined;
          // Later, as in the real ones: the loop that watches it must let go first.
          setImmediate(() => {
            if (this.fds.has(fd) || !this.readsFirst) this.close(fd);
            resolve();
          });
        }),
    };
  }

  // ---- inside

  /** Calls the watch's callback, in a later turn of the event loop, if it waits and there is something. */
  #poke(socket: FakeSocket): void {
    if (socket.scheduled || !socket.waiting || socket.queue.length === 0) return;
    socket.scheduled = true;
    setImmediate(() => {
      socket.scheduled = false;
      if (!socket.waiting || !socket.ready || socket.queue.length === 0) return;
      socket.waiting = false;
      if (!this.readsFirst) return socket.ready();
      socket.reads++;
      const first = socket.queue.shift()!;
      if ("errno" in first) {
        // The runtime closes a socket that reports an error.
        this.close(socket.fd);
        return socket.ready();
      }
      // A Buffer, as on Bun: its slice() is no copy.
      const lent = this.#scratch.subarray(0, first.bytes.length);
      lent.set(first.bytes);
      socket.ready(lent);
      this.#scratch.fill(0xee);
    });
  }

  /** As netlink_diag: a socket that has joined a group is listed twice. */
  readonly #listSockets = ({ sequence, payload }: Message, socket: FakeSocket): void => {
    if (this.noSocketDiag) return this.reply(socket, ackMessage(sequence, ENOENT));
    const sockets = [...this.fds.values()].filter(({ protocol }) => protocol === payload[1]);
    for (const message of listed(sockets, sequence)) this.reply(socket, message);
    this.reply(socket, doneMessage(sequence));
  };

  #setOption(socket: FakeSocket, option: string, value: Memory): number {
    const number = viewOf(value).getInt32(0, LITTLE);
    switch (option) {
      case `${SOL_SOCKET}/${SO_ATTACH_FILTER}`: {
        const view = viewOf(value);
        const size = 8 * view.getUint16(0, LITTLE);
        socket.filter = this.memory.at(view.getBigUint64(8, LITTLE), size).slice();
        this.log.push(`${socket.fd} filter`);
        return 0;
      }
      case `${SOL_SOCKET}/${SO_RCVBUFFORCE}`:
        if (this.unprivileged) return -EPERM;
        socket.receiveBuffer = number;
        return 0;
      case `${SOL_SOCKET}/${SO_RCVBUF}`:
        socket.receiveBuffer = Math.min(number, RMEM_MAX);
        return 0;
      case `${SOL_NETLINK}/${NETLINK_ADD_MEMBERSHIP}`:
        if (number === this.family?.groups["packets"] && this.unprivileged) return -EPERM;
        if (socket.protocol === NETLINK_USERSOCK || socket.protocol === NETLINK_ROUTE) {
          if (this.unprivileged && socket.protocol === NETLINK_USERSOCK) return -EPERM;
          socket.groups.add(number);
          return 0;
        }
        if (number !== 0x10 && !Object.values(this.family?.groups ?? {}).includes(number)) return -ENOENT;
        socket.groups.add(number);
        this.log.push(`${socket.fd} join ${number}`);
        return 0;
      case `${SOL_NETLINK}/${NETLINK_DROP_MEMBERSHIP}`:
        socket.groups.delete(number);
        this.log.push(`${socket.fd} leave ${number}`);
        return 0;
      case `${SOL_NETLINK}/${NETLINK_LISTEN_ALL_NSID}`:
        if (this.unprivileged) return -EPERM;
        socket.allNamespaces = number !== 0;
        this.log.push(`${socket.fd} all namespaces`);
        return 0;
      default:
        this.log.push(`${socket.fd} option ${option} ${number}`);
        return 0;
    }
  }

  #controller(request: Message, socket: FakeSocket): void {
    const { sequence, payload, type } = request;
    const refuse = (errno: number): void => this.reply(socket, ackMessage(sequence, errno));
    if (socket.protocol !== NETLINK_GENERIC) return refuse(EINVAL);
    if (type === 0x10 && payload[0] === 3) {
      if (!this.family) return refuse(ENOENT);
      this.reply(socket, familyMessage(1, this.family, sequence));
      return refuse(0);
    }
    if (type !== this.family?.id || payload[0] !== 1) return refuse(ENOENT);
    const entries = this.groups.map((group) => groupEntry(group, sequence, this.refcountType));
    for (let i = 0; i < entries.length; i += this.groupsPerDatagram) {
      this.reply(socket, joined(...entries.slice(i, i + this.groupsPerDatagram)));
    }
    this.reply(socket, doneMessage(sequence));
  }

  #with(fd: number, call: (socket: FakeSocket) => number): number {
    const socket = this.fds.get(fd);
    return socket ? call(socket) : -EBADF;
  }

  #group(name: string): number {
    const group = this.family?.groups[name];
    if (group === undefined) throw new Error(`the kernel has no psample group ${name} now`);
    return group;
  }
}

/** Waits for everything that is due: a few turns of the event loop, and the tick of a busy receiver. */
export async function settle(): Promise<void> {
  for (let i = 0; i < 4; i++) await new Promise((resolve) => setImmediate(resolve));
  await new Promise((resolve) => setTimeout(resolve, 4));
  for (let i = 0; i < 4; i++) await new Promise((resolve) => setImmediate(resolve));
}
