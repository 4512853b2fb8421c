/**
 * The text of libpsample's `psample` command, line for line: each field as name, blank, value, blank; what
 * a message does not have is left out; the blank before the end of the line stays, scripts cut by it.
 * What is not as there: numbers are unsigned, and the offsets of the hexadecimal dump do not wrap at 256.
 */
import type { Group, GroupEvent } from "../psample/group.ts";
import type { Sample } from "../psample/sample.ts";
import type { Tunnel } from "../psample/tunnel.ts";
import { hexByte, toHex } from "../wire/text.ts";
import { Clock } from "../stream/clock.ts";
import { ascii, Output, Part } from "./output.ts";

/** What {@linkcode formatDetails} asks about things that are not in the sample itself. */
export interface DetailSources {
  /** The name of an interface in the network namespace `nsid` (`undefined`: the listener's own). */
  interfaceName?: ((ifindex: number, nsid: number | undefined) => string | undefined) | undefined;
  /** What the sample's data begins with, such as `"ethernet"`. */
  linkType?: ((sample: Sample) => string | undefined) | undefined;
}

/** What a line of text has beside the fields that libpsample prints. */
export interface TextOptions {
  /** The packet's bytes as a hexadecimal dump below the line: `psample -v`. */
  verbose?: boolean | undefined;
  /** Everything else that is known, behind the fields of libpsample. */
  details?: DetailSources | undefined;
}

const BLANK = 0x20;
const NEWLINE = 0x0a;
const DOT = 0x2e;

const GROUP = ascii("group ");
const IN_IFINDEX = ascii("in-ifindex ");
const OUT_IFINDEX = ascii("out-ifindex ");
const ORIGSIZE = ascii("origsize ");
const SAMPLE_RATE = ascii("sample-rate ");
const SEQ = ascii("seq ");
const OUT_TC = ascii("out-tc ");
const NSEC = ascii(" nsec ");

/** More than the longest line without details: names, 5 u32, 4 u16, 2 u64 and a timestamp are 250 bytes. */
const LONGEST_LINE = 512;

const place = new Part();
const rates = new Part();
const protocols = new Part();

/** Writes the line of one sample. */
export function writeText(output: Output, sample: Sample, options: TextOptions | undefined = undefined): void {
  output.reserve(LONGEST_LINE);
  const { group, inIfindex, outIfindex, originalBytes, rate, sequence, outTc, protocol } = sample;
  if (!place.repeat(output, group, inIfindex, outIfindex)) {
    const start = output.length;
    if (group !== undefined) writeField(output, GROUP, group);
    if (inIfindex !== undefined) writeField(output, IN_IFINDEX, inIfindex);
    if (outIfindex !== undefined) writeField(output, OUT_IFINDEX, outIfindex);
    place.keep(output, start, group, inIfindex, outIfindex);
  }
  if (originalBytes !== undefined) writeField(output, ORIGSIZE, originalBytes);
  if (!rates.repeat(output, rate)) {
    const start = output.length;
    if (rate !== undefined) writeField(output, SAMPLE_RATE, rate);
    rates.keep(output, start, rate);
  }
  if (sequence !== undefined) writeField(output, SEQ, sequence);
  if (outTc !== undefined) writeField(output, OUT_TC, outTc);
  const occupancy = sample.outTcOccupancyBytes;
  if (occupancy !== undefined) output.put(ascii(`out-tc-occ ${occupancy} `));
  const latency = sample.latencyNs;
  if (latency !== undefined) output.put(ascii(`latency ${latency} `));
  if (clock.splitTimestamp(sample)) writeTimestamp(output);
  if (!protocols.repeat(output, protocol)) {
    const start = output.length;
    if (protocol !== undefined) output.put(ascii(`protocol 0x${protocol.toString(16)} `));
    protocols.keep(output, start, protocol);
  }
  if (options !== undefined) {
    if (options.details !== undefined) output.text(formatDetails(sample, options.details));
    if (options.verbose) {
      const data = sample.data;
      if (data !== undefined) writeDump(output, data);
    }
  }
  output.reserve(1);
  output.byte(NEWLINE);
}

/** The line of one sample, with its newline. */
export function formatText(sample: Sample, options?: TextOptions): string {
  const output = new Output(LONGEST_LINE);
  writeText(output, sample, options);
  return output.takeText();
}

/** The line of one group event, with its newline. */
export function formatGroupEvent(event: GroupEvent): string {
  const verb = event.type === "group-created" ? "created" : "deleted";
  const sequence = event.sequence === undefined ? "" : `with current seq ${event.sequence} `;
  return `${verb} group ${event.group} ${sequence}\n`;
}

/** The table of `psample -l`: nothing at all where there are no groups. */
export function formatGroups(groups: readonly Group[]): string {
  if (groups.length === 0) return "";
  const row = (...cells: (string | number)[]): string => `${cells.map((cell) => String(cell).padEnd(15)).join(" ")}\n`;
  let table = row("Group Num", "Refcount", "Group Seq");
  for (const { group, refcount, sequence } of groups) table += row(group, refcount ?? "-", sequence ?? "-");
  return table;
}

function writeField(output: Output, name: Uint8Array, value: number): void {
  output.put(name);
  output.u32(value);
  output.byte(BLANK);
}

const DAYS = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"];
const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

const clock = new Clock();
/** The second in local time, as asctime(3) has it. */
const seconds = new Part();

function writeTimestamp(output: Output): void {
  if (!seconds.repeat(output, clock.seconds)) {
    const start = output.length;
    output.put(ascii(`timestamp ${asctime(clock.seconds)} `));
    seconds.keep(output, start, clock.seconds);
  }
  output.digits(clock.nanoseconds, 9);
  output.put(NSEC);
}

function asctime(seconds: number): string {
  const date = new Date(seconds * 1000);
  const two = (value: number): string => String(value).padStart(2, "0");
  const day = String(date.getDate()).padStart(3);
  const time = `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`;
  return `${DAYS[date.getDay()]} ${MONTHS[date.getMonth()]}${day} ${time} ${date.getFullYear()}`;
}

const BYTES_PER_LINE = 16;
// "0x0000:  ", three a byte, a blank, the characters and the newline; offsets have up to 8 digits.
const DUMP_LINE = 12 + 3 * BYTES_PER_LINE + 1 + BYTES_PER_LINE + 1;
const DUMP_END = ascii(":  ");

function writeDump(output: Output, data: Uint8Array): void {
  output.reserve(32 + DUMP_LINE * Math.ceil(data.length / BYTES_PER_LINE));
  output.put(ascii(`data len ${data.length}\n`));
  for (let start = 0; start < data.length; start += BYTES_PER_LINE) {
    const line = data.subarray(start, start + BYTES_PER_LINE);
    output.put(ascii(`0x${start.toString(16).padStart(4, "0")}`));
    output.put(DUMP_END);
    for (let i = 0; i < BYTES_PER_LINE; i++) {
      if (i < line.length) {
        output.hexByte(line[i]!);
      } else {
        output.byte(BLANK);
        output.byte(BLANK);
      }
      output.byte(BLANK);
    }
    output.byte(BLANK);
    for (let i = 0; i < line.length; i++) {
      const byte = line[i]!;
      output.byte(byte >= 0x20 && byte < 0x7f ? byte : DOT);
    }
    output.byte(NEWLINE);
  }
}

/**
 * What libpsample does not print, in its style: name, blank, value, blank. It stands on the line of
 * {@linkcode formatText} behind libpsample's own fields.
 */
export function formatDetails(sample: Sample, sources: DetailSources): string {
  let line = "";
  const field = (name: string, value: string | number | bigint | undefined): void => {
    if (value !== undefined) line += `${name} ${value} `;
  };
  const { inIfindex, outIfindex, nsid } = sample;
  if (sources.interfaceName) {
    if (inIfindex !== undefined) field("in-name", printable(sources.interfaceName(inIfindex, nsid)));
    if (outIfindex !== undefined) field("out-name", printable(sources.interfaceName(outIfindex, nsid)));
  }
  if (sources.linkType) field("link-type", printable(sources.linkType(sample)));
  if (sample.rateIsProbability && sample.rate !== undefined) {
    field("probability", short(sample.rate / 0xffffffff));
    if (sample.oneIn !== undefined) field("one-in", short(sample.oneIn));
  }
  field("cookie", hexWord(sample.cookie));
  if (sample.tunnel !== undefined) line += tunnelDetails(sample.tunnel);
  field("nsid", nsid);
  if (sample.portId !== 0) field("sender", sample.portId);
  for (const { type, value } of sample.unknown) field(`attr-${type}`, hexWord(value));
  return line;
}

function tunnelDetails(tunnel: Tunnel): string {
  let line = "";
  const field = (name: string, value: string | number | bigint | undefined): void => {
    if (value !== undefined) line += `tunnel-${name} ${value} `;
  };
  field("id", tunnel.id);
  field("src", tunnel.source);
  field("dst", tunnel.destination);
  field("tos", tunnel.tos);
  field("ttl", tunnel.ttl);
  field("sport", tunnel.sourcePort);
  field("dport", tunnel.destinationPort);
  const flags: string[] = [];
  if (tunnel.dontFragment) flags.push("df");
  if (tunnel.checksum) flags.push("csum");
  if (tunnel.oam) flags.push("oam");
  if (tunnel.ipv4InfoBridge) flags.push("bridge");
  if (flags.length > 0) field("flags", flags.join(","));
  const geneve = tunnel.geneveOptions?.map((option) => {
    const head = `${option.optionClass.toString(16).padStart(4, "0")}:${hexByte(option.type)}`;
    return option.data.length === 0 ? head : `${head}:${toHex(option.data)}`;
  });
  if (geneve !== undefined) field("geneve", geneve.join(",") || "-");
  field("vxlan", hexWord(tunnel.vxlanOptions));
  field("erspan", hexWord(tunnel.erspanOptions));
  for (const { type, value } of tunnel.unknown) field(`attr-${type}`, hexWord(value));
  return line;
}

/** Hexadecimal, or a dash for no bytes at all: a value must be something to cut by. */
function hexWord(bytes: Uint8Array | undefined): string | undefined {
  return bytes && (bytes.length === 0 ? "-" : toHex(bytes));
}

/** A fraction for people: nine digits say more than the kernel's 32 bits hold. */
function short(value: number): number {
  return Number(value.toPrecision(9));
}

/**
 * Strangers choose the names of interfaces, and the kernel lets them have all bytes but `/`, `:` and white
 * space: what could steer a terminal, break the line or hide becomes `\xNN`, and so does the backslash.
 */
export function printable(text: string | undefined): string | undefined {
  return text?.replace(/[\\\p{C}\p{Z}]/gu, (character) => {
    let escaped = "";
    for (const byte of ascii(character)) escaped += `\\x${hexByte(byte)}`;
    return escaped;
  });
}
