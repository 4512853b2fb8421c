/** How many packets have passed samplers that come and go, for months. */
import type { Passed } from "../src/control/passed.ts";

/** What is known to have passed if nothing is known. */
const NOTHING: Passed = { trials: undefined, packets: undefined };

/** Adds up what has passed samplers, also those that are gone: of these only the sum is kept, because there is no end of them. */
export class PassedTotals<Sampler extends object> {
  /** What had passed when it was last counted. */
  readonly #counts = new Map<Sampler, Passed>();
  readonly #ended = new WeakSet<Sampler>();
  /** The sum of those that are gone, if there are any. */
  #before: readonly Passed[] = [];

  /** Number of samplers that are remembered. */
  get size(): number {
    return this.#counts.size;
  }

  /** What has passed one of them since it was set up. A kernel that says less than before says nothing: the last count stays valid. */
  count(sampler: Sampler, { trials, packets }: Passed = NOTHING): void {
    // A count that was on its way when it ended is part of the sum already.
    if (this.#ended.has(sampler)) return;
    const before = this.#counts.get(sampler) ?? NOTHING;
    this.#counts.set(sampler, { trials: most(trials, before.trials), packets: most(packets, before.packets) });
  }

  /** It is gone, and was counted for the last time. */
  end(sampler: Sampler): void {
    if (this.#ended.has(sampler)) return;
    this.#ended.add(sampler);
    this.#before = [sumOf([...this.#before, this.#counts.get(sampler) ?? NOTHING])];
    this.#counts.delete(sampler);
  }

  /** What has passed all that were counted, and these; of decisions nothing is known unless all count them. */
  total(samplers: Iterable<Sampler>): Passed {
    const present = new Set([...this.#counts.keys(), ...samplers]);
    return sumOf([...this.#before, ...[...present].map((sampler) => this.#counts.get(sampler) ?? NOTHING)]);
  }
}

function sumOf(all: readonly Passed[]): Passed {
  const sum = (counts: readonly (bigint | undefined)[]): bigint | undefined =>
    counts.reduce((sum, count) => count === undefined ? sum : (sum ?? 0n) + count, undefined);
  const trials = all.map(({ trials }) => trials);
  return { trials: trials.includes(undefined) ? undefined : sum(trials), packets: sum(all.map(({ packets }) => packets)) };
}

function most(one: bigint | undefined, other: bigint | undefined): bigint | undefined {
  return one === undefined || (other !== undefined && other > one) ? other : one;
}
