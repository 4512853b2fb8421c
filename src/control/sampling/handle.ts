/** What {@linkcode import("./install.ts").addSampling} installed: whether it is still there, and its removal. */
import type { FilterKey } from "../../tc/filter.ts";
import type { Sys } from "../../sys/sys.ts";
import { checkHooks } from "../check.ts";
import type { Finding } from "../finding.ts";
import { type Passed, passedSince } from "../passed.ts";
import type { TrafficControl } from "../traffic_control.ts";
import { exclusively, type Instance } from "./instance.ts";
import type { Sampling } from "./sampling.ts";

/** What {@linkcode addSampling} installed. */
export interface SamplingHandle extends AsyncDisposable {
  /** The psample group that the samples go to. */
  readonly group: number | undefined;
  /** What the kernel reported right after the installation: one entry for each direction. */
  readonly installed: readonly Sampling[];
  /**
   * Whether packets reach the sampling now. A finding for each direction that is good, or for each thing that is in the way:
   * the filters or the device are gone, down, changed by another program, or hidden by filters and programs in front. It is
   * cheap enough to be asked every second.
   */
  check(): Promise<Finding[]>;
  /** How many packets came to the sampling since it was installed. */
  passed(): Promise<Passed>;
  /** Whether the kernel still has all of it: removing the device removes it too, and so can anybody with the privilege. */
  isInstalled(): Promise<boolean>;
  /** Removes the filters, and the clsact qdisc if we created it and it is unused. Idempotent. */
  remove(): Promise<void>;
  /** {@linkcode SamplingHandle.remove} at the end of an `await using` block. */
  [Symbol.asyncDispose](): Promise<void>;
}

/** What is in the kernel, added to step by step, so that it can be removed at any step. */
export interface Made {
  /** The device. */
  readonly ifindex: number;
  /** The filters that were added. */
  readonly filters: FilterKey[];
  /** The clsact qdisc was made by one of us. */
  clsact: boolean;
}

/** What an installation holds open until it is removed. */
export interface Resources {
  readonly sys: Sys;
  readonly tc: TrafficControl;
  readonly instance: Instance;
}

/** The only {@linkcode SamplingHandle}. */
export class Installation implements SamplingHandle {
  group: number | undefined;
  installed: readonly Sampling[] = [];
  /** What there is to remove. */
  readonly made: Made;
  readonly #resources: Resources;
  #removed: Promise<void> | undefined;

  constructor(resources: Resources, ifindex: number, group: number | undefined) {
    this.#resources = resources;
    this.made = { ifindex, filters: [], clsact: false };
    this.group = group;
  }

  async isInstalled(): Promise<boolean> {
    if (this.#removed) return false;
    for (const { ifindex, parent, preference, handle } of this.made.filters) {
      const filters = await this.#resources.tc.filters(ifindex, parent, preference);
      if (!filters.some((filter) => filter.handle === handle && filter.preference === preference)) return false;
    }
    return true;
  }

  async check(): Promise<Finding[]> {
    const { sys, tc } = this.#resources;
    return this.#removed ? [] : await checkHooks(sys, tc, this.installed);
  }

  async passed(): Promise<Passed> {
    return await passedSince(this.#resources.tc, this.installed);
  }

  remove(): Promise<void> {
    return this.#removed ??= this.#remove();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.remove();
  }

  async #remove(): Promise<void> {
    const { sys, tc, instance } = this.#resources;
    const { ifindex, filters, clsact } = this.made;
    try {
      await exclusively(sys, async () => {
        const results = await Promise.allSettled(filters.map((key) => tc.removeFilter(key)));
        if (clsact) await tc.removeUnusedClsact(ifindex);
        for (const result of results) if (result.status === "rejected") throw result.reason;
      });
    } finally {
      instance.close();
      tc.close();
    }
  }
}
