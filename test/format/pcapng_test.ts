import { test } from "node:test";
import { assert, assertEquals } from "@std/assert";
import { Output } from "../../src/format/output.ts";
import { Ledger } from "../../src/receive/ledger.ts";
import { type PcapngOptions, PcapngWriter } from "../../src/format/pcapng/writer.ts";
import type { Devices } from "../../src/link/device.ts";
import { BatchBuffer } from "../../src/stream/batch.ts";
import type { GroupEvent } from "../../src/psample/mod.ts";
import { viewMessage } from "../../src/psample/group.ts";
import type { SampleView } from "../../src/psample/sample_view.ts";
import { type Attribute, bytes, join, message, number } from "../psample/build.ts";
import { recordings } from "../psample/recordings.ts";
import { decodeFile, decodePieces } from "../support/decoding.ts";
import { optionNumber, optionText, pcapngBlocks } from "../support/pcapng_blocks.ts";
import { devices, record, type RecordOptions } from "../support/recorded.ts";
import { messageOf } from "../../src/wire/message.ts";

type Item = SampleView | GroupEvent;

function write(items: readonly Item[], options: PcapngOptions & RecordOptions = {}): Uint8Array<ArrayBuffer> {
  return record(new PcapngWriter(options), items, options);
}

const read = decodeFile;

/** All fields of an item. */
function whole(item: Item): unknown {
  return item.type === "sample" ? { ...item.copy(), message: item.message } : { ...item, message: item.message };
}

function sample(list: readonly Attribute[], nsid?: number, portId = 0, padLast = true, little = true): SampleView {
  return viewMessage(messageOf(message(list, { portId, little }, padLast), little), nsid) as SampleView;
}

const u16 = (value: number): Uint8Array => number(2, value);
const u32 = (value: number): Uint8Array => number(4, value);
const u64 = (value: number | bigint): Uint8Array => number(8, value);

/** A sample by its numbers. */
function numbered(group: number, sequence: number, ifindex = 3): SampleView {
  return sample([[0, u16(ifindex)], [5, u32(100)], [2, u32(1500)], [3, u32(group)], [4, u32(sequence)], [6, new Uint8Array(20)]]);
}

const DATA: Attribute = [6, bytes("020000000001 020000000002 0800 45")];
const TUNNEL: Attribute = [8, bytes("0c000000 000000000000002a 08000100 c0000201 05000300 10000000")];

/** Samples that no recording has. */
const STRANGE: readonly SampleView[] = [
  sample([]),
  sample([DATA]),
  sample([[0, u16(7)], [3, u32(1)], [4, u32(2)], [5, u32(3)], [6, bytes("")]]),
  sample([[0, u16(7)], [3, u32(1)], [4, u32(3)], [5, u32(3)], DATA], 4),
  sample([DATA, [0, u32(70001)], [1, u32(70002)], [2, u32(5)], [15, bytes("0102")]], 0, 4242),
  sample([
    [0, u16(7)],
    [1, u16(8)],
    [2, u32(9000)],
    [3, u32(0xffffffff)],
    [4, u32(0xffffffff)],
    [5, u32(0)],
    [10, u16(6)],
    [11, u64(10000)],
    [
      12,
      u64(0xffff_ffff_ffff_ffffn),
    ],
    [13, u64(0xffff_ffff_ffff_ffffn)],
    [14, u16(0x88b5)],
    DATA,
    TUNNEL,
    [15, new Uint8Array(16).fill(7)],
    [16, bytes("")],
    [17, bytes("0102")],
    [
      18,
      bytes(""),
    ],
    [17, u32(5)],
  ]),
  sample([[0, u16(7)], [16, bytes("")], [5, u32(0x40000000)], DATA]),
  sample([[0, u16(7)], [16, bytes("")], [5, u32(0)], DATA]),
  sample([[0, u16(7)], DATA, [6, bytes("aabb")], [3, u32(1)]]),
  sample([[0, u16(7)], [3, u32(1)], [6, bytes("aabbcc")]], undefined, 0, false),
  sample(
    [[0, number(2, 7, false)], [3, number(4, 9, false)], [4, number(4, 1, false)], [13, number(8, 77, false)], DATA, [17, bytes("01")]],
    1,
    0,
    true,
    false,
  ),
  // More than one option holds beside the packet.
  sample([[0, u16(7)], [17, new Uint8Array(60000).fill(1)], DATA, [18, new Uint8Array(60000).fill(2)], [
    19,
    new Uint8Array(50000).fill(3),
  ]]),
  sample([[0, u16(7)], [2, u32(65531)], [6, new Uint8Array(65531).fill(0x45)]]),
];

const EVENTS: readonly GroupEvent[] = [
  viewMessage(messageOf(message([[3, u32(9)], [7, u32(0)], [4, u32(0)]], { command: 2 }))) as GroupEvent,
  viewMessage(messageOf(message([[3, u32(0xffffffff)]], { command: 3, portId: 77 })), 3) as GroupEvent,
  viewMessage(messageOf(message([[3, number(4, 9, false)]], { command: 3, little: false }), false)) as GroupEvent,
];

test("PcapngWriter: recorded messages are read again, byte by byte", () => {
  for (const littleEndian of [true, false]) {
    for (const { name, items } of recordings()) {
      const back = read(write(items, { littleEndian }), 1000);
      assertEquals(back.error, undefined, name);
      assertEquals(back.items.map(whole), items.map(whole), name);
      assertEquals(back.counts.truncated, 0);
    }
  }
});

test("PcapngWriter: messages that no recording has are read again, byte by byte", () => {
  const items = [...STRANGE, ...EVENTS];
  for (const littleEndian of [true, false]) {
    const file = write(items, { littleEndian });
    pcapngBlocks(file);
    for (const size of [997, file.length]) {
      const back = read(file, size);
      assertEquals(back.error, undefined);
      assertEquals(back.items.map(whole), items.map(whole));
    }
  }
});

test("PcapngWriter writes each block as the draft has it", () => {
  for (const little of [true, false]) {
    const n = (size: 2 | 4 | 8, value: number | bigint): Uint8Array => number(size, value, little);
    const option = (code: number, value: Uint8Array): Uint8Array => {
      return join(n(2, code), n(2, value.length), value, new Uint8Array((4 - value.length % 4) % 4));
    };
    const text = (code: number, value: string): Uint8Array => option(code, new TextEncoder().encode(value));
    const block = (type: number, ...parts: Uint8Array[]): Uint8Array => {
      const body = join(...parts);
      return join(n(4, type), n(4, body.length + 12), body, n(4, body.length + 12));
    };
    const halves = (value: bigint): Uint8Array => join(n(4, value >> 32n), n(4, value & 0xffffffffn));
    const timestampNs = 1_784_000_000_123_456_789n;
    const item = sample([
      [0, u16(101)],
      [1, u16(103)],
      [2, u32(1500)],
      [3, u32(5)],
      [4, u32(6)],
      [5, u32(100)],
      [10, u16(2)],
      [13, u64(timestampNs)],
      DATA,
      [
        15,
        bytes("ff"),
      ],
    ], 9);
    const cut = join(item.message.subarray(0, 92), item.message.subarray(107));
    const expected = join(
      block(
        0x0a0d0d0a,
        n(4, 0x1a2b3c4d),
        n(2, 1),
        n(2, 0),
        n(8, 0xffff_ffff_ffff_ffffn),
        text(2, "h"),
        text(3, "o"),
        text(4, "psample 1"),
        n(4, 0),
      ),
      block(
        1,
        n(2, 1),
        n(2, 0),
        n(4, 262144),
        text(2, "eth1"),
        text(3, "1 in 100, group 5, nsid 9"),
        option(6, bytes("020000000003")),
        option(9, bytes("09")),
        option(2989, join(n(4, 32473), bytes("70736d70 04 07 83b2 00000009 00000067"))),
        n(4, 0),
      ),
      block(
        6,
        n(4, 0),
        halves(timestampNs),
        n(4, 15),
        n(4, 1500),
        item.data!,
        bytes("00"),
        option(2, n(4, 2)),
        option(4, n(8, 0)),
        option(5, n(8, 5n << 32n | 6n)),
        option(6, n(4, 2)),
        option(2989, join(n(4, 32473), bytes("70736d70 01 07 0000 00000009 0000005c"), cut)),
        text(1, "group 5 sample-rate 100 in-ifindex 101 in-name eth0 cookie ff nsid 9"),
        n(4, 0),
      ),
      block(0x80007073, n(4, 32473), bytes("70736d70 02 01 0000 00000000 00000000"), EVENTS[0]!.message!),
      block(
        5,
        n(4, 0),
        halves(timestampNs),
        option(2, halves(timestampNs)),
        option(3, halves(timestampNs)),
        option(4, n(8, 1)),
        option(5, n(8, 0)),
        option(8, n(8, 1)),
        text(1, "group 5 sample-rate 100 received 1"),
        n(4, 0),
      ),
    );
    const file = write([item, EVENTS[0]!], {
      littleEndian: little,
      hardware: "h",
      os: "o",
      application: "psample 1",
      devices: {
        find: (ifindex, nsid) => ({
          name: nsid === 9 ? `eth${(ifindex - 101) / 2}` : "wrong",
          type: 1,
          address: bytes("02000000000" + ifindex % 10),
        }),
      },
    });
    assertEquals(file, expected);
  }
});

test("PcapngWriter: interfaces by namespace, index and link type", () => {
  const frame: Attribute = [6, bytes("020000000001 020000000002 0800 45000014")];
  const ipv4: Attribute = [6, bytes("45000014 000000000000000000000000")];
  const proto: Attribute = [14, u16(0x0800)];
  const items = [
    sample([[0, u16(3)], frame, proto]), // 0
    sample([[0, u16(3)], ipv4, proto]), // 1: of the same device, raw
    sample([[0, u16(3)], frame, proto], 5), // 2: another namespace
    sample([[0, u16(4)], [1, u16(3)], ipv4, proto]), // 1: leaves by it
    sample([[0, u16(4)], proto]), // 3
    sample([frame, proto]), // 4: of no device
    sample([[0, u16(6)], frame, proto]), // 5: its type says raw
    sample([[0, u16(6)], proto]), // 5: without data, as the others
  ];
  const blocks = pcapngBlocks(write(items, {
    devices: devices({ 6: "tun6" }, 0xfffe),
  }));
  const of = (type: number): typeof blocks => blocks.filter((block) => block.type === type);
  assertEquals(of(1).map((block) => [optionText(block, 2), block.body[0]]), [
    ["if3", 1],
    ["if3", 101],
    ["if3", 1],
    ["if4", 1],
    ["unknown", 1],
    ["tun6", 101],
  ]);
  assertEquals(of(6).map((block) => [block.body[0], optionNumber(block, 2)]), [
    [0, 1n],
    [1, 1n],
    [2, 1n],
    [1, 2n],
    [3, 1n],
    [4, undefined],
    [5, 1n],
    [5, 1n],
  ]);
  assertEquals(of(5).map((block) => [block.body[0], optionNumber(block, 4)]), [[0, 1n], [1, 2n], [2, 1n], [3, 1n], [4, 1n], [5, 2n]]);
});

test("PcapngWriter: an empty file has an interface, for libpcap's sake, and is read as empty", () => {
  const file = write([]);
  assertEquals(pcapngBlocks(file).map((block) => block.type), [0x0a0d0d0a, 1, 5]);
  const { items, error } = read(file);
  assertEquals([items, error], [[], undefined]);
});

test("PcapngWriter: events follow the first interface, in order, and none is lost", () => {
  for (const count of [1, 63, 64, 65, 200]) {
    const items = Array.from({ length: count }, (_, i) => EVENTS[i % EVENTS.length]!);
    for (const all of [items, [...items, STRANGE[3]!, ...items]]) {
      const file = write(all);
      assertEquals(pcapngBlocks(file)[1]!.type, 1);
      assertEquals(read(file).items.map(whole), all.map(whole));
    }
  }
});

test("PcapngWriter: descriptions and comments contain what no field does", () => {
  const blocks = pcapngBlocks(write([...STRANGE], {}));
  assertEquals(
    blocks.filter((block) => block.type === 1).map((block) => optionText(block, 3)),
    [
      undefined,
      "1 in 3, group 1",
      "1 in 3, group 1, nsid 4",
      "nsid 0",
      "group 4294967295",
      "group 9, nsid 1",
      undefined,
    ],
  );
  const comments = blocks.filter((block) => block.type === 6).map((block) => optionText(block, 1)?.slice(0, 400));
  assertEquals(comments.slice(0, 9), [
    undefined,
    undefined,
    "group 1 sample-rate 3",
    "group 1 sample-rate 3 nsid 4",
    "in-ifindex 70001 cookie 0102 nsid 0 sender 4242",
    "group 4294967295 sample-rate 0 in-ifindex 7 out-tc-occ 10000 latency 18446744073709551615 probability 0 " +
    "cookie 07070707070707070707070707070707 tunnel-id 42 tunnel-src 192.0.2.1 tunnel-tos 16 attr-17 0102 attr-18 - attr-17 05000000",
    "sample-rate 1073741824 probability 0.25 one-in 4",
    "sample-rate 0 probability 0",
    "group 1",
  ]);
  const long = blocks.filter((block) => block.type === 6)[11]!;
  assertEquals(optionText(long, 1)!.length, 65535);
});

test("PcapngWriter: drop counts add up to the ledger, for any samples", () => {
  let seed = 12345;
  const random = (most: number): number => {
    seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
    return Math.floor(seed / 2 ** 32 * most);
  };
  for (let round = 0; round < 100; round++) {
    const ledger = new Ledger();
    const items: Item[] = [];
    const next = [0, 0xfffffff0, 1000];
    for (let i = 0; i < 60; i++) {
      const group = random(3);
      if (random(8) === 0) next[group] = (next[group]! + random(5)) >>> 0;
      // Some are late by one.
      const late = random(10) === 0 ? 1 : 0;
      items.push(numbered(group, (next[group]! + late) >>> 0, 3 + random(2)));
      if (late) items.push(numbered(group, next[group]!, 3));
      next[group] = (next[group]! + 1 + late) >>> 0;
      if (random(50) === 0) {
        items.push(viewMessage(messageOf(message([[3, u32(group)], [7, u32(0)], [4, u32(0)]], { command: 2 }))) as GroupEvent);
        next[group] = 0;
      }
    }
    for (const item of items) item.type === "sample" ? ledger.sample(item) : ledger.event(item);
    const { lost, received } = ledger.stats(0);
    const blocks = pcapngBlocks(write(items, { dropped: 17 }));
    const statistics = blocks.filter((block) => block.type === 5);
    const sum = (code: number): number => statistics.reduce((sum, block) => sum + Number(optionNumber(block, code) ?? 0n), 0);
    assertEquals([sum(4), sum(8), sum(7)], [received, received, 17]);
    const told = blocks.filter((block) => block.type === 6).reduce((sum, block) => sum + Number(optionNumber(block, 4)), 0);
    assert(told >= lost, `round ${round}: told ${told}, lost ${lost}`);
    assertEquals(sum(5), lost);
    if (ledger.stats(0).groups.every((group) => group.late === 0)) assertEquals(told, lost);
  }
});

test("PcapngWriter: a late sample takes back what was recorded before", () => {
  // 2 arrives after 3: recorded as lost, then not; the next gap is recorded as one smaller.
  const blocks = pcapngBlocks(write([0, 1, 3, 2, 4, 9, 10].map((sequence) => numbered(1, sequence))));
  assertEquals(blocks.filter((block) => block.type === 6).map((block) => optionNumber(block, 4)), [0n, 0n, 1n, 0n, 0n, 3n, 0n]);
  assertEquals(optionNumber(blocks.at(-1)!, 5), 4n);
});

test("PcapngWriter: a producer that numbers nothing has no drop counts; what the socket dropped is recorded once in each file", () => {
  const zero = sample([[0, u16(3)], [3, u32(30)], [4, u32(0)], [5, u32(1)], [16, bytes("")], DATA]);
  const writer = new PcapngWriter();
  const period = { startNs: 5n, endNs: 7n };
  const files = [9, 0, 4].map((dropped) => record(writer, [zero, zero], { dropped, ending: { period } }));
  for (const file of files) {
    assertEquals(pcapngBlocks(file).filter((block) => block.type === 6).map((block) => optionNumber(block, 4)), [undefined, undefined]);
  }
  assertEquals(files.map((file) => optionNumber(pcapngBlocks(file).at(-1)!, 7)), [9n, 0n, 4n]);
  // The end of the source may know of more.
  const { stats } = { stats: { ...new Ledger().stats(0), dropped: 15 } };
  assertEquals(optionNumber(pcapngBlocks(record(writer, [zero], { ending: { period, stats } })).at(-1)!, 7), 2n);
  // Whether another recording's socket dropped anything is not known.
  assertEquals(optionNumber(pcapngBlocks(record(new PcapngWriter(), [zero])).at(-1)!, 7), undefined);
});

test("PcapngWriter: what is lost between two files is recorded in the second", () => {
  const writer = new PcapngWriter();
  const ledger = new Ledger();
  const files = [[0, 1, 3], [5, 6], [9]].map((sequences) => {
    return record(writer, sequences.map((sequence) => numbered(1, sequence)), { ledger, ending: { period: { startNs: 5n, endNs: 7n } } });
  });
  assertEquals(files.map((file) => optionNumber(pcapngBlocks(file).at(-1)!, 5)), [1n, 1n, 2n]);
  for (const file of files) {
    assertEquals(read(file).error, undefined);
    const statistics = pcapngBlocks(file).at(-1)!;
    assertEquals([...statistics.options.slice(0, 2).map(({ value }) => Number(value[4]))], [5, 7]);
  }
});

test("PcapngWriter: a device that is renamed is a new interface, and the old one if it is named as before", () => {
  let name = "eth0";
  const writer = new PcapngWriter();
  const there: Devices = { find: (ifindex) => ({ name: `${name}.${ifindex}`, type: 1, address: undefined }) };
  const output = new Output();
  writer.begin(output);
  const batch = new BatchBuffer();
  for (const [to, ifindex] of [["eth0", 3], ["eth0", 3], ["wan", 3], ["wan", 4], ["eth0", 3], ["wan", 3]] as const) {
    name = to;
    batch.clear();
    batch.devices = there;
    batch.add(numbered(1, 0, ifindex), 0);
    writer.enter(batch);
    writer.write(output, batch, 0);
  }
  writer.end(output, {});
  const blocks = pcapngBlocks(output.written.slice());
  assertEquals(blocks.filter((block) => block.type === 1).map((block) => optionText(block, 2)), ["eth0.3", "wan.3", "wan.4"]);
  assertEquals(blocks.filter((block) => block.type === 6).map((block) => block.body[0]), [0, 0, 1, 2, 0, 1]);
  assertEquals(blocks.filter((block) => block.type === 5).map((block) => optionNumber(block, 4)), [3n, 2n, 1n]);
});

test("PcapngWriter: devices of two machines are kept apart, whatever their indexes and names", () => {
  const writer = new PcapngWriter({ littleEndian: true });
  const hosts = ["eth0", "eth0"].map((name): Devices => ({ find: () => ({ name, type: 1, address: undefined }) }));
  const output = new Output();
  writer.begin(output);
  const batch = new BatchBuffer();
  for (const host of [0, 1, 0]) {
    batch.clear();
    batch.add(numbered(1, 0, 3), 0);
    batch.recordedOn({ device: undefined, devices: hosts[host]! });
    writer.write(output, batch, 0);
  }
  const blocks = pcapngBlocks(output.written.slice());
  const machines = blocks.filter((block) => block.type === 1).map((block) => {
    return block.options.find(({ code }) => code === 2989)!.value.slice(10, 12).join();
  });
  assertEquals(new Set(machines).size, 2);
  assertEquals(blocks.filter((block) => block.type === 6).map((block) => block.body[0]), [0, 1, 0]);
});

test("PcapngWriter: beyond a bound, devices share one interface", () => {
  const items = Array.from({ length: 16_400 }, (_, i) => sample([[0, u32(100_000 + i)], [3, u32(1)], [4, u32(i)], [5, u32(1)]]));
  const blocks = pcapngBlocks(write([...items, items[0]!]));
  const interfaces = blocks.filter((block) => block.type === 1);
  assertEquals([interfaces.length, blocks.filter((block) => block.type === 5).length], [16_385, 16_385]);
  assertEquals(optionText(interfaces.at(-1)!, 3), "more than 16384 devices");
  const last = blocks.filter((block) => block.type === 6).slice(-3).map(({ body, little }) => {
    return new DataView(body.buffer, body.byteOffset).getUint32(0, little);
  });
  assertEquals(last, [16_384, 16_384, 0]);
  const { items: back } = read(write(items.slice(0, 20)));
  assertEquals(back.map(whole), items.slice(0, 20).map(whole));
});

test("everything before a cut of such a file is read, wherever it is", () => {
  const items = [...recordings().find(({ name }) => name === "tun.new.pcap")!.items, ...STRANGE.slice(2, 6), EVENTS[1]!];
  const file = write(items);
  const ends: number[] = [];
  const view = new DataView(file.buffer);
  for (let at = 0; at < file.length;) ends.push(at += view.getUint32(at + 4, true));
  const kinds = pcapngBlocks(file).map((block) => block.type);
  for (let size = 0; size < file.length; size++) {
    const { items: back, error } = read(file.slice(0, size), 300);
    const complete = ends.filter((end, i) => end <= size && (kinds[i] === 6 || kinds[i] === 0x80007073)).length;
    assertEquals(back.length, complete);
    assertEquals(back.map(whole), items.slice(0, complete).map(whole));
    if (size === 0) assert(error?.includes("the file is empty"));
    else if (ends.includes(size)) assertEquals(error, undefined);
    else assert(error?.includes("the file is cut off here"), `${size}: ${error}`);
  }
});

test("a damaged file of packets gives values or a DecodeError", () => {
  const files = [
    write([...STRANGE.filter((item) => item.message.length < 1000), ...EVENTS]),
    write(recordings().find(({ name }) => name === "geneve.new.pcap")!.items),
  ];
  let seed = 99;
  const random = (most: number): number => {
    seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
    return Math.floor(seed / 2 ** 32 * most);
  };
  for (let round = 0; round < 4000; round++) {
    const file = files[round % 2]!.slice();
    for (let i = random(4); i >= 0; i--) file[random(file.length)] = random(3) === 0 ? 0xff : random(256);
    decodePieces([file], (entry) => JSON.stringify(entry));
  }
});

test("a packet that another tool cut is cut in the sample too", () => {
  const item = sample([[0, u16(7)], [2, u32(1500)], [3, u32(1)], [4, u32(3)], [6, bytes("0102030405060708090a0b")], [13, u64(5)], [
    15,
    bytes("aa"),
  ]]);
  const file = write([item]);
  // As editcap -s 5 writes it: shorter, the original length as it was.
  const whole = new DataView(file.buffer);
  const section = whole.getUint32(4, true);
  const start = section + whole.getUint32(section + 4, true);
  assertEquals(new DataView(file.buffer).getUint32(start, true), 6);
  const size = new DataView(file.buffer).getUint32(start + 4, true);
  const cut = join(file.subarray(0, start + 28), bytes("0102030405 000000"), file.subarray(start + 40));
  const view = new DataView(cut.buffer);
  view.setUint32(start + 4, size - 4, true);
  view.setUint32(start + size - 8, size - 4, true);
  view.setUint32(start + 20, 5, true);
  const { items: [back], error, counts } = read(cut);
  assertEquals(error, undefined);
  assertEquals({ ...(back as SampleView).copy() }, { ...item.copy(), data: bytes("0102030405") });
  assertEquals(counts.truncated, 1);
});
