/** Comparing bytes. */
import { test } from "node:test";
import { assert } from "@std/assert";
import { sameBytes } from "../../src/wire/bytes.ts";

test("bytes are the same if there are as many of them, and all are equal", () => {
  const bytes = Uint8Array.of(1, 2, 255);
  assert(sameBytes(bytes, Uint8Array.of(0, 1, 2, 255, 0).subarray(1, 4)));
  assert(sameBytes(new Uint8Array(0), new Uint8Array(0)));
  for (const other of [[1, 2, 254], [0, 2, 255], [1, 2], [1, 2, 255, 0], []]) assert(!sameBytes(bytes, Uint8Array.from(other)), `${other}`);
});
