import { test } from "node:test";
import { assertEquals } from "@std/assert";
import { type PacketFields, PacketView, parsePacket } from "../../src/packet/mod.ts";

const ETHERNET = "020000000002 020000000001";
const IPV4 = "4500 0028 0000 4000 4006 0000 c0000207 0a000001";
const TCP = "01bb c93a 00000001 00000002 5012 ffff 0000 0000";

function bytes(hex: string): Uint8Array {
  return Uint8Array.from(hex.replace(/\s/g, "").match(/../g) ?? [], (byte) => parseInt(byte, 16));
}

/** The fields that are present. */
function present(fields: PacketFields): Record<string, unknown> {
  return JSON.parse(JSON.stringify(fields));
}

test("parsePacket() reads Ethernet, IPv4 and TCP", () => {
  assertEquals(present(parsePacket(bytes(`${ETHERNET} 0800 ${IPV4} ${TCP}`))), {
    etherSource: "02:00:00:00:00:01",
    etherDestination: "02:00:00:00:00:02",
    etherType: 0x0800,
    source: "192.0.2.7",
    destination: "10.0.0.1",
    protocol: 6,
    protocolName: "tcp",
    sourcePort: 443,
    destinationPort: 51514,
    tcpFlags: "S.",
    ttl: 64,
    dscp: 0,
    ipLength: 40,
  });
});

test("every key exists, in the same order, whatever the packet has", () => {
  const keys = Object.keys(parsePacket(bytes(`${ETHERNET} 0800 ${IPV4} ${TCP}`)));
  assertEquals(Object.keys(parsePacket(new Uint8Array(0))), keys);
});

test("what was cut off is named, and everything before it is kept", () => {
  const whole = bytes(`${ETHERNET} 0800 ${IPV4} ${TCP}`);
  const cut = (size: number): PacketFields => parsePacket(whole.subarray(0, size), "ethernet", whole.length);
  assertEquals([cut(54).cut, cut(53).cut, cut(53).sourcePort, cut(53).tcpFlags], [undefined, "tcp", 443, "S."]);
  assertEquals([cut(36).cut, cut(36).sourcePort, cut(36).destinationPort], ["tcp", 443, undefined]);
  assertEquals([cut(34).cut, cut(34).protocolName, cut(34).sourcePort], ["tcp", "tcp", undefined]);
  assertEquals([cut(33).cut, cut(33).source, cut(33).destination], ["ip", "192.0.2.7", undefined]);
  assertEquals([cut(14).cut, cut(13).cut, cut(0).cut], ["ip", "eth", "eth"]);
  // If nothing was cut off, a header that does not fit is broken.
  assertEquals([parsePacket(whole.subarray(0, 53)).cut, parsePacket(whole.subarray(0, 53)).broken], [undefined, "ip"]);
});

test("an inner packet is found in a tunnel", () => {
  const inner = `${ETHERNET} 0800 ${IPV4} ${TCP}`;
  const udp = `3039 12b5 0000 0000 0800 0000 00002a 00 ${inner}`;
  const outer = bytes(`${ETHERNET} 8100 6005 0800 4500 0000 0000 4000 4011 0000 c6336401 c6336402 ${udp}`);
  const fields = parsePacket(outer);
  assertEquals([fields.source, fields.vlans, fields.tunnelId], ["198.51.100.1", [{ id: 5, priority: 3, tpid: 0x8100 }], 42]);
  assertEquals([fields.inner?.source, fields.inner?.destinationPort, fields.inner?.inner], ["192.0.2.7", 51514, undefined]);
  assertEquals(new PacketView().decode(outer, 0, outer.length, "ethernet").stack, "eth.vlan.ip.udp.vxlan.eth.ip.tcp");
});

test("up to fifteen headers are followed", () => {
  const fields = new PacketView().decode(bytes(`${ETHERNET} 8100 ${"00058100".repeat(20)}`), 0, 94, "ethernet");
  assertEquals([fields.count, fields.deeper], [15, true]);
});
