/**
 * Checks whether a sampler keeps to its rate: that it picks 1 in N packets at random. The packets that reached it and the samples that it
 * made are counted in different places at different times, so only bounds are known for both numbers. A verdict is given only if it holds
 * for everything between these bounds.
 *
 * @module
 */
import { binomialTest } from "./intervals.ts";

/**
 * What is known about a sampler.
 *
 * @category Estimates
 */
export interface SamplerRecord {
  /** N of "1 in N". */
  readonly oneIn: number;
  /** Packets that it decided about, as far as all their samples are included in `samplesAtMost`. */
  readonly trialsAtLeast: number;
  /** The samples of these packets, and possibly others. */
  readonly samplesAtMost: number;
  /** Samples that it made for certain. */
  readonly samplesAtLeast: number;
  /** The packets that these were picked from, and possibly others. */
  readonly trialsAtMost: number;
}

/**
 * How a sampler deviates from its rate.
 *
 * @category Estimates
 */
export interface RateFault {
  /** Whether there are too few samples, or too many. */
  readonly verdict: "few" | "many";
  /** Packets that it decided about. */
  readonly trials: number;
  /** The samples of these packets. */
  readonly samples: number;
}

/** Maximum probability that a sampler which keeps to its rate is ever reported. */
const LEVEL = 1e-6;
/** A sampler this close to its rate is not reported, however certain the difference is. */
const TOLERANCE = 0.01;
/** Maximum number of packets that are counted and not yet sampled at any moment: one per processor. */
const IN_FLIGHT = 64;
/** Beyond this, a double is not precise enough for the test. */
const MOST_TRIALS = 1e14;
/** The exact test is never certain about a difference of fewer standard deviations than this. */
const NEAR = 4;

/**
 * Checks one of `samplers` samplers repeatedly: the probability of any false report in all these checks is at most {@linkcode LEVEL}.
 *
 * @category Estimates
 */
export class RateCheck {
  readonly #level: number;
  #looks = 0;

  /** A check of one of this many samplers. */
  constructor(samplers = 1) {
    this.#level = LEVEL / samplers;
  }

  /** Checks again. Returns `undefined` unless it is certain that the sampler deviates from its rate. */
  look({ oneIn, trialsAtLeast, samplesAtMost, samplesAtLeast, trialsAtMost }: SamplerRecord): RateFault | undefined {
    this.#looks++;
    // 1/2 + 1/6 + 1/12 + ... = 1: however many checks there are, their probabilities of error add up to no more than the level.
    const level = this.#level / (this.#looks * (this.#looks + 1));
    const least = 1 / oneIn;
    // The kernel compares 32 random bits with 0 after scaling them to N: rounded up (get_random_u32_below(), prandom_u32_max()).
    const most = Math.ceil(2 ** 32 / oneIn) / 2 ** 32;
    if (isOff(samplesAtMost, trialsAtLeast, least) && samplesAtMost < trialsAtLeast * least) {
      if (likelihood(samplesAtMost, trialsAtLeast, least) < level) return { verdict: "few", trials: trialsAtLeast, samples: samplesAtMost };
    }
    if (isOff(samplesAtLeast, trialsAtMost, most) && samplesAtLeast > trialsAtMost * most) {
      if (likelihood(samplesAtLeast, trialsAtMost, most) < level) return { verdict: "many", trials: trialsAtMost, samples: samplesAtLeast };
    }
    return undefined;
  }
}

function likelihood(count: number, of: number, probability: number): number {
  // No sampler makes more samples than there are packets.
  return count > of ? 0 : binomialTest(count, of, probability);
}

function isOff(count: number, of: number, probability: number): boolean {
  const expected = of * probability;
  const difference = Math.abs(count - expected);
  const deviation = Math.sqrt(expected * (1 - probability));
  return of <= MOST_TRIALS && difference > TOLERANCE * expected + IN_FLIGHT * probability && difference > NEAR * deviation;
}
