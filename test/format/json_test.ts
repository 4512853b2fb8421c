import { test } from "node:test";
import { assertEquals } from "@std/assert";
import { decodeSample, type GroupEvent } from "../../src/psample/mod.ts";
import { formatJson, JsonWriter } from "../../src/format/json.ts";
import { Output } from "../../src/format/output.ts";
import { BatchBuffer } from "../../src/stream/batch.ts";
import { type Attribute, attributes, bytes, message, number } from "../psample/build.ts";
import { recordings } from "../psample/recordings.ts";

test("formatJson equals JSON.stringify for all that kernels sent", () => {
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
      const sample = decodeSample(message(row, { portId: 0xffffffff }), { littleEndian: true, nsid });
      assertEquals(formatJson(sample), `${JSON.stringify(sample)}\n`);
    }
  }
});

test("formatJson of a group event", () => {
  const event: GroupEvent = { type: "group-deleted", group: 1, refcount: 0, sequence: undefined, nsid: undefined, portId: 0 };
  assertEquals(formatJson(event), '{"type":"group-deleted","group":1,"refcount":0,"portId":0}\n');
});
