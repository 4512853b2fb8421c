/**
 * The walk over the headers of a packet.
 *
 * @module
 */
import { IPPROTO_TCP, IPPROTO_UDP } from "../wire/ip_protocols.ts";
import { ETH_P_8021Q, ETH_P_IP, ETH_P_IPV6 } from "../wire/ether_types.ts";
import { arp, controlWord, ethernet, llc, mpls, ppp, pppoe, snap, vlan } from "./ethernet.ts";
import {
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
} from "./header.ts";
import { Headers, MOST_HEADERS } from "./headers.ts";
import { ah, ipv4, ipv6, ipv6Extension, ofProtocol } from "./ip.ts";
import { isTunnelPort, last, tcp, udp } from "./transport.ts";
import { erspan, geneve, gre, gtpu, vxlanGpe } from "./tunnel.ts";

/**
 * What a packet begins with: a frame of Ethernet, or an IPv4 or IPv6 header.
 *
 * @category Packets
 */
export type FirstHeader = "ethernet" | "raw-ip";

/**
 * Finds the headers of packets. Reuse one for many: {@linkcode PacketView.decode} allocates nothing.
 *
 * @category Packets
 */
export class PacketView extends Headers {
  /**
   * Finds the headers of the packet between `start` and `end` of `bytes`.
   *
   * @param first What the packet begins with.
   * @param originalBytes Its size before the capture cut it. Defaults to the captured size.
   */
  decode(bytes: Uint8Array, start: number, end: number, first: FirstHeader, originalBytes: number = end - start): this {
    this.bytes = bytes;
    this.start = start;
    this.end = end;
    this.originalBytes = originalBytes;
    this.limit = end;
    this.cut = NONE;
    this.broken = NONE;
    this.deeper = false;
    const { kinds, offsets } = this;
    let kind: number = first === "ethernet" ? ETHERNET : start < end && bytes[start]! >> 4 === 6 ? IPV6 : IPV4;
    let at = start;
    let limit = end;
    let count = 0;
    if (start === end) {
      // An empty packet cannot be wrong.
      if (originalBytes > 0) this.cut = kind;
      kind = NONE;
    }
    while (kind !== NONE) {
      if (count === MOST_HEADERS) {
        this.deeper = true;
        break;
      }
      // A header without any captured bytes is named, but is not among those found.
      if (at >= limit) {
        this.short(kind);
        break;
      }
      kinds[count] = kind;
      offsets[count++] = at;
      // The most common headers are read right here if they are complete and ordinary: a call for each of them would cost as much as
      // everything else. All others, and all doubtful cases, are left to the header's own function.
      if (kind === ETHERNET) {
        if (at + 14 <= limit) {
          const type = bytes[at + 12]! << 8 | bytes[at + 13]!;
          const next = type === ETH_P_IP ? IPV4 : type === ETH_P_IPV6 ? IPV6 : type === ETH_P_8021Q ? VLAN : NONE;
          if (next !== NONE) {
            kind = next;
            at += 14;
            continue;
          }
        }
      } else if (kind === VLAN) {
        if (at + 4 <= limit) {
          const type = bytes[at + 2]! << 8 | bytes[at + 3]!;
          const next = type === ETH_P_IP ? IPV4 : type === ETH_P_IPV6 ? IPV6 : NONE;
          if (next !== NONE) {
            kind = next;
            at += 4;
            continue;
          }
        }
      } else if (kind === IPV4) {
        if (at + 20 <= limit && bytes[at] === 0x45) {
          const length = bytes[at + 2]! << 8 | bytes[at + 3]!;
          const whole = at + length <= limit;
          if (
            length >= 20 && (whole || limit === end && at + length - start <= originalBytes) &&
            ((bytes[at + 6]! & 0x1f) | bytes[at + 7]!) === 0
          ) {
            if (whole) this.limit = limit = at + length;
            const protocol = bytes[at + 9]!;
            at += 20;
            kind = protocol === IPPROTO_TCP ? TCP : protocol === IPPROTO_UDP ? UDP : ofProtocol(protocol, 4);
            continue;
          }
        }
      } else if (kind === IPV6) {
        if (at + 40 <= limit && bytes[at]! >> 4 === 6) {
          const length = bytes[at + 4]! << 8 | bytes[at + 5]!;
          const whole = at + 40 + length <= limit;
          const protocol = bytes[at + 6]!;
          if (
            length > 0 && (whole || limit === end && at + 40 + length - start <= originalBytes) &&
            (protocol === IPPROTO_TCP || protocol === IPPROTO_UDP)
          ) {
            if (whole) this.limit = limit = at + 40 + length;
            at += 40;
            kind = protocol === IPPROTO_TCP ? TCP : UDP;
            continue;
          }
        }
      } else if (kind === TCP) {
        if (at + 20 <= limit) {
          const size = bytes[at + 12]! >> 4 << 2;
          if (size >= 20 && at + size <= limit) {
            at += size;
            break;
          }
        }
      } else if (kind === UDP) {
        if (at + 8 <= limit && !isTunnelPort(bytes[at + 2]! << 8 | bytes[at + 3]!)) {
          const length = bytes[at + 4]! << 8 | bytes[at + 5]!;
          if (length >= 8 && (at + length <= limit || limit === end && at + length - start <= originalBytes)) {
            at += 8;
            break;
          }
        }
      }
      this.next = at;
      kind = follow(this, bytes, at, kind);
      at = this.next;
      limit = this.limit;
    }
    this.payload = at;
    this.count = count;
    return this;
  }
}

/** Reads the header at `at`: returns the kind of the next one, and leaves where that begins in `packet.next`. */
function follow(packet: Headers, bytes: Uint8Array, at: number, kind: number): number {
  switch (kind) {
    case ETHERNET:
      return ethernet(packet, bytes, at);
    case IPV4:
      return ipv4(packet, bytes, at);
    case IPV6:
      return ipv6(packet, bytes, at);
    case TCP:
      return tcp(packet, bytes, at);
    case UDP:
      return udp(packet, bytes, at);
    case VLAN:
      return vlan(packet, bytes, at);
    case ICMP:
    case ICMPV6:
    case IGMP:
    case ESP:
    case UDP_LITE:
      return last(packet, at, kind, 8);
    case SCTP:
      return last(packet, at, kind, 12);
    case IPV6_EXTENSION:
      return ipv6Extension(packet, bytes, at);
    case LLC:
      return llc(packet, bytes, at);
    case SNAP:
      return snap(packet, bytes, at);
    case MPLS:
      return mpls(packet, bytes, at);
    case CONTROL_WORD:
      return controlWord(packet, at);
    case PPPOE:
      return pppoe(packet, bytes, at);
    case PPP:
      return ppp(packet, bytes, at);
    case ARP:
      return arp(packet, bytes, at);
    case AH:
      return ah(packet, bytes, at);
    case GRE:
      return gre(packet, bytes, at);
    case ERSPAN:
      return erspan(packet, bytes, at);
    case VXLAN:
      // A frame follows.
      return at + 8 > packet.limit ? packet.short(VXLAN) : (packet.next = at + 8, ETHERNET);
    case VXLAN_GPE:
      return vxlanGpe(packet, bytes, at);
    case GENEVE:
      return geneve(packet, bytes, at);
    case GTPU:
      return gtpu(packet, bytes, at);
    default:
      return NONE;
  }
}
