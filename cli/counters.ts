/** What the kernel counts where it samples: to make figures sure, and to see whether samplers do what they say. */
import type { PassedHook } from "../mod.ts";
import type { Calibration, SamplerCounts } from "../src/estimate/mod.ts";
import { nowNs } from "../src/stream/clock.ts";
import { SamplerChecks } from "./sampler_checks.ts";

/** Gives what was counted to everybody who wants it. */
export class Counters {
  readonly checks = new SamplerChecks();
  readonly #calibrations = new Set<Calibration>();
  #last: readonly SamplerCounts[] | undefined;
  /** Whether samples of others are taken for ours, or some of ours do not come. */
  #isMixed = false;

  /** From now on counters prove nothing: samples of others are taken for ours, or the kernel leaves some of ours out. */
  distrust(): void {
    this.#isMixed = true;
  }

  /**
   * From now on it is told what is counted.
   *
   * @param isFirst Whether no sample has been taken since the counters were looked at last, so that it can begin there.
   */
  enlist(calibration: Calibration, isFirst: boolean): void {
    this.#calibrations.add(calibration);
    if (isFirst && this.#last) calibration.count(this.#last, nowNs());
  }

  /** From now on it is not. */
  discharge(calibration: Calibration | undefined): void {
    if (calibration) this.#calibrations.delete(calibration);
  }

  /** Looks at the counters, by `look`. */
  async count(look: () => Promise<readonly PassedHook[]>, devices: ReadonlyMap<number, string>): Promise<void> {
    if (this.#isMixed) return;
    this.checks.begin();
    const hooks = await look();
    const samplers = hooks.map(({ ifindex, direction, rate, trials, packets }): SamplerCounts => ({
      ifindex,
      direction: direction === "egress" ? "out" : "in",
      oneIn: rate,
      trials: numberOf(trials),
      packets: numberOf(packets),
    }));
    this.#last = samplers;
    this.checks.end(samplers, devices);
    this.again();
  }

  /** Gives what was counted last to everybody again: what came since belongs to it too, since nothing more is sampled. */
  again(): void {
    if (!this.#last || this.#isMixed) return;
    for (const calibration of this.#calibrations) calibration.count(this.#last, nowNs());
  }
}

function numberOf(count: bigint | undefined): number | undefined {
  return count === undefined ? undefined : Number(count);
}
