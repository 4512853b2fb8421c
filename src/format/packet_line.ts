/**
 * A line for each packet, as people read them in a terminal:
 *
 *     03:33:20.000000 eth0     < 1514 192.0.2.7.443 > 10.0.0.1.51514: Flags [P.], length 1448
 *
 * When it was sampled, the device, `<` in or `>` out, how long it was, and what its headers say in tcpdump's words.
 */
import type { Device } from "../link/device.ts";
import type { Batch } from "../stream/batch.ts";
import { Clock } from "../stream/clock.ts";
import { printable } from "../wire/text.ts";
import { LocalCalendar } from "./calendar.ts";
import { ascii, type Output } from "./output.ts";
import { ALL, LEAST, LENGTHS, writePacket } from "./packet_words.ts";
import { formatGroupEvent, TextWriter, writeDump } from "./text.ts";

/** What {@linkcode PacketWriter} writes. */
export interface PacketOptions {
  /**
   * How many characters a line may have. Left out where it would be longer, in this order: TCP's numbers and options, the length of
   * what is carried, the end of the device's name, the size. Addresses, types and flags stay, even if the line is too long then.
   * Lines of less than 120 characters have no numbers of TCP at all. Defaults to no limit.
   */
  columns?: number | undefined;
  /** Adds the packet's bytes as a hexadecimal dump below the line. Defaults to `false`. */
  verbose?: boolean | undefined;
  /** Adds a line with everything else that is known of the sample, in libpsample's style. Defaults to `false`. */
  details?: boolean | undefined;
  /** How many seconds local time is ahead of UTC at a time, given in seconds since 1970. Defaults to UTC. */
  utcOffset?: ((seconds: number) => number) | undefined;
}

const BLANK = 0x20;
const DOT = 0x2e;
const IN = 0x3c;
const OUT = 0x3e;
const NOWHERE = 0x2d;
const NEWLINE = 0x0a;

/** How much of a device's name there is room for. */
const DEVICE_COLUMNS = 8;
const SIZE_COLUMNS = 5;
/** From this width on there is room for TCP's numbers. */
const WIDE = 120;
/** More than what comes before the addresses. */
const LONGEST_START = 128;
const INDENT = ascii("    ");
const NO_NAME = ascii("-");

/** Writes samples as lines about their packets, and group events as libpsample does. */
export class PacketWriter {
  readonly #columns: number;
  readonly #verbose: boolean;
  readonly #clock = new Clock();
  readonly #calendar: LocalCalendar;
  /** What writes the line below, if there is one. */
  readonly #details: TextWriter | undefined;
  /** The names of devices as they are printed, made once for each: a device that is renamed is another object. */
  readonly #names = new WeakMap<Device, Uint8Array>();
  /** N of 1 in N that was told last, by group. */
  readonly #rates = new Map<number | undefined, number>();

  /** A writer with options. */
  constructor({ columns = Infinity, verbose = false, details = false, utcOffset }: PacketOptions = {}) {
    this.#columns = columns;
    this.#verbose = verbose;
    this.#calendar = new LocalCalendar(utcOffset);
    this.#details = details ? new TextWriter({ details, utcOffset }) : undefined;
  }

  /** Writes entry `i` of a batch. */
  write(output: Output, batch: Batch, i: number): void {
    const entry = batch.entries[i]!;
    if (entry.type !== "sample") return output.text(formatGroupEvent(entry));
    const { group, oneIn, originalBytes, inIfindex, outIfindex, data } = entry;
    if (oneIn !== undefined && this.#rates.get(group) !== oneIn) {
      this.#rates.set(group, oneIn);
      output.text(`group ${group ?? "-"}: 1/${Number(oneIn.toPrecision(6))}\n`);
    }
    batch.readTime(i, this.#clock);
    const device = batch.device(i);
    const name = device ? this.#nameOf(device) : NO_NAME;
    const direction = outIfindex !== undefined ? OUT : inIfindex !== undefined ? IN : NOWHERE;
    const packet = batch.packet(i);
    const start = output.length;
    const columns = this.#columns;
    let much = columns < WIDE ? LENGTHS : ALL;
    let nameColumns = DEVICE_COLUMNS;
    let hasSize = true;
    this.#writeStart(output, name, nameColumns, direction, originalBytes);
    let words = output.length;
    for (;;) {
      writePacket(output, packet, much);
      const over = output.length - start - columns;
      if (over <= 0 || (much === LEAST && !hasSize)) break;
      if (much > LEAST) {
        much--;
        output.length = words;
        continue;
      }
      if (nameColumns > 1) nameColumns = Math.max(1, nameColumns - over);
      else hasSize = false;
      output.length = start;
      this.#writeStart(output, name, nameColumns, direction, hasSize ? originalBytes : undefined);
      words = output.length;
    }
    output.reserve(1);
    output.byte(NEWLINE);
    if (this.#details) {
      output.append(INDENT);
      this.#details.write(output, batch, i);
    }
    if (this.#verbose && data !== undefined) writeDump(output, data);
  }

  /** Everything before the addresses. */
  #writeStart(output: Output, name: Uint8Array, nameColumns: number, direction: number, size: number | undefined): void {
    output.reserve(LONGEST_START);
    this.#writeTime(output);
    output.byte(BLANK);
    const shown = Math.min(name.length, nameColumns);
    for (let i = 0; i < shown; i++) output.byte(name[i]!);
    for (let blanks = nameColumns - shown + 1; blanks > 0; blanks--) output.byte(BLANK);
    output.byte(direction);
    output.byte(BLANK);
    if (size === undefined) return;
    for (let limit = 10 ** (SIZE_COLUMNS - 1); limit > 1 && size < limit; limit /= 10) output.byte(BLANK);
    output.u32(size);
    output.byte(BLANK);
  }

  #writeTime(output: Output): void {
    const { seconds, nanoseconds } = this.#clock;
    const calendar = this.#calendar;
    calendar.setUtc(seconds);
    calendar.writeTimeOfDay(output);
    output.byte(DOT);
    output.digits(nanoseconds / 1000 >>> 0, 6);
  }

  /** As it is printed: ASCII only, so that a byte is a column. */
  #nameOf(device: Device): Uint8Array {
    let name = this.#names.get(device);
    if (!name) {
      const text = printable(device.name) ?? "-";
      this.#names.set(device, name = ascii(text.replace(/[^\x21-\x7e]/gu, "?")));
    }
    return name;
  }
}
