/**
 * A scripted kernel under the seam. Memory is what addresses point to, as in the real one: recvmmsg follows the
 * headers to the slots. Sockets have queues, multicast groups, filters that are run, and errors on request; a
 * small controller answers for the psample family, which can be absent, come and go.
 *
 * Every test ends with `sys.assertClean()`: all descriptors closed, each of them once.
 *
 * @module
 */
import { Buffer } from "node:buffer";
import { assertEquals } from "@std/assert";
import { NetlinkError } from "../src/errors.ts";
import {
  EAGAIN,
  EBADF,
  ECONNREFUSED,
  EEXIST,
  EINVAL,
  ENOENT,
  EPERM,
  type FileStatus,
  type Memory,
  MSG_TRUNC,
  NETLINK_ADD_MEMBERSHIP,
  NETLINK_DROP_MEMBERSHIP,
  NETLINK_GENERIC,
  NETLINK_LISTEN_ALL_NSID,
  NETLINK_ROUTE,
  NETLINK_SOCK_DIAG,
  NETLINK_USERSOCK,
  O_APPEND,
  O_CREAT,
  O_EXCL,
  O_NONBLOCK,
  O_RDWR,
  O_TRUNC,
  O_WRONLY,
  POLLERR,
  POLLHUP,
  POLLIN,
  POLLOUT,
  SO_ATTACH_FILTER,
  SO_MEMINFO,
  SO_RCVBUF,
  SO_RCVBUFFORCE,
  SOL_NETLINK,
  SOL_SOCKET,
  type Sys,
  type Watch,
} from "../src/sys/sys.ts";
import { encodeMessage, type Message, splitMessages } from "../src/wire/message.ts";
import { LITTLE, viewOf } from "../src/wire/native.ts";
import { runFilter } from "./support/classic_bpf.ts";
import { ackMessage, doneMessage, FAMILY, familyMessage, groupEntry, joined } from "./support/messages.ts";

/** What waits in a socket to be read: a datagram, or an error that the read gets in its place. */
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
  /** The watch's callback, while one is there. */
  ready: ((first?: Uint8Array) => void) | undefined;
  waiting = false;
  scheduled = false;

  constructor(fd: number, protocol: number, portId: number) {
    this.fd = fd;
    this.protocol = protocol;
    this.portId = portId;
  }
}

/** A file of the fake kernel. */
export class FakeFile {
  readonly kind: FileStatus["kind"];
  /** What is in it; of a FIFO what waits to be read. */
  bytes: Uint8Array;
  /** Of a FIFO: whether it has a writer, or a reader if it is written. */
  peer = true;
  /** Of a FIFO: how many bytes it takes at once. */
  room = Infinity;

  constructor(bytes: Uint8Array = new Uint8Array(0), kind: FileStatus["kind"] = "file") {
    this.bytes = bytes;
    this.kind = kind;
  }

  /** Appends, as a writer does. */
  append(bytes: Uint8Array): void {
    const longer = new Uint8Array(this.bytes.length + bytes.length);
    longer.set(this.bytes);
    longer.set(bytes, this.bytes.length);
    this.bytes = longer;
  }
}

/** How the fake behaves. */
export interface FakeOptions {
  /** As on Bun: the runtime reads a datagram to find out that there is one. */
  readsFirst?: boolean;
  /** The user has no capability. */
  unprivileged?: boolean;
  /** The kernel has no psample family at first. */
  noFamily?: boolean;
  /** The kernel cannot list netlink sockets: it has no netlink_diag. */
  noSocketDiag?: boolean;
}

/** The calls that {@linkcode FakeSys.fail} can make fail. */
export type Call =
  | "socket"
  | "bind"
  | "getsockname"
  | "setsockopt"
  | "getsockopt"
  | "sendto"
  | "recvmmsg"
  | "watch"
  | "open"
  | "read"
  | "write";

const RMEM_MAX = 212992;

const ENXIO = 6;
const ENOTDIR = 20;
const EISDIR = 21;
const EPIPE = 32;

/** The fake. */
export class FakeSys implements Sys {
  readonly runtime = "fake";
  readonly readsFirst: boolean;
  readonly unprivileged: boolean;
  readonly noSocketDiag: boolean;
  /** Open descriptors. */
  readonly fds: Map<number, FakeSocket> = new Map();
  /** Files by their paths; several paths may lead to one. */
  readonly files: Map<string, FakeFile> = new Map();
  /** Open files. */
  readonly openFiles: Map<number, { file: FakeFile; at: number }> = new Map();
  /** What was asked for, in order: `"3 join 16"`, `"3 filter"`, `"3 close"`. */
  readonly log: string[] = [];
  /** What a correct caller never does. */
  readonly faults: string[] = [];
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

  readonly #memories: { start: bigint; bytes: Uint8Array }[] = [];
  readonly #addresses = new Map<ArrayBuffer, bigint>();
  #nextAddress = 0x7f00_0000_1000n;
  #nextFd = 3;
  #nextPort = 1000;
  readonly #failures: { call: Call; errno: number }[] = [];
  /** What the runtime reads into: overwritten as soon as the callback has returned. */
  readonly #scratch = Buffer.from(new ArrayBuffer(128 * 1024));

  constructor(options: FakeOptions = {}) {
    this.readsFirst = options.readsFirst ?? false;
    this.unprivileged = options.unprivileged ?? false;
    this.noSocketDiag = options.noSocketDiag ?? false;
    if (!options.noFamily) this.family = { id: FAMILY, name: "psample", groups: { config: 40, packets: 41 } };
  }

  // ---- the script

  /** Makes the next `call` fail with `errno`; several in a row are used up one by one. */
  fail(call: Call, ...errnos: number[]): void {
    for (const errno of errnos) this.#failures.push({ call, errno });
  }

  /** The sockets that have joined a multicast group of psample or of the controller. */
  get listeners(): FakeSocket[] {
    return [...this.fds.values()].filter((socket) => socket.groups.size > 0);
  }

  /** The one that listens; the first, where there are two. */
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

  /** The kernel multicasts to a group; `nsid` where the sender is in another namespace. */
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
    assertEquals({ open: [...this.fds.keys(), ...this.openFiles.keys()], faults: this.faults }, { open: [], faults: [] });
  }

  // ---- the calls

  socket(_domain: number, _type: number, protocol: number): number {
    const failure = this.#failure("socket");
    if (failure) return failure;
    const fd = this.#nextFd++;
    this.fds.set(fd, new FakeSocket(fd, protocol, this.#nextPort++));
    return fd;
  }

  bind(fd: number, _address: Memory): number {
    return this.#failure("bind") || this.#with(fd, () => 0);
  }

  getsockname(fd: number, address: Memory): number {
    return this.#failure("getsockname") || this.#with(fd, (socket) => {
      viewOf(address).setUint32(4, socket.portId, LITTLE);
      return 0;
    });
  }

  setsockopt(fd: number, level: number, name: number, value: Memory): number {
    return this.#failure("setsockopt") || this.#with(fd, (socket) => this.#setOption(socket, `${level}/${name}`, value));
  }

  getsockopt(fd: number, level: number, name: number, value: Memory): number {
    return this.#failure("getsockopt") || this.#with(fd, (socket) => {
      const view = viewOf(value);
      if (level === SOL_SOCKET && name === SO_RCVBUF) {
        view.setInt32(0, 2 * socket.receiveBuffer, LITTLE);
        return 4;
      }
      if (level !== SOL_SOCKET || name !== SO_MEMINFO) return -EINVAL;
      view.setUint32(4 * 8, socket.drops, LITTLE);
      return 36;
    });
  }

  sendto(fd: number, bytes: Memory, _flags: number, address: Memory): number {
    return this.#failure("sendto") || this.#with(fd, (socket) => {
      const portId = viewOf(address).getUint32(4, LITTLE);
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

  recvmmsg(fd: number, headers: bigint, count: number, _flags: number): number {
    return this.#failure("recvmmsg") || this.#with(fd, (socket) => {
      socket.reads++;
      for (let i = 0; i < count; i++) {
        const next = socket.queue[0];
        if (!next) return i > 0 ? i : -EAGAIN;
        // As the kernel: an error is told by the call after the one that brought what came before it.
        if ("errno" in next && i > 0) return i;
        socket.queue.shift();
        if ("errno" in next) return -next.errno;
        this.#fill(headers + BigInt(64 * i), next, socket);
      }
      return count;
    });
  }

  close(fd: number): number {
    this.log.push(`${fd} close`);
    if (this.fds.delete(fd) || this.openFiles.delete(fd)) return 0;
    this.faults.push(`close of ${fd}, which is not open`);
    return -EBADF;
  }

  open(path: string, flags: number, _mode: number): number {
    const failure = this.#failure("open");
    if (failure) return failure;
    if (path === "") return -ENOENT;
    let file = this.files.get(path);
    if (file && flags & O_CREAT && flags & O_EXCL) return -EEXIST;
    if (!file && !(flags & O_CREAT)) return -ENOENT;
    if (file?.kind === "directory" && flags & (O_WRONLY | O_RDWR)) return -EISDIR;
    if (file?.kind === "fifo" && !(flags & O_NONBLOCK)) this.faults.push(`open of the FIFO ${path} that may block`);
    if (file?.kind === "fifo" && flags & O_WRONLY && !file.peer) return -ENXIO;
    if (!file) this.files.set(path, file = new FakeFile());
    if (flags & O_TRUNC) file.bytes = new Uint8Array(0);
    const fd = this.#nextFd++;
    this.openFiles.set(fd, { file, at: flags & O_APPEND ? file.bytes.length : 0 });
    return fd;
  }

  read(fd: number, into: Memory): number {
    const failure = this.#failure("read");
    if (failure) return failure;
    const open = this.openFiles.get(fd);
    if (!open) return -EBADF;
    const { file } = open;
    if (file.kind === "directory") return -EISDIR;
    const isStream = file.kind !== "file";
    const from = isStream ? 0 : open.at;
    const part = file.bytes.subarray(from, from + into.length);
    if (isStream && part.length === 0 && file.peer) {
      this.faults.push(`read of ${fd} that would block`);
      return -EAGAIN;
    }
    into.set(part);
    if (isStream) file.bytes = file.bytes.slice(part.length);
    else open.at += part.length;
    return part.length;
  }

  write(fd: number, bytes: Memory): number {
    const failure = this.#failure("write");
    if (failure) return failure;
    const open = this.openFiles.get(fd);
    if (!open) return bytes.length;
    const { file } = open;
    if (file.kind !== "file") {
      if (!file.peer) return -EPIPE;
      const part = bytes.subarray(0, file.room - file.bytes.length);
      if (part.length === 0) return -EAGAIN;
      file.append(part);
      return part.length;
    }
    const longer = new Uint8Array(Math.max(file.bytes.length, open.at + bytes.length));
    longer.set(file.bytes);
    longer.set(bytes, open.at);
    file.bytes = longer;
    open.at += bytes.length;
    return bytes.length;
  }

  stat(fd: number): FileStatus | number {
    const open = this.openFiles.get(fd);
    if (!open) return -EBADF;
    const { kind, bytes } = open.file;
    return { kind, identity: `0:1:${[...this.files.values()].indexOf(open.file)}`, size: kind === "file" ? bytes.length : 0 };
  }

  getdents64(fd: number, into: Memory): number {
    const open = this.openFiles.get(fd);
    if (!open) return -EBADF;
    if (open.file.kind !== "directory") return -ENOTDIR;
    if (open.at > 0) return 0;
    const [directory] = [...this.files].find(([, file]) => file === open.file)!;
    const prefix = directory === "." ? "" : directory.endsWith("/") ? directory : `${directory}/`;
    const names = [
      ".",
      "..",
      ...[...this.files.keys()].filter((path) => path.startsWith(prefix) && path !== directory).map((path) => path.slice(prefix.length)),
    ];
    const view = new DataView(into.buffer, into.byteOffset);
    for (const name of names.filter((name) => !name.includes("/"))) {
      const bytes = new TextEncoder().encode(name);
      const size = (19 + bytes.length + 1 + 7) & ~7;
      into.fill(0, open.at, open.at + size);
      view.setUint16(open.at + 16, size, true);
      into.set(bytes, open.at + 19);
      open.at += size;
    }
    return open.at;
  }

  reopen(fd: number, _flags: number): number {
    const open = this.openFiles.get(fd);
    if (!open) return -ENOENT;
    const own = this.#nextFd++;
    this.openFiles.set(own, { file: open.file, at: 0 });
    return own;
  }

  ftruncate(fd: number, size: number): number {
    const open = this.openFiles.get(fd);
    if (!open) return -EBADF;
    if (open.file.kind !== "file") return -EINVAL;
    const bytes = new Uint8Array(size);
    bytes.set(open.file.bytes.subarray(0, size));
    open.file.bytes = bytes;
    return 0;
  }

  unlink(path: string): number {
    if (this.files.get(path)?.kind === "directory") return -EISDIR;
    return this.files.delete(path) ? 0 : -ENOENT;
  }

  poll(fd: number, events: number): number {
    const open = this.openFiles.get(fd);
    if (!open) return this.writable(fd) ? events & POLLOUT : 0;
    const { kind, bytes, peer, room } = open.file;
    if (kind === "file") return events & (POLLIN | POLLOUT);
    const ready = (bytes.length > 0 ? POLLIN : 0) | (bytes.length < room ? POLLOUT : 0);
    return (events & ready) | (peer ? 0 : events & POLLOUT ? POLLERR : POLLHUP);
  }

  writable(fd: number): boolean {
    return !this.openFiles.has(fd) || this.poll(fd, POLLOUT) !== 0;
  }

  seekable(fd: number): boolean {
    return this.openFiles.get(fd)?.file.kind === "file";
  }

  readlink(_path: Memory, _into: Memory): number {
    return -ENOENT;
  }

  geteuid(): number {
    return this.unprivileged ? 1000 : 0;
  }

  signalAction(): "default" {
    return "default";
  }

  takeUsr1(): undefined {}

  raiseDefault(): number {
    return 0;
  }

  bpf(_command: number, _attributes: Memory): number {
    return -EPERM;
  }

  /** Local time is UTC. */
  utcOffset(): number {
    return 0;
  }

  /** The users of the fake: `nobody`. */
  getpwnam(name: Memory): { uid: number; gid: number } | undefined {
    return new TextDecoder().decode(name) === "nobody\0" ? { uid: 65534, gid: 65534 } : undefined;
  }

  /** Calls that change privileges, in their order. */
  readonly privileges: string[] = [];

  initgroups(name: Memory, gid: number): number {
    return this.#privilege(`initgroups ${new TextDecoder().decode(name).slice(0, -1)} ${gid}`);
  }

  setresgid(real: number, effective: number, saved: number): number {
    return this.#privilege(`setresgid ${real} ${effective} ${saved}`);
  }

  setresuid(real: number, effective: number, saved: number): number {
    return this.#privilege(`setresuid ${real} ${effective} ${saved}`);
  }

  prctl(option: number, argument: number): number {
    return this.#privilege(`prctl ${option} ${argument}`);
  }

  capset(header: Memory, data: Memory): number {
    const words = [...new Uint32Array(header.buffer), ...new Uint32Array(data.buffer)].map((word) => word.toString(16));
    return this.#privilege(`capset ${words.join(" ")}`);
  }

  /** What the next calls that change privileges answer: 0 unless set. */
  privilegeResult = 0;

  #privilege(call: string): number {
    this.privileges.push(call);
    return this.privilegeResult;
  }

  addressOf(memory: Memory): bigint {
    let start = this.#addresses.get(memory.buffer);
    if (start === undefined) {
      start = this.#nextAddress;
      this.#nextAddress += BigInt((memory.buffer.byteLength + 0x1fff) & ~0xfff);
      this.#addresses.set(memory.buffer, start);
      this.#memories.push({ start, bytes: new Uint8Array(memory.buffer) });
    }
    return start + BigInt(memory.byteOffset);
  }

  // deno-lint-ignore require-await -- a failure is a rejection
  async watch(fd: number, ready: (first?: Uint8Array) => void): Promise<Watch> {
    const failure = this.#failure("watch");
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
    const listed = [...this.fds.values()].filter(({ protocol }) => protocol === payload[1]);
    for (const one of [...listed, ...listed.filter(({ groups }) => groups.size > 0)]) {
      const entry = new Uint8Array(28);
      const view = viewOf(entry);
      entry.set([16, 3, one.protocol, 7]);
      view.setUint32(4, one.portId, LITTLE);
      view.setUint32(16, 1000 + one.fd, LITTLE);
      view.setUint32(20, one.fd, LITTLE);
      const bitmap = new Uint8Array(8);
      for (const group of one.groups) bitmap[LITTLE ? (group - 1) >> 3 : 7 - ((group - 1) >> 3)]! |= 1 << ((group - 1) & 7);
      this.reply(socket, encodeMessage({ type: 20, flags: 2, sequence }, entry, (attr) => attr.bytes(1, bitmap)));
    }
    this.reply(socket, doneMessage(sequence));
  };

  #setOption(socket: FakeSocket, option: string, value: Memory): number {
    const number = viewOf(value).getInt32(0, LITTLE);
    switch (option) {
      case `${SOL_SOCKET}/${SO_ATTACH_FILTER}`: {
        const view = viewOf(value);
        const size = 8 * view.getUint16(0, LITTLE);
        socket.filter = this.#at(view.getBigUint64(8, LITTLE), size).slice();
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

  /** Writes what recvmmsg writes for one datagram: name, data, control, flags, length. */
  #fill(header: bigint, datagram: { bytes: Uint8Array; portId: number; nsid: number | undefined }, socket: FakeSocket): void {
    const msg = viewOf(this.#at(header, 64));
    const nameAddress = msg.getBigUint64(0, LITTLE);
    if (nameAddress !== 0n) {
      const name = viewOf(this.#at(nameAddress, msg.getUint32(8, LITTLE)));
      name.setUint16(0, 16, LITTLE);
      name.setUint32(4, datagram.portId, LITTLE);
      msg.setUint32(8, 12, LITTLE);
    }

    const vectors = Number(msg.getBigUint64(24, LITTLE));
    const iovec = viewOf(this.#at(msg.getBigUint64(16, LITTLE), 16 * vectors));
    let size = 0;
    for (let i = 0; i < vectors && size < datagram.bytes.length; i++) {
      const part = datagram.bytes.subarray(size, size + Number(iovec.getBigUint64(16 * i + 8, LITTLE)));
      this.#at(iovec.getBigUint64(16 * i, LITTLE), part.length).set(part);
      size += part.length;
    }

    const room = Number(msg.getBigUint64(40, LITTLE));
    let used = 0;
    if (socket.allNamespaces && datagram.nsid !== undefined && room >= 24) {
      used = 24;
      const control = viewOf(this.#at(msg.getBigUint64(32, LITTLE), used));
      control.setBigUint64(0, 20n, LITTLE);
      control.setInt32(8, SOL_NETLINK, LITTLE);
      control.setInt32(12, NETLINK_LISTEN_ALL_NSID, LITTLE);
      control.setInt32(16, datagram.nsid, LITTLE);
    }
    msg.setBigUint64(40, BigInt(used), LITTLE);
    msg.setUint32(48, size < datagram.bytes.length ? MSG_TRUNC : 0, LITTLE);
    msg.setUint32(56, size, LITTLE);
  }

  #at(address: bigint, size: number): Uint8Array {
    // Addresses grow, and the newest memory is what is asked for most.
    const memory = this.#memories.findLast(({ start }) => start <= address);
    const at = memory ? Number(address - memory.start) : 0;
    if (memory && at + size <= memory.bytes.length) return memory.bytes.subarray(at, at + size);
    throw new Error(`nothing lies at ${address.toString(16)}`);
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

  #failure(call: Call): number {
    const at = this.#failures.findIndex((failure) => failure.call === call);
    return at < 0 ? 0 : -this.#failures.splice(at, 1)[0]!.errno;
  }
}

/** Lets everything happen that is due: a few turns of the event loop, and the tick of a busy receiver. */
export async function settle(): Promise<void> {
  for (let i = 0; i < 4; i++) await new Promise((resolve) => setImmediate(resolve));
  await new Promise((resolve) => setTimeout(resolve, 4));
  for (let i = 0; i < 4; i++) await new Promise((resolve) => setImmediate(resolve));
}
