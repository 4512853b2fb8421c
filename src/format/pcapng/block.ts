/** Blocks and options of pcapng: their numbers, and how they are written. Source: draft-ietf-opsawg-pcapng. */
import { align4, LITTLE } from "../../wire/native.ts";
import type { Output } from "../output.ts";

export const BLOCK_SECTION = 0x0a0d0d0a;
export const BLOCK_INTERFACE = 1;
/** The obsolete block of a packet. */
export const BLOCK_PACKET = 2;
export const BLOCK_SIMPLE = 3;
export const BLOCK_STATISTICS = 5;
export const BLOCK_ENHANCED = 6;
export const BYTE_ORDER_MAGIC = 0x1a2b3c4d;

/** Size of a block's type and length before its body. */
export const BLOCK_HEAD = 8;
/** Size of a block without a body: type, length, and the length once more at its end. */
export const BLOCK_FRAME = 12;

// Options of every block.
export const OPTION_END = 0;
export const OPTION_COMMENT = 1;
export const OPTION_CUSTOM = 2989;
// Of a section's header.
export const OPTION_HARDWARE = 2;
export const OPTION_OS = 3;
export const OPTION_APPLICATION = 4;
// Of an interface's description.
export const OPTION_NAME = 2;
export const OPTION_DESCRIPTION = 3;
export const OPTION_MAC = 6;
export const OPTION_EUI = 7;
export const OPTION_TSRESOL = 9;
export const OPTION_TSOFFSET = 14;
// Of a packet.
export const OPTION_FLAGS = 2;
export const OPTION_DROPCOUNT = 4;
export const OPTION_PACKETID = 5;
export const OPTION_QUEUE = 6;
// Of an interface's statistics.
export const OPTION_STARTTIME = 2;
export const OPTION_ENDTIME = 3;
export const OPTION_IFRECV = 4;
export const OPTION_IFDROP = 5;
export const OPTION_OSDROP = 7;
export const OPTION_USRDELIV = 8;

/** The longest value of an option. */
export const OPTION_MOST = 0xffff;

const BLANK = 0x20;

/** Writes blocks in one byte order. Only texts make their own room. */
export class BlockWriter {
  /** The byte order of the file. */
  readonly little: boolean;

  /** Writes in this byte order; defaults to this machine's. */
  constructor(littleEndian: boolean = LITTLE) {
    this.little = littleEndian;
  }

  /** Begins a block. The first `size` bytes, its head included, are not options: they are the caller's to write. */
  begin(output: Output, type: number, size: number): number {
    output.reserve(size + 16);
    const start = output.length;
    output.view.setUint32(start, type, this.little);
    output.length = start + size;
    return start;
  }

  /** Ends the block that begins at `start`. */
  end(output: Output, start: number, hasOptions = true): void {
    output.reserve(12);
    this.pad(output, start);
    if (hasOptions) {
      output.view.setUint32(output.length, OPTION_END);
      output.length += 4;
    }
    const size = output.length + 4 - start;
    output.view.setUint32(start + 4, size, this.little);
    output.view.setUint32(output.length, size, this.little);
    output.length += 4;
  }

  /** Begins an option of `size` bytes, and returns where its value belongs. */
  option(output: Output, code: number, size: number): number {
    const { view, length: at } = output;
    const end = at + 4 + align4(size);
    // The last four bytes, of which some are padding.
    if (end > at + 4) view.setUint32(end - 4, 0);
    view.setUint16(at, code, this.little);
    view.setUint16(at + 2, size, this.little);
    output.length = end;
    return at + 4;
  }

  /** An option whose value is a u32. */
  u32Option(output: Output, code: number, value: number): void {
    output.view.setUint32(this.option(output, code, 4), value, this.little);
  }

  /** An option whose value is a u64, given as its two halves. */
  halvesOption(output: Output, code: number, high: number, low: number): void {
    const { little } = this;
    const at = this.option(output, code, 8);
    output.view.setUint32(little ? at + 4 : at, high, little);
    output.view.setUint32(little ? at : at + 4, low, little);
  }

  /** An option whose value is a whole number. */
  numberOption(output: Output, code: number, value: number): void {
    this.halvesOption(output, code, Math.floor(value / 0x1_0000_0000), value >>> 0);
  }

  /** An option whose value is a time: its upper half comes first, in either byte order. */
  timeOption(output: Output, code: number, high: number, low: number): void {
    this.time(output, this.option(output, code, 8), high, low);
  }

  /** An option whose value is text; none if it is empty. */
  textOption(output: Output, code: number, text: string): void {
    output.reserve(4);
    const start = output.length;
    output.length += 4;
    output.text(text);
    this.endText(output, start, code);
  }

  /** Makes an option of the text that was written after the four bytes at `start`, without a blank at its end. */
  endText(output: Output, start: number, code: number): void {
    const { bytes } = output;
    const begin = start + 4;
    let end = output.length;
    if (end - begin > OPTION_MOST) {
      end = begin + OPTION_MOST;
      // Not in the middle of a character.
      while ((bytes[end]! & 0xc0) === 0x80) end--;
    }
    if (end > begin && bytes[end - 1] === BLANK) end--;
    if (end === begin) {
      output.length = start;
      return;
    }
    output.length = end;
    output.reserve(4);
    output.view.setUint16(start, code, this.little);
    output.view.setUint16(start + 2, end - begin, this.little);
    this.pad(output, start);
  }

  /** Pads what begins at `start` to a multiple of four bytes. */
  pad(output: Output, start: number): void {
    while ((output.length - start) % 4 !== 0) output.byte(0);
  }

  /** A time at `at`. */
  time(output: Output, at: number, high: number, low: number): void {
    output.view.setUint32(at, high, this.little);
    output.view.setUint32(at + 4, low, this.little);
  }
}
