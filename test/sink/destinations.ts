/** Destinations for tests of what writes to them. */
import { SystemError } from "../../src/errors.ts";
import type { Destination } from "../../src/sink/destination.ts";

/** Keeps what is written. Accepts as much as {@linkcode TestDestination.room} says. */
export class TestDestination implements Destination {
  readonly name = "test";
  readonly chunks: Uint8Array[] = [];
  closed = 0;
  /** Number of bytes that it still accepts. */
  room = Infinity;
  /** The error number that the next write fails with. */
  errno = 0;
  #resolve = (): void => {};

  get size(): number {
    return this.chunks.reduce((sum, chunk) => sum + chunk.length, 0);
  }
  text(): string {
    const decoder = new TextDecoder();
    return this.chunks.map((chunk) => decoder.decode(chunk, { stream: true })).join("");
  }
  write(bytes: Uint8Array): number {
    if (this.closed > 0) throw new Error("written to after it was closed");
    if (this.errno > 0) throw new SystemError("write the output", this.errno);
    const count = Math.min(bytes.length, this.room);
    this.room -= count;
    if (count > 0) this.chunks.push(bytes.slice(0, count));
    return count;
  }
  writable(): Promise<void> {
    return this.room > 0 || this.errno > 0 ? Promise.resolve() : new Promise((resolve) => this.#resolve = resolve);
  }
  close(): void {
    this.closed++;
  }
  /** Accepts `bytes` more from now on. */
  takes(bytes: number): void {
    this.room = bytes;
    this.#resolve();
  }
  /** Fails from now on. */
  fails(errno: number): void {
    this.errno = errno;
    this.#resolve();
  }
}
