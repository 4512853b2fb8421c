/**
 * Decides whether to wait for the next datagram or to let some gather: a wake-up costs more than many datagrams, but a single one must not
 * be delayed.
 *
 * @module
 */

/** While datagrams keep coming, how long to let them gather. */
const TICK_MS = 1;
/** The same if they have kept coming for some drains, but few at a time: then wake-ups are most of the cost. */
const SLOW_TICK_MS = 10;
const SLOW_AFTER = 8;
const FEW = 64;
/** Datagrams farther apart than this are waited for: letting them gather would only delay them. */
const APART_MS = 1.5;
/** This many at once are a burst, and the next one is near. */
const BURST = 4;

/** Follows the drains of one socket. */
export class Pace {
  #last = -Infinity;
  #gathering = false;
  // Consecutive drains that were closely spaced, small, and widely spaced.
  #near = 0;
  #few = 0;
  #far = 0;

  /**
   * Records a drain that returned `taken` datagrams at `nowMs`. Returns how many milliseconds to let more gather; 0 to wait for the next
   * one. A single one that comes early or late changes nothing.
   */
  after(taken: number, nowMs: number): number {
    const near = nowMs - this.#last < taken * APART_MS;
    this.#last = nowMs;
    this.#near = near ? this.#near + 1 : 0;
    this.#far = near ? 0 : this.#far + 1;
    this.#few = near && taken < FEW ? this.#few + 1 : 0;
    this.#gathering = this.#gathering ? this.#far < 2 : this.#near >= 2 || taken >= BURST;
    if (!this.#gathering) return 0;
    return this.#few > SLOW_AFTER ? SLOW_TICK_MS : TICK_MS;
  }
}
