/**
 * The loads and comparisons that a filter makes on a packet, as libpcap generates them. The predicate and the program for the
 * kernel are both made from this.
 */
import type { FirstHeader } from "../packet/packet_view.ts";
import type { Relation, SampleTest } from "./language/tree.ts";

/** An operation on two values. */
export type Operation = "+" | "-" | "*" | "/" | "%" | "&" | "|" | "^" | "<<" | ">>";

/** An unsigned 32-bit number. If a load goes beyond the captured bytes, the packet does not match, whatever the rest says. */
export type Value =
  | { readonly kind: "number"; readonly value: number }
  /** How long the packet was before it was cut. */
  | { readonly kind: "length" }
  /** Bytes at `offset`, from `index` on if there is one. */
  | { readonly kind: "load"; readonly size: 1 | 2 | 4; readonly offset: number; readonly index: Value | undefined }
  /** Four times the low half of the byte at `offset`: the length of an IPv4 header. */
  | { readonly kind: "header length"; readonly offset: number }
  /**
   * The VLAN tag that the kernel keeps beside the packet's bytes: whether there is one (1 or 0), its EtherType, its number and priority.
   * Only programs for tc's packets ask for it.
   */
  | { readonly kind: "tag"; readonly part: "present" | "type" | "control" }
  | { readonly kind: "calculation"; readonly operation: Operation; readonly left: Value; readonly right: Value };

/** How values are compared; `&` means that they have a bit in common. */
export type Comparison = Relation | "&";

/** A condition. Terms are tested in their order, and no further than needed. */
export type Test =
  | { readonly kind: "constant"; readonly value: boolean }
  | { readonly kind: "and" | "or"; readonly terms: readonly Test[] }
  | { readonly kind: "not"; readonly term: Test }
  | { readonly kind: "compare"; readonly comparison: Comparison; readonly left: Value; readonly right: Value }
  | { readonly kind: "sample"; readonly test: SampleTest }
  /** Whether it went through a tunnel with this identifier. */
  | { readonly kind: "vni"; readonly value: number }
  /** What must hold for the packet inside a tunnel, depending on what that begins with. */
  | { readonly kind: "inner"; readonly tests: Readonly<Record<FirstHeader, Test>> };

/** A number. */
export function number(value: number): Value {
  return { kind: "number", value: value >>> 0 };
}

/** Bytes of the packet. */
export function load(size: 1 | 2 | 4, offset: number, index?: Value): Value {
  if (index?.kind === "number") return { kind: "load", size, offset: (offset + index.value) >>> 0, index: undefined };
  return { kind: "load", size, offset, index };
}

/** The mask of all bits of a load. */
export function wholeMask(size: 1 | 2 | 4): number {
  return size === 4 ? 0xffffffff : size === 2 ? 0xffff : 0xff;
}

/** Calculates with 32 bits as BPF does; `undefined` if it cannot be done. */
export function calculate(operation: Operation, left: number, right: number): number | undefined {
  switch (operation) {
    case "+":
      return (left + right) >>> 0;
    case "-":
      return (left - right) >>> 0;
    case "*":
      return Math.imul(left, right) >>> 0;
    case "/":
      return right === 0 ? undefined : Math.floor(left / right);
    case "%":
      return right === 0 ? undefined : left % right;
    case "&":
      return (left & right) >>> 0;
    case "|":
      return (left | right) >>> 0;
    case "^":
      return (left ^ right) >>> 0;
    case "<<":
      return right > 31 ? 0 : (left << right) >>> 0;
    case ">>":
      return right > 31 ? 0 : left >>> right;
  }
}

/** Compares two unsigned numbers. */
export function compare(comparison: Comparison, left: number, right: number): boolean {
  switch (comparison) {
    case "=":
      return left === right;
    case "!=":
      return left !== right;
    case "<":
      return left < right;
    case "<=":
      return left <= right;
    case ">":
      return left > right;
    case ">=":
      return left >= right;
    case "&":
      return (left & right) !== 0;
  }
}

/** All of these. */
export function all(...terms: readonly Test[]): Test {
  return joined("and", terms);
}

/** One of these. */
export function any(...terms: readonly Test[]): Test {
  return joined("or", terms);
}

/** Not this. */
export function not(term: Test): Test {
  return term.kind === "constant" ? { kind: "constant", value: !term.value } : { kind: "not", term };
}

function joined(kind: "and" | "or", terms: readonly Test[]): Test {
  const neutral = kind === "and";
  const needed: Test[] = [];
  for (const term of terms) {
    if (term.kind !== "constant") needed.push(...term.kind === kind ? term.terms : [term]);
    else if (term.value !== neutral) {
      // The terms before it may still load beyond the captured bytes, which is no match either.
      needed.push(term);
      break;
    }
  }
  if (needed.length === 0) return { kind: "constant", value: neutral };
  return needed.length === 1 ? needed[0]! : { kind, terms: needed };
}
