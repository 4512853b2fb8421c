/**
 * Estimates from samples: how many packets and bytes, of whom, with error bounds at 95 %. Pure arithmetic: nothing here touches a socket or a
 * clock.
 *
 * @example Who talks most
 * ```ts ignore
 * import { aggregateTo, listen, pump } from "@psample/psample";
 * import { Estimator } from "@psample/psample/estimate";
 *
 * const estimator = new Estimator({ by: "ipsource,ipdestination" });
 * await pump(await listen(), [], [aggregateTo(estimator)], { durationMs: 1000 });
 * for (const { by, bytes, bytesRange } of estimator.snapshot(BigInt(Date.now()) * 1_000_000n, 10).flows) console.log(by, bytes, bytesRange);
 * ```
 *
 * @example Estimate from a recording
 * ```ts
 * import { Estimator } from "@psample/psample/estimate";
 * import { readRecording } from "@psample/psample/record";
 *
 * // A pcap file of one Ethernet frame of 14 bytes, which had 60 when it was sampled.
 * const hex = "d4c3b2a1020004000000000000000000ffff000001000000" +
 *   "00ae556a000000000e0000003c000000" + "0200000000010200000000020800";
 * async function* file() {
 *   yield Uint8Array.from(hex.match(/../g)!, (byte) => parseInt(byte, 16));
 * }
 *
 * const estimator = new Estimator({ by: "macsource", oneIn: 1000 });
 * await using recording = await readRecording(file());
 * for await (const batch of recording.lentBatches()) estimator.take(batch);
 * const [flow] = estimator.snapshot(0n, 10).flows;
 * if (flow?.packets !== 1000 || flow.bytes !== 60_000) throw new Error("one sample stands for 1000 packets");
 * ```
 *
 * @module
 */
export { calibrate } from "./calibrate.ts";
export { type Calibrated, Calibration, type CalibrationOptions, type SamplerCounts } from "./calibration.ts";
export { DistinctCounters } from "./distinct.ts";
export {
  type DeviceEstimate,
  Estimator,
  type EstimatorOptions,
  type FlowEstimate,
  type Snapshot,
  type SnapshotParts,
  type WholeParts,
} from "./estimator.ts";
export type { FlowPart } from "./flow_parts.ts";
export { LogHistogram } from "./histogram.ts";
export {
  binomialInterval,
  binomialTest,
  gammaInterval,
  type Interval,
  poissonInterval,
  shareInterval,
  type WeightedSum,
  wilsonInterval,
} from "./intervals.ts";
export { DEFAULT_KEYS, type Key, KEY_NAMES, keyOf } from "./keys.ts";
export type { KeyPlace } from "../packet/flow_key.ts";
export { type Overlap, type Point, Topology } from "./overlaps.ts";
export { RateCheck, type RateFault, type SamplerRecord } from "./rate_check.ts";
export { countSegments, type Segments, wireBytes } from "./segments.ts";
export type { Estimate } from "./sums.ts";
export { TopKeys } from "./top_keys.ts";
