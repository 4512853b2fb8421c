/** Instructions of classic BPF. Source: include/uapi/linux/bpf_common.h and filter.h. */
import { LITTLE, memory, viewOf } from "../wire/native.ts";

/** A constant into A: BPF_LD | BPF_IMM. */
export const LD_IMMEDIATE = 0x00;
/** Bytes at a constant offset into A: BPF_LD | BPF_ABS. */
export const LD_ABSOLUTE: Readonly<Record<1 | 2 | 4, number>> = { 1: 0x30, 2: 0x28, 4: 0x20 };
/** Bytes at an offset from X into A: BPF_LD | BPF_IND. */
export const LD_INDIRECT: Readonly<Record<1 | 2 | 4, number>> = { 1: 0x50, 2: 0x48, 4: 0x40 };
/** BPF_JMP | BPF_JEQ | BPF_K. */
export const JUMP_EQUAL = 0x15;
/** BPF_RET | BPF_K. */
export const RETURN = 0x06;
/** BPF_MISC | BPF_TAX. */
export const MOVE_A_TO_X = 0x07;

/** `struct sock_filter`. */
export type Instruction = readonly [code: number, jumpIfTrue: number, jumpIfFalse: number, constant: number];

/** A program as the kernel takes it: 8 bytes an instruction. */
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
