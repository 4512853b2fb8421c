/**
 * The descriptors of the scripted kernel, and its files: regular ones, directories, and FIFOs with or without a peer.
 *
 * @module
 */
import {
  EAGAIN,
  EBADF,
  EEXIST,
  EINVAL,
  EISDIR,
  ENOENT,
  ENXIO,
  type FileStatus,
  type Memory,
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
} from "../src/sys/sys.ts";

const ENOTDIR = 20;
const EPIPE = 32;

/** The network namespace that the fake begins in. */
export const HOME = "home";

/** A file of the fake kernel. */
export class FakeFile {
  readonly kind: FileStatus["kind"];
  /** Its contents; for a FIFO, the bytes waiting to be read. */
  bytes: Uint8Array;
  /** Of a FIFO: whether it has a writer, or a reader if it is written. */
  peer = true;
  /** For a FIFO: how many bytes fit into it. */
  room = Infinity;
  /** Which network namespace it is, if it is one. */
  readonly netns: string | undefined;
  /** What has locked it. */
  lock: object | undefined;

  constructor(bytes: Uint8Array = new Uint8Array(0), kind: FileStatus["kind"] = "file", netns?: string) {
    this.bytes = bytes;
    this.kind = kind;
    this.netns = netns;
  }

  /** Appends, as a writer does. */
  append(bytes: Uint8Array): void {
    const longer = new Uint8Array(this.bytes.length + bytes.length);
    longer.set(this.bytes);
    longer.set(bytes, this.bytes.length);
    this.bytes = longer;
  }
}

/** The calls that {@linkcode FakeFiles.fail} can make fail. */
export type Call =
  | "socket"
  | "bind"
  | "getsockname"
  | "setsockopt"
  | "getsockopt"
  | "connect"
  | "send"
  | "sendto"
  | "sendmmsg"
  | "recvmmsg"
  | "watch"
  | "open"
  | "read"
  | "write"
  | "flock"
  | "setns";

/** An open file, and where it is read or written next. */
interface OpenFile {
  readonly file: FakeFile;
  at: number;
}

/** The part of the fake that opens, reads and writes. */
export class FakeFiles {
  /** Files by their paths; several paths may lead to one. */
  readonly files: Map<string, FakeFile> = new Map();
  /** Open files. */
  readonly openFiles: Map<number, OpenFile> = new Map();
  /** The network namespace that the thread is in. */
  netns: string = HOME;
  /** The requests, in order: `"3 join 16"`, `"3 filter"`, `"3 close"`. */
  readonly log: string[] = [];
  /** Things that a correct caller never does. */
  readonly faults: string[] = [];
  #nextFd = 3;
  readonly #failures: { call: Call; errno: number }[] = [];

  /** Makes the next `call` fail with `errno`; several in a row are used up one by one. */
  fail(call: Call, ...errnos: number[]): void {
    for (const errno of errnos) this.#failures.push({ call, errno });
  }

  /** The negative error number that a call is to fail with; 0 if it is not to fail. */
  protected failure(call: Call): number {
    const at = this.#failures.findIndex((failure) => failure.call === call);
    return at < 0 ? 0 : -this.#failures.splice(at, 1)[0]!.errno;
  }

  /** A new descriptor. */
  protected newFd(): number {
    return this.#nextFd++;
  }

  #opened(file: FakeFile, at = 0): number {
    const fd = this.newFd();
    this.openFiles.set(fd, { file, at });
    return fd;
  }

  #with<Result>(fd: number, work: (open: OpenFile) => Result): Result | number {
    const open = this.openFiles.get(fd);
    return open ? work(open) : -EBADF;
  }

  close(fd: number): number {
    this.log.push(`${fd} close`);
    const open = this.openFiles.get(fd);
    if (open && open.file.lock === open) open.file.lock = undefined;
    if (this.openFiles.delete(fd)) return 0;
    this.faults.push(`close of ${fd}, which is not open`);
    return -EBADF;
  }

  open(path: string, flags: number, _mode: number): number {
    const failure = this.failure("open");
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
    return this.#opened(file, flags & O_APPEND ? file.bytes.length : 0);
  }

  read(fd: number, into: Memory): number {
    return this.failure("read") || this.#with(fd, (open) => {
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
    });
  }

  write(fd: number, bytes: Memory): number {
    const failure = this.failure("write");
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

  /** It has no symbolic links. */
  readlink(_path: Memory, _into: Memory): number {
    return -ENOENT;
  }

  stat(fd: number): FileStatus | number {
    return this.#with(fd, (open) => {
      const { kind, bytes } = open.file;
      const identity = `0:1:${[...this.files.values()].indexOf(open.file)}`;
      return { kind, identity, size: kind === "file" ? bytes.length : 0, owner: 0, mode: 0o644 };
    });
  }

  getdents64(fd: number, into: Memory): number {
    return this.#with(fd, (open) => {
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
    });
  }

  reopen(fd: number, _flags: number): number {
    const open = this.openFiles.get(fd);
    if (!open) return -ENOENT;
    return this.#opened(open.file);
  }

  openNetns(): number {
    return this.#opened(new FakeFile(undefined, "file", this.netns));
  }

  setns(fd: number, _type: number): number {
    return this.failure("setns") || this.#with(fd, (open) => {
      if (open.file.netns === undefined) return -EINVAL;
      this.netns = open.file.netns;
      return 0;
    });
  }

  ftruncate(fd: number, size: number): number {
    return this.#with(fd, (open) => {
      if (open.file.kind !== "file") return -EINVAL;
      const bytes = new Uint8Array(size);
      bytes.set(open.file.bytes.subarray(0, size));
      open.file.bytes = bytes;
      return 0;
    });
  }

  flock(fd: number, _operation: number): number {
    return this.failure("flock") || this.#with(fd, (open) => {
      if (open.file.lock !== undefined && open.file.lock !== open) return -EAGAIN;
      open.file.lock = open;
      return 0;
    });
  }

  requestNetwork(): void {}

  unlink(path: string): number {
    if (this.files.get(path)?.kind === "directory") return -EISDIR;
    return this.files.delete(path) ? 0 : -ENOENT;
  }

  poll(fd: number, events: number): number {
    const open = this.openFiles.get(fd);
    if (!open) return events & POLLOUT;
    const { kind, bytes, peer, room } = open.file;
    if (kind === "file") return events & (POLLIN | POLLOUT);
    const ready = (bytes.length > 0 ? POLLIN : 0) | (bytes.length < room ? POLLOUT : 0);
    return (events & ready) | (peer ? 0 : events & POLLOUT ? POLLERR : POLLHUP);
  }

  seekable(fd: number): boolean {
    return this.openFiles.get(fd)?.file.kind === "file";
  }
}
