/** The straight path finds what the loop finds, in every field, whatever a packet is; and ordinary packets do take it. */
import { test } from "node:test";
import { assert, assertEquals, assertMatch } from "@std/assert";
import { ETHERNET, IPV4, IPV6, NONE } from "../../src/packet/header.ts";
import { PacketView } from "../../src/packet/mod.ts";
import { walkStraight } from "../../src/packet/straight.ts";
import type { FirstHeader } from "../../src/packet/walk.ts";
import { WalkedHeaders } from "../../src/packet/walked_headers.ts";
import { toHex } from "../../src/wire/text.ts";
import { sampledPackets } from "../fuzz/corpus.ts";
import { mutate, Random } from "../fuzz/mutate.ts";
import { MADE } from "./made.ts";
import { difference, plainWalk } from "./plain_walk.ts";

/** Where the packet is in the memory around it. */
const START = 3;
const reused = new PacketView();
const memory = new Uint8Array(1 << 17).fill(0x45);

/** Compares both ways through what was captured of a packet, in a new object and in one that has decoded the packets before. */
function compare(captured: Uint8Array, first: FirstHeader, originalBytes: number): void {
  const end = START + captured.length;
  memory.set(captured, START);
  const plain = plainWalk(memory, START, end, first, originalBytes);
  for (const view of [new PacketView(), reused]) {
    const found = difference(view.decode(memory, START, end, first, originalBytes), plain, view === reused);
    if (found !== undefined) throw new Error(`${found} in ${first} of ${originalBytes} bytes: ${toHex(captured)}`);
  }
}

/** Compares a packet as a frame and as IP, whole, as one that the capture has cut, and with an impossible original size. */
function compareAll(captured: Uint8Array): void {
  const { length } = captured;
  for (const originalBytes of [length, length + 1, length + 1400, Math.max(0, length - 9)]) {
    for (const first of ["ethernet", "raw-ip"] as const) compare(captured, first, originalBytes);
  }
}

/** Nothing but data is behind that. */
const LONGEST = 160;

/** The packets for which the straight path is there. */
const ORDINARY = /^(tcp|udp)[46]$|^tcp4 (padded|with)|^tcp4 without|^first fragment$|^vlan$/;
const ordinary = Object.entries(MADE).filter(([name]) => ORDINARY.test(name)).map(([, bytes]) => bytes);

function isStraight(bytes: Uint8Array, first: number, originalBytes: number = bytes.length): boolean {
  const { length } = bytes;
  return walkStraight(Object.assign(new WalkedHeaders(), { bytes, end: length, limit: length, originalBytes }), first) === NONE;
}

test("recorded and made packets, at every cut", () => {
  for (const packet of sampledPackets) {
    compareAll(packet);
    for (let size = 0; size <= Math.min(packet.length, LONGEST); size++) {
      // As captured: what was cut off is known by the original size.
      const captured = packet.subarray(0, size);
      compare(captured, "ethernet", packet.length);
      compareAll(captured);
      // The same packet without its frame.
      if (size >= 14) compareAll(captured.subarray(14));
    }
  }
});

test("ordinary packets with every value of every byte of their headers", () => {
  for (const packet of ordinary) {
    const changed = packet.slice();
    // The first twelve bytes are addresses.
    for (let at = 12; at < packet.length; at++) {
      for (let value = 0; value < 256; value++) {
        changed[at] = value;
        compare(changed, "ethernet", packet.length);
        compare(changed, "ethernet", packet.length + 200);
        compare(changed.subarray(14), "raw-ip", packet.length - 14);
      }
      changed[at] = packet[at]!;
    }
  }
});

test("mutated packets", () => {
  for (let i = 0; i < 20_000; i++) {
    const packet = mutate(new Random(0x57a1, i), i % 2 ? ordinary : sampledPackets);
    compareAll(packet.subarray(0, memory.length - START));
  }
});

test("ordinary packets are read without the loop, and others are not", () => {
  assert(ordinary.length >= 8, `${ordinary.length} ordinary packets`);
  for (const packet of ordinary) assert(isStraight(packet, ETHERNET), toHex(packet));
  // Without a frame, and cut behind the headers.
  const { tcp4, tcp6, udp4, udp6, vlan } = MADE as Record<string, Uint8Array>;
  for (const packet of [tcp4!, udp4!]) assert(isStraight(packet.subarray(14), IPV4), toHex(packet));
  for (const packet of [tcp6!, udp6!]) assert(isStraight(packet.subarray(14), IPV6), toHex(packet));
  for (const packet of [tcp4!, udp4!, udp6!, vlan!]) assert(isStraight(packet.subarray(0, -4), ETHERNET, packet.length), toHex(packet));
  for (const name of ["tcp4 behind IP options", "later fragment", "qinq", "vxlan", "icmp", "ip6 options", "arp"]) {
    assert(!isStraight(MADE[name]!, ETHERNET), name);
  }
});

test("the comparison sees a difference in each field", () => {
  const packet = MADE.tcp4!;
  const plain = plainWalk(packet, 0, packet.length, "ethernet", packet.length);
  const decode = (): PacketView => new PacketView().decode(packet, 0, packet.length, "ethernet");
  assertEquals(difference(decode(), plain, false), undefined);
  for (const name of Object.keys(plain) as (keyof WalkedHeaders)[]) {
    const changed = decode();
    if (name === "kinds" || name === "offsets") changed[name][2]! += 1;
    else Object.assign(changed, { [name]: -1 });
    assertMatch(String(difference(changed, plain, false)), new RegExp(`^${name}`));
  }
});
