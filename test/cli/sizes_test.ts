import { test } from "node:test";
import { assertEquals, assertThrows } from "@std/assert";
import { LISTEN_OPTIONS } from "../../cli/commands/listening.ts";
import { bytesOf, parse } from "../../cli/options.ts";

test("sizes are decimal, with or without a unit", () => {
  const rows = { "1b": 1, "4kB": 4000, "1.5MB": 1_500_000, "2gb": 2_000_000_000, "10M": undefined, "10": undefined, "": undefined };
  for (const [text, bytes] of Object.entries(rows)) assertEquals(bytesOf(text), bytes, text);
});

test("the receive buffer is given as other sizes are", () => {
  const buffer = (text: string): unknown => parse(["--buffer", text], LISTEN_OPTIONS).options.buffer;
  assertEquals(["4096", "0x1000", "10MB", "64kb"].map(buffer), [4096, 4096, 10_000_000, 64_000]);
  for (const text of ["10M", "0", "0.5b", "2GB", "x"]) assertThrows(() => buffer(text), Error, "or a size such as 4MB");
});
