/** IP addresses and prefixes as bytes. */
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

/** The bytes of an IPv4 address in dotted decimal, all four parts; `undefined` for any other text. */
export function ipv4Bytes(text: string): Uint8Array<ArrayBuffer> | undefined {
  if (!/^\d{1,3}(\.\d{1,3}){3}$/.test(text)) return undefined;
  const parts = text.split(".").map(Number);
  if (parts.some((part) => part > 255)) return undefined;
  const bytes = memory(4);
  bytes.set(parts);
  return bytes;
}

/** The bytes of an IPv6 address (RFC 4291 section 2.2, as inet_pton(3) reads it); `undefined` for any other text. */
export function ipv6Bytes(text: string): Uint8Array<ArrayBuffer> | undefined {
  const halves = text.split("::");
  if (halves.length > 2) return undefined;
  const head = words(halves[0]!, halves.length === 1);
  const tail = halves.length === 2 ? words(halves[1]!, true) : [];
  if (!head || !tail) return undefined;
  const missing = 8 - head.length - tail.length;
  // "::" stands for one word at least.
  if (halves.length === 1 ? missing !== 0 : missing < 1) return undefined;
  const bytes = memory(16);
  [...head, ...Array<number>(missing).fill(0), ...tail].forEach((word, i) => {
    bytes[2 * i] = word >> 8;
    bytes[2 * i + 1] = word & 0xff;
  });
  return bytes;
}

function words(text: string, last: boolean): number[] | undefined {
  if (text === "") return [];
  const parts = text.split(":");
  const result: number[] = [];
  for (const [i, part] of parts.entries()) {
    if (/^[0-9a-fA-F]{1,4}$/.test(part)) {
      result.push(parseInt(part, 16));
      continue;
    }
    // The last 32 bits may be written as an IPv4 address.
    const ipv4 = last && i === parts.length - 1 ? ipv4Bytes(part) : undefined;
    if (!ipv4) return undefined;
    result.push((ipv4[0]! << 8) | ipv4[1]!, (ipv4[2]! << 8) | ipv4[3]!);
  }
  return result;
}
