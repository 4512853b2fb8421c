/**
 * The packets on the wire that segmentation offload hands to the sampler as one, of up to 64 KiB and more. The kernel's own
 * counter of a tc action counts the same way (net/core/gso.c, `qdisc_pkt_len_init` in net/core/dev.c): segments, each with its headers.
 *
 * @module
 */
import { AH, ESP, ETHERNET, IPV4, IPV6, MPLS, TCP, UDP, VLAN } from "../packet/header.ts";
import type { PacketView } from "../packet/packet_view.ts";
import type { Batch } from "../stream/batch.ts";

/**
 * The packets on the wire that one sampled packet stands for.
 *
 * @category Estimates
 */
export interface Segments {
  /** Number of packets. */
  packets: number;
  /** Their size in bytes, link headers included, without frame check sequences. */
  bytes: number;
  /** Whether the number is not known: an offload whose segment size is nowhere in the packet (UDP). */
  unknown: boolean;
}

/** How long a packet is that segmentation offload hands over in one piece, unless it is larger still (BIG TCP). */
export const SUPER_PACKET_BYTES = 65_535;
/** Ethernet's default, for devices whose MTU is not known. */
export const USUAL_MTU = 1500;
/** Ethernet's header, with two VLAN tags. */
export const LINK_HEADER = 22;
/** The largest packet that any link carries; longer ones were not segmented yet, whatever the link. */
const JUMBO_BYTES = 9216;

/**
 * Counts the segments of a packet.
 *
 * @param packet Its headers.
 * @param bytes Its original size in bytes.
 * @param mtu Of the device that it was sampled on; `undefined` if it is not known.
 * @param into Takes the result.
 * @returns Whether it was longer than the device carries.
 * @category Estimates
 */
export function countSegments(packet: PacketView, bytes: number, mtu: number | undefined, into: Segments): boolean {
  if (isOne(bytes, mtu, into)) return false;
  const { kinds, offsets, count, start } = packet;
  let network = 0;
  while (network < count && (kinds[network] === ETHERNET || kinds[network] === VLAN || kinds[network] === MPLS)) network++;
  const linkBytes = network < count ? offsets[network]! - start : 14;
  const most = mtu ?? (bytes - linkBytes > JUMBO_BYTES ? USUAL_MTU : JUMBO_BYTES);
  if (bytes - linkBytes <= most) return false;
  // The innermost TCP is what is cut.
  let transport = count - 1;
  while (transport > network && kinds[transport] !== TCP && kinds[transport] !== UDP) transport--;
  if (transport <= network || (kinds[network] !== IPV4 && kinds[network] !== IPV6)) {
    into.unknown = true;
    return true;
  }
  const at = offsets[transport]!;
  if (kinds[transport] === UDP || at + 13 > packet.end || hidden(kinds, network, transport)) {
    into.unknown = true;
    return true;
  }
  const headers = at - start + (packet.bytes[at + 12]! >> 4 << 2);
  const payload = bytes - headers;
  const segmentBytes = most - (headers - linkBytes);
  if (payload <= 0 || segmentBytes <= 0) {
    into.unknown = true;
    return true;
  }
  into.packets = Math.ceil(payload / segmentBytes);
  into.bytes = payload + into.packets * headers;
  return true;
}

/** {@linkcode countSegments} of entry `i` of a batch: its headers are decoded only if they are needed. */
export function countSegmentsOf(batch: Batch, i: number, bytes: number, mtu: number | undefined, into: Segments): boolean {
  return !isOne(bytes, mtu, into) && countSegments(batch.packet(i), bytes, mtu, into);
}

/** Whether a packet is not segmented for sure; it is counted as one. */
function isOne(bytes: number, mtu: number | undefined, into: Segments): boolean {
  into.packets = 1;
  into.bytes = bytes;
  into.unknown = false;
  return bytes <= (mtu ?? USUAL_MTU);
}

function hidden(kinds: Uint8Array, from: number, to: number): boolean {
  for (let i = from; i < to; i++) if (kinds[i] === ESP || kinds[i] === AH) return true;
  return false;
}

/** The frame check sequence. */
const FCS_BYTES = 4;
const LEAST_FRAME_BYTES = 64;
/** Preamble, start of frame, and the gap between two frames. */
const GAP_BYTES = 20;

/** What each frame takes of an Ethernet link beside its own bytes, if these are enough for one. */
export const FRAME_OVERHEAD_BYTES = FCS_BYTES + GAP_BYTES;

/**
 * Bytes that a frame of this size, without its check sequence, occupies on an Ethernet link: IEEE 802.3.
 *
 * @category Estimates
 */
export function wireBytes(frameBytes: number): number {
  return Math.max(frameBytes + FCS_BYTES, LEAST_FRAME_BYTES) + GAP_BYTES;
}
