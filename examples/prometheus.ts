/**
 * Metrics of a device for Prometheus: traffic with error bounds, the ten largest flows, and losses.
 *
 *     deno run --allow-ffi --allow-net examples/prometheus.ts eth0
 *     bun examples/prometheus.ts eth0
 *
 * Then scrape http://127.0.0.1:9410/metrics, or open http://127.0.0.1:9410/ in a browser.
 */
// deno-lint-ignore-file no-console
import process from "node:process";
import { addSampling, endOnSignals, listen, metricsTo, pump, watchLinks } from "@psample/psample";

const [device = "eth0", port = "9410", rate = "1000"] = process.argv.slice(2);

const signal = await endOnSignals();
await using sampling = await addSampling({ device, rate: Number(rate), truncateBytes: 128, signal });
using devices = await watchLinks();
const source = await listen({ groups: [sampling.group!], events: false, devices });
const metrics = await metricsTo(port, { source, devices, top: 10, by: "ipsource,ipdestination" });
console.log(`scrape ${metrics.url}metrics`);
await pump(source, [], [metrics], { signal });
