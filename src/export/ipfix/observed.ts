/** What selects among packets. */
export interface Selecting {
  /** Packets that were selected. */
  readonly selected: number;
  /** About how many it has observed. */
  readonly estimate: number;
}

/**
 * How many packets came to a hook, an interface and a direction, as far as its samplers count them. They are shared out among the selection
 * sequences there by what was selected of each: usually there is one.
 */
export class ObservedPackets {
  readonly sequences: Selecting[] = [];
  /** What was told last. */
  #total: bigint | undefined;
  #observed = 0;

  /** What its samplers have counted since they were set up. From the first call on it counts by these; what was before is estimated. */
  tell(total: bigint): void {
    const before = this.#total;
    this.#total = total;
    if (before === undefined) this.#observed = this.sequences.reduce((sum, { estimate }) => sum + estimate, 0);
    // Samplers that were set up again have counted from 0.
    else this.#observed += Number(total >= before ? total - before : total);
  }

  /** The part of a sequence; `undefined` if nobody counts. */
  of({ selected }: Selecting): number | undefined {
    if (this.#total === undefined) return undefined;
    const all = this.sequences.reduce((sum, { selected }) => sum + Math.max(0, selected), 0);
    return all === 0 ? 0 : this.#observed * Math.max(0, selected) / all;
  }
}
