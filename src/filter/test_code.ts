/** Classic BPF code for conditions, independent of where the packet is. */
import { Assembler, type Label, label } from "./assembler.ts";
import type { Comparison, Test, Value } from "./condition.ts";
import {
  ALU,
  JUMP,
  JUMP_BITS,
  JUMP_EQUAL,
  JUMP_GREATER,
  JUMP_GREATER_OR_EQUAL,
  LD_ABSOLUTE,
  LD_IMMEDIATE,
  LD_MEMORY,
  MEMORY_WORDS,
  MOVE_A_TO_X,
  SKF_AD_OFF,
  STORE,
  WITH_X,
} from "./instructions.ts";

/** The jump for a comparison, and whether it is taken if the comparison does not hold. */
export const JUMPS: Readonly<Record<Comparison, readonly [code: number, swapped: boolean]>> = {
  "=": [JUMP_EQUAL, false],
  "!=": [JUMP_EQUAL, true],
  ">": [JUMP_GREATER, false],
  "<=": [JUMP_GREATER, true],
  ">=": [JUMP_GREATER_OR_EQUAL, false],
  "<": [JUMP_GREATER_OR_EQUAL, true],
  "&": [JUMP_BITS, false],
};

/** No packet has this many bytes. Offsets above stand for the kernel's ancillary data. */
const LARGEST_OFFSET = 0x7fffffff;
const LARGEST_INDEX = 0xffff;
/** The parts of the VLAN tag among the ancillary data, SKF_AD_VLAN_*: the answer is a number, not bytes. */
const TAG_PARTS: Readonly<Record<(Value & { kind: "tag" })["part"], number>> = {
  control: SKF_AD_OFF + 44,
  present: SKF_AD_OFF + 48,
  type: SKF_AD_OFF + 60,
};

/** What is certain at a point of the program, on every path to it. */
export interface Facts {
  /** Minimum size of the packet, in bytes. */
  readonly bytes: number;
  /** X is where the packet begins. */
  readonly inX: boolean;
}

/** Nothing is known of the packet yet. */
export const NO_FACTS: Facts = { bytes: 0, inX: false };

/** What is certain after a condition that holds, and after one that does not. */
interface Outcome {
  readonly yes: Facts;
  readonly no: Facts;
}

/** What is certain where two paths meet. */
function common(a: Facts, b: Facts): Facts {
  return { bytes: Math.min(a.bytes, b.bytes), inX: a.inX && b.inX };
}

/** Writes the code of conditions. */
export abstract class TestCode {
  protected readonly code: Assembler = new Assembler();
  protected readonly refuse: (why: string) => Error;
  /** Where the program continues if the packet lacks a byte. */
  protected fail: Label = label();
  /** What is certain at the end of the code so far. */
  protected facts: Facts = NO_FACTS;
  readonly #words: number;

  /**
   * @param refuse Makes the error for something that the kernel cannot do.
   * @param words How many memory words, from 0 on, are free for calculations.
   */
  constructor(refuse: (why: string) => Error, words: number = MEMORY_WORDS) {
    this.refuse = refuse;
    this.#words = words;
  }

  /** Loads bytes of the packet into A. */
  protected abstract absolute(size: 1 | 2 | 4, offset: number): void;
  /** Loads bytes into A that are `offset` bytes after the end of the IPv4 header at `header`. */
  protected abstract behindHeader(size: 1 | 2 | 4, header: number, offset: number): void;
  /** Loads the bytes at X + `offset` into A. */
  protected abstract indexed(size: 1 | 2 | 4, offset: number): void;
  /** Loads the original length of the packet into A. */
  protected abstract length(): void;
  /** Decides a condition that is not about bytes at a known place. */
  protected abstract beside(test: Test & { kind: "sample" | "vni" | "inner" }, yes: Label, no: Label): void;

  /** Jumps to `yes` if the condition holds, else to `no`; returns what is certain there. */
  protected test(test: Test, yes: Label, no: Label): Outcome {
    switch (test.kind) {
      case "constant":
        this.code.jump(JUMP, 0, test.value ? yes : no);
        return { yes: this.facts, no: this.facts };
      case "not": {
        const inner = this.test(test.term, no, yes);
        return { yes: inner.no, no: inner.yes };
      }
      case "and":
      case "or":
        return this.#joined(test, yes, no);
      case "compare": {
        const [code, swapped] = JUMPS[test.comparison];
        const { left, right } = test;
        this.#value(left, 0);
        if (right.kind !== "number") this.#rightToX(right, 0);
        const constant = right.kind === "number" ? right.value : 0;
        this.code.jump(right.kind === "number" ? code : code | WITH_X, constant, swapped ? no : yes, swapped ? yes : no);
        return { yes: this.facts, no: this.facts };
      }
      case "sample":
      case "vni":
      case "inner":
        this.beside(test, yes, no);
        return { yes: this.facts, no: this.facts };
    }
  }

  #joined({ kind, terms }: Test & { kind: "and" | "or" }, yes: Label, no: Label): Outcome {
    let early: Facts | undefined;
    for (const [i, term] of terms.entries()) {
      const next = label();
      const isLast = i === terms.length - 1;
      const outcome = kind === "and" ? this.test(term, isLast ? yes : next, no) : this.test(term, yes, isLast ? no : next);
      const [onward, out] = kind === "and" ? [outcome.yes, outcome.no] : [outcome.no, outcome.yes];
      early = early ? common(early, out) : out;
      this.facts = onward;
      if (!isLast) this.code.place(next);
    }
    return kind === "and" ? { yes: this.facts, no: early! } : { yes: early!, no: this.facts };
  }

  /** Jumps by A; a missing label means the next instruction. */
  protected decide(jump: number, constant: number, yes: Label | undefined, no: Label | undefined): void {
    const next = label();
    this.code.jump(jump, constant, yes ?? next, no ?? next);
    this.code.place(next);
  }

  /** X no longer points to the start of the packet. */
  protected loseX(): void {
    this.facts = { ...this.facts, inX: false };
  }

  /** With the left value in A, loads the right one into X and keeps A. */
  #rightToX(right: Value, slot: number, isDivisor = false): void {
    this.#store(slot);
    this.#value(right, slot + 1);
    // The kernel would end the program at a division by 0, without a match.
    if (isDivisor) this.decide(JUMP_EQUAL, 0, this.fail, undefined);
    this.code.add(MOVE_A_TO_X);
    this.code.add(LD_MEMORY, slot);
    this.loseX();
  }

  #store(slot: number): void {
    if (slot >= this.#words) throw this.refuse("there are too many brackets in an arithmetic expression for the kernel");
    this.code.add(STORE, slot);
  }

  /** Loads a value into A. Memory below `slot` is not changed. */
  #value(value: Value, slot: number): void {
    switch (value.kind) {
      case "number":
        return this.code.add(LD_IMMEDIATE, value.value);
      case "length":
        return this.length();
      case "header length":
        this.absolute(1, value.offset);
        this.code.add(ALU["&"], 0xf);
        return this.code.add(ALU["<<"], 2);
      case "tag":
        return this.code.add(LD_ABSOLUTE[2], TAG_PARTS[value.part]);
      case "load":
        return this.#load(value, slot);
      case "calculation": {
        const { operation, left, right } = value;
        this.#value(left, slot);
        if (right.kind === "number") return this.code.add(ALU[operation], right.value);
        if (operation === "<<" || operation === ">>") return this.#shift(operation, right, slot);
        this.#rightToX(right, slot, operation === "/" || operation === "%");
        return this.code.add(ALU[operation] | WITH_X);
      }
    }
  }

  /** The kernel does not shift by more than 31 bits; nothing would be left then. */
  #shift(operation: "<<" | ">>", right: Value, slot: number): void {
    const [nothing, end] = [label(), label()];
    this.#store(slot);
    this.#value(right, slot + 1);
    this.decide(JUMP_GREATER, 31, nothing, undefined);
    this.code.add(MOVE_A_TO_X);
    this.code.add(LD_MEMORY, slot);
    this.code.add(ALU[operation] | WITH_X);
    this.code.jump(JUMP, 0, end);
    this.code.place(nothing);
    this.code.add(LD_IMMEDIATE, 0);
    this.code.place(end);
    this.loseX();
  }

  #load({ size, offset, index }: Value & { kind: "load" }, slot: number): void {
    if (offset > LARGEST_OFFSET) {
      // What comes before may fail first, with the same result.
      return this.code.jump(JUMP, 0, this.fail);
    }
    if (!index) return this.absolute(size, offset);
    if (index.kind === "header length") return this.behindHeader(size, index.offset, offset);
    this.#value(index, slot);
    this.decide(JUMP_GREATER, LARGEST_INDEX, this.fail, undefined);
    this.code.add(MOVE_A_TO_X);
    this.loseX();
    this.indexed(size, offset);
  }
}
