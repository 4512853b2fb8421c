/** Several stages in a row. */
import { type Batch, Selection } from "./batch.ts";
import type { Stage } from "./stage.ts";

/** What stages let through, each of what the one before it does. */
export class StageChain {
  readonly #steps: readonly (readonly [Stage, Selection])[];

  /** Lets everything through if there are no stages. */
  constructor(stages: readonly Stage[]) {
    this.#steps = stages.map((stage) => [stage, new Selection()]);
  }

  /** What all stages let through of a batch. Valid until the next call, and no longer than the batch. */
  choose(batch: Batch): Batch {
    let chosen = batch;
    for (const [stage, selection] of this.#steps) {
      selection.from(chosen);
      stage.select(chosen, (i) => selection.pick(i));
      selection.finish();
      chosen = selection;
    }
    return chosen;
  }
}
