import { readFileSync } from "node:fs";
import { test } from "node:test";
import { assert, assertEquals } from "@std/assert";
import { HexWriter } from "../../src/format/hex.ts";
import { MODULE, vectorHex } from "../../src/format/hex_wasm.ts";
import { Output } from "../../src/format/output.ts";
import { toHex } from "../../src/wire/text.ts";
import { assemble } from "../support/wat.ts";

/** Every byte, and every pair of neighbours at least once. */
const BYTES = Uint8Array.from({ length: 140_000 }, (_, i) => i ^ (i >>> 8) * 37);
const LENGTHS = [...Array(70).keys(), 255, 256, 257, 258, 511, 1500, 9000, 65_531, 65_535, 65_536, 65_537, 140_000];

function checkDigits(write: (output: Output, values: Uint8Array) => void): void {
  for (const length of LENGTHS) {
    for (const [start, at] of [[0, 0], [3, 5]] as const) {
      const values = BYTES.subarray(start, start + length);
      const output = new Output(at + 2 * values.length + 40);
      output.bytes.fill(0x2e);
      output.length = at;
      write(output, values);
      const expected = Array.from(values, (byte) => byte.toString(16).padStart(2, "0")).join("");
      const text = new TextDecoder().decode(output.bytes);
      assertEquals(output.length, at + 2 * values.length);
      // Not assertEquals: a difference in so much text takes minutes to print.
      assert(text === `${".".repeat(at)}${expected}${".".repeat(40)}`, `${length} bytes to ${at}`);
    }
  }
}

test("hex.wat assembles to the module in hex_wasm.ts", () => {
  const text = readFileSync(new URL("../../src/format/hex.wat", import.meta.url), "utf8");
  assertEquals(toHex(MODULE), toHex(Uint8Array.from(assemble(text))));
});

test("vector instructions write two digits for each byte, and nothing around them", () => {
  const write = vectorHex()!;
  assert(write !== undefined, "WebAssembly refuses the module");
  checkDigits(write);
});

test("a HexWriter writes two digits for each byte, and nothing around them", () => {
  const writer = new HexWriter();
  checkDigits((output, values) => writer.write(output, values));
});

test("a HexWriter needs no WebAssembly", () => {
  const { WebAssembly } = globalThis;
  try {
    Object.assign(globalThis, { WebAssembly: undefined });
    assertEquals(vectorHex(), undefined);
    const writer = new HexWriter();
    const output = new Output(16);
    writer.write(output, BYTES.subarray(0, 1500));
    assertEquals(output.takeText(), toHex(BYTES.subarray(0, 1500)));
  } finally {
    Object.assign(globalThis, { WebAssembly });
  }
});

test("a HexWriter makes room", () => {
  const output = new Output(1);
  new HexWriter().write(output, BYTES.subarray(0, 100));
  new HexWriter().write(output, BYTES.subarray(0, 1000));
  assertEquals(output.takeText(), toHex(BYTES.subarray(0, 100)) + toHex(BYTES.subarray(0, 1000)));
});
