/** The output buffer: text, JSON, CSV and recordings are all built in one. */

const encoder = new TextEncoder();
const decoder = new TextDecoder();

/** Up to this size a loop is cheaper than a call of `set` or `encodeInto`. */
const SHORT = 16;
const SHORT_TEXT = 64;
/** How far words and numbers may be written beyond their end, because they are written four bytes at a time. */
const OVERRUN = 3;
const COLON = 0x3a;

/** The two decimal digits of 0 to 99 and the two hexadecimal digits of 0 to 255 as they lie in memory: the first one in the lower half. */
const DECIMAL_PAIRS = digitPairs(100, 10);
const HEX_PAIRS = digitPairs(256, 16);
/** The four decimal digits of 0 to 9999 as they lie in memory: one write and one division instead of two each, for 40 KB. */
const DECIMAL_QUADS = new Int32Array(10_000);
for (let i = 0; i < DECIMAL_QUADS.length; i++) DECIMAL_QUADS[i] = DECIMAL_PAIRS[i / 100 | 0]! | DECIMAL_PAIRS[i % 100]! << 16;

function digitPairs(count: number, base: number): Uint16Array {
  return Uint16Array.from({ length: count }, (_, i) => {
    const digits = i.toString(base).padStart(2, "0");
    return digits.charCodeAt(0) | digits.charCodeAt(1) << 8;
  });
}

/** Text as bytes. */
export function ascii(text: string): Uint8Array {
  return encoder.encode(text);
}

/**
 * Text that is written often, as 32-bit words: a quarter of the steps.
 *
 * @category Pump
 */
export class Word {
  /** Its size in bytes. */
  readonly length: number;
  /** The bytes, four at a time, the first one in the lowest eight bits. */
  readonly quads: Int32Array;

  /** Encodes the word once. */
  constructor(text: string) {
    const bytes = encoder.encode(text);
    this.length = bytes.length;
    this.quads = new Int32Array(Math.ceil(bytes.length / 4));
    for (let i = 0; i < bytes.length; i++) this.quads[i >> 2]! |= bytes[i]! << 8 * (i & 3);
  }
}

/** Each byte in decimal with a dot after it, and how many characters that is: for IPv4 addresses. */
const OCTETS = Int32Array.from({ length: 256 }, (_, i) => new Word(`${i}.`).quads[0]!);
const OCTET_LENGTHS = Uint8Array.from({ length: 256 }, (_, i) => `${i}.`.length);

/**
 * A growing buffer that is written entry by entry and emptied when its contents have been delivered. Building lines as bytes costs half as
 * much as building and encoding strings, in both runtimes.
 *
 * Only {@linkcode Output.append} and {@linkcode Output.text} make room themselves. Before using the others, reserve enough room for
 * everything to be written.
 *
 * @category Pump
 */
export class Output {
  /** The memory; its first {@linkcode Output.length} bytes have been written. */
  bytes: Uint8Array<ArrayBuffer>;
  /** The same memory, for numbers wider than a byte. */
  view: DataView<ArrayBuffer>;
  /** Number of bytes written. */
  length = 0;

  /** An empty output with initial memory for `size` bytes. */
  constructor(size = 1 << 16) {
    this.bytes = new Uint8Array(new ArrayBuffer(size));
    this.view = new DataView(this.bytes.buffer);
  }

  /** The bytes written so far: a view that is valid until the next write. */
  get written(): Uint8Array<ArrayBuffer> {
    return this.bytes.subarray(0, this.length);
  }

  /** Removes the first `size` bytes. */
  drop(size: number): void {
    if (size < this.length) this.bytes.copyWithin(0, size, this.length);
    this.length -= size;
  }

  /** Removes everything and keeps the memory. */
  clear(): void {
    this.length = 0;
  }

  /** Returns the contents as a string, and removes them. */
  takeText(): string {
    const text = decoder.decode(this.written);
    this.length = 0;
    return text;
  }

  /** Makes room for `size` more bytes. */
  reserve(size: number): void {
    const needed = this.length + size + OVERRUN;
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

  /** A word. */
  word(word: Word): void {
    const { view, length } = this;
    const { quads } = word;
    for (let i = 0; i < quads.length; i++) view.setInt32(length + 4 * i, quads[i]!, true);
    this.length = length + word.length;
  }

  /** Bytes as they are. */
  put(values: Uint8Array): void {
    const bytes = this.bytes;
    let at = this.length;
    if (values.length > SHORT) {
      bytes.set(values, at);
      this.length = at + values.length;
      return;
    }
    for (let i = 0; i < values.length; i++) bytes[at++] = values[i]!;
    this.length = at;
  }

  /** Bytes as they are, of any length; makes its own room. */
  append(bytes: Uint8Array): void {
    this.reserve(bytes.length);
    this.put(bytes);
  }

  /** A u32 in decimal; up to 10 bytes. */
  u32(value: number): void {
    if (value < 1e4) return this.#first(value);
    const thousands = (value / 1e4) >>> 0;
    if (thousands < 1e4) {
      this.#first(thousands);
    } else {
      const millions = (thousands / 1e4) >>> 0;
      this.#first(millions);
      this.#four(thousands - millions * 1e4);
    }
    this.#four(value - thousands * 1e4);
  }

  /** Up to four digits, without leading zeros. */
  #first(value: number): void {
    const { view, length } = this;
    const digits = value < 100 ? value < 10 ? 1 : 2 : value < 1e3 ? 3 : 4;
    view.setInt32(length, DECIMAL_QUADS[value]! >> (4 - digits << 3), true);
    this.length = length + digits;
  }

  /** Four digits, with leading zeros. */
  #four(value: number): void {
    const { view, length } = this;
    view.setInt32(length, DECIMAL_QUADS[value]!, true);
    this.length = length + 4;
  }

  /** Four bytes in decimal, with dots between them: up to 15 bytes. */
  ipv4(bytes: Uint8Array, at: number): void {
    const { view } = this;
    let { length } = this;
    for (let i = 0; i < 4; i++) {
      const octet = bytes[at + i]!;
      view.setInt32(length, OCTETS[octet]!, true);
      length += OCTET_LENGTHS[octet]!;
    }
    // Without the last dot.
    this.length = length - 1;
  }

  /** A u32 in decimal, exactly `digits` digits with leading zeros. */
  digits(value: number, digits: number): void {
    const { view, length } = this;
    let at = length + digits;
    this.length = at;
    while (at - length >= 4) {
      const rest = (value / 1e4) >>> 0;
      at -= 4;
      view.setInt32(at, DECIMAL_QUADS[value - rest * 1e4]!, true);
      value = rest;
    }
    while (at - length >= 2) {
      const rest = (value / 100) >>> 0;
      at -= 2;
      view.setUint16(at, DECIMAL_PAIRS[value - rest * 100]!, true);
      value = rest;
    }
    if (at > length) view.setUint8(length, 48 + value % 10);
  }

  /** Six bytes in hexadecimal, with colons between them: 17 bytes. */
  mac(bytes: Uint8Array, at: number): void {
    const { view, length } = this;
    for (let i = 0; i < 6; i++) view.setInt32(length + 3 * i, HEX_PAIRS[bytes[at + i]!]! | COLON << 16, true);
    this.length = length + 17;
  }

  /** A number as JavaScript writes it: up to 20 bytes for a u64, up to 24 for a double. */
  number(value: number | bigint): void {
    this.#ascii(String(value));
  }

  /** A u32 in hexadecimal without leading zeros; up to 8 bytes. */
  hexNumber(value: number): void {
    let digits = 1;
    for (let rest = value >>> 4; rest > 0; rest >>>= 4) digits++;
    let at = this.length + digits;
    this.length = at;
    for (; digits > 0; digits--, value >>>= 4) {
      const digit = value & 15;
      this.bytes[--at] = digit < 10 ? 48 + digit : 87 + digit;
    }
  }

  /** One byte as two hexadecimal digits. */
  hexByte(value: number): void {
    this.view.setUint16(this.length, HEX_PAIRS[value]!, true);
    this.length += 2;
  }

  /** Bytes as hexadecimal digits: for few of them, see hex.ts. */
  hex(values: Uint8Array): void {
    const { view } = this;
    let at = this.length;
    let i = 0;
    for (; i + 1 < values.length; i += 2, at += 4) {
      view.setInt32(at, HEX_PAIRS[values[i]!]! | HEX_PAIRS[values[i + 1]!]! << 16, true);
    }
    if (i < values.length) view.setUint16(at, HEX_PAIRS[values[i]!]!, true);
    this.length += 2 * values.length;
  }

  /** Text as UTF-8; makes its own room. */
  text(text: string): void {
    this.reserve(3 * text.length);
    if (text.length <= SHORT_TEXT && this.#ascii(text)) return;
    this.length += encoder.encodeInto(text, this.bytes.subarray(this.length)).written;
  }

  /** Writes text of which every character is ASCII; else writes nothing and returns false. */
  #ascii(text: string): boolean {
    const { bytes, length } = this;
    for (let i = 0; i < text.length; i++) {
      const code = text.charCodeAt(i);
      if (code >= 0x80) return false;
      bytes[length + i] = code;
    }
    this.length = length + text.length;
    return true;
  }
}
