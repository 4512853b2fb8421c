import { test } from "node:test";
import { assertEquals } from "@std/assert";
import { RateCheck, type SamplerRecord } from "../../src/estimate/rate_check.ts";
import { random } from "./random.ts";

/** Everything is known exactly. */
function exactly(oneIn: number, trials: number, samples: number): SamplerRecord {
  return { oneIn, trialsAtLeast: trials, trialsAtMost: trials, samplesAtLeast: samples, samplesAtMost: samples };
}

function verdict(oneIn: number, trials: number, samples: number): string | undefined {
  return new RateCheck().look(exactly(oneIn, trials, samples))?.verdict;
}

test("a sampler is reported only when it is certainly wrong", () => {
  // 100 are expected: 80 are probable once in 22 times, 60 once in 48,000.
  for (const samples of [60, 80, 100, 130]) assertEquals(verdict(1000, 100_000, samples), undefined);
  assertEquals([verdict(1000, 100_000, 30), verdict(1000, 100_000, 200)], ["few", "many"]);
  assertEquals([verdict(1000, 10, 0), verdict(1000, 0, 0)], [undefined, undefined]);
  assertEquals(verdict(1000, 100_000, 0), "few");
});

test("a sample of every packet: no more and no fewer, within a tolerance", () => {
  assertEquals([verdict(1, 10_000, 10_000), verdict(1, 10_000, 9950), verdict(1, 10_000, 9800), verdict(1, 10_000, 10_200)], [
    undefined,
    undefined,
    "few",
    "many",
  ]);
});

test("samples on their way are not missing", () => {
  assertEquals([verdict(1, 50, 0), verdict(1, 100, 0)], [undefined, "few"]);
});

test("the random numbers of the kernel have 32 bits, which matters at large N", () => {
  // 1 in 3,000,000,000 is 2 of 2^32.
  assertEquals(verdict(3_000_000_000, 1e13, 1e13 / 2 ** 31), undefined);
  assertEquals(verdict(3_000_000_000, 1e13, 1e13 / 3e9), undefined);
  assertEquals(verdict(3_000_000_000, 1e13, 10_000), "many");
});

test("between the known bounds a sampler is right", () => {
  const check = new RateCheck();
  assertEquals(check.look({ oneIn: 10, trialsAtLeast: 1000, samplesAtMost: 1000, samplesAtLeast: 500, trialsAtMost: 5000 }), undefined);
  assertEquals(check.look({ oneIn: 10, trialsAtLeast: 10_000, samplesAtMost: 100, samplesAtLeast: 50, trialsAtMost: 11_000 }), {
    verdict: "few",
    trials: 10_000,
    samples: 100,
  });
});

test("huge counts are tested too", () => {
  assertEquals([verdict(1000, 1e12, 1e9), verdict(1000, 1e12, 1.02e9), verdict(1000, 1e12, 0.98e9)], [undefined, "many", "few"]);
});

test("however often it is checked, a sampler that keeps to its rate is not reported; one that is off by a fifth is", () => {
  const next = random(5);
  const ONE_IN = 20;
  const run = (factor: number): boolean => {
    const check = new RateCheck();
    let [trials, samples] = [0, 0];
    for (let look = 0; look < 400; look++) {
      for (let i = 0; i < 100; i++) if (next() * ONE_IN < factor) samples++;
      trials += 100;
      if (check.look(exactly(ONE_IN, trials, samples))) return true;
    }
    return false;
  };
  const called = (factor: number): number => Array.from({ length: 20 }, () => run(factor)).filter(Boolean).length;
  assertEquals([called(1), called(0.8)], [0, 20]);
});
