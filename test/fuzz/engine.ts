/**
 * Runs a target over damaged input. The result must be a value or the error that the target's documentation names, in a
 * number of steps and of a size that the size of the input bounds.
 */
import { toHex } from "../../src/wire/text.ts";
import { Random } from "./mutate.ts";

/** A class that is derived from an error. */
// deno-lint-ignore no-explicit-any
export type ErrorClass = new (...args: any[]) => Error;

/** Something that takes foreign input. */
export interface Target {
  /** Its name. */
  readonly name: string;
  /** The input that is damaged. */
  readonly recordings: readonly Uint8Array[];
  /** Damages one of the inputs. */
  mutate(random: Random, recordings: readonly Uint8Array[]): Uint8Array;
  /** Takes bytes. The size of its result is checked, and its errors by {@linkcode Target.refuses}. */
  run(input: Uint8Array): unknown;
  /** Whether this is its documented error for invalid bytes. */
  refuses(error: unknown): boolean;
  /** Classes of errors that it makes for every other input: see {@linkcode withoutStacks}. */
  readonly lean?: readonly ErrorClass[];
  /** The input in readable form, for a report. */
  describe?(input: Uint8Array): string;
}

/** What went wrong, and how to reproduce it. */
export class Found extends Error {
  override readonly name = "Found";
  /** The input. */
  readonly input: Uint8Array;

  constructor(target: Target, input: Uint8Array, cause: unknown, where: string) {
    const why = cause instanceof Error ? `${cause.stack ?? cause.message}` : String(cause);
    const what = target.describe ? target.describe(input) : toHex(input);
    super(`${target.name}, ${where}, ${input.length} bytes: ${what}\n${why}`, { cause });
    this.input = input;
  }
}

/** More steps than the input justifies. */
class TooMany extends Error {
  override readonly name = "TooMany";
}

/** Reads of a byte of input, and reads that are free. Every decoder here walks its input some thirty times, in each of two byte orders. */
const STEPS_PER_BYTE = 64;
const STEPS = 8192;
/** What is printed of a byte of input: in hexadecimal, with names, in text and in JSON, in each of two byte orders. */
const WEIGHT_PER_BYTE = 512;
const WEIGHT = 65536;

const READS = ["getUint8", "getUint16", "getUint32", "getInt16", "getInt32", "getBigUint64", "getBigInt64"] as const;

let steps = 0;
let limit = Infinity;

/** Counts every read through a DataView from now on, and throws if there are too many. Returns a function that ends the counting. */
function countReads(): () => void {
  const prototype = DataView.prototype;
  const before = READS.map((name) => Object.getOwnPropertyDescriptor(prototype, name)!);
  READS.forEach((name, i) => {
    const read = before[i]!.value as (this: DataView, at: number, little?: boolean) => number | bigint;
    const value = function (this: DataView, at: number, little?: boolean): number | bigint {
      if (++steps > limit) throw new TooMany(`more than ${limit} steps`);
      return read.call(this, at, little);
    };
    Object.defineProperty(prototype, name, { ...before[i], value });
  });
  return () => READS.forEach((name, i) => Object.defineProperty(prototype, name, before[i]!));
}

/** What takes the place of `Error` below. */
class Lean {
  declare cause: unknown;
  constructor(readonly message: string, options?: { cause?: unknown }) {
    if (options && "cause" in options) this.cause = options.cause;
  }
}

/**
 * From now on these errors have no stack, which takes more time to note than all else that is done with most inputs. What
 * they say and which classes they are of stays as it was. Returns what ends it.
 */
function withoutStacks(classes: readonly ErrorClass[]): () => void {
  const lowest = new Set(classes.map((error) => {
    let known: unknown = error;
    while (Object.getPrototypeOf(known) !== Error) known = Object.getPrototypeOf(known);
    return known;
  }));
  // What `super()` calls; `instanceof` looks at the prototypes of their prototypes.
  for (const error of lowest) Object.setPrototypeOf(error, Lean);
  return () => lowest.forEach((error) => Object.setPrototypeOf(error, Error));
}

const I128_MAX = (1n << 127n) - 1n;
const I128_MIN = -I128_MAX - 1n;

/** How much memory a value takes, roughly: numbers, letters and bytes count one. Numbers are at most 128 bits wide. */
export function weigh(value: unknown, depth = 0): number {
  switch (typeof value) {
    case "string":
      return value.length + 1;
    case "bigint":
      if (value > I128_MAX || value < I128_MIN) throw new TooMany("a number of more than 128 bits");
      return 1;
    case "object": {
      if (value === null) return 1;
      if (ArrayBuffer.isView(value)) return value.byteLength + 1;
      if (depth >= 40) throw new TooMany("a value that is more than 40 deep");
      const entries = Array.isArray(value) ? value : value instanceof Map || value instanceof Set ? [...value] : Object.values(value);
      let weight = 1;
      for (let i = 0; i < entries.length; i++) weight += weigh(entries[i], depth + 1);
      return weight;
    }
    default:
      return 1;
  }
}

/** The outcome of an input. */
export type Outcome = "value" | "refused";

/** Tries one input. Only what gives a promise is waited for: that alone takes as long as a small message does. */
function attempt(target: Target, input: Uint8Array): Outcome | Promise<Outcome> {
  steps = 0;
  limit = STEPS + STEPS_PER_BYTE * input.length;
  const accept = (value: unknown): Outcome => {
    limit = Infinity;
    const weight = weigh(value);
    const most = WEIGHT + WEIGHT_PER_BYTE * input.length;
    if (weight > most) throw new TooMany(`a value of ${weight}; the maximum is ${most}`);
    return "value";
  };
  const refuse = (error: unknown): Outcome => {
    limit = Infinity;
    if (error instanceof TooMany || !target.refuses(error)) throw error;
    return "refused";
  };
  try {
    const value = target.run(input);
    return value instanceof Promise ? value.then(accept).catch(refuse) : accept(value);
  } catch (error) {
    return refuse(error);
  }
}

/** The number of each outcome. */
export interface Tally {
  /** Values. */
  value: number;
  /** Refusals. */
  refused: number;
}

/** The inputs to try. */
export interface Plan {
  readonly seed: number;
  /** The first mutation, and the one after the last. */
  readonly from: number;
  readonly to: number;
  /** Called before each input, with its number: true ends the run there. */
  readonly stop?: ((index: number) => boolean) | undefined;
}

/** Tries mutations. */
export async function tryMutations(target: Target, plan: Plan): Promise<Tally> {
  return await tryAll(
    target,
    plan,
    (index) => target.mutate(new Random(plan.seed, index), target.recordings),
    (index) => `seed ${plan.seed}, mutation ${index}`,
  );
}

/** Every truncation of every recording, those of small ones first. */
export function truncations(target: Target): { count: number; at(index: number): Uint8Array } {
  const list = [...target.recordings].sort((a, b) => a.length - b.length);
  const ends: number[] = [];
  let count = 0;
  for (const { length } of list) ends.push(count += length);
  return {
    count,
    at: (index) => {
      let low = 0;
      let high = ends.length - 1;
      while (low < high) {
        const middle = (low + high) >> 1;
        if (ends[middle]! > index) high = middle;
        else low = middle + 1;
      }
      const recording = list[low]!;
      return recording.slice(0, index - (ends[low]! - recording.length));
    },
  };
}

/** Tries truncations. */
export async function tryTruncations(target: Target, plan: Plan): Promise<Tally> {
  return await tryAll(target, plan, truncations(target).at, (index) => `truncation ${index}`);
}

async function tryAll(target: Target, plan: Plan, input: (index: number) => Uint8Array, where: (index: number) => string): Promise<Tally> {
  const tally: Tally = { value: 0, refused: 0 };
  const uncount = countReads();
  const restoreStacks = withoutStacks(target.lean ?? []);
  try {
    for (let index = plan.from; index < plan.to; index++) {
      if (plan.stop?.(index)) break;
      const bytes = input(index);
      try {
        const outcome = attempt(target, bytes);
        tally[typeof outcome === "string" ? outcome : await outcome]++;
      } catch (error) {
        restoreStacks();
        const least = await minimize(target, bytes, error);
        throw new Found(target, least.input, least.error, where(index));
      }
    }
  } finally {
    restoreStacks();
    uncount();
  }
  return tally;
}

/** Tries one input, such as one found earlier. */
export async function tryOne(target: Target, input: Uint8Array): Promise<Outcome> {
  const restore = countReads();
  try {
    return await attempt(target, input);
  } finally {
    restore();
  }
}

/** The kind of an error: a smaller input must fail in the same way. */
function kindOf(error: unknown): string {
  return error instanceof Error ? `${error.name} ${error.message.replace(/\d+/g, "N").slice(0, 40)}` : String(error);
}

/** A smaller input that fails in the same way: pieces are removed, bytes become 0. */
async function minimize(target: Target, input: Uint8Array, error: unknown): Promise<{ input: Uint8Array; error: unknown }> {
  const kind = kindOf(error);
  let best = { input, error };
  let budget = 4000;
  const better = async (candidate: Uint8Array): Promise<boolean> => {
    if (budget-- <= 0) return false;
    try {
      await attempt(target, candidate);
    } catch (error) {
      if (kindOf(error) !== kind) return false;
      best = { input: candidate, error };
      return true;
    }
    return false;
  };
  for (let size = input.length >> 1; size >= 1; size >>= 1) {
    for (let at = 0; at < best.input.length;) {
      const shorter = new Uint8Array(best.input.length - Math.min(size, best.input.length - at));
      shorter.set(best.input.subarray(0, at));
      shorter.set(best.input.subarray(at + size), at);
      if (!await better(shorter)) at += size;
    }
  }
  for (let at = 0; at < best.input.length; at++) {
    if (best.input[at] === 0) continue;
    const plainer = best.input.slice();
    plainer[at] = 0;
    await better(plainer);
  }
  return best;
}
