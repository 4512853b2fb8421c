/** A match as one tc filter: its classifier, compared with the requests that tc sends for the same, and the packets that it selects. */
import { test } from "node:test";
import { assert, assertEquals, assertThrows } from "@std/assert";
import { matchText } from "../../cli/tc/mod.ts";
import { FilterError, StageOnlyError } from "../../src/filter/filter_error.ts";
import { compileMatch, type Match } from "../../src/filter/match.ts";
import { packetFilter } from "../../src/filter/stage.ts";
import { encodeFilter } from "../../src/tc/filter.ts";
import { TC_H_CLSACT_INGRESS, TCA_CLS_FLAGS_SKIP_HW } from "../../src/tc/tcmsg.ts";
import { toHex } from "../../src/wire/text.ts";
import { bytes } from "../psample/build.ts";
import { runFilter, type Tag } from "../support/classic_bpf.ts";
import { readSessions } from "../tc/sessions.ts";
import { EXPRESSIONS } from "./expressions.ts";
import { wholePackets } from "./packets.ts";

/** The request of a recorded `filter add` that begins with these words, without its sequence number. */
function recorded(start: string): string {
  const session = readSessions("flower").find((one) => one.command.startsWith(`tc filter add dev d0 ingress ${start}`))!;
  const bytes = session.frames.find((frame) => frame.request)!.bytes.slice();
  bytes.fill(0, 8, 12);
  return toHex(bytes);
}

function ours(text: string, preference: number, flags = 0, handle = 0): string {
  const match = compileMatch([text], "ethernet");
  if (match.kind !== "flower") throw new Error(`${text} is ${match.kind}`);
  const key = { ifindex: 2, parent: TC_H_CLSACT_INGRESS, preference, protocol: match.protocol, handle };
  return toHex(encodeFilter("add", key, { kind: "flower", keys: match.keys, flags, actions: [{ sample: { rate: 10, group: 1 } }] }));
}

test("compileMatch: makes the bytes that tc makes", () => {
  assertEquals(ours("ip and tcp dst port 80 and dst net 10.0.0.0/8", 1, TCA_CLS_FLAGS_SKIP_HW), recorded("protocol ip pref 1 "));
  assertEquals(ours("arp", 4), recorded("protocol arp pref 4 "));
  assertEquals(ours("vlan 5", 5), recorded("protocol 802.1Q pref 5 "));
  assertEquals(ours("ether proto 0x88cc", 15), recorded("protocol 0x88cc pref 15 "));
  assertEquals(ours("ip proto 47", 13), recorded("protocol ip pref 13 "));
  assertEquals(ours("ip dst host 10.8.0.0", 19), recorded("protocol ip pref 19 "));
});

/** What flower can express. */
const FLOWER: readonly (readonly [expression: string, words: string])[] = [
  ["arp", "protocol arp flower"],
  ["ip6", "protocol ipv6 flower"],
  ["ip src net 192.0.2.0/24", "protocol ip flower src_ip 192.0.2.0/24"],
  ["ip and net 10.0.0.0/8 and not dst net 10.0.0.0/8", ""],
  ["ip and src and dst net 10.0.0.0/8", "protocol ip flower dst_ip 10.0.0.0/8 src_ip 10.0.0.0/8"],
  ["ip6 dst net 2001:db8::/33", "protocol ipv6 flower dst_ip 2001:db8::/33"],
  ["src host 2001:db8::7 and ip6[7] = 64", "protocol ipv6 flower ip_ttl 64 src_ip 2001:db8::7/128"],
  ["ip and tcp dst port 443", "protocol ip flower ip_proto tcp dst_port 443"],
  ["ip and port 443 and tcp", ""],
  ["ip and tcp and dst port 443", "protocol ip flower ip_proto tcp dst_port 443"],
  ["tcp dst port 443 and ip", "protocol ip flower ip_proto tcp dst_port 443"],
  ["ip6 and udp src portrange 50-60", "protocol ipv6 flower ip_proto udp src_port 50-60"],
  ["tcp[2:2] > 1024", "protocol ip flower ip_proto tcp dst_port 1025-65535"],
  ["tcp[2:2] >= 80 and tcp[2:2] < 91", "protocol ip flower ip_proto tcp dst_port 80-90"],
  ["tcp[0:2] & 0xff00 = 0x1f00", "protocol ip flower ip_proto tcp src_port 7936/0xff00"],
  ["tcp[13] & 2 != 0", "protocol ip flower ip_proto tcp tcp_flags 0x2/2"],
  ["tcp[tcpflags] & (tcp-syn|tcp-ack) = tcp-syn", "protocol ip flower ip_proto tcp tcp_flags 0x2/12"],
  ["tcp[tcpflags] & (tcp-syn|tcp-ack) != 0", ""],
  ["tcp[13] = 2", "protocol ip flower ip_proto tcp tcp_flags 0x2/ff"],
  ["icmp[icmptype] = icmp-echo", "protocol ip flower ip_proto icmp type 8"],
  ["icmp6[0] = 128 and icmp6[1] = 0", "protocol ipv6 flower ip_proto icmpv6 type 128 code 0"],
  ["ip[8] < 5", ""],
  ["ip[8] = 5 and ip[1] & 0xfc = 0xb8", "protocol ip flower ip_tos 184/0xfc ip_ttl 5"],
  ["ip[9] = 6 and ip[12:4] = 0x0a000001", "protocol ip flower ip_proto tcp src_ip 10.0.0.1/32"],
  ["ip proto 47", "protocol ip flower ip_proto 0x2f"],
  ["ip6 proto 50", "protocol ipv6 flower ip_proto 0x32"],
  // Flower looks behind these.
  ["ip6 proto 44", ""],
  [
    "ether src 02:00:00:00:00:01 and ether dst 02:00:00:00:00:02",
    "protocol all flower dst_mac 02:00:00:00:00:02/48 src_mac 02:00:00:00:00:01/48",
  ],
  ["ether broadcast", "protocol all flower dst_mac ff:ff:ff:ff:ff:ff/48"],
  ["ether proto 0x88cc", "protocol LLDP flower"],
  // One bit of an address, other than the first.
  ["ether multicast and ip", ""],
  ["arp and arp[6:2] = 1 and arp dst host 10.0.0.1", "protocol arp flower arp_tip 10.0.0.1/32 arp_op request"],
  ["vlan", "protocol 802.1Q flower"],
  ["vlan 5", "protocol 802.1Q flower vlan_id 5"],
  ["vlan and ether[14] & 0xe0 = 0x60", "protocol 802.1Q flower vlan_prio 3"],
  ["vlan 5 and ip and udp dst port 53", "protocol 802.1Q flower vlan_id 5 vlan_ethtype ip ip_proto udp dst_port 53"],
  ["vlan 100 and vlan 5", ""],
  ["mpls", "protocol mpls_uc flower"],
  ["mpls 5", ""],
  ["tcp", ""],
  ["host 10.0.0.1", ""],
  ["not arp", ""],
  ["len > 100", ""],
  ["ip and arp", ""],
  ["ip and dst port 53", ""],
  ["ip and ip6 and tcp", ""],
  // Not a port for flower.
  ["ip and tcp dst port 0", ""],
  ["ip and tcp dst portrange 0-9", ""],
  // A mask that tc cannot write.
  ["ip[12:4] & 0x00ff0000 = 0x00010000", ""],
  // Fragments other than the first have no ports, and flower cannot leave out that condition.
  ["ip[9] = 6 and ip[6:2] & 0x1fff = 0", ""],
  ["port 80", ""],
  ["stp", ""],
];

test("compileMatch: flower if it can express everything, otherwise a program", () => {
  for (const [expression, words] of FLOWER) {
    const match = compileMatch([expression], "ethernet");
    assertEquals(match.kind === "flower" ? matchText(match) : "", words, expression);
    assertEquals(match.kind, words === "" ? "bpf" : "flower", expression);
  }
});

test("compileMatch: one of several expressions must match, each independently", () => {
  const match = compileMatch(["vlan 5", "tcp"], "ethernet");
  assertEquals(match.kind, "bpf");
  for (const { data, first } of wholePackets().filter(({ first }) => first === "ethernet")) {
    // In one expression the right side would look behind the tag.
    const expected = packetFilter("vlan 5")(data, first) || packetFilter("tcp")(data, first);
    assertEquals(match.kind === "bpf" && runFilter(match.program, data) > 0, expected, toHex(data));
  }
  assertEquals(compileMatch(["ip and arp[7] = 1", "arp"], "ethernet").kind, "bpf");
  for (const all of [[], [""], ["  "], ["tcp", ""]]) assertEquals(compileMatch(all, "ethernet").kind, "matchall");
});

test("compileMatch: what begins with IP has no Ethernet header", () => {
  const text = (expression: string): string => matchText(compileMatch([expression], "raw-ip"));
  assertEquals(text("ip and tcp dst port 80"), "protocol ip flower ip_proto tcp dst_port 80");
  assertEquals(text("ip6 src net 2001:db8::/32"), "protocol ipv6 flower src_ip 2001:db8::/32");
  const never = compileMatch(["ether src 02:00:00:00:00:01"], "raw-ip");
  assertEquals(never.kind === "bpf" && never.never, true);
  const matches = packetFilter("not tcp port 443");
  const some = compileMatch(["not tcp port 443"], "raw-ip");
  for (const { data, first } of wholePackets().filter(({ first }) => first === "raw-ip")) {
    assertEquals(some.kind === "bpf" && runFilter(some.program, data) > 0, matches(data, first), toHex(data));
  }
});

test("compileMatch: invalid expressions, and those about samples, are refused with the place", () => {
  const wrong: readonly (readonly [string, string])[] = [
    ["ip proto tcp dport 80", "use dst port"],
    ["udp sport 53", "use src port"],
    ["ipv6 udp dport 53", "use ip6"],
    ["src_ip 10.0.0.1", "use src host"],
    ["ip proto tcp dst 10.0.0.1", 'expected "and", "or" or the end'],
    ["vlan 4096", "the number of a VLAN from 0 to 4095"],
    ["tcp port 65536", "expected a port"],
    ["host web1", "names are not looked up"],
  ];
  for (const [expression, said] of wrong) {
    const error = assertThrows(() => compileMatch([expression], "ethernet"), FilterError, said);
    assert(error.message.includes("\n  ") && /\^~*$/.test(error.message), error.message);
  }
  for (const expression of ["tcp and rate > 5", "group 5", "not device eth0", "in eth0 or arp"]) {
    assertThrows(() => compileMatch(["tcp", expression], "ethernet"), StageOnlyError, "only samples have this");
  }
  for (const expression of ["vni 42", "udp and not inner (tcp)"]) {
    assertThrows(() => compileMatch([expression], "ethernet"), StageOnlyError, "cannot look for a tunnel");
  }
  const hosts = Array.from({ length: 500 }, (_, i) => `10.1.${i >> 8}.${i & 255}`).join(" or ");
  assertThrows(() => compileMatch([`host ${hosts}`], "ethernet"), FilterError, "instructions");
});

/** A frame as tc sees it after the network card or the kernel has stripped its tag. */
function untagged(frame: Uint8Array): { data: Uint8Array; tag: Tag } | undefined {
  const type = frame[12]! << 8 | frame[13]!;
  if (frame.length < 18 || type !== 0x8100 && type !== 0x88a8) return undefined;
  const data = new Uint8Array(frame.length - 4);
  data.set(frame.subarray(0, 12));
  data.set(frame.subarray(16), 12);
  return { data, tag: { type, control: frame[14]! << 8 | frame[15]! } };
}

/** Looks at bytes in and around the tag, at offsets read from the packet. */
const AROUND_THE_TAG = [
  "ether[ether[15]] = 0",
  "ether[ether[15] + 5:2] = 0x0506",
  "ether[12:4] = 0x81000005",
  "ether[10:4] & 0xffff = 0x8100",
  "ether[11] + ether[12] + ether[13] + ether[14] + ether[15] + ether[16] > 200",
  "ether[9:4] != ether[13:4]",
  "ether[15:2] = 0x0508",
  "ether[len - 5] = 0",
  "ether[len - 70] != 0 or arp",
  "not vlan",
  "vlan and vlan and ip",
  "(vlan and ip[ip[0] & 0xf] > 1) or ip[ip[0] & 0xf] > 1",
  "ip[ip[8] - 4] = 64 or vlan 5 and ip[ip[8] - 4] = 64",
  "len = 70",
  "ether proto 0x88a8",
  "ether[12:2] <= 1500",
];

test("a program selects the frames that the predicate selects, with the tag in the bytes and beside them", () => {
  // A frame whose bytes are the offsets to look at: 0 to 15 are before the tag's end.
  const looking = Array.from(
    { length: 20 },
    (_, i) =>
      bytes(
        `05060708090a 0102030405${i.toString(16).padStart(2, "0")} 8100 60${
          i.toString(16).padStart(2, "0")
        } 0800 4500002800010000400600000a0000010a000002 0050 01bb 0000 0000 0000 0000 5002 0000 0000 0000`,
      ),
  );
  const frames = [
    ...wholePackets().filter(({ first, data }) => first === "ethernet" && data.length >= 18).map(({ data }) => data),
    ...looking,
  ];
  const tagged = frames.map(untagged);
  assert(tagged.filter((one) => one).length > 20);
  let matched = 0;
  for (const expression of [...EXPRESSIONS, ...AROUND_THE_TAG]) {
    const match = compileMatch([expression], "ethernet", true);
    if (match.kind !== "bpf") continue;
    const matches = packetFilter(expression);
    for (const [i, frame] of frames.entries()) {
      const expected = matches(frame, "ethernet");
      assertEquals(runFilter(match.program, frame) > 0, expected, `${expression}: ${toHex(frame)}`);
      const apart = tagged[i];
      if (!apart) continue;
      const { data, tag } = apart;
      assertEquals(runFilter(match.program, data, data.length, tag) > 0, expected, `${expression}, apart: ${toHex(frame)}`);
      if (expected) matched++;
    }
  }
  assert(matched > 1000, `${matched}`);
});

/** The fields that flower finds in a frame: `fl_classify`, reimplemented for the headers in tests. */
function flowerMatches({ protocol, keys }: Match & { kind: "flower" }, frame: Uint8Array): boolean {
  const u16 = (at: number): number => frame[at]! << 8 | frame[at + 1]!;
  const outer = u16(12);
  if (protocol !== 3 && protocol !== outer) return false;
  const isTagged = outer === 0x8100;
  const type = isTagged ? u16(16) : outer;
  const network = isTagged ? 18 : 14;
  const found: Record<string, unknown> = { destinationMac: frame.subarray(0, 6), sourceMac: frame.subarray(6, 12), etherType: outer };
  if (isTagged) Object.assign(found, { vlanId: u16(14) & 0xfff, vlanPriority: u16(14) >> 13, vlanEtherType: type });
  let transport: number | undefined;
  if (type === 0x0800 && (frame[network]! & 0xf) >= 5) {
    const [source, destination] = [frame.subarray(network + 12, network + 16), frame.subarray(network + 16, network + 20)];
    Object.assign(found, { tos: frame[network + 1], ttl: frame[network + 8], ipProtocol: frame[network + 9], source, destination });
    if ((u16(network + 6) & 0x3fff) === 0) transport = network + (frame[network]! & 0xf) * 4;
  } else if (type === 0x86dd) {
    let next = frame[network + 6]!;
    let at = network + 40;
    while (next === 0 || next === 43 || next === 60) [next, at] = [frame[at]!, at + (frame[at + 1]! + 1) * 8];
    if (next === 44) next = frame[at]!;
    else transport = at;
    const [source, destination] = [frame.subarray(network + 8, network + 24), frame.subarray(network + 24, network + 40)];
    Object.assign(found, { ttl: frame[network + 7], ipProtocol: next, source, destination });
  } else if (type === 0x0806 || type === 0x8035) {
    const known = toHex(frame.subarray(network, network + 6)) === "000108000604" && [1, 2].includes(frame[network + 7]!);
    if (known) {
      const [arpSource, arpTarget] = [frame.subarray(network + 14, network + 18), frame.subarray(network + 24, network + 28)];
      Object.assign(found, { arpOperation: frame[network + 7], arpSource, arpTarget });
    }
  }
  if (transport !== undefined) {
    const [ports, icmp] = [[6, 17, 132], [1, 58]].map((protocols) => protocols.includes(found["ipProtocol"] as number));
    if (ports) Object.assign(found, { sourcePort: u16(transport), destinationPort: u16(transport + 2) });
    if (ports) Object.assign(found, { sourcePorts: u16(transport), destinationPorts: u16(transport + 2) });
    if (found["ipProtocol"] === 6) found["tcpFlags"] = frame[transport + 13]!;
    if (icmp) Object.assign(found, { icmpType: frame[transport], icmpCode: frame[transport + 1] });
  }
  return Object.entries(keys).every(([name, key]) => {
    const value = found[name];
    if (value === undefined || key === undefined) return false;
    if (typeof key !== "object") return value === key;
    if ("from" in key) return key.from <= Number(value) && Number(value) <= key.to;
    if (!("address" in key)) return ((Number(value) ^ key.value) & (key.mask ?? 0xffff)) === 0;
    const address = value as Uint8Array;
    return address.length === key.address.length && key.mask.every((mask, i) => ((address[i]! ^ key.address[i]!) & mask) === 0);
  });
}

test("a flower filter selects the frames that the predicate selects, except for the differences it lists; none if it must be exact", () => {
  const frames = wholePackets().filter(({ first, data }) => first === "ethernet" && data.length >= 60).map(({ data }) => data);
  const named = new Set<string>();
  let flowers = 0;
  let matched = 0;
  for (const expression of [...EXPRESSIONS, ...FLOWER.map(([expression]) => expression)]) {
    for (const exact of [false, true]) {
      const match = compileMatch([expression], "ethernet", exact);
      if (match.kind !== "flower") continue;
      flowers++;
      const matches = packetFilter(expression);
      for (const frame of frames) {
        const [theirs, wanted] = [flowerMatches(match, frame), matches(frame, "ethernet")];
        if (wanted) matched++;
        if (theirs === wanted) continue;
        const reason = wanted
          ? match.differences.find((text) => /fragment|802\.1Q|ARP/.test(text))
          : match.differences.find((text) => /extension headers/.test(text));
        assert(reason !== undefined, `${expression}${exact ? " (exact)" : ""}: ${theirs} for ${toHex(frame)}`);
        named.add(reason!);
      }
    }
  }
  assert(flowers > 50 && matched > 200, `${flowers}, ${matched}`);
  assert(named.size >= 3, [...named].join("; "));
});
