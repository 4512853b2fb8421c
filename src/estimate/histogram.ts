/**
 * Quantiles of values that span many orders of magnitude, such as latencies in nanoseconds, in bounded memory: buckets whose widths grow by a
 * constant factor, so that every quantile is right within 1 % of itself.
 *
 * @module
 */

/** Each bucket is wider than the one before by this factor: the middle of one errs by at most 1 %. */
const GROWTH = 1.02;
const LOG_GROWTH = Math.log(GROWTH);
/** 2^64 lies in the last bucket. */
const BUCKETS = Math.ceil(Math.log(2 ** 64) / LOG_GROWTH) + 1;

/**
 * A weighted distribution of values of 0 and more.
 *
 * @category Estimates
 */
export class LogHistogram {
  /** Sum of all weights. */
  total = 0;
  /** Sum of value times weight. */
  sum = 0;
  /** The smallest value; Infinity if there is none. */
  least: number = Infinity;
  /** The largest value. */
  most = 0;
  #zeros = 0;
  readonly #buckets = new Float64Array(BUCKETS);

  /** Enters a value. Values below 1 count as 0. */
  add(value: number, weight = 1): void {
    this.total += weight;
    this.sum += value * weight;
    if (value < this.least) this.least = value;
    if (value > this.most) this.most = value;
    if (value < 1) this.#zeros += weight;
    else this.#buckets[Math.min(BUCKETS - 1, Math.floor(Math.log(value) / LOG_GROWTH))]! += weight;
  }

  /** The `p` quantile; `undefined` if nothing was entered. */
  quantile(p: number): number | undefined {
    if (this.total === 0) return undefined;
    let left = p * this.total - this.#zeros;
    if (left <= 0 && this.#zeros > 0) return Math.min(this.least, 0);
    for (let i = 0; i < BUCKETS; i++) {
      left -= this.#buckets[i]!;
      if (left <= 0 && this.#buckets[i]! > 0) return Math.min(this.most, Math.max(this.least, Math.exp((i + 0.5) * LOG_GROWTH)));
    }
    return this.most;
  }

  /** Weight of the values up to each of these bounds, which ascend: what Prometheus calls cumulative buckets. */
  upTo(bounds: readonly number[]): number[] {
    const result: number[] = [];
    let sum = this.#zeros;
    let i = 0;
    for (const bound of bounds) {
      // A bucket counts towards the first bound above its middle.
      for (; i < BUCKETS && Math.exp((i + 0.5) * LOG_GROWTH) <= bound; i++) sum += this.#buckets[i]!;
      result.push(sum);
    }
    return result;
  }

  /** Forgets everything. */
  clear(): void {
    this.total =
      this.sum =
      this.most =
      this.#zeros =
        0;
    this.least = Infinity;
    this.#buckets.fill(0);
  }
}
