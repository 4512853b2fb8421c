/** The table of flows against a map and a list: whatever is added and removed, and in which order. */
import { test } from "node:test";
import { assertEquals } from "@std/assert";
import { Domain } from "../../../src/export/ipfix/domain.ts";
import { SelectionSequence, Selector } from "../../../src/export/ipfix/announcements.ts";
import { FlowTable, KEY_WORDS } from "../../../src/export/ipfix/flow_table.ts";
import { Outgoing } from "../../../src/export/ipfix/outgoing.ts";
import { Datagrams } from "../../../src/export/datagrams.ts";

const out = new Outgoing(new Datagrams(new Uint8Array(512), 1), () => {}, 512);
const SEQUENCE = new SelectionSequence(new Selector(new Domain(1, out, 1, () => 30_000), 1, 1, 1), 1, 1, false);

for (const capacity of [1, 7, 64]) {
  test(`a table of ${capacity} flows finds each of them, and knows which began first and which was seen last`, () => {
    const table = new FlowTable(capacity);
    /** Keys in the order in which they were seen last, and in which they began, with their slots. */
    const seen: number[] = [];
    const begun: number[] = [];
    const slots = new Map<number, number>();
    let random = 7;
    const next = (below: number): number => {
      random = (Math.imul(random, 1_103_515_245) + 12_345) >>> 0;
      return (random >>> 8) % below;
    };
    const forget = (key: number): void => {
      table.remove(slots.get(key)!);
      slots.delete(key);
      seen.splice(seen.indexOf(key), 1);
      begun.splice(begun.indexOf(key), 1);
    };
    for (let step = 0; step < 20_000; step++) {
      const key = next(2 * capacity);
      // Keys differ in one word, whichever it is.
      table.key.fill(0);
      table.key[key % KEY_WORDS] = key + 1;
      const slot = table.find();
      assertEquals(slot, slots.get(key) ?? -1, `step ${step}`);
      if (slot >= 0) {
        seen.push(...seen.splice(seen.indexOf(key), 1));
        if (next(4) === 0) forget(key);
      } else {
        if (table.isFull) forget(next(2) ? seen[0]! : begun[0]!);
        slots.set(key, table.add(SEQUENCE, step));
        seen.push(key);
        begun.push(key);
      }
      assertEquals(table.size, slots.size);
      assertEquals([table.idlest, table.oldest], [slots.get(seen[0]!) ?? -1, slots.get(begun[0]!) ?? -1]);
    }
    for (const [key, slot] of slots) assertEquals([table.word(slot, key % KEY_WORDS), table.sequences[slot]], [key + 1, SEQUENCE]);
  });
}
