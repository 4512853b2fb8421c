/**
 * Turns a test into one list of the values that bytes must have. What some terms say about bytes may decide others, such as alternatives.
 */
import { all, any, compare as holds, not, type Test, type Value, wholeMask } from "./condition.ts";

/** Region of bytes counted from the start of the frame. */
export const FRAME = 0;

/** Region of bytes counted from the end of the IPv4 header at `ipv4`. */
export function behindIpv4(ipv4: number): number {
  return ipv4 + 1;
}

/** The least and the largest value of a field. */
export interface Limits {
  readonly from: number;
  readonly to: number;
}

/** Bits that must have a value, by byte; and fields that must be within limits. */
export class ByteFacts {
  /** Fields by region, offset and size. */
  readonly limits: Map<string, Limits> = new Map();
  readonly #bytes = new Map<string, { value: number; mask: number }>();

  /** Number of bytes with known bits. */
  get size(): number {
    return this.#bytes.size;
  }

  /** Whether something is known of a byte. */
  has(region: number, at: number): boolean {
    return this.#bytes.has(`${region}:${at}`);
  }

  /** The bits of a byte that are known. */
  maskOf(region: number, at: number): number {
    return this.#bytes.get(`${region}:${at}`)?.mask ?? 0;
  }

  /** The known bits themselves. */
  valueOf(region: number, at: number): number {
    return this.#bytes.get(`${region}:${at}`)?.value ?? 0;
  }

  /** Adds bits; false if that contradicts what is known. */
  add(region: number, at: number, value: number, mask: number): boolean {
    const old = this.#bytes.get(`${region}:${at}`) ?? { value: 0, mask: 0 };
    if ((old.value ^ value) & old.mask & mask) return false;
    if (mask !== 0) this.#bytes.set(`${region}:${at}`, { value: old.value | value & mask, mask: old.mask | mask });
    return true;
  }

  /** Removes bits and returns them; unless all of them are known, removes nothing and returns `undefined`. */
  take(region: number, at: number, mask: number): number | undefined {
    const key = `${region}:${at}`;
    const known = this.#bytes.get(key);
    if (!known || (known.mask & mask) !== mask) return undefined;
    const rest = known.mask & ~mask;
    if (rest === 0) this.#bytes.delete(key);
    else this.#bytes.set(key, { value: known.value & rest, mask: rest });
    return known.value & mask;
  }

  /** Narrows the limits of a field. */
  limit(region: number, at: number, size: number, from: number, to: number): void {
    const key = `${region}:${at}:${size}`;
    const old = this.limits.get(key);
    this.limits.set(key, { from: Math.max(from, old?.from ?? 0), to: Math.min(to, old?.to ?? 256 ** size - 1) });
  }

  /** Removes the limits of a field and returns them. */
  takeLimits(region: number, at: number, size: number): Limits | undefined {
    const key = `${region}:${at}:${size}`;
    const limits = this.limits.get(key);
    this.limits.delete(key);
    return limits;
  }
}

/** Bytes at a known place, and the bits of them that are compared. */
interface Field {
  readonly region: number;
  readonly at: number;
  readonly size: 1 | 2 | 4;
  readonly mask: number;
}

/**
 * A test as bits that must have a value; or why it cannot be such a list, as a clause about a classifier that knows nothing else.
 *
 * @param choose May choose one alternative that stands for all of them.
 */
export function conjunction(test: Test, choose: (alternatives: readonly Test[]) => Test | undefined): ByteFacts | string {
  const facts = new ByteFacts();
  let terms: readonly Test[] = [test];
  for (let changed = true; changed;) {
    changed = false;
    const left: Test[] = [];
    for (const term of terms.flatMap(flat)) {
      const known = simplified(term, facts);
      if (known.kind === "constant") {
        changed = true;
        if (!known.value) return NEVER;
        continue;
      }
      const chosen = known.kind === "or" ? choose(known.terms) : undefined;
      const learned = chosen || known.kind === "and" ? undefined : learn(known, facts);
      if (learned === "contradiction") return NEVER;
      if (learned === undefined) left.push(chosen ?? known);
      if (learned !== undefined || chosen || known.kind !== term.kind || known.kind === "and") changed = true;
    }
    terms = left;
  }
  const [hard] = terms;
  return hard ? whyNot(hard) : facts;
}

const NEVER = "has no filter that never matches";

function flat(test: Test): readonly Test[] {
  return test.kind === "and" ? test.terms.flatMap(flat) : [test];
}

/** What remains of a test if some bytes are known. */
function simplified(test: Test, facts: ByteFacts): Test {
  switch (test.kind) {
    case "and":
      return all(...test.terms.map((term) => simplified(term, facts)));
    case "or":
      return any(...test.terms.map((term) => simplified(term, facts)));
    case "not":
      return not(simplified(test.term, facts));
    case "compare": {
      const answer = answerOf(test, facts);
      return answer === undefined ? test : { kind: "constant", value: answer };
    }
    default:
      return test;
  }
}

/** Whether a comparison holds, as far as that is known. */
function answerOf(test: Test & { kind: "compare" }, facts: ByteFacts): boolean | undefined {
  const field = fieldOf(test.left);
  if (!field || test.right.kind !== "number") return undefined;
  const wanted = test.right.value;
  let value = 0;
  let known = 0;
  for (let i = 0; i < field.size; i++) {
    value = value * 256 + facts.valueOf(field.region, field.at + i);
    known = known * 256 + facts.maskOf(field.region, field.at + i);
  }
  const seen = (known & field.mask) >>> 0;
  if (seen === field.mask) return holds(test.comparison, (value & field.mask) >>> 0, wanted);
  const differs = ((value ^ wanted) & seen) !== 0;
  if (test.comparison === "=" && differs) return false;
  return test.comparison === "!=" && differs ? true : undefined;
}

/** Records what a term says about bytes; `undefined` if it says something else. */
function learn(term: Test, facts: ByteFacts): "learned" | "contradiction" | undefined {
  const negated = term.kind === "not";
  const test = negated ? term.term : term;
  if (test.kind !== "compare" || test.right.kind !== "number") return undefined;
  const field = fieldOf(test.left);
  if (!field) return undefined;
  const wanted = test.right.value;
  const whole = wholeMask(field.size);
  switch (test.comparison) {
    case "=":
    case "!=": {
      if ((wanted & ~field.mask) !== 0) return undefined;
      const same = (test.comparison === "=") !== negated;
      if (same) return note(field, wanted, facts);
      // For a single bit, not having one value means having the other.
      return isOneBit(field.mask) ? note(field, ~wanted, facts) : undefined;
    }
    case "&": {
      const mask = (field.mask & wanted) >>> 0;
      if (negated) return note({ ...field, mask }, 0, facts);
      return isOneBit(mask) ? note({ ...field, mask }, mask, facts) : undefined;
    }
    default: {
      if (field.mask !== whole || negated) return undefined;
      const { region, at, size } = field;
      const [from, to] = limitsOf(test.comparison, wanted, whole);
      if (from > to) return "contradiction";
      facts.limit(region, at, size, from, to);
      return "learned";
    }
  }
}

function limitsOf(relation: "<" | "<=" | ">" | ">=", wanted: number, most: number): [from: number, to: number] {
  switch (relation) {
    case "<":
      return [0, wanted - 1];
    case "<=":
      return [0, wanted];
    case ">":
      return [wanted + 1, most];
    case ">=":
      return [wanted, most];
  }
}

function note({ region, at, size, mask }: Field, value: number, facts: ByteFacts): "learned" | "contradiction" {
  for (let i = 0; i < size; i++) {
    const shift = 8 * (size - 1 - i);
    const bits = mask >>> shift & 0xff;
    if (!facts.add(region, at + i, value >>> shift & bits, bits)) return "contradiction";
  }
  return "learned";
}

function isOneBit(mask: number): boolean {
  return mask !== 0 && (mask & (mask - 1)) === 0;
}

/** The field that a value is, if it consists of bits at one place. */
function fieldOf(value: Value): Field | undefined {
  if (value.kind === "calculation") {
    const { operation, left, right } = value;
    const [bytes, mask] = right.kind === "number" ? [left, right.value] : left.kind === "number" ? [right, left.value] : [left, undefined];
    const field = operation === "&" && mask !== undefined ? fieldOf(bytes) : undefined;
    return field && { ...field, mask: (field.mask & mask!) >>> 0 };
  }
  if (value.kind !== "load") return undefined;
  const { size, offset, index } = value;
  const mask = wholeMask(size);
  if (!index) return { region: FRAME, at: offset, size, mask };
  return index.kind === "header length" && offset >= index.offset
    ? { region: behindIpv4(index.offset), at: offset - index.offset, size, mask }
    : undefined;
}

function whyNot(test: Test): string {
  switch (test.kind) {
    case "or":
      return `has no "or": neither for two ends, nor for two versions of IP, nor for several protocols`;
    case "not":
      return `has no "not"`;
    default:
      return test.kind === "compare" && (usesLength(test.left) || usesLength(test.right))
        ? "does not see how long a packet is"
        : "has no key for one of these comparisons";
  }
}

function usesLength(value: Value): boolean {
  return value.kind === "length" || value.kind === "calculation" && (usesLength(value.left) || usesLength(value.right));
}
