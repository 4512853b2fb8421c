/** Instructions of classic BPF. Source: include/uapi/linux/bpf_common.h and filter.h. */
import { LITTLE, memory, viewOf } from "../wire/native.ts";

/** A constant into A: BPF_LD | BPF_IMM. */
export const LD_IMMEDIATE = 0x00;
/** Bytes at a constant offset into A: BPF_LD | BPF_ABS. */
export const LD_ABSOLUTE: Readonly<Record<1 | 2 | 4, number>> = { 1: 0x30, 2: 0x28, 4: 0x20 };
/** Bytes at an offset from X into A: BPF_LD | BPF_IND. */
export const LD_INDIRECT: Readonly<Record<1 | 2 | 4, number>> = { 1: 0x50, 2: 0x48, 4: 0x40 };
/** A word of the memory into A: BPF_LD | BPF_MEM. */
export const LD_MEMORY = 0x60;
/** The length of the packet into A: BPF_LD | BPF_LEN. */
export const LD_LENGTH = 0x80;
/** A constant into X: BPF_LDX | BPF_IMM. */
export const LDX_IMMEDIATE = 0x01;
/** A word of the memory into X: BPF_LDX | BPF_MEM. */
export const LDX_MEMORY = 0x61;
/** Four times the low half of a byte into X: BPF_LDX | BPF_B | BPF_MSH. */
export const LDX_HEADER_LENGTH = 0xb1;
/** A into a word of the memory: BPF_ST. */
export const STORE = 0x02;
/** Jumps: BPF_JMP | BPF_JA. */
export const JUMP = 0x05;
/** BPF_JMP | BPF_JEQ | BPF_K. */
export const JUMP_EQUAL = 0x15;
/** BPF_JMP | BPF_JGT | BPF_K. */
export const JUMP_GREATER = 0x25;
/** BPF_JMP | BPF_JGE | BPF_K. */
export const JUMP_GREATER_OR_EQUAL = 0x35;
/** Whether a bit is set: BPF_JMP | BPF_JSET | BPF_K. */
export const JUMP_BITS = 0x45;
/** ORed into a jump or a calculation: the operand is X. */
export const WITH_X = 0x08;
/** BPF_RET | BPF_K. */
export const RETURN = 0x06;
/** BPF_MISC | BPF_TAX. */
export const MOVE_A_TO_X = 0x07;
/** BPF_MISC | BPF_TXA. */
export const MOVE_X_TO_A = 0x87;
/** Calculations with A and a constant: BPF_ALU. */
export const ALU: Readonly<Record<"+" | "-" | "*" | "/" | "%" | "&" | "|" | "^" | "<<" | ">>", number>> = {
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

/** Absolute offsets from here on stand for ancillary data, which Linux knows besides the bytes: `SKF_AD_OFF`. */
export const SKF_AD_OFF = -0x1000;
/** The offset of the netlink attribute of type X from offset A on, 0 if there is none: `SKF_AD_NLATTR`. */
export const SKF_AD_NLATTR: number = SKF_AD_OFF + 12;

/** Maximum number of instructions that the kernel accepts: `BPF_MAXINSNS`. */
export const MOST_INSTRUCTIONS = 4096;
/** Number of memory words that a program has: `BPF_MEMWORDS`. */
export const MEMORY_WORDS = 16;

/** `struct sock_filter`. */
export type Instruction = readonly [code: number, jumpIfTrue: number, jumpIfFalse: number, constant: number];

/** A program as the kernel takes it: 8 bytes per instruction. */
export function encodeProgram(program: readonly Instruction[]): Uint8Array<ArrayBuffer> {
  const bytes = memory(8 * program.length);
  const view = viewOf(bytes);
  for (const [i, [code, yes, no, constant]] of program.entries()) {
    view.setUint16(8 * i, code, LITTLE);
    view.setUint8(8 * i + 2, yes);
    view.setUint8(8 * i + 3, no);
    view.setUint32(8 * i + 4, constant, LITTLE);
  }
  return bytes;
}
