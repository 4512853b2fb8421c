/**
 * One JSON object per line: the keys of the sample or group event in the order of `JSON.stringify`, absent ones left out, 64-bit
 * numbers as decimal strings, bytes as hexadecimal. docs/json.md describes every key.
 */
import type { Device } from "../link/device.ts";
import type { GroupEvent } from "../psample/group.ts";
import type { AnySample, SampleView } from "../psample/sample_view.ts";
import { unknownToJson } from "../psample/tunnel.ts";
import type { Batch } from "../stream/batch.ts";
import { Clock } from "../stream/clock.ts";
import { directionOf, etherTypeText } from "./details.ts";
import { HexWriter } from "./hex.ts";
import { InstantWriter } from "./instant.ts";
import { writePacketJson } from "./json_packet.ts";
import { writeTunnelJson } from "./json_tunnel.ts";
import { cookieLabel, groupLabel, type Labels, vlanLabels } from "./labels.ts";
import { ascii, Output, Word } from "./output.ts";

const QUOTE = 0x22;
const CLOSE = new Word("}\n");
const TYPE = new Word('{"type":"sample"');
const GROUP = new Word(',"group":');
const SEQUENCE = new Word(',"sequence":');
const RATE = new Word(',"rate":');
const IS_PROBABILITY = new Word(',"rateIsProbability":true');
const IS_NO_PROBABILITY = new Word(',"rateIsProbability":false');
const ONE_IN = new Word(',"oneIn":');
const IN_IFINDEX = new Word(',"inIfindex":');
const OUT_IFINDEX = new Word(',"outIfindex":');
const ORIGINAL_BYTES = new Word(',"originalBytes":');
const PROTOCOL = new Word(',"protocol":');
const TIMESTAMP = new Word(',"timestampNs":"');
const LATENCY = new Word(',"latencyNs":"');
const OUT_TC = new Word(',"outTc":');
const OCCUPANCY = new Word(',"outTcOccupancyBytes":"');
const COOKIE = new Word(',"cookie":"');
const TUNNEL = new Word(',"tunnel":');
const UNKNOWN = new Word(',"unknown":');
const NO_UNKNOWN = new Word(',"unknown":[]');
const NSID = new Word(',"nsid":');
const PORT_ID = new Word(',"portId":');
const AT = new Word(',"at":"');
const DEVICE = new Word(',"device":');
const DIRECTION_IN = new Word(',"direction":"in"');
const DIRECTION_OUT = new Word(',"direction":"out"');
const PACKET = new Word(',"packet":');
const DATA = new Word(',"data":"');

/** More than the longest line has without data, cookie, tunnel and unknown attributes. */
const LONGEST_LINE = 768;

/**
 * What {@linkcode JsonWriter} writes.
 *
 * @category Formats
 */
export interface JsonOptions {
  /**
   * Adds what is known besides the fields of a sample: when it was taken, on which device, in which direction, and the packet's headers.
   * Without it only recorded samples that have no time stamp have the time. Defaults to `false`.
   */
  details?: boolean | undefined;
  /** Names to add for groups, cookies and VLANs. Defaults to none. */
  labels?: Labels | undefined;
}

/**
 * Writes samples and group events as lines of JSON.
 *
 * @category Formats
 */
export class JsonWriter {
  readonly #details: boolean;
  readonly #labels: Labels | undefined;
  readonly #clock = new Clock();
  readonly #instant = new InstantWriter();
  readonly #hex = new HexWriter();
  /** The names of devices as they are printed, made once for each: a device that is renamed is another object. */
  readonly #names = new WeakMap<Device, Uint8Array>();
  /** The names of EtherTypes, with their key; `undefined` for one that has none. */
  readonly #protocolNames = new Map<number, Word | undefined>();

  /** A writer with options. */
  constructor({ details = false, labels }: JsonOptions = {}) {
    this.#details = details;
    this.#labels = labels;
  }

  /** Writes entry `i` of a batch. */
  write(output: Output, batch: Batch, i: number): void {
    const entry = batch.entries[i]!;
    if (entry.type !== "sample") return this.writeEntry(output, entry);
    this.#fields(output, entry);
    if (this.#details) this.#writeDetails(output, batch, i, entry);
    else if (batch.recorded && entry.timestampNs === undefined) this.#writeInstant(output, batch, i);
    if (this.#labels) this.#writeLabels(output, this.#labels, entry, vlanLabels(this.#labels, batch, i));
    this.#end(output, entry.data);
  }

  /** Writes the line of one sample or group event, without details and names of VLANs. */
  writeEntry(output: Output, entry: AnySample | GroupEvent): void {
    if (entry.type !== "sample") {
      const label = this.#labels && groupLabel(this.#labels, entry);
      return output.text(`${escapeInvisible(JSON.stringify(label === undefined ? entry : { ...entry, groupLabel: label }))}\n`);
    }
    this.#fields(output, entry);
    if (this.#labels) this.#writeLabels(output, this.#labels, entry, []);
    this.#end(output, entry.data);
  }

  #fields(output: Output, sample: AnySample): void {
    output.reserve(LONGEST_LINE);
    const { group, sequence, rate, rateIsProbability, inIfindex, outIfindex, originalBytes, protocol, outTc, nsid, portId } = sample;
    output.word(TYPE);
    if (group !== undefined) writeNumber(output, GROUP, group);
    if (sequence !== undefined) writeNumber(output, SEQUENCE, sequence);
    if (rate !== undefined) writeNumber(output, RATE, rate);
    output.word(rateIsProbability ? IS_PROBABILITY : IS_NO_PROBABILITY);
    if (!rateIsProbability) {
      if (rate !== undefined) writeNumber(output, ONE_IN, rate);
    } else if (sample.oneIn !== undefined) {
      output.word(ONE_IN);
      output.number(sample.oneIn);
    }
    if (inIfindex !== undefined) writeNumber(output, IN_IFINDEX, inIfindex);
    if (outIfindex !== undefined) writeNumber(output, OUT_IFINDEX, outIfindex);
    if (originalBytes !== undefined) writeNumber(output, ORIGINAL_BYTES, originalBytes);
    if (protocol !== undefined) writeNumber(output, PROTOCOL, protocol);
    if (this.#clock.splitTimestamp(sample)) this.#writeTimestamp(output);
    const latency = sample.latencyNs;
    if (latency !== undefined) writeLong(output, LATENCY, latency);
    if (outTc !== undefined) writeNumber(output, OUT_TC, outTc);
    const occupancy = sample.outTcOccupancyBytes;
    if (occupancy !== undefined) writeLong(output, OCCUPANCY, occupancy);
    const { cookie, tunnel, unknown } = sample;
    if (cookie !== undefined) this.#writeBytes(output, COOKIE, cookie);
    if (tunnel !== undefined) {
      output.word(TUNNEL);
      writeTunnelJson(output, this.#hex, tunnel);
      output.reserve(LONGEST_LINE);
    }
    if (unknown.length === 0) {
      output.word(NO_UNKNOWN);
    } else {
      // Rare enough for the slow way.
      output.word(UNKNOWN);
      output.text(JSON.stringify(unknown.map(unknownToJson)));
      output.reserve(LONGEST_LINE);
    }
    if (nsid !== undefined) {
      output.word(NSID);
      output.number(nsid);
    }
    writeNumber(output, PORT_ID, portId);
  }

  /** Details that are not in the message itself. They come before the data, where people would overlook them. */
  #writeDetails(output: Output, batch: Batch, i: number, sample: SampleView): void {
    this.#writeInstant(output, batch, i);
    const device = batch.device(i);
    if (device?.name !== undefined) {
      output.word(DEVICE);
      output.append(this.#nameOf(device, device.name));
      output.reserve(LONGEST_LINE);
    }
    const direction = directionOf(sample);
    if (direction !== undefined) output.word(direction === "in" ? DIRECTION_IN : DIRECTION_OUT);
    const protocolName = sample.protocol === undefined ? undefined : this.#protocolName(sample.protocol);
    if (protocolName !== undefined) output.word(protocolName);
    if (sample.dataOffset < 0) return;
    output.word(PACKET);
    writePacketJson(output, batch.packet(i));
    output.reserve(LONGEST_LINE);
  }

  /** When the entry was sampled, as far as it is known. */
  #writeInstant(output: Output, batch: Batch, i: number): void {
    if (!this.#instant.read(batch, i)) return;
    output.word(AT);
    this.#instant.write(output);
    output.byte(QUOTE);
  }

  #nameOf(device: Device, name: string): Uint8Array {
    let bytes = this.#names.get(device);
    if (bytes === undefined) this.#names.set(device, bytes = ascii(jsonString(name)));
    return bytes;
  }

  #protocolName(protocol: number): Word | undefined {
    const known = this.#protocolNames.get(protocol);
    if (known !== undefined || this.#protocolNames.has(protocol)) return known;
    const name = etherTypeText(protocol);
    const word = name === undefined ? undefined : new Word(`,"protocolName":"${name}"`);
    this.#protocolNames.set(protocol, word);
    return word;
  }

  /** The labels for its numbers. */
  #writeLabels(output: Output, labels: Labels, sample: AnySample, vlans: readonly string[]): void {
    const [group, cookie] = [groupLabel(labels, sample), cookieLabel(labels, sample)];
    if (group !== undefined) output.text(`,"groupLabel":${jsonString(group)}`);
    if (cookie !== undefined) output.text(`,"cookieLabel":${jsonString(cookie)}`);
    if (vlans.length > 0) output.text(`,"vlanLabels":${escapeInvisible(JSON.stringify(vlans))}`);
    output.reserve(LONGEST_LINE);
  }

  #end(output: Output, data: Uint8Array | undefined): void {
    if (data !== undefined) this.#writeBytes(output, DATA, data);
    output.word(CLOSE);
  }

  /** The nanoseconds in decimal, without dividing big integers. */
  #writeTimestamp(output: Output): void {
    const { seconds, nanoseconds } = this.#clock;
    output.word(TIMESTAMP);
    if (seconds > 0) {
      // Up to 18446744073, which exceeds a u32.
      if (seconds > 0xffffffff) output.number(seconds);
      else output.u32(seconds);
      output.digits(nanoseconds, 9);
    } else {
      output.u32(nanoseconds);
    }
    output.byte(QUOTE);
  }

  #writeBytes(output: Output, key: Word, bytes: Uint8Array): void {
    output.reserve(key.length + 2 * bytes.length + LONGEST_LINE);
    output.word(key);
    this.#hex.write(output, bytes);
    output.byte(QUOTE);
  }
}

/**
 * The line of one sample or group event, with its newline.
 *
 * @category Formats
 */
export function formatJson(entry: AnySample | GroupEvent): string {
  const output = new Output(1024);
  new JsonWriter().writeEntry(output, entry);
  return output.takeText();
}

/** Control, format and other invisible characters, and white space: they could control a terminal, or hide. */
const INVISIBLE = /[\p{C}\p{Z}]/gu;

/** A JSON string, quotes included, in which every invisible character except the space is escaped. */
export function jsonString(text: string): string {
  return escapeInvisible(JSON.stringify(text));
}

/** JSON in which every invisible character except the space is escaped. */
export function escapeInvisible(json: string): string {
  return json.replace(INVISIBLE, (character) => {
    if (character === " ") return character;
    let escaped = "";
    for (let i = 0; i < character.length; i++) escaped += `\\u${character.charCodeAt(i).toString(16).padStart(4, "0")}`;
    return escaped;
  });
}

function writeNumber(output: Output, key: Word, value: number): void {
  output.word(key);
  output.u32(value);
}

function writeLong(output: Output, key: Word, value: bigint): void {
  output.word(key);
  output.number(value);
  output.byte(QUOTE);
}
