/**
 * Why a packet was discarded, as sFlow numbers it. Sources: sflow.org, "sFlow Version 5: Dropped Packet Notification Structures" and its list
 * of reason codes; the kernel's reasons are those of include/net/dropreason-core.h, the traps those of
 * Documentation/networking/devlink/devlink-trap.rst.
 */
import type { DroppedPacket } from "../../genl/net_dm.ts";

/** The reasons of sFlow that have a counterpart in Linux, by the names of the list. */
const REASONS = {
  net_unreachable: 0,
  host_unreachable: 1,
  protocol_unreachable: 2,
  port_unreachable: 3,
  dst_net_unknown: 6,
  dst_host_unknown: 7,
  dst_net_prohibited: 9,
  unknown: 256,
  ttl_exceeded: 257,
  acl: 258,
  no_buffer_space: 259,
  red: 260,
  traffic_shaping: 261,
  pkt_too_big: 262,
  src_mac_is_multicast: 263,
  vlan_tag_mismatch: 264,
  ingress_vlan_filter: 265,
  ingress_spanning_tree_filter: 266,
  port_list_is_empty: 267,
  port_loopback_filter: 268,
  blackhole_route: 269,
  non_ip: 270,
  uc_dip_over_mc_dmac: 271,
  dip_is_loopback_address: 272,
  sip_is_mc: 273,
  sip_is_loopback_address: 274,
  ip_header_corrupted: 275,
  ipv4_sip_is_limited_bc: 276,
  ipv6_mc_dip_reserved_scope: 277,
  ipv6_mc_dip_interface_local_scope: 278,
  unresolved_neigh: 279,
  mc_reverse_path_forwarding: 280,
  non_routable_packet: 281,
  decap_error: 282,
  overlay_smac_is_mc: 283,
  unknown_l2: 284,
  unknown_l3: 285,
  unknown_l3_exception: 286,
  unknown_buffer: 287,
  unknown_tunnel: 288,
  unknown_l4: 289,
  sip_is_unspecified: 290,
  mlag_port_isolation: 291,
  blackhole_arp_neigh: 292,
  src_mac_is_dmac: 293,
  dmac_is_reserved: 294,
  sip_is_class_e: 295,
  mc_dmac_mismatch: 296,
  sip_is_dip: 297,
  dip_is_local_network: 298,
  dip_is_link_local: 299,
  overlay_smac_is_dmac: 300,
  egress_vlan_filter: 301,
  uc_reverse_path_forwarding: 302,
  split_horizon: 303,
  locked_port: 304,
  dmac_filter: 305,
  blackhole_nexthop: 306,
  vxlan_parsing: 307,
  llc_snap_parsing: 308,
  vlan_parsing: 309,
  pppoe_ppp_parsing: 310,
  mpls_parsing: 311,
  arp_parsing: 312,
  ip_1_parsing: 313,
  ip_n_parsing: 314,
  gre_parsing: 315,
  udp_parsing: 316,
  tcp_parsing: 317,
  ipsec_parsing: 318,
  sctp_parsing: 319,
  dccp_parsing: 320,
  gtp_parsing: 321,
  esp_parsing: 322,
  unknown_parsing: 323,
  pkt_too_small: 324,
  unhandled_proto: 325,
  ipv6disabled: 326,
  invalid_proto: 327,
  skb_csum: 329,
  skb_ucopy_fault: 330,
  dev_ready: 331,
  dev_hdr: 332,
  dup_frag: 333,
  skb_gso_seg: 334,
  reverse_path_forwarding: 335,
  icmp_parsing: 336,
  tcp_md5notfound: 337,
  tcp_md5unexpected: 338,
  tcp_md5failure: 339,
  tcp_flags: 340,
  tcp_zerowindow: 341,
  tcp_old_data: 342,
  tcp_overwindow: 343,
  tcp_ofomerge: 344,
  tcp_rfc7323_paws: 345,
  tcp_invalid_sequence: 346,
  tcp_reset: 347,
  tcp_invalid_syn: 348,
  tcp_close: 349,
  tcp_fastopen: 350,
  tcp_old_ack: 351,
  tcp_too_old_ack: 352,
  tcp_ack_unsent_data: 353,
  tcp_ofo_queue_prune: 354,
  tcp_ofo_drop: 355,
  tcp_minttl: 356,
  ipv6_bad_exthdr: 357,
  ipv6_ndisc_frag: 358,
  ipv6_ndisc_hop_limit: 359,
  ipv6_ndisc_bad_code: 360,
  ipv6_ndisc_bad_options: 361,
  ipv6_ndisc_ns_otherhost: 362,
  tap_filter: 363,
  tap_txfilter: 364,
  tc_ingress: 365,
  tc_egress: 366,
  xdp: 367,
  cpu_backlog: 368,
  bpf_cgroup_egress: 369,
  xfrm_policy: 370,
  socket_filter: 371,
} as const;

/** A name in {@linkcode REASONS}. */
type Reason = keyof typeof REASONS;

/** The kernel's reasons that have another name there. */
const LINUX_REASONS: Readonly<Record<string, Reason>> = {
  NO_SOCKET: "port_unreachable",
  TCP_CSUM: "tcp_parsing",
  UDP_CSUM: "udp_parsing",
  NETFILTER_DROP: "acl",
  OTHERHOST: "dst_host_unknown",
  IP_CSUM: "ip_1_parsing",
  IP_INHDR: "ip_1_parsing",
  IP_RPFILTER: "reverse_path_forwarding",
  UNICAST_IN_L2_MULTICAST: "uc_dip_over_mc_dmac",
  // There is ip_noproto too, which the list declares obsolete.
  IP_NOPROTO: "protocol_unreachable",
  SOCKET_RCVBUFF: "no_buffer_space",
  PROTO_MEM: "no_buffer_space",
  SOCKET_BACKLOG: "no_buffer_space",
  TCP_RFC7323_PAWS_ACK: "tcp_rfc7323_paws",
  TCP_RFC7323_TW_PAWS: "tcp_rfc7323_paws",
  TCP_INVALID_END_SEQUENCE: "tcp_invalid_sequence",
  IP_OUTNOROUTES: "dst_net_unknown",
  IP_INNOROUTES: "net_unreachable",
  IP_INADDRERRORS: "host_unreachable",
  IP_INVALID_DEST: "dip_is_local_network",
  NEIGH_CREATEFAIL: "unresolved_neigh",
  NEIGH_FAILED: "unresolved_neigh",
  NEIGH_QUEUEFULL: "unresolved_neigh",
  NEIGH_DEAD: "unresolved_neigh",
  QDISC_DROP: "traffic_shaping",
  QDISC_OVERLIMIT: "no_buffer_space",
  QDISC_CONGESTED: "red",
  CAKE_FLOOD: "red",
  DUALPI2_STEP_DROP: "red",
  FQ_BAND_LIMIT: "no_buffer_space",
  FQ_FLOW_LIMIT: "no_buffer_space",
  FQ_HORIZON_LIMIT: "traffic_shaping",
  FULL_RING: "no_buffer_space",
  NOMEM: "no_buffer_space",
  PFMEMALLOC: "no_buffer_space",
  HDR_TRUNC: "pkt_too_small",
  ICMP_CSUM: "icmp_parsing",
  FRAG_REASM_TIMEOUT: "unknown_l3",
  FRAG_TOO_FAR: "unknown_l3",
  VXLAN_INVALID_HDR: "vxlan_parsing",
  BRIDGE_INGRESS_STP_STATE: "ingress_spanning_tree_filter",
  LOCAL_MAC: "unknown_l2",
  ARP_PVLAN_DISABLE: "unknown_l2",
  // net/openvswitch/drop.h
  OVS_DROP_EXPLICIT: "acl",
  OVS_DROP_IP_TTL: "ttl_exceeded",
  OVS_DROP_METER: "traffic_shaping",
};

/** What else is known of reasons by how their names begin, such as those of newer kernels. */
const LINUX_LAYERS: readonly (readonly [RegExp, Reason])[] = [
  [/^(VXLAN|TUNNEL|IP_TUNNEL)_/, "unknown_tunnel"],
  [/^(BRIDGE|MAC)_/, "unknown_l2"],
  [/^(IP|IPV6|ICMP|ICMP6)_/, "unknown_l3"],
  [/^(TCP|UDP|SOCKET)_/, "unknown_l4"],
  [/^(QDISC|FQ|CAKE)_/, "unknown_buffer"],
];

/** What is known of packets that the kernel gives no reason for, by the function that discarded them. */
const FUNCTION_LAYERS: readonly (readonly [RegExp, Reason])[] = [
  [/^_*br_/, "unknown_l2"],
  [/^_*(ip|ip6|ipv4|ipv6)_/, "unknown_l3"],
  [/^_*(tcp|udp|udp4|udp6|udpv6|icmp|icmpv6)_/, "unknown_l4"],
];

/** The traps of devices that have another name there. */
const TRAPS: Readonly<Record<string, Reason>> = {
  ttl_value_is_too_small: "ttl_exceeded",
  mtu_value_is_too_small: "pkt_too_big",
  tail_drop: "no_buffer_space",
  early_drop: "red",
  reject_route: "dst_net_prohibited",
  ipv4_lpm_miss: "dst_net_unknown",
  ipv6_lpm_miss: "dst_net_unknown",
  ingress_flow_action_drop: "acl",
  egress_flow_action_drop: "acl",
};

/** What is known of other traps by their group. */
const TRAP_GROUPS: Readonly<Record<string, Reason>> = {
  acl_drops: "acl",
  l2_drops: "unknown_l2",
  l3_drops: "unknown_l3",
  l3_exceptions: "unknown_l3_exception",
  tunnel_drops: "unknown_tunnel",
  buffer_drops: "unknown_buffer",
  parser_error_drops: "unknown_parsing",
};

/** The functions that forward packets: there a wrong header means that the packet may be forwarded no further (`ip_forward`, `ip6_forward`). */
const FORWARDING = /^ip6?_forward(\.|$)/;

/** The number of the reason that a packet was discarded for; 256 if it is not known. */
export function discardReason({ reason, symbol, trap }: Pick<DroppedPacket, "reason" | "symbol" | "trap">): number {
  if (trap) return REASONS[byName(TRAPS, trap.name) ?? byName(TRAP_GROUPS, trap.group) ?? "unknown"];
  if (reason === undefined) return REASONS.unknown;
  const place = functionOf(symbol) ?? "";
  if (reason === "IP_INHDR" && FORWARDING.test(place)) return REASONS.ttl_exceeded;
  if (reason === "NOT_SPECIFIED") return REASONS[layerOf(FUNCTION_LAYERS, place) ?? "unknown"];
  return REASONS[byName(LINUX_REASONS, reason) ?? layerOf(LINUX_LAYERS, reason) ?? "unknown"];
}

/** The function of a symbol with offset and size, as the kernel prints it: `"ip_rcv"` of `"ip_rcv+0x3a/0x80 [module]"`. */
export function functionOf(symbol: string | undefined): string | undefined {
  return symbol?.replace(/[+ ].*$/s, "") || undefined;
}

function layerOf(layers: typeof LINUX_LAYERS, name: string): Reason | undefined {
  return layers.find(([beginning]) => beginning.test(name))?.[1];
}

/** What a name means: itself, if the list has it, unless a table says otherwise. */
function byName(table: Readonly<Record<string, Reason>>, name: string): Reason | undefined {
  const known = name.toLowerCase();
  return Object.hasOwn(table, name) ? table[name] : Object.hasOwn(REASONS, known) ? known as Reason : undefined;
}
