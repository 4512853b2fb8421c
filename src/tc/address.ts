/** Addresses with the bits of them that are compared, and prefixes. */
import { sameBytes } from "../wire/bytes.ts";
import { memory } from "../wire/native.ts";

/** An address of 4, 6 or 16 bytes, and which bits of it are meant. */
export interface MaskedAddress {
  /** The address in network byte order. */
  readonly address: Uint8Array;
  /** As long as the address: 1 for each bit that is compared. */
  readonly mask: Uint8Array;
}

/** The mask of the first `bits` bits of an address of `size` bytes. */
export function prefixMask(bits: number, size: number): Uint8Array<ArrayBuffer> {
  const mask = memory(size);
  for (let i = 0; i < size; i++) mask[i] = 0xff00 >> Math.min(8, Math.max(0, bits - 8 * i));
  return mask;
}

/** How many leading bits a mask has; `undefined` if it has a hole, or none. */
export function prefixLength(mask: Uint8Array): number | undefined {
  let bits = 0;
  while (bits < 8 * mask.length && (mask[bits >> 3]! >> (7 - (bits & 7))) & 1) bits++;
  return bits > 0 && sameBytes(mask, prefixMask(bits, mask.length)) ? bits : undefined;
}
