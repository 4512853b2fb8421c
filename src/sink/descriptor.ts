import { SystemError } from "../errors.ts";
import { EAGAIN, EINTR, POLLOUT, type Sys } from "../sys/sys.ts";
import type { Destination } from "./destination.ts";

/** What a pipe takes at once when poll(2) says that it can be written to (PIPE_BUF in limits.h). */
const PIPE_BUF = 4096;
/** The longest time between two looks at a reader that does not read. */
const LONGEST_WAIT_MS = 20;

/** What is known of a descriptor. */
export interface DescriptorOptions {
  /** It is closed with the destination. Defaults to false. */
  owned?: boolean;
  /** It was opened with O_NONBLOCK. Defaults to false: then it is written to only as far as poll(2) says. */
  nonblocking?: boolean;
}

/** An open descriptor such as standard output. It is never waited for in a write, whatever it is. */
export class Descriptor implements Destination {
  readonly name: string;
  readonly #sys: Sys;
  readonly #chunk: number;
  readonly #owned: boolean;
  readonly #nonblocking: boolean;
  #fd: number;
  #waitMs = 1;

  /** Writes to `fd`, which messages call `name`. */
  constructor(sys: Sys, fd: number, name: string, { owned = false, nonblocking = false }: DescriptorOptions = {}) {
    this.name = name;
    this.#sys = sys;
    this.#fd = fd;
    this.#owned = owned;
    this.#nonblocking = nonblocking;
    this.#chunk = nonblocking || sys.seekable(fd) ? Infinity : PIPE_BUF;
  }

  write(bytes: Uint8Array<ArrayBuffer>): number {
    let at = 0;
    while (at < bytes.length) {
      // Also where only an error holds: the write fails at once and tells it.
      const written = this.#nonblocking || this.#sys.poll(this.#fd, POLLOUT) !== 0
        ? this.#sys.write(this.#fd, bytes.subarray(at, at + this.#chunk))
        : -EAGAIN;
      if (written >= 0) at += written;
      else if (written === -EINTR) continue;
      // What was taken is taken: a failure is told by the next call.
      else if (written === -EAGAIN || at > 0) break;
      else throw new SystemError(`write ${this.name}`, -written);
    }
    if (at > 0) this.#waitMs = 1;
    return at;
  }

  writable(): Promise<void> {
    const waitMs = this.#waitMs;
    this.#waitMs = Math.min(2 * waitMs, LONGEST_WAIT_MS);
    return new Promise((resolve) => setTimeout(resolve, waitMs));
  }

  close(): void {
    const fd = this.#fd;
    this.#fd = -1;
    if (this.#owned && fd >= 0) this.#sys.close(fd);
  }
}
