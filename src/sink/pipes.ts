/** Named pipes that the program at the other end has made, such as Wireshark. None of them ever blocks the process. */
import { SystemError } from "../errors.ts";
import { loadSys } from "../sys/load.ts";
import { EAGAIN, EINTR, ENXIO, O_CLOEXEC, O_NONBLOCK, O_RDONLY, O_WRONLY, type Sys } from "../sys/sys.ts";
import { memory } from "../wire/native.ts";
import { Descriptor } from "./descriptor.ts";
import type { Destination } from "./destination.ts";

/** How often to look whether a pipe has a reader now. */
const LOOK_MS = 20;

/** A pipe that somebody reads. */
export interface Pipe extends Destination {
  /** Whether nobody reads it any more. */
  readonly isAbandoned: boolean;
}

/** How long to wait for a reader. */
interface Waiting {
  readonly waitMs: number;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Opens a pipe to write to, as soon as somebody reads it. Nothing is created: a pipe that is gone belongs to a capture that is over, and a
 * file in its place would be of no use to anybody.
 *
 * @throws {SystemError} if it is not there, or nobody reads it in time; the signal's reason if that is aborted.
 */
export async function openPipe(path: string, { waitMs, signal }: Waiting): Promise<Pipe> {
  const sys = await loadSys();
  const deadline = performance.now() + waitMs;
  for (;;) {
    signal?.throwIfAborted();
    const fd = sys.open(path, O_WRONLY | O_CLOEXEC | O_NONBLOCK, 0);
    if (fd >= 0) return checkedPipe(sys, fd, path);
    if (fd !== -ENXIO || performance.now() > deadline) {
      const hint = fd === -ENXIO ? `Nobody has opened it for reading within ${Math.round(waitMs / 1000)} s` : undefined;
      throw new SystemError(`write ${path}`, -fd, { hint });
    }
    await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
  }
}

function checkedPipe(sys: Sys, fd: number, path: string): Pipe {
  const status = sys.stat(fd);
  if (typeof status === "number" || status.kind !== "fifo") {
    sys.close(fd);
    throw new SystemError(`write ${path}`, typeof status === "number" ? -status : ENXIO, { hint: "It is not a named pipe" });
  }
  return new Descriptor(sys, fd, path, { owned: true, nonblocking: true });
}

/** The end of a pipe that is read from. */
export class PipeReader {
  readonly #sys: Sys;
  readonly #piece = memory(1 << 12);
  #fd: number;

  private constructor(sys: Sys, fd: number) {
    this.#sys = sys;
    this.#fd = fd;
  }

  /** @throws {SystemError} if it cannot be opened. */
  static async open(path: string): Promise<PipeReader> {
    const sys = await loadSys();
    const fd = sys.open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK, 0);
    if (fd < 0) throw new SystemError(`read ${path}`, -fd);
    return new PipeReader(sys, fd);
  }

  /** What there is now: nothing if that is nothing, or if nobody writes. The bytes are valid until the next call. */
  read(): Uint8Array {
    if (this.#fd < 0) return this.#piece.subarray(0, 0);
    const size = this.#sys.read(this.#fd, this.#piece);
    if (size < 0 && size !== -EAGAIN && size !== -EINTR) this.close();
    return this.#piece.subarray(0, Math.max(0, size));
  }

  /** Closes it. Idempotent. */
  close(): void {
    if (this.#fd >= 0) this.#sys.close(this.#fd);
    this.#fd = -1;
  }
}
