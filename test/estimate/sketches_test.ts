import { test } from "node:test";
import { assert, assertAlmostEquals, assertEquals } from "@std/assert";
import { DistinctCounters } from "../../src/estimate/distinct.ts";
import { LogHistogram } from "../../src/estimate/histogram.ts";
import { TopKeys } from "../../src/estimate/top_keys.ts";
import { random } from "./random.ts";

const encoder = new TextEncoder();
const key = (text: string): Uint8Array => encoder.encode(text);
const text = (bytes: Uint8Array): string => new TextDecoder().decode(bytes);

function add(keys: TopKeys, name: string, weight: number): number {
  const bytes = key(name);
  return keys.add(bytes, bytes.length, weight);
}

test("up to its capacity every sum is exact", () => {
  const keys = new TopKeys(3, 8);
  add(keys, "a", 1);
  add(keys, "b", 5);
  add(keys, "a", 2);
  add(keys, "", 4);
  assertEquals(keys.ranked().map((slot) => [text(keys.key(slot)), keys.sum(slot), keys.error(slot)]), [["b", 5, 0], ["", 4, 0], [
    "a",
    3,
    0,
  ]]);
  assertEquals([keys.isExact, keys.bound, keys.size], [true, 0, 3]);
});

test("a new key replaces the smallest, and takes over its sum as its error", () => {
  const keys = new TopKeys(2, 8);
  add(keys, "a", 10);
  const slot = add(keys, "b", 3);
  assertEquals(add(keys, "c", 1), slot);
  assertEquals([keys.isNew, keys.sum(slot), keys.error(slot), text(keys.key(slot))], [true, 4, 3, "c"]);
  add(keys, "c", 1);
  assertEquals([keys.isNew, keys.isExact, keys.bound], [false, false, 5]);
});

test("sums and errors enclose the exact sums, for any input", () => {
  const next = random(1);
  for (const [capacity, different] of [[10, 5], [10, 11], [64, 5000], [100, 100]] as const) {
    const keys = new TopKeys(capacity, 16);
    const truth = new Map<string, number>();
    let total = 0;
    for (let i = 0; i < 20_000; i++) {
      // Few keys are frequent, many rare.
      const name = `key ${Math.floor(different * next() ** 3)}`;
      const weight = 1 + Math.floor(next() * 1000);
      truth.set(name, (truth.get(name) ?? 0) + weight);
      total += weight;
      add(keys, name, weight);
    }
    const kept = new Set<string>();
    for (const slot of keys.ranked()) {
      const name = text(keys.key(slot));
      kept.add(name);
      const exact = truth.get(name)!;
      assert(keys.sum(slot) >= exact && keys.sum(slot) - keys.error(slot) <= exact, name);
    }
    assertEquals(kept.size, Math.min(capacity, truth.size));
    for (const [name, exact] of truth) assert(kept.has(name) || exact <= keys.bound, name);
    assert(keys.bound <= total / capacity);
    assertEquals(keys.isExact, truth.size <= capacity);
  }
});

test("sums decay together, and everything can be forgotten", () => {
  const keys = new TopKeys(4, 8);
  add(keys, "a", 8);
  add(keys, "b", 4);
  keys.scale(0.5);
  assertEquals(keys.ranked().map((slot) => keys.sum(slot)), [4, 2]);
  keys.clear();
  assertEquals([keys.size, keys.ranked()], [0, []]);
  assertEquals(keys.sum(add(keys, "b", 1)), 1);
});

test("distinct values are counted within the error of their counter, each counter separately", () => {
  const counters = new DistinctCounters(3);
  for (let i = 0; i < 100_000; i++) {
    const value = key(`value ${i}`);
    counters.add(1, value, value.length);
    counters.add(1, value, value.length);
    if (i < 100) counters.add(2, value, value.length);
  }
  assertEquals(counters.count(0), 0);
  assertAlmostEquals(counters.count(1) / 100_000, 1, 0.1);
  assertAlmostEquals(counters.count(2), 100, 5);
  counters.clear(1);
  assertEquals(Math.round(counters.count(1)), 0);
  assertAlmostEquals(counters.count(2), 100, 5);
});

test("quantiles are right within 1 % over many orders of magnitude", () => {
  const histogram = new LogHistogram();
  assertEquals(histogram.quantile(0.5), undefined);
  for (let i = 1; i <= 100_000; i++) histogram.add(i * 1e6);
  for (const p of [0.01, 0.5, 0.95, 0.99]) assertAlmostEquals(histogram.quantile(p)! / (p * 1e11), 1, 0.011);
  assertEquals([histogram.quantile(1), histogram.least, histogram.most, histogram.total], [1e11, 1e6, 1e11, 100_000]);
  assertAlmostEquals(histogram.upTo([5e10])[0]!, 50_000, 1000);
  histogram.clear();
  histogram.add(0, 3);
  histogram.add(2 ** 64);
  assertEquals([histogram.quantile(0.5), histogram.quantile(1)], [0, 2 ** 64]);
});

test("forgotten keys make room, and sums and errors still enclose the truth: against exact sums", () => {
  const next = random(3);
  for (const [capacity, different] of [[10, 8], [10, 40], [64, 3000]] as const) {
    const keys = new TopKeys(capacity, 16);
    const truth = new Map<string, number>();
    for (let i = 0; i < 20_000; i++) {
      if (i % 7 === 0 && keys.size > 0) {
        const ranked = keys.ranked();
        const slot = ranked[Math.floor(next() * ranked.length)]!;
        truth.delete(text(keys.key(slot)));
        keys.forget(slot);
        assertEquals(keys.size, ranked.length - 1);
      }
      const name = `key ${Math.floor(different * next() ** 3)}`;
      const weight = 1 + Math.floor(next() * 1000);
      truth.set(name, (truth.get(name) ?? 0) + weight);
      add(keys, name, weight);
    }
    const ranked = keys.ranked();
    assertEquals(new Set(ranked.map((slot) => text(keys.key(slot)))).size, keys.size);
    for (const slot of ranked) {
      const exact = truth.get(text(keys.key(slot)))!;
      assert(keys.sum(slot) >= exact && keys.sum(slot) - keys.error(slot) <= exact, text(keys.key(slot)));
      truth.delete(text(keys.key(slot)));
    }
    for (const [name, sum] of truth) assert(sum <= keys.bound, name);
  }
});
