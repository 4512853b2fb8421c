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

/** The result. */
export type Report =
  | { readonly kind: "done"; readonly truncated: Tally; readonly mutated: Tally }
  | { readonly kind: "found"; readonly message: string };

declare const self: {
  postMessage(report: Report): void;
  onmessage: ((event: { data: Order }) => void) | null;
};

/** Number of inputs between two readings of the clock: a power of two. */
const LOOK = 1024;

self.onmessage = async ({ data: { target: name, seed, mutations, seconds, position } }): Promise<void> => {
  const target = TARGETS.find((target) => target.name === name)!;
  const began = performance.now();
  const until = (share: number) => (index: number): boolean => {
    Atomics.store(position, 0, index);
    return seconds > 0 && index % LOOK === 0 && performance.now() - began > 1000 * seconds * share;
  };
  try {
    const all = truncations(target).count;
    // Each in one go: what the engine changes at the beginning of a run makes the runtime forget what it has compiled.
    const truncated = await tryTruncations(target, { seed, from: 0, to: all, stop: until(0.5) });
    Atomics.store(position, 1, 1);
    const mutated = await tryMutations(target, { seed, from: 0, to: mutations, stop: until(1) });
    self.postMessage({ kind: "done", truncated, mutated });
  } catch (error) {
    if (!(error instanceof Found)) throw error;
    self.postMessage({ kind: "found", message: error.message });
  }
};
