/** `psample export --prometheus` of what a kernel samples: the counters equal the account, and the kernel's own. */
import { assert, assertEquals, assertMatch } from "@std/assert";
import { valuesOf } from "../export/prometheus/reader.ts";
import { get } from "../support/http.ts";
import { frameOut, inOrder } from "./frames.ts";
import { Command } from "./in_process.ts";
import { bareWire, ip, scene, send, until } from "./scene.ts";

/** Starts an export that serves metrics; resolves to it and its port. */
async function start(words: string): Promise<{ command: Command; port: number }> {
  const command = new Command(["export", ...words.split(" ")]);
  await command.samples();
  const [, port] = /Prometheus at http:\/\/127\.0\.0\.1:(\d+)\//.exec(command.io.errors())!;
  return { command, port: Number(port) };
}

/** Scrapes until a metric has this value. */
async function scraped(port: number, name: string, value: number): Promise<string> {
  let body = "";
  await until(() => `${name} is ${value}: ${body}`, async () => {
    body = (await get(port, "/metrics")).body;
    return Object.values(valuesOf(body, name))[0] === value;
  });
  return body;
}

scene("at 1 in 1 the counters equal the account and the kernel's count, and are exact", async () => {
  bareWire();
  ip("link set lo up");
  const { command, port } = await start("a:1 --direction egress --prometheus 0 --top 3 --json");
  const frames = inOrder(200, frameOut);
  const bytes = frames.reduce((sum, frame) => sum + frame.length, 0);
  send("a", ...frames);
  await scraped(port, "psample_received_samples_total", 200);
  // The kernel's counters are read every second.
  const body = await scraped(port, "psample_sampler_packets_total", 200);
  const only = (name: string): number => {
    const values = Object.entries(valuesOf(body, name));
    assertEquals(values.length, 1, name);
    assertMatch(values[0]![0], /^a out( \d+)?$/);
    return values[0]![1];
  };
  for (const name of ["psample_samples_total", "psample_sampler_packets_total"]) assertEquals(only(name), 200, name);
  for (const end of ["total", "low", "high"]) {
    assertEquals([only(`psample_estimated_packets_${end}`), only(`psample_estimated_bytes_${end}`)], [200, bytes], end);
  }
  assertEquals([only("psample_sampling_one_in"), only("psample_sampler_deviates")], [1, 0]);
  for (const name of ["lost_samples", "dropped_messages", "unusable_samples"]) {
    assertEquals(valuesOf(body, `psample_${name}_total`), { "": 0 });
  }
  assertEquals(valuesOf(body, "psample_sink_written_samples_total"), { "standard output": 200 });
  assert(Object.keys(valuesOf(body, "psample_top_bytes_per_second")).length > 0);
  assertMatch((await get(port, "/")).body, /<h2>Sampled<\/h2>/);
  await command.end();
  assertMatch(command.io.errors(), /psample: 200 packets passed \(rule hits\), 1 in 1: 200 sampled; lost 0\n$/);
});
