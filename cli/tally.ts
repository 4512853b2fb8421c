/** Estimates the traffic that samples stand for, besides whatever else is done with them. */
import { calibrate, Calibration, Estimator, type FlowEstimate } from "../src/estimate/mod.ts";
import type { Batch } from "../src/stream/batch.ts";
import { nowNs } from "../src/stream/clock.ts";
import type { Stage } from "../src/stream/stage.ts";
import { amountOf, perSecond, plusMinus, scaled, signOf } from "./top/figures.ts";

/** Approximate window of the current traffic, in seconds. */
const RECENT_S = 2;

/** A stage that lets everything through, and estimates the traffic. */
export class Tally implements Stage {
  /** Only the total is used, so one flow per device is enough. */
  readonly #estimator = new Estimator({ by: "device", flows: 64, taus: [Infinity, RECENT_S] });
  /** Calibrates the total, if counters are passed to it. */
  readonly calibration = new Calibration();
  /** Whether every packet was sampled: then it is no estimate. */
  #isExact = true;

  select(batch: Batch, pick: (i: number) => void): void {
    this.#estimator.take(batch);
    this.calibration.take(batch);
    const { entries, count } = batch;
    if (batch.lost !== 0) this.#isExact = false;
    for (let i = 0; i < count; i++) {
      const entry = entries[i]!;
      if (entry.type === "sample" && entry.oneIn !== 1) this.#isExact = false;
      pick(i);
    }
  }

  /**
   * The average traffic over this many seconds in bit/s, formatted for people; `undefined` if nothing is known.
   *
   * @param isCounted Whether the last reading of the counters covers everything: one from a second ago would give too little.
   */
  average(seconds: number, isCounted = false): string | undefined {
    const snapshot = this.#estimator.snapshot(nowNs(), 0);
    const { total } = isCounted ? calibrate(snapshot, this.calibration) : snapshot;
    return total.samples === 0 || !(seconds > 0) ? undefined : this.#text(total, seconds);
  }

  /** The traffic of the last seconds in bit/s; `undefined` if nothing is known. */
  recent(): string | undefined {
    const { total, seconds } = this.#estimator.snapshot(nowNs(), 0, 1);
    return total.samples === 0 || seconds === 0 ? undefined : scaled(total.bitsPerSecond, signOf("bits", true));
  }

  #text(total: FlowEstimate, seconds: number): string {
    const figure = perSecond(amountOf(total, "bits"), seconds);
    const text = scaled(figure.value, signOf("bits", true));
    const [low, high] = figure.range;
    return this.#isExact && low === high ? text : `about ${text} ${plusMinus(figure)}`;
  }
}
