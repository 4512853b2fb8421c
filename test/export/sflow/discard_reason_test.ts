import { test } from "node:test";
import { assertEquals } from "@std/assert";
import { discardOf } from "../../../src/export/sflow/discard_of.ts";
import { discardReason, functionOf } from "../../../src/export/sflow/discard_reason.ts";
import type { DroppedPacket } from "../../../src/genl/net_dm.ts";

const PACKET: DroppedPacket = {
  inIfindex: 3,
  data: undefined,
  originalBytes: 60,
  protocol: 0x800,
  symbol: undefined,
  reason: undefined,
  trap: undefined,
};

function of(reason: string | undefined, symbol?: string): number {
  return discardReason({ reason, symbol, trap: undefined });
}

test("the kernel's reasons are numbered as in the list of sflow.org", () => {
  const numbers: Record<string, number> = {
    NO_SOCKET: 3,
    PKT_TOO_SMALL: 324,
    NETFILTER_DROP: 258,
    IP_RPFILTER: 335,
    IP_NOPROTO: 2,
    SOCKET_RCVBUFF: 259,
    TCP_OFOMERGE: 344,
    IPV6DISABLED: 326,
    IP_OUTNOROUTES: 6,
    IP_INNOROUTES: 0,
    IP_INADDRERRORS: 1,
    NEIGH_FAILED: 279,
    TC_INGRESS: 365,
    TC_EGRESS: 366,
    QDISC_DROP: 261,
    QDISC_CONGESTED: 260,
    DEV_HDR: 332,
    DEV_READY: 331,
    XDP: 367,
    CPU_BACKLOG: 368,
    BPF_CGROUP_EGRESS: 369,
    XFRM_POLICY: 370,
    SOCKET_FILTER: 371,
    PKT_TOO_BIG: 262,
    IPV6_NDISC_NS_OTHERHOST: 362,
    OVS_DROP_EXPLICIT: 258,
  };
  for (const [reason, number] of Object.entries(numbers)) assertEquals([reason, of(reason)], [reason, number]);
});

test("a header that was wrong where packets are forwarded had no more hops", () => {
  assertEquals(of("IP_INHDR", "ip_forward+0x1b/0x480"), 257);
  assertEquals(of("IP_INHDR", "ip6_forward.part.0+0x1b/0x480"), 257);
  assertEquals([of("IP_INHDR", "ip_rcv_core+0x1b/0x480"), of("IP_INHDR", "ip_forward_options+0/1"), of("IP_INHDR")], [313, 313, 313]);
});

test("of what has no number the layer is told, and nothing of what is not known", () => {
  assertEquals(
    ["TCP_OF_THE_FUTURE", "IP_LOCAL_SOURCE", "IP_TUNNEL_ECN", "VXLAN_VNI_NOT_FOUND", "BRIDGE_NO_EGRESS_PORT", "QDISC_NEW"].map((name) =>
      of(name)
    ),
    [289, 285, 288, 288, 284, 287],
  );
  assertEquals(
    [of("NOT_SPECIFIED"), of("SOMETHING"), of(""), of("constructor"), of(undefined), of(undefined, "ip_rcv+0/1")],
    Array(6).fill(256),
  );
});

test("where the kernel gives no reason the function tells the layer", () => {
  const functions = [
    "ip_error+0/1",
    "ip6_mc_input+0/1",
    "tcp_v4_rcv+0/1",
    "__udp4_lib_rcv+0/1",
    "br_handle_frame+0/1 [bridge]",
    "skb_release+0/1",
  ];
  assertEquals(functions.map((symbol) => of("NOT_SPECIFIED", symbol)), [285, 285, 289, 289, 284, 256]);
});

test("traps are numbered by name, else by group", () => {
  const trap = (name: string, group: string): number => discardReason({ reason: undefined, symbol: undefined, trap: { name, group } });
  assertEquals([trap("blackhole_route", "l3_drops"), trap("tail_drop", "buffer_drops"), trap("early_drop", "buffer_drops")], [
    269,
    259,
    260,
  ]);
  assertEquals([trap("ttl_value_is_too_small", "l3_exceptions"), trap("ipv6_lpm_miss", "l3_exceptions")], [257, 6]);
  assertEquals([trap("fid_miss", "tunnel_drops"), trap("new_one", "acl_drops"), trap("new_one", "new_group")], [288, 258, 256]);
});

test("the function is what the kernel prints before offset, size and module", () => {
  assertEquals(functionOf("nf_hook_slow+0xd3/0x110 [nf_tables]"), "nf_hook_slow");
  assertEquals(functionOf("tcp_v4_rcv"), "tcp_v4_rcv");
  assertEquals([functionOf("+0x0"), functionOf(""), functionOf(undefined)], [undefined, undefined, undefined]);
});

test("a packet without an interface was made here, and one of another namespace is told by its bytes", () => {
  const ip = new Uint8Array([0x45, 0, 0, 20, ...Array(16).fill(0)]);
  const tun = { find: () => ({ index: 3, name: "tun0", type: 0xfffe, address: undefined }) };
  const other = { find: () => ({ index: 65539, name: "eth0", type: 1, address: undefined }) };
  const made = discardOf({ ...PACKET, inIfindex: undefined }, tun, 9);
  assertEquals([made.ifindex, made.input, made.output, made.reason, made.unreported, made.functionName], [
    0,
    undefined,
    undefined,
    256,
    9,
    undefined,
  ]);
  assertEquals(discardOf({ ...PACKET, data: ip }, tun, 0).linkType, "raw-ip");
  // The index is that of another device.
  assertEquals(discardOf({ ...PACKET, data: ip }, other, 0).linkType, "raw-ip");
  const frame = new Uint8Array([...Array(12).fill(2), 8, 0, ...ip]);
  assertEquals(discardOf({ ...PACKET, data: frame }, undefined, 0).linkType, "ethernet");
});
