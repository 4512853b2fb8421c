import { test } from "node:test";
import { assertEquals, assertThrows } from "@std/assert";
import { DecodeError } from "../../src/errors.ts";
import { type RecordCounts, RecordDecoder, type RecordDecoderOptions } from "../../src/format/netlink_record.ts";
import type { PcapRecord } from "../../src/format/pcap.ts";
import { type Attribute, bytes, join, message, number } from "../psample/build.ts";
import { recordings } from "../psample/recordings.ts";

function record(payload: Uint8Array, protocol = 16, littleEndian = true, cut = 0): PcapRecord {
  const bytes = join(number(2, 6, false), number(2, 824, false), new Uint8Array(10), number(2, protocol, false), payload);
  return { bytes: bytes.slice(0, bytes.length - cut), originalBytes: bytes.length, timestampNs: 0n, littleEndian };
}

function family(name: string, id: number, command = 1, little = true): Uint8Array<ArrayBuffer> {
  return message([[1, number(2, id, little)], [2, new TextEncoder().encode(`${name}\0`)]], { type: 0x10, command, little });
}

function sample(group: number, type = 30, little = true): Uint8Array<ArrayBuffer> {
  return message([[3, number(4, group, little)]], { type, little });
}

const NONE: RecordCounts = {
  records: 0,
  samples: 0,
  events: 0,
  otherProtocols: 0,
  otherMessages: 0,
  truncated: 0,
  malformed: 0,
  trailing: 0,
  lostBeforeFamily: 0,
};

/** The groups of what is decoded, the counts, and the error at the end. */
function decode(records: PcapRecord[], options: RecordDecoderOptions = {}): [number[], RecordCounts, string | undefined] {
  const decoder = new RecordDecoder(options);
  const groups = records.flatMap((record) => decoder.decode(record)).map((item) => item.group ?? -1);
  let error: string | undefined;
  try {
    decoder.end();
  } catch (caught) {
    if (!(caught instanceof DecodeError)) throw caught;
    error = caught.message;
  }
  return [groups, decoder.counts, error];
}

test("RecordDecoder passes over other protocols and families", () => {
  const records = [
    record(sample(9), 0),
    record(family("nlctrl", 0x10)),
    record(family("psample", 30)),
    record(sample(1)),
    record(sample(2, 31)),
    record(join(sample(3), sample(4, 31), sample(5))),
    record(message([], { type: 3 })),
  ];
  assertEquals(decode(records), [[1, 3, 5], { ...NONE, records: 7, samples: 3, otherProtocols: 1, otherMessages: 4 }, undefined]);
});

test("RecordDecoder learns the family from a dump of several, in both byte orders", () => {
  for (const little of [true, false]) {
    const dump = join(family("nlctrl", 0x10, 1, little), family("psample", 33, 1, little), family("devlink", 34, 1, little));
    const records = [record(dump, 16, little), record(sample(7, 33, little), 16, little)];
    assertEquals(decode(records), [[7], { ...NONE, records: 2, samples: 1, otherMessages: 2 }, undefined]);
  }
});

test("RecordDecoder keeps what comes before the family is known", () => {
  const records = [record(sample(1)), record(sample(2, 31)), record(sample(3)), record(family("psample", 30)), record(sample(4))];
  assertEquals(decode(records), [[1, 3, 4], { ...NONE, records: 5, samples: 3, otherMessages: 1 }, undefined]);
  // Room for two of the messages before: the third of them is counted, not forgotten.
  assertEquals(decode(records, { pendingBytes: 2 * sample(1).length }), [
    [1, 4],
    { ...NONE, records: 5, samples: 2, otherMessages: 1, lostBeforeFamily: 1 },
    undefined,
  ]);
});

test("RecordDecoder follows the number when the module comes again", () => {
  const records = [
    record(family("psample", 30)),
    record(sample(1)),
    record(family("psample", 30, 2)),
    record(family("devlink", 30)),
    record(sample(2)),
    record(family("psample", 31)),
    record(sample(3, 31)),
    record(sample(4, 30)),
  ];
  assertEquals(decode(records), [[1, 3], { ...NONE, records: 8, samples: 2, otherMessages: 3 }, undefined]);
});

test("RecordDecoder takes a number for granted", () => {
  const records = [record(family("psample", 30)), record(sample(1)), record(sample(2, 31))];
  assertEquals(decode(records, { familyId: 31 }), [[2], { ...NONE, records: 3, samples: 1, otherMessages: 2 }, undefined]);
});

test("RecordDecoder says at the end that the family was never named", () => {
  const records = [record(sample(1)), record(sample(2, 31)), record(sample(3, 31)), record(message([], { type: 2 }))];
  assertEquals(decode(records), [
    [],
    { ...NONE, records: 4, otherMessages: 1 },
    "Cannot decode recording at byte 0: no message in it tells the number of the psample family. " +
    "It has 3 generic netlink messages of family 31 (2), 30 (1): name psample's with --family-id N",
  ]);
  assertEquals(decode([])[2], undefined);
  assertEquals(decode([record(sample(1), 0)])[2], undefined);
});

test("RecordDecoder tells cut records from damaged ones", () => {
  const known = record(family("psample", 30));
  const two = join(sample(1), sample(2));
  assertEquals(decode([known, record(two, 16, true, 1)]), [
    [1],
    { ...NONE, records: 2, samples: 1, truncated: 1 },
    undefined,
  ]);
  assertEquals(decode([known, record(two, 16, true, 60)])[1].truncated, 1);
  const lies = sample(1);
  lies[0] = 100;
  const damaged = [
    record(lies),
    record(message([[3, bytes("00")]], { command: 2 })), // a group event whose group has a wrong size
    { ...known, bytes: known.bytes.slice(0, 15), originalBytes: 15 },
    { ...known, bytes: new Uint8Array(40), originalBytes: 40 },
    record(message([], { type: 0x10, command: 1 })),
  ];
  assertEquals(decode([known, ...damaged])[1], { ...NONE, records: 6, otherMessages: 1, malformed: 5 });
});

test("RecordDecoder reads the files of libpsample: its whole buffer is behind the message", () => {
  const records = [record(join(family("psample", 30), new Uint8Array(8000))), record(join(sample(1), bytes("ffffffffffff")))];
  assertEquals(decode(records), [[1], { ...NONE, records: 2, samples: 1, trailing: 2 }, undefined]);
});

test("RecordDecoder tells events from entries of a list", () => {
  const list: Attribute[] = [[3, number(4, 5)], [7, number(4, 1)], [4, number(4, 0)]];
  const records = [
    record(family("psample", 30)),
    record(message(list, { command: 2 })),
    record(message(list, { command: 2, portId: 77, sequence: 3, flags: 2 })),
    record(message(list, { command: 3 })),
    record(message([], { command: 1 })),
  ];
  assertEquals(decode(records), [[5, 5], { ...NONE, records: 5, events: 2, otherMessages: 2 }, undefined]);
});

test("RecordDecoder reads what kernels sent without loss", () => {
  for (const { name, decoder, records } of recordings()) {
    const { counts } = decoder;
    assertEquals([name, counts.malformed, counts.trailing, counts.lostBeforeFamily, counts.truncated], [name, 0, 0, 0, 0]);
    assertEquals([name, counts.records, counts.samples > 0], [name, records.length, true]);
  }
});

test("a DecodeError is what end throws", () => {
  const decoder = new RecordDecoder();
  decoder.decode(record(sample(1)));
  assertThrows(() => decoder.end(), DecodeError, "1 generic netlink message of family 30 (1): name");
});
