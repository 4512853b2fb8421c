/** Opens what a sink writes to: files, named pipes, and descriptors that are open already. */
import { ArgumentError, SystemError } from "../errors.ts";
import {
  EEXIST,
  EISDIR,
  ENOENT,
  ENXIO,
  type FileStatus,
  O_CLOEXEC,
  O_CREAT,
  O_EXCL,
  O_NOCTTY,
  O_NONBLOCK,
  O_PATH,
  O_RDONLY,
  O_WRONLY,
  type Sys,
} from "../sys/sys.ts";
import { directoryNames } from "../sys/structs.ts";
import { memory } from "../wire/native.ts";
import { Descriptor } from "./descriptor.ts";
import type { Destination } from "./destination.ts";
import { lockFile } from "./file_lock.ts";
import type { Directory } from "./series.ts";

const CREATE = O_WRONLY | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK;
/** Before the umask. */
const MODE = 0o666;
/** How often to check whether a pipe without a reader has one now. */
const READER_POLL_MS = 50;

/** Opens files for writing, and guards those that are being read or recorded to. Files that it opens are locked until they are closed. */
export class OutputFiles implements Directory {
  readonly #sys: Sys;
  /** Identities, and descriptions of the files. */
  readonly #guarded: Map<string, string>;
  /** Identities of the files that were opened here: their locks are our own. */
  readonly #opened = new Set<string>();

  /** Opens through `sys`, but none of the files with these identities ({@linkcode FileStatus.identity}). */
  constructor(sys: Sys, guarded: Iterable<string> = []) {
    this.#sys = sys;
    this.#guarded = new Map(Array.from(guarded, (identity) => [identity, "that is being read"]));
  }

  /**
   * Creates a file, or overwrites one, whose contents stay until the first write. A named pipe waits for a reader while it is written to.
   *
   * @throws {ArgumentError} if it is one of the guarded files, by whatever name: it is left as it is.
   * @throws {SystemError} `EBUSY` if another program has locked it, as psample does with what it writes.
   */
  create(path: string): Destination {
    const fd = this.#sys.open(path, CREATE, MODE);
    if (fd === -ENXIO && this.#status(path)?.kind === "fifo") return new WaitingPipe(this.#sys, path);
    return this.#destination(path, fd);
  }

  /**
   * Throws what {@linkcode OutputFiles.create} would throw, but not for a locked file: this may be a check of what is running already. A file
   * that exists keeps its contents, and one that does not is not left behind; a pipe is not opened, because its reader would take that for
   * the end.
   */
  probe(path: string): void {
    const status = this.#status(path);
    if (status?.kind === "fifo") return;
    const flags = status === undefined ? CREATE | O_EXCL : CREATE & ~O_CREAT;
    const fd = this.#sys.open(path, flags, MODE);
    // It is a symbolic link to nothing, or somebody else has just created it.
    if (status === undefined && fd === -EEXIST) return;
    this.#destination(path, fd, { locks: false }).close();
    if (status === undefined) this.removeEmpty(path);
  }

  /**
   * Standard output, or another descriptor that is open already: see {@linkcode openDescriptor}.
   *
   * @throws {ArgumentError} if it is one of the guarded files: reading it would return what was written to it.
   */
  descriptor(fd: number, name: string): Destination {
    const status = this.#sys.stat(fd);
    this.#refuseGuarded(`write ${name}`, typeof status === "number" ? undefined : status);
    return openDescriptor(this.#sys, fd, name);
  }

  /**
   * Adds the file that `path` names now to the guarded files, because it is being recorded to: opening it again would empty it. Returns a
   * function that ends that; after the recording the file may be removed, and its inode number given to another.
   */
  guard(path: string): () => void {
    const identity = this.#status(path)?.identity;
    if (identity === undefined || this.#guarded.has(identity)) return () => {};
    this.#guarded.set(identity, "that is recorded to");
    return () => void this.#guarded.delete(identity);
  }

  /** Creates a file; `undefined` if it exists already. */
  createNew(path: string): Destination | undefined {
    const fd = this.#sys.open(path, CREATE | O_EXCL, MODE);
    return fd === -EEXIST ? undefined : this.#destination(path, fd);
  }

  namesBeside(path: string): readonly string[] {
    const slash = path.lastIndexOf("/");
    const names: string[] = [];
    let fd = -1;
    try {
      fd = this.#sys.open(slash < 0 ? "." : path.slice(0, slash + 1), O_RDONLY | O_CLOEXEC | O_NONBLOCK, 0);
      if (fd < 0) return names;
      const entries = memory(1 << 16);
      for (let size = this.#sys.getdents64(fd, entries); size > 0; size = this.#sys.getdents64(fd, entries)) {
        names.push(...directoryNames(entries.subarray(0, size)));
      }
    } catch {
      // Without the permission to list the directory, existing names are found one by one.
    } finally {
      if (fd >= 0) this.#sys.close(fd);
    }
    return names;
  }

  /**
   * Removes a file, unless another program has locked it.
   *
   * @throws {ArgumentError} if it is one of the guarded files.
   */
  remove(path: string): void {
    const status = this.#status(path);
    this.#refuseGuarded(`remove ${path}`, status);
    if (status?.kind === "file" && !this.#opened.has(status.identity)) this.#refuseLocked(path, status);
    const result = this.#sys.unlink(path);
    if (result < 0 && result !== -ENOENT) throw new SystemError(`remove ${path}`, -result);
    // The next file of this identity may be another program's.
    if (status) this.#opened.delete(status.identity);
  }

  /**
   * Removes an empty file: one that was created and not used. A file that somebody else wrote to meanwhile, or put in its place, stays.
   *
   * @throws {ArgumentError} if it is one of the guarded files.
   */
  removeEmpty(path: string): void {
    const status = this.#status(path);
    if (status?.kind === "file" && status.size === 0) this.remove(path);
  }

  #destination(path: string, fd: number, { locks } = { locks: true }): Destination {
    if (fd < 0) throw new SystemError(`write ${path}`, -fd, { hint: fd === -ENOENT ? this.#withoutDirectory(path) : undefined });
    const status = this.#sys.stat(fd);
    try {
      if (typeof status === "number") throw new SystemError(`write ${path}`, -status);
      if (status.kind === "directory") throw new SystemError(`write ${path}`, EISDIR);
      this.#refuseGuarded(`write ${path}`, status);
      if (locks) {
        lockFile(this.#sys, fd, status, `write ${path}`);
        this.#opened.add(status.identity);
      }
      const descriptor = new Descriptor(this.#sys, fd, path, { owned: true, nonblocking: true });
      return status.kind === "file" && status.size > 0 ? new Overwritten(this.#sys, fd, descriptor) : descriptor;
    } catch (error) {
      this.#sys.close(fd);
      throw error;
    }
  }

  /** That a new file has no directory to be in, if that is so: the kernel says the same of both. */
  #withoutDirectory(path: string): string | undefined {
    const slash = path.lastIndexOf("/");
    // The working directory, and the root, are not to be created.
    if (slash <= 0) return undefined;
    const directory = path.slice(0, slash);
    try {
      const fd = this.#sys.open(directory, O_PATH | O_RDONLY | O_CLOEXEC, 0);
      if (fd >= 0) this.#sys.close(fd);
      return fd === -ENOENT ? `The directory ${directory} does not exist: create it, or choose another` : undefined;
    } catch {
      // Deno has no permission to look.
      return undefined;
    }
  }

  #refuseGuarded(op: string, status: FileStatus | undefined): void {
    // A pipe may have two ends, and a device many users: only a file would lose its contents.
    const use = status?.kind === "file" ? this.#guarded.get(status.identity) : undefined;
    if (use !== undefined) throw new ArgumentError(`Cannot ${op}: it is the file ${use}`);
  }

  #refuseLocked(path: string, status: FileStatus): void {
    const fd = this.#sys.open(path, CREATE & ~O_CREAT, MODE);
    // A file that cannot be written to may still be removed.
    if (fd < 0) return;
    try {
      lockFile(this.#sys, fd, status, `remove ${path}`);
    } finally {
      this.#sys.close(fd);
    }
  }

  #status(path: string): FileStatus | undefined {
    // With O_PATH the kernel ignores the access mode; on Deno it determines which permission is requested.
    const fd = this.#sys.open(path, O_PATH | O_WRONLY | O_CLOEXEC, 0);
    if (fd < 0) return undefined;
    const status = this.#sys.stat(fd);
    this.#sys.close(fd);
    return typeof status === "number" ? undefined : status;
  }
}

/** A file with contents, which are discarded at the first write: its opener may still fail before writing anything. */
class Overwritten implements Destination {
  readonly name: string;
  readonly #sys: Sys;
  readonly #fd: number;
  readonly #descriptor: Descriptor;
  #isEmpty = false;

  constructor(sys: Sys, fd: number, descriptor: Descriptor) {
    this.name = descriptor.name;
    this.#sys = sys;
    this.#fd = fd;
    this.#descriptor = descriptor;
  }

  write(bytes: Uint8Array<ArrayBuffer>): number {
    if (!this.#isEmpty) {
      const result = this.#sys.ftruncate(this.#fd, 0);
      if (result < 0) throw new SystemError(`empty ${this.name}`, -result);
      this.#isEmpty = true;
    }
    return this.#descriptor.write(bytes);
  }

  writable(): Promise<void> {
    return this.#descriptor.writable();
  }

  close(): void {
    this.#descriptor.close();
  }
}

/** A named pipe that nobody has opened for reading yet. */
class WaitingPipe implements Destination {
  readonly name: string;
  readonly #sys: Sys;
  #pipe: Descriptor | undefined;
  #closed = false;

  constructor(sys: Sys, path: string) {
    this.name = path;
    this.#sys = sys;
  }

  write(bytes: Uint8Array<ArrayBuffer>): number {
    if (this.#closed) return 0;
    if (!this.#pipe) {
      const fd = this.#sys.open(this.name, O_WRONLY | O_CLOEXEC | O_NONBLOCK, 0);
      if (fd === -ENXIO) return 0;
      if (fd < 0) throw new SystemError(`write ${this.name}`, -fd);
      this.#pipe = new Descriptor(this.#sys, fd, this.name, { owned: true, nonblocking: true });
    }
    return this.#pipe.write(bytes);
  }

  writable(): Promise<void> {
    return this.#pipe ? this.#pipe.writable() : new Promise((resolve) => setTimeout(resolve, READER_POLL_MS));
  }

  close(): void {
    this.#closed = true;
    this.#pipe?.close();
  }
}

/**
 * A descriptor that is open already, such as standard output. A pipe is opened again, without blocking: the descriptor's own flags are
 * shared with every other holder of it.
 */
export function openDescriptor(sys: Sys, fd: number, name: string): Destination {
  const status = sys.stat(fd);
  if (typeof status !== "number" && status.kind === "fifo") {
    const own = sys.reopen(fd, O_WRONLY | O_CLOEXEC | O_NONBLOCK);
    if (own >= 0) return new Descriptor(sys, own, name, { owned: true, nonblocking: true });
  }
  return new Descriptor(sys, fd, name);
}
