/** How long to leave work alone that is done again and again, so that it takes a bounded share of a processor. */

/** Work is done only this many times as long as it takes after the last time: so it takes a twentieth of a processor at most. */
export const REST = 20;

/**
 * When work may be done again. What it takes is the shorter of the last two times: once it may have been slow because code was compiled, or
 * because the processor did something else, and that is no reason to leave out the next one.
 */
export class Rest {
  #beforeMs = 0;
  #untilMs = -Infinity;

  /** It was done from `startMs` to `endMs`. */
  done(startMs: number, endMs: number): void {
    const tookMs = endMs - startMs;
    this.#untilMs = startMs + REST * Math.min(tookMs, this.#beforeMs);
    this.#beforeMs = tookMs;
  }

  /** Whether it may be done now. */
  isOver(nowMs: number): boolean {
    return nowMs >= this.#untilMs;
  }
}
