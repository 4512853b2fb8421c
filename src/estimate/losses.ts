/**
 * Corrects the rate for lost samples: those that arrived stand for the others too. Losses come in bursts, so each is spread over the next
 * samples of the same group and producer; one factor for the whole run would raise quiet times and lower peaks.
 *
 * @module
 */

import { producerKey } from "../stream/producer.ts";

/** A loss is spread over about this many samples. */
const HORIZON = 64;
/** Maximum number of groups told apart; losses of all others are spread over them together. */
const MOST_GROUPS = 4096;

/** The losses of each group that are still to be made up for. */
export class LossCorrection {
  readonly #owed = new Map<string | number, number>();

  /** Samples that were lost and have not been made up for yet. */
  get outstanding(): number {
    let sum = 0;
    for (const owed of this.#owed.values()) sum += owed;
    return sum;
  }

  /** Whether nothing is left to be made up for: then a sample without losses before it keeps its rate. */
  get isEven(): boolean {
    return this.#owed.size === 0;
  }

  /**
   * The factor by which to multiply the rate of a sample.
   *
   * @param lost The samples of its group and producer that are missing right before it; `undefined` if its producer numbers nothing.
   */
  factor(group: number | undefined, nsid: number | undefined, portId: number, lost: number | undefined): number {
    if ((lost === undefined || lost === 0) && this.isEven) return 1;
    let key = producerKey(group, nsid, portId);
    if (!this.#owed.has(key) && this.#owed.size >= MOST_GROUPS) key = "others";
    const owed = (this.#owed.get(key) ?? 0) + (lost ?? 0);
    const paid = owed / HORIZON;
    // A late sample takes back what was counted as lost.
    const left = owed - paid;
    if (Math.abs(left) < 1e-3) this.#owed.delete(key);
    else this.#owed.set(key, left);
    return Math.max(0, 1 + paid);
  }
}
