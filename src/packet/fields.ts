/**
 * The headers of a packet as plain values: what JSON prints and {@linkcode parsePacket} returns.
 *
 * @module
 */
import { ETH_P_802_3_MIN, ETH_P_TEB } from "../wire/ether_types.ts";
import { IPPROTO_FRAGMENT } from "../wire/ip_protocols.ts";
import { ipv4Text, ipv6Text } from "../wire/text.ts";
import {
  AH,
  ARP,
  ETHERNET,
  GENEVE,
  GRE,
  GTPU,
  headerName,
  ICMP,
  ICMPV6,
  IPV4,
  IPV6,
  IPV6_EXTENSION,
  MPLS,
  NONE,
  SCTP,
  TCP,
  UDP,
  UDP_LITE,
  VLAN,
  VXLAN,
  VXLAN_GPE,
} from "./header.ts";
import type { Headers } from "./headers.ts";
import { type FirstHeader, PacketView } from "./packet_view.ts";
import { protocolName } from "./protocol_names.ts";
import { tcpFlagsText } from "./transport.ts";

/**
 * A VLAN tag.
 *
 * @category Packets
 */
export interface VlanTag {
  /** The VLAN's number, 0 to 4095; 0 is a tag of priority only. */
  readonly id: number;
  /** The priority (PCP), 0 to 7. */
  readonly priority: number;
  /** The tag's own EtherType, such as 0x8100. */
  readonly tpid: number;
}

/**
 * The headers of a packet, down to the first tunnel; the packet in the tunnel is {@linkcode PacketFields.inner}. Absent fields are
 * `undefined`.
 *
 * @category Packets
 */
export interface PacketFields {
  /** Source of the Ethernet frame: `"02:00:00:00:00:01"`. */
  readonly etherSource: string | undefined;
  /** Destination of the Ethernet frame. */
  readonly etherDestination: string | undefined;
  /** EtherType of what follows the frame's header and its VLAN tags. */
  readonly etherType: number | undefined;
  /** The VLAN tags in the packet, outermost first. Tags stripped by the network card are not included. */
  readonly vlans: readonly VlanTag[] | undefined;
  /** Labels of an MPLS stack, outermost first. */
  readonly mplsLabels: readonly number[] | undefined;
  /** Source address of IPv4, IPv6, or of an ARP for IPv4. */
  readonly source: string | undefined;
  /** Destination address. */
  readonly destination: string | undefined;
  /** IP protocol number of what follows the IP header and its extensions. */
  readonly protocol: number | undefined;
  /** Name of {@linkcode PacketFields.protocol} as in IANA's registry, in lower case: `"tcp"`, `"ipv6-icmp"`. */
  readonly protocolName: string | undefined;
  /** Source port of TCP, UDP, UDP-Lite or SCTP. */
  readonly sourcePort: number | undefined;
  /** Destination port. */
  readonly destinationPort: number | undefined;
  /** TCP flags in tcpdump's letters: `"S."`. */
  readonly tcpFlags: string | undefined;
  /** Time to live, or hop limit. */
  readonly ttl: number | undefined;
  /** Differentiated services code point, 0 to 63. */
  readonly dscp: number | undefined;
  /** Length of the IP packet in bytes as its header says; of IPv6 with the header. `undefined` if it says 0 (segmentation offload). */
  readonly ipLength: number | undefined;
  /** Offset of a fragment in bytes; `undefined` if the packet is not a fragment. */
  readonly fragmentOffset: number | undefined;
  /** Type of ICMP or ICMPv6. */
  readonly icmpType: number | undefined;
  /** Code of ICMP or ICMPv6. */
  readonly icmpCode: number | undefined;
  /** Identifier of the tunnel: a VXLAN or Geneve network identifier, an NVGRE subnet, a GRE key or a GTP endpoint. */
  readonly tunnelId: number | undefined;
  /** The packet in the tunnel. */
  readonly inner: PacketFields | undefined;
  /** Name of the first header that the capture cut off. */
  readonly cut: string | undefined;
  /** Name of the first header that contradicts itself. */
  readonly broken: string | undefined;
}

/**
 * Reads the headers of a packet.
 *
 * @example Read a packet that was cut in its TCP header
 * ```ts
 * import { parsePacket } from "@psample/psample/packet";
 *
 * const captured = "450005dc000040004006aa6fc00002070a000001" + "01bbc93a"; // IPv4 from 192.0.2.7 to 10.0.0.1, 4 bytes of TCP
 * const packet = parsePacket(Uint8Array.from(captured.match(/../g)!, (byte) => parseInt(byte, 16)), "raw-ip", 1500);
 * if (packet.destination !== "10.0.0.1" || packet.cut !== "tcp") throw new Error("not what was captured");
 * ```
 *
 * @param data The packet, or as much of it as was captured.
 * @param linkType What it begins with. Defaults to `"ethernet"`.
 * @param originalBytes Its size before the capture cut it. Defaults to the size of `data`.
 * @returns The headers, as a new object.
 * @category Packets
 */
export function parsePacket(data: Uint8Array, linkType: FirstHeader = "ethernet", originalBytes: number = data.length): PacketFields {
  return packetFields(new PacketView().decode(data, 0, data.length, linkType, originalBytes));
}

/**
 * The headers found in a packet as plain values.
 *
 * @category Packets
 */
export function packetFields(packet: Headers): PacketFields {
  return levelFields(packet, 0, true);
}

/**
 * Index of the first header of the next level: after a tunnel's header, at a second IP header, or at a second frame.
 * {@linkcode Headers.count} if this level is the last.
 */
export function nextLevel(packet: Headers, from: number): number {
  let hasNetwork = false;
  for (let i = from; i < packet.count; i++) {
    const kind = packet.kinds[i]!;
    const isNetwork = kind === IPV4 || kind === IPV6;
    if (i > from && (kind === ETHERNET || isNetwork && hasNetwork)) return i;
    if (isNetwork) hasNetwork = true;
  }
  return packet.count;
}

type Writable = { -readonly [Key in keyof PacketFields]: PacketFields[Key] };

function levelFields(packet: Headers, from: number, outermost: boolean): PacketFields {
  const end = nextLevel(packet, from);
  const fields: Writable = {
    etherSource: undefined,
    etherDestination: undefined,
    etherType: undefined,
    vlans: undefined,
    mplsLabels: undefined,
    source: undefined,
    destination: undefined,
    protocol: undefined,
    protocolName: undefined,
    sourcePort: undefined,
    destinationPort: undefined,
    tcpFlags: undefined,
    ttl: undefined,
    dscp: undefined,
    ipLength: undefined,
    fragmentOffset: undefined,
    icmpType: undefined,
    icmpCode: undefined,
    tunnelId: undefined,
    inner: undefined,
    cut: undefined,
    broken: undefined,
  };
  for (let i = from; i < end; i++) readHeader(packet, i, fields);
  if (fields.protocol !== undefined) fields.protocolName = protocolName(fields.protocol);
  if (end < packet.count) fields.inner = levelFields(packet, end, false);
  if (outermost) {
    if (packet.cut !== NONE) fields.cut = headerName(packet.cut);
    if (packet.broken !== NONE) fields.broken = headerName(packet.broken);
  }
  return fields;
}

/** Reads what was captured of header `i`. */
function readHeader(packet: Headers, i: number, fields: Writable): void {
  const { bytes } = packet;
  const at = packet.offsets[i]!;
  const available = packet.end - at;
  const u8 = (offset: number): number | undefined => offset < available ? bytes[at + offset] : undefined;
  const u16 = (offset: number): number | undefined =>
    offset + 2 <= available ? bytes[at + offset]! << 8 | bytes[at + offset + 1]! : undefined;
  const u32 = (offset: number): number | undefined => offset + 4 <= available ? (u16(offset)! << 16 | u16(offset + 2)!) >>> 0 : undefined;
  const text = (offset: number, size: number, write: (bytes: Uint8Array) => string): string | undefined =>
    offset + size <= available ? write(bytes.subarray(at + offset, at + offset + size)) : undefined;
  switch (packet.kinds[i]) {
    case ETHERNET:
      fields.etherDestination = text(0, 6, macText);
      fields.etherSource = text(6, 6, macText);
      fields.etherType = etherTypeOf(u16(12));
      break;
    case VLAN: {
      const control = u16(0);
      // The tag's own EtherType is the two bytes before it.
      if (control === undefined) break;
      const tag = { id: control & 0xfff, priority: control >> 13, tpid: bytes[at - 2]! << 8 | bytes[at - 1]! };
      fields.vlans = [...fields.vlans ?? [], tag];
      fields.etherType = etherTypeOf(u16(2));
      break;
    }
    case MPLS: {
      const entry = u32(0);
      if (entry !== undefined) fields.mplsLabels = [...fields.mplsLabels ?? [], entry >>> 12];
      break;
    }
    case ARP:
      // Only in ARP for IPv4 on Ethernet are these known to be addresses (RFC 826).
      if (u8(4) !== 6 || u8(5) !== 4) break;
      fields.source = text(14, 4, ipv4Text);
      fields.destination = text(24, 4, ipv4Text);
      break;
    case IPV4: {
      fields.dscp = shifted(u8(1), 2);
      fields.ipLength = u16(2) || undefined;
      const fragment = u16(6);
      if (fragment !== undefined && fragment & 0x3fff) fields.fragmentOffset = (fragment & 0x1fff) << 3;
      fields.ttl = u8(8);
      fields.protocol = u8(9);
      fields.source = text(12, 4, ipv4Text);
      fields.destination = text(16, 4, ipv4Text);
      break;
    }
    case IPV6: {
      fields.dscp = shifted(u16(0), 6, 0x3f);
      const length = u16(4);
      fields.ipLength = length ? length + 40 : undefined;
      fields.protocol = u8(6);
      fields.ttl = u8(7);
      fields.source = text(8, 16, ipv6Text);
      fields.destination = text(24, 16, ipv6Text);
      break;
    }
    case IPV6_EXTENSION:
      if (fields.protocol === IPPROTO_FRAGMENT) fields.fragmentOffset = and(u16(2), 0xfff8);
      fields.protocol = u8(0) ?? fields.protocol;
      break;
    case AH:
      fields.protocol = u8(0) ?? fields.protocol;
      break;
    case TCP: {
      fields.sourcePort = u16(0);
      fields.destinationPort = u16(2);
      const flags = u16(12);
      if (flags !== undefined) fields.tcpFlags = tcpFlagsText(flags & 0x1ff);
      break;
    }
    case UDP:
    case UDP_LITE:
    case SCTP:
      fields.sourcePort = u16(0);
      fields.destinationPort = u16(2);
      break;
    case ICMP:
    case ICMPV6:
      fields.icmpType = u8(0);
      fields.icmpCode = u8(1);
      break;
    case VXLAN:
    case VXLAN_GPE:
    case GENEVE:
    case GTPU:
    case GRE:
      fields.tunnelId = tunnelId(packet, i);
      break;
  }
}

const GRE_CHECKSUM = 0x8000;
const GRE_KEY = 0x2000;

/** The identifier of the tunnel that header `i` is of; `undefined` if it has none, or it was cut off. */
export function tunnelId(packet: Headers, i: number): number | undefined {
  const { bytes, end } = packet;
  const at = packet.offsets[i]!;
  const u16 = (offset: number): number => bytes[at + offset]! << 8 | bytes[at + offset + 1]!;
  const u32 = (offset: number): number | undefined => at + offset + 4 <= end ? (u16(offset) << 16 | u16(offset + 2)) >>> 0 : undefined;
  switch (packet.kinds[i]) {
    case VXLAN:
    case VXLAN_GPE:
    case GENEVE:
      return shifted(u32(4), 8);
    case GTPU:
      return u32(4);
    case GRE: {
      if (at + 4 > end) return undefined;
      const flags = u16(0);
      // Of version 1 the key is a length and a call.
      if ((flags & GRE_KEY) === 0 || (flags & 7) !== 0) return undefined;
      const key = u32(flags & GRE_CHECKSUM ? 8 : 4);
      // NVGRE's key is a subnet of 24 bits and a flow of 8 (RFC 7637).
      return u16(2) === ETH_P_TEB ? shifted(key, 8) : key;
    }
    default:
      return undefined;
  }
}

/** An EtherType; smaller numbers are the length of an 802.3 frame. */
function etherTypeOf(value: number | undefined): number | undefined {
  return value !== undefined && value >= ETH_P_802_3_MIN ? value : undefined;
}

function shifted(value: number | undefined, bits: number, mask = 0xffff_ffff): number | undefined {
  return value === undefined ? undefined : (value >>> bits & mask) >>> 0;
}

function and(value: number | undefined, mask: number): number | undefined {
  return value === undefined ? undefined : value & mask;
}

/**
 * Six bytes as an Ethernet address.
 *
 * @category Packets
 */
export function macText(bytes: Uint8Array): string {
  let text = "";
  for (let i = 0; i < bytes.length; i++) text += `${i === 0 ? "" : ":"}${bytes[i]!.toString(16).padStart(2, "0")}`;
  return text;
}
