/**
 * Encoders of samples for collectors: sFlow version 5, and IPFIX with PSAMP. They turn batches into datagrams; {@linkcode Metrics} turns them
 * into text for Prometheus, and {@linkcode OtlpEncoder} into requests for receivers of OTLP. Nothing here touches a socket or a clock. `sflowTo` and `ipfixTo` of the main entry send with them.
 *
 * @example Encode samples, and look at the datagrams
 * ```ts ignore
 * import { listen } from "@psample/psample";
 * import { Datagrams, SflowEncoder } from "@psample/psample/export";
 *
 * const send = (datagrams: Datagrams) => {
 *   console.log(`${datagrams.count} datagrams, ${datagrams.used} bytes`);
 *   datagrams.clear();
 * };
 * const encoder = new SflowEncoder(new Datagrams(new Uint8Array(65536), 32), send, { agent: "192.0.2.1" });
 * const listener = await listen({ events: false });
 * const batch = await listener.read();
 * if (batch) encoder.take(batch);
 * encoder.flush(BigInt(Date.now()) * 1_000_000n);
 * await listener.close();
 * ```
 *
 * @example Encode a recording
 * ```ts
 * import { Datagrams, SflowEncoder } from "@psample/psample/export";
 * import { readRecording } from "@psample/psample/record";
 *
 * // A pcap file of one Ethernet frame of 14 bytes, which had 60 when it was sampled.
 * const hex = "d4c3b2a1020004000000000000000000ffff000001000000" +
 *   "00ae556a000000000e0000003c000000" + "0200000000010200000000020800";
 * async function* file() {
 *   yield Uint8Array.from(hex.match(/../g)!, (byte) => parseInt(byte, 16));
 * }
 *
 * let version = 0;
 * const send = (datagrams: Datagrams) => {
 *   version = new DataView(datagrams.bytes.buffer).getUint32(0);
 *   datagrams.clear();
 * };
 * const encoder = new SflowEncoder(new Datagrams(new Uint8Array(65536), 32), send, { agent: "192.0.2.1" });
 * await using recording = await readRecording(file());
 * for await (const batch of recording.lentBatches()) encoder.take(batch);
 * encoder.flush(0n);
 * if (version !== 5) throw new Error("not a datagram of sFlow version 5");
 * ```
 *
 * @module
 */
export { type DatagramEncoder, Datagrams, type SendDatagrams } from "./datagrams.ts";
export { IpfixFlowEncoder } from "./ipfix/flow_encoder.ts";
export type { IpfixFlowOptions, IpfixOptions, IpfixPacketOptions } from "./ipfix/options.ts";
export { IpfixPacketEncoder } from "./ipfix/packet_encoder.ts";
export type {
  CpuCounters,
  DiskCounters,
  EthernetCounters,
  HostCounters,
  HostDescription,
  InterfaceCounters,
  InterfaceInput,
  InterfaceOutput,
  MemoryCounters,
  NetworkCounters,
  NetworkTotals,
} from "./sflow/counters.ts";
export { OtlpEncoder, type OtlpEncoding, type OtlpOptions, type OtlpRequest } from "./otlp/encoder.ts";
export { chooseFormat, CONTENT_TYPES, type ExpositionFormat } from "./prometheus/accept.ts";
export type { Buckets } from "./prometheus/buckets.ts";
export type { FamilyWriter, HistogramPoint, LabelPairs, MetricPoint, MetricText } from "./prometheus/family.ts";
export { Metrics, type MetricsOptions, type MetricsSnapshot, SERIES_LABELS } from "./prometheus/metrics.ts";
export type { MetricsDiscards, MetricsSampler, MetricsSink, MetricsState } from "./prometheus/state.ts";
export type { Discard } from "./sflow/discard.ts";
export { SflowEncoder } from "./sflow/encoder.ts";
export type { SflowOptions } from "./sflow/options.ts";
export type { Count } from "./sflow/xdr.ts";
export type { DeviceEstimate, FlowEstimate, Snapshot } from "../estimate/estimator.ts";
export type { Interval } from "../estimate/intervals.ts";
export type { Batch } from "../stream/batch.ts";
export type { GroupStats, ListenStats, OtherStats } from "../stream/stats.ts";
