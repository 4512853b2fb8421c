/** Bytes as text: hexadecimal and IP addresses, in both directions, and names that others chose. */
import { memory } from "./native.ts";

const HEX: readonly string[] = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, "0"));

/** The runtime's own function, if it is new enough to have one: ten times as fast. */
const native = (Uint8Array.prototype as { toHex?(): string }).toHex;

/** Bytes as lower-case hexadecimal without separators. */
export function toHex(bytes: Uint8Array): string {
  if (native) return native.call(bytes);
  let text = "";
  for (let i = 0; i < bytes.length; i++) text += HEX[bytes[i]!]!;
  return text;
}

/** The two hexadecimal digits of a byte. */
export function hexByte(byte: number): string {
  return HEX[byte & 0xff]!;
}

/** Hexadecimal digits as bytes; `undefined` if the text is not an even number of them. */
export function fromHex(text: string): Uint8Array<ArrayBuffer> | undefined {
  if (text.length % 2 !== 0 || !/^[0-9a-fA-F]*$/.test(text)) return undefined;
  const bytes = new Uint8Array(new ArrayBuffer(text.length / 2));
  for (let i = 0; i < bytes.length; i++) bytes[i] = parseInt(text.slice(2 * i, 2 * i + 2), 16);
  return bytes;
}

/** Four bytes as dotted decimal. */
export function ipv4Text(bytes: Uint8Array): string {
  return `${bytes[0]}.${bytes[1]}.${bytes[2]}.${bytes[3]}`;
}

/** Sixteen bytes as the canonical text of an IPv6 address (RFC 5952). */
export function ipv6Text(bytes: Uint8Array): string {
  const words: number[] = [];
  for (let i = 0; i < 16; i += 2) words.push((bytes[i]! << 8) | bytes[i + 1]!);
  // The longest run of two or more zero words becomes "::", the first of them if two are equal.
  let best = -1;
  let bestLength = 1;
  for (let i = 0; i < 8; i++) {
    let length = 0;
    while (i + length < 8 && words[i + length] === 0) length++;
    if (length > bestLength) [best, bestLength] = [i, length];
    if (length > 0) i += length;
  }
  // RFC 5952 section 5: the well-known prefix ::ffff:0:0/96 is written with the IPv4 address.
  if (best === 0 && bestLength === 5 && words[5] === 0xffff) return `::ffff:${ipv4Text(bytes.subarray(12))}`;
  const text = (from: number, to: number): string => words.slice(from, to).map((word) => word.toString(16)).join(":");
  return best < 0 ? text(0, 8) : `${text(0, best)}::${text(best + bestLength, 8)}`;
}

/** An IP address of 4 or 16 bytes as text. */
export function addressText(bytes: Uint8Array): string {
  return bytes.length === 4 ? ipv4Text(bytes) : ipv6Text(bytes);
}

/** An IP address and a port as text: IPv6 in brackets, so that no group of it is taken for a port. */
export function addressAndPort(address: string, port: number): string {
  return address.includes(":") ? `[${address}]:${port}` : `${address}:${port}`;
}

/** The bytes of an IPv4 or IPv6 address; `undefined` for any other text. */
export function addressBytes(text: string): Uint8Array<ArrayBuffer> | undefined {
  return ipv4Bytes(text) ?? ipv6Bytes(text);
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

const utf8 = new TextEncoder();

/**
 * A name for people to read. Anyone who may create a device chooses its name, and the kernel allows every byte except `/`, `:` and white
 * space: characters that could control a terminal, break the line or hide (control and format characters such as U+202E, separators) become
 * `\xNN`, one for each byte of their UTF-8, and so does the backslash. Not for JSON, which has its own escapes.
 */
export function printable(text: string): string;
export function printable(text: string | undefined): string | undefined;
export function printable(text: string | undefined): string | undefined {
  return text?.replace(/[\\\p{C}\p{Z}]/gu, (character) => {
    let escaped = "";
    for (const byte of utf8.encode(character)) escaped += `\\x${HEX[byte]}`;
    return escaped;
  });
}

/** A path or another text with blanks in it, as {@linkcode printable} makes it, except that blanks stay. */
export function printableText(text: string): string {
  return text.split(" ").map((word) => printable(word)).join(" ");
}

/** A name as a word of a shell command line, for people to copy: nothing in it is executed, controls a terminal or hides. */
export function shellWord(name: string): string {
  if (/^[\w.@%+:,/-]+$/.test(name)) return name;
  if (!/[\\'\p{C}\p{Z}]/u.test(name)) return `'${name}'`;
  return `$'${printable(name).replaceAll("'", "\\x27")}'`;
}

/**
 * Rewrites commands of `tc` and `ip` in a text as they are typed outside the network namespace that they are for: `tc -n blue qdisc ...`.
 * Both programs take a name; for a path, nsenter(1) is used.
 */
export function commandsIn(netns: string | undefined, text: string): string;
export function commandsIn(netns: string | undefined, text: string | undefined): string | undefined;
export function commandsIn(netns: string | undefined, text: string | undefined): string | undefined {
  if (netns === undefined) return text;
  const enter = netns.includes("/") ? `nsenter -n${shellWord(netns)} ` : "";
  const option = enter === "" ? ` -n ${shellWord(netns)}` : "";
  // Not again if a function below has done it already.
  return text?.replace(/(?<!nsenter -n\S+ )\b(tc|ip)(?= (?:qdisc|filter|actions|link)\b)/g, (program) => `${enter}${program}${option}`);
}
