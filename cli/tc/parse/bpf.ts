/** The words of bpf, for a classic BPF program in the command itself; files and eBPF are not supported here. */
import type { ClassifierSpec } from "../../../src/tc/filter.ts";
import { LITTLE, memory, viewOf } from "../../../src/wire/native.ts";
import { noWords, takeCommon } from "./classifier.ts";
import { outside, TcRefusal } from "./refusal.ts";
import type { Words } from "./words.ts";

/** `BPF_MAXINSNS`. */
const MOST_INSTRUCTIONS = 4096;

/** Reads what follows `bpf`. */
export function parseBpf(words: Words): ClassifierSpec | undefined {
  if (words.left === 0) return undefined;
  const found = noWords();
  let program: Uint8Array | undefined;
  while (words.left > 0) {
    const word = words.word!;
    if (word === "bytecode") program = readProgram(words.value());
    else if (!takeCommon(words, found)) throw outside(`bpf ${word}`);
  }
  if (!program) throw outside("bpf without bytecode");
  return { kind: "bpf", program, ...found };
}

/**
 * A program as tc reads it: the number of instructions, then each as four decimal numbers (`bpf_ops_parse` in iproute2's lib/bpf_legacy.c).
 */
function readProgram(text: string): Uint8Array {
  const [count = "", ...instructions] = text.split(",");
  const length = /^\d+$/.test(count) ? Number(count) : 0;
  if (length < 1 || length > MOST_INSTRUCTIONS) throw new TcRefusal("Error: error in parse bytecode len", 1);
  if (instructions.at(-1) === "") instructions.pop();
  if (instructions.length > length) throw new TcRefusal("Error: real program length exceeds encoded length parameter!", 1);
  if (instructions.length < length) throw new TcRefusal("Error: parsed program length is less than encoded length parameter!", 1);
  const program = memory(8 * length);
  const view = viewOf(program);
  for (const [i, instruction] of instructions.entries()) {
    const [, code, jt, jf, k] = /^\s*(\d+) +(\d+) +(\d+) +(\d+)$/.exec(instruction) ?? [];
    if (k === undefined || Number(code) > 0xffff || Number(jt) > 0xff || Number(jf) > 0xff || Number(k) > 0xffffffff) {
      throw new TcRefusal(`Error at instruction ${i}!`, 1);
    }
    view.setUint16(8 * i, Number(code), LITTLE);
    view.setUint8(8 * i + 2, Number(jt));
    view.setUint8(8 * i + 3, Number(jf));
    view.setUint32(8 * i + 4, Number(k), LITTLE);
  }
  return program;
}
