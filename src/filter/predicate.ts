/** Tests that run in user space: functions that call one another, made once for each expression. */
import type { SampleTest } from "./language/tree.ts";
import { Packet } from "./packet.ts";
import { enter, hasNetwork } from "./tunnels.ts";
import { all, calculate, compare, type Comparison, type Test, type Value } from "./condition.ts";

type Number = () => number;
type Answer = () => boolean;

/** Makes a function that returns whether the packet matches. The caller must check {@linkcode Packet.failed} too. */
export function predicate(test: Test, packet: Packet, ofSample: (test: SampleTest) => Answer): Answer {
  const made = (term: Test): Answer => predicate(term, packet, ofSample);
  switch (test.kind) {
    case "constant":
      return () => test.value;
    case "sample":
      return ofSample(test.test);
    case "vni":
      return hasNetwork(packet, test.value);
    case "inner": {
      const inside = new Packet();
      const inner = {
        ethernet: predicate(test.tests.ethernet, inside, ofSample),
        "raw-ip": predicate(test.tests["raw-ip"], inside, ofSample),
      };
      return () => {
        if (!enter(packet, inside)) return false;
        const answer = inner[inside.first]();
        if (inside.failed) packet.failed = true;
        return answer;
      };
    }
    case "not": {
      const term = made(test.term);
      return () => !term();
    }
    case "or":
      return byNumber(test.terms, packet, made) ?? joined("or", test.terms.map(made));
    case "and":
      return joined("and", test.terms.map(made));
    case "compare": {
      const { comparison, right } = test;
      const direct = right.kind === "number" ? compareBytes(comparison, test.left, right.value, packet) : undefined;
      if (direct) return direct;
      const left = numberFrom(test.left, packet);
      return right.kind === "number"
        ? compareWith(comparison, left, right.value)
        : compareBoth(comparison, left, numberFrom(right, packet));
    }
  }
}

/** Splits in halves, so that a long list of terms does not make a deep call stack. */
function joined(kind: "and" | "or", terms: readonly Answer[]): Answer {
  const [a, b, c, d] = terms as [Answer, Answer, Answer, Answer];
  const isAnd = kind === "and";
  switch (terms.length) {
    case 1:
      return a;
    case 2:
      return isAnd ? () => a() && b() : () => a() || b();
    case 3:
      return isAnd ? () => a() && b() && c() : () => a() || b() || c();
    case 4:
      return isAnd ? () => a() && b() && c() && d() : () => a() || b() || c() || d();
  }
  const middle = terms.length >> 1;
  const left = joined(kind, terms.slice(0, middle));
  const right = joined(kind, terms.slice(middle));
  return isAnd ? () => left() && right() : () => left() || right();
}

/**
 * Terms that all begin by comparing the same two bytes, such as the EtherType, with different numbers: the bytes are read once and select
 * the term. `undefined` for other terms.
 */
function byNumber(terms: readonly Test[], packet: Packet, made: (test: Test) => Answer): Answer | undefined {
  const offset = numberedBy(terms[0]!)?.offset;
  const numbers = terms.map((term) => numberedBy(term));
  const values = numbers.map((number) => number?.value ?? -1);
  if (
    offset === undefined || terms.length > 3 || numbers.some((number) => number?.offset !== offset) || new Set(values).size < values.length
  ) {
    return undefined;
  }
  const [a, b, c = -1] = values as [number, number, number?];
  const [ifA, ifB, ifC] = terms.map((term) => made(all(...(term as Test & { kind: "and" }).terms.slice(1)))) as [Answer, Answer, Answer];
  const end = offset + 2;
  return () => {
    if (end > packet.size) return fail(packet);
    const { bytes } = packet;
    const number = bytes[offset]! << 8 | bytes[offset + 1]!;
    return number === a ? ifA() : number === b ? ifB() : number === c && ifC();
  };
}

function numberedBy(term: Test): { offset: number; value: number } | undefined {
  const first = term.kind === "and" ? term.terms[0]! : term;
  if (term.kind !== "and" || first.kind !== "compare" || first.comparison !== "=" || first.right.kind !== "number") return undefined;
  const { left, right } = first;
  return left.kind === "load" && left.size === 2 && !left.index ? { offset: left.offset, value: right.value } : undefined;
}

/** A byte that does not exist was read. */
function fail(packet: Packet): false {
  packet.failed = true;
  return false;
}

/**
 * The comparisons that most filters consist of, without a call for the value: whether bytes at a known place, or after an IPv4 header, have
 * a value, possibly under a mask. `undefined` for all others.
 */
function compareBytes(comparison: Comparison, value: Value, right: number, packet: Packet): Answer | undefined {
  if (comparison !== "=") return undefined;
  let [load, mask] = [value, 0xffffffff];
  if (value.kind === "calculation" && value.operation === "&" && value.right.kind === "number") {
    [load, mask] = [value.left, value.right.value];
  }
  if (load.kind !== "load") return undefined;
  const { size, offset, index } = load;
  const end = offset + size;
  if (index) {
    if (index.kind !== "header length" || size !== 2 || mask !== 0xffffffff) return undefined;
    const header = index.offset;
    return () => {
      const { bytes } = packet;
      if (header >= packet.size) return fail(packet);
      const at = offset + ((bytes[header]! & 0xf) << 2);
      return at + 2 > packet.size ? fail(packet) : (bytes[at]! << 8 | bytes[at + 1]!) === right;
    };
  }
  switch (size) {
    case 1:
      if (mask !== 0xffffffff) return () => end > packet.size ? fail(packet) : (packet.bytes[offset]! & mask) === right;
      return () => end > packet.size ? fail(packet) : packet.bytes[offset] === right;
    case 2:
      return () => {
        const { bytes } = packet;
        return end > packet.size ? fail(packet) : ((bytes[offset]! << 8 | bytes[offset + 1]!) & mask) === right;
      };
    case 4: {
      // As signed numbers, which bitwise operators yield.
      const signed = right | 0;
      return () => {
        if (end > packet.size) return fail(packet);
        const { bytes } = packet;
        return ((bytes[offset]! << 24 | bytes[offset + 1]! << 16 | bytes[offset + 2]! << 8 | bytes[offset + 3]!) & mask) === signed;
      };
    }
  }
}

/** The comparisons that most filters consist of. */
function compareWith(comparison: Comparison, left: Number, right: number): Answer {
  switch (comparison) {
    case "=":
      return () => left() === right;
    case "&":
      return () => (left() & right) !== 0;
    default:
      return () => compare(comparison, left(), right);
  }
}

function compareBoth(comparison: Comparison, left: Number, right: Number): Answer {
  return () => compare(comparison, left(), right());
}

function numberFrom(value: Value, packet: Packet): Number {
  switch (value.kind) {
    case "number":
      return () => value.value;
    case "length":
      return () => packet.length;
    case "header length": {
      const byte = loadAt(1, value.offset, packet);
      return () => (byte() & 0xf) << 2;
    }
    case "tag":
      throw new Error("only packets in the kernel have a tag beside their bytes");
    case "load": {
      const { size, offset } = value;
      if (!value.index) return loadAt(size, offset, packet);
      const index = numberFrom(value.index, packet);
      // An index so large that the sum would wrap is beyond the end too.
      return () => read(packet, size, offset + index());
    }
    case "calculation": {
      const { operation } = value;
      const left = numberFrom(value.left, packet);
      const right = numberFrom(value.right, packet);
      if (operation === "&" && value.right.kind === "number") {
        const mask = value.right.value;
        return () => (left() & mask) >>> 0;
      }
      return () => {
        const result = calculate(operation, left(), right());
        if (result === undefined) packet.failed = true;
        return result ?? 0;
      };
    }
  }
}

function loadAt(size: 1 | 2 | 4, offset: number, packet: Packet): Number {
  const end = offset + size;
  const fail = (): number => {
    packet.failed = true;
    return 0;
  };
  switch (size) {
    case 1:
      return () => end > packet.size ? fail() : packet.bytes[offset]!;
    case 2:
      return () => {
        if (end > packet.size) return fail();
        const { bytes } = packet;
        return bytes[offset]! << 8 | bytes[offset + 1]!;
      };
    case 4:
      return () => read(packet, 4, offset);
  }
}

function read(packet: Packet, size: 1 | 2 | 4, offset: number): number {
  if (offset + size > packet.size) {
    packet.failed = true;
    return 0;
  }
  const { bytes } = packet;
  if (size === 1) return bytes[offset]!;
  if (size === 2) return bytes[offset]! << 8 | bytes[offset + 1]!;
  return (bytes[offset]! << 24 | bytes[offset + 1]! << 16 | bytes[offset + 2]! << 8 | bytes[offset + 3]!) >>> 0;
}
