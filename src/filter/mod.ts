/**
 * Filters in the language of pcap-filter(7): which samples pass, which packets match, and classic BPF for filtering in the kernel. Nothing
 * here touches a socket or needs a permission.
 *
 * @example Ask whether a packet matches
 * ```ts
 * import { packetFilter } from "@psample/psample/filter";
 *
 * const recorded = "0200000000010200000000020800" + // Ethernet, IPv4 follows
 *   "450000280000400040060000c00002070a000001" + "01bbc93a00000001000000025012ffff00000000"; // 192.0.2.7 to 10.0.0.1, TCP
 * const packet = Uint8Array.from(recorded.match(/../g)!, (byte) => parseInt(byte, 16));
 * const matches = packetFilter("tcp src port 443 and net 10.0.0.0/8 and not vlan");
 * if (!matches(packet, "ethernet")) throw new Error("it is a packet of the web");
 * ```
 *
 * @module
 */
export { compileBpf } from "./classic_bpf.ts";
export { FilterError, type Span } from "./filter_error.ts";
export type { FirstHeader } from "../packet/packet_view.ts";
export { filter, packetFilter } from "./stage.ts";
export type { Stage } from "../stream/stage.ts";
