/**
 * Samples as lines: about their packets, libpsample's text, JSON and CSV. Nothing here touches a socket or needs a permission; it runs in a browser
 * too.
 *
 * A writer writes the entries of a batch into an {@linkcode Output}; `linesTo()` of the main module makes a sink of it, for
 * `pump()`. For a sample by itself there are {@linkcode formatText} and {@linkcode formatJson}.
 *
 * @example Print a recorded message
 * ```ts
 * import { decodeMessage, messageOf } from "@psample/psample/decode";
 * import { formatJson, formatText } from "@psample/psample/format";
 *
 * const recorded = "3000000000000000000000000000000000010000" + // the two headers
 *   "0800030001000000" + "0800050064000000" + "0a000600aabbccddeeff0000"; // group 1, rate 100, 6 bytes of data
 * const sample = decodeMessage(messageOf(Uint8Array.from(recorded.match(/../g)!, (byte) => parseInt(byte, 16))));
 * if (sample?.type !== "sample") throw new Error("not a sample");
 * if (formatText(sample) !== "group 1 sample-rate 100 \n") throw new Error("not libpsample's text");
 * if (JSON.parse(formatJson(sample)).data !== "aabbccddeeff") throw new Error("not the data");
 * ```
 *
 * @example Write CSV of chosen columns
 * ```ts ignore
 * import { linesTo, listen, pump } from "@psample/psample";
 * import { CsvWriter } from "@psample/psample/format";
 *
 * const writer = new CsvWriter({ fields: ["at", "device", "direction", "originalBytes", "oneIn"] });
 * await pump(await listen(), [], [await linesTo(writer, { path: "samples.csv" })], { count: 1000 });
 * ```
 *
 * @module
 */
export { formatGroupEvent, formatGroups, formatText, type TextOptions, TextWriter } from "./text.ts";
export { formatJson, type JsonOptions, JsonWriter } from "./json.ts";
export { type PacketOptions, PacketWriter } from "./packet_line.ts";
export type { Labels } from "./labels.ts";
export type { PacketTimeForm } from "./packet_time.ts";
export { CSV_DEFAULT_FIELDS, CSV_FIELDS, type CsvOptions, CsvWriter } from "./csv.ts";
export { Output, Word } from "./output.ts";
export type { Batch, EntryView } from "../stream/batch.ts";
export type { Clock } from "../stream/clock.ts";
export type { Device, Devices } from "../link/device.ts";
export type { Group, GroupEvent } from "../psample/group.ts";
export type { Sample, SampleFields } from "../psample/sample.ts";
export type { AnySample, SampleView } from "../psample/sample_view.ts";
export type { GeneveOption, Tunnel } from "../psample/tunnel.ts";
export type { UnknownAttribute } from "../wire/attr_reader.ts";
