import { test } from "node:test";
import { assert, assertEquals } from "@std/assert";
import { vectorHexWriter, writeHex, writeHexText } from "../../src/format/hex.ts";
import { memory, viewOf } from "../../src/wire/native.ts";

/** Every byte, and every pair of neighbours some time. */
const BYTES = Uint8Array.from({ length: 70_000 }, (_, i) => i ^ (i >>> 8) * 37);
const LENGTHS = [...Array(70).keys(), 255, 256, 257, 258, 511, 1500, 9000, 65_531, 65_535, 65_536, 65_537, 70_000];

const vector = vectorHexWriter();
const WAYS = {
  writeHex: (value: Uint8Array, into: Uint8Array, at: number): void => writeHex(value, into, viewOf(into), at),
  writeHexText,
  vector: vector!,
};

test("this machine has the vector instructions that are tested here", () => {
  assert(vector, "WebAssembly refuses the module");
});

for (const [name, write] of Object.entries(WAYS)) {
  test(`${name} writes two digits a byte, and nothing around them`, () => {
    for (const length of LENGTHS) {
      for (const [start, at] of [[0, 0], [3, 5]] as const) {
        const value = BYTES.subarray(start, start + length);
        const into = memory(at + 2 * value.length + 40);
        into.fill(0x2e);
        write(value, into, at);
        const expected = Array.from(value, (byte) => byte.toString(16).padStart(2, "0")).join("");
        const text = new TextDecoder().decode(into);
        assertEquals(text === `${".".repeat(at)}${expected}${".".repeat(40)}`, true, `${length} bytes to ${at}`);
      }
    }
  });
}
