import type { Batch } from "./batch.ts";

/**
 * Chooses among the entries of a batch by their index, between source and sinks. It copies nothing and waits for nothing.
 *
 * @category Pump
 */
export interface Stage {
  /** Calls `pick` with the index of each entry that passes, in ascending order. */
  select(batch: Batch, pick: (i: number) => void): void;
}
