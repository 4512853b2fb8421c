/** Keeps the memory of a service small. */
import type { Sys } from "../src/sys/sys.ts";

/** By when most of what is called for each sample has been compiled. */
const FIRST_MS = 30_000;
/** How often after that: it takes about a millisecond. */
const AGAIN_MS = 60_000;

/**
 * Gives memory back that the runtime has freed. Loading modules and compiling what is called often take some ten megabytes for a moment,
 * which the C library would keep for as long as a service runs, in case they are needed again.
 */
export class MemoryTrimmer {
  readonly #sys: Pick<Sys, "trimMemory">;
  readonly #againMs: number;
  #timer: ReturnType<typeof setTimeout>;

  /** Trims until it is closed. The times are for tests. */
  constructor(sys: Pick<Sys, "trimMemory">, { firstMs = FIRST_MS, againMs = AGAIN_MS } = {}) {
    this.#sys = sys;
    this.#againMs = againMs;
    this.#timer = setTimeout(() => this.#trim(), firstMs);
  }

  /** Stops. */
  close(): void {
    clearTimeout(this.#timer);
  }

  #trim(): void {
    this.#sys.trimMemory();
    this.#timer = setTimeout(() => this.#trim(), this.#againMs);
  }
}
