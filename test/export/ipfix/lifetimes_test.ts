import { test } from "node:test";
import { assert, assertEquals } from "@std/assert";
import { Lifetimes } from "../../../src/export/ipfix/lifetimes.ts";
import { random } from "../../estimate/random.ts";

const MOST_MS = 10_000;

test("no flow is active for longer than it may, and none that began later is due earlier", () => {
  for (let seed = 1; seed <= 50; seed++) {
    const chance = random(seed);
    const lifetimes = new Lifetimes(MOST_MS, chance);
    let dueMs = 0;
    let begunMs = 0;
    for (let i = 0; i < 500; i++) {
      const lifetime = lifetimes.of(begunMs);
      assert(lifetime > 0 && lifetime <= MOST_MS, `${seed}: ${lifetime}`);
      assert(begunMs + lifetime >= dueMs, `${seed}: due at ${begunMs + lifetime}, after ${dueMs}`);
      dueMs = begunMs + lifetime;
      // Now and then there is a pause.
      begunMs += chance() * (i % 100 === 99 ? 100_000 : 500);
    }
  }
});

test("flows that are there at the start, or begin after a pause, are reported after any part of the time, all others after most of it", () => {
  const first: number[] = [];
  const later: number[] = [];
  for (let seed = 1; seed <= 200; seed++) {
    const lifetimes = new Lifetimes(MOST_MS, random(seed));
    for (const startMs of [0, 1e6]) {
      first.push(lifetimes.of(startMs));
      later.push(lifetimes.of(startMs + MOST_MS));
    }
  }
  assertEquals(new Set(first.map((ms) => Math.floor(ms / 1000))).size, 10);
  assert(Math.min(...later) >= 0.75 * MOST_MS, `${Math.min(...later)}`);
  assert(new Set(later).size === later.length);
});

test("without chance every lifetime is exact, also when times go back", () => {
  const lifetimes = new Lifetimes(MOST_MS, () => 1);
  const begun = [0, 5, 9_999, 10_000, 9_000, 35_000, 1e9, 3];
  assertEquals(begun.map((ms) => lifetimes.of(ms)), begun.map(() => MOST_MS));
});
