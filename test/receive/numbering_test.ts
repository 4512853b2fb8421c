/** What sequence numbers reveal. In the property tests the fate of each sample is known: nothing untrue may be reported. */
import { test } from "node:test";
import { assert, assertEquals } from "@std/assert";
import { Numbering } from "../../src/receive/numbering.ts";

/** Enters a number as the ledger does. */
function enter(numbering: Numbering, sequence: number): void {
  if (sequence === numbering.expected) numbering.expected = (sequence + 1) >>> 0;
  else numbering.enter(sequence);
}

interface Told {
  lost: number;
  late: number;
  duplicates: number;
  restarts: number;
  contradictory: boolean;
}

function told(numbering: Numbering): Told {
  const { lost, late, duplicates, restarts, contradictory } = numbering;
  return { lost, late, duplicates, restarts, contradictory };
}

/** What these numbers reveal, in this order. */
function after(...sequences: readonly number[]): Told {
  const numbering = new Numbering();
  for (const sequence of sequences) enter(numbering, sequence);
  return told(numbering);
}

function upFrom(first: number, count: number): number[] {
  return Array.from({ length: count }, (_, i) => (first + i) >>> 0);
}

const NOTHING: Told = { lost: 0, late: 0, duplicates: 0, restarts: 0, contradictory: false };

test("numbers in order show no loss, wherever they begin", () => {
  for (const first of [0, 1000, 4294967290]) assertEquals(after(...upFrom(first, 20)), NOTHING);
});

test("gaps show how many are missing, also across the wrap at 2^32", () => {
  assertEquals(after(0, 1, 4, 5, 10), { ...NOTHING, lost: 6 });
  assertEquals(after(4294967294, 2, 3), { ...NOTHING, lost: 3 });
  assertEquals(after(4294967295, 1), { ...NOTHING, lost: 1 });
  assertEquals(after(5, 1000005), { ...NOTHING, lost: 999999 });
  assertEquals(after(5, 1000005, 1000006, 3000000), { ...NOTHING, lost: 999999 + 1999993 });
});

test("late numbers take their loss back, in whatever order", () => {
  assertEquals(after(0, 1, 3, 2, 4), { ...NOTHING, late: 1 });
  assertEquals(after(0, 3, 2, 1, 4), { ...NOTHING, late: 2 });
  assertEquals(after(0, 3, 1, 2, 5), { ...NOTHING, lost: 1, late: 2 });
  assertEquals(after(4294967293, 4294967295, 0, 4294967294, 1), { ...NOTHING, late: 1 });
  // More than the largest distance between two processors that was measured.
  for (const far of [432, 4000]) assertEquals(after(0, ...upFrom(2, far), 1, far + 2), { ...NOTHING, late: 1 });
  assertEquals(after(0, 50, ...upFrom(1, 49), 51), { ...NOTHING, late: 49 });
});

test("repeated numbers take nothing back", () => {
  assertEquals(after(10, 11, 20, 20, 20, 21), { ...NOTHING, lost: 8, duplicates: 2 });
  assertEquals(after(0, 1, 2, 3, 1, 4, 1, 5), { ...NOTHING, duplicates: 2 });
  assertEquals(after(0, 2, 1, 1, 3), { ...NOTHING, late: 1, duplicates: 1 });
});

test("numbers from before the first one are late, and no loss is taken back for them", () => {
  assertEquals(after(100, 98, 101), { ...NOTHING, late: 1 });
  assertEquals(after(100, 97, 99, 101), { ...NOTHING, late: 2 });
});

test("numbers that begin again: what is missing among the new ones is lost too", () => {
  assertEquals(after(100, 105, 106, 3, 7, 12), { ...NOTHING, lost: 11, restarts: 1 });
  assertEquals(after(100, 101, 0, 1, 2), { ...NOTHING, restarts: 1 });
  assertEquals(after(5000, 5001, 2, 3), { ...NOTHING, restarts: 1 });
  assertEquals(after(100, 102, 50, 51, 52), { ...NOTHING, lost: 1, restarts: 1 });
  assertEquals(after(...upFrom(1_000_000, 10), 0, 0, 1, 2), { ...NOTHING, duplicates: 1, restarts: 1 });
  assertEquals(after(1, 2, 3, 9000, 9001, 1, 2, 3), { ...NOTHING, lost: 8996, restarts: 1 });
});

test("numbers that begin again in the middle of what is missing: it shows when they reach what had arrived", () => {
  const numbers = [...upFrom(0, 3), ...upFrom(60, 40), ...upFrom(10, 70)];
  assertEquals(after(...numbers), { ...NOTHING, lost: 57, restarts: 1 });
});

test("a few repeated in a row are no restart, once the others continue", () => {
  assertEquals(after(...upFrom(0, 100), 90, 95, 100, 101), { ...NOTHING, duplicates: 2 });
  assertEquals(after(...upFrom(0, 100), 90, 95, 103, 104), { ...NOTHING, lost: 3, duplicates: 2 });
});

test("long gaps one after the other are counted exactly, wherever words of the window begin", () => {
  const random = generator(11);
  for (let round = 0; round < 300; round++) {
    const numbering = new Numbering();
    let [at, lost] = [random(2 ** 32), 0];
    enter(numbering, at);
    const skipped: number[] = [];
    for (let i = 0; i < 12; i++) {
      const gap = random(i % 3 === 0 ? 4095 : 100);
      for (let j = 1; j <= Math.min(gap, 5); j++) skipped.push((at + j) >>> 0);
      at = (at + gap + 1) >>> 0;
      lost += gap;
      enter(numbering, at);
    }
    assertEquals(numbering.lost, lost);
    // Those of the window are known to be missing, the others to be too old: far ones are no late ones.
    const near = skipped.filter((number) => ((at - number) >>> 0) < 4000).reverse();
    for (const number of near) enter(numbering, number);
    assertEquals([numbering.lost, numbering.late], [lost - near.length, near.length]);
  }
});

test("two producers that number the same group: no loss is invented, and it is reported", () => {
  const mixed = (a: number, b: number, count: number, run: number): number[] =>
    Array.from({ length: count }, (_, i) => i).flatMap((i) => [...upFrom(a + i * run, run), ...upFrom(b + i * run, run)]);
  for (const [a, b, longest] of [[1000, 1_000_000, 100], [1_000_000, 5, 100], [5, 1000, 3], [3_000_000_000, 7, 100]] as const) {
    for (const run of [1, 3, longest]) {
      const { lost, contradictory } = after(...mixed(a, b, 100, run));
      assertEquals([lost, contradictory], [0, true], `${a} and ${b}, ${run} at a time`);
    }
  }
  // The losses of each are still reported.
  const gaps = mixed(1000, 1_000_000, 100, 1).filter((_, i) => i !== 50 && i !== 71 && i !== 73);
  assertEquals(after(...gaps), { ...NOTHING, lost: 3, contradictory: true });
});

test("two producers with close numbers, many in a row: few losses are invented", () => {
  const numbers = Array.from({ length: 20 }, (_, i) => [...upFrom(5 + 100 * i, 100), ...upFrom(1000 + 100 * i, 100)]).flat();
  const { lost } = after(...numbers);
  assert(lost <= 4096, `${lost}`);
});

test("random numbers are reported as contradictory, and nothing is invented", () => {
  const random = generator(7);
  const { lost, contradictory } = after(...Array.from({ length: 3000 }, () => random(2 ** 32)));
  assertEquals(contradictory, true);
  assert(lost < 3000, `${lost}`);
});

test("one stray number among many is no loss", () => {
  assertEquals(after(100, 101, 77777777, 102, 103).lost, 0);
  assertEquals(after(5_000_000, 5_000_001, 3, 5_000_002, 5_000_003).lost, 0);
});

test("a known beginning and end are counted from and to", () => {
  const numbering = new Numbering();
  numbering.restart(0);
  enter(numbering, 3);
  enter(numbering, 4);
  assertEquals(told(numbering), { ...NOTHING, lost: 3 });
  numbering.end(10);
  assertEquals(told(numbering), { ...NOTHING, lost: 8 });
  // One that was still on its way on another processor.
  enter(numbering, 7);
  assertEquals(told(numbering), { ...NOTHING, lost: 7, late: 1 });
  numbering.restart(0);
  assertEquals(numbering.restarts, 0);
  for (const sequence of [2, 0, 3]) enter(numbering, sequence);
  assertEquals(told(numbering), { ...NOTHING, lost: 8, late: 2, restarts: 1 });
});

test("an end without anything known before it shows nothing", () => {
  const numbering = new Numbering();
  numbering.end(10);
  assertEquals(told(numbering), NOTHING);
});

// ---- properties

/** xorshift32 with a seed: the same in every run. */
function generator(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) % below;
  };
}

interface Rates {
  loss: number;
  burst: number;
  late: number;
  duplicate: number;
}

/**
 * What arrives of `count` samples numbered from `first`; of how many up to the last that arrives nothing does, from the first that
 * arrives and from the first of all. A late one arrives up to 432 later.
 */
function arriving(
  random: (below: number) => number,
  count: number,
  first: number,
  rates: Rates,
): { numbers: number[]; lost: number; lostOfAll: number } {
  const chance = (rate: number): boolean => random(100_000) < rate * 100_000;
  const arrivals: { at: number; i: number }[] = [];
  let lostUntil = 0;
  for (let i = 0; i < count; i++) {
    if (chance(rates.burst)) lostUntil = i + random(300);
    if (i < lostUntil || chance(rates.loss)) continue;
    arrivals.push({ at: i + (chance(rates.late) ? 1.5 + random(432) : 0), i });
    if (chance(rates.duplicate)) arrivals.push({ at: i + 0.25, i });
  }
  // What is still on its way at the end does not arrive alone after everything else.
  const numbers = arrivals.map(({ at, i }) => ({ at: Math.min(at, count - 2.5), i })).sort((a, b) => a.at - b.at).map(({ i }) => i);
  const arrived = new Set(numbers);
  const missing = Array.from({ length: Math.max(0, ...numbers) }, (_, i) => i).filter((i) => !arrived.has(i));
  const lost = missing.filter((i) => i > numbers[0]!).length;
  return { numbers: numbers.map((i) => (first + i) >>> 0), lost, lostOfAll: missing.length };
}

function rates(random: (below: number) => number): Rates {
  const one = (...choices: number[]): number => choices[random(choices.length)]!;
  // Late and again, the rates are at least ten times those that two processors were seen to have.
  return { loss: one(0, 0.01, 0.1, 0.3), burst: one(0, 0.005), late: one(0, 0.005, 0.01), duplicate: one(0, 0.001, 0.005) };
}

test("with one numbering the reported loss is exactly what did not arrive", () => {
  const random = generator(20_261_127);
  for (let round = 0; round < 1500; round++) {
    const chosen = rates(random);
    const { numbers, lost } = arriving(random, 10 + random(3000), random(2) ? random(2 ** 32) : 2 ** 32 - random(1000), chosen);
    const numbering = new Numbering();
    numbers.forEach((number) => enter(numbering, number));
    assertEquals(
      [numbering.lost, numbering.restarts, numbering.contradictory],
      [lost, 0, false],
      `round ${round} ${JSON.stringify(chosen)}`,
    );
  }
});

test("if restarts are known, the loss is exactly what did not arrive, over all of them", () => {
  const random = generator(9);
  for (let round = 0; round < 500; round++) {
    const chosen = rates(random);
    const numbering = new Numbering();
    let expected = 0;
    let restarts = -1;
    for (let i = random(5); i >= 0; i--) {
      const count = 10 + random(1000);
      const { numbers, lostOfAll } = arriving(random, count, 0, chosen);
      numbering.restart(0);
      numbers.forEach((number) => enter(numbering, number));
      if (numbers.length > 0) restarts++;
      expected += lostOfAll;
      if (random(2) === 0) continue;
      numbering.end(count);
      expected += count - 1 - (numbers.length > 0 ? Math.max(...numbers) : -1);
    }
    assertEquals([numbering.lost, numbering.restarts], [expected, Math.max(0, restarts)], `round ${round} ${JSON.stringify(chosen)}`);
  }
});

test("if restarts are not known, the loss is what did not arrive, except for restarts of which hardly anything arrives", () => {
  const random = generator(4);
  let exact = 0;
  const ROUNDS = 1000;
  for (let round = 0; round < ROUNDS; round++) {
    const chosen = rates(random);
    const numbering = new Numbering();
    let expected = 0;
    for (let i = 0; i <= 1 + random(3); i++) {
      const { numbers, lost } = arriving(random, 200 + random(2000), i === 0 ? 10_000 + random(2 ** 30) : 0, chosen);
      numbers.forEach((number) => enter(numbering, number));
      expected += lost;
    }
    if (numbering.lost === expected) exact++;
    assert(!numbering.contradictory, `round ${round} ${JSON.stringify(chosen)}`);
    assert(
      Math.abs(numbering.lost - expected) <= 500,
      `round ${round}: told ${numbering.lost}, lost ${expected}, ${JSON.stringify(chosen)}`,
    );
  }
  assert(exact > 0.97 * ROUNDS, `${exact} of ${ROUNDS} exact`);
});
