import { assertEquals } from "@std/assert";
import { test } from "node:test";
import { SlotTable } from "../../src/estimate/slot_table.ts";

/** All slots with a hash. */
function slotsOf(table: SlotTable, hash: number): number[] {
  const slots: number[] = [];
  for (let slot = table.first(hash); slot >= 0; slot = table.next(slot)) slots.push(slot);
  return slots.sort((a, b) => a - b);
}

test("slots with the same hash, or the same place, are found beside each other and after each removal", () => {
  const table = new SlotTable(8);
  // Places 14, 15, 0 and 1 of 16: their entries run over the end.
  const hashes = [14, 14, 30, 0xffff_ffff, 14, 15, 0, 30];
  hashes.forEach((hash, slot) => table.add(slot, hash));
  const left = new Set(hashes.keys());
  const check = (): void => {
    for (const hash of new Set(hashes)) assertEquals(slotsOf(table, hash), [...left].filter((slot) => hashes[slot] === hash), `${hash}`);
    assertEquals(table.first(46), -1);
  };
  check();
  for (const slot of [0, 3, 4, 7]) {
    table.remove(slot);
    left.delete(slot);
    check();
  }
  table.add(0, 14);
  left.clear();
  for (const slot of [0, 1, 2, 5, 6]) left.add(slot);
  check();
  table.clear();
  left.clear();
  check();
});
