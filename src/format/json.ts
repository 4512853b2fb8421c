/**
 * One JSON object a line, equal to what `JSON.stringify` makes of the sample or group event: same keys, same
 * order, absent ones left out, 64-bit numbers as decimal text, bytes as hexadecimal.
 */
import type { GroupEvent } from "../psample/group.ts";
import type { Sample } from "../psample/sample.ts";
import { tunnelToJson, unknownToJson } from "../psample/tunnel.ts";
import { Clock } from "./clock.ts";
import { ascii, Output } from "./output.ts";

const QUOTE = 0x22;
const CLOSE = ascii("}\n");
const TYPE = ascii('{"type":"sample"');
const GROUP = ascii(',"group":');
const SEQUENCE = ascii(',"sequence":');
const RATE = ascii(',"rate":');
const IS_PROBABILITY = ascii(',"rateIsProbability":true');
const IS_NO_PROBABILITY = ascii(',"rateIsProbability":false');
const ONE_IN = ascii(',"oneIn":');
const IN_IFINDEX = ascii(',"inIfindex":');
const OUT_IFINDEX = ascii(',"outIfindex":');
const ORIGINAL_BYTES = ascii(',"originalBytes":');
const PROTOCOL = ascii(',"protocol":');
const TIMESTAMP = ascii(',"timestampNs":"');
const OUT_TC = ascii(',"outTc":');
const COOKIE = ascii(',"cookie":"');
const NO_UNKNOWN = ascii(',"unknown":[]');
const PORT_ID = ascii(',"portId":');
const DATA = ascii(',"data":"');

/** More than the longest line without data, cookie, tunnel and unknown attributes. */
const LONGEST_LINE = 768;

/** Writes the line of one sample or group event. */
export function writeJson(output: Output, item: Sample | GroupEvent): void {
  if (item.type === "sample") writeSample(output, item);
  else output.text(`${JSON.stringify(item)}\n`);
}

/** The line of one sample or group event, with its newline. */
export function formatJson(item: Sample | GroupEvent): string {
  const output = new Output(1024);
  writeJson(output, item);
  return output.takeText();
}

function writeSample(output: Output, sample: Sample): void {
  output.reserve(LONGEST_LINE);
  output.put(TYPE);
  if (sample.group !== undefined) writeNumber(output, GROUP, sample.group);
  if (sample.sequence !== undefined) writeNumber(output, SEQUENCE, sample.sequence);
  if (sample.rate !== undefined) writeNumber(output, RATE, sample.rate);
  output.put(sample.rateIsProbability ? IS_PROBABILITY : IS_NO_PROBABILITY);
  const oneIn = sample.oneIn;
  if (oneIn !== undefined) {
    if (oneIn === sample.rate) writeNumber(output, ONE_IN, oneIn);
    else output.put(ascii(`,"oneIn":${oneIn}`));
  }
  if (sample.inIfindex !== undefined) writeNumber(output, IN_IFINDEX, sample.inIfindex);
  if (sample.outIfindex !== undefined) writeNumber(output, OUT_IFINDEX, sample.outIfindex);
  if (sample.originalBytes !== undefined) writeNumber(output, ORIGINAL_BYTES, sample.originalBytes);
  if (sample.protocol !== undefined) writeNumber(output, PROTOCOL, sample.protocol);
  const timestamp = sample.timestampNs;
  if (timestamp !== undefined) {
    output.put(TIMESTAMP);
    writeDecimal(output, timestamp);
    output.byte(QUOTE);
  }
  const latency = sample.latencyNs;
  if (latency !== undefined) output.put(ascii(`,"latencyNs":"${latency}"`));
  if (sample.outTc !== undefined) writeNumber(output, OUT_TC, sample.outTc);
  const occupancy = sample.outTcOccupancyBytes;
  if (occupancy !== undefined) output.put(ascii(`,"outTcOccupancyBytes":"${occupancy}"`));
  const cookie = sample.cookie;
  if (cookie !== undefined) writeHex(output, COOKIE, cookie);
  // Rare enough for the slow way.
  if (sample.tunnel !== undefined) output.text(`,"tunnel":${JSON.stringify(tunnelToJson(sample.tunnel))}`);
  const unknown = sample.unknown;
  if (unknown.length > 0) output.text(`,"unknown":${JSON.stringify(unknown.map(unknownToJson))}`);
  output.reserve(LONGEST_LINE);
  if (unknown.length === 0) output.put(NO_UNKNOWN);
  if (sample.nsid !== undefined) output.put(ascii(`,"nsid":${sample.nsid}`));
  writeNumber(output, PORT_ID, sample.portId);
  const data = sample.data;
  if (data !== undefined) writeHex(output, DATA, data);
  output.reserve(CLOSE.length);
  output.put(CLOSE);
}

function writeNumber(output: Output, key: Uint8Array, value: number): void {
  output.put(key);
  output.u32(value);
}

function writeHex(output: Output, key: Uint8Array, value: Uint8Array): void {
  output.reserve(key.length + 2 * value.length + 1);
  output.put(key);
  output.hex(value);
  output.byte(QUOTE);
}

const clock = new Clock();

/** A u64 in decimal, without the division of big integers that its text would take. */
function writeDecimal(output: Output, value: bigint): void {
  clock.split(value);
  if (clock.seconds === 0) {
    output.u32(clock.nanoseconds);
    return;
  }
  // 2^64 is less than 2e10 * 1e9: up to 11 digits, then exactly 9.
  if (clock.seconds > 0xffffffff) output.put(ascii(String(clock.seconds)));
  else output.u32(clock.seconds);
  output.digits(clock.nanoseconds, 9);
}
