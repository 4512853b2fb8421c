/** Filters of the classifier bpf with a classic BPF program, as iproute2 6.1 prints them. */
import { readBpf } from "../../../src/tc/bpf.ts";
import type { OtherClassifier } from "../../../src/tc/filter.ts";
import { LITTLE, viewOf } from "../../../src/wire/native.ts";
import type { TcOptions } from "../command.ts";
import { flagWords, writeFilterActions } from "./classifier.ts";
import type { DocumentWriter } from "./document.ts";
import { classText, hex } from "./values.ts";

/** An instruction, `struct sock_filter`. */
interface Instruction {
  readonly code: number;
  readonly jt: number;
  readonly jf: number;
  readonly k: number;
}

/** Writes what follows `bpf`; writes nothing and returns `false` for a filter without a classic program. */
export function writeBpf(out: DocumentWriter, { bytes, actions }: OtherClassifier, handle: number, options: TcOptions): boolean {
  const { classId, directAction, flags, program, more } = readBpf(bytes);
  if (!program || more) return false;
  // In JSON it is a string, unlike that of other classifiers.
  if (handle) out.field("handle", `0x${hex(handle)}`, `handle 0x${hex(handle)} `);
  if (classId !== undefined) out.field("flowid", classText(classId), `flowid ${classText(classId)} `);
  if (directAction) out.field("direct-action", true, "direct-action ");
  for (const word of flagWords(flags)) out.field(word, true, `${word} `);
  const instructions = instructionsOf(program);
  out.open("bytecode");
  out.json("length", instructions.length);
  out.text(`bytecode '${programText(instructions)}'`);
  out.openArray("insns");
  for (const instruction of instructions) {
    out.open();
    for (const [name, value] of Object.entries(instruction)) out.json(name, value);
    out.close();
  }
  out.closeArray();
  out.close();
  writeFilterActions(out, actions, options);
  return true;
}

/** A program as tc prints and reads it: the number of instructions, then each as four decimal numbers. */
export function byteCode(program: Uint8Array): string {
  return programText(instructionsOf(program));
}

function programText(instructions: readonly Instruction[]): string {
  return [instructions.length, ...instructions.map(({ code, jt, jf, k }) => `${code} ${jt} ${jf} ${k}`)].join(",");
}

function instructionsOf(program: Uint8Array): Instruction[] {
  const view = viewOf(program);
  return Array.from({ length: Math.floor(program.length / 8) }, (_, i) => ({
    code: view.getUint16(8 * i, LITTLE),
    jt: view.getUint8(8 * i + 2),
    jf: view.getUint8(8 * i + 3),
    k: view.getUint32(8 * i + 4, LITTLE),
  }));
}
