/** The seam on Deno. The only file that says `Deno.`. */
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
  SIG_IGN,
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
import { memory } from "../wire/native.ts";
import { addressAndPort } from "../wire/text.ts";
import { SYMBOLS } from "./deno_prototypes.ts";
import { Poller } from "./poller.ts";
import {
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
  O_RDWR,
  O_WRONLY,
  type SignalAction,
  SIOCGIFINDEX,
  type Sys,
  SYS_BPF,
  SYS_GETDENTS64,
  type TakenUsr1,
  TCGETS,
  TCSETS,
  TIOCGWINSZ,
  type Watch,
  type WindowSize,
} from "./sys.ts";

type Library = Deno.DynamicLibrary<typeof SYMBOLS>;

const SEEK_CUR = 1;
const SIGUSR1 = 10;
const RTLD_DEFAULT = 0n;
const EFD_NONBLOCK_CLOEXEC = 0x80800;

/** Opens libc. A refused permission stays Deno's own error. */
export function openSys(): Sys {
  return new DenoSys(openLibc().symbols);
}

function openLibc(): Library {
  const paths = libcPaths();
  let failure: unknown;
  for (const path of paths) {
    try {
      return Deno.dlopen(path, SYMBOLS);
    } catch (error) {
      if (error instanceof Deno.errors.NotCapable || error instanceof Deno.errors.PermissionDenied) throw error;
      failure = error;
    }
  }
  throw new TypeError(`Cannot load the C library: tried ${paths.join(", ")}; none could be opened`, { cause: failure });
}

/** Asks for a permission as Deno's own calls do, because libc could bypass it. */
function request(name: "read" | "write", path: string): void {
  if (Deno.permissions.requestSync({ name, path }).state === "granted") return;
  throw new Deno.errors.NotCapable(`Requires ${name} access to ${JSON.stringify(path)}, run again with the --allow-${name} flag`);
}

/** Possible paths of libc that the grant covers. A grant for a path is only for that spelling of it. */
function libcPaths(): string[] {
  const machine = Deno.build.arch;
  const loader = machine === "x86_64" ? "x86-64" : machine;
  const absolute = [
    `/lib/${machine}-linux-gnu/libc.so.6`,
    `/usr/lib/${machine}-linux-gnu/libc.so.6`,
    "/lib64/libc.so.6",
    "/usr/lib64/libc.so.6",
    "/lib/libc.so.6",
    "/usr/lib/libc.so.6",
    `/lib/ld-musl-${loader.replace("-", "_")}.so.1`,
  ];
  if (Deno.permissions.querySync({ name: "ffi" }).state === "granted") return ["libc.so.6", ...absolute];
  const granted = absolute.filter((path) => Deno.permissions.querySync({ name: "ffi", path }).state === "granted");
  // With no grant at all the first path is what Deno asks for, or names in its refusal.
  return granted.length > 0 ? granted : absolute.slice(0, 1);
}

class DenoSys implements Sys {
  readonly runtime = "deno";
  readonly readsFirst = false;
  readonly #libc: Library["symbols"];
  readonly #size = new Uint32Array(1);
  readonly #time = new BigInt64Array(1);
  readonly #tm = memory(TM_BYTES);
  readonly #errno = new Int32Array(1);
  /** Of this thread; a Worker opens its own backend. */
  readonly #errnoAddress: bigint;
  readonly #poller: Poller;

  constructor(libc: Library["symbols"]) {
    this.#libc = libc;
    this.#errnoAddress = libc.__errno_location();
    this.#poller = new Poller(libc, () => this.#ok(libc.eventfd(0, EFD_NONBLOCK_CLOEXEC), libc.read(this.#errno, this.#errnoAddress, 4n)));
  }

  socket(domain: number, type: number, protocol: number): number {
    return this.#ok(this.#libc.socket(domain, type, protocol), this.#libc.read(this.#errno, this.#errnoAddress, 4n));
  }

  bind(fd: number, address: Memory): number {
    return this.#ok(this.#libc.bind(fd, address, address.length), this.#libc.read(this.#errno, this.#errnoAddress, 4n));
  }

  connect(fd: number, address: Memory): number {
    return this.#ok(this.#libc.connect(fd, address, address.length), this.#libc.read(this.#errno, this.#errnoAddress, 4n));
  }

  getsockname(fd: number, address: Memory): number {
    this.#size[0] = address.length;
    return this.#ok(this.#libc.getsockname(fd, address, this.#size), this.#libc.read(this.#errno, this.#errnoAddress, 4n));
  }

  setsockopt(fd: number, level: number, name: number, value: Memory): number {
    return this.#ok(this.#libc.setsockopt(fd, level, name, value, value.length), this.#libc.read(this.#errno, this.#errnoAddress, 4n));
  }

  getsockopt(fd: number, level: number, name: number, value: Memory): number {
    this.#size[0] = value.length;
    const result = this.#ok(
      this.#libc.getsockopt(fd, level, name, value, this.#size),
      this.#libc.read(this.#errno, this.#errnoAddress, 4n),
    );
    return result < 0 ? result : this.#size[0]!;
  }

  sendto(fd: number, bytes: Memory, flags: number, address: Memory): number {
    return this.#ok(
      this.#libc.sendto(fd, bytes, BigInt(bytes.length), flags, address, address.length),
      this.#libc.read(this.#errno, this.#errnoAddress, 4n),
    );
  }

  send(fd: number, bytes: Memory, flags: number): number {
    return this.#ok(this.#libc.send(fd, bytes, BigInt(bytes.length), flags), this.#libc.read(this.#errno, this.#errnoAddress, 4n));
  }

  shutdown(fd: number, how: number): number {
    return this.#ok(this.#libc.shutdown(fd, how), this.#libc.read(this.#errno, this.#errnoAddress, 4n));
  }

  recvmmsg(fd: number, headers: bigint, count: number, flags: number): number {
    return this.#ok(this.#libc.recvmmsg(fd, headers, count, flags, 0n), this.#libc.read(this.#errno, this.#errnoAddress, 4n));
  }

  sendmmsg(fd: number, headers: bigint, count: number, flags: number): number {
    return this.#ok(this.#libc.sendmmsg(fd, headers, count, flags), this.#libc.read(this.#errno, this.#errnoAddress, 4n));
  }

  interfaceIndex(fd: number, name: string): number {
    const request = interfaceRequest(name);
    if (!request) return -ENODEV;
    const result = this.#ok(
      this.#libc.ioctl(fd, BigInt(SIOCGIFINDEX), request),
      this.#libc.read(this.#errno, this.#errnoAddress, 4n),
    );
    return result < 0 ? result : requestedIndex(request);
  }

  close(fd: number): number {
    return this.#ok(this.#libc.close(fd), this.#libc.read(this.#errno, this.#errnoAddress, 4n));
  }

  open(path: string, flags: number, mode: number): number {
    if (!isPath(path)) return -ENOENT;
    if ((flags & (O_WRONLY | O_RDWR)) !== O_WRONLY) request("read", path);
    if ((flags & (O_WRONLY | O_RDWR)) !== 0) request("write", path);
    return this.#ok(this.#libc.open(cPath(path), flags, mode), this.#libc.read(this.#errno, this.#errnoAddress, 4n));
  }

  read(fd: number, into: Memory): number {
    return this.#ok(this.#libc.readNow(fd, into, BigInt(into.length)), this.#libc.read(this.#errno, this.#errnoAddress, 4n));
  }

  write(fd: number, bytes: Memory): number {
    return this.#ok(this.#libc.write(fd, bytes, BigInt(bytes.length)), this.#libc.read(this.#errno, this.#errnoAddress, 4n));
  }

  stat(fd: number): FileStatus | number {
    const status = memory(STATX_BYTES);
    const result = this.#ok(
      this.#libc.statx(fd, cPath(""), AT_EMPTY_PATH, STATX_BASIC_STATS, status),
      this.#libc.read(this.#errno, this.#errnoAddress, 4n),
    );
    return result < 0 ? result : fileStatus(status);
  }

  openHostFile(file: HostFile): number {
    return this.#ok(
      this.#libc.open(cPath(HOST_FILES[file]), O_RDONLY | O_CLOEXEC, 0),
      this.#libc.read(this.#errno, this.#errnoAddress, 4n),
    );
  }

  openTerminal(): number {
    return this.#ok(
      this.#libc.open(cPath("/dev/tty"), O_RDONLY | O_NOCTTY | O_NONBLOCK | O_CLOEXEC, 0),
      this.#libc.read(this.#errno, this.#errnoAddress, 4n),
    );
  }

  hostInfo(call: "uname" | "sysinfo", into: Memory): number {
    return this.#ok(this.#libc[call](into), this.#libc.read(this.#errno, this.#errnoAddress, 4n));
  }

  statfs(path: string, into: Memory): number {
    return this.#ok(this.#libc.statfs(cPath(path), into), this.#libc.read(this.#errno, this.#errnoAddress, 4n));
  }

  openNetns(): number {
    return this.#ok(this.#libc.open(cPath(OWN_NETNS), O_RDONLY | O_CLOEXEC, 0), this.#libc.read(this.#errno, this.#errnoAddress, 4n));
  }

  setns(fd: number, type: number): number {
    return this.#ok(this.#libc.setns(fd, type), this.#libc.read(this.#errno, this.#errnoAddress, 4n));
  }

  ftruncate(fd: number, size: number): number {
    return this.#ok(this.#libc.ftruncate(fd, BigInt(size)), this.#libc.read(this.#errno, this.#errnoAddress, 4n));
  }

  flock(fd: number, operation: number): number {
    return this.#ok(this.#libc.flock(fd, operation), this.#libc.read(this.#errno, this.#errnoAddress, 4n));
  }

  requestNetwork(address: string, port: number): void {
    const host = addressAndPort(address, port);
    if (Deno.permissions.requestSync({ name: "net", host }).state === "granted") return;
    throw new Deno.errors.NotCapable(`Requires net access to ${JSON.stringify(host)}, run again with the --allow-net flag`);
  }

  unlink(path: string): number {
    if (!isPath(path)) return -ENOENT;
    request("write", path);
    return this.#ok(this.#libc.unlink(cPath(path)), this.#libc.read(this.#errno, this.#errnoAddress, 4n));
  }

  poll(fd: number, events: number): number {
    const set = pollfd([fd], events);
    return this.#libc.pollNow(set, 1n, 0) > 0 ? polledEvents(set) : 0;
  }

  seekable(fd: number): boolean {
    return this.#libc.lseek(fd, 0n, SEEK_CUR) >= 0;
  }

  readlink(path: Memory, into: Memory): number {
    return this.#ok(this.#libc.readlink(path, into, BigInt(into.length)), this.#libc.read(this.#errno, this.#errnoAddress, 4n));
  }

  bpf(command: number, attributes: Memory): number {
    const number = SYS_BPF[Deno.build.arch];
    if (number === undefined) return -ENOSYS;
    return this.#ok(
      this.#libc.syscall(BigInt(number), BigInt(command), attributes, BigInt(attributes.length)),
      this.#libc.read(this.#errno, this.#errnoAddress, 4n),
    );
  }

  getdents64(fd: number, into: Memory): number {
    const number = SYS_GETDENTS64[Deno.build.arch];
    if (number === undefined) return -ENOSYS;
    return this.#ok(
      this.#libc.syscall(BigInt(number), BigInt(fd), into, BigInt(into.length)),
      this.#libc.read(this.#errno, this.#errnoAddress, 4n),
    );
  }

  reopen(fd: number, flags: number): number {
    return this.#ok(this.#libc.open(cPath(`/proc/self/fd/${fd}`), flags, 0), this.#libc.read(this.#errno, this.#errnoAddress, 4n));
  }

  getpwnam(name: Memory): { uid: number; gid: number } | undefined {
    const address = this.#libc.getpwnam(name);
    if (address === 0n) return undefined;
    const entry = memory(PASSWD_BYTES);
    this.#libc.read(entry, address, BigInt(PASSWD_BYTES));
    return passwdIds(entry);
  }

  utcOffset(seconds: number): number {
    this.#time[0] = BigInt(seconds);
    // Fails only for years that no int can hold.
    return this.#libc.localtime_r(this.#time, this.#tm) !== 0n ? tmOffset(this.#tm) : 0;
  }

  trimMemory(): void {
    this.#libc.malloc_trim?.(0n);
  }

  windowSize(fd: number): WindowSize | undefined {
    const winsize = memory(WINSIZE_BYTES);
    return this.#libc.ioctl(fd, BigInt(TIOCGWINSZ), winsize) < 0 ? undefined : windowSize(winsize);
  }

  terminalMode(fd: number): Memory | undefined {
    const mode = memory(TERMIOS_BYTES);
    return this.#libc.ioctl(fd, BigInt(TCGETS), mode) < 0 ? undefined : mode;
  }

  setTerminalMode(fd: number, mode: Memory): number {
    return this.#ok(this.#libc.ioctl(fd, BigInt(TCSETS), mode), this.#libc.read(this.#errno, this.#errnoAddress, 4n));
  }

  environment(name: EnvironmentName): string | undefined {
    const address = this.#libc.getenv(cPath(name));
    if (address === 0n) return undefined;
    const value = memory(Number(this.#libc.strlen(address)));
    this.#libc.read(value, address, BigInt(value.length));
    return new TextDecoder().decode(value);
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
    return this.#ok(this.#libc.initgroups(name, gid), this.#libc.read(this.#errno, this.#errnoAddress, 4n));
  }

  setresgid(real: number, effective: number, saved: number): number {
    return this.#ok(this.#libc.setresgid(real, effective, saved), this.#libc.read(this.#errno, this.#errnoAddress, 4n));
  }

  setresuid(real: number, effective: number, saved: number): number {
    return this.#ok(this.#libc.setresuid(real, effective, saved), this.#libc.read(this.#errno, this.#errnoAddress, 4n));
  }

  prctl(option: number, argument: number): number {
    return this.#ok(this.#libc.prctl(option, BigInt(argument), 0n, 0n, 0n), this.#libc.read(this.#errno, this.#errnoAddress, 4n));
  }

  capset(header: Memory, data: Memory): number {
    return this.#ok(this.#libc.capset(header, data), this.#libc.read(this.#errno, this.#errnoAddress, 4n));
  }

  geteuid(): number {
    return this.#libc.geteuid();
  }

  signalAction(signal: number): SignalAction | number {
    const old = memory(SIGACTION_BYTES);
    const result = this.#ok(this.#libc.sigaction(signal, 0n, old), this.#libc.read(this.#errno, this.#errnoAddress, 4n));
    return result < 0 ? result : signalAction(old);
  }

  /**
   * Since 2.9.2 Deno opens a debugger on a TCP port at SIGUSR1, even if the program handles it (denoland/deno#35738): anybody who may
   * connect to the loopback address could then run code as us. So the signal gets another handler: alarm(3), a C function that may be
   * called in one. It takes the signal's number for seconds, and so starts a timer that runs long enough to be found, and cancelled, here.
   */
  takeUsr1(): TakenUsr1 {
    const { dlsym, signal, alarm } = this.#libc;
    // Deno installs its own handler once, for the first listener: the debugger's is only added to it later.
    Deno.addSignalListener("SIGUSR1", () => {});
    const handler = dlsym?.(RTLD_DEFAULT, cPath("alarm")) || SIG_IGN;
    signal(SIGUSR1, handler);
    return {
      arrived: () => handler !== SIG_IGN && alarm(0) > 0,
      ignore: () => {
        signal(SIGUSR1, SIG_IGN);
        // One that arrived just now would end the process later.
        alarm(0);
      },
    };
  }

  raiseDefault(signal: number): number {
    this.#libc.signal(signal, SIG_DFL);
    return this.#ok(this.#libc.raise(signal), this.#libc.read(this.#errno, this.#errnoAddress, 4n));
  }

  addressOf(memory: Memory): bigint {
    // memcpy returns where it copied to, and copying nothing onto itself changes nothing.
    return this.#libc.address(memory, memory, 0n);
  }

  // deno-lint-ignore require-await -- what the poller throws is a rejection here
  async watch(fd: number, ready: () => void): Promise<Watch> {
    return this.#poller.watch(fd, ready);
  }

  /**
   * Turns -1 into the negative error number. It is read in the second argument, right after the call: whenever a JavaScript function is
   * entered, V8 may stop to collect garbage or to install compiled code, and its own system calls set the error number too.
   */
  #ok(result: number, _read: void): number {
    return result >= 0 ? result : -this.#errno[0]!;
  }
}
