/** The seam on Bun. The only file that says `bun:ffi` and `Bun`. */
import { dlopen, ptr, read, toArrayBuffer } from "bun:ffi";
import { SystemError } from "../errors.ts";
import { memory } from "../wire/native.ts";
import { SYMBOLS } from "./bun_prototypes.ts";
import {
  AT_EMPTY_PATH,
  CLOCK_MONOTONIC,
  cPath,
  fileStatus,
  interfaceRequest,
  isPath,
  microseconds,
  OWN_NETNS,
  PASSWD_BYTES,
  passwdIds,
  polledEvents,
  pollfd,
  requestedIndex,
  SIG_DFL,
  SIGACTION_BYTES,
  signalAction,
  STATX_BASIC_STATS,
  STATX_BYTES,
  TERMIOS_BYTES,
  TIMESPEC_BYTES,
  TM_BYTES,
  tmOffset,
  windowSize,
  WINSIZE_BYTES,
} from "./structs.ts";
import {
  EBADF,
  ENODEV,
  ENOENT,
  ENOSYS,
  type EnvironmentName,
  type FileStatus,
  HOST_FILES,
  type HostFile,
  type Memory,
  O_CLOEXEC,
  O_NOCTTY,
  O_NONBLOCK,
  O_RDONLY,
  type SignalAction,
  SIOCGIFINDEX,
  type Sys,
  SYS_BPF,
  SYS_GETDENTS64,
  TCGETS,
  TCSETS,
  TIOCGWINSZ,
  type Watch,
  type WindowSize,
} from "./sys.ts";

// bun:ffi has no types outside Bun: these are the parts in use.
interface Libc {
  socket(domain: number, type: number, protocol: number): number;
  bind(fd: number, address: Memory, size: number): number;
  connect(fd: number, address: Memory, size: number): number;
  getsockname(fd: number, address: Memory, size: Uint32Array): number;
  setsockopt(fd: number, level: number, name: number, value: Memory, size: number): number;
  getsockopt(fd: number, level: number, name: number, value: Memory, size: Uint32Array): number;
  sendto(fd: number, bytes: Memory, size: number, flags: number, address: Memory, addressSize: number): number;
  send(fd: number, bytes: Memory, size: number, flags: number): number;
  shutdown(fd: number, how: number): number;
  recvmmsg(fd: number, headers: bigint, count: number, flags: number, timeout: null): number;
  sendmmsg(fd: number, headers: bigint, count: number, flags: number): number;
  close(fd: number): number;
  open(path: Memory, flags: number, mode: number): number;
  read(fd: number, into: Memory, size: number): number;
  write(fd: number, bytes: Memory, size: number): number;
  statx(directory: number, path: Memory, flags: number, mask: number, status: Memory): number;
  uname(into: Memory): number;
  sysinfo(into: Memory): number;
  statfs(path: Memory, into: Memory): number;
  setns(fd: number, type: number): number;
  ftruncate(fd: number, size: number): number;
  flock(fd: number, operation: number): number;
  unlink(path: Memory): number;
  poll(fds: Memory, count: number, timeout: number): number;
  lseek(fd: number, offset: number, whence: number): number | bigint;
  readlink(path: Memory, into: Memory, size: number): number;
  syscall(number: number, command: number, attributes: Memory, size: number): number;
  getpwnam(name: Memory): number | null;
  localtime_r(time: BigInt64Array, result: Memory): number | null;
  ioctl(fd: number, request: number, argument: Memory): number;
  getenv(name: Memory): number | null;
  strlen(text: number): number | bigint;
  clock_gettime(clock: number, time: Memory): number;
  getpid(): number;
  initgroups(name: Memory, gid: number): number;
  setresgid(real: number, effective: number, saved: number): number;
  setresuid(real: number, effective: number, saved: number): number;
  prctl(option: number, a: number, b: number, c: number, d: number): number;
  capset(header: Memory, data: Memory): number;
  geteuid(): number;
  sigaction(signal: number, action: null, old: Memory): number;
  signal(signal: number, handler: bigint): bigint;
  raise(signal: number): number;
  __errno_location(): number;
}

const SEEK_CUR = 1;

interface Handlers {
  open(socket: BunSocket): void;
  data(socket: BunSocket, datagram: Uint8Array): void;
  close(socket: BunSocket): void;
  error(socket: BunSocket, error: Error): void;
  drain(socket: BunSocket): void;
}

interface BunSocket {
  pause(): void;
  resume(): void;
  ref(): void;
  unref(): void;
  terminate(): void;
}

declare const Bun: { connect(options: { fd: number; socket: Handlers }): Promise<BunSocket> };

/** Opens libc. */
export function openSys(): Sys {
  let failure: unknown;
  for (const path of ["libc.so.6", `/lib/ld-musl-${arch() === "arm64" ? "aarch64" : "x86_64"}.so.1`]) {
    try {
      return new BunSys(dlopen(path, SYMBOLS).symbols as Libc);
    } catch (error) {
      failure ??= error;
    }
  }
  throw new TypeError("Cannot load the C library: neither glibc nor musl is found", { cause: failure });
}

function arch(): string {
  return (globalThis as unknown as { process: { arch: string } }).process.arch;
}

class BunSys implements Sys {
  readonly runtime = "bun";
  readonly readsFirst = true;
  readonly #libc: Libc;
  readonly #size = new Uint32Array(new ArrayBuffer(4));
  readonly #time = new BigInt64Array(new ArrayBuffer(8));
  readonly #tm = memory(TM_BYTES);
  /** Of this thread; a Worker opens its own backend. */
  readonly #errnoAddress: number;

  constructor(libc: Libc) {
    this.#libc = libc;
    this.#errnoAddress = libc.__errno_location();
  }

  socket(domain: number, type: number, protocol: number): number {
    return this.#ok(this.#libc.socket(domain, type, protocol), read.i32(this.#errnoAddress, 0));
  }

  bind(fd: number, address: Memory): number {
    return this.#ok(this.#libc.bind(fd, address, address.length), read.i32(this.#errnoAddress, 0));
  }

  connect(fd: number, address: Memory): number {
    return this.#ok(this.#libc.connect(fd, address, address.length), read.i32(this.#errnoAddress, 0));
  }

  getsockname(fd: number, address: Memory): number {
    this.#size[0] = address.length;
    return this.#ok(this.#libc.getsockname(fd, address, this.#size), read.i32(this.#errnoAddress, 0));
  }

  setsockopt(fd: number, level: number, name: number, value: Memory): number {
    return this.#ok(this.#libc.setsockopt(fd, level, name, value, value.length), read.i32(this.#errnoAddress, 0));
  }

  getsockopt(fd: number, level: number, name: number, value: Memory): number {
    this.#size[0] = value.length;
    const result = this.#ok(this.#libc.getsockopt(fd, level, name, value, this.#size), read.i32(this.#errnoAddress, 0));
    return result < 0 ? result : this.#size[0]!;
  }

  sendto(fd: number, bytes: Memory, flags: number, address: Memory): number {
    return this.#ok(this.#libc.sendto(fd, bytes, bytes.length, flags, address, address.length), read.i32(this.#errnoAddress, 0));
  }

  send(fd: number, bytes: Memory, flags: number): number {
    return this.#ok(this.#libc.send(fd, bytes, bytes.length, flags), read.i32(this.#errnoAddress, 0));
  }

  shutdown(fd: number, how: number): number {
    return this.#ok(this.#libc.shutdown(fd, how), read.i32(this.#errnoAddress, 0));
  }

  recvmmsg(fd: number, headers: bigint, count: number, flags: number): number {
    return this.#ok(this.#libc.recvmmsg(fd, headers, count, flags, null), read.i32(this.#errnoAddress, 0));
  }

  sendmmsg(fd: number, headers: bigint, count: number, flags: number): number {
    return this.#ok(this.#libc.sendmmsg(fd, headers, count, flags), read.i32(this.#errnoAddress, 0));
  }

  interfaceIndex(fd: number, name: string): number {
    const request = interfaceRequest(name);
    if (!request) return -ENODEV;
    const result = this.#ok(this.#libc.ioctl(fd, SIOCGIFINDEX, request), read.i32(this.#errnoAddress, 0));
    return result < 0 ? result : requestedIndex(request);
  }

  close(fd: number): number {
    return this.#ok(this.#libc.close(fd), read.i32(this.#errnoAddress, 0));
  }

  open(path: string, flags: number, mode: number): number {
    return isPath(path) ? this.#ok(this.#libc.open(cPath(path), flags, mode), read.i32(this.#errnoAddress, 0)) : -ENOENT;
  }

  read(fd: number, into: Memory): number {
    return this.#ok(this.#libc.read(fd, into, into.length), read.i32(this.#errnoAddress, 0));
  }

  write(fd: number, bytes: Memory): number {
    return this.#ok(this.#libc.write(fd, bytes, bytes.length), read.i32(this.#errnoAddress, 0));
  }

  stat(fd: number): FileStatus | number {
    const status = memory(STATX_BYTES);
    const result = this.#ok(this.#libc.statx(fd, cPath(""), AT_EMPTY_PATH, STATX_BASIC_STATS, status), read.i32(this.#errnoAddress, 0));
    return result < 0 ? result : fileStatus(status);
  }

  openHostFile(file: HostFile): number {
    return this.#ok(this.#libc.open(cPath(HOST_FILES[file]), O_RDONLY | O_CLOEXEC, 0), read.i32(this.#errnoAddress, 0));
  }

  openTerminal(): number {
    return this.#ok(this.#libc.open(cPath("/dev/tty"), O_RDONLY | O_NOCTTY | O_NONBLOCK | O_CLOEXEC, 0), read.i32(this.#errnoAddress, 0));
  }

  hostInfo(call: "uname" | "sysinfo", into: Memory): number {
    return this.#ok(this.#libc[call](into), read.i32(this.#errnoAddress, 0));
  }

  statfs(path: string, into: Memory): number {
    return this.#ok(this.#libc.statfs(cPath(path), into), read.i32(this.#errnoAddress, 0));
  }

  openNetns(): number {
    return this.#ok(this.#libc.open(cPath(OWN_NETNS), O_RDONLY | O_CLOEXEC, 0), read.i32(this.#errnoAddress, 0));
  }

  setns(fd: number, type: number): number {
    return this.#ok(this.#libc.setns(fd, type), read.i32(this.#errnoAddress, 0));
  }

  ftruncate(fd: number, size: number): number {
    return this.#ok(this.#libc.ftruncate(fd, size), read.i32(this.#errnoAddress, 0));
  }

  flock(fd: number, operation: number): number {
    return this.#ok(this.#libc.flock(fd, operation), read.i32(this.#errnoAddress, 0));
  }

  requestNetwork(): void {}

  unlink(path: string): number {
    return isPath(path) ? this.#ok(this.#libc.unlink(cPath(path)), read.i32(this.#errnoAddress, 0)) : -ENOENT;
  }

  poll(fd: number, events: number): number {
    const set = pollfd([fd], events);
    return this.#libc.poll(set, 1, 0) > 0 ? polledEvents(set) : 0;
  }

  seekable(fd: number): boolean {
    return Number(this.#libc.lseek(fd, 0, SEEK_CUR)) >= 0;
  }

  readlink(path: Memory, into: Memory): number {
    return this.#ok(this.#libc.readlink(path, into, into.length), read.i32(this.#errnoAddress, 0));
  }

  bpf(command: number, attributes: Memory): number {
    const number = SYS_BPF[arch()];
    if (number === undefined) return -ENOSYS;
    return this.#ok(this.#libc.syscall(number, command, attributes, attributes.length), read.i32(this.#errnoAddress, 0));
  }

  getdents64(fd: number, into: Memory): number {
    const number = SYS_GETDENTS64[arch()];
    if (number === undefined) return -ENOSYS;
    return this.#ok(this.#libc.syscall(number, fd, into, into.length), read.i32(this.#errnoAddress, 0));
  }

  reopen(fd: number, flags: number): number {
    return this.#ok(this.#libc.open(cPath(`/proc/self/fd/${fd}`), flags, 0), read.i32(this.#errnoAddress, 0));
  }

  getpwnam(name: Memory): { uid: number; gid: number } | undefined {
    const address = this.#libc.getpwnam(name);
    return address ? passwdIds(new Uint8Array(toArrayBuffer(address, 0, PASSWD_BYTES).slice(0))) : undefined;
  }

  utcOffset(seconds: number): number {
    this.#time[0] = BigInt(seconds);
    // Fails only for years that no int can hold.
    return this.#libc.localtime_r(this.#time, this.#tm) ? tmOffset(this.#tm) : 0;
  }

  trimMemory(): void {
    // Bun has its own allocator, which returns unused memory without being asked.
  }

  windowSize(fd: number): WindowSize | undefined {
    const winsize = memory(WINSIZE_BYTES);
    return this.#libc.ioctl(fd, TIOCGWINSZ, winsize) < 0 ? undefined : windowSize(winsize);
  }

  terminalMode(fd: number): Memory | undefined {
    const mode = memory(TERMIOS_BYTES);
    return this.#libc.ioctl(fd, TCGETS, mode) < 0 ? undefined : mode;
  }

  setTerminalMode(fd: number, mode: Memory): number {
    return this.#ok(this.#libc.ioctl(fd, TCSETS, mode), read.i32(this.#errnoAddress, 0));
  }

  environment(name: EnvironmentName): string | undefined {
    const address = this.#libc.getenv(cPath(name));
    if (!address) return undefined;
    const length = Number(this.#libc.strlen(address));
    return length === 0 ? "" : new TextDecoder().decode(toArrayBuffer(address, 0, length));
  }

  monotonicUs(): bigint {
    const time = memory(TIMESPEC_BYTES);
    this.#libc.clock_gettime(CLOCK_MONOTONIC, time);
    return microseconds(time);
  }

  getpid(): number {
    return this.#libc.getpid();
  }

  initgroups(name: Memory, gid: number): number {
    return this.#ok(this.#libc.initgroups(name, gid), read.i32(this.#errnoAddress, 0));
  }

  setresgid(real: number, effective: number, saved: number): number {
    return this.#ok(this.#libc.setresgid(real, effective, saved), read.i32(this.#errnoAddress, 0));
  }

  setresuid(real: number, effective: number, saved: number): number {
    return this.#ok(this.#libc.setresuid(real, effective, saved), read.i32(this.#errnoAddress, 0));
  }

  prctl(option: number, argument: number): number {
    return this.#ok(this.#libc.prctl(option, argument, 0, 0, 0), read.i32(this.#errnoAddress, 0));
  }

  capset(header: Memory, data: Memory): number {
    return this.#ok(this.#libc.capset(header, data), read.i32(this.#errnoAddress, 0));
  }

  geteuid(): number {
    return this.#libc.geteuid();
  }

  signalAction(signal: number): SignalAction | number {
    const old = memory(SIGACTION_BYTES);
    const result = this.#ok(this.#libc.sigaction(signal, null, old), read.i32(this.#errnoAddress, 0));
    return result < 0 ? result : signalAction(old);
  }

  takeUsr1(): undefined {}

  raiseDefault(signal: number): number {
    this.#libc.signal(signal, SIG_DFL);
    return this.#ok(this.#libc.raise(signal), read.i32(this.#errnoAddress, 0));
  }

  addressOf(memory: Memory): bigint {
    return BigInt(ptr(memory));
  }

  /**
   * Bun's own epoll reports when the socket is readable, and reads a datagram to find out. It closes the socket on
   * any error, so the socket must not report ENOBUFS (NETLINK_NO_ENOBUFS).
   */
  async watch(fd: number, ready: (first?: Uint8Array) => void): Promise<Watch> {
    let closed: Promise<void> | undefined;
    let gone = false;
    let whenClosed = (): void => {};
    const closing = new Promise<void>((resolve) => whenClosed = resolve);
    let socket: BunSocket;
    try {
      socket = await Bun.connect({
        fd,
        socket: {
          open: (socket) => socket.pause(),
          data: (socket, datagram) => {
            socket.pause();
            socket.unref();
            if (!closed) ready(datagram);
          },
          close: () => {
            gone = true;
            whenClosed();
            // Not by us: the reader will find the descriptor gone and report it.
            if (!closed) ready();
          },
          error: () => {},
          drain: () => {},
        },
      });
    } catch (error) {
      throw new SystemError("watch a socket", EBADF, { cause: error });
    }
    // A paused socket must not keep the process alive: only waiting does.
    socket.unref();
    return {
      wait: () => {
        if (gone) return ready();
        if (closed) return;
        socket.ref();
        socket.resume();
      },
      close: () => {
        closed ??= closing;
        if (!gone) socket.terminate();
        return closed;
      },
    };
  }

  /**
   * Turns -1 into the negative error number. It is read in the second argument, right after the call: whenever a JavaScript function is
   * entered, the engine may stop to collect garbage, and its own system calls set the error number too.
   */
  #ok(result: number, errno: number): number {
    return result < 0 ? -errno : result;
  }
}
