/** The kernel's counters where it samples: they calibrate estimates, and show whether samplers keep to their rates. */
import type { MetricsSampler, PassedHook } from "../mod.ts";
import type { Calibration, SamplerCounts } from "../src/estimate/mod.ts";
import { nowNs } from "../src/stream/clock.ts";
import { SamplerChecks } from "./sampler_checks.ts";

/** Passes readings of the counters to all calibrations, and to the checks of the samplers. */
export class Counters {
  readonly checks = new SamplerChecks();
  readonly #calibrations = new Set<Calibration>();
  #last: readonly SamplerCounts[] | undefined;
  #names: ReadonlyMap<number, string> = new Map();
  /** Whether samples of others are taken for ours, or some of ours are left out. */
  #isMixed = false;

  /** Ignores the counters from now on: samples of others are taken for ours, or the kernel leaves some of ours out. */
  distrust(): void {
    this.#isMixed = true;
  }

  /**
   * Passes readings to this calibration from now on.
   *
   * @param isFirst Whether no sample has arrived since the last reading, so that the calibration can begin with that.
   */
  enlist(calibration: Calibration, isFirst: boolean): void {
    this.#calibrations.add(calibration);
    if (isFirst && this.#last) calibration.count(this.#last, nowNs());
  }

  /** Stops passing readings to this calibration. */
  discharge(calibration: Calibration | undefined): void {
    if (calibration) this.#calibrations.delete(calibration);
  }

  /** Reads the counters, with `look`. */
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
    this.#names = devices;
    this.checks.end(samplers, devices);
    this.again();
  }

  /** The samplers as of the last reading. */
  get samplers(): readonly MetricsSampler[] {
    return (this.#isMixed ? [] : this.#last ?? []).map(({ ifindex, direction, oneIn, trials }) => {
      const device = this.#names.get(ifindex) ?? `if${ifindex}`;
      return { device, direction, oneIn, trials, deviates: this.checks.deviates(ifindex, direction) };
    });
  }

  /** Passes the last reading again: when sampling has ended, samples that arrived after it belong to it too. */
  again(): void {
    if (!this.#last || this.#isMixed) return;
    for (const calibration of this.#calibrations) calibration.count(this.#last, nowNs());
  }
}

function numberOf(count: bigint | undefined): number | undefined {
  return count === undefined ? undefined : Number(count);
}
