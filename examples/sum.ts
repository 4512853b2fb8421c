/**
 * How much passes a device in ten seconds, and how sure that is. Leave out the device to sum up what others already sample.
 *
 *     deno run --allow-ffi examples/sum.ts eth0
 *     bun examples/sum.ts eth0
 */
// deno-lint-ignore-file no-console
import process from "node:process";
import { addSampling, aggregateTo, endOnSignals, listen, pump } from "@psample/psample";
import { Estimator } from "@psample/psample/estimate";

const [device, seconds = "10", rate = "100"] = process.argv.slice(2);

const signal = await endOnSignals();
await using sampling = device === undefined ? undefined : await addSampling({ device, rate: Number(rate), truncateBytes: 128, signal });
const source = await listen({ events: false, ...sampling && { groups: [sampling.group!] } });

const estimator = new Estimator();
const { stats } = await pump(source, [], [aggregateTo(estimator)], { durationMs: Number(seconds) * 1000, signal });

const { total } = estimator.snapshot(BigInt(Date.now()) * 1_000_000n, 0);
const [low, high] = total.bytesRange;
console.log(`${stats.received} samples stand for ${total.packets} packets and ${total.bytes} bytes (${low} to ${high} at 95 %)`);
console.log(`lost ${stats.lost}`);
