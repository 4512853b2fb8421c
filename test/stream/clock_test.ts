import { test } from "node:test";
import { assertEquals } from "@std/assert";
import { Clock } from "../../src/stream/clock.ts";

const SECOND = 1_000_000_000n;
const MOST = 0xffff_ffff_ffff_ffffn;

function check(clock: Clock, time: bigint): void {
  clock.split(time);
  const { seconds, nanoseconds, high, low } = clock;
  // Not assertEquals each time: there are very many.
  if (BigInt(seconds) === time / SECOND && BigInt(nanoseconds) === time % SECOND && BigInt(high) << 32n === time - BigInt(low)) return;
  assertEquals([seconds, nanoseconds, high, low].map(BigInt), [time / SECOND, time % SECOND, time >> 32n, time & 0xffff_ffffn]);
}

test("Clock splits every u64, in any order", () => {
  const clock = new Clock();
  const times = [0n, 1n, 999_999_999n, SECOND, 4_294_967_295n, 4_294_967_296n, 1784000000_999999999n, 1784000001_000000000n, MOST];
  for (const time of [...times, ...times.toReversed()]) check(clock, time);
});

test("Clock is exact at both ends of a second, wherever in the 584 years", () => {
  const clock = new Clock();
  const last = MOST / SECOND;
  for (let i = 0n; i < 50_000n; i++) {
    const start = (i * 0x9e37_79b9_7f4an % last) * SECOND;
    for (const time of [start, start + 1n, start + SECOND - 1n]) check(clock, time);
  }
});

test("Clock is exact when times follow each other closely, forwards and backwards", () => {
  const clock = new Clock();
  for (const around of [1784000000n * SECOND, 0x1234_5678n << 32n, 3n * SECOND, MOST - 3n * SECOND]) {
    for (let i = 0n; i < 20_000n; i++) {
      const time = around + (i * 0x9e37_79b1n % (4n * SECOND)) - 2n * SECOND;
      if (time <= MOST) check(clock, time);
    }
  }
});

test("Clock accepts seconds and nanoseconds directly", () => {
  const clock = new Clock();
  clock.split(5n);
  clock.set(-1, 7);
  assertEquals([clock.seconds, clock.nanoseconds], [-1, 7]);
  check(clock, 6n);
});
