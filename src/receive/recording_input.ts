/** Where the bytes of a recording come from. Nothing here blocks the process: a pipe may be silent for hours. */
import { SystemError } from "../errors.ts";
import { EAGAIN, EINTR, EISDIR, O_CLOEXEC, O_NOCTTY, O_NONBLOCK, O_RDONLY, POLLIN, type Sys } from "../sys/sys.ts";

/** The longest time between two checks of a silent pipe. */
const LONGEST_WAIT_MS = 20;

/**
 * Supplies bytes as they arrive.
 *
 * @category Command
 */
export interface RecordingInput {
  /** Its name in messages; `undefined` if it has none. */
  readonly name?: string | undefined;
  /** Device and inode, if it is a file. */
  readonly identity: string | undefined;
  /** Its size in bytes, if known. */
  readonly size: number | undefined;
  /**
   * Fills `into` as far as it can at once. Returns the number of bytes, 0 at the end, or a negative number if there is nothing yet.
   *
   * @throws {SystemError} if it cannot be read.
   */
  read(into: Uint8Array<ArrayBuffer>): number;
  /** Resolves when there may be more. */
  wait(): Promise<void>;
  /** Closes what is open, and ends a wait. Idempotent. */
  close(): void;
}

/** Nothing is there yet. */
const NOTHING = -1;

/** An open file, pipe or terminal. */
export class DescriptorInput implements RecordingInput {
  readonly name: string;
  readonly identity: string | undefined;
  readonly size: number | undefined;
  readonly #sys: Sys;
  readonly #fd: number;
  readonly #isFile: boolean;
  #owned: boolean;
  #waitMs = 1;
  #stopWaiting = (): void => {};

  /**
   * Reads `fd`, named `name` in messages. Closes it at the end if it is `owned`.
   *
   * @throws {SystemError} if it cannot be read.
   */
  constructor(sys: Sys, fd: number, name: string, owned = false) {
    this.#sys = sys;
    this.#fd = fd;
    this.name = name;
    this.#owned = owned;
    const status = sys.stat(fd);
    const errno = typeof status === "number" ? -status : status.kind === "directory" ? EISDIR : 0;
    if (typeof status === "number" || errno !== 0) {
      this.close();
      throw new SystemError(`read ${name}`, errno);
    }
    this.#isFile = status.kind === "file";
    this.identity = this.#isFile ? status.identity : undefined;
    this.size = this.#isFile ? status.size : undefined;
  }

  /**
   * Opens a file to read.
   *
   * @throws {SystemError} if that is not possible.
   */
  static open(sys: Sys, path: string): DescriptorInput {
    const fd = sys.open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0);
    if (fd < 0) throw new SystemError(`read ${path}`, -fd);
    return new DescriptorInput(sys, fd, path, true);
  }

  read(into: Uint8Array<ArrayBuffer>): number {
    // A pipe that nobody has opened for writing yet reads as if it were at its end: poll shows the difference. And a descriptor that was
    // open before this process started may block.
    if (!this.#isFile && this.#sys.poll(this.#fd, POLLIN) === 0) return NOTHING;
    const size = this.#sys.read(this.#fd, into);
    if (size >= 0) {
      this.#waitMs = 1;
      return size;
    }
    if (size === -EAGAIN || size === -EINTR) return NOTHING;
    throw new SystemError(`read ${this.name}`, -size);
  }

  wait(): Promise<void> {
    const waitMs = this.#waitMs;
    this.#waitMs = Math.min(2 * waitMs, LONGEST_WAIT_MS);
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, waitMs);
      this.#stopWaiting = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }

  close(): void {
    if (this.#owned) this.#sys.close(this.#fd);
    this.#owned = false;
    this.#stopWaiting();
  }
}

/** Bytes that a program yields piece by piece. */
export class IterableInput implements RecordingInput {
  readonly identity = undefined;
  readonly size: number | undefined;
  readonly #iterator: AsyncIterator<Uint8Array>;
  #piece: Uint8Array | undefined;
  #at = 0;
  #isDone = false;
  #failure: { readonly error: unknown } | undefined;
  #next: Promise<void> | undefined;
  #stopWaiting = (): void => {};

  /** Reads `pieces`, one at a time, which together have `size` bytes. */
  constructor(pieces: AsyncIterable<Uint8Array>, size?: number) {
    this.size = size;
    this.#iterator = pieces[Symbol.asyncIterator]();
  }

  read(into: Uint8Array<ArrayBuffer>): number {
    if (this.#failure) throw this.#failure.error;
    const piece = this.#piece;
    if (piece === undefined) return this.#isDone ? 0 : NOTHING;
    const size = Math.min(piece.length - this.#at, into.length);
    into.set(piece.subarray(this.#at, this.#at + size));
    this.#at += size;
    if (this.#at === piece.length) this.#piece = undefined;
    // An empty piece is not the end.
    return size === 0 ? NOTHING : size;
  }

  wait(): Promise<void> {
    this.#next ??= this.#fetch();
    return new Promise((resolve) => {
      this.#stopWaiting = resolve;
      this.#next!.then(resolve);
    });
  }

  async #fetch(): Promise<void> {
    try {
      const { done, value } = await this.#iterator.next();
      if (done) this.#isDone = true;
      else this.#piece = value;
      this.#at = 0;
    } catch (error) {
      this.#failure = { error };
    } finally {
      this.#next = undefined;
    }
  }

  close(): void {
    if (!this.#isDone) {
      this.#isDone = true;
      // Its answer to that no longer matters.
      Promise.resolve(this.#iterator.return?.()).catch(() => {});
    }
    this.#stopWaiting();
  }
}
