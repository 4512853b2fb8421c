/**
 * Link-layer headers: Ethernet, 802.2, VLAN tags, MPLS, PPPoE, ARP.
 * Sources: include/uapi/linux/if_ether.h, IEEE 802.3 and 802.1Q, RFC 3032, RFC 4385, RFC 2516.
 *
 * @module
 */
import {
  ETH_P_8021AD,
  ETH_P_8021Q,
  ETH_P_802_3_MIN,
  ETH_P_ARP,
  ETH_P_IP,
  ETH_P_IPV6,
  ETH_P_MPLS_UC,
  ETH_P_QINQ1,
  ETH_P_TEB,
} from "../wire/ether_types.ts";
import { ARP, CONTROL_WORD, ETHERNET, IPV4, IPV6, LLC, MPLS, NONE, NSH, PPP, PPPOE, SNAP, VLAN } from "./header.ts";
import type { WalkedHeaders } from "./walked_headers.ts";

// EtherTypes with headers that only packets have; include/uapi/linux/if_ether.h.
const ETH_P_QINQ2 = 0x9200;
const ETH_P_MPLS_MC = 0x8848;
const ETH_P_PPP_DISC = 0x8863;
const ETH_P_PPP_SES = 0x8864;
const ETH_P_NSH = 0x894f;

/** Size of an Ethernet header. */
export const ETHERNET_BYTES = 14;
/** Size of a VLAN tag and the EtherType after it. */
export const VLAN_BYTES = 4;

const PPP_IP = 0x0021;
const PPP_IPV6 = 0x0057;

/** The kind of header that an EtherType announces. */
export function ofEtherType(type: number): number {
  switch (type) {
    case ETH_P_IP:
      return IPV4;
    case ETH_P_IPV6:
      return IPV6;
    case ETH_P_8021Q:
    case ETH_P_8021AD:
    case ETH_P_QINQ1:
    case ETH_P_QINQ2:
      return VLAN;
    case ETH_P_ARP:
      return ARP;
    case ETH_P_MPLS_UC:
    case ETH_P_MPLS_MC:
      return MPLS;
    case ETH_P_PPP_DISC:
    case ETH_P_PPP_SES:
      return PPPOE;
    case ETH_P_TEB:
      return ETHERNET;
    case ETH_P_NSH:
      return NSH;
    default:
      return NONE;
  }
}

/** The header after an EtherType at `at`, which may be a length instead. */
function afterType(packet: WalkedHeaders, bytes: Uint8Array, at: number): number {
  const type = bytes[at]! << 8 | bytes[at + 1]!;
  packet.next = at + 2;
  if (type >= ETH_P_802_3_MIN) return ofEtherType(type);
  packet.narrow(ETHERNET, at + 2, type);
  return LLC;
}

/** Destination, source, and an EtherType or a length. */
export function ethernet(packet: WalkedHeaders, bytes: Uint8Array, at: number): number {
  return at + ETHERNET_BYTES > packet.limit ? packet.short(ETHERNET) : afterType(packet, bytes, at + 12);
}

/** A tag: priority and number, and an EtherType or a length. */
export function vlan(packet: WalkedHeaders, bytes: Uint8Array, at: number): number {
  return at + VLAN_BYTES > packet.limit ? packet.short(VLAN) : afterType(packet, bytes, at + 2);
}

/** Service access points and control: AA AA 03 announces SNAP. */
export function llc(packet: WalkedHeaders, bytes: Uint8Array, at: number): number {
  if (at + 3 > packet.limit) return packet.short(LLC);
  packet.next = at + 3;
  return bytes[at] === 0xaa && bytes[at + 1] === 0xaa && bytes[at + 2] === 0x03 ? SNAP : NONE;
}

/** An organisation and a type: that of organisation 0 is an EtherType. */
export function snap(packet: WalkedHeaders, bytes: Uint8Array, at: number): number {
  if (at + 5 > packet.limit) return packet.short(SNAP);
  packet.next = at + 5;
  const organisation = bytes[at]! << 16 | bytes[at + 1]! << 8 | bytes[at + 2]!;
  return organisation === 0 ? ofEtherType(bytes[at + 3]! << 8 | bytes[at + 4]!) : NONE;
}

/** One label of a stack. Nothing identifies what follows the bottom except its first half byte. */
export function mpls(packet: WalkedHeaders, bytes: Uint8Array, at: number): number {
  if (at + 4 > packet.limit) return packet.short(MPLS);
  packet.next = at + 4;
  if ((bytes[at + 2]! & 1) === 0) return MPLS;
  if (at + 4 >= packet.limit) return NONE;
  switch (bytes[at + 4]! >> 4) {
    case 4:
      return IPV4;
    case 6:
      return IPV6;
    case 0:
      return CONTROL_WORD;
    case 1:
      // An associated channel (RFC 4385): management, not a packet.
      return NONE;
    default:
      return ETHERNET;
  }
}

/** The control word of a pseudowire, and the frame in it. */
export function controlWord(packet: WalkedHeaders, at: number): number {
  if (at + 4 > packet.limit) return packet.short(CONTROL_WORD);
  packet.next = at + 4;
  return ETHERNET;
}

/** Version and type, code, session, length; in a session PPP follows. */
export function pppoe(packet: WalkedHeaders, bytes: Uint8Array, at: number): number {
  if (at + 6 > packet.limit) return packet.short(PPPOE);
  if (bytes[at] !== 0x11) return packet.contradict(PPPOE);
  packet.next = at + 6;
  packet.narrow(PPPOE, at + 6, bytes[at + 4]! << 8 | bytes[at + 5]!);
  // The codes of discovery are not 0.
  return bytes[at + 1] === 0 ? PPP : NONE;
}

/** The protocol of a PPP frame, perhaps compressed to a byte, and perhaps after address and control. */
export function ppp(packet: WalkedHeaders, bytes: Uint8Array, at: number): number {
  let next = at;
  // 0xff is not a protocol (RFC 1661, 6.5): it is the address, even if the control field after it is cut off.
  if (next < packet.limit && bytes[next] === 0xff) next += 2;
  if (next >= packet.limit) return packet.short(PPP);
  let protocol = bytes[next++]!;
  if ((protocol & 1) === 0) {
    if (next >= packet.limit) return packet.short(PPP);
    protocol = protocol << 8 | bytes[next++]!;
  }
  packet.next = next;
  return protocol === PPP_IP ? IPV4 : protocol === PPP_IPV6 ? IPV6 : NONE;
}

/** Types and sizes of the addresses, an operation, and the addresses. */
export function arp(packet: WalkedHeaders, bytes: Uint8Array, at: number): number {
  if (at + 8 > packet.limit) return packet.short(ARP);
  const size = 8 + 2 * bytes[at + 4]! + 2 * bytes[at + 5]!;
  if (at + size > packet.limit) return packet.short(ARP);
  packet.next = at + size;
  return NONE;
}
