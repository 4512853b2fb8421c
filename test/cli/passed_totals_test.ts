import { test } from "node:test";
import { assertEquals } from "@std/assert";
import { PassedTotals } from "../../cli/passed_totals.ts";

test("of samplers that are gone only the sum is kept, however many there are", () => {
  const totals = new PassedTotals<object>();
  const stays = {};
  totals.count(stays, { trials: 5n, packets: 4n });
  for (let i = 0; i < 1000; i++) {
    const comes = {};
    totals.count(comes, { trials: 1n, packets: undefined });
    totals.count(comes, { trials: 3n, packets: 2n });
    // The kernel says nothing about a device that is gone.
    totals.count(comes);
    assertEquals(totals.size, 2);
    totals.end(comes);
    // A reading that was on its way.
    totals.count(comes, { trials: 3n, packets: 2n });
    totals.end(comes);
  }
  assertEquals(totals.size, 1);
  assertEquals(totals.total([stays]), { trials: 3005n, packets: 2004n });
});

test("of decisions nothing is known unless all samplers count them, also those that are gone", () => {
  const totals = new PassedTotals<object>();
  const [one, other] = [{}, {}];
  assertEquals(totals.total([]), { trials: undefined, packets: undefined });
  totals.count(one, { trials: 3n, packets: 2n });
  assertEquals(totals.total([one, other]), { trials: undefined, packets: 2n });
  totals.end(other);
  assertEquals(totals.total([one]), { trials: undefined, packets: 2n });
});
