import { SystemError } from "../errors.ts";
import { memory } from "../wire/native.ts";
import { EAGAIN, EINTR, type Memory, type Sys } from "../sys/sys.ts";

/** What a pipe takes at once where poll(2) says that it can be written to (PIPE_BUF in limits.h). */
const PIPE_BUF = 4096;
/** How long to wait for a reader that does not read, at most. */
const LONGEST_WAIT_MS = 20;

const encoder = new TextEncoder();

/**
 * Writes to a descriptor such as standard output without ever blocking the process, so that signals are
 * handled and samples are received while a reader is slow. Deno's own standard output blocks.
 */
export class FdOutput {
  readonly #sys: Sys;
  readonly #fd: number;
  readonly #chunk: number;

  /** Writes to `fd`, which stays the caller's. */
  constructor(sys: Sys, fd: number) {
    this.#sys = sys;
    this.#fd = fd;
    this.#chunk = sys.seekable(fd) ? Infinity : PIPE_BUF;
  }

  /**
   * Writes everything; resolves when the kernel has it.
   *
   * @throws {SystemError} `EPIPE` where nobody reads any more, `ENOSPC` where the disk is full.
   */
  async write(data: Uint8Array | string): Promise<void> {
    const bytes = own(typeof data === "string" ? encoder.encode(data) : data);
    let wait = 1;
    for (let at = 0; at < bytes.length;) {
      const written = this.#sys.writable(this.#fd) ? this.#sys.write(this.#fd, bytes.subarray(at, at + this.#chunk)) : -EAGAIN;
      if (written >= 0) {
        at += written;
        wait = 1;
      } else if (written === -EAGAIN) {
        await new Promise((resolve) => setTimeout(resolve, wait));
        wait = Math.min(2 * wait, LONGEST_WAIT_MS);
      } else if (written !== -EINTR) {
        throw new SystemError("write the output", -written);
      }
    }
  }
}

function own(bytes: Uint8Array): Memory {
  if (bytes.buffer instanceof ArrayBuffer) return bytes as Memory;
  const copy = memory(bytes.length);
  copy.set(bytes);
  return copy;
}
