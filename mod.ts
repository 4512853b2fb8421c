/**
 * Linux packet sampling for Deno and Bun: receive what tc's `sample` action, switch drivers and Open vSwitch
 * sample, with an honest account of what was lost.
 *
 * It talks to the kernel's generic netlink family `psample` through libc: `--allow-ffi` is all it needs.
 *
 * @example Print what is sampled
 * ```ts ignore
 * import { listen } from "@psample/psample";
 *
 * await using listener = await listen({ groups: [5], events: false });
 * for await (const sample of listener) {
 *   console.log(sample.sequence, sample.oneIn, sample.originalBytes, sample.data);
 *   if (listener.stats().received >= 100) break;
 * }
 * console.log(listener.stats().lost);
 * ```
 *
 * @module
 */
export {
  type Advice,
  ArgumentError,
  DecodeError,
  EncodeError,
  HttpError,
  LookupError,
  NetlinkError,
  type NetlinkErrorInit,
  StrandedError,
  SystemError,
  type SystemErrorInit,
} from "./src/errors.ts";
export { diagnose, type DiagnoseOptions } from "./src/control/diagnose.ts";
export type { Finding, FindingTopic } from "./src/control/finding.ts";
export type { Flow } from "./src/control/flow.ts";
export type { Reach } from "./src/control/reached.ts";
export { type Observed, type ObservedPlace, type ObserveOptions, observeSampling } from "./src/control/survey.ts";
export { type Origin, type OwnSamples, ownSamples } from "./src/control/own_samples.ts";
export type { Passed, PassedHook } from "./src/control/passed.ts";
export { listGroups } from "./src/control/groups.ts";
export type { GroupStats, ListenStats, OtherStats } from "./src/stream/stats.ts";
export type { Batch, EntryView } from "./src/stream/batch.ts";
export type { Clock } from "./src/stream/clock.ts";
export type { FirstHeader, PacketView } from "./src/packet/packet_view.ts";
export type { Headers } from "./src/packet/headers.ts";
export { pump, type PumpEnd, type PumpOptions, type Summary } from "./src/stream/pump.ts";
export { SinkSet } from "./src/stream/sink_set.ts";
export type { Closing, Sink, SinkSummary } from "./src/stream/sink.ts";
export type { Source } from "./src/stream/source.ts";
export type { Stage } from "./src/stream/stage.ts";
export { paced, type PacedOptions, type PacedSource } from "./src/stream/paced.ts";
export { filter } from "./src/filter/stage.ts";
export { FilterError, type Span } from "./src/filter/filter_error.ts";
export { aggregateTo, type Aggregator } from "./src/sink/aggregate.ts";
export type { LinesOptions, LineWriter } from "./src/sink/lines.ts";
export type { Output, Word } from "./src/format/output.ts";
export type { PcapngOptions } from "./src/format/pcapng/writer.ts";
export type { RecordingFormat } from "./src/format/recorder.ts";
export { linesTo, type LinesToOptions, recordTo, type RecordToOptions } from "./src/sink/open.ts";
export type { ConnectionCounts, DatagramCounts, ExportOptions, ExportSink } from "./src/sink/datagram_sink.ts";
export {
  ipfixFlowsTo,
  type IpfixFlowsToOptions,
  ipfixTo,
  type IpfixToOptions,
  sflowTo,
  type SflowToOptions,
  type StreamOptions,
} from "./src/sink/export.ts";
export { type DiscardOptions, type DiscardReports, reportDiscards } from "./src/sink/discards.ts";
export type { DiscardStats } from "./src/control/drop_monitor.ts";
export type { CounterOptions } from "./src/sink/counter_poller.ts";
export { type MetricsServeOptions, type MetricsServer, metricsTo, type MetricsToOptions } from "./src/sink/metrics.ts";
export { type OtlpSendOptions, type OtlpSink, otlpTo, type OtlpToOptions, type ReportCounts } from "./src/sink/otlp.ts";
export { type MetricsSourceOptions, SharedMetrics } from "./src/sink/shared_metrics.ts";
export type { OtlpEncoding } from "./src/export/otlp/encoder.ts";
export type { MetricsOptions } from "./src/export/prometheus/metrics.ts";
export type { MetricsDiscards, MetricsSampler, MetricsSink } from "./src/export/prometheus/state.ts";
export { injectInto, type InjectionSink, type InjectOptions } from "./src/sink/inject.ts";
export type { InjectionListener } from "./src/control/injector.ts";
export type { InjectedPacketOptions } from "./src/format/injected_messages.ts";
export { localOffset } from "./src/sink/local_offset.ts";
export type { RecordingOptions, RecordingSink, Rotation } from "./src/sink/record.ts";
export { listen, type ListenOptions } from "./src/receive/listen.ts";
export type { Entry, Listener } from "./src/receive/listener.ts";
export type { NetnsOptions } from "./src/socket/open.ts";
export { RECEIVE_BUFFER_BYTES } from "./src/socket/receiver.ts";
export { type Link, LinkTable, type Xdp } from "./src/link/link.ts";
export type { LinkType } from "./src/link/link_type.ts";
export { listLinks, type ListLinksOptions, sampleLinkType } from "./src/control/links.ts";
export { type LiveDevices, watchLinks } from "./src/receive/live_links.ts";
export type { Device, Devices } from "./src/link/device.ts";
export { type DropOptions, dropPrivileges } from "./src/control/privileges.ts";
export { decodeGroup, decodeMessage, type Group, type GroupEvent } from "./src/psample/group.ts";
export type { Sample, SampleFields } from "./src/psample/sample.ts";
export { type DecodeOptions, decodeSample, SampleDecoder } from "./src/psample/sample_decoder.ts";
export { type AnySample, SampleView } from "./src/psample/sample_view.ts";
export { type Message, messageOf, splitMessages } from "./src/wire/message.ts";
export type { GeneveOption, Tunnel } from "./src/psample/tunnel.ts";
export type { UnknownAttribute } from "./src/wire/attr_reader.ts";
export { readRecording, type ReadRecordingOptions, type RecordingSource } from "./src/receive/recording.ts";
export type { RecordCounts } from "./src/format/record_counts.ts";
export { replay, type ReplayOptions } from "./src/receive/replay.ts";
export { addAction, deleteAction, flushActions, getAction, listActions, replaceAction } from "./src/control/actions.ts";
export type { SamplingOptions } from "./src/control/sampling/options.ts";
export type { SamplingHandle } from "./src/control/sampling/handle.ts";
export type { FilterSampling, Sampling } from "./src/control/sampling/sampling.ts";
export { addSampling } from "./src/control/sampling/install.ts";
export { endOnSignals } from "./src/sys/signals.ts";
export { listSampling } from "./src/control/sampling/list.ts";
export { type CleanUp, type CleanUpOptions, cleanUpSampling, type Kept, listLeftovers } from "./src/control/sampling/cleanup.ts";
export type { Direction } from "./src/control/traffic_control.ts";
export type { Control, ControlName } from "./src/tc/control.ts";
export type { ActionAges } from "./src/tc/sample_action.ts";
export type { Action, ActionSpec } from "./src/tc/action.ts";
export type { GactAction, GactProbability } from "./src/tc/gact_action.ts";
export type { ActionParameters, SampleAction, SampleActionSpec } from "./src/tc/sample_action.ts";
export type { Stats } from "./src/tc/stats.ts";
export type { Bitfield32 } from "./src/tc/tcmsg.ts";
