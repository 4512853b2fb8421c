/** Tunnels in the packet under test. */
import { tunnelId } from "../packet/fields.ts";
import {
  ARP,
  ESP,
  ETHERNET,
  GENEVE,
  GRE,
  ICMP,
  ICMPV6,
  IGMP,
  IPV4,
  IPV6,
  NONE,
  SCTP,
  TCP,
  UDP_LITE,
  VXLAN,
  VXLAN_GPE,
} from "../packet/header.ts";
import type { PacketView } from "../packet/packet_view.ts";
import { ETH_P_TEB } from "../wire/ether_types.ts";
import type { Packet } from "./packet.ts";

/** After these there is no tunnel. */
const LAST: ReadonlySet<number> = new Set([NONE, ARP, ESP, ICMP, ICMPV6, IGMP, SCTP, TCP, UDP_LITE]);

/** Whether the packet went through a tunnel with this number: a VXLAN or Geneve network, or an NVGRE subnet. */
export function hasNetwork(packet: Packet, value: number): () => boolean {
  return () => {
    const { headers } = packet;
    for (let i = 0; i < headers.count; i++) if (numberOf(headers, i) === value) return true;
    return isCutBefore(packet, headers);
  };
}

/** Points `inside` at the packet inside the outermost tunnel; false if there is none. */
export function enter(packet: Packet, inside: Packet): boolean {
  const { headers } = packet;
  let isInIp = false;
  for (let i = 0; i < headers.count; i++) {
    const kind = headers.kinds[i]!;
    const isIp = kind === IPV4 || kind === IPV6;
    // A frame inside anything, such as a pseudowire; or IP inside IP, whatever is between them.
    if (i > 0 && (kind === ETHERNET || isIp && isInIp)) {
      const at = headers.offsets[i]!;
      inside.point(packet.bytes.subarray(at, packet.size), isIp ? "raw-ip" : "ethernet", Math.max(packet.length - at, packet.size - at));
      return true;
    }
    isInIp ||= isIp;
  }
  return isCutBefore(packet, headers);
}

/** Always false; but a packet that was cut before a tunnel could be seen is no match, as if one of its missing bytes had been read. */
function isCutBefore(packet: Packet, headers: PacketView): false {
  if (!LAST.has(headers.cut)) packet.failed = true;
  return false;
}

function numberOf(headers: PacketView, i: number): number | undefined {
  switch (headers.kinds[i]) {
    case VXLAN:
    case VXLAN_GPE:
    case GENEVE:
      return tunnelId(headers, i);
    case GRE: {
      // NVGRE (RFC 7637): a frame is inside. Any other key is not the number of a network.
      const at = headers.offsets[i]!;
      return at + 4 <= headers.end && (headers.bytes[at + 2]! << 8 | headers.bytes[at + 3]!) === ETH_P_TEB
        ? tunnelId(headers, i)
        : undefined;
    }
    default:
      return undefined;
  }
}
