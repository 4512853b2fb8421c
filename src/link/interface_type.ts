/** What kind of interface a device is to network management. Source: IANAifType-MIB; include/uapi/linux/if_arp.h. */
import { ARPHRD_ETHER, ARPHRD_IPGRE, ARPHRD_LOOPBACK, ARPHRD_NONE, ARPHRD_TUNNEL } from "./link.ts";

const OTHER = 1;
const ETHERNET = 6;
const TUNNEL = 131;

/** By ARPHRD_*. */
const BY_TYPE: ReadonlyMap<number, number> = new Map([
  [ARPHRD_ETHER, ETHERNET],
  [ARPHRD_LOOPBACK, 24],
  // slip, ieee1394, infiniband, ppp, hdlc: ARPHRD_SLIP, IEEE1394, INFINIBAND, PPP, HDLC
  [256, 28],
  [24, 144],
  [32, 199],
  [512, 23],
  [513, 118],
  // ieee80211, with and without the headers of monitors; ieee802154
  [801, 71],
  [802, 71],
  [803, 71],
  [804, 259],
  [ARPHRD_TUNNEL, TUNNEL],
  // ARPHRD_TUNNEL6, SIT, IP6GRE
  [769, TUNNEL],
  [776, TUNNEL],
  [823, TUNNEL],
  [ARPHRD_IPGRE, TUNNEL],
  // tun, wireguard
  [ARPHRD_NONE, TUNNEL],
]);

/** By kind, for devices that look like Ethernet to the rest of the kernel: bridge, l2vlan, ieee8023adLag, tunnel. */
const BY_KIND: ReadonlyMap<string | undefined, number> = new Map([
  ["bridge", 209],
  ["vlan", 135],
  ["bond", 161],
  ["team", 161],
  ["vxlan", TUNNEL],
  ["geneve", TUNNEL],
  ["gretap", TUNNEL],
  ["ip6gretap", TUNNEL],
]);

/** ifType of a device, by its hardware type (ARPHRD_*) and its kind (`"veth"`). */
export function interfaceType(type: number, kind: string | undefined): number {
  return BY_KIND.get(kind) ?? BY_TYPE.get(type) ?? OTHER;
}
