/** Values and the words in front of them that say what they are: ports, protocols, addresses and nets. */
import { prefixMask } from "../../tc/address.ts";
import { ipv6Bytes } from "../../wire/text.ts";
import type { Span } from "../filter_error.ts";
import { ETHER_TYPES, IP_PROTOCOL_NUMBERS } from "./names.ts";
import type { TokenReader } from "./token_reader.ts";
import type { Direction, Tree } from "./tree.ts";
import { macBytes, numberOf, portOf, shortIpv4 } from "./values.ts";
import { isKeyword } from "./words.ts";

/** The words in front of a value. */
export interface Qualifiers {
  readonly protocol: string | undefined;
  readonly direction: Direction;
  readonly type: "host" | "net" | "port" | "portrange" | "proto";
}

/** A value after the words that say what it is. */
export function qualifiedValue(reader: TokenReader, qualifiers: Qualifiers): Tree {
  switch (qualifiers.type) {
    case "port":
    case "portrange":
      return ports(reader, qualifiers);
    case "proto":
      return protocolNumber(reader, qualifiers);
    default:
      return addressOrNet(reader, qualifiers);
  }
}

function ports(reader: TokenReader, { protocol, direction, type }: Qualifiers): Tree {
  const token = reader.token;
  if (protocol !== undefined && protocol !== "tcp" && protocol !== "udp" && protocol !== "sctp") {
    throw reader.refuse(token, `ports go with tcp, udp or sctp, not with ${protocol}`);
  }
  const over = protocol ?? "any";
  const single = portOf(token);
  if (single !== undefined) {
    reader.next();
    return { kind: "ports", over, direction, from: single, to: single };
  }
  const what = "a port: a number up to 65535, or a well-known name such as https";
  if (type === "port") throw reader.expected(what);
  // Names may contain a hyphen.
  for (let hyphen = token.text.indexOf("-"); token.kind === "word" && hyphen > 0; hyphen = token.text.indexOf("-", hyphen + 1)) {
    const from = portOf({ ...token, text: token.text.slice(0, hyphen) });
    const to = portOf({ ...token, text: token.text.slice(hyphen + 1) });
    if (from === undefined || to === undefined) continue;
    reader.next();
    return { kind: "ports", over, direction, from: Math.min(from, to), to: Math.max(from, to) };
  }
  throw reader.expected(`${what}, or two with a hyphen between them`);
}

function protocolNumber(reader: TokenReader, { protocol, direction }: Qualifiers): Tree {
  const token = reader.token;
  if (direction !== "src or dst") throw reader.refuse(token, `a protocol has no ${direction}`);
  if (protocol !== undefined && protocol !== "ip" && protocol !== "ip6" && protocol !== "ether") {
    throw reader.refuse(token, `proto goes with ip, ip6 or ether, not with ${protocol}`);
  }
  const ether = protocol === "ether";
  const value = token.kind !== "word" ? undefined : (ether ? ETHER_TYPES : IP_PROTOCOL_NUMBERS).get(token.text) ?? numberOf(token.text);
  if (value === undefined || value > (ether ? 0xffff : 0xff)) {
    throw reader.expected(
      ether ? "an EtherType: a number up to 0xffff, or a name such as arp" : "an IP protocol: a number up to 255, or a name such as tcp",
    );
  }
  reader.next();
  return { kind: "number", over: protocol ?? "any", value, at: token };
}

function addressOrNet(reader: TokenReader, { protocol, direction, type }: Qualifiers): Tree {
  const token = reader.token;
  if (token.kind !== "word" || isKeyword(token)) throw reader.expected(type === "net" ? "a net such as 10.0.0.0/8" : "an address");
  if (protocol === "ether") {
    const address = macBytes(token.text);
    if (!address || type === "net") throw reader.expected("a hardware address such as 00:11:22:33:44:55");
    reader.next();
    return { kind: "mac", direction, address };
  }
  if (protocol !== undefined && protocol !== "ip" && protocol !== "ip6" && protocol !== "arp" && protocol !== "rarp") {
    throw reader.refuse(token, `addresses go with ip, ip6, arp, rarp or ether, not with ${protocol}`);
  }
  const over = protocol ?? "any";
  const address6 = ipv6Bytes(token.text);
  const address4 = address6 ? undefined : shortIpv4(token.text, type === "net");
  if (!address6 && !address4) {
    throw macBytes(token.text)
      ? reader.refuse(token, "a hardware address goes with ether: ether host")
      : reader.expected(`an IP address${/[a-z]/i.test(token.text) ? " (names are not looked up)" : ""}`);
  }
  if (address6 && over !== "any" && over !== "ip6") throw reader.refuse(token, `an IPv6 address goes with ip6, not with ${over}`);
  if (address4 && over === "ip6") throw reader.refuse(token, "an IPv4 address goes with ip, not with ip6");
  reader.next();
  const address = address6 ?? address4!.address;
  let mask: Uint8Array = prefixMask(address6 ? 128 : address4!.bits, address.length);
  const given = maskAfter(reader, address.length, token.text);
  if (given) {
    if (type !== "net" && !given.mask.every((byte) => byte === 0xff)) throw reader.refuse(given.at, "only a net has a mask: use net");
    mask = given.mask;
    if (address.some((byte, i) => byte & ~mask[i]!)) {
      throw reader.refuse(reader.since(token.start), "the address has bits beyond its mask");
    }
  }
  return { kind: "net", over, direction, address, mask };
}

function maskAfter(reader: TokenReader, size: number, text: string): { mask: Uint8Array; at: Span } | undefined {
  if (reader.isSign("/")) {
    // As in libpcap, a slash is allowed only after an address with a dot or a colon.
    if (!/[.:]/.test(text)) throw reader.expected("an address with a dot before the slash, such as 10.0/8");
    const { start } = reader.next();
    const mask = prefixMask(reader.number(8 * size, "how many bits the net has:"), size);
    return { mask, at: reader.since(start) };
  }
  if (!reader.isWord("mask") || size !== 4) return undefined;
  const { start } = reader.next();
  const mask = reader.token.kind === "word" ? shortIpv4(reader.token.text, false)?.address : undefined;
  if (!mask) throw reader.expected("a mask such as 255.255.0.0");
  reader.next();
  return { mask, at: reader.since(start) };
}
