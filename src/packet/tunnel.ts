/**
 * Tunnels: GRE, ERSPAN, VXLAN, Geneve, GTP-U.
 * Sources: RFC 2784, RFC 2890, RFC 2637 (version 1), RFC 7637 (NVGRE), draft-foschiano-erspan, RFC 7348,
 * draft-ietf-nvo3-vxlan-gpe, RFC 8926, 3GPP TS 29.281.
 *
 * @module
 */
import { ofEtherType } from "./ethernet.ts";
import { ERSPAN, ETHERNET, GENEVE, GRE, GTPU, IPV4, IPV6, MPLS, NONE, NSH, PPP, VXLAN, VXLAN_GPE } from "./header.ts";
import type { WalkedHeaders } from "./walked_headers.ts";

// The flags in the first byte of GRE, and the one in the second that only version 1 has.
const GRE_CHECKSUM = 0x80;
const GRE_ROUTING = 0x40;
const GRE_KEY = 0x20;
const GRE_SEQUENCE = 0x10;
const GRE_ACKNOWLEDGEMENT = 0x80;

const PROTOCOL_PPP = 0x880b;
const PROTOCOL_ERSPAN_2 = 0x88be;
const PROTOCOL_ERSPAN_3 = 0x22eb;
const ERSPAN_2_BYTES = 8;
const ERSPAN_3_BYTES = 12;
/** Size of the platform-specific part of an ERSPAN header of version 2, which is called type III. */
const ERSPAN_PLATFORM_BYTES = 8;

/** A GRE header with the words that its flags announce. */
export function gre(packet: WalkedHeaders, bytes: Uint8Array, at: number): number {
  if (at + 4 > packet.limit) return packet.short(GRE);
  const flags = bytes[at]!;
  const version = bytes[at + 1]! & 7;
  // Nobody uses RFC 1701's list of routes, and there are no other versions.
  if (version > 1 || flags & GRE_ROUTING) return packet.contradict(GRE);
  let size = 4 + (flags & GRE_CHECKSUM ? 4 : 0) + (flags & GRE_KEY ? 4 : 0) + (flags & GRE_SEQUENCE ? 4 : 0);
  if (version === 1 && bytes[at + 1]! & GRE_ACKNOWLEDGEMENT) size += 4;
  if (at + size > packet.limit) return packet.short(GRE);
  packet.next = at + size;
  const protocol = bytes[at + 2]! << 8 | bytes[at + 3]!;
  switch (protocol) {
    case PROTOCOL_ERSPAN_2:
      // Type I has no header of its own.
      return flags & GRE_SEQUENCE ? ERSPAN : ETHERNET;
    case PROTOCOL_ERSPAN_3:
      return ERSPAN;
    case PROTOCOL_PPP:
      return packet.next < packet.limit ? PPP : NONE;
    default:
      return ofEtherType(protocol);
  }
}

/** The header of type II or III, by its version. */
export function erspan(packet: WalkedHeaders, bytes: Uint8Array, at: number): number {
  const version = bytes[at]! >> 4;
  if (version !== 1 && version !== 2) return packet.contradict(ERSPAN);
  let size = version === 1 ? ERSPAN_2_BYTES : ERSPAN_3_BYTES;
  if (at + size > packet.limit) return packet.short(ERSPAN);
  if (version === 2 && bytes[at + 11]! & 1) size += ERSPAN_PLATFORM_BYTES;
  if (at + size > packet.limit) return packet.short(ERSPAN);
  packet.next = at + size;
  return ETHERNET;
}

/** Flags, an identifier, and a frame. */
export function vxlan(packet: WalkedHeaders, at: number): number {
  if (at + 8 > packet.limit) return packet.short(VXLAN);
  packet.next = at + 8;
  return ETHERNET;
}

/** VXLAN with the protocol of what follows. */
export function vxlanGpe(packet: WalkedHeaders, bytes: Uint8Array, at: number): number {
  if (at + 8 > packet.limit) return packet.short(VXLAN_GPE);
  packet.next = at + 8;
  // Without the flag P it is plain VXLAN.
  switch (bytes[at]! & 0x04 ? bytes[at + 3]! : 3) {
    case 1:
      return IPV4;
    case 2:
      return IPV6;
    case 3:
      return ETHERNET;
    case 4:
      return NSH;
    case 5:
      return MPLS;
    default:
      return NONE;
  }
}

/** A Geneve header with its options. */
export function geneve(packet: WalkedHeaders, bytes: Uint8Array, at: number): number {
  if (at + 8 > packet.limit) return packet.short(GENEVE);
  const size = 8 + ((bytes[at]! & 0x3f) << 2);
  if (bytes[at]! >> 6 !== 0) return packet.contradict(GENEVE);
  if (at + size > packet.limit) return packet.short(GENEVE);
  packet.next = at + size;
  return ofEtherType(bytes[at + 2]! << 8 | bytes[at + 3]!);
}

/** A GTP-U header; only a G-PDU has a user's packet in it. */
export function gtpu(packet: WalkedHeaders, bytes: Uint8Array, at: number): number {
  if (at + 8 > packet.limit) return packet.short(GTPU);
  const flags = bytes[at]!;
  if (flags >> 5 !== 1 || (flags & 0x10) === 0) return packet.contradict(GTPU);
  let next = at + 8;
  if (flags & 0x07) {
    // Any of the three flags brings all three fields.
    if (next + 4 > packet.limit) return packet.short(GTPU);
    let extension = flags & 0x04 ? bytes[next + 3]! : 0;
    next += 4;
    while (extension !== 0) {
      if (next >= packet.limit) return packet.short(GTPU);
      const size = bytes[next]! << 2;
      if (size === 0) return packet.contradict(GTPU);
      if (next + size > packet.limit) return packet.short(GTPU);
      extension = bytes[next + size - 1]!;
      next += size;
    }
  }
  packet.next = next;
  if (bytes[at + 1] !== 0xff || next >= packet.limit) return NONE;
  const version = bytes[next]! >> 4;
  return version === 4 ? IPV4 : version === 6 ? IPV6 : NONE;
}
