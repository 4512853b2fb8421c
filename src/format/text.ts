/**
 * The text of libpsample's `psample` command, line for line: each field as name, space, value, space; absent fields are left out; the space
 * at the end of the line is kept because scripts cut by it. Two differences: numbers are unsigned, and the offsets of the hexadecimal dump
 * do not wrap at 256.
 */
import type { Devices } from "../link/device.ts";
import type { Group, GroupEvent } from "../psample/group.ts";
import type { AnySample } from "../psample/sample_view.ts";
import type { Batch } from "../stream/batch.ts";
import { Clock } from "../stream/clock.ts";
import { printable } from "../wire/text.ts";
import { LocalCalendar } from "./calendar.ts";
import { groupLabel, type Labels, vlanLabels } from "./labels.ts";
import { Output, Word } from "./output.ts";
import { DeviceWriter, writeDetails, writeLabels } from "./text_details.ts";

/**
 * How to write samples as text.
 *
 * @category Formats
 */
export interface TextOptions {
  /** Adds the packet's bytes as a hexadecimal dump below the line. Defaults to `false`. */
  verbose?: boolean | undefined;
  /** Adds everything else that is known, after libpsample's fields. Defaults to `false`. */
  details?: boolean | undefined;
  /** Names to add for groups, cookies and VLANs. Defaults to none. */
  labels?: Labels | undefined;
  /** How many seconds local time is ahead of UTC at a time, given in seconds since 1970. Defaults to UTC. */
  utcOffset?: ((seconds: number) => number) | undefined;
}

const BLANK = 0x20;
const NEWLINE = 0x0a;

const GROUP = new Word("group ");
const IN_IFINDEX = new Word("in-ifindex ");
const OUT_IFINDEX = new Word("out-ifindex ");
const ORIGSIZE = new Word("origsize ");
const SAMPLE_RATE = new Word("sample-rate ");
const SEQ = new Word("seq ");
const OUT_TC = new Word("out-tc ");
const OUT_TC_OCC = new Word("out-tc-occ ");
const LATENCY = new Word("latency ");
const TIMESTAMP = new Word("timestamp ");
const NSEC = new Word(" nsec ");
const PROTOCOL = new Word("protocol 0x");

const DAYS = ["Sun ", "Mon ", "Tue ", "Wed ", "Thu ", "Fri ", "Sat "].map((day) => new Word(day));
const MONTHS = ["Jan ", "Feb ", "Mar ", "Apr ", "May ", "Jun ", "Jul ", "Aug ", "Sep ", "Oct ", "Nov ", "Dec "]
  .map((month) => new Word(month));

/** More than the longest line without details: names, 5 u32, 4 u16, 2 u64 and a timestamp are 250 bytes. */
const LONGEST_LINE = 512;

/**
 * Writes samples and group events as lines of text.
 *
 * @category Formats
 */
export class TextWriter {
  readonly #verbose: boolean;
  readonly #details: boolean;
  readonly #labels: Labels | undefined;
  readonly #devices = new DeviceWriter();
  readonly #clock = new Clock();
  readonly #calendar: LocalCalendar;

  /** A writer with options. */
  constructor({ verbose = false, details = false, utcOffset, labels }: TextOptions = {}) {
    this.#verbose = verbose;
    this.#details = details;
    this.#labels = labels;
    this.#calendar = new LocalCalendar(utcOffset);
  }

  /** Writes entry `i` of a batch. */
  write(output: Output, batch: Batch, i: number): void {
    const entry = batch.entries[i]!;
    if (entry.type !== "sample") return output.text(formatGroupEvent(entry, this.#labels));
    this.#fields(output, entry);
    if (this.#details) {
      this.#devices.write(output, entry, batch.devicesOf(i), batch.recorded ? batch.device(i) : undefined);
      writeDetails(output, entry);
    }
    if (this.#labels) writeLabels(output, this.#labels, entry, vlanLabels(this.#labels, batch, i));
    this.#end(output, entry);
  }

  /** Writes the line of one sample; `devices` are those that details name. Names of VLANs take a batch: see {@linkcode TextWriter.write}. */
  writeSample(output: Output, sample: AnySample, devices?: Devices): void {
    this.#fields(output, sample);
    if (this.#details) {
      if (devices) this.#devices.write(output, sample, devices);
      writeDetails(output, sample);
    }
    if (this.#labels) writeLabels(output, this.#labels, sample, []);
    this.#end(output, sample);
  }

  #fields(output: Output, sample: AnySample): void {
    output.reserve(LONGEST_LINE);
    const { group, inIfindex, outIfindex, originalBytes, rate, sequence, outTc, protocol } = sample;
    if (group !== undefined) writeField(output, GROUP, group);
    if (inIfindex !== undefined) writeField(output, IN_IFINDEX, inIfindex);
    if (outIfindex !== undefined) writeField(output, OUT_IFINDEX, outIfindex);
    if (originalBytes !== undefined) writeField(output, ORIGSIZE, originalBytes);
    if (rate !== undefined) writeField(output, SAMPLE_RATE, rate);
    if (sequence !== undefined) writeField(output, SEQ, sequence);
    if (outTc !== undefined) writeField(output, OUT_TC, outTc);
    const occupancy = sample.outTcOccupancyBytes;
    if (occupancy !== undefined) writeLongField(output, OUT_TC_OCC, occupancy);
    const latency = sample.latencyNs;
    if (latency !== undefined) writeLongField(output, LATENCY, latency);
    if (this.#clock.splitTimestamp(sample)) this.#writeTimestamp(output);
    if (protocol !== undefined) {
      output.word(PROTOCOL);
      output.hexNumber(protocol);
      output.byte(BLANK);
    }
  }

  #end(output: Output, sample: AnySample): void {
    if (this.#verbose) {
      const { data } = sample;
      if (data !== undefined) writeDump(output, data);
    }
    output.reserve(1);
    output.byte(NEWLINE);
  }

  /** The time as ctime(3) prints it, and the nanoseconds of its second. */
  #writeTimestamp(output: Output): void {
    const { seconds, nanoseconds } = this.#clock;
    const calendar = this.#calendar;
    calendar.setUtc(seconds);
    output.word(TIMESTAMP);
    output.word(DAYS[calendar.weekday]!);
    output.word(MONTHS[calendar.month]!);
    if (calendar.day < 10) output.byte(BLANK);
    output.u32(calendar.day);
    output.byte(BLANK);
    calendar.writeTimeOfDay(output);
    output.byte(BLANK);
    output.u32(calendar.year);
    output.byte(BLANK);
    output.digits(nanoseconds, 9);
    output.word(NSEC);
  }
}

/**
 * The line of one sample, with its newline; `devices` are those that details name.
 *
 * @category Formats
 */
export function formatText(sample: AnySample, options?: TextOptions, devices?: Devices): string {
  const output = new Output(LONGEST_LINE);
  new TextWriter(options).writeSample(output, sample, devices);
  return output.takeText();
}

/**
 * The line of one group event, with its newline.
 *
 * @category Formats
 */
export function formatGroupEvent(event: GroupEvent, labels?: Labels): string {
  const verb = event.type === "group-created" ? "created" : "deleted";
  const sequence = event.sequence === undefined ? "" : `with current seq ${event.sequence} `;
  const label = labels && groupLabel(labels, event);
  return `${verb} group ${event.group} ${sequence}${label === undefined ? "" : `group-label ${printable(label)} `}\n`;
}

/**
 * The table of `psample -l`; empty if there are no groups.
 *
 * @category Formats
 */
export function formatGroups(groups: readonly Group[]): string {
  if (groups.length === 0) return "";
  const row = (...cells: (string | number)[]): string => `${cells.map((cell) => String(cell).padEnd(15)).join(" ")}\n`;
  let table = row("Group Num", "Refcount", "Group Seq");
  for (const { group, refcount, sequence } of groups) table += row(group, refcount ?? "-", sequence ?? "-");
  return table;
}

function writeField(output: Output, name: Word, value: number): void {
  output.word(name);
  output.u32(value);
  output.byte(BLANK);
}

function writeLongField(output: Output, name: Word, value: bigint): void {
  output.word(name);
  output.number(value);
  output.byte(BLANK);
}

const BYTES_PER_LINE = 16;
// "0x0000:  ", three characters for each byte, a blank, the characters, the newline; offsets have up to 8 digits.
const DUMP_LINE = 12 + 3 * BYTES_PER_LINE + 1 + BYTES_PER_LINE + 1;
const DATA_LEN = new Word("data len ");
const OFFSET = new Word("0x");
const OFFSET_END = new Word(":  ");
const DOT = ".".charCodeAt(0);

/** The character shown for each byte: printable ASCII as itself. */
const CHARACTERS = Uint8Array.from({ length: 256 }, (_, byte) => byte >= 0x20 && byte < 0x7f ? byte : DOT);

/** Writes bytes in hexadecimal and as characters, 16 per line, after a line with their number. */
export function writeDump(output: Output, data: Uint8Array): void {
  output.reserve(32 + DUMP_LINE * Math.ceil(data.length / BYTES_PER_LINE));
  output.word(DATA_LEN);
  output.u32(data.length);
  output.byte(NEWLINE);
  for (let start = 0; start < data.length; start += BYTES_PER_LINE) {
    const end = Math.min(start + BYTES_PER_LINE, data.length);
    output.word(OFFSET);
    if (start < 0x1000) {
      output.hexByte(start >>> 8);
      output.hexByte(start & 0xff);
    } else {
      output.hexNumber(start);
    }
    output.word(OFFSET_END);
    for (let i = start; i < end; i++) {
      output.hexByte(data[i]!);
      output.byte(BLANK);
    }
    for (let blanks = 3 * (start + BYTES_PER_LINE - end) + 1; blanks > 0; blanks--) output.byte(BLANK);
    for (let i = start; i < end; i++) output.byte(CHARACTERS[data[i]!]!);
    output.byte(NEWLINE);
  }
}
