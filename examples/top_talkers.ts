/**
 * Who talks most on a device: every two seconds the five largest pairs of addresses, with bounds at 95 %.
 *
 *     deno run --allow-ffi examples/top_talkers.ts eth0
 *     bun examples/top_talkers.ts eth0
 */
// deno-lint-ignore-file no-console
import process from "node:process";
import { addSampling, aggregateTo, endOnSignals, listen, pump } from "@psample/psample";
import { Estimator } from "@psample/psample/estimate";

const [device = "eth0", rate = "100"] = process.argv.slice(2);

const signal = await endOnSignals();
await using sampling = await addSampling({ device, rate: Number(rate), truncateBytes: 128, signal });
const source = await listen({ groups: [sampling.group!], events: false });

// A time constant of 5 seconds stands for a window of 10.
const estimator = new Estimator({ by: "ipsource,ipdestination", taus: [5] });
const megabits = (bytes: number, seconds: number): string => (bytes * 8 / seconds / 1e6).toFixed(3);

const timer = setInterval(() => {
  const { flows, seconds } = estimator.snapshot(BigInt(Date.now()) * 1_000_000n, 5);
  console.log(`${device}: 1 in ${rate}, lost ${source.stats().lost}`);
  for (const { by: [from, to], bytes, bytesRange: [low, high] } of flows) {
    console.log(`  ${from} > ${to}: ${megabits(bytes, seconds)} Mbit/s (${megabits(low, seconds)} to ${megabits(high, seconds)})`);
  }
}, 2000);
try {
  await pump(source, [], [aggregateTo(estimator)], { signal });
} finally {
  clearInterval(timer);
}
