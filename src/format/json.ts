/**
 * One JSON object a line, equal to what `JSON.stringify` makes of the sample or group event: same keys, same
 * order, absent ones left out, 64-bit numbers as decimal text, bytes as hexadecimal.
 */
import type { GroupEvent } from "../psample/group.ts";
import type { Sample } from "../psample/sample.ts";
import { tunnelToJson, unknownToJson } from "../psample/tunnel.ts";
import { Clock } from "../stream/clock.ts";
import { ascii, Output, Part } from "./output.ts";

const QUOTE = 0x22;
const CLOSE = ascii("}\n");
const TYPE = ascii('{"type":"sample"');
const GROUP = ascii(',"group":');
const SEQUENCE = ascii(',"sequence":');
const RATE = ascii(',"rate":');
const IS_PROBABILITY = ascii(',"rateIsProbability":true');
const IS_NO_PROBABILITY = ascii(',"rateIsProbability":false');
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

const groups = new Part();
const rates = new Part();
const interfaces = new Part();
const protocols = new Part();
const seconds = new Part();
const ends = new Part();

function writeSample(output: Output, sample: Sample): void {
  output.reserve(LONGEST_LINE);
  const { group, sequence, rate, rateIsProbability, inIfindex, outIfindex, originalBytes, protocol, outTc, nsid, portId } = sample;
  if (!groups.repeat(output, group)) {
    const start = output.length;
    output.put(TYPE);
    if (group !== undefined) writeNumber(output, GROUP, group);
    groups.keep(output, start, group);
  }
  if (sequence !== undefined) writeNumber(output, SEQUENCE, sequence);
  if (!rates.repeat(output, rate, rateIsProbability)) {
    const start = output.length;
    if (rate !== undefined) writeNumber(output, RATE, rate);
    output.put(rateIsProbability ? IS_PROBABILITY : IS_NO_PROBABILITY);
    const { oneIn } = sample;
    if (oneIn !== undefined) output.put(ascii(`,"oneIn":${oneIn}`));
    rates.keep(output, start, rate, rateIsProbability);
  }
  if (!interfaces.repeat(output, inIfindex, outIfindex)) {
    const start = output.length;
    if (inIfindex !== undefined) writeNumber(output, IN_IFINDEX, inIfindex);
    if (outIfindex !== undefined) writeNumber(output, OUT_IFINDEX, outIfindex);
    interfaces.keep(output, start, inIfindex, outIfindex);
  }
  if (originalBytes !== undefined) writeNumber(output, ORIGINAL_BYTES, originalBytes);
  if (!protocols.repeat(output, protocol)) {
    const start = output.length;
    if (protocol !== undefined) writeNumber(output, PROTOCOL, protocol);
    protocols.keep(output, start, protocol);
  }
  if (clock.splitTimestamp(sample)) writeTimestamp(output);
  const latency = sample.latencyNs;
  if (latency !== undefined) output.put(ascii(`,"latencyNs":"${latency}"`));
  if (outTc !== undefined) writeNumber(output, OUT_TC, outTc);
  const occupancy = sample.outTcOccupancyBytes;
  if (occupancy !== undefined) output.put(ascii(`,"outTcOccupancyBytes":"${occupancy}"`));
  const { cookie, tunnel, unknown } = sample;
  if (cookie !== undefined) writeHex(output, COOKIE, cookie);
  // Rare enough for the slow way.
  if (tunnel !== undefined) output.text(`,"tunnel":${JSON.stringify(tunnelToJson(tunnel))}`);
  if (unknown.length > 0) output.text(`,"unknown":${JSON.stringify(unknown.map(unknownToJson))}`);
  output.reserve(LONGEST_LINE);
  if (!ends.repeat(output, unknown.length === 0, nsid, portId)) {
    const start = output.length;
    if (unknown.length === 0) output.put(NO_UNKNOWN);
    if (nsid !== undefined) output.put(ascii(`,"nsid":${nsid}`));
    writeNumber(output, PORT_ID, portId);
    ends.keep(output, start, unknown.length === 0, nsid, portId);
  }
  const { data } = sample;
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

/** The nanoseconds in decimal, without the division of big integers that their text would take. */
function writeTimestamp(output: Output): void {
  const { seconds: second, nanoseconds } = clock;
  if (!seconds.repeat(output, second)) {
    const start = output.length;
    output.put(TIMESTAMP);
    if (second > 0) output.put(ascii(String(second)));
    seconds.keep(output, start, second);
  }
  if (second > 0) output.digits(nanoseconds, 9);
  else output.u32(nanoseconds);
  output.byte(QUOTE);
}
