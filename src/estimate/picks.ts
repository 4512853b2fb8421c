import type { Batch } from "../stream/batch.ts";
import type { Stage } from "../stream/stage.ts";

/** Which entries of a batch a stage picks, for loops that must see the others too. */
export class Picks {
  readonly #stage: Stage | undefined;
  #picked = new Uint8Array(0);

  constructor(stage: Stage | undefined) {
    this.#stage = stage;
  }

  /** A 1 for each picked entry; `undefined` without a stage, which means all of them. Valid until the next call. */
  of(batch: Batch): Uint8Array | undefined {
    if (!this.#stage) return undefined;
    if (this.#picked.length < batch.count) this.#picked = new Uint8Array(2 * batch.count);
    const picked = this.#picked;
    picked.fill(0, 0, batch.count);
    this.#stage.select(batch, (i) => picked[i] = 1);
    return picked;
  }
}
