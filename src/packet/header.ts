/**
 * The kinds of headers that this package recognises, and their names.
 *
 * @module
 */

/** Nothing more is recognised: payload follows. */
export const NONE = 0;
export const ETHERNET = 1;
export const LLC = 2;
export const SNAP = 3;
export const VLAN = 4;
export const MPLS = 5;
export const PPPOE = 6;
export const ARP = 7;
export const IPV4 = 8;
export const IPV6 = 9;
export const IPV6_EXTENSION = 10;
export const TCP = 11;
export const UDP = 12;
export const UDP_LITE = 13;
export const ICMP = 14;
export const ICMPV6 = 15;
export const SCTP = 16;
export const IGMP = 17;
export const ESP = 18;
export const AH = 19;
export const GRE = 20;
export const ERSPAN = 21;
export const VXLAN = 22;
export const VXLAN_GPE = 23;
export const GENEVE = 24;
export const GTPU = 25;
export const PPP = 26;
/** The four bytes between an MPLS stack and the frame of a pseudowire (RFC 4385). */
export const CONTROL_WORD = 27;
/** The header of network service chaining (RFC 8300), which VXLAN-GPE and Ethernet carry: not looked into. */
export const NSH = 28;

const NAMES: Readonly<Record<number, string>> = {
  [ETHERNET]: "eth",
  [LLC]: "llc",
  [SNAP]: "snap",
  [VLAN]: "vlan",
  [MPLS]: "mpls",
  [PPPOE]: "pppoe",
  [ARP]: "arp",
  [IPV4]: "ip",
  [IPV6]: "ip6",
  [IPV6_EXTENSION]: "ip6ext",
  [TCP]: "tcp",
  [UDP]: "udp",
  [UDP_LITE]: "udplite",
  [ICMP]: "icmp",
  [ICMPV6]: "icmp6",
  [SCTP]: "sctp",
  [IGMP]: "igmp",
  [ESP]: "esp",
  [AH]: "ah",
  [GRE]: "gre",
  [ERSPAN]: "erspan",
  [VXLAN]: "vxlan",
  [VXLAN_GPE]: "vxlan-gpe",
  [GENEVE]: "geneve",
  [GTPU]: "gtp",
  [PPP]: "ppp",
  [CONTROL_WORD]: "pw",
  [NSH]: "nsh",
};

/**
 * The short name of a kind of header: `"tcp"`, `"vlan"`; the empty string for {@linkcode NONE}.
 *
 * @category Packets
 */
export function headerName(kind: number): string {
  return NAMES[kind] ?? "";
}
