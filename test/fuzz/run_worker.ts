/** What run.ts has done in a Worker: one target, to the end, or until something is found. */
import { Found, type Tally, truncations, tryMutations, tryTruncations } from "./engine.ts";
import { TARGETS } from "./targets.ts";

/** What is to be done. */
export interface Order {
  readonly target: string;
  readonly seed: number;
  readonly mutations: number;
  /** 0 for no limit. */
  readonly seconds: number;
  /** Where the work is: the number of the input, and 0 for truncations, 1 for mutations. */
  readonly position: Int32Array<SharedArrayBuffer>;
}

/** What came of it. */
export type Report =
  | { readonly kind: "done"; readonly truncated: Tally; readonly mutated: Tally }
  | { readonly kind: "found"; readonly message: string };

declare const self: {
  postMessage(report: Report): void;
  onmessage: ((event: { data: Order }) => void) | null;
};

/** How many inputs between two looks at the clock. */
const PIECE = 2000;

self.onmessage = async ({ data: { target: name, seed, mutations, seconds, position } }): Promise<void> => {
  const target = TARGETS.find((target) => target.name === name)!;
  const began = performance.now();
  const before = (index: number): void => void Atomics.store(position, 0, index);
  const pieces = async (count: number, until: number, one: (from: number, to: number) => Promise<Tally>): Promise<Tally> => {
    const sum: Tally = { value: 0, refused: 0 };
    for (let from = 0; from < count; from += PIECE) {
      if (until > 0 && performance.now() - began > 1000 * until) break;
      const { value, refused } = await one(from, Math.min(from + PIECE, count));
      sum.value += value;
      sum.refused += refused;
    }
    return sum;
  };
  try {
    const all = truncations(target).count;
    const truncated = await pieces(all, seconds / 2, (from, to) => tryTruncations(target, { seed, from, to, before }));
    Atomics.store(position, 1, 1);
    const mutated = await pieces(mutations, seconds, (from, to) => tryMutations(target, { seed, from, to, before }));
    self.postMessage({ kind: "done", truncated, mutated });
  } catch (error) {
    if (!(error instanceof Found)) throw error;
    self.postMessage({ kind: "found", message: error.message });
  }
};
