/**
 * The walk over the headers of a packet, from one to the next: it defines what is found in every packet.
 *
 * @module
 */
import { arp, controlWord, ethernet, llc, mpls, ppp, pppoe, snap, vlan } from "./ethernet.ts";
import * as header from "./header.ts";
import { MOST_HEADERS } from "./headers.ts";
import { ah, ipv4, ipv6, ipv6Extension } from "./ip.ts";
import { last, tcp, udp } from "./transport.ts";
import { erspan, geneve, gre, gtpu, vxlan, vxlanGpe } from "./tunnel.ts";
import type { WalkedHeaders } from "./walked_headers.ts";

// Not imported by name, for the reason in straight.ts.
const {
  AH,
  ARP,
  CONTROL_WORD,
  ERSPAN,
  ESP,
  ETHERNET,
  GENEVE,
  GRE,
  GTPU,
  ICMP,
  ICMPV6,
  IGMP,
  IPV4,
  IPV6,
  IPV6_EXTENSION,
  LLC,
  MPLS,
  NONE,
  PPP,
  PPPOE,
  SCTP,
  SNAP,
  TCP,
  UDP,
  UDP_LITE,
  VLAN,
  VXLAN,
  VXLAN_GPE,
} = header;

/**
 * What a packet begins with: a frame of Ethernet, or an IPv4 or IPv6 header.
 *
 * @category Packets
 */
export type FirstHeader = "ethernet" | "raw-ip";

/** The kind of the header that a packet begins with; its first half byte distinguishes IPv6 from IPv4. */
export function firstKind(bytes: Uint8Array, start: number, end: number, first: FirstHeader): number {
  return first === "ethernet" ? ETHERNET : start < end && bytes[start]! >> 4 === 6 ? IPV6 : IPV4;
}

/**
 * Walks over the headers of a packet, until nothing more is recognised or one of them is not whole.
 *
 * @param packet The packet, with what was found before: {@linkcode WalkedHeaders.next} and {@linkcode WalkedHeaders.limit} say where the walk begins.
 * @param first The kind of the header there.
 */
export function walk(packet: WalkedHeaders, first: number): void {
  const { bytes, kinds, offsets } = packet;
  let kind = first;
  while (kind !== NONE) {
    const { next: at, count } = packet;
    if (count === MOST_HEADERS) {
      packet.deeper = true;
      break;
    }
    // A header without any captured bytes is named, but is not among those found.
    if (at >= packet.limit) {
      packet.short(kind);
      break;
    }
    kinds[count] = kind;
    offsets[count] = at;
    packet.count = count + 1;
    // Each of these returns the kind of the next header, and leaves where that begins in `packet.next`.
    switch (kind) {
      case ETHERNET:
        kind = ethernet(packet, bytes, at);
        break;
      case IPV4:
        kind = ipv4(packet, bytes, at);
        break;
      case IPV6:
        kind = ipv6(packet, bytes, at);
        break;
      case TCP:
        kind = tcp(packet, bytes, at);
        break;
      case UDP:
        kind = udp(packet, bytes, at);
        break;
      case VLAN:
        kind = vlan(packet, bytes, at);
        break;
      case ICMP:
      case ICMPV6:
      case IGMP:
      case ESP:
      case UDP_LITE:
        kind = last(packet, at, kind, 8);
        break;
      case SCTP:
        kind = last(packet, at, kind, 12);
        break;
      case IPV6_EXTENSION:
        kind = ipv6Extension(packet, bytes, at);
        break;
      case LLC:
        kind = llc(packet, bytes, at);
        break;
      case SNAP:
        kind = snap(packet, bytes, at);
        break;
      case MPLS:
        kind = mpls(packet, bytes, at);
        break;
      case CONTROL_WORD:
        kind = controlWord(packet, at);
        break;
      case PPPOE:
        kind = pppoe(packet, bytes, at);
        break;
      case PPP:
        kind = ppp(packet, bytes, at);
        break;
      case ARP:
        kind = arp(packet, bytes, at);
        break;
      case AH:
        kind = ah(packet, bytes, at);
        break;
      case GRE:
        kind = gre(packet, bytes, at);
        break;
      case ERSPAN:
        kind = erspan(packet, bytes, at);
        break;
      case VXLAN:
        kind = vxlan(packet, at);
        break;
      case VXLAN_GPE:
        kind = vxlanGpe(packet, bytes, at);
        break;
      case GENEVE:
        kind = geneve(packet, bytes, at);
        break;
      case GTPU:
        kind = gtpu(packet, bytes, at);
        break;
      default:
        kind = NONE;
        break;
    }
  }
  packet.payload = packet.next;
}
