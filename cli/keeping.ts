/** What {@linkcode import("./sampled.ts").Sampled} keeps sampled while devices come, go and change. */
import type { SamplingOptions } from "../mod.ts";
import type { Known } from "./devices.ts";

/** A device that exists. */
export interface PresentDevice extends Known {
  readonly index: number;
}

/** What is to be sampled, whatever devices come and go. */
export interface Keeping {
  /** The present devices that are to be sampled; being down is no reason to stop for those that are `sampled`. */
  devices(sampled: ReadonlySet<number>): readonly PresentDevice[];
  /** What the device of this index is called now; `undefined` if there is none. */
  nameOf(index: number): string | undefined;
  /** A number that changes whenever a device has changed; 0 as long as none is known. */
  version(): number;
  /** How to sample one of them; without a rate if that is to be chosen. */
  plan(device: PresentDevice): SamplingOptions;
  /** Chooses the rate of a plan without one. */
  rated(plan: SamplingOptions): Promise<SamplingOptions>;
  /** Called when a device has been added or removed. */
  changed(): void;
}
