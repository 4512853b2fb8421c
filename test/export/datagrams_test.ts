import { test } from "node:test";
import { assertEquals } from "@std/assert";
import { Datagrams } from "../../src/export/datagrams.ts";

test("Datagrams lie one behind the other, as many as the block or one call holds", () => {
  const datagrams = new Datagrams(new Uint8Array(100), 3);
  assertEquals([datagrams.used, datagrams.lacks(100), datagrams.lacks(101)], [0, false, true]);
  datagrams.complete(40, 3);
  datagrams.complete(41, 4);
  assertEquals([[...datagrams.ends.subarray(0, 2)], datagrams.used], [[40, 81], 81]);
  assertEquals([...datagrams.samples.subarray(0, 2)], [3, 4]);
  assertEquals([datagrams.lacks(19), datagrams.lacks(20)], [false, true]);
  datagrams.complete(1, 0);
  assertEquals(datagrams.lacks(0), true, "no place for a fourth");
  datagrams.clear();
  assertEquals([datagrams.count, datagrams.used, datagrams.lacks(100)], [0, 0, false]);
});
