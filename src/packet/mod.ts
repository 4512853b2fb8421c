/**
 * Headers of sampled packets, in place: Ethernet, VLAN, MPLS, IPv4 and IPv6, TCP, UDP and tunnels. Nothing here touches a
 * socket or needs a permission; it runs in a browser too.
 *
 * @example Read the headers of a packet
 * ```ts
 * import { parsePacket } from "@psample/psample/packet";
 *
 * const recorded = "0200000000010200000000020800" + // Ethernet, IPv4 follows
 *   "450000280000400040060000c00002070a000001" + "01bbc93a00000001000000025012ffff00000000"; // 192.0.2.7 to 10.0.0.1, TCP
 * const packet = parsePacket(Uint8Array.from(recorded.match(/../g)!, (byte) => parseInt(byte, 16)));
 * if (packet.source !== "192.0.2.7" || packet.sourcePort !== 443 || packet.tcpFlags !== "S.") throw new Error("not what was recorded");
 * ```
 *
 * @module
 */
export { macText, type PacketFields, packetFields, parsePacket, type VlanTag } from "./fields.ts";
export { type KeyPlace, PACKET_KEYS, type PacketKey, packetKey } from "./flow_key.ts";
export { headerName } from "./header.ts";
export { type Headers, MOST_HEADERS } from "./headers.ts";
export { type FirstHeader, PacketView } from "./packet_view.ts";
export { protocolName } from "./protocol_names.ts";
export { tcpFlagsText } from "./transport.ts";
