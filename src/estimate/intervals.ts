/**
 * Error bounds of estimates from samples. All are two-sided; the default confidence is 95 %.
 *
 * tc samples each packet independently with the same probability (Bernoulli), so a total is estimated by Horvitz and Thompson: the sum of N
 * times the value over the samples, each with its own N. Normal intervals are far too narrow if samples are few and sizes differ, and go
 * below 0; the gamma interval of Fay and Feuer (Statistics in Medicine 16, 1997, 791-801) is not, and is the exact Poisson interval if all
 * weights are equal.
 *
 * @module
 */
import { betaBelow, betaQuantile, chiSquaredQuantile } from "./distributions.ts";

/**
 * A lower and an upper bound.
 *
 * @category Estimates
 */
export type Interval = readonly [low: number, high: number];

const CONFIDENCE = 0.95;
/** Sums that have decayed below this are nothing: their squares would leave the range of a double. */
const NEGLIGIBLE = 1e-100;

/**
 * Sums over samples of one value, such as 1 for packets or the size for bytes.
 *
 * @category Estimates
 */
export interface WeightedSum {
  /** The estimate: the sum of the weights N·x. */
  readonly sum: number;
  /** The sum of the squared weights. */
  readonly squares: number;
  /** The variance of the estimate: the sum of N·(N−1)·x². 0 if every packet was sampled. */
  readonly variance: number;
  /**
   * The largest weight that a sample *can* have: N times the largest packet. The largest one seen is not enough: it makes the upper bound
   * too low if samples are few.
   */
  readonly largest: number;
}

/**
 * The bounds of an estimated total, whatever mixture of rates and sizes it is made of.
 *
 * @category Estimates
 */
export function gammaInterval({ sum, squares, variance, largest }: WeightedSum, confidence: number = CONFIDENCE): Interval {
  const tail = (1 - confidence) / 2;
  if (!(sum > NEGLIGIBLE)) return [0, Math.max(sum, largest / 2 * chiSquaredQuantile(1 - tail, 2))];
  const low = squares / (2 * sum) * chiSquaredQuantile(tail, 2 * sum * sum / squares);
  const more = sum + largest;
  const moreSquares = squares + largest * largest;
  const high = moreSquares / (2 * more) * chiSquaredQuantile(1 - tail, 2 * more * more / moreSquares);
  // Poisson's variance is the limit for large N; if every second packet is sampled, only half of it is left.
  const narrower = Math.sqrt(Math.min(1, variance / squares));
  return [sum - (sum - low) * narrower, sum + (high - sum) * narrower];
}

/**
 * The bounds of the mean of a count of independent events (Garwood 1936).
 *
 * @category Estimates
 */
export function poissonInterval(count: number, confidence: number = CONFIDENCE): Interval {
  const tail = (1 - confidence) / 2;
  return [count === 0 ? 0 : chiSquaredQuantile(tail, 2 * count) / 2, chiSquaredQuantile(1 - tail, 2 * count + 2) / 2];
}

/**
 * The bounds of a share, `count` of `of` (Wilson 1927): right on average. `z` is the normal quantile of the confidence.
 *
 * @category Estimates
 */
export function wilsonInterval(count: number, of: number, z = 1.959963984540054): Interval {
  const share = count / of;
  const squared = z * z;
  const middle = (share + squared / (2 * of)) / (1 + squared / of);
  const half = z / (1 + squared / of) * Math.sqrt(share * (1 - share) / of + squared / (4 * of * of));
  return [count === 0 ? 0 : middle - half, count === of ? 1 : middle + half];
}

/**
 * The bounds of a share, `count` of `of` (Clopper and Pearson 1934): never too narrow.
 *
 * @category Estimates
 */
export function binomialInterval(count: number, of: number, confidence: number = CONFIDENCE): Interval {
  const tail = (1 - confidence) / 2;
  return [
    count === 0 ? 0 : betaQuantile(tail, count, of - count + 1),
    count === of ? 1 : betaQuantile(1 - tail, count + 1, of - count),
  ];
}

/**
 * The bounds of the share that a part has of a whole, both estimated: the bounds of a ratio, recovered from those of the part and of the
 * rest, which are independent of each other (Donner and Zou, Statistical Methods in Medical Research 21, 2012, 347-359).
 *
 * @category Estimates
 */
export function shareInterval(part: number, [partLow, partHigh]: Interval, whole: number, [wholeLow, wholeHigh]: Interval): Interval {
  const rest = Math.max(0, whole - part);
  // Uncertainties of independent sums add up in squares, so the rest has what the whole has beyond the part.
  const left = (of: number, own: number): number => Math.sqrt(Math.max(0, of * of - own * own));
  const restLow = Math.max(0, rest - left(whole - wholeLow, part - partLow));
  const restHigh = rest + left(wholeHigh - whole, partHigh - part);
  const low = partLow > 0 ? partLow / (partLow + restHigh) : 0;
  return [low, partHigh > 0 ? partHigh / (partHigh + restLow) : 0];
}

/**
 * The probability of a count at least this far from the expected one, if each of `of` is counted with this probability: the exact two-sided
 * test.
 *
 * @category Estimates
 */
export function binomialTest(count: number, of: number, probability: number): number {
  const below = count >= of ? 1 : betaBelow(of - count, count + 1, 1 - probability);
  const above = count <= 0 ? 1 : betaBelow(count, of - count + 1, probability);
  return Math.min(1, 2 * Math.min(below, above));
}
