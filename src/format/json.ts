/**
 * One JSON object a line: the same keys in the same order as `JSON.stringify` of the sample or group event, absent ones left
 * out, 64-bit numbers as decimal strings, bytes as hexadecimal.
 */
import type { GroupEvent } from "../psample/group.ts";
import type { Sample } from "../psample/sample.ts";
import { unknownToJson } from "../psample/tunnel.ts";
import type { Batch, EntryView } from "../stream/batch.ts";
import { Clock } from "../stream/clock.ts";
import { HexWriter } from "./hex.ts";
import { writeTunnelJson } from "./json_tunnel.ts";
import { Output, Word } from "./output.ts";

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
const DATA = new Word(',"data":"');

/** More than the longest line without data, cookie, tunnel and unknown attributes. */
const LONGEST_LINE = 768;

/** Writes samples and group events as lines of JSON. */
export class JsonWriter {
  readonly #clock = new Clock();
  readonly #hex = new HexWriter();

  /** Writes entry `i` of a batch. */
  write(output: Output, batch: Batch, i: number): void {
    this.writeEntry(output, batch.entries[i]!);
  }

  /** Writes the line of one sample or group event. */
  writeEntry(output: Output, entry: EntryView): void {
    if (entry.type === "sample") this.#writeSample(output, entry);
    else output.text(`${JSON.stringify(entry)}\n`);
  }

  #writeSample(output: Output, sample: Sample): void {
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
    const { data } = sample;
    if (data !== undefined) this.#writeBytes(output, DATA, data);
    output.word(CLOSE);
  }

  /** The nanoseconds in decimal, without dividing big integers. */
  #writeTimestamp(output: Output): void {
    const { seconds, nanoseconds } = this.#clock;
    output.word(TIMESTAMP);
    if (seconds > 0) {
      // Up to 18446744073, which is more than a u32.
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

/** The line of one sample or group event, with its newline. */
export function formatJson(entry: Sample | GroupEvent): string {
  const output = new Output(1024);
  new JsonWriter().writeEntry(output, entry);
  return output.takeText();
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
