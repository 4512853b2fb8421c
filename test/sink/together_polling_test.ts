/** What a thousand exporters send at intervals that were started at the same moment, whatever they see, arrives evenly. */
import { test } from "node:test";
import { assert } from "@std/assert";
import { NOTHING } from "../../cli/session.ts";
import { sflowToWith } from "../../src/sink/export.ts";
import { otlpToWith } from "../../src/sink/otlp.ts";
import { HttpClient } from "../../src/sys/http_client.ts";
import { FakeSys } from "../fake_sys.ts";
import { CountingKernel } from "./counting_kernel.ts";
import { assertEven, EXPORTERS, exporters, largestTenth, MOST, MOST_AT_ONCE, simulated } from "./together.ts";

const POLLING_MS = 1000;

/** When counters arrive, in milliseconds since all exporters were started. */
async function polled(ms: number, seed: number): Promise<number[]> {
  const arrivedMs: number[] = [];
  await simulated(async (time) => {
    const kernel = new CountingKernel();
    kernel.devices.set(2, { name: "eth0" });
    kernel.sys.arrived.push = () => arrivedMs.push(time.nowMs);
    const counters = { host: false, intervalMs: POLLING_MS };
    const sinks = await exporters(() => sflowToWith(kernel.sys, "192.0.2.9", { agent: "192.0.2.1", forwards: false, counters }));
    // Each has a timer that flushes and one that polls, which is set again when that is over.
    await time.settleUntil(ms, () => time.pending >= 2 * EXPORTERS);
    for (const sink of sinks) sink.abort();
    kernel.sys.assertClean();
  }, seed);
  return arrivedMs;
}

// Bun gives a test 5 seconds.
const PATIENCE = { timeout: 60_000 };

test("they poll and send counters evenly, from the start", PATIENCE, async () => {
  assertEven(await polled(12 * POLLING_MS, 1), POLLING_MS);
});

test(
  "they poll evenly in the very first interval: only chance makes a tenth of it larger, in each start another one",
  PATIENCE,
  async () => {
    const arrivedMs: number[] = [];
    for (let seed = 2; seed < 7; seed++) {
      const first = await polled(POLLING_MS - 1, seed);
      const share = largestTenth(first, POLLING_MS);
      assert(first.length >= EXPORTERS && share <= MOST_AT_ONCE, `${first.length} datagrams of start ${seed}: ${share}`);
      arrivedMs.push(...first);
    }
    const share = largestTenth(arrivedMs, POLLING_MS);
    assert(share <= MOST, `${arrivedMs.length} datagrams: ${share}`);
  },
);

test("they report by OTLP evenly", PATIENCE, async () => {
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
      // Each timer is a report's.
      await time.settleUntil(15 * intervalMs, (timers) => arrivedMs.length >= timers);
      for (const sink of sinks) sink.abort();
    });
  } finally {
    HttpClient.prototype.post = post;
  }
  assertEven(arrivedMs, intervalMs);
});
