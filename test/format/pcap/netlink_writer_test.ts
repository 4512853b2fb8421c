import { test } from "node:test";
import { assert, assertEquals } from "@std/assert";
import { NetlinkWriter } from "../../../src/format/pcap/netlink_writer.ts";
import { Output } from "../../../src/format/output.ts";
import type { GroupEvent } from "../../../src/psample/mod.ts";
import { viewMessage } from "../../../src/psample/group.ts";
import { viewSample } from "../../../src/psample/sample_decoder.ts";
import type { SampleView } from "../../../src/psample/sample_view.ts";
import { BatchBuffer } from "../../../src/stream/batch.ts";
import { toHex } from "../../../src/wire/text.ts";
import { bytes, message, number } from "../../psample/build.ts";
import { naiveRecords, recordings } from "../../psample/recordings.ts";
import { decodeFile } from "../../support/decoding.ts";
import { record } from "../../support/recorded.ts";
import { messageOf } from "../../../src/wire/message.ts";

type Item = SampleView | GroupEvent;

function numbered(sequence: number, group = 1, little = true, type = 30): SampleView {
  const attributes = [[3, number(4, group, little)], [4, number(4, sequence, little)]] as const;
  return viewSample(messageOf(message([...attributes], { little, type }), little));
}

/** The messages of a file, without their cooked heads, in hexadecimal, and their times. */
function messages(file: Uint8Array<ArrayBuffer>): { hex: string; timeNs: bigint }[] {
  const little = file[0] === 0x4d;
  return naiveRecords(little ? file : swapped(file)).map(({ bytes, timeNs }) => ({ hex: toHex(bytes.subarray(16)), timeNs }));
}

/** A big-endian file as a little-endian one of the same messages. */
function swapped(file: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> {
  const swapped = file.slice();
  const view = new DataView(file.buffer);
  const swap = (...words: number[]): void => words.forEach((at) => swapped.subarray(at, at + 4).reverse());
  swap(0, 16, 20);
  for (let at = 24; at < file.length; at += 16 + view.getUint32(at + 8)) swap(at, at + 4, at + 8, at + 12);
  return swapped;
}

const hex = (item: Item): string => toHex(item.message!);
/** A message of the controller that names the family. */
const isFamily = (message: string): boolean => message.slice(8, 12) === "1000" || message.slice(8, 12) === "0010";
/** What {@linkcode NetlinkWriter} writes if losses are told; `undefined` for other messages. */
const told = (message: string): number | undefined =>
  message.includes("70736d70") && message.length === 48 ? parseInt(message.slice(40), 16) : undefined;

test("NetlinkWriter: header, family and record are these bytes", () => {
  const timeNs = 1784000000_000000042n;
  const event = viewMessage(messageOf(bytes("1c000000 1e00 0000 01000000 00000000 02010000 08000300 05000000")))!;
  assertEquals(
    record(new NetlinkWriter(), [event], { timeNs }),
    bytes(
      "4d3cb2a1 0200 0400 00000000 00000000 00000400 fd000000" +
        "00ae556a 2a000000 40000000 40000000 0004 0338 00000000000000000000 0010" +
        "30000000 1000 0000 00000000 00000000 01020000 0c00 0200 7073616d706c6500 0600 0100 1e000000 0800 0300 01000000" +
        "00ae556a 2a000000 2c000000 2c000000 0004 0338 00000000000000000000 0010" +
        "1c000000 1e00 0000 01000000 00000000 02010000 08000300 05000000",
    ),
  );
});

test("NetlinkWriter: what was recorded is read again, byte by byte, and the family is named before the first message", () => {
  for (const { name, items } of recordings()) {
    const file = record(new NetlinkWriter(), items);
    const all = messages(file);
    assert(isFamily(all[0]!.hex), name);
    assertEquals(all[0]!.timeNs, all[1]!.timeNs, name);
    assertEquals(all.slice(1).map(({ hex }) => hex), items.map(hex), name);
  }
});

test("NetlinkWriter: a file is in the byte order of its first message, and each message in its own", () => {
  for (const little of [true, false]) {
    const items = [numbered(0, 1, little), numbered(1, 1, little), numbered(2, 1, !little)];
    const file = record(new NetlinkWriter(), items);
    assertEquals(file[0], little ? 0x4d : 0xa1);
    const all = messages(file).map(({ hex }) => hex);
    // The family is named in both byte orders.
    assertEquals(all.map(isFamily), [true, false, false, true, false]);
    assertEquals(all.filter((hex) => !isFamily(hex)), items.map(hex));
    assertEquals(decodeFile(file).items.map(hex), items.map(hex));
  }
});

test("NetlinkWriter: the family's number is repeated when it changes, and in each file", () => {
  const writer = new NetlinkWriter();
  const items = [30, 30, 31, 30].map((type, i) => numbered(i, 1, true, type));
  for (let file = 0; file < 2; file++) {
    assertEquals(messages(record(writer, items)).map(({ hex }) => isFamily(hex)), [true, false, false, true, false, true, false]);
  }
  assertEquals(messages(record(writer, [])), []);
});

test("NetlinkWriter: losses are recorded once numbers are missing that are not lost", () => {
  /** What is recorded before each of these samples, given its number and the losses before it. */
  const tells = (...samples: [sequence: number, lost: number | undefined, group?: number][]): (number | undefined)[] => {
    const writer = new NetlinkWriter();
    const output = new Output();
    const batch = new BatchBuffer();
    for (const [sequence, lost, group] of samples) batch.add(numbered(sequence, group), lost);
    writer.begin();
    for (let i = 0; i < batch.count; i++) writer.write(output, batch, i);
    const all = messages(output.written.slice()).map(({ hex }) => hex).filter((hex) => !isFamily(hex));
    const found: (number | undefined)[] = [];
    all.forEach((hex, i) => told(hex) === undefined && found.push(i === 0 ? undefined : told(all[i - 1]!)));
    assertEquals(found.length, samples.length);
    return found;
  };
  const no = undefined;
  // The numbers show it: a gap, a late one, a repeated one, a restart, another group.
  assertEquals(tells([5, 0], [6, 0], [9, 2], [8, -1], [10, 0], [10, 0], [0, 0], [1, 0], [7, 0, 2], [8, 0, 2]), Array(10).fill(no));
  // A filter left out 1 and 2.
  assertEquals(tells([0, 0], [3, 0], [4, 0], [6, 1], [9, 0]), [no, 0, no, 1, no]);
  // It left out 1, and 2 is lost; 5 is late, so that of the next two one is recorded.
  assertEquals(tells([0, 0], [3, 1], [6, 2], [5, -1], [9, 2]), [no, 1, 2, no, 1]);
  // Each group separately, across the end of the numbers.
  assertEquals(tells([0xffff_fffe, 0], [7, 0, 2], [0, 1], [8, 0, 2], [3, 0], [9, 0, 2]), [no, no, no, no, 0, no]);
  // What numbers nothing has no gaps.
  assertEquals(tells([0, no], [0, no], [7, no]), [no, no, no]);
});
