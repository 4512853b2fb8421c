import {
  AH,
  ETHERNET,
  GENEVE,
  GRE,
  ICMP,
  ICMPV6,
  IPV4,
  IPV6,
  IPV6_EXTENSION,
  SCTP,
  TCP,
  UDP,
  UDP_LITE,
  VLAN,
  VXLAN,
  VXLAN_GPE,
} from "../../packet/header.ts";
import { tunnelId } from "../../packet/fields.ts";
import type { Headers } from "../../packet/headers.ts";
import type { SampleView } from "../../psample/sample_view.ts";
import { ETH_P_TEB } from "../../wire/ether_types.ts";

/** Ports of VXLAN: RFC 7348, and what Linux used before. */
const VXLAN_PORTS: ReadonlySet<number> = new Set([4789, 8472, 4790]);

/** Kinds of overlays in layer2SegmentId (IANA's registry): others have no number. */
const SEGMENT_VXLAN = 1;
const SEGMENT_NVGRE = 2;
const SEGMENT_OTHER = 0;

/** The fields of a packet that records have, of its outermost headers. One object serves all packets. */
export class PacketFields {
  /** 4, 6, or 0 if there is no complete IP header. */
  version = 0;
  /** Where in the packet's bytes the addresses are. */
  sourceAt = 0;
  destinationAt = 0;
  protocol = 0;
  classOfService = 0;
  /** 0 if there are none, or they were cut off. */
  sourcePort = 0;
  /** Of ICMP the type in the upper byte and the code in the lower, as in NetFlow. */
  destinationPort = 0;
  tcpFlags = 0;
  /** Size of the IP packet; of a frame with something else, its own. */
  ipBytes = 0;
  /** Where the frame's addresses are; -1 if there is none. */
  frameAt = -1;
  etherType = 0;
  /** Number of the outermost VLAN; -1 if there is none. */
  vlan = -1;

  /** Reads a packet. */
  read(packet: Headers): void {
    this.version = 0;
    this.protocol = 0;
    this.classOfService = 0;
    this.sourcePort = 0;
    this.destinationPort = 0;
    this.tcpFlags = 0;
    this.ipBytes = packet.originalBytes;
    this.frameAt = -1;
    this.etherType = 0;
    this.vlan = -1;
    const { kinds, offsets, bytes, count, end } = packet;
    for (let i = 0; i < count; i++) {
      const at = offsets[i]!;
      switch (kinds[i]) {
        case ETHERNET:
          // A frame in a tunnel.
          if (i > 0) return;
          if (at + 14 > end) return;
          this.frameAt = at;
          this.etherType = bytes[at + 12]! << 8 | bytes[at + 13]!;
          break;
        case VLAN:
          if (at + 4 > end) return;
          if (this.vlan < 0) this.vlan = (bytes[at]! << 8 | bytes[at + 1]!) & 0xfff;
          this.etherType = bytes[at + 2]! << 8 | bytes[at + 3]!;
          break;
        case IPV4:
          if (this.version !== 0 || at + 20 > end) return;
          this.version = 4;
          this.sourceAt = at + 12;
          this.destinationAt = at + 16;
          this.protocol = bytes[at + 9]!;
          this.classOfService = bytes[at + 1]!;
          this.#setLength(packet, at, bytes[at + 2]! << 8 | bytes[at + 3]!);
          break;
        case IPV6: {
          if (this.version !== 0 || at + 40 > end) return;
          this.version = 6;
          this.sourceAt = at + 8;
          this.destinationAt = at + 24;
          this.protocol = bytes[at + 6]!;
          this.classOfService = (bytes[at]! << 4 | bytes[at + 1]! >> 4) & 0xff;
          const payload = bytes[at + 4]! << 8 | bytes[at + 5]!;
          this.#setLength(packet, at, payload === 0 ? 0 : payload + 40);
          break;
        }
        case IPV6_EXTENSION:
        case AH:
          this.protocol = bytes[at]!;
          break;
        case TCP:
          if (at + 4 > end) return;
          this.#setPorts(bytes, at);
          if (at + 14 <= end) this.tcpFlags = (bytes[at + 12]! << 8 | bytes[at + 13]!) & 0x1ff;
          return;
        case UDP:
        case UDP_LITE:
        case SCTP:
          if (at + 4 <= end) this.#setPorts(bytes, at);
          return;
        case ICMP:
        case ICMPV6:
          if (at + 2 <= end) this.destinationPort = bytes[at]! << 8 | bytes[at + 1]!;
          return;
      }
    }
  }

  #setPorts(bytes: Uint8Array, at: number): void {
    this.sourcePort = bytes[at]! << 8 | bytes[at + 1]!;
    this.destinationPort = bytes[at + 2]! << 8 | bytes[at + 3]!;
  }

  /** A header may say 0 (segmentation offload beyond 64 KiB) or more than there was; padding of a frame is not in what it says. */
  #setLength(packet: Headers, at: number, length: number): void {
    const most = Math.max(0, packet.originalBytes - (at - packet.start));
    this.ipBytes = length > 0 && length < most ? length : most;
  }
}

/** The identifier of the overlay that a packet is in, as layer2SegmentId has it: the kind in `kind`, and the number or -1. */
export class Segment {
  kind = SEGMENT_OTHER;
  id = -1;
  readonly #tunnel = { vni: -1, destinationPort: -1 };

  /** Reads it from the kernel's metadata, else from the packet's headers. */
  read(sample: SampleView, packet: Headers): void {
    this.id = -1;
    const tunnel = this.#tunnel;
    if (sample.isRare && sample.readTunnelKey(tunnel) && tunnel.vni >= 0) {
      this.id = tunnel.vni;
      this.kind = VXLAN_PORTS.has(tunnel.destinationPort) ? SEGMENT_VXLAN : SEGMENT_OTHER;
      return;
    }
    // The shortest way to an overlay is IP and GRE, without a frame around.
    const { kinds, count } = packet;
    for (let i = 1; i < count; i++) {
      const kind = kinds[i]!;
      if (kind < GRE) continue;
      if (kind === VXLAN || kind === VXLAN_GPE) this.#set(SEGMENT_VXLAN, tunnelId(packet, i));
      else if (kind === GENEVE) this.#set(SEGMENT_OTHER, tunnelId(packet, i));
      else if (kind === GRE && isNvgre(packet, packet.offsets[i]!)) this.#set(SEGMENT_NVGRE, tunnelId(packet, i));
      if (this.id >= 0) return;
    }
  }

  #set(kind: number, id: number | undefined): void {
    this.kind = kind;
    this.id = id ?? -1;
  }
}

/** GRE with a key and a frame inside (RFC 7637). */
function isNvgre({ bytes, end }: Headers, at: number): boolean {
  return at + 8 <= end && bytes[at] === 0x20 && (bytes[at + 2]! << 8 | bytes[at + 3]!) === ETH_P_TEB;
}
