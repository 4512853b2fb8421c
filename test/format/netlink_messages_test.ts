import { test } from "node:test";
import { assertEquals } from "@std/assert";
import { NO_RECORDS, type RecordCounts } from "../../src/format/record_counts.ts";
import type { RecordingDecoderOptions } from "../../src/format/recording_decoder.ts";
import { type Attribute, bytes, join, message, number } from "../psample/build.ts";
import { recordings } from "../psample/recordings.ts";
import { netlinkRecord, pcapFile, type PcapRecordParts } from "../support/capture_files.ts";
import { decodeFile, decodePieces } from "../support/decoding.ts";

function record(payload: Uint8Array, protocol = 16, cut = 0): PcapRecordParts {
  const bytes = netlinkRecord(payload, protocol);
  return { bytes: bytes.slice(0, bytes.length - cut), originalBytes: bytes.length };
}

function family(name: string, id: number, command = 1, little = true): Uint8Array<ArrayBuffer> {
  return message([[1, number(2, id, little)], [2, new TextEncoder().encode(`${name}\0`)]], { type: 0x10, command, little });
}

function sample(group: number, type = 30, little = true): Uint8Array<ArrayBuffer> {
  return message([[3, number(4, group, little)]], { type, little });
}

/** The groups of decoded samples, the counts, and the error at the end. */
function decode(
  records: readonly PcapRecordParts[],
  options: RecordingDecoderOptions = {},
  little = true,
): [number[], RecordCounts, string | undefined] {
  const { items, counts, error } = decodePieces([pcapFile(records, { little })], ({ group }) => group ?? -1, options);
  return [[...items], counts, error];
}

test("netlink messages: skips other protocols and families", () => {
  const records = [
    record(sample(9), 0),
    record(family("nlctrl", 0x10)),
    record(family("psample", 30)),
    record(sample(1)),
    record(sample(2, 31)),
    record(join(sample(3), sample(4, 31), sample(5))),
    record(message([], { type: 3 })),
  ];
  assertEquals(decode(records), [[1, 3, 5], { ...NO_RECORDS, records: 7, samples: 3, otherProtocols: 1, otherMessages: 4 }, undefined]);
});

test("netlink messages: learns the family from a dump of several, in both byte orders", () => {
  for (const little of [true, false]) {
    const dump = join(family("nlctrl", 0x10, 1, little), family("psample", 33, 1, little), family("devlink", 34, 1, little));
    const records = [record(dump), record(sample(7, 33, little))];
    assertEquals(decode(records, {}, little), [[7], { ...NO_RECORDS, records: 2, samples: 1, otherMessages: 2 }, undefined]);
  }
});

test("netlink messages: keeps what arrives before the family is known", () => {
  const records = [record(sample(1)), record(sample(2, 31)), record(sample(3)), record(family("psample", 30)), record(sample(4))];
  assertEquals(decode(records), [[1, 3, 4], { ...NO_RECORDS, records: 5, samples: 3, otherMessages: 1 }, undefined]);
  // Room for two of the earlier messages: the third is counted, not forgotten.
  assertEquals(decode(records, { pendingBytes: 2 * sample(1).length }), [
    [1, 4],
    { ...NO_RECORDS, records: 5, samples: 2, otherMessages: 1, lostBeforeFamily: 1 },
    undefined,
  ]);
});

test("netlink messages: follows the number when the module is reloaded", () => {
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
  assertEquals(decode(records), [[1, 3], { ...NO_RECORDS, records: 8, samples: 2, otherMessages: 3 }, undefined]);
});

test("netlink messages: uses a given number", () => {
  const records = [record(family("psample", 30)), record(sample(1)), record(sample(2, 31))];
  assertEquals(decode(records, { familyId: 31 }), [[2], { ...NO_RECORDS, records: 3, samples: 1, otherMessages: 2 }, undefined]);
});

test("netlink messages: says at the end that the family was never named", () => {
  const records = [record(sample(1)), record(sample(2, 31)), record(sample(3, 31)), record(message([], { type: 2 }))];
  assertEquals(decode(records), [
    [],
    { ...NO_RECORDS, records: 4, otherMessages: 4 },
    "Cannot decode recording at byte 0: it does not contain the number of the psample family. " +
    "It has 3 generic netlink messages of family 31 (2), 30 (1)",
  ]);
  assertEquals(decode([])[2], undefined);
  assertEquals(decode([record(sample(1), 0)])[2], undefined);
});

test("netlink messages: distinguishes cut records from damaged ones", () => {
  const known = record(family("psample", 30));
  const two = join(sample(1), sample(2));
  assertEquals(decode([known, record(two, 16, 1)]), [
    [1],
    { ...NO_RECORDS, records: 2, samples: 1, truncated: 1 },
    undefined,
  ]);
  assertEquals(decode([known, record(two, 16, 60)])[1].truncated, 1);
  const lies = sample(1);
  lies[0] = 100;
  const damaged = [
    record(lies),
    record(message([[3, bytes("00")]], { command: 2 })), // a group event whose group has a wrong size
    { ...known, bytes: known.bytes.slice(0, 15), originalBytes: 15 },
    { ...known, bytes: new Uint8Array(40), originalBytes: 40 },
    record(message([], { type: 0x10, command: 1 })),
  ];
  assertEquals(decode([known, ...damaged])[1], { ...NO_RECORDS, records: 6, otherMessages: 1, malformed: 5 });
});

test("netlink messages: reads the files of libpsample: its whole buffer is behind the message", () => {
  const records = [record(join(family("psample", 30), new Uint8Array(8000))), record(join(sample(1), bytes("ffffffffffff")))];
  assertEquals(decode(records), [[1], { ...NO_RECORDS, records: 2, samples: 1, trailing: 2 }, undefined]);
});

test("netlink messages: distinguishes events from entries of a list", () => {
  const list: Attribute[] = [[3, number(4, 5)], [7, number(4, 1)], [4, number(4, 0)]];
  const records = [
    record(family("psample", 30)),
    record(message(list, { command: 2 })),
    record(message(list, { command: 2, portId: 77, sequence: 3, flags: 2 })),
    record(message(list, { command: 3 })),
    record(message([], { command: 1 })),
  ];
  assertEquals(decode(records), [[5, 5], { ...NO_RECORDS, records: 5, events: 2, otherMessages: 2 }, undefined]);
});

test("netlink messages: what kernels sent is read without loss", () => {
  for (const { name, file, records } of recordings()) {
    const { counts } = decodeFile(file);
    assertEquals([name, counts.malformed, counts.trailing, counts.lostBeforeFamily, counts.truncated], [name, 0, 0, 0, 0]);
    assertEquals([name, counts.records, counts.samples > 0], [name, records.length, true]);
  }
});

test("netlink messages: what waits for the family is bounded in bytes and in families", () => {
  const all = Array.from({ length: 131_072 }, (_, i) => message([], { type: 17 + i % 0xff00 }));
  const records = Array.from({ length: 128 }, (_, i) => record(join(...all.slice(i * 1024, (i + 1) * 1024))));
  // Two or three of them are of psample's number: the first one waits, the others have no room.
  const [groups, counts] = decode([...records, record(family("psample", 30)), record(sample(1))], { pendingBytes: 1000 });
  assertEquals([groups, counts.samples, counts.lostBeforeFamily], [[-1, 1], 2, 2]);
  assertEquals(counts.otherMessages, 131_072 - 3);
});
