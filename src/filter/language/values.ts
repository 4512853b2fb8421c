/** Numbers, ports and addresses as libpcap reads them, and times, which only samples have. */
import { ipv4Bytes } from "../../wire/text.ts";
import { PORTS } from "./names.ts";
import type { Token } from "./tokens.ts";

/** A number as in C: decimal, octal after 0, hexadecimal after 0x. */
export function numberOf(text: string): number | undefined {
  if (/^0[0-7]+$/.test(text)) return parseInt(text, 8);
  return /^(0x[0-9a-fA-F]+|0|[1-9]\d*)$/i.test(text) ? Number(text) : undefined;
}

/** A span of time with its unit, in nanoseconds. */
export function nanosecondsOf(text: string): number | undefined {
  const [, digits, unit] = /^(\d{1,9}(?:\.\d{1,9})?)(ns|us|ms|s)$/.exec(text) ?? [];
  if (digits === undefined) return undefined;
  // With an exponent the fraction stays exact, which a product would not be: 1.005 times 1000 is less than 1005.
  return Number(`${digits}e${{ ns: 0, us: 3, ms: 6, s: 9 }[unit as "ns" | "us" | "ms" | "s"]}`);
}

/** A port, by number or name. */
export function portOf({ kind, text }: Token): number | undefined {
  const port = kind === "word" ? PORTS.get(text) ?? numberOf(text) : undefined;
  return port !== undefined && port <= 0xffff ? port : undefined;
}

/** An address of one to four parts: missing parts are those at the end, and are not part of the prefix. */
export function shortIpv4(text: string, isNet: boolean): { address: Uint8Array; bits: number } | undefined {
  const number = text.includes(".") ? undefined : numberOf(text);
  if (number !== undefined) {
    if (number > 0xffffffff) return undefined;
    // As in libpcap: a bare number is a whole address; for a net, its leading zeros move to the end.
    const bytes = [number >>> 24, number >>> 16 & 0xff, number >>> 8 & 0xff, number & 0xff];
    let bits = 32;
    while (isNet && number !== 0 && bytes[0] === 0) {
      bytes.push(bytes.shift()!);
      bits -= 8;
    }
    return { address: Uint8Array.from(bytes), bits };
  }
  if (!/^\d{1,3}(\.\d{1,3}){1,3}$/.test(text)) return undefined;
  const parts = text.split(".");
  const address = ipv4Bytes([...parts, "0", "0"].slice(0, 4).join("."));
  return address && { address, bits: 8 * parts.length };
}

/** A hardware address, in any of the forms that libpcap reads. */
export function macBytes(text: string): Uint8Array | undefined {
  const parts = /^[0-9a-fA-F]{12}$/.test(text)
    ? text.match(/../g)!
    : /^[0-9a-fA-F]{4}(\.[0-9a-fA-F]{4}){2}$/.test(text)
    ? text.replaceAll(".", "").match(/../g)!
    : /^[0-9a-fA-F]{1,2}(?:([:.-])[0-9a-fA-F]{1,2})(?:\1[0-9a-fA-F]{1,2}){4}$/.test(text)
    ? text.split(/[:.-]/)
    : undefined;
  return parts && Uint8Array.from(parts, (part) => parseInt(part, 16));
}
