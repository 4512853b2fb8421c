import type { Tunnel } from "../../src/psample/tunnel.ts";

/** The tunnel of a packet of which nothing is known. */
export const EMPTY_TUNNEL: Tunnel = {
  id: undefined,
  source: undefined,
  destination: undefined,
  tos: undefined,
  ttl: undefined,
  dontFragment: false,
  checksum: false,
  oam: false,
  sourcePort: undefined,
  destinationPort: undefined,
  geneveOptions: undefined,
  vxlanOptions: undefined,
  erspanOptions: undefined,
  ipv4InfoBridge: false,
  unknown: [],
};
