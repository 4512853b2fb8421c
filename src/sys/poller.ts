/** Waits for descriptors, for a runtime that makes a system call on another thread but watches no descriptors itself. */
import { SystemError } from "../errors.ts";
import { LITTLE, memory, viewOf } from "../wire/native.ts";
import { pollfd } from "./structs.ts";
import { type Memory, POLLIN, type Watch } from "./sys.ts";

/** The calls that it makes, as the runtime's table of C prototypes has them. */
export interface PollCalls {
  /** close(2) */
  close(fd: number): number;
  /** eventfd_write(3) */
  eventfd_write(fd: number, value: bigint): number;
  /** eventfd_read(3) */
  eventfd_read(fd: number, value: Memory): number;
  /** poll(2), on a thread of its own. */
  poll(set: Memory, count: bigint, timeout: number): Promise<number>;
}

/**
 * One poll(2) on a thread of Deno's pool for all watched descriptors of the process: that pool has 32 threads,
 * and a thread parked for each would starve everything else. An eventfd is in the set, so that a change of
 * the set takes effect at once.
 */
export class Poller {
  readonly #libc: PollCalls;
  readonly #eventfd: () => number;
  /** Descriptors being waited for. */
  readonly #waiting = new Map<number, () => void>();
  readonly #count = memory(8);
  #watches = 0;
  #wakeup = -1;
  #polling: Promise<void> | undefined;
  /** Whether the set that the kernel is polling is stale. */
  #stale = false;

  constructor(libc: PollCalls, eventfd: () => number) {
    this.#libc = libc;
    this.#eventfd = eventfd;
  }

  watch(fd: number, ready: () => void): Watch {
    if (this.#watches === 0) {
      const wakeup = this.#eventfd();
      if (wakeup < 0) throw new SystemError("watch a socket", -wakeup);
      this.#wakeup = wakeup;
    }
    this.#watches++;
    let closed: Promise<void> | undefined;
    return {
      wait: () => {
        if (closed) return;
        this.#waiting.set(fd, ready);
        this.#change();
      },
      close: () => closed ??= this.#close(fd),
    };
  }

  async #close(fd: number): Promise<void> {
    if (this.#waiting.delete(fd)) this.#change();
    // The number may be reused for another file as soon as it is closed, so not while the kernel polls it.
    while (this.#stale && this.#polling) await this.#polling;
    this.#libc.close(fd);
    this.#watches--;
    if (this.#watches > 0) return;
    while (this.#polling) await this.#polling;
    if (this.#watches > 0 || this.#wakeup < 0) return;
    this.#libc.close(this.#wakeup);
    this.#wakeup = -1;
  }

  #change(): void {
    if (this.#polling) {
      this.#stale = true;
      this.#libc.eventfd_write(this.#wakeup, 1n);
    } else {
      this.#polling = this.#poll();
    }
  }

  async #poll(): Promise<void> {
    this.#stale = false;
    const fds = [...this.#waiting.keys()];
    const set = pollfd([this.#wakeup, ...fds], POLLIN);
    const view = viewOf(set);
    // Another thread made the call: its error number is out of reach, and EINTR is the only one there can be.
    const ready = await this.#libc.poll(set, BigInt(fds.length + 1), -1);
    if (ready > 0 && view.getInt16(6, LITTLE) !== 0) this.#libc.eventfd_read(this.#wakeup, this.#count);
    this.#polling = undefined;
    this.#stale = false;
    for (let i = 0; ready > 0 && i < fds.length; i++) {
      if (view.getInt16(8 * (i + 1) + 6, LITTLE) === 0) continue;
      const call = this.#waiting.get(fds[i]!);
      this.#waiting.delete(fds[i]!);
      call?.();
    }
    if (this.#waiting.size > 0 && !this.#polling) this.#polling = this.#poll();
  }
}
