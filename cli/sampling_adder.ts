/** Adds sampling in a network namespace, also later, when that may not be entered any more. */
import { addSampling, type SamplingHandle, type SamplingOptions } from "../mod.ts";
import { SamplingBase } from "../src/control/sampling/base.ts";
import { addSamplingOn } from "../src/control/sampling/install.ts";
import { open } from "../src/socket/open.ts";

/** Keeps open what is needed for that in another namespace than one's own. */
export class SamplingAdder {
  #base: SamplingBase | undefined;
  #release: (() => void) | undefined;

  /** Adds sampling. All of it is in the same namespace. */
  async add(options: SamplingOptions): Promise<SamplingHandle> {
    const { netns } = options;
    if (netns === undefined) return await addSampling(options);
    if (!this.#base) {
      this.#base = SamplingBase.open(await open({ netns }));
      this.#release = this.#base.hold();
    }
    return await addSamplingOn(this.#base, options);
  }

  /** Adds nothing more. What was added keeps open what its removal needs. */
  close(): void {
    this.#release?.();
  }
}
