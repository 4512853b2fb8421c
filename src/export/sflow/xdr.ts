/** XDR (RFC 4506) into a datagram, for what is not sent a thousand times a second. */
import type { Datagram } from "./datagram.ts";

const utf8 = new TextEncoder();

/**
 * A counter that may be known; it counts on from 0 when its 32 or 64 bits are full.
 *
 * @category Export
 */
export type Count = number | bigint | undefined;

/** Writes values one after the other. */
export class XdrWriter {
  /** Where the next value will be. */
  at: number;
  readonly #view: DataView;
  readonly #bytes: Uint8Array;

  /** Writes at the end of a datagram. */
  constructor(datagram: Datagram) {
    this.#view = datagram.view;
    this.#bytes = datagram.bytes;
    this.at = datagram.end;
  }

  /** A number; 0 if unknown. */
  u32(value: number | undefined): void {
    this.#view.setUint32(this.at, value ?? 0);
    this.at += 4;
  }

  /** A number of 64 bits; 0 if unknown. */
  u64(value: number | bigint | undefined): void {
    this.#view.setBigUint64(this.at, BigInt(value ?? 0));
    this.at += 8;
  }

  /** A number with a fraction; -1 if unknown. */
  float(value: number | undefined): void {
    this.#view.setFloat32(this.at, value ?? -1);
    this.at += 4;
  }

  /** The lower 32 bits of a counter; all ones if unknown. */
  count32(value: Count): void {
    this.#view.setUint32(this.at, value === undefined ? 0xffff_ffff : Number(BigInt.asUintN(32, BigInt(value))));
    this.at += 4;
  }

  /** A counter of 64 bits; all ones if unknown. */
  count64(value: Count): void {
    this.#view.setBigUint64(this.at, value === undefined ? 0xffff_ffff_ffff_ffffn : BigInt(value));
    this.at += 8;
  }

  /** Bytes of known number, padded. */
  fixed(bytes: Uint8Array): void {
    this.#bytes.set(bytes, this.at);
    this.#pad(bytes.length);
  }

  /** The number of bytes, and the bytes, padded. */
  opaque(bytes: Uint8Array): void {
    this.u32(bytes.length);
    this.fixed(bytes);
  }

  /** Text, cut at a whole character to at most `most` bytes of UTF-8. Unknown text is empty. */
  string(text: string | undefined, most: number): void {
    const bytes = utf8.encode(text ?? "");
    let size = Math.min(bytes.length, most);
    while (size > 0 && size < bytes.length && (bytes[size]! & 0xc0) === 0x80) size--;
    this.opaque(bytes.subarray(0, size));
  }

  /** A record or a sample: its number, its size, and what `body` writes. */
  structure(format: number, body: () => void): void {
    this.u32(format);
    const start = this.at;
    this.at += 4;
    body();
    this.#view.setUint32(start, this.at - start - 4);
  }

  #pad(size: number): void {
    this.at += size;
    for (let k = size; (k & 3) !== 0; k++) this.#bytes[this.at++] = 0;
  }
}
