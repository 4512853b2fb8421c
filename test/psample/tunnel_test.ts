import { test } from "node:test";
import { assertEquals } from "@std/assert";
import { decodeSample, type Tunnel } from "../../src/psample/mod.ts";
import { type Attribute, attributes, bytes, message, number } from "./build.ts";
import { EMPTY_TUNNEL } from "../support/tunnels.ts";
import { messageOf } from "../../src/wire/message.ts";
import { viewSample } from "../../src/psample/sample_decoder.ts";

function decode(list: readonly Attribute[], littleEndian = true): Tunnel | undefined {
  return decodeSample(messageOf(message([[8, attributes(list, littleEndian)]], { little: littleEndian }), littleEndian)).tunnel;
}

test("a tunnel has every attribute, in both byte orders", () => {
  for (const littleEndian of [true, false]) {
    const tunnel = decode([
      [0, number(8, 0x0102030405060708n, false)],
      [1, bytes("c0000201")],
      [2, bytes("c6336401")],
      [3, number(1, 16)],
      [4, number(1, 64)],
      [5, bytes("")],
      [6, bytes("")],
      [7, bytes("")],
      [8, bytes("0102 80 e1 00800022 0103 03 02 0011223344556677 ffff 00 00")],
      [14, bytes("")],
      [9, number(2, 50000, false)],
      [10, number(2, 6081, false)],
      [11, bytes("aa")],
      [15, bytes("bbcc")],
      [16, bytes("")],
      [31, bytes("dd")],
    ], littleEndian);
    assertEquals(tunnel, {
      id: 0x0102030405060708n,
      source: "192.0.2.1",
      destination: "198.51.100.1",
      tos: 16,
      ttl: 64,
      dontFragment: true,
      checksum: true,
      oam: true,
      sourcePort: 50000,
      destinationPort: 6081,
      geneveOptions: [
        { optionClass: 0x0102, type: 0x80, data: bytes("00800022") },
        { optionClass: 0x0103, type: 3, data: bytes("0011223344556677") },
        { optionClass: 0xffff, type: 0, data: bytes("") },
      ],
      vxlanOptions: bytes("aa"),
      erspanOptions: bytes("bbcc"),
      ipv4InfoBridge: true,
      unknown: [{ type: 31, value: bytes("dd") }],
    });
  }
});

test("a tunnel of IPv6 has its addresses as text", () => {
  const tunnel = decode([[12, bytes("20010db8000000000000000000000001")], [13, bytes("fe80000000000000020000fffe000002")]]);
  assertEquals(tunnel, { ...EMPTY_TUNNEL, source: "2001:db8::1", destination: "fe80::200:ff:fe00:2" });
});

test("an empty tunnel is a tunnel", () => {
  assertEquals(decode([]), EMPTY_TUNNEL);
});

test("invalid attributes of a tunnel are unknown attributes of it", () => {
  const wrong: Attribute[] = [
    [0, bytes("00")],
    [1, bytes("0000")],
    [3, bytes("")],
    [9, bytes("00")],
    [12, bytes("00000000")],
    [8, bytes("0102")],
    [8, bytes("0102 80 01")],
    [8, bytes("0102 80 1f 00000000")],
  ];
  for (const [type, value] of wrong) assertEquals(decode([[type, value]]), { ...EMPTY_TUNNEL, unknown: [{ type, value }] });
  // The others are there.
  assertEquals(decode([[4, bytes("40")], [0, bytes("00")]]), { ...EMPTY_TUNNEL, ttl: 64, unknown: [{ type: 0, value: bytes("00") }] });
});

test("the key of a tunnel is the same with and without the rest of it", () => {
  const id = number(8, 0x01020304_05060708n, false);
  const port = number(2, 4789, false);
  const lists: readonly (readonly Attribute[])[] = [
    [],
    [[0, id], [1, bytes("c0000201")], [10, port]],
    [[10, port]],
    [[0, id]],
    [[0, number(8, 1, false)], [0, id], [10, port], [10, number(2, 1, false)]],
    // Of other sizes than belong to the numbers.
    [[0, number(4, 1, false)], [10, number(4, 1, false)]],
    [[0, id], [10, number(4, 1, false)]],
    [[0, number(4, 1, false)], [10, port]],
  ];
  const nests = lists.map((list) => attributes(list));
  // The first ones again, cut off in the middle of an attribute.
  const cut = nests.slice(1, 5).flatMap((nest) => [nest.slice(0, nest.length - 4), nest.slice(0, 2)]);
  const both = (tunnels: readonly Attribute[]): void => {
    const sample = viewSample(messageOf(message(tunnels)));
    const key = { vni: -2, destinationPort: -2 };
    const isThere = sample.readTunnelKey(key);
    const { tunnel } = sample;
    assertEquals(
      isThere ? key : undefined,
      tunnel && { vni: tunnel.id === undefined ? -1 : Number(tunnel.id & 0xff_ffffn), destinationPort: tunnel.destinationPort ?? -1 },
    );
  };
  both([]);
  for (const nest of [...nests, ...cut]) {
    both([[8, nest]]);
    for (const other of [...nests, ...cut]) both([[8, nest], [7, other]]);
  }
});
