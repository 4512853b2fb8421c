import { test } from "node:test";
import { assertEquals } from "@std/assert";
import { countSegments, type Segments, wireBytes } from "../../src/estimate/segments.ts";
import { PacketView } from "../../src/packet/mod.ts";
import { hex } from "../packet/made.ts";

const ETHERNET = "020000000002020000000001";
/** IPv4 and TCP with 12 bytes of options. */
const TCP = "0800 45000000000040004006 0000c00002070a000001 01bbc93a000000010000000280100fff00000000 0101080a0000000000000000";
const UDP = "0800 45000000000040004011 0000c00002070a000001 01bbc93a00000000";

function count(digits: string, bytes: number, mtu: number | undefined): Segments & { long: boolean } {
  const data = hex(digits);
  const into: Segments = { packets: 0, bytes: 0, unknown: false };
  const long = countSegments(new PacketView().decode(data, 0, data.length, "ethernet", bytes), bytes, mtu, into);
  return { ...into, long };
}

test("a packet that fits its link is one", () => {
  for (const bytes of [60, 1500, 1514]) {
    assertEquals(count(ETHERNET + TCP, bytes, 1500), { packets: 1, bytes, unknown: false, long: false });
  }
  assertEquals(count(ETHERNET + TCP, 9014, 9000).packets, 1);
  assertEquals(count(ETHERNET + TCP, 9014, undefined).packets, 1);
});

test("a super packet is the number of segments that the kernel makes of it, each with its headers", () => {
  // 65,226 bytes with 66 of headers and segments of 1448.
  assertEquals(count(ETHERNET + TCP, 65_226, 1500), { packets: 45, bytes: 68_130, unknown: false, long: true });
  assertEquals(count(ETHERNET + TCP, 65_226, undefined).packets, 45);
  assertEquals(count(ETHERNET + TCP, 1515, 1500), { packets: 2, bytes: 1515 + 66, unknown: false, long: true });
  // BIG TCP.
  assertEquals(count(ETHERNET + TCP, 198_578, 1500).packets, Math.ceil((198_578 - 66) / 1448));
});

test("a VLAN tag does not count towards the MTU", () => {
  assertEquals(count(`${ETHERNET} 81000005 ${TCP}`, 1518, 1500).packets, 1);
  assertEquals(count(`${ETHERNET} 81000005 ${TCP}`, 65_230, 1500), { packets: 45, bytes: 68_130 + 45 * 4, unknown: false, long: true });
});

test("in a tunnel every segment gets all headers", () => {
  const vxlan = `${ETHERNET} 0800 45000000000040004011 0000c00002070a000001 3039 12b5 0000 0000 0800000000002a00 ${ETHERNET} ${TCP}`;
  const headers = 14 + 20 + 8 + 8 + 66;
  const segmentBytes = 1500 - (headers - 14);
  const payload = 20_000;
  const packets = Math.ceil(payload / segmentBytes);
  assertEquals(count(vxlan, headers + payload, 1500), { packets, bytes: payload + packets * headers, unknown: false, long: true });
});

test("unknown segment sizes are reported", () => {
  assertEquals(count(ETHERNET + UDP, 20_000, 1500), { packets: 1, bytes: 20_000, unknown: true, long: true });
  assertEquals(count(`${ETHERNET} 88b5`, 20_000, 1500).unknown, true);
  assertEquals(count(ETHERNET + TCP.slice(0, 60), 20_000, 1500).unknown, true);
});

test("wireBytes() is the capacity that a frame uses", () => {
  assertEquals([60, 42, 1514].map(wireBytes), [84, 84, 1538]);
});
