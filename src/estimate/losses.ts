/**
 * Corrects the rate for samples that were lost: those that arrived stand for the others too. A loss is spread over the samples of the
 * same group and producer that come after it, soon, since it came in a burst: dividing by a share of the whole run would raise
 * quiet times and lower peaks.
 *
 * @module
 */

import { producerKey } from "../stream/producer.ts";

/** Over about so many samples a loss is spread. */
const HORIZON = 64;
/** So many groups are told apart; beyond, losses are spread over all others together. */
const MOST_GROUPS = 4096;

/** What each group still owes. */
export class LossCorrection {
  readonly #owed = new Map<string | number, number>();

  /** Samples that were lost and have not been made up for yet. */
  get outstanding(): number {
    let sum = 0;
    for (const owed of this.#owed.values()) sum += owed;
    return sum;
  }

  /** Whether nothing is left to be made up for: then the rate of a sample before which none was lost stays as it is. */
  get isEven(): boolean {
    return this.#owed.size === 0;
  }

  /**
   * By what the rate of a sample is to be multiplied.
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
