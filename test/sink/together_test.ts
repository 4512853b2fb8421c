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
import { otlpToWith } from "../../src/sink/otlp.ts";
import { HttpClient } from "../../src/sys/http_client.ts";
import type { SampleView } from "../../src/psample/sample_view.ts";
import { FakeSys } from "../fake_sys.ts";
import { NOTHING } from "../../cli/session.ts";
import { random } from "../estimate/random.ts";
import { batchOf } from "../export/sflow/encoding.ts";
import { ipFrame, sampleOf } from "../export/ipfix/exported.ts";
import { FakeTime } from "../support/fake_time.ts";
import { CountingKernel } from "./counting_kernel.ts";

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

/** Runs `work` in simulated time, with chance that is always the same. */
async function simulated(work: (time: FakeTime) => Promise<void>): Promise<void> {
  const time = new FakeTime();
  const { random: chance } = Math;
  Math.random = random(1);
  try {
    await work(time);
  } finally {
    Math.random = chance;
    time.restore();
  }
}

const exporters = <Sink>(open: () => Promise<Sink>): Promise<Sink[]> => Promise.all(Array.from({ length: EXPORTERS }, () => open()));

/** When datagrams arrive, in milliseconds since all exporters were started. */
async function arrivals({ open, samplesEveryMs = Infinity, seconds }: Simulated): Promise<number[]> {
  const arrivedMs: number[] = [];
  await simulated(async (time) => {
    const sys = new FakeSys();
    sys.arrived.push = () => arrivedMs.push(time.nowMs);
    const sinks = await exporters(() => open(sys));
    for (let ms = 0; ms < seconds * SECOND_MS; ms += samplesEveryMs) {
      time.runUntil(ms);
      const batch = batchOf(SAMPLES, { atNs: time.nowNs });
      for (const sink of sinks) sink.take(batch);
    }
    time.runUntil(seconds * SECOND_MS);
    for (const sink of sinks) sink.abort();
    sys.assertClean();
  });
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
    const arrivedMs = await arrivals({ open, samplesEveryMs: 300, seconds: 30 });
    assert(arrivedMs.length >= EXPORTERS * 30);
    assertEven(arrivedMs, FLUSH_MS);
  }
});

test("they send templates evenly", async () => {
  const refreshMs = 10_000;
  const open = (sys: FakeSys) => ipfixToWith(sys, "192.0.2.9", { templateRefreshMs: refreshMs });
  const arrivedMs = await arrivals({ open, seconds: 400 });
  // At first with a sample, which does not wait for long.
  const first = arrivedMs.filter((ms) => ms < FLUSH_MS);
  assert(first.length >= EXPORTERS && largestTenth(first, FLUSH_MS) <= MOST_AT_ONCE);
  assertEven(arrivedMs, refreshMs, FLUSH_MS);
});

test("they report flows evenly that began at the same moment", async () => {
  const activeMs = 10_000;
  const open = (sys: FakeSys) => ipfixFlowsToWith(sys, "192.0.2.9", { flows: 16, activeMs, templateRefreshMs: 3_600_000 });
  const arrivedMs = await arrivals({ open, samplesEveryMs: 500, seconds: 150 });
  // Templates are sent at once, flows not before they have ended.
  assertEven(arrivedMs, activeMs, FLUSH_MS);
});

test("they poll and send counters evenly", async () => {
  const intervalMs = 1000;
  const arrivedMs: number[] = [];
  await simulated(async (time) => {
    const kernel = new CountingKernel();
    kernel.devices.set(2, { name: "eth0" });
    kernel.sys.arrived.push = () => arrivedMs.push(time.nowMs);
    const counters = { host: false, intervalMs };
    const sinks = await exporters(() => sflowToWith(kernel.sys, "192.0.2.9", { agent: "192.0.2.1", forwards: false, counters }));
    // Each has a timer that flushes and one that polls, which is set again when that is over.
    await time.settleUntil(20_000, async () => {
      while (time.pending < 2 * EXPORTERS) await new Promise((resolve) => setImmediate(resolve));
    });
    for (const sink of sinks) sink.abort();
    kernel.sys.assertClean();
  });
  assertEven(arrivedMs, intervalMs, 5_000);
});

test("they report by OTLP evenly", async () => {
  const intervalMs = 10_000;
  const arrivedMs: number[] = [];
  const { post } = HttpClient.prototype;
  try {
    await simulated(async (time) => {
      HttpClient.prototype.post = () => {
        arrivedMs.push(time.nowMs);
        return Promise.resolve({ status: 200, type: "", retryAfter: undefined, location: undefined, body: new Uint8Array(0) });
      };
      const sys = new FakeSys();
      const sinks = await exporters(() => otlpToWith(sys, "http://192.0.2.9", { source: NOTHING, intervalMs }));
      let due = 0;
      await time.settleUntil(15 * intervalMs, async () => {
        due++;
        while (arrivedMs.length < due) await new Promise((resolve) => setImmediate(resolve));
      });
      for (const sink of sinks) sink.abort();
    });
  } finally {
    HttpClient.prototype.post = post;
  }
  assertEven(arrivedMs, intervalMs);
});
