/** The samples of a batch that match, for the pump and behind a filter in the kernel. */
import type { Device, Devices } from "../link/device.ts";
import type { SampleFields } from "../psample/sample.ts";
import type { Batch } from "../stream/batch.ts";
import type { Stage } from "../stream/stage.ts";
import type { SampleMatcher } from "./sample_matcher.ts";

/** Lets through the samples that all of some matchers match, and all group events. */
export class MatchingStage implements Stage {
  readonly #matchers: readonly SampleMatcher[];

  /** Lets everything through if there are no matchers. */
  constructor(matchers: readonly SampleMatcher[]) {
    this.#matchers = matchers;
  }

  select(batch: Batch, pick: (i: number) => void): void {
    for (let i = 0; i < batch.count; i++) {
      const entry = batch.entries[i]!;
      if (entry.type !== "sample" || this.matches(entry, batch.device(i), batch.devicesOf(i))) pick(i);
    }
  }

  /** Whether a sample matches that was taken on `device`, on a machine with these devices. */
  matches(sample: SampleFields, device: Device | undefined, devices: Devices): boolean {
    for (const matcher of this.#matchers) if (!matcher.matches(sample, device, devices)) return false;
    return true;
  }
}
