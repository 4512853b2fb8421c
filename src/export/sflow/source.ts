/** Data sources: what samples and counters are of. */

/** Interfaces are sources of this type, by their ifIndex. */
export const IF_INDEX = 0;
/** The host is an entity of the machine (entPhysicalEntry, 2), as host-sflow has it. */
export const ENTITY = 2;
/** Number of the host among the entities. */
export const HOST = 1;

/** One data source: what is counted of it. Numbers are those of the standard and wrap at 2^32. */
export class Source {
  /** Number of the last flow sample; the first one is 1. */
  flowSequence = 0;
  /** Number of the last counter sample. */
  counterSequence = 0;
  /** Number of the last discarded packet. */
  discardSequence = 0;
  /** Samples that were lost. */
  drops = 0;
  /** When it was used last, in batches. */
  usedAt = 0;
  /** The same as {@linkcode Source.drops}, but it goes back when a sample is only late. */
  #lost = 0;
  /** What rounding N has left over. */
  #carry = 0;
  /** Packets that could have been sampled. */
  #pool = 0;
  /** How many packets had reached its samplers at the last report; `undefined` if nobody counts them. */
  #trials: bigint | undefined;
  /** What the pool was then by these packets alone. */
  #counted = 0;
  /** By how much the pool has run ahead of that. */
  #ahead = 0;
  /** Whether samples of it are left out, so that the packets of its samplers are not those that it could sample. */
  #isPartial = false;

  /** Whether it has had a sample. */
  get isSampled(): boolean {
    return this.flowSequence > 0 || this.#isPartial;
  }

  /** Packets that could have been sampled. */
  get pool(): number {
    return this.#pool >>> 0;
  }

  /** Counts a sample that is about to be encoded, and returns its N as a whole number. */
  count(oneIn: number | undefined): number {
    // A sample without a rate stands for itself. Collectors discard or divide by a rate of 0.
    let n = oneIn === undefined || oneIn < 1 ? 1 : oneIn;
    if (!Number.isInteger(n)) {
      // A probability: the remainders are carried, so that the sum over many samples is right.
      const exact = n + this.#carry;
      n = Math.max(1, Math.round(exact));
      this.#carry = exact - n;
    }
    this.flowSequence = (this.flowSequence + 1) >>> 0;
    const held = Math.min(this.#ahead, n);
    this.#ahead -= held;
    this.#pool += n - held;
    return n;
  }

  /** Counts samples that are certain to be lost; a negative number takes back those that were only late. */
  lose(samples: number): void {
    this.#lost += samples;
    // A counter that went back would look to collectors as if it had gone round.
    if (this.#lost <= 0) return;
    this.drops = (this.drops + this.#lost) >>> 0;
    this.#lost = 0;
  }

  /** A sample of it is not exported: from now on the pool counts what the exported ones stand for. */
  leaveOut(): void {
    this.setTrials(undefined);
    this.#isPartial = true;
  }

  /**
   * How many packets have reached its samplers since they began. From the first call on the pool counts these; in between each sample adds
   * N to it, so that it never lags far. If that was too much, the pool does not change until the packets have caught up with it. Without a
   * number each sample adds N, until there is one again.
   */
  setTrials(total: bigint | undefined): void {
    if (this.#isPartial) return;
    const before = this.#trials;
    this.#trials = total;
    if (total === undefined) {
      this.#ahead = 0;
      return;
    }
    // Samplers that were set up again have counted from 0.
    if (before === undefined) this.#counted = this.#pool;
    else this.#counted += Number(total >= before ? total - before : total);
    this.#ahead = Math.max(0, this.#pool - this.#counted);
    this.#pool = Math.max(this.#pool, this.#counted);
  }
}
