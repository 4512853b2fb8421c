/**
 * Estimated sums, with the values that error bounds need, over several horizons at once: each decays with its own time constant, or not at
 * all. Forward decay (Cormode, Shkapenyuk, Srivastava, Xu, ICDE 2009): later samples weigh more, so that stored sums need no update as time
 * passes.
 *
 * @module
 */
import { gammaInterval, type Interval } from "./intervals.ts";

/**
 * An estimated total and its bounds at 95 %.
 *
 * @category Estimates
 */
export interface Estimate {
  /** The estimate. */
  readonly value: number;
  /** The bounds. */
  readonly range: Interval;
}

/** Above this exponent the weights are scaled back to 1, long before they overflow at 709. */
const MOST_EXPONENT = 300;

/** The current weights in each horizon, and how to read sums of earlier weights. */
export class Decay {
  /** Time constants in seconds; Infinity does not decay. */
  readonly taus: readonly number[];
  /** The weight of a sample taken now, in each horizon. */
  readonly weights: Float64Array;
  #landmark = NaN;
  #begin = NaN;

  constructor(taus: readonly number[]) {
    this.taus = taus;
    this.weights = new Float64Array(taus.length).fill(1);
  }

  /**
   * Sets the time, in seconds. Returns the factors to multiply each horizon's sums by if the weights were scaled back to 1; nearly always
   * `undefined`.
   */
  advance(now: number): Float64Array | undefined {
    // Clocks are set back: samples from before the start count as taken at the start.
    if (!(this.#landmark <= now)) {
      if (Number.isNaN(this.#begin)) this.#begin = now;
      this.#landmark = Number.isNaN(this.#landmark) ? now : this.#landmark;
      now = Math.max(now, this.#landmark);
    }
    const since = now - this.#landmark;
    let factors: Float64Array | undefined;
    for (let h = 0; h < this.taus.length; h++) {
      const exponent = since / this.taus[h]!;
      if (exponent > MOST_EXPONENT) factors ??= new Float64Array(this.taus.length);
      this.weights[h] = Math.exp(Math.min(exponent, 700));
    }
    if (!factors) return undefined;
    for (let h = 0; h < factors.length; h++) factors[h] = 1 / this.weights[h]!;
    this.weights.fill(1);
    this.#landmark = now;
    return factors;
  }

  /**
   * How many seconds of traffic the sums of horizon `h` stand for: its time constant, or less while it fills. Without decay, the whole
   * time.
   */
  seconds(h: number, now: number): number {
    const elapsed = Math.max(0, now - this.#begin);
    const tau = this.taus[h]!;
    return tau === Infinity ? elapsed : tau * -Math.expm1(-elapsed / tau);
  }

  /** Begins again. */
  restart(): void {
    this.#landmark = this.#begin = NaN;
    this.weights.fill(1);
  }
}

/** Columns for each horizon: sum, sum of squares and variance, of packets and of bytes; and the sum of trials, each GSO packet one. */
const COLUMNS = 7;
const TRIALS = 6;

/** What a sample adds to each row that it counts in, computed once. */
export class Increment {
  /** {@linkcode COLUMNS} for each horizon. */
  readonly terms: Float64Array;
  /** The largest weight that the packets, and that the bytes, of one sample can have. */
  mostPackets = 0;
  mostBytes = 0;
  readonly #weights: Float64Array;

  constructor({ weights }: Decay) {
    this.#weights = weights;
    this.terms = new Float64Array(weights.length * COLUMNS);
  }

  /**
   * Sets it to that of a sample.
   *
   * @param oneIn N of "1 in N", corrected for losses.
   * @param packets Number of packets that the sampled one stands for on the wire.
   * @param bytes Their size in bytes.
   * @param mostPackets Maximum number of packets, and of bytes, of one sample.
   */
  set(oneIn: number, packets: number, bytes: number, mostPackets: number, mostBytes: number): void {
    const { terms } = this;
    const weights = this.#weights;
    const all = oneIn * packets;
    // Below 1 if a late sample takes back a counted loss: then, too, nothing went unseen.
    const rest = Math.max(0, 1 - 1 / oneIn);
    for (let h = 0; h < weights.length; h++) {
      const at = h * COLUMNS;
      const w = all * weights[h]!;
      terms[at] = w;
      terms[at + 1] = w * w;
      terms[at + 2] = w * w * rest;
      terms[at + TRIALS] = oneIn * weights[h]!;
    }
    this.mostPackets = oneIn * mostPackets;
    this.setBytes(oneIn, bytes, mostBytes);
  }

  /** Sets only what it says of bytes. */
  setBytes(oneIn: number, bytes: number, mostBytes: number): void {
    const { terms } = this;
    const weights = this.#weights;
    const all = oneIn * bytes;
    const rest = Math.max(0, 1 - 1 / oneIn);
    for (let h = 0; h < weights.length; h++) {
      const at = h * COLUMNS;
      const b = all * weights[h]!;
      terms[at + 3] = b;
      terms[at + 4] = b * b;
      terms[at + 5] = b * b * rest;
    }
    this.mostBytes = oneIn * mostBytes;
  }
}

/** Sums in rows: one for each key, or each device. */
export class Sums {
  readonly #decay: Decay;
  readonly #values: Float64Array;
  /** For each row: the largest weight that one sample can have in packets and in bytes, and the number of samples. */
  readonly #largest: Float64Array;
  readonly #samples: Float64Array;

  constructor(rows: number, decay: Decay) {
    this.#decay = decay;
    this.#values = new Float64Array(rows * decay.taus.length * COLUMNS);
    this.#largest = new Float64Array(rows * 2);
    this.#samples = new Float64Array(rows);
  }

  /** Adds a sample to a row. */
  add(row: number, { terms, mostPackets, mostBytes }: Increment): void {
    const values = this.#values;
    let at = row * terms.length;
    for (let i = 0; i < terms.length; i += COLUMNS) {
      values[at]! += terms[i]!;
      values[at + 1]! += terms[i + 1]!;
      values[at + 2]! += terms[i + 2]!;
      values[at + 3]! += terms[i + 3]!;
      values[at + 4]! += terms[i + 4]!;
      values[at + 5]! += terms[i + 5]!;
      values[at + TRIALS]! += terms[i + TRIALS]!;
      at += COLUMNS;
    }
    const largest = this.#largest;
    if (mostPackets > largest[2 * row]!) largest[2 * row] = mostPackets;
    if (mostBytes > largest[2 * row + 1]!) largest[2 * row + 1] = mostBytes;
    this.#samples[row]!++;
  }

  /** Adds only the bytes of a sample, to a row whose packets nobody asks for. */
  addBytes(row: number, { terms, mostBytes }: Increment): void {
    const values = this.#values;
    let at = row * terms.length;
    for (let i = 0; i < terms.length; i += COLUMNS) {
      values[at + 3]! += terms[i + 3]!;
      values[at + 4]! += terms[i + 4]!;
      values[at + 5]! += terms[i + 5]!;
      at += COLUMNS;
    }
    const largest = this.#largest;
    if (mostBytes > largest[2 * row + 1]!) largest[2 * row + 1] = mostBytes;
  }

  /** Number of samples in a row. */
  samples(row: number): number {
    return this.#samples[row]!;
  }

  /** The packets, bytes or trials of a row in horizon `h`, without the bounds: those take most of the time. */
  sum(row: number, h: number, of: "packets" | "bytes" | "trials"): number {
    const column = of === "bytes" ? 3 : of === "trials" ? TRIALS : 0;
    return this.#values[(row * this.#decay.taus.length + h) * COLUMNS + column]! / this.#decay.weights[h]!;
  }

  /** The packets of a row in horizon `h`. */
  packets(row: number, h: number): Estimate {
    return this.#estimate(row, h, 0);
  }

  /** The bytes of a row in horizon `h`. */
  bytes(row: number, h: number): Estimate {
    return this.#estimate(row, h, 1);
  }

  #estimate(row: number, h: number, what: 0 | 1): Estimate {
    const at = (row * this.#decay.taus.length + h) * COLUMNS + 3 * what;
    const weight = this.#decay.weights[h]!;
    const sum = this.#values[at]! / weight;
    const squares = this.#values[at + 1]! / weight / weight;
    const variance = this.#values[at + 2]! / weight / weight;
    // If every packet was sampled, nothing went unseen.
    const largest = sum > 0 && variance === 0 ? 0 : this.#largest[2 * row + what]!;
    return { value: sum, range: gammaInterval({ sum, squares, variance, largest }) };
  }

  /** Upper bound, at 95 %, of the packets, or the bytes, of which a row has no sample; 0 if every packet was sampled. */
  unseen(row: number, h: number, of: "packets" | "bytes"): number {
    const what = of === "bytes" ? 1 : 0;
    const at = (row * this.#decay.taus.length + h) * COLUMNS + 3 * what;
    if (this.#values[at + 2] === 0) return 0;
    return gammaInterval({ sum: 0, squares: 0, variance: 0, largest: this.#largest[2 * row + what]! })[1];
  }

  /** Empties a row. */
  clearRow(row: number): void {
    const width = this.#decay.taus.length * COLUMNS;
    this.#values.fill(0, row * width, (row + 1) * width);
    this.#largest.fill(0, 2 * row, 2 * row + 2);
    this.#samples[row] = 0;
  }

  /** Empties all rows. */
  clear(): void {
    this.#values.fill(0);
    this.#largest.fill(0);
    this.#samples.fill(0);
  }

  /** Multiplies all sums, each horizon's by its factor. */
  scale(factors: Float64Array): void {
    const values = this.#values;
    for (let at = 0; at < values.length; at += COLUMNS) {
      const factor = factors[at / COLUMNS % factors.length]!;
      if (factor === 1) continue;
      values[at]! *= factor;
      values[at + 1]! *= factor * factor;
      values[at + 2]! *= factor * factor;
      values[at + 3]! *= factor;
      values[at + 4]! *= factor * factor;
      values[at + 5]! *= factor * factor;
      values[at + TRIALS]! *= factor;
    }
  }
}
