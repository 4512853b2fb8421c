/** A histogram with fixed bounds, as Prometheus and OpenTelemetry have them. */

/**
 * Counts values by bounds that are the same for all series, so that they can be added up.
 *
 * @category Export
 */
export class Buckets {
  /** Number of values. */
  count = 0;
  /** Their sum. */
  sum = 0;
  /** The upper bounds, which ascend. */
  readonly bounds: readonly number[];
  /** How many values lie below each bound, or on it, and above the one before. */
  readonly #counts: Float64Array;

  /** Empty buckets with these upper bounds, which ascend. */
  constructor(bounds: readonly number[]) {
    this.bounds = bounds;
    this.#counts = new Float64Array(bounds.length);
  }

  /** Counts a value. */
  add(value: number): void {
    this.count++;
    this.sum += value;
    const bounds = this.bounds;
    let low = 0;
    let high = bounds.length;
    while (low < high) {
      const middle = low + high >> 1;
      if (value <= bounds[middle]!) high = middle;
      else low = middle + 1;
    }
    if (low < bounds.length) this.#counts[low]!++;
  }

  /** How many values lie below each bound, or on it, and above the one before; and last, how many lie above all bounds. */
  counts(): number[] {
    const within = Array.from(this.#counts);
    return [...within, within.reduce((rest, count) => rest - count, this.count)];
  }

  /** For each bound, how many values do not exceed it. */
  cumulative(): (readonly [bound: number, count: number])[] {
    let sum = 0;
    return this.bounds.map((bound, i) => [bound, sum += this.#counts[i]!] as const);
  }
}
