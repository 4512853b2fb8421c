/**
 * Drops of the socket that no gap in the sequence numbers shows: they are missing from a producer that does not number its samples.
 *
 * Gaps show most of what the socket drops, some only in the next batch.
 */
export class UnshownDrops<Producer> {
  /** Drops that no gap has accounted for yet, and how many of them there were before this batch. */
  #unexplained = 0;
  #before = 0;
  /** Whom the last sample without a number was from, and whether others of this batch have numbers. */
  #unnumbered: Producer | undefined = undefined;
  #isNumbered = false;

  /** Before the samples of a batch. */
  begin(dropped: number): void {
    this.#before = this.#unexplained;
    this.#unexplained += dropped;
    this.#unnumbered = undefined;
    this.#isNumbered = false;
  }

  /** For each sample of it: whom it is from, and what was lost before it. */
  see(producer: Producer, lost: number | undefined): void {
    if (lost === undefined) {
      this.#unnumbered = producer;
      return;
    }
    this.#isNumbered = true;
    if (lost > 0) this.#unexplained = Math.max(0, this.#unexplained - lost);
  }

  /** After the samples of the batch. `lose` gets what is certain to be missing from a producer, if anything is. */
  end(lose: (producer: Producer, samples: number) => void): void {
    const unshown = this.#isNumbered ? Math.min(this.#before, this.#unexplained) : this.#unexplained;
    if (this.#unnumbered === undefined || unshown <= 0) return;
    this.#unexplained -= unshown;
    lose(this.#unnumbered, unshown);
  }
}
