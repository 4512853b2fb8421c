/**
 * Bytes as hexadecimal digits, in memory. A JSON line of a whole packet is hardly anything else, so here it is worth
 * the vector instructions that WebAssembly has: they take half of the time of the runtimes' own function, which goes
 * through a string.
 */
import { toHex } from "../wire/text.ts";

const encoder = new TextEncoder();

/** The hexadecimal digits. */
export const DIGITS: Uint8Array = encoder.encode("0123456789abcdef");
/** Both digits of each byte as they stand in memory, the first one in the lower half. */
const PAIRS: Uint16Array = Uint16Array.from({ length: 256 }, (_, byte) => DIGITS[byte >>> 4]! | DIGITS[byte & 15]! << 8);

/** Up to here a loop costs less than calls. */
const SHORT = 256;

// deno-fmt-ignore
/** The module: `hex(from, end, to)` turns 16 bytes at a time into 32 digits. WebAssembly Core Specification, 5: Binary Format. */
const MODULE = Uint8Array.of(
  0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00, // magic, version 1
  0x01, 0x07, 0x01, 0x60, 0x03, 0x7f, 0x7f, 0x7f, 0x00, // a type: three i32, no result
  0x03, 0x02, 0x01, 0x00, // a function of this type
  0x05, 0x03, 0x01, 0x00, 0x03, // a memory of three pages
  0x07, 0x10, 0x02, // two exports:
  0x06, ...encoder.encode("memory"), 0x02, 0x00,
  0x03, ...encoder.encode("hex"), 0x00, 0x00,
  0x0a, 0xa5, 0x01, 0x01, 0xa2, 0x01, 0x01, 0x03, 0x7b, // the function's code, with three v128: 3 bytes, 4 high, 5 low
  0x03, 0x40, // loop
  0x20, 0x00, 0xfd, 0x00, 0x04, 0x00, 0x21, 0x03, // bytes = v128.load(from)
  0xfd, 0x0c, ...DIGITS, 0x20, 0x03, 0x41, 0x04, 0xfd, 0x6d, // i8x16.shr_u(bytes, 4)
  0xfd, 0x0e, 0x21, 0x04, // high = i8x16.swizzle(DIGITS, that)
  0xfd, 0x0c, ...DIGITS, 0x20, 0x03, 0xfd, 0x0c, ...new Uint8Array(16).fill(15), 0xfd, 0x4e, // v128.and(bytes, 15)
  0xfd, 0x0e, 0x21, 0x05, // low = i8x16.swizzle(DIGITS, that)
  0x20, 0x02, 0x20, 0x04, 0x20, 0x05, 0xfd, 0x0d, // i8x16.shuffle(high, low): the first half of each, in turn
  0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23,
  0xfd, 0x0b, 0x04, 0x00, // v128.store(to)
  0x20, 0x02, 0x20, 0x04, 0x20, 0x05, 0xfd, 0x0d, // the second half
  8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31,
  0xfd, 0x0b, 0x04, 0x10, // v128.store(to + 16)
  0x20, 0x02, 0x41, 0x20, 0x6a, 0x21, 0x02, // to += 32
  0x20, 0x00, 0x41, 0x10, 0x6a, 0x22, 0x00, 0x20, 0x01, 0x49, 0x0d, 0x00, // from += 16; again if from < end
  0x0b, 0x0b, // end of the loop, and of the function
);

/** Its memory: a page that is read, and two pages that are written. */
const READ_BYTES = 0x10000;

/** Writes the hexadecimal digits of `value` into `into`, from `at` on. */
export type HexWriter = (value: Uint8Array, into: Uint8Array, at: number) => void;

/** {@linkcode writeHex} with nothing but the runtime's own functions. */
export const writeHexText: HexWriter = (value, into, at) => {
  encoder.encodeInto(toHex(value), into.subarray(at));
};

/** {@linkcode writeHex} with vector instructions; `undefined` where there are none. */
export function vectorHexWriter(): HexWriter | undefined {
  let memory: ArrayBufferLike;
  let run: (from: number, end: number, to: number) => void;
  try {
    const { exports } = new WebAssembly.Instance(new WebAssembly.Module(MODULE));
    memory = (exports["memory"] as WebAssembly.Memory).buffer;
    run = exports["hex"] as typeof run;
  } catch {
    // A processor without them, or a runtime that may not make code.
    return undefined;
  }
  const input = new Uint8Array(memory, 0, READ_BYTES);
  const digits = new Uint8Array(memory, READ_BYTES);
  return (value, into, at) => {
    if (value.length > READ_BYTES) return writeHexText(value, into, at);
    input.set(value);
    run(0, value.length, READ_BYTES);
    into.set(digits.subarray(0, 2 * value.length), at);
  };
}

let writeLong: HexWriter | undefined;

/** Writes the hexadecimal digits of `value` to `view`, which is all of the memory `into`, from `at` on. */
export function writeHex(value: Uint8Array, into: Uint8Array, view: DataView, at: number): void {
  if (value.length > SHORT) {
    writeLong ??= vectorHexWriter() ?? writeHexText;
    return writeLong(value, into, at);
  }
  let i = 0;
  for (; i + 1 < value.length; i += 2, at += 4) view.setUint32(at, PAIRS[value[i]!]! | PAIRS[value[i + 1]!]! << 16, true);
  if (i < value.length) view.setUint16(at, PAIRS[value[i]!]!, true);
}
