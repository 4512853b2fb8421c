/** A sink that keeps numbers instead of samples. */
import type { Batch } from "../stream/batch.ts";
import type { Sink } from "../stream/sink.ts";

/**
 * Turns batches into numbers, such as an `Estimator`.
 *
 * @category Pump
 */
export interface Aggregator {
  /** Takes a batch. */
  take(batch: Batch): void;
}

/**
 * Hands each batch to an aggregator: for {@linkcode pump}. It is never full.
 *
 * @category Pump
 */
export function aggregateTo(aggregator: Aggregator, name = "estimates"): Sink {
  let written = 0;
  return {
    name,
    get written() {
      return written;
    },
    skipped: 0,
    // It cannot fail, and has no reader that could go away.
    ended: new Promise(() => {}),
    take: (batch) => {
      aggregator.take(batch);
      written += batch.samples;
    },
    full: () => undefined,
    flush: () => Promise.resolve(),
    close: () => Promise.resolve(),
    abort: () => {},
  };
}
