/** What must be true of samples and files, whatever they were made from. */
import { DecodeError } from "../../src/errors.ts";
import { formatJson } from "../../src/format/json.ts";
import { NetlinkWriter } from "../../src/format/pcap/netlink_writer.ts";
import { PcapngWriter } from "../../src/format/pcapng/writer.ts";
import type { Recorder } from "../../src/format/recorder.ts";
import { formatText } from "../../src/format/text.ts";
import type { GroupEvent } from "../../src/psample/group.ts";
import { ATTRIBUTES } from "../../src/psample/layout.ts";
import { SampleDecoder, viewSample } from "../../src/psample/sample_decoder.ts";
import { SampleView } from "../../src/psample/sample_view.ts";
import type { EntryView } from "../../src/stream/batch.ts";
import { AttrReader } from "../../src/wire/attr_reader.ts";
import { viewOf } from "../../src/wire/native.ts";
import { toHex } from "../../src/wire/text.ts";
import { type Circumstances, decodePieces, packetsOf } from "../support/decoding.ts";
import { record } from "../support/recorded.ts";
import type { Devices } from "../../src/link/device.ts";
import { takeApart } from "../psample/apart.ts";
import { WIDTHS } from "../psample/build.ts";
import { messageOf } from "../../src/wire/message.ts";

/** A violation found by a target. */
export class Broken extends Error {
  override readonly name = "Broken";
}

export function must(condition: boolean, what: string): asserts condition {
  if (!condition) throw new Broken(what);
}

/** Names of devices. */
const DEVICES: Devices = { find: (ifindex) => ({ name: `d${ifindex}`, type: undefined, address: undefined }) };

/** Above this only what is not about every byte of the packet is printed. */
export const LARGE = 4096;

/**
 * The decoder may know of a message what earlier ones have taught it, so that mutation after mutation is also a test of that.
 * Here each message is walked anew, the last attribute of each number counts, and the sample must say the same.
 */
function checkFields(sample: SampleView, input: Uint8Array, littleEndian: boolean): void {
  const same = (name: keyof SampleView, value: unknown): void => {
    if (sample[name] !== value) throw new Broken(`${name} is ${sample[name]}, the message has ${value}`);
  };
  const last = new Map<number, number | bigint>();
  let data: Uint8Array | undefined;
  const attr = new AttrReader(viewOf(input), ATTRIBUTES, input.length, littleEndian);
  while (attr.next()) {
    const { type, size } = attr;
    if (type === 6) data = attr.bytes();
    // An attribute of unexpected size affects only itself.
    else if (WIDTHS[type]?.includes(size) === false) continue;
    else if (type <= 14) last.set(type, size === 2 ? attr.u16() : size === 4 ? attr.u32() : size === 8 ? attr.u64() : -1);
    else if (type === 16) last.set(type, 1);
  }
  same("inIfindex", last.get(0));
  same("outIfindex", last.get(1));
  same("originalBytes", last.get(2));
  same("group", last.get(3));
  same("sequence", last.get(4));
  same("rate", last.get(5));
  same("outTc", last.get(10));
  same("outTcOccupancyBytes", last.get(11));
  same("latencyNs", last.get(12));
  same("timestampNs", last.get(13));
  same("protocol", last.get(14));
  same("rateIsProbability", last.has(16));
  same("dataBytes", data?.length ?? 0);
  must(sample.data?.byteOffset === data?.byteOffset, "the data is elsewhere");
}

/** Does everything that can be done with a sample. A getter must not throw: errors are found during decoding. */
export function useSample(input: Uint8Array, littleEndian: boolean): unknown {
  checkFields(viewSample(messageOf(input, littleEndian)), input, littleEndian);
  // Again: its layout may be known by now.
  const sample = viewSample(messageOf(input, littleEndian));
  checkFields(sample, input, littleEndian);
  let fields: unknown;
  try {
    fields = sample.copy();
    if (sample.dataBytes > LARGE) return fields;
    const json = JSON.stringify(sample);
    must(formatJson(sample) === `${json}\n`, "the line of JSON differs from JSON.stringify");
    const text = formatText(sample, { verbose: true, details: true }, DEVICES);
    const lines = text.split("\n").length - 1;
    must(lines === 1 + (sample.data ? 1 + Math.ceil(sample.dataBytes / 16) : 0), "the text has not as many lines as it should");
    return [fields, json, text];
  } catch (error) {
    throw error instanceof DecodeError ? new Broken(`a DecodeError that came late: ${error.message}`) : error;
  }
}

const apartDecoder = new SampleDecoder();
const apartView = new SampleView();

/** A sample whose packet was taken out of its message equals the complete one. */
export function useApart(input: Uint8Array, littleEndian: boolean): unknown {
  const whole = viewSample(messageOf(input, littleEndian));
  const apart = takeApart(input, whole);
  if (apart === undefined) return undefined;
  const view = viewOf(apart.memory);
  const { start, end, packetAt, dataAt, dataBytes } = apart;
  const sample = apartDecoder.viewApart(view, start, end, view, packetAt, dataAt, dataBytes, apartView, { littleEndian });
  must(toHex(sample.message) === toHex(input), "the message is put together otherwise");
  const json = JSON.stringify(whole);
  must(JSON.stringify(sample) === json, `${JSON.stringify(sample)} is what was apart, the whole is ${json}`);
  return json;
}

/** The contents of a recording as text, for comparing two readings. */
function itemText(item: EntryView, { told, timeNs, origin }: Circumstances): string {
  const where = origin.place?.device?.name;
  if (item.type !== "sample") return `${told} ${timeNs} ${where} ${JSON.stringify(item)}`;
  return `${told} ${timeNs} ${where} ${item.group} ${item.sequence} ${item.dataBytes} ${toHex(item.message.subarray(0, 256))}`;
}

const SIZES = [1, 2, 3, 4, 7, 13, 64, 1000, 4096];

/** A file in pieces of sizes that come from the bytes themselves, so that they are the same in every run. */
export function* pieces(input: Uint8Array): Generator<Uint8Array<ArrayBuffer>> {
  let state = input.length;
  for (let at = 0; at < input.length;) {
    state = Math.imul(state ^ input[at]!, 0x01000193) >>> 0;
    const size = SIZES[state % SIZES.length]!;
    // A copy, so that it has no neighbours.
    yield input.slice(at, at + size) as Uint8Array<ArrayBuffer>;
    at += size;
  }
}

/** The result of reading a file. */
export interface Read {
  readonly items: readonly string[];
  readonly counts: unknown;
  readonly error: string | undefined;
}

/** Whether two readings of a file agree. */
export function sameRead(one: Read, other: Read): boolean {
  return one.items.length === other.items.length && one.items.every((item, i) => item === other.items[i]) && one.error === other.error &&
    JSON.stringify(one.counts) === JSON.stringify(other.counts);
}

/** The contents of a file given in these pieces, and why it ends where it does. */
export function readFile(given: Iterable<Uint8Array>): Read {
  return decodePieces(given, itemText);
}

/** Writes a message as a sink does, and reads it back: pcapng in a byte order, or the netlink messages as they are. */
export function writeAndRead(item: SampleView | GroupEvent, message: Uint8Array, littleEndian: boolean | undefined): unknown {
  const recorder: Recorder = littleEndian === undefined ? new NetlinkWriter() : new PcapngWriter({ littleEndian });
  const file = record(recorder, [item], { devices: DEVICES });
  const { items, error } = decodePieces([file], ({ message }) => toHex(message!));
  must(error === undefined, `what was written cannot be read: ${error}`);
  // Among messages, an answer to a request is not an event.
  const hex = littleEndian === undefined ? toHex(packetsOf(file).at(-1)!.subarray(16)) : items.at(-1);
  if (hex !== toHex(message)) throw new Broken(`${hex} is read back`);
  return file.length;
}
