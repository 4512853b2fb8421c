/**
 * Classic BPF that reads the attributes of a netlink message, which the kernel finds for it (`bpf_skb_get_nlattr` in net/core/filter.c).
 */
import { ATTRIBUTES } from "../psample/layout.ts";
import { htons, LITTLE } from "../wire/native.ts";
import { type Label, label } from "./assembler.ts";
import {
  ALU,
  JUMP,
  JUMP_EQUAL,
  JUMP_GREATER,
  JUMP_GREATER_OR_EQUAL,
  LD_ABSOLUTE,
  LD_IMMEDIATE,
  LD_INDIRECT,
  LD_MEMORY,
  LDX_IMMEDIATE,
  LDX_MEMORY,
  MOVE_A_TO_X,
  SKF_AD_NLATTR,
  STORE,
  WITH_X,
} from "./instructions.ts";
import type { Run } from "./known_devices.ts";
import { TestCode } from "./test_code.ts";

/** `struct nlattr`. */
export const NLA_HDRLEN = 4;

/** Words of memory in which bytes are swapped; those before them are free for what is calculated. */
const SCRATCH = [10, 11] as const;
export const FREE_WORDS: number = SCRATCH[0];

/** Writes code about attributes. */
export abstract class AttributeCode extends TestCode {
  /** Where the program continues with a message that passes, including one that is let through in doubt. */
  protected readonly accept: Label = label();

  /** Jumps to the label of the run that the number in A is in: binary search. */
  protected search<Common>(runs: readonly Run<Common>[], to: (run: Run<Common>) => Label, otherwise: Label): void {
    const { code } = this;
    if (runs.length === 0) return code.jump(JUMP, 0, otherwise);
    const middle = runs.length >> 1;
    const run = runs[middle]!;
    const below = label();
    this.decide(JUMP_GREATER_OR_EQUAL, run.from, undefined, below);
    this.decide(JUMP_GREATER, run.to, undefined, to(run));
    this.search(runs.slice(middle + 1), to, otherwise);
    code.place(below);
    this.search(runs.slice(0, middle), to, otherwise);
  }

  /** Loads the offset of an attribute into X and A. */
  protected find(type: number, absent: Label): void {
    const { code } = this;
    code.add(LDX_IMMEDIATE, type);
    code.add(LD_IMMEDIATE, ATTRIBUTES);
    this.go(LD_ABSOLUTE[4], SKF_AD_NLATTR, JUMP_EQUAL, 0, absent, undefined);
    code.add(MOVE_A_TO_X);
  }

  /** Checks that the attribute at X has this many bytes; if not, the message passes, because this program cannot judge it. */
  protected expect(type: number, bytes: number): void {
    this.go(LD_INDIRECT[4], 0, JUMP_EQUAL, header(type, bytes), undefined, this.accept);
  }

  /** Loads the 16-bit number at X + `offset` into A. */
  protected u16(offset: number): void {
    const { code } = this;
    if (!LITTLE) return code.add(LD_INDIRECT[2], offset);
    code.add(LD_INDIRECT[1], offset + 1);
    code.add(ALU["<<"], 8);
    code.add(STORE, SCRATCH[0]);
    code.add(LD_INDIRECT[1], offset);
    code.add(LDX_MEMORY, SCRATCH[0]);
    code.add(ALU["|"] | WITH_X);
  }

  /** Loads the 32-bit number at X + `offset` into A. */
  protected u32(offset: number): void {
    const { code } = this;
    code.add(LD_INDIRECT[4], offset);
    if (!LITTLE) return;
    const [whole, done] = SCRATCH;
    code.add(STORE, whole);
    code.add(ALU[">>"], 24);
    code.add(STORE, done);
    const shifts: readonly (readonly [by: number, shift: "<<" | ">>", mask: number])[] = [
      [8, ">>", 0xff00],
      [8, "<<", 0xff0000],
      [24, "<<", 0xff000000],
    ];
    for (const [by, shift, mask] of shifts) {
      code.add(LD_MEMORY, whole);
      code.add(ALU[shift], by);
      code.add(ALU["&"], mask);
      code.add(LDX_MEMORY, done);
      code.add(ALU["|"] | WITH_X);
      if (by !== 24) code.add(STORE, done);
    }
  }

  /** Loads something into A and jumps by it, as {@linkcode TestCode.decide} does. */
  protected go(load: number, from: number, jump: number, constant: number, yes: Label | undefined, no: Label | undefined): void {
    this.code.add(load, from);
    this.decide(jump, constant, yes, no);
  }
}

/** The header of an attribute as a load reads it. */
export function header(type: number, bytes: number): number {
  const [size, kind] = [htons(NLA_HDRLEN + bytes), htons(type)];
  return (size * 0x10000 + kind) >>> 0;
}
