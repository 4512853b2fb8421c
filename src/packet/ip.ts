/**
 * IPv4, IPv6 and their extensions.
 * Sources: RFC 791, RFC 8200, RFC 4302; include/uapi/linux/in.h; for lengths of 0 net/ipv4/ip_input.c and include/linux/ipv6.h.
 *
 * @module
 */
import { IPPROTO_FRAGMENT, IPPROTO_ICMP, IPPROTO_ICMPV6, IPPROTO_SCTP, IPPROTO_TCP, IPPROTO_UDP } from "../wire/ip_protocols.ts";
import { AH, ESP, ETHERNET, GRE, ICMP, ICMPV6, IGMP, IPV4, IPV6, IPV6_EXTENSION, MPLS, NONE, SCTP, TCP, UDP, UDP_LITE } from "./header.ts";
import type { WalkedHeaders } from "./walked_headers.ts";

/** Size of an IPv4 header without options. */
export const IPV4_BYTES = 20;
/** Size of an IPv6 header. */
export const IPV6_BYTES = 40;

const IPPROTO_HOPOPTS = 0;
const IPPROTO_IGMP = 2;
const IPPROTO_IPIP = 4;
const IPPROTO_IPV6 = 41;
const IPPROTO_ROUTING = 43;
const IPPROTO_GRE = 47;
const IPPROTO_ESP = 50;
const IPPROTO_AH = 51;
const IPPROTO_DSTOPTS = 60;
const IPPROTO_MH = 135;
const IPPROTO_UDPLITE = 136;
const IPPROTO_MPLS = 137;
const IPPROTO_HOST_IDENTITY = 139;
const IPPROTO_SHIM6 = 140;
const IPPROTO_ETHERNET = 143;

/** The kind of header that an IP protocol number announces; extensions are IPv6's only. */
export function ofProtocol(protocol: number, version: number): number {
  switch (protocol) {
    case IPPROTO_TCP:
      return TCP;
    case IPPROTO_UDP:
      return UDP;
    case IPPROTO_ICMP:
      return ICMP;
    case IPPROTO_ICMPV6:
      return ICMPV6;
    case IPPROTO_GRE:
      return GRE;
    case IPPROTO_IPIP:
      return IPV4;
    case IPPROTO_IPV6:
      return IPV6;
    case IPPROTO_SCTP:
      return SCTP;
    case IPPROTO_ESP:
      return ESP;
    case IPPROTO_AH:
      return AH;
    case IPPROTO_IGMP:
      return IGMP;
    case IPPROTO_UDPLITE:
      return UDP_LITE;
    case IPPROTO_MPLS:
      return MPLS;
    case IPPROTO_ETHERNET:
      return ETHERNET;
    case IPPROTO_HOPOPTS:
    case IPPROTO_ROUTING:
    case IPPROTO_FRAGMENT:
    case IPPROTO_DSTOPTS:
    case IPPROTO_MH:
    case IPPROTO_HOST_IDENTITY:
    case IPPROTO_SHIM6:
      return version === 6 ? IPV6_EXTENSION : NONE;
    default:
      return NONE;
  }
}

/** An IPv4 header with its options. */
export function ipv4(packet: WalkedHeaders, bytes: Uint8Array, at: number): number {
  if (at + IPV4_BYTES > packet.limit) return packet.short(IPV4);
  const first = bytes[at]!;
  const size = (first & 15) << 2;
  if (first >> 4 !== 4 || size < IPV4_BYTES) return packet.contradict(IPV4);
  const length = bytes[at + 2]! << 8 | bytes[at + 3]!;
  // Segmentation offload beyond 64 KiB leaves the length 0; the packet's own size is used then.
  if (length > 0) {
    if (length < size) return packet.contradict(IPV4);
    packet.narrow(IPV4, at, length);
  }
  if (at + size > packet.limit) return packet.short(IPV4);
  packet.next = at + size;
  // Only the first fragment contains the next header.
  const fragmentOffset = (bytes[at + 6]! & 0x1f) << 8 | bytes[at + 7]!;
  packet.protocol = bytes[at + 9]!;
  return fragmentOffset > 0 ? NONE : ofProtocol(packet.protocol, 4);
}

/** An IPv6 header. */
export function ipv6(packet: WalkedHeaders, bytes: Uint8Array, at: number): number {
  if (at + IPV6_BYTES > packet.limit) return packet.short(IPV6);
  if (bytes[at]! >> 4 !== 6) return packet.contradict(IPV6);
  const length = bytes[at + 4]! << 8 | bytes[at + 5]!;
  // 0 means a jumbogram, or segmentation offload beyond 64 KiB; or truly 0, if nothing follows the header.
  if (length > 0) packet.narrow(IPV6, at, IPV6_BYTES + length);
  packet.next = at + IPV6_BYTES;
  packet.protocol = bytes[at + 6]!;
  return ofProtocol(packet.protocol, 6);
}

/** An extension header of the protocol number that the header before it announced. */
export function ipv6Extension(packet: WalkedHeaders, bytes: Uint8Array, at: number): number {
  if (at + 8 > packet.limit) return packet.short(IPV6_EXTENSION);
  const isFragment = packet.protocol === IPPROTO_FRAGMENT;
  const size = isFragment ? 8 : (bytes[at + 1]! + 1) << 3;
  if (at + size > packet.limit) return packet.short(IPV6_EXTENSION);
  packet.next = at + size;
  packet.protocol = bytes[at]!;
  const fragmentOffset = isFragment ? bytes[at + 2]! << 8 | bytes[at + 3]! & 0xf8 : 0;
  return fragmentOffset > 0 ? NONE : ofProtocol(packet.protocol, 6);
}

/** An authentication header; its length counts words of 4 bytes, unlike that of IPv6's extensions. */
export function ah(packet: WalkedHeaders, bytes: Uint8Array, at: number): number {
  if (at + 12 > packet.limit) return packet.short(AH);
  const size = (bytes[at + 1]! + 2) << 2;
  if (size < 12) return packet.contradict(AH);
  if (at + size > packet.limit) return packet.short(AH);
  packet.next = at + size;
  packet.protocol = bytes[at]!;
  return ofProtocol(packet.protocol, 6);
}
