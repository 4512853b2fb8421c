/** What a thousand exporters send that were started at the same moment, and see the same packets, arrives at a collector evenly. */
import { test } from "node:test";
import { assert } from "@std/assert";
import type { SampleView } from "../../src/psample/sample_view.ts";
import type { ExportSink } from "../../src/sink/datagram_sink.ts";
import { ipfixFlowsToWith, ipfixToWith, sflowToWith } from "../../src/sink/export.ts";
import { ipFrame, sampleOf } from "../export/ipfix/exported.ts";
import { batchOf } from "../export/sflow/encoding.ts";
import { FakeSys } from "../fake_sys.ts";
import { assertEven, EXPORTERS, exporters, largestTenth, MOST_AT_ONCE, simulated } from "./together.ts";

const SECOND_MS = 1000;
/** Sinks flush at least this often. */
const FLUSH_MS = 900;

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
