/**
 * How iproute2 reads values: numbers as strtoul(3) takes them, handles, addresses. The quirks are kept, because users of iproute2's words
 * expect iproute2's interpretation.
 */
import { etherTypeOf } from "../../../src/wire/ether_types.ts";
import { type MaskedAddress, prefixLength, prefixMask } from "../../../src/tc/address.ts";
import { ipv6Bytes } from "../../../src/wire/text.ts";
import { TC_H_ROOT, TC_H_UNSPEC } from "../../../src/tc/tcmsg.ts";

const ULONG = 1n << 64n;

/** strtoul(3): the number that text begins with, and the rest; `undefined` if it begins with none. */
export function strtoul(text: string, base: 0 | 10 | 16): { value: bigint; rest: string } | undefined {
  const [, sign, digits] = /^[ \t\n\v\f\r]*([+-]?)(.*)$/s.exec(text)!;
  const hexadecimal = base !== 10 && /^0[xX][0-9a-fA-F]/.test(digits!);
  const radix = hexadecimal || base === 16 ? 16 : base === 0 && digits!.startsWith("0") ? 8 : 10;
  const body = hexadecimal ? digits!.slice(2) : digits!;
  const matched = (radix === 16 ? /^[0-9a-fA-F]+/ : radix === 8 ? /^[0-7]+/ : /^[0-9]+/).exec(body)?.[0];
  if (matched === undefined) return undefined;
  const magnitude = BigInt((radix === 16 ? "0x" : radix === 8 ? "0o" : "") + matched);
  const rest = body.slice(matched.length);
  // Too large is ULONG_MAX, whatever the sign; a minus wraps.
  if (magnitude >= ULONG) return { value: ULONG - 1n, rest };
  return { value: sign === "-" ? (ULONG - magnitude) % ULONG : magnitude, rest };
}

/** A whole word as a number from 0 to `max`; `undefined` for any other text (get_u32() and its like). */
export function unsigned(text: string, base: 0 | 10 | 16, max = 0xffffffff): number | undefined {
  const number = strtoul(text, base);
  return number && number.rest === "" && number.value <= BigInt(max) ? Number(number.value) : undefined;
}

/** A whole word as an int, as strtol(3) reads it with base 0 (get_integer()). */
export function integer(text: string): number | undefined {
  const signed = BigInt.asIntN(64, strtoul(text, 0)?.value ?? 0n);
  if (strtoul(text, 0)?.rest !== "" || signed < -0x80000000n || signed > 0x7fffffffn) return undefined;
  return Number(signed);
}

/** The handle of a qdisc: a major number in hexadecimal. */
export function qdiscHandle(text: string): number | undefined {
  if (text === "none") return TC_H_UNSPEC;
  const major = strtoul(text, 16);
  if (!major || major.value >= 0x10000n || (major.rest !== "" && !major.rest.startsWith(":"))) return undefined;
  return Number(major.value) * 0x10000;
}

/** A class, `major:minor` in hexadecimal, of which one may be missing. */
export function classId(text: string): number | undefined {
  if (text === "root") return TC_H_ROOT;
  if (text === "none") return TC_H_UNSPEC;
  const first = strtoul(text, 16) ?? (text.startsWith(":") ? { value: 0n, rest: text } : undefined);
  if (!first) return undefined;
  if (first.rest === "") return Number(first.value & 0xffffffffn);
  if (!first.rest.startsWith(":") || first.value >= 0x10000n) return undefined;
  const tail = first.rest.slice(1);
  const second = tail === "" ? { value: 0n, rest: "" } : strtoul(tail, 16);
  if (!second || second.rest !== "" || second.value >= 0x10000n) return undefined;
  return Number(first.value) * 0x10000 + Number(second.value);
}

/** The handle of a u32 filter, `table:bucket:node` in hexadecimal. */
export function u32Handle(text: string): number | undefined {
  if (!text.includes(":")) return text.startsWith("0x") ? unsigned(text, 16) : undefined;
  const limits = [0x1000n, 0x100n, 0x1000n];
  const parts = [0n, 0n, 0n];
  let rest = text;
  for (let i = 0; i < 3; i++) {
    const part = strtoul(rest, 16);
    if (!part && rest !== "" && !(i < 2 && rest.startsWith(":"))) return undefined;
    if (part && part.value >= limits[i]!) return undefined;
    parts[i] = part?.value ?? 0n;
    // One character is the separator, whichever it is.
    rest = part ? part.rest : rest;
    if (rest === "") break;
    rest = rest.slice(1);
  }
  return Number((parts[0]! << 20n) | (parts[1]! << 12n) | parts[2]!);
}

/** An EtherType by name, or as a number. */
export function etherType(text: string): number | undefined {
  return etherTypeOf(text) ?? unsigned(text, 0, 0xffff);
}

/** An IPv4 address, of which the last parts may be missing: 10.8 is 10.8.0.0. */
function ipv4Parts(text: string): Uint8Array | undefined {
  const bytes = new Uint8Array(4);
  let rest = text;
  for (let i = 0; i < 4; i++) {
    const part = strtoul(rest, 0);
    if (!part || part.value > 255n) return undefined;
    bytes[i] = Number(part.value);
    if (part.rest === "") return bytes;
    if (i === 3 || !part.rest.startsWith(".")) return undefined;
    rest = part.rest.slice(1);
  }
  return undefined;
}

/** An address of a family with an optional prefix length or mask after a slash (get_prefix_1()). */
export function prefixOf(text: string, family: 4 | 6): MaskedAddress | undefined {
  const slash = text.indexOf("/");
  const head = slash < 0 ? text : text.slice(0, slash);
  const all = family === 4 ? 32 : 128;
  let address: Uint8Array | undefined;
  let bits: number | undefined = all;
  if (head === "default" || head === "all" || head === "any") {
    // No address at all, which takes no prefix length.
    if (slash >= 0) return undefined;
    address = new Uint8Array(all / 8);
    bits = 0;
  } else if (head.includes(":")) {
    address = family === 6 ? ipv6Bytes(head) : undefined;
  } else {
    address = family === 4 ? ipv4Parts(head) : undefined;
  }
  if (slash >= 0) {
    const tail = text.slice(slash + 1);
    bits = unsigned(tail, 0);
    if (bits === undefined) {
      const mask = ipv4Parts(tail);
      bits = mask && (mask.every((byte) => byte === 0) ? 0 : prefixLength(mask));
    }
  }
  if (!address || bits === undefined || bits > all) return undefined;
  return { address, mask: prefixMask(bits, all / 8) };
}
