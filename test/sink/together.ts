/**
 * A thousand exporters that are started at the same moment. Time is simulated, sinks and encoders are the real ones.
 *
 * @module
 */
import { assert } from "@std/assert";
import { random } from "../estimate/random.ts";
import { FakeTime } from "../support/fake_time.ts";

export const EXPORTERS = 1000;
/** The largest share of all datagrams in a tenth of the interval. */
export const MOST = 0.11;
/** In one interval chance alone makes some tenths larger: a standard deviation of 1000 in ten parts is 0.95 %. */
export const MOST_AT_ONCE = 0.14;

/** Runs `work` in simulated time, with chance that is always the same for a seed. */
export async function simulated(work: (time: FakeTime) => Promise<void>, seed = 1): Promise<void> {
  const time = new FakeTime();
  const { random: chance } = Math;
  Math.random = random(seed);
  try {
    await work(time);
  } finally {
    Math.random = chance;
    time.restore();
  }
}

/** Opens all of them. */
export const exporters = <Sink>(open: () => Promise<Sink>): Promise<Sink[]> => Promise.all(Array.from({ length: EXPORTERS }, () => open()));

/** The largest share of a tenth of an interval. */
export function largestTenth(arrivedMs: readonly number[], intervalMs: number): number {
  const counts = new Array<number>(10).fill(0);
  for (const ms of arrivedMs) counts[Math.floor(ms % intervalMs / intervalMs * 10)]!++;
  return Math.max(...counts) / arrivedMs.length;
}

/** Checks that no tenth of the interval carries too much, neither over the whole time from then on nor in the first intervals. */
export function assertEven(arrivedMs: readonly number[], intervalMs: number, fromMs = 0): void {
  const since = arrivedMs.map((ms) => ms - fromMs).filter((ms) => ms >= 0);
  const whole = largestTenth(since, intervalMs);
  assert(whole <= MOST, `${since.length} datagrams: ${whole}`);
  for (let i = 0; i < 5; i++) {
    const share = largestTenth(since.filter((ms) => Math.floor(ms / intervalMs) === i), intervalMs);
    assert(share <= MOST_AT_ONCE, `interval ${i}: ${share}`);
  }
}
