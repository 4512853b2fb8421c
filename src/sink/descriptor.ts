import { SystemError } from "../errors.ts";
import { EAGAIN, EINTR, POLLERR, POLLHUP, POLLOUT, type Sys } from "../sys/sys.ts";
import type { Destination } from "./destination.ts";

/** What a pipe takes at once when poll(2) says that it can be written to (PIPE_BUF in limits.h). */
const PIPE_BUF = 4096;
/** The longest time between two checks of a stalled reader. */
const LONGEST_WAIT_MS = 20;

/** How to treat a descriptor. */
export interface DescriptorOptions {
  /** Whether it is closed with the destination. Defaults to false. */
  owned?: boolean;
  /** Whether it was opened with O_NONBLOCK. Defaults to false: then it is written to only as far as poll(2) allows. */
  nonblocking?: boolean;
}

/** An open descriptor such as standard output. A write never blocks, whatever it is. */
export class Descriptor implements Destination {
  readonly name: string;
  readonly #sys: Sys;
  readonly #chunk: number;
  readonly #owned: boolean;
  readonly #nonblocking: boolean;
  #fd: number;
  #waitMs = 1;

  /** Writes to `fd`, named `name` in messages. */
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
      // Also if poll reports only an error: the write fails at once and reports it.
      const written = this.#nonblocking || this.#sys.poll(this.#fd, POLLOUT) !== 0
        ? this.#sys.write(this.#fd, bytes.subarray(at, at + this.#chunk))
        : -EAGAIN;
      if (written >= 0) at += written;
      else if (written === -EINTR) continue;
      // Bytes already taken count: a failure is reported by the next call.
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

  /** Of a pipe POLLERR says it, of a socket POLLHUP (poll(2)). Files never do. */
  get isAbandoned(): boolean {
    return this.#fd >= 0 && (this.#sys.poll(this.#fd, 0) & (POLLERR | POLLHUP)) !== 0;
  }

  close(): void {
    const fd = this.#fd;
    this.#fd = -1;
    if (this.#owned && fd >= 0) this.#sys.close(fd);
  }
}
