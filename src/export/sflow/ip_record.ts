/** Sampled IPv4 and IPv6: the fields of a packet, beside its bytes. Source: sflow.org, "sFlow Version 5", section 5.3. */
import { type PacketKey, packetKey } from "../../packet/flow_key.ts";
import { IPV4, IPV6, TCP } from "../../packet/header.ts";
import type { PacketView } from "../../packet/packet_view.ts";

const SAMPLED_IPV4 = 3;
const SAMPLED_IPV6 = 4;

/** Sizes with the record's own header of 8 bytes. */
const IPV4_RECORD_BYTES = 40;
export const IPV6_RECORD_BYTES = 64;

const PROTOCOL: PacketKey = packetKey("ipprotocol")!;
const SOURCE_PORT: PacketKey = packetKey("sourceport")!;
const DESTINATION_PORT: PacketKey = packetKey("destinationport")!;

const TCP_FLAGS = 13;

/** Writes the fields of the outermost IP packet. */
export class IpRecord {
  readonly #value = new Uint8Array(2);

  /**
   * Writes the record of a packet that begins with IP.
   *
   * @param bytes The packet's original size: an IP header does not know it with segmentation offload.
   * @returns Where the record ends: at `at` if too little of the packet was captured.
   */
  write(view: DataView, at: number, packet: PacketView, bytes: number): number {
    const kind = packet.count === 0 ? 0 : packet.kinds[0];
    const isIpv6 = kind === IPV6;
    const header = packet.offsets[0]!;
    const from = packet.bytes;
    if ((kind !== IPV4 && !isIpv6) || packet.available(0) < (isIpv6 ? 40 : 20)) return at;
    const size = isIpv6 ? IPV6_RECORD_BYTES : IPV4_RECORD_BYTES;
    view.setUint32(at, isIpv6 ? SAMPLED_IPV6 : SAMPLED_IPV4);
    view.setUint32(at + 4, size - 8);
    view.setUint32(at + 8, bytes);
    view.setUint32(at + 12, this.#number(PROTOCOL, packet));
    const addresses = isIpv6 ? 32 : 8;
    const first = header + (isIpv6 ? 8 : 12);
    for (let k = 0; k < addresses; k++) view.setUint8(at + 16 + k, from[first + k]!);
    let next = at + 16 + addresses;
    view.setUint32(next, this.#number(SOURCE_PORT, packet));
    view.setUint32(next + 4, this.#number(DESTINATION_PORT, packet));
    view.setUint32(next + 8, tcpFlags(packet));
    next += 12;
    const trafficClass = isIpv6 ? (from[header]! & 0x0f) << 4 | from[header + 1]! >> 4 : from[header + 1]!;
    view.setUint32(next, trafficClass);
    return next + 4;
  }

  /** The value of a field; 0 if the packet does not have it. */
  #number(key: PacketKey, packet: PacketView): number {
    const value = this.#value;
    const size = key.write(packet, value, 0);
    return size === 1 ? value[0]! : size === 2 ? value[0]! << 8 | value[1]! : 0;
  }
}

/** The flags of the outermost TCP header, if no other IP header is before it. */
function tcpFlags(packet: PacketView): number {
  const { kinds, offsets, count, bytes, end } = packet;
  for (let i = 1; i < count; i++) {
    if (kinds[i] === IPV4 || kinds[i] === IPV6) return 0;
    if (kinds[i] === TCP) return offsets[i]! + TCP_FLAGS < end ? bytes[offsets[i]! + TCP_FLAGS]! : 0;
  }
  return 0;
}
