/** What a thousand exporters send at intervals that were started at the same moment, whatever they see, arrives evenly. */
import { test } from "node:test";
import { NOTHING } from "../../cli/session.ts";
import { sflowToWith } from "../../src/sink/export.ts";
import { otlpToWith } from "../../src/sink/otlp.ts";
import { HttpClient } from "../../src/sys/http_client.ts";
import { FakeSys } from "../fake_sys.ts";
import { CountingKernel } from "./counting_kernel.ts";
import { assertEven, EXPORTERS, exporters, simulated } from "./together.ts";

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
    await time.settleUntil(12_000, () => time.pending >= 2 * EXPORTERS);
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
      // Each timer is a report's.
      await time.settleUntil(15 * intervalMs, (timers) => arrivedMs.length >= timers);
      for (const sink of sinks) sink.abort();
    });
  } finally {
    HttpClient.prototype.post = post;
  }
  assertEven(arrivedMs, intervalMs);
});
