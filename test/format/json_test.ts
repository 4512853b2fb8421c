import { test } from "node:test";
import { assertEquals } from "@std/assert";
import type { GroupEvent } from "../../src/psample/mod.ts";
import { viewSample } from "../../src/psample/sample_decoder.ts";
import { formatJson, jsonString, JsonWriter } from "../../src/format/json.ts";
import { Output } from "../../src/format/output.ts";
import { BatchBuffer } from "../../src/stream/batch.ts";
import { type Attribute, attributes, bytes, message, number } from "../psample/build.ts";
import { recordings } from "../psample/recordings.ts";
import { MADE } from "../packet/made.ts";
import { messageOf } from "../../src/wire/message.ts";

test("formatJson equals JSON.stringify for everything that kernels sent", () => {
  const batch = new BatchBuffer();
  const output = new Output(16);
  const writer = new JsonWriter();
  let expected = "";
  for (const item of recordings().flatMap(({ items }) => items)) {
    assertEquals(formatJson(item), `${JSON.stringify(item)}\n`);
    batch.add(item);
    expected += `${JSON.stringify(item)}\n`;
  }
  for (let i = 0; i < batch.count; i++) writer.write(output, batch, i);
  assertEquals(output.takeText(), expected);
});

test("formatJson equals JSON.stringify for what kernels rarely send", () => {
  const rows: Attribute[][] = [
    [],
    [[3, number(4, 0)], [4, number(4, 0xffffffff)], [5, number(4, 0)]],
    [[5, number(4, 12345)], [16, bytes("")]],
    [[5, number(4, 0)], [16, bytes("")]],
    [[5, number(4, 1)], [16, bytes("")]],
    [[6, bytes("")], [15, bytes("")]],
    [[10, number(2, 65535)], [11, number(8, 0xffff_ffff_ffff_ffffn)], [12, number(8, 0)]],
    [[8, attributes([[0, number(8, 0xffff_ffff_ffff_ffffn)], [8, bytes("0102 80 01 00800022")], [11, bytes("aa")], [99, bytes("bb")]])]],
    [[99, bytes("")], [17, bytes("00")]],
    [[99, new Uint8Array(5000)], [6, new Uint8Array(60000).fill(0xa5)]],
    ...[0n, 1n, 999_999_999n, 1_000_000_000n, 4294967295_999999999n, 4294967296_000000000n, 0xffff_ffff_ffff_ffffn]
      .map((time): Attribute[] => [[13, number(8, time)]]),
  ];
  for (const row of rows) {
    for (const nsid of [undefined, 0, -1]) {
      const sample = viewSample(messageOf(message(row, { portId: 0xffffffff }), true), nsid);
      assertEquals(formatJson(sample), `${JSON.stringify(sample)}\n`);
    }
  }
});

test("formatJson of a group event", () => {
  const event: GroupEvent = { type: "group-deleted", group: 1, refcount: 0, sequence: undefined, nsid: undefined, portId: 0 };
  assertEquals(formatJson(event), '{"type":"group-deleted","group":1,"refcount":0,"portId":0}\n');
});

/** The line of the first entry of a batch, with details. */
function detailed(batch: BatchBuffer): string {
  const output = new Output(16);
  new JsonWriter({ details: true }).write(output, batch, 0);
  return output.takeText();
}

function batchOf(list: readonly Attribute[], name?: string): BatchBuffer {
  const batch = new BatchBuffer();
  batch.devices = { find: () => ({ name, type: 1, address: undefined }) };
  batch.add(viewSample(messageOf(message(list), true)));
  return batch;
}

test("JSON with details has time, device, direction and protocol, before the data", () => {
  const list: Attribute[] = [[0, number(2, 3)], [13, number(8, 1784000000_000000042n)], [14, number(2, 0x86dd)], [6, bytes("00ff")]];
  assertEquals(
    detailed(batchOf(list, "eth0")),
    '{"type":"sample","rateIsProbability":false,"inIfindex":3,"protocol":34525,"timestampNs":"1784000000000000042","unknown":[],' +
      '"portId":0,"at":"2026-07-14T03:33:20.000000042Z","device":"eth0","direction":"in","protocolName":"ipv6","packet":{"broken":"eth"},"data":"00ff"}\n',
  );
});

test("JSON with details has the headers of a packet, also in a tunnel", () => {
  const { packet } = JSON.parse(detailed(batchOf([[2, number(4, 1514)], [6, MADE["gre"]!.subarray(0, 62)]])));
  const ends = { source: "192.0.2.7", destination: "10.0.0.1" };
  const inner = { ...ends, protocol: 6, protocolName: "tcp", sourcePort: 443, destinationPort: 51514, ttl: 63, dscp: 46, ipLength: 48 };
  const outer = { ...ends, protocol: 47, protocolName: "gre", ttl: 63, dscp: 46, ipLength: 72 };
  const ether = { etherSource: "02:00:00:00:00:01", etherDestination: "02:00:00:00:00:02", etherType: 0x0800 };
  assertEquals(packet, { ...ether, ...outer, inner, cut: "tcp" });
});

test("JSON with details omits what is not known", () => {
  const batch = batchOf([], undefined);
  batch.recorded = true;
  batch.recordedAt(1e15, 0);
  assertEquals(detailed(batch), '{"type":"sample","rateIsProbability":false,"unknown":[],"portId":0}\n');
});

test("the direction is out if the packet leaves by an interface", () => {
  const direction = (list: Attribute[]): unknown => JSON.parse(detailed(batchOf(list))).direction;
  assertEquals([direction([[0, number(2, 3)]]), direction([[1, number(2, 3)]]), direction([[0, number(2, 3)], [1, number(2, 4)]])], [
    "in",
    "out",
    "out",
  ]);
});

test("the name of a protocol is that of an EtherType, and of nothing else", () => {
  const name = (protocol: number): unknown => JSON.parse(detailed(batchOf([[14, number(2, protocol)]]))).protocolName;
  assertEquals([0x0800, 0x86dd, 0x0806, 0x8100, 0x88cc].map(name), ["ipv4", "ipv6", "arp", "802.1Q", "LLDP"]);
  // Lengths and the kernel's own numbers below 0x600, sFlow's codes of the VPP plugin, and EtherTypes without a name.
  assertEquals([0, 1, 3, 11, 12, 0x5ff, 0x1234].map(name), new Array(7).fill(undefined));
});

test("JSON stays valid whatever the name of a device, and contains nothing that could control a terminal", () => {
  for (const name of ['a"b\\c', "\x1b[31m\n\x7f", "\u009b2J", "a\u202eb\u00a0c\u2028d", "\u{e0041}\ud800x", "é€😀 ü", ""]) {
    const line = detailed(batchOf([[0, number(2, 3)]], name));
    assertEquals(JSON.parse(line).device, name);
    // A lone surrogate cannot be in UTF-8, so it must be escaped to survive.
    assertEquals(line.match(/[^\n\P{C}]|(?! )\p{Z}/u), null, JSON.stringify(name));
    assertEquals(JSON.parse(jsonString(name)), name);
  }
});
