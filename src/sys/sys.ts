/**
 * The seam between this package and a runtime: system calls, not messages. Everything that can be decided is
 * decided above it, once, so that a backend stays a table of C prototypes and a script can stand in for the
 * kernel in tests.
 *
 * @module
 */

// include/linux/socket.h, include/uapi/asm-generic/socket.h
export const AF_UNSPEC = 0;
export const AF_UNIX = 1;
export const AF_INET = 2;
export const AF_INET6 = 10;
export const AF_NETLINK = 16;
export const SOCK_STREAM = 1;
export const SOCK_DGRAM = 2;
export const SOCK_RAW = 3;
export const SOCK_NONBLOCK = 0x800;
export const SOCK_CLOEXEC = 0x80000;
export const SOL_SOCKET = 1;
export const SO_ERROR = 4;
export const SO_SNDBUF = 7;
export const SO_BROADCAST = 6;
export const SO_RCVBUF = 8;
export const SO_KEEPALIVE = 9;
export const SO_ATTACH_FILTER = 26;
export const SO_SNDBUFFORCE = 32;
export const SO_RCVBUFFORCE = 33;
export const SO_MEMINFO = 55;
export const MSG_TRUNC = 0x20;
export const MSG_DONTWAIT = 0x40;
export const MSG_NOSIGNAL = 0x4000;
export const SHUT_WR = 1;

// include/uapi/asm-generic/fcntl.h: the flags that are the same on every architecture.
export const O_RDONLY = 0;
export const O_WRONLY = 1;
export const O_RDWR = 2;
export const O_CREAT = 0x40;
export const O_EXCL = 0x80;
export const O_NOCTTY = 0x100;
export const O_TRUNC = 0x200;
export const O_APPEND = 0x400;
export const O_NONBLOCK = 0x800;
export const O_CLOEXEC = 0x80000;
/** Opens only the name of a file, to find out what it is. */
export const O_PATH = 0x200000;

// include/uapi/asm-generic/fcntl.h
export const LOCK_EX = 2;
export const LOCK_NB = 4;

// include/uapi/asm-generic/unistd.h, arch/x86/entry/syscalls/syscall_64.tbl: not in every libc.
export const SYS_GETDENTS64: Readonly<Record<string, number>> = { x86_64: 217, x64: 217, aarch64: 61, arm64: 61 };

// include/uapi/asm-generic/ioctls.h
export const TIOCGWINSZ = 0x5413;
export const TCGETS = 0x5401;
export const TCSETS = 0x5402;

// include/uapi/asm-generic/poll.h
export const POLLIN = 1;
export const POLLOUT = 4;
export const POLLERR = 8;
export const POLLHUP = 16;
export const POLLNVAL = 32;
/** The peer sends nothing more. */
export const POLLRDHUP = 0x2000;

// include/uapi/linux/in.h, include/uapi/linux/in6.h
export const IPPROTO_IP = 0;
export const IP_MTU_DISCOVER = 10;
export const IP_RECVERR = 11;
export const IP_MTU = 14;
export const IPPROTO_IPV6 = 41;
export const IPV6_MTU_DISCOVER = 23;
export const IPV6_MTU = 24;
export const IPV6_RECVERR = 25;
export const IPPROTO_TCP = 6;
export const IP_PMTUDISC_WANT = 1;
export const IP_PMTUDISC_DO = 2;

// include/uapi/linux/tcp.h
export const TCP_NODELAY = 1;
export const TCP_KEEPIDLE = 4;
export const TCP_KEEPINTVL = 5;
export const TCP_KEEPCNT = 6;
export const TCP_INFO = 11;
export const TCP_USER_TIMEOUT = 18;
export const TCP_NOTSENT_LOWAT = 25;

// include/uapi/linux/sockios.h
export const SIOCGIFINDEX = 0x8933;

// include/uapi/linux/netlink.h
export const SOL_NETLINK = 270;
export const NETLINK_ROUTE = 0;
export const NETLINK_USERSOCK = 2;
export const NETLINK_SOCK_DIAG = 4;
export const NETLINK_GENERIC = 16;
export const NETLINK_ADD_MEMBERSHIP = 1;
export const NETLINK_DROP_MEMBERSHIP = 2;
export const NETLINK_NO_ENOBUFS = 5;
export const NETLINK_LISTEN_ALL_NSID = 8;
export const NETLINK_CAP_ACK = 10;
export const NETLINK_EXT_ACK = 11;
export const NETLINK_GET_STRICT_CHK = 12;

// include/uapi/linux/sched.h
export const CLONE_NEWNET = 0x40000000;

// include/uapi/asm-generic/unistd.h, arch/x86/entry/syscalls/syscall_64.tbl: bpf(2) has no function in libc.
export const SYS_BPF: Readonly<Record<string, number>> = { x86_64: 321, x64: 321, aarch64: 280, arm64: 280 };

// include/uapi/asm-generic/errno-base.h
export const EPERM = 1;
export const ENOENT = 2;
export const EINTR = 4;
export const EIO = 5;
export const ENXIO = 6;
export const EBADF = 9;
export const EAGAIN = 11;
export const ENOMEM = 12;
export const EACCES = 13;
export const EBUSY = 16;
export const EEXIST = 17;
export const ENODEV = 19;
export const EISDIR = 21;
export const EINVAL = 22;
export const EPIPE = 32;
export const ENOSYS = 38;
export const EDESTADDRREQ = 89;
export const EMSGSIZE = 90;
export const EPROTONOSUPPORT = 93;
export const EOPNOTSUPP = 95;
export const EAFNOSUPPORT = 97;
export const EADDRINUSE = 98;
export const EADDRNOTAVAIL = 99;
export const ENETDOWN = 100;
export const ENETUNREACH = 101;
export const ECONNRESET = 104;
export const ENOBUFS = 105;
export const ENOTCONN = 107;
export const ETIMEDOUT = 110;
export const ECONNREFUSED = 111;
export const EHOSTUNREACH = 113;
export const EALREADY = 114;
export const EINPROGRESS = 115;

/**
 * What describes the machine and everybody may read: numbers of the kernel, the mounts that this process sees, which files are locked, and
 * the number that systemd, or whatever installed it, has given it (machine-id(5)).
 */
export const HOST_FILES = {
  processors: "/proc/stat",
  processorModels: "/proc/cpuinfo",
  load: "/proc/loadavg",
  memory: "/proc/meminfo",
  paging: "/proc/vmstat",
  disks: "/proc/diskstats",
  mounts: "/proc/self/mountinfo",
  locks: "/proc/locks",
  machineId: "/etc/machine-id",
} as const;

/** One of {@linkcode HOST_FILES}. */
export type HostFile = keyof typeof HOST_FILES;

/** Memory that is passed to the kernel: it has its own buffer and never moves. */
export type Memory = Uint8Array<ArrayBuffer>;

/** Reports when a descriptor can be read. It owns the descriptor: closing the watch closes it. */
export interface Watch {
  /** Asks for one call of the watch's `ready` as soon as there is something to read. */
  wait(): void;
  /** Stops waiting and closes the descriptor; resolved when it is closed. Calling it again does nothing. */
  close(): Promise<void>;
}

/** What happens when a signal arrives: its default action, nothing, or a call of a handler. */
export type SignalAction = "default" | "ignored" | "caught";

/** The environment variables that are read: about the terminal, the service manager that has started the process, and Wireshark's folders. */
export type EnvironmentName =
  | "NO_COLOR"
  | "TERM"
  | "NOTIFY_SOCKET"
  | "WATCHDOG_USEC"
  | "WATCHDOG_PID"
  | "HOME"
  | "XDG_CONFIG_HOME"
  | "WIRESHARK_CONFIG_DIR"
  | "WIRESHARK_EXTCAP_DIR";

/** The size of a terminal, in characters. */
export interface WindowSize {
  /** Characters in a line. */
  readonly columns: number;
  /** Lines. */
  readonly rows: number;
}

/** What an open descriptor is. */
export interface FileStatus {
  /** The kind of file. */
  readonly kind: "file" | "directory" | "fifo" | "socket" | "character device" | "block device" | "other";
  /** Device and inode: equal for two descriptors of one file, whatever name it was opened by. */
  readonly identity: string;
  /** Size in bytes; 0 for what has none. */
  readonly size: number;
  /** The user who owns it. */
  readonly owner: number;
  /** Who may do what with it: the lowest twelve bits of its mode, inode(7). */
  readonly mode: number;
}

/** SIGUSR1, taken away from the runtime. */
export interface TakenUsr1 {
  /** Whether the signal has arrived since the last call. */
  arrived(): boolean;
  /** From now on ignores the signal: neither the process nor the runtime does anything at it. */
  ignore(): void;
}

/** The system calls that this package needs. A call that fails returns the negative error number. */
export interface Sys {
  /** The runtime. */
  readonly runtime: "deno" | "bun";
  /**
   * Whether the runtime itself reads one datagram to find out that there are any. `ready` gets it, but without its control messages.
   */
  readonly readsFirst: boolean;
  /** socket(2) */
  socket(domain: number, type: number, protocol: number): number;
  /** bind(2) */
  bind(fd: number, address: Memory): number;
  /** connect(2) */
  connect(fd: number, address: Memory): number;
  /** getsockname(2): fills `address` and returns 0. */
  getsockname(fd: number, address: Memory): number;
  /** setsockopt(2) */
  setsockopt(fd: number, level: number, name: number, value: Memory): number;
  /** getsockopt(2): fills `value` and returns how many bytes were filled. */
  getsockopt(fd: number, level: number, name: number, value: Memory): number;
  /** sendto(2): returns how many bytes were sent. */
  sendto(fd: number, bytes: Memory, flags: number, address: Memory): number;
  /** send(2): returns how many bytes were sent. */
  send(fd: number, bytes: Memory, flags: number): number;
  /** shutdown(2) */
  shutdown(fd: number, how: number): number;
  /** recvmmsg(2) without a timeout: `headers` is the address of `count` times `struct mmsghdr`; returns how many were filled. */
  recvmmsg(fd: number, headers: bigint, count: number, flags: number): number;
  /** sendmmsg(2): `headers` is the address of `count` times `struct mmsghdr`; returns how many datagrams were sent. */
  sendmmsg(fd: number, headers: bigint, count: number, flags: number): number;
  /** ioctl(2) with SIOCGIFINDEX: index of the interface with this name in the network namespace of a socket. */
  interfaceIndex(fd: number, name: string): number;
  /** close(2) */
  close(fd: number): number;
  /**
   * open(2): returns the descriptor. The kernel follows links, so its protection of sticky directories holds. On Deno it asks for the
   * permission to read or write `path` first, and throws Deno's own error if that is refused.
   */
  open(path: string, flags: number, mode: number): number;
  /** read(2): fills `into` and returns how many bytes were filled; 0 at the end. */
  read(fd: number, into: Memory): number;
  /** write(2): returns how many bytes were written. */
  write(fd: number, bytes: Memory): number;
  /** statx(2) of an open descriptor, or the negative error number. */
  stat(fd: number): FileStatus | number;
  /** getdents64(2): fills `into` with entries of an open directory and returns how many bytes were filled; 0 at the end. */
  getdents64(fd: number, into: Memory): number;
  /**
   * open(2) of what is open already, through /proc/self/fd: another file description, with its own flags. Asks for no permission, since it
   * gives access to nothing new.
   */
  reopen(fd: number, flags: number): number;
  /**
   * open(2) of the network namespace that this thread is in, through /proc/thread-self/ns/net. Asks for no permission, since it gives access
   * to nothing new.
   */
  openNetns(): number;
  /** setns(2), of this thread: it enters the namespace that `fd` refers to, which must be of the kind `type`, CLONE_NEW*. */
  setns(fd: number, type: number): number;
  /** ftruncate(2) */
  ftruncate(fd: number, size: number): number;
  /** flock(2): the lock belongs to what open(2) has opened, and ends when that is closed. */
  flock(fd: number, operation: number): number;
  /**
   * Asks for Deno's permission to listen for connections at an address and port, or to connect to a host and port, and throws Deno's own error if that is refused. Elsewhere
   * it does nothing.
   */
  requestNetwork(address: string, port: number): void;
  /** unlink(2). On Deno it asks for the permission to write `path` first. */
  unlink(path: string): number;
  /** poll(2) without waiting: returns which of `events`, POLLERR, POLLHUP and POLLNVAL are set now. */
  poll(fd: number, events: number): number;
  /** lseek(2) to the current position: whether this is a file, which takes a write of any size at once. */
  seekable(fd: number): boolean;
  /** open(2) of one of {@linkcode HOST_FILES}, to read. Asks for no permission, because anybody may know what is in them. */
  openHostFile(file: HostFile): number;
  /**
   * open(2) of /dev/tty, the controlling terminal, which it does not become: returns the descriptor. Asks for no permission, because nothing
   * is read from it or written to it: it only says whether there is one.
   */
  openTerminal(): number;
  /** uname(2) or sysinfo(2): fills `into`. Neither needs a file, which a sandbox may hide. */
  hostInfo(call: "uname" | "sysinfo", into: Memory): number;
  /** statfs(2): fills `into` with the size of the file system at `path`. Asks for no permission: it says nothing about files. */
  statfs(path: string, into: Memory): number;
  /** readlink(2): fills `into` and returns how many bytes were filled. `path` ends with NUL. */
  readlink(path: Memory, into: Memory): number;
  /** bpf(2) */
  bpf(command: number, attributes: Memory): number;
  /** getpwnam(3): the user and group ids of a user; `undefined` if there is none. `name` ends with NUL. */
  getpwnam(name: Memory): { uid: number; gid: number } | undefined;
  /** localtime_r(3): how many seconds local time is ahead of UTC at a time, given in seconds since 1970. The C library reads TZ and /etc/localtime. */
  utcOffset(seconds: number): number;
  /** ioctl(2) with TIOCGWINSZ: the size of the terminal `fd`; `undefined` if it is not a terminal, or does not report it. */
  windowSize(fd: number): WindowSize | undefined;
  /** ioctl(2) with TCGETS: the mode of a terminal, `struct termios`; `undefined` if it is not a terminal. */
  terminalMode(fd: number): Memory | undefined;
  /** ioctl(2) with TCSETS: sets the mode, at once. */
  setTerminalMode(fd: number, mode: Memory): number;
  /** getenv(3): an environment variable; asks for no permission, because only these can be asked for. */
  environment(name: EnvironmentName): string | undefined;
  /** clock_gettime(2) of CLOCK_MONOTONIC, in microseconds: the clock that service managers compare with their own. */
  monotonicUs(): bigint;
  /**
   * malloc_trim(3): gives memory back that the runtime has freed and the C library keeps. Does nothing if the C library has no such
   * function, or the runtime does not use its allocator.
   */
  trimMemory(): void;
  /** getpid(2) */
  getpid(): number;
  /** initgroups(3): sets the supplementary groups to those of a user. */
  initgroups(name: Memory, gid: number): number;
  /** setresgid(2), on all threads */
  setresgid(real: number, effective: number, saved: number): number;
  /** setresuid(2), on all threads */
  setresuid(real: number, effective: number, saved: number): number;
  /** prctl(2) with one argument, on this thread */
  prctl(option: number, argument: number): number;
  /** capset(2), on this thread */
  capset(header: Memory, data: Memory): number;
  /** geteuid(2) */
  geteuid(): number;
  /** sigaction(2) without a change: the present action of a signal; the negative error number if there is no such signal. */
  signalAction(signal: number): SignalAction | number;
  /**
   * Takes SIGUSR1 away from a runtime that opens a debugger at it; `undefined` if the runtime leaves the signal to the program.
   */
  takeUsr1(): TakenUsr1 | undefined;
  /** signal(2) with SIG_DFL, then raise(3). Returns only if that does not end the process. */
  raiseDefault(signal: number): number;
  /** The address of `memory`. The caller keeps it alive for as long as the kernel may use the address. */
  addressOf(memory: Memory): bigint;
  /**
   * Watches a descriptor and takes it over; if that fails it stays the caller's. `ready` is called once for each `wait()`; if the runtime
   * {@linkcode Sys.readsFirst}, with the datagram that it read, valid during the call.
   */
  watch(fd: number, ready: (first?: Uint8Array) => void): Promise<Watch>;
}
