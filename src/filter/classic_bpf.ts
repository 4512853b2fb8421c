/**
 * Filters as programs of classic BPF, for what takes packets: a packet socket, tc's `bpf` classifier, a tap.
 * Source: Documentation/networking/filter.rst, include/uapi/linux/bpf_common.h and filter.h.
 */
import type { FirstHeader } from "../packet/packet_view.ts";
import type { Comparison, Operation, Test, Value } from "./condition.ts";
import { FilterError } from "./filter_error.ts";
import {
  encodeProgram,
  type Instruction,
  JUMP_EQUAL,
  LD_ABSOLUTE,
  LD_IMMEDIATE,
  LD_INDIRECT,
  MOVE_A_TO_X,
  RETURN,
} from "./instructions.ts";
import { parseFilter } from "./language/parse.ts";
import { lower } from "./lower.ts";
import { refuseSampleTests } from "./stage.ts";

const LD_MEMORY = 0x60;
const LD_LENGTH = 0x80;
/** X = 4 * (byte & 0xf). */
const LDX_HEADER_LENGTH = 0xb1;
const STORE = 0x02;
const JUMP = 0x05;
/** Or this: the operand is X. */
const WITH_X = 0x08;
const ALU: Readonly<Record<Operation, number>> = {
  "+": 0x04,
  "-": 0x14,
  "*": 0x24,
  "/": 0x34,
  "|": 0x44,
  "&": 0x54,
  "<<": 0x64,
  ">>": 0x74,
  "%": 0x94,
  "^": 0xa4,
};
/** The jump that decides a comparison, and whether it is taken where the comparison does not hold. */
const JUMPS: Readonly<Record<Comparison, readonly [code: number, swapped: boolean]>> = {
  "=": [JUMP_EQUAL, false],
  "!=": [JUMP_EQUAL, true],
  ">": [0x25, false],
  "<=": [0x25, true],
  ">=": [0x35, false],
  "<": [0x35, true],
  "&": [0x45, false],
};
const JUMP_GREATER = 0x25;

/** `BPF_MAXINSNS`. */
const MOST_INSTRUCTIONS = 4096;
/** `BPF_MEMWORDS`. */
const MEMORY_WORDS = 16;
/** A jump that decides something goes no further. */
const FARTHEST = 255;
/** No packet has so many bytes. Behind this the kernel takes an offset for one of what it knows about the packet. */
const LARGEST_OFFSET = 0x7fffffff;
const LARGEST_INDEX = 0xffff;
const WHOLE = 0xffffffff;

/** Where a jump goes: always forward. */
interface Label {
  /** The instruction, counted without what long jumps add. */
  at: number;
}

/** An instruction whose jumps are not distances yet. */
interface Step {
  readonly code: number;
  readonly constant: number;
  /** Of a jump. */
  readonly yes?: Label;
  /** Of a jump that decides something. */
  readonly no?: Label;
}

/**
 * Compiles an expression of pcap-filter(7) to a program of classic BPF (`struct sock_filter`, 8 bytes an instruction) for packets that
 * begin with `first`. It returns `keepBytes`, by default the whole packet, for one that matches, and 0 for all others.
 *
 * A packet of which the kernel keeps the VLAN tag beside the bytes has no tag here.
 *
 * @throws {FilterError} if the expression is none, asks for something that only samples have, or is too long for the kernel.
 */
export function compileBpf(expression: string, first: FirstHeader, keepBytes: number = WHOLE): Uint8Array<ArrayBuffer> {
  const tree = parseFilter(expression);
  if (tree) refuseSampleTests(expression, tree);
  const test: Test = tree ? lower(expression, tree, first) : { kind: "constant", value: true };
  const refuse = (why: string): FilterError => new FilterError(expression, { start: 0, end: expression.length }, why);
  return new Compiler(refuse).compile(test, keepBytes);
}

class Compiler {
  readonly #refuse: (why: string) => FilterError;
  readonly #instructions: Step[] = [];
  readonly #reject: Label = { at: -1 };

  constructor(refuse: (why: string) => FilterError) {
    this.#refuse = refuse;
  }

  compile(test: Test, keepBytes: number): Uint8Array<ArrayBuffer> {
    const accept: Label = { at: -1 };
    this.#test(test, accept, this.#reject);
    this.#place(accept);
    this.#add(RETURN, keepBytes);
    this.#place(this.#reject);
    this.#add(RETURN, 0);
    return this.#assembled();
  }

  #add(code: number, constant = 0): void {
    this.#instructions.push({ code, constant });
  }

  #jump(code: number, constant: number, yes: Label, no?: Label): void {
    this.#instructions.push(no ? { code, constant, yes, no } : { code, constant, yes });
  }

  #place(label: Label): void {
    label.at = this.#instructions.length;
  }

  #test(test: Test, yes: Label, no: Label): void {
    switch (test.kind) {
      case "constant":
        return this.#jump(JUMP, 0, test.value ? yes : no);
      case "not":
        return this.#test(test.term, no, yes);
      case "and":
      case "or":
        for (const [i, term] of test.terms.entries()) {
          if (i === test.terms.length - 1) return this.#test(term, yes, no);
          const next: Label = { at: -1 };
          if (test.kind === "and") this.#test(term, next, no);
          else this.#test(term, yes, next);
          this.#place(next);
        }
        return;
      case "compare": {
        const [code, swapped] = JUMPS[test.comparison];
        const { left, right } = test;
        this.#value(left, 0);
        if (right.kind !== "number") this.#rightToX(right, 0);
        const constant = right.kind === "number" ? right.value : 0;
        return this.#jump(right.kind === "number" ? code : code | WITH_X, constant, swapped ? no : yes, swapped ? yes : no);
      }
      case "sample":
        throw new Error("samples were refused before");
    }
  }

  /** With the left value in A, gets the right one into X and keeps A. */
  #rightToX(right: Value, slot: number): void {
    this.#store(slot);
    this.#value(right, slot + 1);
    this.#add(MOVE_A_TO_X);
    this.#add(LD_MEMORY, slot);
  }

  #store(slot: number): void {
    if (slot >= MEMORY_WORDS) throw this.#refuse("there are too many brackets in an arithmetic expression for the kernel");
    this.#add(STORE, slot);
  }

  /** Gets a value into A. What is in the memory below `slot` stays. */
  #value(value: Value, slot: number): void {
    switch (value.kind) {
      case "number":
        return this.#add(LD_IMMEDIATE, value.value);
      case "length":
        return this.#add(LD_LENGTH);
      case "header length":
        this.#add(LD_ABSOLUTE[1], value.offset);
        this.#add(ALU["&"], 0xf);
        return this.#add(ALU["<<"], 2);
      case "load":
        return this.#load(value, slot);
      case "calculation": {
        const { operation, left, right } = value;
        this.#value(left, slot);
        if (right.kind === "number") return this.#add(ALU[operation], right.value);
        if (operation === "<<" || operation === ">>") return this.#shift(operation, right, slot);
        this.#rightToX(right, slot);
        return this.#add(ALU[operation] | WITH_X);
      }
    }
  }

  /** By more than 31 bits the kernel does not shift; nothing is left then. */
  #shift(operation: "<<" | ">>", right: Value, slot: number): void {
    const nothing: Label = { at: -1 };
    const something: Label = { at: -1 };
    const end: Label = { at: -1 };
    this.#store(slot);
    this.#value(right, slot + 1);
    this.#jump(JUMP_GREATER, 31, nothing, something);
    this.#place(something);
    this.#add(MOVE_A_TO_X);
    this.#add(LD_MEMORY, slot);
    this.#add(ALU[operation] | WITH_X);
    this.#jump(JUMP, 0, end);
    this.#place(nothing);
    this.#add(LD_IMMEDIATE, 0);
    this.#place(end);
  }

  #load({ size, offset, index }: Value & { kind: "load" }, slot: number): void {
    if (index?.kind === "header length") {
      this.#add(LDX_HEADER_LENGTH, index.offset);
    } else if (index) {
      const next: Label = { at: -1 };
      this.#value(index, slot);
      this.#jump(JUMP_GREATER, LARGEST_INDEX, this.#reject, next);
      this.#place(next);
      this.#add(MOVE_A_TO_X);
    }
    if (offset > LARGEST_OFFSET) this.#jump(JUMP, 0, this.#reject);
    else this.#add(index ? LD_INDIRECT[size] : LD_ABSOLUTE[size], offset);
  }

  /** The program with its jumps as distances; those that are too long for 8 bits get jumps without a condition, of 32 bits, behind them. */
  #assembled(): Uint8Array<ArrayBuffer> {
    const instructions = this.#instructions;
    const long = new Set<Step>();
    let starts: number[];
    for (let changed = true; changed;) {
      changed = false;
      let at = 0;
      starts = instructions.map((instruction) => (at += long.has(instruction) ? 3 : 1) - (long.has(instruction) ? 3 : 1));
      for (const [i, instruction] of instructions.entries()) {
        const { yes, no } = instruction;
        if (!yes || !no || long.has(instruction)) continue;
        if (Math.max(starts[yes.at]!, starts[no.at]!) - starts[i]! - 1 <= FARTHEST) continue;
        long.add(instruction);
        changed = true;
      }
    }
    const words = instructions.flatMap((instruction, i): Instruction[] => {
      const { code, constant, yes, no } = instruction;
      const distance = (label: Label, from: number): number => starts[label.at]! - starts[i]! - from - 1;
      if (!yes) return [[code, 0, 0, constant]];
      if (!no) return [[code, 0, 0, distance(yes, 0)]];
      if (!long.has(instruction)) return [[code, distance(yes, 0), distance(no, 0), constant]];
      return [[code, 0, 1, constant], [JUMP, 0, 0, distance(yes, 1)], [JUMP, 0, 0, distance(no, 2)]];
    });
    if (words.length > MOST_INSTRUCTIONS) {
      throw this.#refuse(`this takes ${words.length} instructions, and the kernel takes ${MOST_INSTRUCTIONS}`);
    }
    return encodeProgram(words);
  }
}
