/**
 * The walk over the headers that most packets have, without a loop: Ethernet, perhaps a VLAN tag, IPv4 or IPv6, TCP or UDP.
 *
 * The loop in walk.ts finds the same in them, but takes twice as long. It defines what is found: whatever is unusual, cut off or wrong is
 * left to it, and test/packet/straight_test.ts compares the two.
 *
 * @module
 */
import * as etherTypes from "../wire/ether_types.ts";
import * as ipProtocols from "../wire/ip_protocols.ts";
import * as ethernet from "./ethernet.ts";
import * as header from "./header.ts";
import { canEndAt, type WalkedHeaders } from "./walked_headers.ts";
import * as ip from "./ip.ts";
import * as transport from "./transport.ts";

// V8 compiles a constant of this file into the code. One that is imported by name is loaded and checked at each use, which took a quarter of
// the time for a packet.
const { ETH_P_8021Q, ETH_P_IP, ETH_P_IPV6 } = etherTypes;
const { IPPROTO_TCP, IPPROTO_UDP } = ipProtocols;
const { ETHERNET, IPV4, IPV6, NONE, TCP, UDP, VLAN } = header;
const { ETHERNET_BYTES, VLAN_BYTES } = ethernet;
const { IPV4_BYTES, IPV6_BYTES, ofProtocol } = ip;
const { isTunnelPort, TCP_BYTES, UDP_BYTES } = transport;

/** First byte of an IPv4 header without options: version 4, and a size of five words. */
const IPV4_WITHOUT_OPTIONS = 0x45;

/**
 * Reads the headers at the beginning of a packet: all of them, those before TCP or UDP or whatever else IP carries, or none.
 *
 * @param packet The packet, of which nothing has been found yet.
 * @param first The kind of its first header.
 * @returns The kind of the header that the walk has to continue with; {@linkcode NONE} if nothing more is recognised.
 */
export function walkStraight(packet: WalkedHeaders, first: number): number {
  const { bytes, start, end, kinds, offsets } = packet;
  const whole = start + packet.originalBytes;

  let at = start;
  let count = 0;
  let type = first === IPV4 ? ETH_P_IP : ETH_P_IPV6;
  if (first === ETHERNET) {
    if (at + ETHERNET_BYTES > end) return first;
    kinds[0] = ETHERNET;
    offsets[0] = at;
    count = 1;
    at += ETHERNET_BYTES;
    type = bytes[at - 2]! << 8 | bytes[at - 1]!;
    if (type === ETH_P_8021Q) {
      if (at + VLAN_BYTES > end) return first;
      kinds[1] = VLAN;
      offsets[1] = at;
      count = 2;
      at += VLAN_BYTES;
      type = bytes[at - 2]! << 8 | bytes[at - 1]!;
    }
  }

  let next: number;
  let stop: number;
  let protocol: number;
  if (type === ETH_P_IP) {
    next = at + IPV4_BYTES;
    if (next > end || bytes[at] !== IPV4_WITHOUT_OPTIONS) return first;
    const isLaterFragment = ((bytes[at + 6]! & 0x1f) | bytes[at + 7]!) !== 0;
    stop = at + (bytes[at + 2]! << 8 | bytes[at + 3]!);
    if (isLaterFragment || stop < next) return first;
    protocol = bytes[at + 9]!;
    kinds[count] = IPV4;
  } else if (type === ETH_P_IPV6) {
    next = at + IPV6_BYTES;
    if (next > end || bytes[at]! >> 4 !== 6) return first;
    stop = next + (bytes[at + 4]! << 8 | bytes[at + 5]!);
    if (stop === next) return first;
    protocol = bytes[at + 6]!;
    kinds[count] = IPV6;
  } else {
    return first;
  }
  if (!canEndAt(stop, end, end, whole)) return first;
  offsets[count] = at;
  const limit = Math.min(stop, end);
  packet.count = count + 1;
  packet.limit = limit;
  packet.next = next;
  packet.protocol = protocol;

  if (protocol === IPPROTO_TCP) {
    if (next + TCP_BYTES > limit) return TCP;
    const size = bytes[next + 12]! >> 4 << 2;
    if (size < TCP_BYTES || next + size > limit) return TCP;
    kinds[count + 1] = TCP;
    packet.next = next + size;
  } else if (protocol === IPPROTO_UDP) {
    if (next + UDP_BYTES > limit || isTunnelPort(bytes[next + 2]! << 8 | bytes[next + 3]!)) return UDP;
    const length = bytes[next + 4]! << 8 | bytes[next + 5]!;
    if (length < UDP_BYTES || !canEndAt(next + length, limit, end, whole)) return UDP;
    kinds[count + 1] = UDP;
    packet.limit = Math.min(next + length, limit);
    packet.next = next + UDP_BYTES;
  } else {
    return ofProtocol(protocol, type === ETH_P_IP ? 4 : 6);
  }
  offsets[count + 1] = next;
  packet.count = count + 2;
  return NONE;
}
