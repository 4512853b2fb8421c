/** Adds sampling to many devices with one set of sockets; also later, in a network namespace that may not be entered any more. */
import type { SamplingHandle, SamplingOptions } from "../mod.ts";
import { SamplingBase } from "../src/control/sampling/base.ts";
import { addSamplingOn } from "../src/control/sampling/install.ts";
import { open } from "../src/socket/open.ts";

/** Keeps open what is needed for that: half a megabyte, which each of ten thousand devices would need otherwise. */
export class SamplingAdder {
  #base: SamplingBase | undefined;
  #release: (() => void) | undefined;

  /** Adds sampling. All of it is in the same namespace. */
  async add(options: SamplingOptions): Promise<SamplingHandle> {
    if (!this.#base) {
      this.#base = SamplingBase.open(await open({ netns: options.netns }));
      this.#release = this.#base.hold();
    }
    return await addSamplingOn(this.#base, options);
  }

  /** Adds nothing more. What was added keeps open what its removal needs. */
  close(): void {
    this.#release?.();
  }
}
