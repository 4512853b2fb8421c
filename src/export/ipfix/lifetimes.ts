import { jittered, LEAST } from "../../stream/jitter.ts";

/**
 * How long flows are active before they are reported, by when they began: by chance, so that exporters on many machines do not report
 * together what began together. A flow that began later is never due earlier, so they can wait in a queue.
 */
export class Lifetimes {
  readonly #mostMs: number;
  readonly #random: () => number;
  /** From here on, for so long, lifetimes change steadily from the first to the second. */
  #sinceMs = -Infinity;
  #lengthMs = 0;
  #firstMs = 0;
  #secondMs = 0;

  /** @param random Between 0 and 1. */
  constructor(mostMs: number, random: () => number) {
    this.#mostMs = mostMs;
    this.#random = random;
  }

  /** The lifetime of a flow that began then. Ask in the order in which flows began. */
  of(begunMs: number): number {
    const most = this.#mostMs;
    const after = begunMs - this.#sinceMs - this.#lengthMs;
    if (after >= most || after < -2 * most) {
      // Those that were there when the exporter started, and what begins together after a pause, are spread over the whole time.
      const part = this.#next() * this.#random();
      this.#begin(begunMs, part, part, part);
    } else if (after >= 0) {
      // After the first part most of them last longer from one moment to the next.
      const next = this.#secondMs < LEAST * most ? this.#next() : this.#secondMs;
      this.#begin(this.#sinceMs + this.#lengthMs, most, next, this.#next());
    }
    // Times of packets are not quite in order.
    const passed = Math.max(0, begunMs - this.#sinceMs);
    return this.#firstMs + (this.#secondMs - this.#firstMs) * passed / this.#lengthMs;
  }

  #next(): number {
    return jittered(this.#mostMs, this.#random);
  }

  #begin(sinceMs: number, lengthMs: number, firstMs: number, secondMs: number): void {
    this.#sinceMs = sinceMs;
    this.#lengthMs = Math.max(1, lengthMs);
    this.#firstMs = firstMs;
    this.#secondMs = secondMs;
  }
}
