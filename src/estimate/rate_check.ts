/**
 * Whether a sampler does what it says: picks one packet in N, by chance. Packets that came to it and samples that it made are counted by
 * different programs at different moments, so of both it is only known between which numbers they lie; a verdict is one that holds for all of them.
 *
 * @module
 */
import { binomialTest } from "./intervals.ts";

/** What is known of a sampler. */
export interface SamplerRecord {
  /** N, of "1 in N". */
  readonly oneIn: number;
  /** Packets that it decided about: so many, of whose samples all are counted in `samplesAtMost`. */
  readonly trialsAtLeast: number;
  /** Samples of these, and maybe more. */
  readonly samplesAtMost: number;
  /** Samples that were counted for certain. */
  readonly samplesAtLeast: number;
  /** The packets of these, and maybe more. */
  readonly trialsAtMost: number;
}

/** What a sampler does that it does not say. */
export interface RateFault {
  /** Whether there are too few samples, or too many. */
  readonly verdict: "few" | "many";
  /** Packets that it decided about. */
  readonly trials: number;
  /** Samples of these. */
  readonly samples: number;
}

/** How likely it may be at most that a sampler which does what it says is ever called wrong. */
const LEVEL = 1e-6;
/** A sampler this close to what it says does what it says, however certain the difference is. */
const TOLERANCE = 0.01;
/** So many packets may be on their way from the counter to the sample, on as many processors. */
const IN_FLIGHT = 64;
/** Beyond, the digits of a double do not suffice for the test. */
const MOST_TRIALS = 1e14;
/** So many standard deviations off is nothing that the exact test calls certain. */
const NEAR = 4;

/** Looks at one of `samplers` samplers, again and again: all looks together err as rarely as one of {@linkcode LEVEL}. */
export class RateCheck {
  readonly #level: number;
  #looks = 0;

  /** Nothing was looked at yet. */
  constructor(samplers = 1) {
    this.#level = LEVEL / samplers;
  }

  /** Looks once more. `undefined` unless it is certain that the sampler does not do what it says. */
  look({ oneIn, trialsAtLeast, samplesAtMost, samplesAtLeast, trialsAtMost }: SamplerRecord): RateFault | undefined {
    this.#looks++;
    // 1/2 + 1/6 + 1/12 + ... = 1: however often it is looked, the chances to err add up to no more than the level.
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
  // More samples than packets: no sampler does that.
  return count > of ? 0 : binomialTest(count, of, probability);
}

function isOff(count: number, of: number, probability: number): boolean {
  const expected = of * probability;
  const difference = Math.abs(count - expected);
  const deviation = Math.sqrt(expected * (1 - probability));
  return of <= MOST_TRIALS && difference > TOLERANCE * expected + IN_FLIGHT * probability && difference > NEAR * deviation;
}
