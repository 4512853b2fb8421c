/** When an encoder flushes. */
import { jittered } from "../stream/jitter.ts";

/** A sample waits for less than a second (sFlow version 5, section 5), also if a timer is late. */
const PERIOD_MS = 900;
const LOW_MS = 40;

/** What flushes, and how soon. */
export interface FlushTimerOptions {
  /** How long a sample may wait for others. Defaults to `"batch"`. */
  readonly latency?: "batch" | "low" | undefined;
  /** Between 0 and 1. Defaults to `Math.random`. */
  readonly random?: (() => number) | undefined;
  /** Flushes. It calls {@linkcode FlushTimer.flushed}. */
  readonly flush: () => void;
  /** Gets what `flush` throws when a timer calls it, where nobody else would catch it. */
  readonly onError: (error: unknown) => void;
}

/** Flushes about once a second whether or not there are samples, and earlier if a sample may not wait that long. */
export class FlushTimer {
  readonly #options: FlushTimerOptions;
  readonly #random: () => number;
  readonly #periodMs: number;
  /** The next flush, which comes anyway, and an earlier one for a sample that does not wait. */
  #timer: ReturnType<typeof setTimeout> | undefined;
  #soon: ReturnType<typeof setTimeout> | undefined;
  /** When the first sample came that waits, in milliseconds of the steady clock. */
  #waitingSinceMs: number | undefined;
  #isStopped = false;

  constructor(options: FlushTimerOptions) {
    this.#options = options;
    const { random = Math.random } = options;
    this.#random = random;
    this.#periodMs = options.latency === "low" ? LOW_MS : PERIOD_MS;
    // From a random moment on: a thousand exporters that are started together must not send together.
    this.#timer = setTimeout(() => this.#tick(), jittered(PERIOD_MS, random) * random());
  }

  /** Samples have been taken, which were there at `nowMs`. */
  taken(samples: number, nowMs: number): void {
    if (samples > 0) this.#waitingSinceMs ??= nowMs;
    if (this.#waitingSinceMs === undefined) return;
    // While the event loop has no turn, as between the batches of a recording, no timer fires.
    if (nowMs - this.#waitingSinceMs >= this.#periodMs) this.#options.flush();
    else if (this.#periodMs < PERIOD_MS) this.#soon ??= setTimeout(() => this.#guarded(), this.#periodMs);
  }

  /** No sample waits any more. */
  flushed(): void {
    clearTimeout(this.#soon);
    this.#soon = undefined;
    this.#waitingSinceMs = undefined;
  }

  /** Flushes no more. */
  stop(): void {
    this.#isStopped = true;
    clearTimeout(this.#timer);
    clearTimeout(this.#soon);
  }

  #tick(): void {
    this.#guarded();
    if (!this.#isStopped) this.#timer = setTimeout(() => this.#tick(), jittered(PERIOD_MS, this.#random));
  }

  #guarded(): void {
    try {
      this.#options.flush();
    } catch (error) {
      this.#options.onError(error);
    }
  }
}
