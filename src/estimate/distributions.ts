/**
 * Quantiles and tails of the distributions that error bounds are made of, to about 10 digits.
 *
 * Methods: the gamma function by Lanczos' series, the incomplete gamma and beta functions by series and continued fractions
 * (Abramowitz and Stegun 6.5, 26.5.8), quantiles by bisection: nothing can go wrong with monotone functions, and a quantile is needed once
 * per row and interval, not per sample.
 *
 * @module
 */

const LANCZOS = [
  0.99999999999980993,
  676.5203681218851,
  -1259.1392167224028,
  771.32342877765313,
  -176.61502916214059,
  12.507343278686905,
  -0.13857109526572012,
  9.9843695780195716e-6,
  1.5056327351493116e-7,
];

/** The logarithm of the gamma function, for x > 0. */
export function logGamma(x: number): number {
  if (x < 0.5) return Math.log(Math.PI / Math.sin(Math.PI * x)) - logGamma(1 - x);
  const t = x + 6.5;
  let sum = LANCZOS[0]!;
  for (let i = 1; i < LANCZOS.length; i++) sum += LANCZOS[i]! / (x - 1 + i);
  return 0.5 * Math.log(2 * Math.PI) + (x - 0.5) * Math.log(t) - t + Math.log(sum);
}

const MOST_TERMS = 100_000;
const PRECISION = 1e-14;
const TINY = 1e-300;

/** The share of the gamma distribution of this shape (and scale 1) that lies below x. */
function gammaBelow(shape: number, x: number): number {
  if (x <= 0) return 0;
  if (x === Infinity) return 1;
  const factor = Math.exp(shape * Math.log(x) - x - logGamma(shape));
  if (x < shape + 1) {
    let term = 1 / shape;
    let sum = term;
    for (let n = 1; n < MOST_TERMS && term > sum * PRECISION; n++) {
      term *= x / (shape + n);
      sum += term;
    }
    return Math.min(1, sum * factor);
  }
  // The continued fraction of the rest, by Lentz's method.
  let b = x + 1 - shape;
  let c = 1 / TINY;
  let d = 1 / b;
  let h = d;
  for (let n = 1; n < MOST_TERMS; n++) {
    const a = n * (shape - n);
    b += 2;
    d = 1 / nonZero(a * d + b);
    c = nonZero(b + a / c);
    h *= d * c;
    if (Math.abs(d * c - 1) < PRECISION) break;
  }
  return Math.max(0, 1 - factor * h);
}

/** The share of the beta distribution that lies below x. */
export function betaBelow(a: number, b: number, x: number): number {
  if (x <= 0) return 0;
  if (x >= 1) return 1;
  const factor = Math.exp(logGamma(a + b) - logGamma(a) - logGamma(b) + a * Math.log(x) + b * Math.log1p(-x));
  // The fraction converges fast on this side only.
  if (x < (a + 1) / (a + b + 2)) return factor * betaFraction(a, b, x) / a;
  return 1 - factor * betaFraction(b, a, 1 - x) / b;
}

function betaFraction(a: number, b: number, x: number): number {
  let c = 1;
  let d = 1 / nonZero(1 - (a + b) * x / (a + 1));
  let h = d;
  for (let m = 1; m < MOST_TERMS; m++) {
    const even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m));
    d = 1 / nonZero(1 + even * d);
    c = nonZero(1 + even / c);
    h *= d * c;
    const odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1));
    d = 1 / nonZero(1 + odd * d);
    c = nonZero(1 + odd / c);
    h *= d * c;
    if (Math.abs(d * c - 1) < PRECISION) break;
  }
  return h;
}

function nonZero(x: number): number {
  return Math.abs(x) < TINY ? TINY : x;
}

/** The `p` quantile of the gamma distribution of this shape. */
function gammaQuantile(p: number, shape: number): number {
  if (p <= 0) return 0;
  // Wilson and Hilferty's cube, widened until it encloses the quantile.
  const z = normalQuantile(p);
  const root = 1 - 1 / (9 * shape) + z / (3 * Math.sqrt(shape));
  // Evaluating the distribution takes hundreds of terms if there are many samples, so bisection is used only where the answer is in doubt:
  // near the quantile, which Newton's method finds in a few steps.
  const near = gammaNear(p, shape, shape * root ** 3);
  const doubt = near * DOUBT;
  const below = (x: number): boolean => near > 0 && Math.abs(x - near) > doubt ? x < near : gammaBelow(shape, x) < p;
  let high = Math.max(shape * root ** 3, 1e-10);
  while (below(high)) high *= 2;
  let low = high / 2;
  while (low > 0 && !below(low)) low = low < 1e-290 ? 0 : low / 2;
  return bisect(low, high, below);
}

/** How far Newton's method may be off, relative to its result; it is right to about 12 digits. */
const DOUBT = 1e-10;
/** Below this shape the density is too steep for Newton's method, and above that one rounding puts more than {@linkcode DOUBT} into doubt. */
const LEAST_SHAPE = 5;
const MOST_SHAPE = 1e8;

/** Close to the quantile `p` of the gamma distribution of this shape, by Newton's method from `x` on; NaN if it does not get there. */
function gammaNear(p: number, shape: number, x: number): number {
  if (shape < LEAST_SHAPE || shape > MOST_SHAPE) return NaN;
  const logNorm = logGamma(shape);
  for (let i = 0; i < 10; i++) {
    const step = (gammaBelow(shape, x) - p) / Math.exp((shape - 1) * Math.log(x) - x - logNorm);
    if (!(Math.abs(step) < x / 2)) return NaN;
    x -= step;
    // Each step squares the error, so the next one would be below the last digit.
    if (Math.abs(step) < x * 1e-7) return x;
  }
  return NaN;
}

/** The `p` quantile of the chi-squared distribution. */
export function chiSquaredQuantile(p: number, degrees: number): number {
  return 2 * gammaQuantile(p, degrees / 2);
}

/** The `p` quantile of the beta distribution. */
export function betaQuantile(p: number, a: number, b: number): number {
  return bisect(0, 1, (x) => betaBelow(a, b, x) < p);
}

/** The `p` quantile of the normal distribution: Acklam's rational approximation, within 1.2e-9. */
export function normalQuantile(p: number): number {
  if (p <= 0) return -Infinity;
  if (p >= 1) return Infinity;
  if (p > 0.5) return -normalQuantile(1 - p);
  if (p < 0.02425) {
    const q = Math.sqrt(-2 * Math.log(p));
    return (((((-7.784894002430293e-3 * q - 0.3223964580411365) * q - 2.400758277161838) * q - 2.549732539343734) * q + 4.374664141464968) *
        q +
      2.938163982698783) / ((((7.784695709041462e-3 * q + 0.3224671290700398) * q + 2.445134137142996) * q + 3.754408661907416) * q + 1);
  }
  const q = p - 0.5;
  const r = q * q;
  return (((((-39.69683028665376 * r + 220.9460984245205) * r - 275.9285104469687) * r + 138.3577518672690) * r - 30.66479806614716) * r +
    2.506628277459239) *
    q /
    (((((-54.47609879822406 * r + 161.5858368580409) * r - 155.6989798598866) * r + 66.80131188771972) * r - 13.28068155288572) * r + 1);
}

/** Halves the interval around the point where `below` turns false until nothing is left between its ends. */
function bisect(low: number, high: number, below: (x: number) => boolean): number {
  for (let i = 0; i < 200; i++) {
    const middle = (low + high) / 2;
    if (middle <= low || middle >= high) break;
    if (below(middle)) low = middle;
    else high = middle;
    if (high - low <= high * 1e-12) break;
  }
  return (low + high) / 2;
}
