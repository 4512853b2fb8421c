import { ArgumentError } from "../errors.ts";
import { align4, LITTLE, memory, viewOf } from "./native.ts";

const text = new TextEncoder();

/** `NLA_F_NESTED`: the bit that newer families require on nests, and tc does not set. */
export const NLA_F_NESTED = 0x8000;

/**
 * Writes netlink attributes into a buffer that grows. A value that is `undefined` writes nothing, so
 * optional ones need no `if`: absent is not zero.
 */
export class AttrWriter {
  #bytes = memory(256);
  #view = viewOf(this.#bytes);
  #length = 0;
  readonly #little: boolean;

  /** Writes in this byte order; defaults to this machine's. */
  constructor(littleEndian: boolean = LITTLE) {
    this.#little = littleEndian;
  }

  /** Number of bytes written, padding included. */
  get length(): number {
    return this.#length;
  }

  /** A copy of what has been written. */
  finish(): Uint8Array<ArrayBuffer> {
    return this.#bytes.slice(0, this.#length);
  }

  /** Appends bytes that are not an attribute, such as the fixed header of a family, padded to 4. */
  raw(bytes: Uint8Array): this {
    const at = this.#grow(align4(bytes.length));
    this.#bytes.set(bytes, at);
    return this;
  }

  /** An attribute whose value is 1 byte. */
  u8(type: number, value: number | undefined): this {
    // The header comes first: it may move the buffer, and with it the view.
    if (value !== undefined) {
      const at = this.#header(type, 1);
      this.#view.setUint8(at, value);
    }
    return this;
  }

  /** An attribute whose value is a u16 in host byte order. */
  u16(type: number, value: number | undefined): this {
    if (value !== undefined) {
      const at = this.#header(type, 2);
      this.#view.setUint16(at, value, this.#little);
    }
    return this;
  }

  /** An attribute whose value is a u16 in network byte order. */
  be16(type: number, value: number | undefined): this {
    if (value !== undefined) {
      const at = this.#header(type, 2);
      this.#view.setUint16(at, value, false);
    }
    return this;
  }

  /** An attribute whose value is a u32 in host byte order; negative numbers are written as i32. */
  u32(type: number, value: number | undefined): this {
    if (value !== undefined) {
      const at = this.#header(type, 4);
      this.#view.setUint32(at, value, this.#little);
    }
    return this;
  }

  /** An attribute whose value is a u32 in network byte order. */
  be32(type: number, value: number | undefined): this {
    if (value !== undefined) {
      const at = this.#header(type, 4);
      this.#view.setUint32(at, value, false);
    }
    return this;
  }

  /** An attribute whose value is a u64 in host byte order. */
  u64(type: number, value: bigint | undefined): this {
    if (value !== undefined) {
      const at = this.#header(type, 8);
      this.#view.setBigUint64(at, value, this.#little);
    }
    return this;
  }

  /** An attribute whose value is these bytes. */
  bytes(type: number, value: Uint8Array | undefined): this {
    if (value !== undefined) {
      const at = this.#header(type, value.length);
      this.#bytes.set(value, at);
    }
    return this;
  }

  /** An attribute whose value is text with a NUL after it. */
  string(type: number, value: string | undefined): this {
    return this.bytes(type, value === undefined ? undefined : text.encode(`${value}\0`));
  }

  /** An attribute without a value: present or absent. */
  flag(type: number, value: boolean | undefined): this {
    if (value) this.#header(type, 0);
    return this;
  }

  /** An attribute whose value is the attributes that `fill` writes. OR in {@linkcode NLA_F_NESTED} if the family requires it. */
  nest(type: number, fill: (writer: this) => void): this {
    const start = this.#header(type, 0) - 4;
    fill(this);
    const size = this.#length - start;
    if (size > 0xffff) throw new ArgumentError(`Cannot encode attribute ${type}: ${size} bytes; an attribute holds at most 65535`);
    this.#view.setUint16(start, size, this.#little);
    return this;
  }

  #header(type: number, size: number): number {
    if (size + 4 > 0xffff) throw new ArgumentError(`Cannot encode attribute ${type}: ${size} bytes; an attribute holds at most 65531`);
    const at = this.#grow(4 + align4(size));
    this.#view.setUint16(at, size + 4, this.#little);
    this.#view.setUint16(at + 2, type, this.#little);
    return at + 4;
  }

  #grow(size: number): number {
    const at = this.#length;
    this.#length += size;
    if (this.#length > this.#bytes.length) {
      const larger = memory(Math.max(this.#length, this.#bytes.length * 2));
      larger.set(this.#bytes);
      this.#bytes = larger;
      this.#view = viewOf(larger);
    }
    return at;
  }
}
