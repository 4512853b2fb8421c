import { test } from "node:test";
import { assertEquals, assertThrows } from "@std/assert";
import { DecodeError } from "../../src/errors.ts";
import { PcapReader, type PcapRecord } from "../../src/format/pcap.ts";
import { RecordDecoder } from "../../src/format/netlink_record.ts";
import { bytes, join, number } from "../psample/build.ts";
import { recordings } from "../psample/recordings.ts";

/** What a file gives, read in pieces of `size` bytes: the records before the first error, and the error. */
function read(file: Uint8Array<ArrayBuffer>, size = file.length): { records: PcapRecord[]; error: string | undefined; skipped: number } {
  const reader = new PcapReader();
  const records: PcapRecord[] = [];
  let error: string | undefined;
  try {
    for (let at = 0; at < file.length; at += size) records.push(...reader.push(file.slice(at, at + size)));
    reader.end();
  } catch (caught) {
    if (!(caught instanceof DecodeError)) throw caught;
    error = caught.message;
  }
  return { records, error, skipped: reader.skipped };
}

function pcap(little: boolean, magic: number, records: Uint8Array[], linkType = 253, snaplen = 65535): Uint8Array<ArrayBuffer> {
  const n = (size: 2 | 4, value: number): Uint8Array<ArrayBuffer> => number(size, value, little);
  const header = join(n(4, magic), n(2, 2), n(2, 4), n(4, 0), n(4, 0), n(4, snaplen), n(4, linkType));
  return join(
    header,
    ...records.map((record) => join(n(4, 1784000000), n(4, 123456), n(4, record.length), n(4, record.length + 1), record)),
  );
}

test("PcapReader reads both byte orders and both resolutions", () => {
  for (const littleEndian of [true, false]) {
    for (const [magic, timestampNs] of [[0xa1b2c3d4, 1784000000_123456000n], [0xa1b23c4d, 1784000000_000123456n]] as const) {
      const file = pcap(littleEndian, magic, [bytes("0102"), bytes(""), bytes("030405")]);
      for (let size = 1; size <= file.length; size++) {
        assertEquals(read(file, size), {
          records: [["0102", 3], ["", 1], ["030405", 4]].map(([hex, originalBytes]) => ({
            bytes: bytes(hex as string),
            originalBytes: originalBytes as number,
            timestampNs,
            littleEndian,
          })),
          error: undefined,
          skipped: 0,
        });
      }
    }
  }
});

test("PcapReader gives everything before a cut, wherever it is", () => {
  const [first] = recordings();
  const { file } = first!;
  const whole = read(file);
  assertEquals(whole.error, undefined);
  const ends: number[] = [24];
  for (const record of whole.records) ends.push(ends.at(-1)! + 16 + record.bytes.length);
  for (let size = 0; size < file.length; size++) {
    const { records, error } = read(file.slice(0, size), 100);
    const complete = ends.filter((end) => end <= size).length - 1;
    assertEquals(records, whole.records.slice(0, Math.max(complete, 0)));
    if (size === 0) assertEquals(error, "Cannot decode recording at byte 0: the file is empty");
    else if (ends.includes(size)) assertEquals(error, undefined);
    else assertEquals(error?.includes("the file is cut off here"), true, `${size}: ${error}`);
  }
});

test("PcapReader believes no length, and gives the records before it", () => {
  const good = pcap(true, 0xa1b2c3d4, [bytes("0102")]);
  for (const size of [262145, 0x10000001, 0x7fffffff, 0xffffffff]) {
    const { records, error } = read(join(good, number(4, 0), number(4, 0), number(4, size), number(4, size)));
    assertEquals([records.length, error], [1, `Cannot decode recording at byte 42: a record of ${size} bytes, the most is 262144`]);
  }
  const unlimited = read(pcap(true, 0xa1b2c3d4, [new Uint8Array(300000)], 253, 0));
  assertEquals([unlimited.records.length, unlimited.error], [1, undefined]);
});

test("PcapReader says what a file is that it cannot read", () => {
  const rows: [Uint8Array<ArrayBuffer>, string][] = [
    [pcap(true, 0xa1b2c3d4, [], 1), "link type 1 (Ethernet), not 253 (netlink): record on an nlmon device, or with psample -w"],
    [pcap(false, 0xa1b23c4d, [], 113), "link type 113 (Linux cooked capture), not 253"],
    [pcap(true, 0xa1b2c3d4, [], 147), "link type 147, not 253"],
    [bytes("1f8b0800 00000000"), "the file is compressed: unpack it first"],
    [bytes("28b52ffd 00000000"), "the file is compressed: unpack it first"],
    [new TextEncoder().encode("group 1 in-ifindex 3"), "the file is neither pcap nor pcapng"],
    [bytes("00000000"), "the file is neither pcap nor pcapng"],
    [bytes("d4c3"), "the file is cut off here: 2 bytes left, 4 expected"],
    [bytes("d4c3b2a1"), "the file is cut off here: 4 bytes left, 24 expected"],
    [bytes("0a0d0d0a"), "the file is cut off here: 4 bytes left, 12 expected"],
  ];
  for (const [file, why] of rows) assertEquals(read(file).error?.includes(why), true, `${read(file).error}, not ${why}`);
});

test("PcapReader says the same error again", () => {
  const reader = new PcapReader();
  for (const call of [() => reader.push(bytes("00000000")), () => reader.push(bytes("00")), () => reader.end()]) {
    assertThrows(call, DecodeError, "neither pcap nor pcapng");
  }
});

function pcapng(
  little: boolean,
): {
  block: (type: number, ...parts: Uint8Array[]) => Uint8Array<ArrayBuffer>;
  n: (size: 2 | 4 | 8, value: number | bigint) => Uint8Array<ArrayBuffer>;
} {
  const n = (size: 2 | 4 | 8, value: number | bigint): Uint8Array<ArrayBuffer> => number(size, value, little);
  const block = (type: number, ...parts: Uint8Array[]): Uint8Array<ArrayBuffer> => {
    const body = join(...parts);
    const padding = new Uint8Array((4 - body.length % 4) % 4);
    const size = n(4, 12 + body.length + padding.length);
    return join(n(4, type), size, body, padding, size);
  };
  return { block, n };
}

test("PcapReader reads pcapng of both byte orders, and skips other interfaces and unknown blocks", () => {
  const sections = [true, false].map((little) => {
    const { block, n } = pcapng(little);
    const option = (code: number, value: Uint8Array): Uint8Array<ArrayBuffer> =>
      join(n(2, code), n(2, value.length), value, new Uint8Array((4 - value.length % 4) % 4));
    const units = (value: bigint): Uint8Array<ArrayBuffer> => join(n(4, value >> 32n), n(4, value & 0xffffffffn));
    const packet = (from: number, time: bigint, hex: string, original: number): Uint8Array<ArrayBuffer> =>
      block(6, n(4, from), units(time), n(4, bytes(hex).length), n(4, original), bytes(hex));
    return join(
      block(0x0a0d0d0a, n(4, 0x1a2b3c4d), n(2, 1), n(2, 0), n(8, 0xffff_ffff_ffff_ffffn)),
      block(1, n(2, 253), n(2, 0), n(4, 0)), // microseconds
      block(1, n(2, 1), n(2, 0), n(4, 262144)), // Ethernet
      block(1, n(2, 253), n(2, 0), n(4, 262144), option(2, bytes("6e6c")), option(9, bytes("09")), option(0, bytes(""))),
      block(1, n(2, 253), n(2, 0), n(4, 262144), option(9, bytes("8a")), option(14, n(8, 100))), // 1/1024 s, 100 s later
      block(0x0bad, bytes("010203")),
      packet(0, 1784000000_123456n, "0102030405", 5),
      packet(1, 0n, "ffff", 2),
      packet(2, 1784000000_123456789n, "06", 9),
      packet(3, 1536n, "", 0),
      block(5, n(4, 0), new Uint8Array(8)),
      block(3, n(4, 3), bytes("070809")),
    );
  });
  const expected = [true, false].flatMap((littleEndian) => [
    { bytes: bytes("0102030405"), originalBytes: 5, timestampNs: 1784000000_123456000n, littleEndian },
    { bytes: bytes("06"), originalBytes: 9, timestampNs: 1784000000_123456789n, littleEndian },
    { bytes: bytes(""), originalBytes: 0, timestampNs: 101_500_000_000n, littleEndian },
    { bytes: bytes("070809"), originalBytes: 3, timestampNs: undefined, littleEndian },
  ]);
  const file = join(...sections);
  for (const size of [1, 3, 7, 64, file.length]) assertEquals(read(file, size), { records: expected, error: undefined, skipped: 2 });
});

test("PcapReader refuses pcapng that lies", () => {
  const { block, n } = pcapng(true);
  const section = block(0x0a0d0d0a, n(4, 0x1a2b3c4d), n(2, 1), n(2, 0), n(8, 0xffff_ffff_ffff_ffffn));
  const netlink = block(1, n(2, 253), n(2, 0), n(4, 0));
  const rows: [Uint8Array<ArrayBuffer>, string][] = [
    [join(section, n(4, 1), n(4, 0), n(4, 0)), "a pcapng block of type 1 and 0 bytes"],
    [join(section, n(4, 77), n(4, 13), n(4, 0)), "a pcapng block of type 77 and 13 bytes"],
    [join(section, n(4, 77), n(4, 0xfffffffc), n(4, 0)), "a pcapng block of type 77 and 4294967292 bytes"],
    [join(section, n(4, 77), n(4, 12), n(4, 16)), "whose two lengths differ"],
    [join(section, block(6, new Uint8Array(20))), "a packet of interface 0, which is not described"],
    [join(section, block(3, new Uint8Array(4))), "a packet of interface 0, which is not described"],
    [join(section, netlink, block(6, new Uint8Array(12), n(4, 5), n(4, 5), new Uint8Array(4))), "a packet of 5 bytes in a block of 36"],
    [join(section, block(1, n(2, 253), n(2, 0), n(4, 0), n(2, 2), n(2, 9), n(4, 0))), "a pcapng option that is longer than its block"],
    [join(section, block(1, n(2, 1), n(2, 0), n(4, 0))), "link type 1 (Ethernet), not 253"],
    [block(0x0a0d0d0a, n(4, 0), n(2, 1), n(2, 0), n(8, 0)), "a pcapng section of no byte order"],
    [join(section, netlink, n(4, 6)), "the file is cut off here: 4 bytes left, 12 expected"],
    [join(section, netlink, n(4, 6), n(4, 32), n(4, 0)), "the file is cut off here: 12 bytes left, 32 expected"],
  ];
  for (const [file, why] of rows) assertEquals(read(file).error?.includes(why), true, `${read(file).error}, not ${why}`);
});

test("PcapReader takes any bytes: records or a DecodeError", () => {
  let state = 0x2545f491;
  const random = (below: number): number => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) % below;
  };
  const files = recordings().map(({ file }) => file).filter((file) => file.length < 5000);
  for (let i = 0; i < 5000; i++) {
    const file = files[random(files.length)]!.slice();
    for (let n = random(4); n >= 0; n--) file[random(random(2) ? file.length : 60)] = random(256);
    const decoder = new RecordDecoder();
    for (const record of read(file, 1 + random(2000)).records) for (const item of decoder.decode(record)) JSON.stringify(item);
  }
});
