/**
 * The tunnel that a packet came through or goes into. Source: sflow.org, "sFlow Version 5: Tunnel Structures": records with an even number
 * are about a header that was removed (ingress), those with an odd one about a header that will be added (egress).
 */
import type { SampleView } from "../../psample/sample_view.ts";
import type { Tunnel } from "../../psample/tunnel.ts";
import { ipv4Bytes, ipv6Bytes } from "../../wire/text.ts";
import type { Datagram } from "./datagram.ts";

const IPV4_TUNNEL_EGRESS = 1023;
const IPV4_TUNNEL_INGRESS = 1024;
const IPV6_TUNNEL_EGRESS = 1025;
const IPV6_TUNNEL_INGRESS = 1026;
const VNI_EGRESS = 1029;
const VNI_INGRESS = 1030;

/** Sizes with the record's own header of 8 bytes. */
const IPV4_BYTES = 40;
const IPV6_BYTES = 64;
const VNI_BYTES = 12;
export const MOST_TUNNEL_BYTES: number = IPV6_BYTES + VNI_BYTES;

const UDP = 17;
const GRE = 47;

const ANY_IPV4 = new Uint8Array(4);
const ANY_IPV6 = new Uint8Array(16);

/** Writes the records of a tunnel: none if neither of its addresses is known. */
export function writeTunnel(datagram: Datagram, start: number, tunnel: Tunnel, sample: SampleView): { end: number; records: number } {
  const { view, bytes } = datagram;
  const isEgress = sample.outIfindex !== undefined;
  const known = tunnel.source ?? tunnel.destination;
  if (known === undefined) return { end: start, records: 0 };
  const isIpv6 = known.includes(":");
  const read = isIpv6 ? ipv6Bytes : ipv4Bytes;
  const any = isIpv6 ? ANY_IPV6 : ANY_IPV4;
  const isUdp = tunnel.sourcePort !== undefined || tunnel.destinationPort !== undefined;
  const size = isIpv6 ? IPV6_BYTES : IPV4_BYTES;
  let at = start;
  view.setUint32(
    at,
    isIpv6 ? (isEgress ? IPV6_TUNNEL_EGRESS : IPV6_TUNNEL_INGRESS) : (isEgress ? IPV4_TUNNEL_EGRESS : IPV4_TUNNEL_INGRESS),
  );
  view.setUint32(at + 4, size - 8);
  view.setUint32(at + 8, (isIpv6 ? 40 : 20) + outerBytes(tunnel, isUdp) + (sample.originalBytes ?? sample.dataBytes));
  view.setUint32(at + 12, isUdp ? UDP : isGre(tunnel) ? GRE : 0);
  at += 16;
  for (const text of [tunnel.source, tunnel.destination]) {
    bytes.set((text === undefined ? undefined : read(text)) ?? any, at);
    at += any.length;
  }
  view.setUint32(at, tunnel.sourcePort ?? 0);
  view.setUint32(at + 4, tunnel.destinationPort ?? 0);
  view.setUint32(at + 8, 0);
  view.setUint32(at + 12, tunnel.tos ?? 0);
  at += 16;
  // The key of GRE is another number.
  if (!isUdp || tunnel.id === undefined) return { end: at, records: 1 };
  view.setUint32(at, isEgress ? VNI_EGRESS : VNI_INGRESS);
  view.setUint32(at + 4, VNI_BYTES - 8);
  view.setUint32(at + 8, Number(tunnel.id & 0xff_ffffn));
  return { end: at + VNI_BYTES, records: 2 };
}

/** The kernel reports neither protocol nor ports of tunnels without UDP; of these GRE and ERSPAN have keys. */
function isGre(tunnel: Tunnel): boolean {
  return tunnel.id !== undefined || tunnel.erspanOptions !== undefined;
}

/** Size of the headers between the outer IP header and the packet: RFC 7348, RFC 8926, RFC 2890, draft-foschiano-erspan. */
function outerBytes(tunnel: Tunnel, isUdp: boolean): number {
  const { geneveOptions = [], erspanOptions } = tunnel;
  if (isUdp) return 16 + geneveOptions.reduce((sum, { data }) => sum + 4 + data.length, 0);
  // GRE with a sequence number, then 8 bytes, or 12 in version 2. The metadata begins with the version, an int of the machine.
  if (erspanOptions) return 8 + (erspanOptions[0] === 2 || erspanOptions[3] === 2 ? 12 : 8);
  return isGre(tunnel) ? 4 + (tunnel.checksum ? 4 : 0) + 4 : 0;
}
