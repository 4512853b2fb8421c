import { DecodeError } from "../errors.ts";
import { LITTLE, viewOf } from "./native.ts";
import { ipv4Text, ipv6Text } from "./text.ts";

/** `NLA_TYPE_MASK`: the upper two bits of a type are the flags NESTED and NET_BYTEORDER. */
export const NLA_TYPE_MASK = 0x3fff;

/**
 * An attribute that this version does not know, such as a newer kernel's, kept undecoded.
 *
 * @category Samples
 */
export interface UnknownAttribute {
  /** Its number, without flag bits. */
  readonly type: number;
  /** Its value, undecoded: a view of the message. */
  readonly value: Uint8Array;
}

const text = new TextDecoder();

/**
 * A cursor over netlink attributes (`struct nlattr`, include/uapi/linux/netlink.h).
 *
 * `next()` steps to an attribute, the getters read its value and check its size; anything unexpected is a `DecodeError`. Bytes are views of
 * the input, not copies.
 */
export class AttrReader {
  /** The type of the attribute at the cursor, without its flag bits. */
  type = 0;
  #view: DataView;
  #at: number;
  #end: number;
  #little: boolean;
  #value = 0;
  #size = 0;

  /** Reads the attributes between the offsets `start` and `end` of `view`. */
  constructor(view: DataView, start = 0, end: number = view.byteLength, little: boolean = LITTLE) {
    this.#view = view;
    this.#at = start;
    this.#end = end;
    this.#little = little;
  }

  /** Reads the attributes that fill `bytes`. */
  static of(bytes: Uint8Array, little: boolean = LITTLE): AttrReader {
    return new AttrReader(viewOf(bytes), 0, bytes.length, little);
  }

  /** Steps to the next attribute; false at the end. */
  next(): boolean {
    const left = this.#end - this.#at;
    if (left <= 0) return false;
    if (left < 4) throw new DecodeError("attribute", this.#at, `${left} bytes left, expected at least 4`);
    const size = this.#view.getUint16(this.#at, this.#little);
    if (size < 4 || size > left) throw new DecodeError("attribute", this.#at, `length ${size}, ${left} bytes left`);
    this.type = this.#view.getUint16(this.#at + 2, this.#little) & NLA_TYPE_MASK;
    this.#value = this.#at + 4;
    this.#size = size - 4;
    // The last attribute may lack its padding: align when stepping, never when validating.
    this.#at += (size + 3) & ~3;
    return true;
  }

  /** The size of the value in bytes. */
  get size(): number {
    return this.#size;
  }

  /** The offset of the value in the bytes that are read. */
  get offset(): number {
    return this.#value;
  }

  /** The value as u8. */
  u8(): number {
    this.#expect(1);
    return this.#view.getUint8(this.#value);
  }

  /** The value as u16 in host byte order. */
  u16(): number {
    this.#expect(2);
    return this.#view.getUint16(this.#value, this.#little);
  }

  /** The value as u16 in network byte order. */
  be16(): number {
    this.#expect(2);
    return this.#view.getUint16(this.#value, false);
  }

  /** The value as u32 in host byte order. */
  u32(): number {
    this.#expect(4);
    return this.#view.getUint32(this.#value, this.#little);
  }

  /** The value as i32 in host byte order. */
  i32(): number {
    this.#expect(4);
    return this.#view.getInt32(this.#value, this.#little);
  }

  /** The value as u32 in network byte order. */
  be32(): number {
    this.#expect(4);
    return this.#view.getUint32(this.#value, false);
  }

  /** The value as u64 in host byte order. */
  u64(): bigint {
    this.#expect(8);
    return this.#view.getBigUint64(this.#value, this.#little);
  }

  /** The value as u64 in network byte order. */
  be64(): bigint {
    this.#expect(8);
    return this.#view.getBigUint64(this.#value, false);
  }

  /** The value's bytes: a view of the input. */
  bytes(): Uint8Array {
    return new Uint8Array(this.#view.buffer, this.#view.byteOffset + this.#value, this.#size);
  }

  /** The value as text up to its NUL, if it has one. */
  string(): string {
    const bytes = this.bytes();
    const end = bytes.indexOf(0);
    return text.decode(end < 0 ? bytes : bytes.subarray(0, end));
  }

  /** Four bytes as the text of an IPv4 address. */
  ipv4(): string {
    this.#expect(4);
    return ipv4Text(this.bytes());
  }

  /** Sixteen bytes as the text of an IPv6 address. */
  ipv6(): string {
    this.#expect(16);
    return ipv6Text(this.bytes());
  }

  /** A cursor over the attributes inside this one. */
  nested(): AttrReader {
    return new AttrReader(this.#view, this.#value, this.#value + this.#size, this.#little);
  }

  /** Throws unless the value has at least `size` bytes, for structs that grow with the kernel. */
  atLeast(size: number): DataView {
    if (this.#size < size) throw this.#wrong(`at least ${size}`);
    return new DataView(this.#view.buffer, this.#view.byteOffset + this.#value, this.#size);
  }

  #expect(size: number): void {
    if (this.#size !== size) throw this.#wrong(`${size}`);
  }

  #wrong(size: string): DecodeError {
    return new DecodeError(`attribute ${this.type}`, this.#value, `${this.#size} bytes, not ${size}`);
  }
}
