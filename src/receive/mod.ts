/**
 * Recordings of samples: pcapng and pcap, of packets or of netlink messages, read and written.
 *
 * {@linkcode readRecording} reads a file as a source of batches, for `pump()` or for a loop. `recordTo()` of the main module makes
 * a sink of a file; a {@linkcode Recorder} is what such a sink writes with, into memory.
 *
 * @example Convert a recording of packets
 * ```ts
 * import { createRecorder, Output, readRecording } from "@psample/psample/record";
 *
 * // A pcap file of one Ethernet frame of 14 bytes, which had 60 when it was sampled.
 * const hex = "d4c3b2a1020004000000000000000000ffff000001000000" +
 *   "00ae556a000000000e0000003c000000" + "0200000000010200000000020800";
 * async function* file() {
 *   yield Uint8Array.from(hex.match(/../g)!, (byte) => parseInt(byte, 16));
 * }
 *
 * const output = new Output();
 * const recorder = createRecorder("pcapng", { application: "example" });
 * recorder.begin(output);
 * await using recording = await readRecording(file());
 * for await (const batch of recording.lentBatches()) {
 *   recorder.enter(batch);
 *   for (let i = 0; i < batch.count; i++) recorder.write(output, batch, i);
 * }
 * recorder.end(output, { stats: recording.stats() });
 * if (recording.counts.samples !== 1 || output.written[0] !== 0x0a) throw new Error("not a recording of one packet");
 * ```
 *
 * @example Samples and losses in a file
 * ```ts ignore
 * import { readRecording } from "@psample/psample/record";
 *
 * await using recording = await readRecording("samples.pcapng");
 * for await (const batch of recording.lentBatches()) {
 *   for (let i = 0; i < batch.count; i++) console.log(batch.timeNs(i), batch.device(i)?.name, batch.entries[i]!.group);
 * }
 * console.log(recording.stats().lost);
 * ```
 *
 * @module
 */
export { readRecording, type ReadRecordingOptions, type RecordingSource } from "./recording.ts";
export { createRecorder } from "../format/recorders.ts";
export { type Ending, type Recorder, RECORDING_FORMATS, type RecordingFormat, recordingFormat } from "../format/recorder.ts";
export { UnknownFamilyError } from "../format/unknown_families.ts";
export type { RecordCounts } from "../format/record_counts.ts";
export type { PcapngOptions } from "../format/pcapng/writer.ts";
export { Output, Word } from "../format/output.ts";
export { DecodeError, EncodeError, SystemError, type SystemErrorInit } from "../errors.ts";
export type { Batch, EntryView } from "../stream/batch.ts";
export type { Clock } from "../stream/clock.ts";
export type { Source } from "../stream/source.ts";
export type { GroupStats, ListenStats } from "../stream/stats.ts";
export type { Device, Devices } from "../link/device.ts";
export type { GroupEvent } from "../psample/group.ts";
export type { Sample, SampleFields } from "../psample/sample.ts";
export type { SampleView } from "../psample/sample_view.ts";
