/**
 * TCP, UDP, and headers after which nothing more is looked for.
 * Sources: RFC 9293, RFC 768; for the ports of tunnels RFC 7348, RFC 8926, drivers/net/vxlan (Linux listens on 8472 by default),
 * draft-ietf-nvo3-vxlan-gpe, 3GPP TS 29.281.
 *
 * @module
 */
import { GENEVE, GTPU, NONE, TCP, UDP, VXLAN, VXLAN_GPE } from "./header.ts";
import type { WalkedHeaders } from "./walked_headers.ts";

/** Size of a TCP header without options. */
export const TCP_BYTES = 20;
/** Size of a UDP header. */
export const UDP_BYTES = 8;

const PORT_GTPU = 2152;
const PORT_VXLAN = 4789;
const PORT_VXLAN_GPE = 4790;
const PORT_GENEVE = 6081;
const PORT_VXLAN_LINUX = 8472;

/** A TCP header with its options. */
export function tcp(packet: WalkedHeaders, bytes: Uint8Array, at: number): number {
  if (at + TCP_BYTES > packet.limit) return packet.short(TCP);
  const size = bytes[at + 12]! >> 4 << 2;
  if (size < TCP_BYTES) return packet.contradict(TCP);
  if (at + size > packet.limit) return packet.short(TCP);
  packet.next = at + size;
  return NONE;
}

/** Whether {@linkcode udp} looks for a tunnel on this destination port. */
export function isTunnelPort(port: number): boolean {
  return port === PORT_VXLAN || port === PORT_VXLAN_LINUX || port === PORT_GENEVE || port === PORT_GTPU || port === PORT_VXLAN_GPE;
}

/** A UDP header, and the tunnel that its destination port is known for. */
export function udp(packet: WalkedHeaders, bytes: Uint8Array, at: number): number {
  if (at + UDP_BYTES > packet.limit) return packet.short(UDP);
  packet.next = at + UDP_BYTES;
  const length = bytes[at + 4]! << 8 | bytes[at + 5]!;
  // 0 is a jumbogram (RFC 2675), or segmentation offload beyond 64 KiB.
  if (length > 0) {
    if (length < UDP_BYTES) return packet.contradict(UDP);
    packet.narrow(UDP, at, length);
  }
  switch (bytes[at + 2]! << 8 | bytes[at + 3]!) {
    case PORT_VXLAN:
    case PORT_VXLAN_LINUX:
      // Without the flag for a network identifier it is something else on this port.
      return packet.next >= packet.limit || bytes[at + 8]! & 0x08 ? VXLAN : NONE;
    case PORT_GENEVE:
      return GENEVE;
    case PORT_GTPU:
      return GTPU;
    case PORT_VXLAN_GPE:
      return VXLAN_GPE;
    default:
      return NONE;
  }
}

/** A header of `size` bytes after which nothing more is looked for. */
export function last(packet: WalkedHeaders, at: number, kind: number, size: number): number {
  if (at + size > packet.limit) return packet.short(kind);
  packet.next = at + size;
  return NONE;
}

/** The letters of TCP's flags, the lowest bit first, as tcpdump prints them. */
const FLAG_LETTERS = ["F", "S", "R", "P", ".", "U", "E", "W", "e"];

/**
 * TCP flags (the 9 bits from AE to FIN) in tcpdump's letters: `"S."`; `"none"` if there are none.
 *
 * @category Packets
 */
export function tcpFlagsText(flags: number): string {
  let text = "";
  for (let i = 0; i < FLAG_LETTERS.length; i++) if (flags & 1 << i) text += FLAG_LETTERS[i]!;
  return text === "" ? "none" : text;
}
