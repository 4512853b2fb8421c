/** Tests that run here: functions that call one another, made once for each expression. */
import type { SampleTest } from "./language/tree.ts";
import { Packet } from "./packet.ts";
import { enter, hasNetwork } from "./tunnels.ts";
import { calculate, compare, type Comparison, type Test, type Value } from "./condition.ts";

type Number = () => number;
type Answer = () => boolean;

/** Makes a function that tells whether the packet matches. It has to look at {@linkcode Packet.failed} too. */
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
    case "and":
    case "or": {
      return joined(test.kind, test.terms.map(made));
    }
    case "compare": {
      const left = numberFrom(test.left, packet);
      const { comparison, right } = test;
      return right.kind === "number"
        ? compareWith(comparison, left, right.value)
        : compareBoth(comparison, left, numberFrom(right, packet));
    }
  }
}

/** Halves of halves, so that a long list of terms is no deep stack of calls. */
function joined(kind: "and" | "or", terms: readonly Answer[]): Answer {
  if (terms.length === 1) return terms[0]!;
  const middle = terms.length >> 1;
  const left = joined(kind, terms.slice(0, middle));
  const right = joined(kind, terms.slice(middle));
  return kind === "and" ? () => left() && right() : () => left() || right();
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
      throw new Error("a packet by itself has no tag beside it");
    case "load": {
      const { size, offset } = value;
      if (!value.index) return loadAt(size, offset, packet);
      const index = numberFrom(value.index, packet);
      // An index that is so large that the sum would begin anew is beyond the end too.
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
