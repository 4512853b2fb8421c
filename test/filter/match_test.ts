/** `match` in words, against the requests that tc sends for the same. */
import { test } from "node:test";
import { assert, assertEquals, assertThrows } from "@std/assert";
import { ArgumentError } from "../../src/errors.ts";
import { encodeFilter } from "../../src/tc/filter.ts";
import { compileMatch } from "../../src/filter/match.ts";
import { TC_H_CLSACT_INGRESS, TCA_CLS_FLAGS_SKIP_HW } from "../../src/tc/tcmsg.ts";
import { toHex } from "../../src/wire/text.ts";
import { readSessions } from "../tc/sessions.ts";

/** The request of a recorded `filter add` that begins with these words, without its sequence number. */
function recorded(start: string): string {
  const session = readSessions("flower").find((one) => one.command.startsWith(`tc filter add dev d0 ingress ${start}`))!;
  const bytes = session.frames.find((frame) => frame.request)!.bytes.slice();
  bytes.fill(0, 8, 12);
  return toHex(bytes);
}

function ours(text: string, preference: number, flags = 0, handle = 0): string {
  const { protocol, keys } = compileMatch(text);
  const key = { ifindex: 2, parent: TC_H_CLSACT_INGRESS, preference, protocol, handle };
  return toHex(encodeFilter("add", key, { kind: "flower", keys, flags, actions: [{ sample: { rate: 10, group: 1 } }] }));
}

test("compileMatch: makes the bytes that tc makes", () => {
  assertEquals(ours("ip proto tcp dst 10.0.0.0/8 dport 80", 1, TCA_CLS_FLAGS_SKIP_HW), recorded("protocol ip pref 1 "));
  assertEquals(ours("arp", 4), recorded("protocol arp pref 4 "));
  assertEquals(ours("vlan 5", 5), recorded("protocol 802.1Q pref 5 "));
  assertEquals(ours("0x88cc", 15), recorded("protocol 0x88cc pref 15 "));
  assertEquals(ours("proto 47", 13), recorded("protocol ip pref 13 "));
  assertEquals(ours("dst 10.8.0.0", 19), recorded("protocol ip pref 19 "));
});

test("compileMatch: what is said in other words is the same", () => {
  assertEquals(compileMatch("udp dport 53"), compileMatch("ip proto udp and dst_port 53-53"));
  assertEquals(compileMatch("src 2001:db8::/32"), compileMatch("ipv6 src_ip 2001:db8::/32"));
  assertEquals(compileMatch("icmpv6"), compileMatch("ip6 proto 58"));
  assertEquals(compileMatch("vlan 7 tcp").keys?.vlanEtherType, 0x0800);
  assertEquals(compileMatch(""), { protocol: 3, keys: undefined });
  assertEquals(compileMatch("all"), { protocol: 3, keys: undefined });
});

test("compileMatch: what flower cannot say is refused by its name", () => {
  for (const word of ["or", "not", "host", "net", "port", "greater", "ether", "frobnicate", "broadcast"]) {
    const error = assertThrows(() => compileMatch(`ip ${word} 10.0.0.1`), ArgumentError);
    assert(error.message.includes(`"${word}"`), error.message);
  }
  for (
    const text of [
      "dport 80",
      "arp dport 80",
      "icmp dport 80",
      "ip src 2001:db8::1",
      "src 10.0.0.1 dst 2001:db8::1",
      "arp proto tcp",
      "icmp ipv6",
      "ip arp",
      "src 10.0.0.1 src 10.0.0.2",
      "tcp dport 80 dport 81",
      "tcp udp",
      "vlan 1 vlan 2",
      "src 10.0.0",
      "src 10.0.0.1/",
      "src 10.0.0.1/8/9",
      "src 1.2.3.4.5",
      "src :::",
      "src 1:2:3:4:5:6:7",
      "src ::1::",
      "src",
      "proto frob",
      "vlan x",
      "tcp dport x",
      "tcp dport 80-",
      "802.1Q",
    ]
  ) assertThrows(() => compileMatch(text), ArgumentError, "Cannot match", text);
});

test("compileMatch: numbers that do not fit are a ArgumentError", () => {
  for (
    const text of [
      "src 10.0.0.1/33",
      "src ::1/129",
      "tcp dport 65536",
      "tcp dport 0",
      "tcp dport 90-80",
      "vlan 4096",
      "proto 256",
      "0x10000",
    ]
  ) assertThrows(() => compileMatch(text), ArgumentError, "Cannot match", text);
});
