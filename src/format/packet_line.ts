/**
 * A line for each packet, as people read them in a terminal:
 *
 *     03:33:20.000000 eth0     < 1514 192.0.2.7.443 > 10.0.0.1.51514: Flags [P.], length 1448
 *
 * The time of the sample, the device, `<` in or `>` out, the packet's size, and its headers in tcpdump's words.
 */
import type { Device, Devices } from "../link/device.ts";
import type { AnySample } from "../psample/sample_view.ts";
import type { Batch } from "../stream/batch.ts";
import { Clock } from "../stream/clock.ts";
import { printable } from "../wire/text.ts";
import { ascii, type Output } from "./output.ts";
import { cookieLabel, groupLabel, type Labels } from "./labels.ts";
import { colored, faint } from "./packet_colors.ts";
import { PacketTime, type PacketTimeForm } from "./packet_time.ts";
import { ALL, LEAST, LENGTHS, writeLinkLevel, writePacket } from "./packet_words.ts";
import { formatGroupEvent, TextWriter, writeDump } from "./text.ts";

/**
 * What {@linkcode PacketWriter} writes.
 *
 * @category Formats
 */
export interface PacketOptions {
  /**
   * Maximum length of a line, or a function that returns it for each line. Longer lines lose, in this order: TCP's
   * numbers and options, the length of what is carried, the blanks that align columns, the date, the size, the end of the device's name.
   * Addresses, types and flags stay, even if the line is then too long. With a limit below 120 characters, lines never contain TCP's
   * numbers. Defaults to no limit.
   */
  columns?: number | (() => number) | undefined;
  /** How a line begins. Defaults to `"time"`. */
  time?: PacketTimeForm | undefined;
  /** Adds the link-layer addresses and the EtherType, and shows everything, whatever {@linkcode PacketOptions.columns} says. Defaults to `false`. */
  linkLevel?: boolean | undefined;
  /** Adds colours for a terminal. Defaults to `false`. */
  color?: boolean | undefined;
  /** Adds the packet's bytes as a hexadecimal dump below the line. Defaults to `false`. */
  verbose?: boolean | undefined;
  /** Adds a line with everything else known about the sample, in libpsample's style. Defaults to `false`. */
  details?: boolean | undefined;
  /** Names to add for groups, cookies and VLANs. Defaults to none. */
  labels?: Labels | undefined;
  /** How many seconds local time is ahead of UTC at a time, given in seconds since 1970. Defaults to UTC. */
  utcOffset?: ((seconds: number) => number) | undefined;
}

const BLANK = 0x20;
const IN = 0x3c;
const OUT = 0x3e;
const NOWHERE = 0x2d;
const NEWLINE = 0x0a;
const BACKSLASH = 0x5c;
/** How long the escape of a byte is. */
const ESCAPE_BYTES = 4;

/** How many characters of a device's name there is room for, unless it takes more to tell two devices apart. */
const DEVICE_COLUMNS = 8;
/** The longest name, each of whose 15 bytes may be an escape. */
const MOST_DEVICE_COLUMNS = 15 * ESCAPE_BYTES;
/** How many starts of names are kept, and names of each, to be compared with further ones: names come and go with containers. */
const MOST_STARTS = 4096;
const MOST_ALIKE = 256;
const SIZE_COLUMNS = 5;
/** From this width on there is room for TCP's numbers. */
const WIDE = 120;
/** More than anything before the addresses takes. */
const LONGEST_START = 128;
const INDENT = ascii("    ");
const NO_NAME = ascii("-");

const decoder = new TextDecoder();

/**
 * Writes samples as lines about their packets, and group events as libpsample does.
 *
 * @category Formats
 */
export class PacketWriter {
  readonly #columns: () => number;
  readonly #linkLevel: boolean;
  readonly #color: boolean;
  readonly #verbose: boolean;
  readonly #labels: Labels | undefined;
  readonly #clock = new Clock();
  readonly #time: PacketTime;
  /** Writes the line below, if there is one. */
  readonly #details: TextWriter | undefined;
  /** The names of devices as they are printed, made once for each: a device that is renamed is another object. */
  readonly #names = new WeakMap<Device, Uint8Array>();
  /** The names of devices that are longer than their column, by what fits into it. */
  readonly #cut = new Map<string, Set<string>>();
  /** The width of the column of devices. It grows when two names would look alike. */
  #deviceColumns = DEVICE_COLUMNS;
  /** The N of 1 in N that was printed last, by group. */
  readonly #rates = new Map<number | undefined, number>();
  /** The start of the line: how much of it there is room for, and where its parts end. */
  readonly #start: Start = { nameColumns: 0, sizeColumns: 0, hasDate: true, hasSize: true, timeEnd: 0, nameEnd: 0, directionEnd: 0 };

  /** A writer with options. */
  constructor(options: PacketOptions = {}) {
    const { columns = Infinity, time = "time", linkLevel = false, color = false, verbose = false, details = false, utcOffset, labels } =
      options;
    this.#columns = linkLevel ? () => Infinity : typeof columns === "number" ? () => columns : columns;
    this.#time = new PacketTime(time, utcOffset);
    this.#linkLevel = linkLevel;
    this.#color = color;
    this.#verbose = verbose;
    this.#labels = labels;
    this.#details = details ? new TextWriter({ details, utcOffset, labels }) : undefined;
  }

  /** Writes entry `i` of a batch. */
  write(output: Output, batch: Batch, i: number): void {
    const entry = batch.entries[i]!;
    if (entry.type !== "sample") return output.text(formatGroupEvent(entry, this.#labels));
    const { group, oneIn, originalBytes, inIfindex, outIfindex } = entry;
    if (oneIn !== undefined && this.#rates.get(group) !== oneIn) {
      this.#rates.set(group, oneIn);
      const label = this.#labels && groupLabel(this.#labels, entry);
      const rate = `group ${group ?? "-"}${label === undefined ? "" : ` (${printable(label)})`}: 1/${Number(oneIn.toPrecision(6))}`;
      output.text(`${this.#color ? faint(rate) : rate}\n`);
    }
    if (batch.hasTime(i)) {
      batch.readTime(i, this.#clock);
      this.#time.set(this.#clock);
    } else {
      this.#time.setUnknown();
    }
    const device = batch.device(i);
    const name = device ? this.#nameOf(device, batch.devicesOf(i)) : NO_NAME;
    const direction = outIfindex !== undefined ? OUT : inIfindex !== undefined ? IN : NOWHERE;
    const packet = batch.packet(i);
    const labels = this.#labels && namesOf(this.#labels, entry);
    const vlans = this.#labels?.vlans;
    const begin = output.length;
    const columns = this.#columns();
    let much = columns < WIDE ? LENGTHS : ALL;
    const start = this.#start;
    start.nameColumns = this.#deviceColumns;
    start.sizeColumns = SIZE_COLUMNS;
    start.hasDate = start.hasSize = true;
    this.#writeStart(output, name, direction, originalBytes);
    let words = output.length;
    for (;;) {
      if (this.#linkLevel) writeLinkLevel(output, packet);
      writePacket(output, packet, much, vlans);
      if (labels !== undefined) output.text(labels);
      const over = output.length - begin - columns;
      if (over <= 0) break;
      if (much > LEAST) {
        much--;
        output.length = words;
        continue;
      }
      if (!this.#shorten(over, name, originalBytes)) break;
      output.length = begin;
      this.#writeStart(output, name, direction, originalBytes);
      words = output.length;
    }
    if (this.#color) this.#paint(output, begin, words);
    output.reserve(1);
    output.byte(NEWLINE);
    if (this.#details) {
      output.append(INDENT);
      this.#details.write(output, batch, i);
    }
    // Read only here, because the view has to be made first.
    const data = this.#verbose ? entry.data : undefined;
    if (data !== undefined) writeDump(output, data);
  }

  /**
   * Leaves out the next part of the start of a line that is too long by `over`; returns false if nothing is left that may be. Two devices
   * must not look alike, so names are cut last.
   */
  #shorten(over: number, name: Uint8Array, size: number | undefined): boolean {
    const start = this.#start;
    const shown = Math.max(1, fitting(name, this.#deviceColumns));
    const digits = digitsOf(size);
    if (start.nameColumns > shown) {
      start.nameColumns = Math.max(shown, start.nameColumns - over);
    } else if (start.hasSize && start.sizeColumns > digits) {
      start.sizeColumns = Math.max(digits, start.sizeColumns - over);
    } else if ((start.hasDate && this.#time.hasDate) || start.hasSize) {
      if (start.hasDate && this.#time.hasDate) start.hasDate = false;
      else start.hasSize = false;
      // Then there may be room for the blanks again.
      start.nameColumns = this.#deviceColumns;
      start.sizeColumns = SIZE_COLUMNS;
    } else if (start.nameColumns > 1) {
      start.nameColumns = Math.max(1, start.nameColumns - over);
    } else {
      return false;
    }
    return true;
  }

  /** Everything before the addresses. */
  #writeStart(output: Output, name: Uint8Array, direction: number, size: number | undefined): void {
    const start = this.#start;
    const { nameColumns } = start;
    output.reserve(LONGEST_START);
    this.#time.write(output, start.hasDate);
    start.timeEnd = output.length;
    const shown = fitting(name, nameColumns);
    for (let i = 0; i < shown; i++) output.byte(name[i]!);
    for (let blanks = nameColumns - shown + 1; blanks > 0; blanks--) output.byte(BLANK);
    start.nameEnd = output.length;
    output.byte(direction);
    output.byte(BLANK);
    start.directionEnd = output.length;
    if (size === undefined || !start.hasSize) return;
    for (let blanks = start.sizeColumns - digitsOf(size); blanks > 0; blanks--) output.byte(BLANK);
    output.u32(size);
    output.byte(BLANK);
  }

  /** Puts colours into the line that begins at `begin`, whose words begin at `words`. */
  #paint(output: Output, begin: number, words: number): void {
    const { timeEnd, nameEnd, directionEnd } = this.#start;
    const part = (from: number, to: number): string => decoder.decode(output.bytes.subarray(from, to));
    const line = colored({
      time: part(begin, timeEnd),
      device: part(timeEnd, nameEnd),
      direction: part(nameEnd, directionEnd),
      size: part(directionEnd, words),
      words: part(words, output.length),
    });
    output.length = begin;
    output.text(line);
  }

  /** The name as printed: ASCII only, so that each byte is a column. */
  #nameOf(device: Device, devices: Devices): Uint8Array {
    let name = this.#names.get(device);
    if (!name) {
      this.#names.set(device, name = ascii(shownName(device)));
      this.#tellApart(device);
      // Those of which nothing has been sampled yet too: what is printed now must not look like theirs later.
      if (name.length > DEVICE_COLUMNS) { for (const other of devices.all?.() ?? []) this.#tellApart(other); }
    }
    return name;
  }

  /** Widens the column if this device would look like another one in it. */
  #tellApart(device: Device): void {
    const name = shownName(device);
    const start = startOf(name, DEVICE_COLUMNS);
    let alike = this.#cut.get(start);
    if (!alike) {
      if (this.#cut.size >= MOST_STARTS) this.#cut.clear();
      this.#cut.set(start, alike = new Set());
    }
    for (const other of alike) {
      if (other === name) continue;
      while (this.#deviceColumns < MOST_DEVICE_COLUMNS && startOf(name, this.#deviceColumns) === startOf(other, this.#deviceColumns)) {
        this.#deviceColumns++;
      }
    }
    if (alike.size < MOST_ALIKE) alike.add(name);
  }
}

/** The name of a device as it is printed. */
function shownName({ name }: Device): string {
  return (printable(name) ?? "-").replace(/[^\x21-\x7e]/gu, "?");
}

function startOf(name: string, columns: number): string {
  return name.slice(0, fitting(ascii(name), columns));
}

/** How many digits the size of a packet has. */
function digitsOf(size: number | undefined): number {
  let digits = 1;
  for (let rest = size ?? 0; rest >= 10; rest /= 10) digits++;
  return digits;
}

/** How much of a printable name fits: of an escape, such as `\x1b`, all or nothing. */
function fitting(name: Uint8Array, columns: number): number {
  if (name.length <= columns) return name.length;
  // A backslash in a name is escaped too, so that each of them begins one.
  for (let at = Math.max(0, columns - ESCAPE_BYTES + 1); at < columns; at++) if (name[at] === BACKSLASH) return at;
  return columns;
}

/** The names of a sample's group and cookie, for the end of its line; `undefined` if they have none. */
function namesOf(labels: Labels, sample: AnySample): string | undefined {
  const names = [groupLabel(labels, sample), cookieLabel(labels, sample)].filter((name) => name !== undefined);
  return names.length === 0 ? undefined : ` (${names.map((name) => printable(name)).join(", ")})`;
}

/** How the start of a line is written. */
interface Start {
  nameColumns: number;
  sizeColumns: number;
  hasDate: boolean;
  hasSize: boolean;
  timeEnd: number;
  nameEnd: number;
  directionEnd: number;
}
