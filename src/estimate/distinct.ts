/**
 * How many different things there are, in bounded memory: HyperLogLog (Flajolet, Fusy, Gandouet, Meunier, AofA 2007), many small ones in one
 * piece of memory. For samples it counts the values that were seen: a lower bound.
 *
 * @module
 */
import { hashOf } from "./top_keys.ts";

/**
 * Counters of different values, each with a standard error of 1.04/√2^precision.
 *
 * @category Estimates
 */
export class DistinctCounters {
  readonly #precision: number;
  readonly #registers: Uint8Array;

  /** This many counters. With the default precision of 10 each takes 1 KiB and has a standard error of 3.3 %. */
  constructor(counters: number, precision = 10) {
    this.#precision = precision;
    this.#registers = new Uint8Array(counters << precision);
  }

  /** Enters the value in the first `length` bytes of `value`. */
  add(counter: number, value: Uint8Array, length: number): void {
    const hash = hashOf(value, length);
    const precision = this.#precision;
    const at = (counter << precision) + (hash >>> 32 - precision);
    // Position of the first set bit in the rest of the hash.
    const rank = Math.clz32(hash << precision | 1 << precision - 1) + 1;
    if (rank > this.#registers[at]!) this.#registers[at] = rank;
  }

  /** Forgets what one counter has seen. */
  clear(counter: number): void {
    this.#registers.fill(0, counter << this.#precision, counter + 1 << this.#precision);
  }

  /** Approximately how many different values one counter has seen. */
  count(counter: number): number {
    const size = 1 << this.#precision;
    const start = counter << this.#precision;
    let sum = 0;
    let zeros = 0;
    for (let i = start; i < start + size; i++) {
      const rank = this.#registers[i]!;
      sum += 2 ** -rank;
      if (rank === 0) zeros++;
    }
    const estimate = 0.7213 / (1 + 1.079 / size) * size * size / sum;
    // With few values some registers stay empty, and their share is the better estimate.
    return estimate <= 2.5 * size && zeros > 0 ? size * Math.log(size / zeros) : estimate;
  }
}
