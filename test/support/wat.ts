/**
 * The part of an assembler for WebAssembly's text format that the modules of this package need: one memory and one function, instructions
 * without parentheses. WebAssembly Core Specification 2.0, sections 5 (binary format) and 6 (text format).
 */
import { ArgumentError } from "../../src/errors.ts";

/** What follows an instruction: the index of a local, a label, a number, a memory argument, bytes. */
type Immediate = "local" | "label" | "i32" | "memory" | "const" | "lanes";

/** Section 5.4: the opcodes. Those of vectors have the prefix 0xfd. */
const INSTRUCTIONS: Record<string, readonly [opcode: readonly number[], immediate?: Immediate]> = {
  "local.get": [[0x20], "local"],
  "local.set": [[0x21], "local"],
  "local.tee": [[0x22], "local"],
  "br_if": [[0x0d], "label"],
  "i32.const": [[0x41], "i32"],
  "i32.add": [[0x6a]],
  "i32.lt_u": [[0x49]],
  "v128.load": [[0xfd, 0x00], "memory"],
  "v128.store": [[0xfd, 0x0b], "memory"],
  "v128.const": [[0xfd, 0x0c], "const"],
  "v128.and": [[0xfd, 0x4e]],
  "i8x16.shuffle": [[0xfd, 0x0d], "lanes"],
  "i8x16.swizzle": [[0xfd, 0x0e]],
  "i8x16.shr_u": [[0xfd, 0x6d]],
};
const TYPES: Record<string, number> = { i32: 0x7f, v128: 0x7b };
const [LOOP, EMPTY_TYPE, END] = [0x03, 0x40, 0x0b];

/** Assembles a module. */
export function assemble(text: string): number[] {
  const source = text.replace(/;;.*$/gm, "");
  const [, memoryName, pages] = part(source, /\(memory \(export "(\w+)"\) (\d+)\)/);
  const [head, functionName] = part(source, /\(func \(export "(\w+)"\)/);
  const body = source.slice(source.indexOf(head!) + head!.length);
  const params = [...body.matchAll(/\(param (\$\w+) (\w+)\)/g)];
  const locals = [...body.matchAll(/\(local (\$\w+) (\w+)\)/g)];
  const names = [...params, ...locals].map(([, name]) => name!);
  const words = body.replace(/\((param|local) [^)]*\)/g, "").replace(/\)\s*\)\s*$/, "").trim().split(/\s+/);

  const code = [
    ...vector(runs(locals.map(([, , type]) => TYPES[type!]!))),
    ...instructions(words, names),
    END,
  ];
  return [
    ...[0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00],
    ...section(1, [[0x60, ...vector(params.map(([, , type]) => [TYPES[type!]!])), ...vector([])]]),
    ...section(3, [[0]]),
    ...section(5, [[0x00, ...unsigned(Number(pages))]]),
    ...section(7, [[...name(memoryName!), 0x02, 0], [...name(functionName!), 0x00, 0]]),
    ...section(10, [[...unsigned(code.length), ...code]]),
  ];
}

function instructions(words: readonly string[], locals: readonly string[]): number[] {
  const code: number[] = [];
  const labels: string[] = [];
  for (let at = 0; at < words.length;) {
    const word = words[at++]!;
    if (word === "loop") {
      labels.unshift(words[at++]!);
      code.push(LOOP, EMPTY_TYPE);
      continue;
    }
    if (word === "end") {
      labels.shift();
      code.push(END);
      continue;
    }
    const [opcode, immediate] = INSTRUCTIONS[word] ?? fail(`unknown instruction ${word}`);
    code.push(...opcode);
    if (immediate === "local") code.push(indexIn(locals, words[at++]!));
    else if (immediate === "label") code.push(indexIn(labels, words[at++]!));
    else if (immediate === "i32") code.push(...signed(Number(words[at++])));
    else if (immediate === "memory") {
      const offset = /^offset=(\d+)$/.exec(words[at] ?? "");
      if (offset) at++;
      // The alignment is the natural one, 2 to the power of 4.
      code.push(4, ...unsigned(Number(offset?.[1] ?? 0)));
    } else if (immediate) {
      if (immediate === "const" && words[at++] !== "i8x16") fail("expected i8x16");
      const bytes = words.slice(at, at += 16).map(Number);
      if (bytes.some((byte) => !(byte >= 0 && byte < 256))) fail(`expected 16 bytes, found ${bytes.join(" ")}`);
      code.push(...bytes);
    }
  }
  if (labels.length > 0) fail("a loop without an end");
  return code;
}

function part(source: string, pattern: RegExp): RegExpExecArray {
  return pattern.exec(source) ?? fail(`expected ${pattern}`);
}

function indexIn(names: readonly string[], name: string): number {
  const index = names.indexOf(name);
  return index < 0 ? fail(`unknown name ${name}`) : index;
}

function section(id: number, entries: readonly (readonly number[])[]): number[] {
  const bytes = vector(entries);
  return [id, ...unsigned(bytes.length), ...bytes];
}

function vector(entries: readonly (readonly number[])[]): number[] {
  return [...unsigned(entries.length), ...entries.flat()];
}

/** Runs of equal numbers, as count and number. */
function runs(values: readonly number[]): number[][] {
  const found: [number, number][] = [];
  for (const value of values) {
    const last = found.at(-1);
    if (last?.[1] === value) last[0]++;
    else found.push([1, value]);
  }
  return found;
}

function name(text: string): number[] {
  return vector([...new TextEncoder().encode(text)].map((byte) => [byte]));
}

/** Unsigned LEB128. */
function unsigned(value: number): number[] {
  return value < 0x80 ? [value] : [value & 0x7f | 0x80, ...unsigned(value >>> 7)];
}

/** Signed LEB128. */
function signed(value: number): number[] {
  return value >= -0x40 && value < 0x40 ? [value & 0x7f] : [value & 0x7f | 0x80, ...signed(value >> 7)];
}

function fail(what: string): never {
  throw new ArgumentError(`Cannot assemble: ${what}`);
}
