import { test } from "node:test";
import { assertEquals, assertThrows } from "@std/assert";
import { EncodeError } from "../../../src/errors.ts";
import { Output } from "../../../src/format/output.ts";
import { PcapWriter } from "../../../src/format/pcap/writer.ts";
import { viewSample } from "../../../src/psample/sample_decoder.ts";
import type { SampleView } from "../../../src/psample/sample_view.ts";
import { BatchBuffer } from "../../../src/stream/batch.ts";
import { type Attribute, bytes, message, number } from "../../psample/build.ts";
import { record } from "../../support/recorded.ts";
import { messageOf } from "../../../src/wire/message.ts";

const FRAME: Attribute = [6, bytes("020000000001 020000000002 0800 45")];
const IPV4: Attribute = [6, bytes("45000014 0000000000000000 00000000")];

function sample(...attributes: Attribute[]): SampleView {
  return viewSample(messageOf(message(attributes)));
}

test("PcapWriter: a file of packets is these bytes", () => {
  const items = [
    sample([2, number(4, 1500)], [13, number(8, 1784000000_000000042n)], FRAME),
    sample(FRAME),
    sample([2, number(4, 60)], [13, number(8, 1784000001_999999999n)]),
  ];
  assertEquals(
    record(new PcapWriter(), items, { timeNs: 1784000000_500000000n }),
    bytes(
      "4d3cb2a1 0200 0400 00000000 00000000 00000400 01000000" +
        "00ae556a 2a000000 0f000000 dc050000 020000000001 020000000002 0800 45" +
        "00ae556a 0065cd1d 0f000000 0f000000 020000000001 020000000002 0800 45" +
        "01ae556a ffc99a3b 00000000 3c000000",
    ),
  );
});

test("PcapWriter: the first packet decides the link type, and a second one is an error that names the cure", () => {
  const ip = sample([14, number(2, 0x0800)], IPV4);
  const frame = sample([14, number(2, 0x0800)], FRAME);
  const file = record(new PcapWriter(), [ip, sample([2, number(4, 9)]), ip]);
  assertEquals(new DataView(file.buffer).getUint32(20, true), 101);
  assertEquals(new DataView(record(new PcapWriter(), []).buffer).getUint32(20, true), 1);
  const error = assertThrows(() => record(new PcapWriter(), [ip, frame]), EncodeError, "Record as pcapng (.pcapng)");
  assertEquals(error.message.includes("link type 1 (Ethernet) beside link type 101 (raw IP)"), true);
  // Another file is another link type.
  const writer = new PcapWriter();
  for (const [item, linkType] of [[ip, 101], [frame, 1]] as const) {
    assertEquals(new DataView(record(writer, [item]).buffer).getUint32(20, true), linkType);
  }
});

test("PcapWriter: a time that the format cannot express becomes the nearest", () => {
  const output = new Output();
  const writer = new PcapWriter();
  const batch = new BatchBuffer();
  batch.recorded = true;
  for (const seconds of [-1, 0xffff_ffff, 0x1_0000_0000, 18_446_744_073]) {
    batch.add(sample(FRAME));
    batch.recordedAt(seconds, 5);
  }
  for (let i = 0; i < batch.count; i++) writer.write(output, batch, i);
  const view = new DataView(output.written.slice().buffer);
  const times = [24, 24 + 31, 24 + 62, 24 + 93].map((at) => [view.getUint32(at, true), view.getUint32(at + 4, true)]);
  assertEquals(times, [[0, 0], [0xffff_ffff, 5], [0xffff_ffff, 999_999_999], [0xffff_ffff, 999_999_999]]);
});
