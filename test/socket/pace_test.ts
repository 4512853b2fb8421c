import { test } from "node:test";
import { assertEquals } from "@std/assert";
import { Pace } from "../../src/socket/pace.ts";

/** What a pace says to drains: each so many milliseconds after the one before, with so many datagrams. */
function paces(...drains: readonly (readonly [afterMs: number, taken: number])[]): number[] {
  const pace = new Pace();
  let now = 1000;
  return drains.map(([afterMs, taken]) => pace.after(taken, now += afterMs));
}

function times<T>(count: number, value: T): T[] {
  return Array<T>(count).fill(value);
}

test("datagrams that are far apart are waited for, one by one", () => {
  assertEquals(paces(...times(50, [2, 1] as const)), times(50, 0));
});

test("a single datagram that comes early does not make those that follow wait", () => {
  assertEquals(paces([2, 1], [2, 1], [0.5, 1], [3.5, 1], [2, 1]), times(5, 0));
});

test("two in a row that are near, or a burst, let the next ones gather; two that are far end it", () => {
  assertEquals(paces([2, 1], [1, 1], [1, 1], [1, 1], [3, 1], [1, 1], [3, 1], [3, 1], [3, 1]), [0, 0, 1, 1, 1, 1, 1, 0, 0]);
  assertEquals(paces([500, 10], [1, 10], [9, 10], [20, 1], [20, 1]), [1, 1, 1, 1, 0]);
});

test("few at a time that keep coming gather longer, many do not", () => {
  assertEquals(paces(...times(9, [1, 1] as const), [10, 10], [10, 10], [10, 100], [1, 20]), [0, 0, ...times(7, 1), 10, 10, 1, 1]);
  assertEquals(paces(...times(30, [1, 100] as const)), times(30, 1));
});
