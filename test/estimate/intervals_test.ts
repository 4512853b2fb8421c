import { test } from "node:test";
import { assert, assertAlmostEquals, assertEquals } from "@std/assert";
import { chiSquaredQuantile, logGamma, normalQuantile } from "../../src/estimate/distributions.ts";
import {
  binomialInterval,
  binomialTest,
  gammaInterval,
  type Interval,
  poissonInterval,
  shareInterval,
  wilsonInterval,
} from "../../src/estimate/intervals.ts";
import { random } from "./random.ts";

/** Compares with rounded figures. */
function assertInterval([low, high]: Interval, [expectedLow, expectedHigh]: Interval, tolerance: number): void {
  assertAlmostEquals(low, expectedLow, tolerance);
  assertAlmostEquals(high, expectedHigh, tolerance);
}

/** The sums of samples: for each entry `count` of them, with one value, at one rate. */
function sums(
  samples: readonly (readonly [count: number, oneIn: number, value: number])[],
  largest: number,
): Parameters<typeof gammaInterval>[0] {
  let [sum, squares, variance] = [0, 0, 0];
  for (const [count, oneIn, value] of samples) {
    sum += count * oneIn * value;
    squares += count * (oneIn * value) ** 2;
    variance += count * oneIn * (oneIn - 1) * value ** 2;
  }
  return { sum, squares, variance, largest };
}

test("quantiles are those of the tables", () => {
  assertAlmostEquals(logGamma(10), Math.log(362_880), 1e-10);
  assertAlmostEquals(normalQuantile(0.975), 1.959963984540054, 1e-8);
  for (
    const [p, degrees, expected] of [
      [0.95, 1, 3.841458820694124],
      [0.025, 2, 0.05063561596857975],
      [0.975, 10, 20.483177350807395],
      [0.99, 100, 135.80672317102676],
      [0.05, 100, 77.92946516501733],
      // Of many degrees, by SciPy 1.17's chi2.ppf.
      [0.025, 24, 12.401150217444435],
      [0.975, 25_000, 25440.15248917454],
      [0.025, 2_000_000, 1996081.9666805877],
    ] as const
  ) {
    assertAlmostEquals(chiSquaredQuantile(p, degrees), expected, expected * 1e-7, `${p} of ${degrees} degrees`);
  }
});

test("poissonInterval() has Garwood's bounds", () => {
  for (
    const [count, low, high, digits] of [
      [0, 0, 3.689, 3],
      [1, 0.0253, 5.572, 3],
      [2, 0.2422, 7.225, 3],
      [3, 0.6187, 8.767, 3],
      [5, 1.623, 11.668, 3],
      [10, 4.795, 18.390, 3],
      [30, 20.241, 42.827, 3],
    ] as const
  ) {
    assertInterval(poissonInterval(count), [low, high], 0.5 * 10 ** -digits + 1e-9);
  }
});

test("wilsonInterval() and binomialInterval() have the bounds of the tables", () => {
  assertInterval(wilsonInterval(1, 20), [0.00888, 0.23613], 5e-6);
  assertInterval(wilsonInterval(0, 20), [0, 0.16113], 5e-6);
  assertInterval(binomialInterval(1, 20), [0.00127, 0.24873], 5e-6);
  assertInterval(binomialInterval(0, 20), [0, 0.16843], 5e-6);
  assertEquals([wilsonInterval(20, 20)[1], binomialInterval(20, 20)[1]], [1, 1]);
});

test("gammaInterval() is Garwood's for equal weights, and narrower as sampling becomes complete", () => {
  const [low, high] = gammaInterval(sums([[100, 1000, 1]], 1000));
  // 81,364 and 121,627 for a rate without end; 1 in 1000 makes the distances smaller by half a thousandth.
  assertInterval([low, high], [81_373, 121_616], 2);
  assertEquals(gammaInterval(sums([[100, 1, 1]], 1)), [100, 100]);
  const [half] = gammaInterval(sums([[10, 2, 1]], 2));
  const [none] = gammaInterval({ ...sums([[10, 2, 1]], 2), variance: Infinity });
  assertAlmostEquals((20 - half) / (20 - none), Math.sqrt(0.5), 1e-9);
});

test("gammaInterval() bounds mixed rates and sizes", () => {
  const mixed = sums([[20, 1000, 1], [300, 100, 1]], 1000);
  assertEquals([mixed.sum, mixed.variance], [50_000, 22_950_000]);
  // Narrower than 41,043 and 61,039 by a thousandth of their distances.
  assertInterval(gammaInterval(mixed), [41_053, 61_027], 2);
  const sizes = sums([[2, 1000, 64], [2, 1000, 1514]], 1_514_000);
  assertInterval(gammaInterval({ ...sizes, variance: Infinity }), [432_069, 11_041_445], 5);
});

test("unseen traffic has an upper bound", () => {
  const [low, high] = gammaInterval({ sum: 0, squares: 0, variance: 0, largest: 1000 });
  assertEquals(low, 0);
  assertAlmostEquals(high, 3689, 1);
});

test("binomialTest() recognises a sampler that does not keep to its rate", () => {
  assertAlmostEquals(binomialTest(80, 100_000, 1 / 1000), 0.045, 0.003);
  assertAlmostEquals(binomialTest(60, 100_000, 1 / 1000), 2.1e-5, 0.5e-5);
  assert(binomialTest(100, 100_000, 1 / 1000) > 0.9);
  assertEquals([binomialTest(0, 0, 0.1), binomialTest(10, 10, 1)], [1, 1]);
});

/** A Poisson number, by waiting times: the number of samples among very many packets. */
function poisson(mean: number, next: () => number): number {
  let count = 0;
  let left = mean + Math.log(1 - next());
  while (left > 0) {
    count++;
    left += Math.log(1 - next());
  }
  return count;
}

test("95 % intervals keep their promise, for packets and bytes, however few the samples", () => {
  const oneIn = 100;
  const runs = 5000;
  // A simple mix of the internet's sizes: 7 of 40 bytes, 4 of 576, 1 of 1500.
  const mix = [40, 40, 40, 40, 40, 40, 40, 576, 576, 576, 576, 1500];
  const meanSize = mix.reduce((sum, size) => sum + size) / mix.length;
  const largest = oneIn * 1514;
  for (const expected of [2, 10, 100, 1000]) {
    const next = random(expected);
    let packets = 0;
    let bytes = 0;
    const truth = expected * oneIn;
    for (let run = 0; run < runs; run++) {
      const count = poisson(expected, next);
      let [sum, squares] = [0, 0];
      for (let i = 0; i < count; i++) {
        const weight = oneIn * mix[Math.floor(next() * mix.length)]!;
        sum += weight;
        squares += weight * weight;
      }
      const packetBounds = gammaInterval({ sum: count * oneIn, squares: count * oneIn ** 2, variance: count * oneIn ** 2, largest: oneIn });
      const byteBounds = gammaInterval({ sum, squares, variance: squares, largest });
      if (packetBounds[0] <= truth && truth <= packetBounds[1]) packets++;
      if (byteBounds[0] <= truth * meanSize && truth * meanSize <= byteBounds[1]) bytes++;
    }
    assert(packets / runs >= 0.94, `${expected} expected samples: packets ${packets / runs}`);
    assert(bytes / runs >= 0.94, `${expected} expected samples: bytes ${bytes / runs}`);
  }
});

test("a share's bounds enclose it as often as they claim, whatever the sizes of the packets", () => {
  const next = random(11);
  for (const [packets, share, oneIn] of [[20_000, 0.3, 100], [20_000, 0.03, 100], [3000, 0.5, 100], [1000, 0.9, 20]] as const) {
    // The part has small packets, the rest large ones.
    const own = Math.round(packets * share);
    const [small, large] = [64, 1500];
    const truth = own * small / (own * small + (packets - own) * large);
    let inside = 0;
    const RUNS = 400;
    for (let run = 0; run < RUNS; run++) {
      const counts = [0, 0];
      for (let i = 0; i < packets; i++) if (next() < 1 / oneIn) counts[i < own ? 0 : 1]!++;
      const part = sums([[counts[0]!, oneIn, small]], oneIn * 1522);
      const whole = sums([[counts[0]!, oneIn, small], [counts[1]!, oneIn, large]], oneIn * 1522);
      const [low, high] = shareInterval(part.sum, gammaInterval(part), whole.sum, gammaInterval(whole));
      assert(low >= 0 && high <= 1 + 1e-9, `${low} ${high}`);
      if (low <= truth && truth <= high) inside++;
    }
    assert(inside >= 0.94 * RUNS, `${inside} of ${RUNS} at ${packets} ${share} ${oneIn}`);
  }
});

test("the share of known totals is exact", () => {
  assertEquals(shareInterval(30, [30, 30], 100, [100, 100]), [0.3, 0.3]);
  assertEquals(shareInterval(100, [80, 130], 100, [80, 130]), [1, 1]);
  assertEquals(shareInterval(0, [0, 0], 0, [0, 0]), [0, 0]);
});
