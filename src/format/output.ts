/** The bytes that a batch of samples becomes: text, JSON and recordings are all built in one of these. */

import { DIGITS, writeHex } from "./hex.ts";

const encoder = new TextEncoder();
const decoder = new TextDecoder();

/** Up to here a loop costs less than a call of `set`. */
const SHORT_WORD = 16;

/** Text as bytes, once, for words that every line has. */
export function ascii(text: string): Uint8Array {
  return encoder.encode(text);
}

/**
 * A buffer that grows, is written by the batch and emptied by {@linkcode Output.clear}. Building lines as
 * bytes costs half of what building them as strings and encoding those does, in both runtimes.
 *
 * Only {@linkcode Output.append} and {@linkcode Output.text} make room by themselves. With the others, whoever
 * writes a line reserves for all of it, once.
 */
export class Output {
  /** The memory; what is written are its first {@linkcode Output.length} bytes. */
  bytes: Uint8Array<ArrayBuffer>;
  /** The same memory, for numbers wider than a byte. */
  view: DataView<ArrayBuffer>;
  /** How many bytes are written. */
  length = 0;

  /** An empty output with memory for `size` bytes to begin with. */
  constructor(size = 1 << 16) {
    this.bytes = new Uint8Array(new ArrayBuffer(size));
    this.view = new DataView(this.bytes.buffer);
  }

  /** What is written: a view that is valid until the next write. */
  get written(): Uint8Array<ArrayBuffer> {
    return this.bytes.subarray(0, this.length);
  }

  /** Forgets the first `size` bytes of what is written. */
  drop(size: number): void {
    if (size < this.length) this.bytes.copyWithin(0, size, this.length);
    this.length -= size;
  }

  /** Forgets what is written, and keeps the memory. */
  clear(): void {
    this.length = 0;
  }

  /** Takes what is written as a text, and forgets it. */
  takeText(): string {
    const text = decoder.decode(this.written);
    this.length = 0;
    return text;
  }

  /** Makes room for `size` more bytes. */
  reserve(size: number): void {
    const needed = this.length + size;
    if (needed <= this.bytes.length) return;
    const larger = new Uint8Array(new ArrayBuffer(Math.max(needed, 2 * this.bytes.length)));
    larger.set(this.written);
    this.bytes = larger;
    this.view = new DataView(larger.buffer);
  }

  /** One byte. */
  byte(value: number): void {
    this.bytes[this.length++] = value;
  }

  /** Bytes as they are. */
  put(word: Uint8Array): void {
    const bytes = this.bytes;
    let at = this.length;
    if (word.length > SHORT_WORD) {
      bytes.set(word, at);
      this.length = at + word.length;
      return;
    }
    for (let i = 0; i < word.length; i++) bytes[at++] = word[i]!;
    this.length = at;
  }

  /** Bytes as they are, of any length; makes its own room. */
  append(bytes: Uint8Array): void {
    this.reserve(bytes.length);
    this.put(bytes);
  }

  /** A u32 in decimal; up to 10 bytes. */
  u32(value: number): void {
    const digits = value < 10
      ? 1
      : value < 100
      ? 2
      : value < 1e3
      ? 3
      : value < 1e4
      ? 4
      : value < 1e5
      ? 5
      : value < 1e6
      ? 6
      : value < 1e7
      ? 7
      : value < 1e8
      ? 8
      : value < 1e9
      ? 9
      : 10;
    this.digits(value, digits);
  }

  /** A u32 in decimal, exactly `digits` digits with leading zeros. */
  digits(value: number, digits: number): void {
    const bytes = this.bytes;
    const start = this.length;
    let at = start + digits;
    this.length = at;
    while (at > start) {
      const rest = (value / 10) >>> 0;
      bytes[--at] = 48 + value - rest * 10;
      value = rest;
    }
  }

  /** One byte as two hexadecimal digits. */
  hexByte(value: number): void {
    this.bytes[this.length++] = DIGITS[value >>> 4]!;
    this.bytes[this.length++] = DIGITS[value & 15]!;
  }

  /** Bytes as hexadecimal digits. */
  hex(value: Uint8Array): void {
    writeHex(value, this.bytes, this.view, this.length);
    this.length += 2 * value.length;
  }

  /** Text as UTF-8; makes its own room. */
  text(text: string): void {
    this.reserve(3 * text.length);
    this.length += encoder.encodeInto(text, this.bytes.subarray(this.length)).written;
  }
}

/** A piece of a line that most lines have alike: it is made anew only where one of the three values that it says has changed. */
export class Part {
  #bytes: Uint8Array = new Uint8Array(0);
  #first: unknown = this;
  #second: unknown = this;
  #third: unknown = this;

  /** Writes the piece once more, where it says this; else it is to be written, and kept. */
  repeat(output: Output, first: unknown, second?: unknown, third?: unknown): boolean {
    if (first !== this.#first || second !== this.#second || third !== this.#third) return false;
    output.put(this.#bytes);
    return true;
  }

  /** Keeps what was written since the length was `start`. */
  keep(output: Output, start: number, first: unknown, second?: unknown, third?: unknown): void {
    this.#bytes = output.bytes.slice(start, output.length);
    this.#first = first;
    this.#second = second;
    this.#third = third;
  }
}
