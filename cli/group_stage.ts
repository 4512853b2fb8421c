/** Choosing groups among samples that come from a recording. */
import type { Batch } from "../src/stream/batch.ts";
import type { Stage } from "../src/stream/stage.ts";

/** Lets samples and events of some groups through. */
export class GroupStage implements Stage {
  /** How many entries it has left out. */
  leftOut = 0;
  readonly #groups: ReadonlySet<number | undefined>;

  constructor(groups: readonly number[]) {
    this.#groups = new Set(groups);
  }

  select({ entries, count }: Batch, pick: (i: number) => void): void {
    for (let i = 0; i < count; i++) {
      if (this.#groups.has(entries[i]!.group)) pick(i);
      else this.leftOut++;
    }
  }
}
