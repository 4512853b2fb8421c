/** Adds sampling to many devices with one set of sockets; also later, in a network namespace that may not be entered any more. */
import type { SamplingHandle, SamplingOptions } from "../mod.ts";
import { SamplingBase } from "../src/control/sampling/base.ts";
import { addSamplingOn, prepareSampling } from "../src/control/sampling/install.ts";
import { open } from "../src/socket/open.ts";

/** Keeps open what is needed for that: half a megabyte, which each of ten thousand devices would need otherwise. */
export class SamplingAdder {
  #base: SamplingBase | undefined;
  #release: (() => void) | undefined;

  /** Adds sampling. All of it is in the same namespace. */
  async add(options: SamplingOptions): Promise<SamplingHandle> {
    return await addSamplingOn(await this.#open(options), options);
  }

  /** Prepares to add sampling later. Returns the group for it: the given one, or one that nobody uses. */
  async prepare(options: Pick<SamplingOptions, "netns" | "group">): Promise<number> {
    return await prepareSampling(await this.#open(options), options.group);
  }

  async #open({ netns }: Pick<SamplingOptions, "netns">): Promise<SamplingBase> {
    if (!this.#base) {
      this.#base = SamplingBase.open(await open({ netns }));
      this.#release = this.#base.hold();
    }
    return this.#base;
  }

  /** Adds nothing more. What was added keeps open what its removal needs. */
  close(): void {
    this.#release?.();
  }
}
