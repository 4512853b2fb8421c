/**
 * What a thousand exporters do that were started at the same moment: what they send arrives at a collector evenly. Time is simulated, sinks
 * and encoders are the real ones.
 *
 * @module
 */
import { test } from "node:test";
import { assert } from "@std/assert";
import type { ExportSink } from "../../src/sink/datagram_sink.ts";
import { ipfixFlowsToWith, ipfixToWith, sflowToWith } from "../../src/sink/export.ts";
import type { SampleView } from "../../src/psample/sample_view.ts";
import { FakeSys } from "../fake_sys.ts";
import { random } from "../estimate/random.ts";
import { batchOf } from "../export/sflow/encoding.ts";
import { ipFrame, sampleOf } from "../export/ipfix/exported.ts";
import { FakeTime } from "../support/fake_time.ts";

const EXPORTERS = 1000;
const SECOND_MS = 1000;
/** Sinks flush at least this often. */
const FLUSH_MS = 900;
/** The largest share of all datagrams in a tenth of the interval. */
const MOST = 0.11;
/** In one interval chance alone makes some tenths larger: a standard deviation of 1000 in ten parts is 0.95 %. */
const MOST_AT_ONCE = 0.14;

/** Samples of two packets that go back and forth on all these machines. */
const SAMPLES: readonly SampleView[] = [1, 2].map((port) =>
  sampleOf({ in: 2, group: 1, sequence: 0, rate: 100, originalBytes: 90, data: ipFrame("10.0.0.1", "10.0.0.2", port, 443, 76) })
);

/** What a simulation is made of. */
interface Simulated {
  /** Opens an exporter. */
  readonly open: (sys: FakeSys) => Promise<ExportSink>;
  /** How often all exporters are given the same samples at the same moment. Defaults to once, at the start. */
  readonly samplesEveryMs?: number;
  readonly seconds: number;
}

/** When datagrams arrive, in milliseconds since all exporters were started. */
async function arrivals({ open, samplesEveryMs = Infinity, seconds }: Simulated): Promise<number[]> {
  const time = new FakeTime();
  const { random: chance } = Math;
  Math.random = random(1);
  const arrivedMs: number[] = [];
  try {
    const sys = new FakeSys();
    sys.arrived.push = () => arrivedMs.push(time.nowMs);
    const sinks = await Promise.all(Array.from({ length: EXPORTERS }, () => open(sys)));
    for (let ms = 0; ms < seconds * SECOND_MS; ms += samplesEveryMs) {
      time.runUntil(ms);
      const batch = batchOf(SAMPLES, { atNs: time.nowNs });
      for (const sink of sinks) sink.take(batch);
    }
    time.runUntil(seconds * SECOND_MS);
    for (const sink of sinks) sink.abort();
    sys.assertClean();
  } finally {
    Math.random = chance;
    time.restore();
  }
  return arrivedMs;
}

/** The largest share of a tenth of an interval. */
function largestTenth(arrivedMs: readonly number[], intervalMs: number): number {
  const counts = new Array<number>(10).fill(0);
  for (const ms of arrivedMs) counts[Math.floor(ms % intervalMs / intervalMs * 10)]!++;
  return Math.max(...counts) / arrivedMs.length;
}

/** Checks that no tenth of the interval carries too much, neither over the whole time from then on nor in the first intervals. */
function assertEven(arrivedMs: readonly number[], intervalMs: number, fromMs = 0): void {
  const since = arrivedMs.map((ms) => ms - fromMs).filter((ms) => ms >= 0);
  const whole = largestTenth(since, intervalMs);
  assert(whole <= MOST, `${since.length} datagrams: ${whole}`);
  for (let i = 0; i < 5; i++) {
    const share = largestTenth(since.filter((ms) => Math.floor(ms / intervalMs) === i), intervalMs);
    assert(share <= MOST_AT_ONCE, `interval ${i}: ${share}`);
  }
}

test("exporters that are started together, and see the same packets, send evenly", async () => {
  const sflow = (sys: FakeSys) => sflowToWith(sys, "192.0.2.9", { agent: "192.0.2.1", forwards: false });
  const ipfix = (sys: FakeSys) => ipfixToWith(sys, "192.0.2.9");
  for (const open of [sflow, ipfix]) {
    const arrivedMs = await arrivals({ open, samplesEveryMs: 300, seconds: 60 });
    assert(arrivedMs.length >= EXPORTERS * 60);
    assertEven(arrivedMs, FLUSH_MS);
  }
});

test("they send templates evenly", async () => {
  const refreshMs = 10_000;
  const open = (sys: FakeSys) => ipfixToWith(sys, "192.0.2.9", { templateRefreshMs: refreshMs });
  const arrivedMs = await arrivals({ open, seconds: 600 });
  // At first with a sample, which does not wait for long.
  const first = arrivedMs.filter((ms) => ms < FLUSH_MS);
  assert(first.length >= EXPORTERS && largestTenth(first, FLUSH_MS) <= MOST_AT_ONCE);
  assertEven(arrivedMs, refreshMs, FLUSH_MS);
});

test("they report flows evenly that began at the same moment", async () => {
  const activeMs = 10_000;
  const open = (sys: FakeSys) => ipfixFlowsToWith(sys, "192.0.2.9", { flows: 16, activeMs, templateRefreshMs: 3_600_000 });
  const arrivedMs = await arrivals({ open, samplesEveryMs: 500, seconds: 300 });
  // Templates are sent at once, flows not before they have ended.
  assertEven(arrivedMs, activeMs, FLUSH_MS);
});
