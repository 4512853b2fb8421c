/** Recordings as a source: entries, their devices, and their times. */
import { readFileSync, writeFileSync } from "node:fs";
import { spawnSync } from "node:child_process";
import { open } from "node:fs/promises";
import { join as joinPath } from "node:path";
import process from "node:process";
import { test } from "node:test";
import { assert, assertEquals, assertRejects, assertStrictEquals } from "@std/assert";
import { DecodeError, SystemError } from "../../src/errors.ts";
import { NetlinkWriter } from "../../src/format/pcap/netlink_writer.ts";
import { PcapWriter } from "../../src/format/pcap/writer.ts";
import { PcapngWriter } from "../../src/format/pcapng/writer.ts";
import type { Device, Devices } from "../../src/link/device.ts";
import type { GroupEvent } from "../../src/psample/mod.ts";
import { viewMessage } from "../../src/psample/group.ts";
import { viewSample } from "../../src/psample/sample_decoder.ts";
import type { SampleView } from "../../src/psample/sample_view.ts";
import { readRecording, RecordingFile } from "../../src/receive/recording.ts";
import { DescriptorInput } from "../../src/receive/recording_input.ts";
import type { Batch } from "../../src/stream/batch.ts";
import { FakeFile } from "../fake_files.ts";
import { FakeSys } from "../fake_sys.ts";
import { type Attribute, bytes, join, message, number } from "../psample/build.ts";
import { recordings } from "../psample/recordings.ts";
import { netlinkRecord, pcapFile, pcapngParts } from "../support/capture_files.ts";
import { inDirectory } from "../support/directory.ts";
import { pieces, readAll, type Reading, readPieces } from "../support/reading.ts";
import { devices, record } from "../support/recorded.ts";
import { toHex } from "../../src/wire/text.ts";
import { messageOf } from "../../src/wire/message.ts";

const GOLDEN = new URL("../golden/", import.meta.url);
const SIZES = [undefined, 7] as const;

function golden(name: string): Uint8Array<ArrayBuffer> {
  return new Uint8Array(readFileSync(new URL(name, GOLDEN)));
}

function family(id: number, little = true, name = "psample"): Uint8Array<ArrayBuffer> {
  return message([[1, number(2, id, little)], [2, new TextEncoder().encode(`${name}\0`)]], { type: 0x10, command: 1, little });
}

function sampleMessage(sequence: number, group = 1, type = 30, little = true, ...more: Attribute[]): Uint8Array<ArrayBuffer> {
  return message([[3, number(4, group, little)], [4, number(4, sequence, little)], ...more], { type, little });
}

function numbered(sequence: number, group = 1, ...more: Attribute[]): SampleView {
  return viewSample(messageOf(sampleMessage(sequence, group, 30, true, ...more)));
}

const sequences = ({ entries }: Reading): (number | undefined)[] => entries.map(({ sequence }) => sequence);

test("readRecording() yields what real kernels sent, whole and in pieces of 7 bytes", async () => {
  for (const { name, file, items } of recordings()) {
    for (const size of SIZES) {
      const read = await readPieces(file, size);
      assertEquals(read.error, undefined, name);
      assertEquals(read.entries.map(({ message }) => message), items.map(({ message }) => toHex(message!)), name);
      assertEquals(read.entries.map(({ json }) => json), items.map((item) => JSON.stringify(item)), name);
    }
  }
});

/** Files that are odd, but valid: their samples, and the records that are skipped. */
const ODD: Readonly<Record<string, { samples: number; groups: number[]; passed: number; firstNs: bigint }>> = {
  "be.pcap": { samples: 1, groups: [5], passed: 0, firstNs: 1700000001_123456000n },
  "be-rewritten-on-le.pcap": { samples: 1, groups: [5], passed: 0, firstNs: 1700000001_123456000n },
  "pb.le.pcapng": { samples: 2, groups: [5, 5], passed: 0, firstNs: 1700000000_123456000n },
  "sll.pcap": { samples: 2, groups: [5, 5], passed: 0, firstNs: 1700000001_123456000n },
  "real-tcpdump-any-sll.pcap": { samples: 2, groups: [5, 5], passed: 37, firstNs: 1795733622_475910659n },
  "real-netsniff-ng-a1b2cd34.pcap": { samples: 2, groups: [5, 5], passed: 18, firstNs: 1795733622_475910659n },
};

test("readRecording() reads odd but valid files, whole and in pieces of 7 bytes", async () => {
  for (const [name, { samples, groups, passed, firstNs }] of Object.entries(ODD)) {
    for (const size of SIZES) {
      const { entries, error, source: { counts } } = await readPieces(golden(`odd/${name}`), size);
      assertEquals([error, entries.length, counts.samples, counts.malformed], [undefined, samples, samples, 0], name);
      assertEquals(entries.map(({ group }) => group), groups, name);
      assertEquals(counts.otherPackets + counts.otherProtocols + counts.otherMessages, passed, name);
      assertEquals(entries[0]!.timeNs, firstNs, name);
    }
  }
});

test("readRecording(): names belong to the section and the interface, and are recorded again", async () => {
  for (const name of ["two-hosts-cat.pcapng", "two-hosts-mergecap.pcapng"]) {
    for (const size of SIZES) {
      const file = golden(`odd/${name}`);
      const read = await readPieces(file, size);
      assertEquals(read.entries.map(({ device }) => device), ["uplink-A", "uplink-A", "storage-B", "storage-B"], name);
      const again = await readPieces(await rewrite(file, size));
      assertEquals(again.entries.map(({ device, inName }) => [device, inName]), [
        ["uplink-A", "uplink-A"],
        ["uplink-A", "uplink-A"],
        ["storage-B", "storage-B"],
        ["storage-B", "storage-B"],
      ]);
      assertEquals(again.entries.map(({ message }) => message), read.entries.map(({ message }) => message));
    }
  }
});

/** A recording, recorded again as pcapng. */
async function rewrite(file: Uint8Array, size?: number): Promise<Uint8Array<ArrayBuffer>> {
  const { Output } = await import("../../src/format/output.ts");
  const output = new Output();
  const writer = new PcapngWriter();
  writer.begin(output);
  const source = await readRecording(pieces(file, size));
  for await (const batch of source.lentBatches()) {
    writer.enter(batch);
    for (let i = 0; i < batch.count; i++) writer.write(output, batch, i);
  }
  writer.end(output, { stats: source.stats() });
  return output.written.slice();
}

test("readRecording() reads pcap of every kind that libpcap or Wireshark read", async () => {
  const records = [family(30), sampleMessage(1), sampleMessage(2)].map((message, i) => ({
    seconds: 1784000000 + i,
    fraction: 5,
    bytes: netlinkRecord(message),
    originalBytes: netlinkRecord(message).length + i,
  }));
  const kinds: [Parameters<typeof pcapFile>[1], bigint][] = [
    [{}, 5000n],
    [{ magic: 0xa1b23c4d }, 5n],
    [{ version: [2, 3] }, 5000n],
    [{ version: [2, 3], swapped: true }, 5000n],
    [{ version: [2, 2], swapped: true }, 5000n],
    [{ version: [543, 0], swapped: true }, 5000n],
    // Alexey Kuznetsov's, SuSE 6.3, Red Hat 6.1, Nokia.
    [{ magic: 0xa1b2cd34, more: new Uint8Array(8) }, 5000n],
    [{ magic: 0xa1b2cd34, more: new Uint8Array(12) }, 5000n],
    [{ more: new Uint8Array(8) }, 5000n],
    [{ more: new Uint8Array(4) }, 5000n],
    [{ linkType: 113 }, 5000n],
    [{ linkType: 0x0400_0000 + 253 }, 5000n],
  ];
  for (const little of [true, false]) {
    for (const [options, ns] of kinds) {
      for (const size of SIZES) {
        const read = await readPieces(pcapFile(records, { ...options, little }), size);
        const what = `${JSON.stringify(options)} ${little} ${size}: ${read.error}`;
        assertEquals(sequences(read), [1, 2], what);
        assertEquals(read.entries.map(({ timeNs }) => timeNs), [1784000001_000000000n + ns, 1784000002_000000000n + ns], what);
        assertEquals(read.source.counts.truncated, 2, what);
      }
    }
  }
  for (
    const [options, why] of [
      [{ magic: 0xa1e2cb12 }, "neither pcap nor pcapng"],
      [{ magic: 0xa1b234cd }, "neither pcap nor pcapng"],
      [{ version: [2, 5] }, "pcap of version 2.5"],
      [{ version: [3, 0] }, "pcap of version 3.0"],
      [{ version: [1, 2] }, "pcap of version 1.2"],
      [{ version: [543, 1] }, "pcap of version 543.1"],
      [{ linkType: 147 }, "link type 147: neither netlink messages nor packets"],
    ] as const
  ) {
    const { entries, error } = await readPieces(pcapFile(records, options));
    assertEquals([entries.length, error?.includes(why)], [0, true], `${error}, not ${why}`);
  }
});

test("readRecording() reads netlink from cooked captures of both versions, and skips everything else", async () => {
  const cooked2 = (payload: Uint8Array, hardware = 824): Uint8Array =>
    join(number(2, 16, false), number(2, 0), number(4, 2, false), number(2, hardware, false), new Uint8Array(10), payload);
  const ip = join(number(2, 0, false), number(2, 1, false), new Uint8Array(10), number(2, 0x0800, false), new Uint8Array(40));
  const one = pcapFile([family(30), sampleMessage(1)].map((message) => ({ bytes: netlinkRecord(message) })).concat({ bytes: ip }), {
    linkType: 113,
  });
  const two = pcapFile(
    [{ bytes: cooked2(family(30)) }, { bytes: cooked2(new Uint8Array(40), 1) }, { bytes: cooked2(sampleMessage(1)) }],
    { linkType: 276 },
  );
  for (const file of [one, two]) {
    const read = await readPieces(file);
    assertEquals([sequences(read), read.error, read.source.counts.otherPackets], [[1], undefined, 1]);
  }
  const nothing = await readPieces(pcapFile([{ bytes: ip }], { linkType: 113 }));
  assert(nothing.error?.includes("link type 113 (Linux cooked capture)"), nothing.error);
});

test("readRecording(): the length of a message shows its byte order, whatever that of the file", async () => {
  for (const fileIsLittle of [true, false]) {
    const records = [
      family(30, false),
      sampleMessage(1, 1, 30, false),
      join(sampleMessage(2, 1, 30, false), sampleMessage(3, 1, 30, false)),
    ];
    const mixed = [...records, sampleMessage(4, 1, 30, true)].map((message) => ({ bytes: netlinkRecord(message) }));
    const read = await readPieces(pcapFile(mixed, { little: fileIsLittle }));
    assertEquals([sequences(read), read.source.counts.malformed], [[1, 2, 3, 4], 0]);
  }
});

test("readRecording(): family numbers belong to the interface", async () => {
  const { section, interface: netlink, packet } = pcapngParts(true);
  const message = (id: number, bytes: Uint8Array): Uint8Array => packet(id, 0n, netlinkRecord(bytes));
  const file = join(
    section(),
    netlink(253),
    netlink(253),
    message(0, family(30)),
    message(1, family(31)),
    message(1, family(30, true, "devlink")),
    message(0, sampleMessage(1)),
    message(1, sampleMessage(2, 1, 31)),
    // Another family of that machine.
    message(1, sampleMessage(3)),
    message(0, sampleMessage(4, 1, 31)),
    // Another section is another machine.
    section(),
    netlink(253),
    message(0, sampleMessage(5, 1, 32)),
    message(0, sampleMessage(6)),
    message(0, family(32)),
  );
  for (const size of SIZES) assertEquals(sequences(await readPieces(file, size)), [1, 2, 5]);
});

test("readRecording(): without the family's number, the error says which families the recording contains", async () => {
  const file = pcapFile(
    [sampleMessage(1), sampleMessage(2), sampleMessage(3, 1, 31)].map((message) => ({ bytes: netlinkRecord(message) })),
  );
  const read = await readPieces(file);
  assertEquals(read.entries, []);
  assertEquals(
    read.error,
    "Cannot decode recording at byte 0: it does not contain the number of the psample family. " +
      "It has 3 generic netlink messages of family 30 (2), 31 (1)",
  );
  assertEquals(sequences(await readPieces(file, undefined, { familyId: 30 })), [1, 2]);
});

test(
  "readRecording(): an error names the file",
  inDirectory(async (at) => {
    // A name that would reverse the text after it.
    writeFileSync(at("a\u202eb"), "no recording");
    const recording = await readRecording(at("a\u202eb"));
    const { message } = await assertRejects(async () => void await recording.read(), DecodeError);
    assertEquals(
      message,
      `${at("a")}\\xe2\\x80\\xaeb: Cannot decode recording at byte 0: the file is neither pcap nor pcapng`,
    );
  }),
);

test("readRecording(): times belong to the interface, and are sensible before 1970 and in 2554", async () => {
  const { section, interface: netlink, packet, option, n } = pcapngParts(true);
  const at = (id: number, units: bigint): Uint8Array => packet(id, units, netlinkRecord(sampleMessage(1)));
  const most = 0xffff_ffff_ffff_ffffn;
  const file = join(
    section(),
    netlink(253),
    netlink(253, option(9, bytes("09"))),
    netlink(253, option(9, bytes("8a")), option(14, n(8, -100n & most))), // 1/1024 s, 100 s earlier
    netlink(253, option(9, bytes("0c"))), // picoseconds
    netlink(253, option(9, bytes("00")), option(14, n(8, 0x7fff_ffff_ffff_ffffn))),
    netlink(253, option(9, bytes("7f"))),
    netlink(253, option(9, bytes("ff"))),
    packet(0, 0n, netlinkRecord(family(30))),
    at(0, 1784000000_123456n),
    at(1, 1784000000_123456789n),
    at(2, 1536n),
    at(2, 1537n),
    at(2, 200n * 1024n),
    at(3, 1784000_123456789012n),
    at(1, most),
    at(4, most),
    at(5, most),
    at(6, most),
    at(0, most),
  );
  const end = 253402300799n * 1_000_000_000n;
  const expected = [
    1784000000_123456000n,
    1784000000_123456789n,
    -98_500_000_000n,
    -98_500_000_000n + 976_562n,
    100_000_000_000n,
    1784000_123456789n,
    most,
    end,
    0n,
    0n,
    end,
  ];
  for (const size of SIZES) {
    const { entries, error } = await readPieces(file, size, { familyId: 30 });
    assertEquals(error, undefined);
    assertEquals(entries.map(({ timeNs }) => timeNs - timeNs % (timeNs > end - 1_000_000_000n ? 1_000_000_000n : 1n)), expected);
  }
  // A fraction of more than a second is not cut.
  const [entry] = (await readPieces(pcapFile([{ seconds: 5, fraction: 2_500_000, bytes: netlinkRecord(sampleMessage(1)) }]), undefined, {
    familyId: 30,
  })).entries;
  assertEquals(entry!.timeNs, 7_500_000_000n);
});

test("readRecording() reads obsolete packet blocks and simple packets, in both byte orders", async () => {
  for (const little of [true, false]) {
    const { section, interface: netlink, block, n, packet } = pcapngParts(little);
    const old = netlinkRecord(sampleMessage(2, 1, 30, little));
    const simple = netlinkRecord(sampleMessage(3, 1, 30, little));
    const file = join(
      section(1, 2),
      netlink(253),
      packet(0, 7_000_000n, netlinkRecord(family(30, little))),
      block(2, n(2, 0), n(2, 0xffff), n(4, 0), n(4, 9_000_001), n(4, old.length), n(4, old.length), old),
      block(3, n(4, simple.length), simple),
    );
    const read = await readPieces(file, 7);
    assertEquals(read.entries.map(({ sequence, timeNs }) => [sequence, timeNs]), [[2, 9_000_001_000n], [3, 9_000_001_000n]]);
  }
  for (const [major, minor] of [[1, 1], [1, 3], [2, 0], [0, 9]] as const) {
    const { error } = await readPieces(pcapngParts(true).section(major, minor));
    assert(error?.includes(`pcapng of version ${major}.${minor}`), error);
  }
});

test("readRecording() reports losses: from gaps in the numbers of netlink messages, and from counts recorded with packets", async () => {
  const items = [5, 6, 9, 10, 8, 20].map((sequence) => numbered(sequence));
  for (const writer of [new NetlinkWriter(), new PcapngWriter()]) {
    const read = await readPieces(record(writer, items), 50);
    assertEquals([read.lost, read.stats.lost, read.stats.received], [10, 10, 6], writer.constructor.name);
  }
  const dropped = record(new PcapngWriter(), items, { dropped: 7, ending: { period: { startNs: 0n, endNs: 1n } } });
  const read = await readPieces(dropped);
  assertEquals([read.dropped, read.stats.dropped], [7, 7]);
});

test("readRecording(): what was left out is not lost", async () => {
  // Each of two groups lost 3 samples.
  const items = Array.from({ length: 40 }, (_, i) => numbered((i >> 1) + (i < 22 ? 0 : 3), 1 + i % 2));
  // By a tool that does not know samples: the drop counts stay with the packets.
  const whole = record(new PcapngWriter(), items);
  const thin = await readPieces(withoutPackets(whole, (i) => i % 4 === 0));
  assertEquals([thin.stats.received, thin.stats.lost], [30, 6]);
  // By a stage of ours, into either format.
  const { Selection, BatchBuffer } = await import("../../src/stream/batch.ts");
  const { Output } = await import("../../src/format/output.ts");
  const { Ledger } = await import("../../src/receive/ledger.ts");
  for (const writer of [new NetlinkWriter(), new PcapngWriter()]) {
    const ledger = new Ledger();
    const output = new Output();
    const selection = new Selection();
    writer.begin(output);
    for (let from = 0; from < items.length; from += 8) {
      const batch = new BatchBuffer();
      for (const item of items.slice(from, from + 8)) batch.add(item as never, ledger.sample(item as never));
      selection.from(batch);
      for (let i = 0; i < batch.count; i++) if ((from + i) % 5 < 2) selection.pick(i);
      selection.finish();
      writer.enter(selection);
      for (let i = 0; i < selection.count; i++) writer.write(output, selection, i);
    }
    writer.end(output, {});
    const read = await readPieces(output.written.slice());
    assertEquals([read.stats.received, read.stats.lost], [16, 6], writer.constructor.name);
    // And again, from there.
    const again = await readPieces(await rewrite(output.written.slice()));
    assertEquals([again.stats.received, again.stats.lost], [16, 6], writer.constructor.name);
  }
});

/** A pcapng file without some of its packets. */
function withoutPackets(file: Uint8Array, isLeftOut: (i: number) => boolean): Uint8Array {
  const view = new DataView(file.buffer, file.byteOffset, file.length);
  const parts: Uint8Array[] = [];
  let packets = 0;
  for (let at = 0; at < file.length;) {
    const size = view.getUint32(at + 4, true);
    if (view.getUint32(at, true) !== 6 || !isLeftOut(packets++)) parts.push(file.subarray(at, at + size));
    at += size;
  }
  return join(...parts);
}

test("readRecording(): a producer that numbers nothing has no known losses", async () => {
  const items = Array.from({ length: 4 }, () => numbered(0, 30, [16, bytes("")]));
  for (const writer of [new NetlinkWriter(), new PcapngWriter()]) {
    const { stats, entries } = await readPieces(record(writer, items));
    assertEquals([stats.lost, stats.groups[0]!.numbered], [0, false], writer.constructor.name);
    assertEquals(entries.at(-1)!.lost, undefined);
  }
});

test("readRecording(): packets that psample did not record are samples with bytes, size and time", async () => {
  const frame = bytes("020000000001 020000000002 0800 4500");
  const ip = bytes("45000014 000000000000000000000000");
  const { section, interface: link, packet, option } = pcapngParts(true);
  const name = option(2, new TextEncoder().encode("eth7"));
  const rows: [Uint8Array, Uint8Array, string | undefined, number][] = [
    [pcapFile([{ seconds: 9, bytes: frame, originalBytes: 1500 }], { linkType: 1 }), frame, undefined, 1],
    ...[12, 14, 101, 228, 229].map((linkType): [Uint8Array, Uint8Array, undefined, number] => {
      return [pcapFile([{ seconds: 9, bytes: ip, originalBytes: 1500 }], { linkType, little: false }), ip, undefined, 0xfffe];
    }),
    [join(section(), link(1, name), packet(0, 9_000_000n, frame, 1500)), frame, "eth7", 1],
  ];
  for (const [file, data, device, type] of rows) {
    const source = await readRecording(pieces(file));
    const batch = (await source.read())!;
    const sample = batch.entries[0]!;
    if (sample.type !== "sample") throw new Error("not a sample");
    assertEquals([sample.data, sample.originalBytes, batch.timeNs(0)], [data, 1500, 9_000_000_000n]);
    assertEquals(
      [sample.group, sample.sequence, sample.rate, sample.inIfindex, sample.protocol, sample.timestampNs],
      Array(6).fill(undefined),
    );
    assertEquals([batch.device(0)?.name, batch.device(0)?.type, batch.lostBefore(0)], [device, type, undefined]);
    await source.close();
  }
  // A capture of psample may be read so; with a netlink device beside it only the messages count.
  const packets = record(new PcapWriter(), [numbered(1, 1, [6, frame]), numbered(2, 1, [6, frame])]);
  assertEquals((await readPieces(packets)).entries.map(({ data }) => data), [toHex(frame), toHex(frame)]);
  const beside = join(
    section(),
    link(1),
    link(253),
    packet(0, 0n, frame),
    packet(1, 0n, netlinkRecord(join(family(30), sampleMessage(1)))),
    packet(0, 0n, frame),
  );
  const read = await readPieces(beside);
  assertEquals([sequences(read), read.source.counts.otherPackets], [[1], 2]);
  assertEquals((await readPieces(await rewrite(rows[0]![0]))).entries.map(({ data }) => data), [toHex(frame)]);
  // Neither kind.
  const wifi = await readPieces(pcapFile([{ bytes: frame }], { linkType: 105 }));
  assert(wifi.error?.includes("link type 105 (802.11): neither netlink messages nor packets"), wifi.error);
});

test("readRecording(): a packet that is longer than a message can hold is cut", async () => {
  const { entries } = await readPieces(pcapFile([{ bytes: new Uint8Array(70_000).fill(1) }], { linkType: 1 }));
  assertEquals(entries[0]!.data!.length, 2 * 65531);
});

test("readRecording(): a device has the name that it had when the packet was sampled", async () => {
  const sampleOf = (sequence: number, inIfindex: number, outIfindex?: number): SampleView =>
    numbered(sequence, 1, [0, number(2, inIfindex)], ...(outIfindex === undefined ? [] : [[1, number(2, outIfindex)] as Attribute]));
  const names = new Map([[3, "eth0"], [4, "lan"]]);
  const there: Devices = {
    find: (ifindex): Device | undefined => names.has(ifindex) ? { name: names.get(ifindex), type: 1, address: undefined } : undefined,
  };
  const { Output } = await import("../../src/format/output.ts");
  const { BatchBuffer } = await import("../../src/stream/batch.ts");
  const output = new Output();
  const writer = new PcapngWriter();
  writer.begin(output);
  const write = (...items: SampleView[]): void => {
    const batch = new BatchBuffer();
    batch.devices = there;
    for (const item of items) batch.add(item as never, 0);
    writer.enter(batch);
    for (let i = 0; i < batch.count; i++) writer.write(output, batch, i);
  };
  write(sampleOf(0, 3), sampleOf(1, 4), sampleOf(2, 3, 4));
  names.set(3, "wan");
  write(sampleOf(3, 3, 4), sampleOf(4, 3), sampleOf(5, 3, 4));
  writer.end(output, {});
  const expected = [
    ["eth0", "eth0"],
    ["lan", "lan"],
    ["lan", "eth0"],
    // The input device has its new name from where the file contains it.
    ["lan", "eth0"],
    ["wan", "wan"],
    ["lan", "wan"],
  ];
  for (const size of SIZES) {
    const { entries } = await readPieces(output.written.slice(), size);
    assertEquals(entries.map(({ device, inName }) => [device, inName]), expected, `${size}`);
  }
});

test("readRecording(): an unknown block of any size is skipped without being kept", async () => {
  const MB = 1 << 20;
  const { section, interface: netlink, packet, n } = pcapngParts(true);
  const size = 200 * MB;
  const zeros = new Uint8Array(MB);
  async function* file(): AsyncGenerator<Uint8Array> {
    yield join(section(), netlink(253), packet(0, 0n, netlinkRecord(family(30))), n(4, 0x0bad), n(4, size));
    for (let at = 12; at < size; at += MB) yield zeros.subarray(0, Math.min(MB, size - at));
    yield join(n(4, size), packet(0, 0n, netlinkRecord(sampleMessage(1))));
  }
  const before = process.memoryUsage().rss;
  const read = await readAll(await readRecording(file()));
  assertEquals([sequences(read), read.error], [[1], undefined]);
  const grown = (process.memoryUsage().rss - before) / MB;
  assert(grown < 60, `${grown} MiB`);
});

test("readRecording() trusts no length: everything before the damage is read, and the damage is reported", async () => {
  const { section, interface: netlink, packet, block, n } = pcapngParts(true);
  const start = join(section(), netlink(253), packet(0, 0n, netlinkRecord(join(family(30), sampleMessage(1)))));
  const rows: [Uint8Array, string][] = [
    [join(n(4, 1), n(4, 0), n(4, 0)), "a pcapng block of type 1 and 0 bytes"],
    [join(n(4, 77), n(4, 13), n(4, 0)), "a pcapng block of type 77 and 13 bytes"],
    [join(n(4, 6), n(4, 0xfffffffc), n(4, 0)), "a pcapng block of type 6 and 4294967292 bytes"],
    [join(n(4, 77), n(4, 0xfffffffc), n(4, 0)), "the file is cut off here, within a packet or block"],
    [join(n(4, 77), n(4, 12), n(4, 16)), "whose two lengths differ"],
    [join(n(4, 77), n(4, 16), n(4, 0), n(4, 20)), "whose two lengths differ"],
    [block(6, n(4, 9), new Uint8Array(16)), "a packet of interface 9, which is not described"],
    [block(6, n(4, 0), n(8, 0), n(4, 5), n(4, 5), new Uint8Array(4)), "a packet of 5 bytes in a block of 36"],
    [block(1, n(2, 253), n(2, 0), n(4, 0), n(2, 2), n(2, 9), n(4, 0)), "a pcapng option that is longer than its block"],
    [block(0x0a0d0d0a, n(4, 0), n(2, 1), n(2, 0), n(8, 0)), "a pcapng section without a valid byte-order magic"],
    [n(4, 6), "the file is cut off here: 4 bytes left, 12 expected"],
    [join(n(4, 6), n(4, 32), n(4, 0)), "the file is cut off here: 12 bytes left, 32 expected"],
  ];
  for (const [damage, why] of rows) {
    for (const size of SIZES) {
      const read = await readPieces(join(start, damage), size);
      assertEquals([sequences(read), read.error?.includes(why)], [[1], true], `${read.error}, not ${why}`);
      assert(
        why.startsWith("the file") || read.error!.includes(`at byte ${start.length + (why.includes("lengths") && size ? 0 : 0)}`),
        read.error,
      );
    }
  }
  const pcap = pcapFile([{ bytes: netlinkRecord(join(family(30), sampleMessage(1))) }]);
  for (const size of [262145, 0x10000001, 0xffffffff]) {
    const read = await readPieces(join(pcap, number(4, 0), number(4, 0), number(4, size), number(4, size)));
    assertEquals([sequences(read), read.error?.includes(`a record of ${size} bytes; the maximum is 262144`)], [[1], true], read.error);
  }
  assertEquals((await readPieces(new Uint8Array(0))).error, "Cannot decode recording at byte 0: the file is empty");
  for (
    const [beginning, why] of [["1f8b0800", "compressed"], ["28b52ffd", "compressed"], ["fd377a58", "compressed"], ["00000000", "neither"]]
  ) {
    assert((await readPieces(bytes(beginning!))).error?.includes(why!));
  }
});

test("readRecording() yields everything before a cut, wherever it is", async () => {
  const items = recordings().find(({ name }) => name === "tun.new.pcap")!.items;
  for (const writer of [new NetlinkWriter(), new PcapngWriter()]) {
    const file = record(writer, items);
    let most = 0;
    for (let size = file.length % 3; size <= file.length; size += 3) {
      const read = await readPieces(file.subarray(0, size), 300);
      assert(read.entries.length >= most && read.entries.length <= items.length);
      most = read.entries.length;
      assertEquals(read.entries.map(({ message }) => message), items.slice(0, most).map(({ message }) => toHex(message!)));
    }
    assertEquals(most, items.length);
  }
});

test(
  "readRecording() opens a path, knows the file, and tells why it cannot",
  inDirectory(async (at) => {
    const path = at("a.pcap");
    writeFileSync(path, golden("ingress.new.pcap"));
    const sources = [await readRecording(path), await readRecording(joinPath(at(""), ".", "a.pcap"))];
    assert(sources[0]!.identity !== undefined);
    assertEquals(sources[0]!.identity, sources[1]!.identity);
    const read = await readAll(sources[0]!);
    assertEquals(read.entries.length, recordings().find(({ name }) => name === "ingress.new.pcap")!.items.length);
    assertEquals(await sources[0]!.read(), undefined);
    await sources[1]!.close();
    assertEquals(await sources[1]!.read(), undefined);
    await assertRejects(() => readRecording(at("b.pcap")), SystemError, "no such file");
    await assertRejects(() => readRecording(at("")), SystemError, "is a directory");
  }),
);

test(
  "readRecording() lets the event loop run",
  inDirectory(async (at) => {
    const one = netlinkRecord(sampleMessage(1));
    const file = pcapFile([family(30), sampleMessage(1)].map((message) => ({ bytes: netlinkRecord(message) })));
    const block = pcapFile(Array.from({ length: 400 }, () => ({ bytes: one }))).subarray(24);
    const path = at("long.pcap");
    writeFileSync(path, join(file, ...Array.from({ length: 600 }, () => block)));
    const source = await readRecording(path);
    let turns = 0;
    const timer = setInterval(() => turns++, 1);
    let samples = 0;
    for (let batch = await source.read(); batch; batch = await source.read()) samples += batch.samples;
    clearInterval(timer);
    assertEquals(samples, 240_001);
    assert(turns > 2, `${turns} turns`);
  }),
);

test("a pipe that is silent does not block, and ending or closing ends the wait", async () => {
  for (const how of ["end", "close"] as const) {
    const sys = new FakeSys();
    const fifo = new FakeFile(undefined, "fifo");
    sys.files.set("fifo", fifo);
    const source = new RecordingFile(DescriptorInput.open(sys, "fifo"));
    assertEquals(source.identity, undefined);
    const waiting = source.read();
    assert(waiting instanceof Promise);
    fifo.append(pcapFile([{ bytes: netlinkRecord(join(family(30), sampleMessage(1))) }]));
    const batch = (await waiting)!;
    assertEquals([batch.samples, batch.entries[0]!.sequence, batch.more], [1, 1, false]);
    const more = source.read();
    fifo.append(number(4, 5));
    source[how]();
    assertEquals(await more, undefined);
    assertEquals(await source.read(), undefined);
    sys.assertClean();
  }
});

test(
  "a pipe ends when its last writer is gone, and not before the first one opens it",
  inDirectory(async (at) => {
    const path = at("fifo");
    assertEquals(spawnSync("mkfifo", [path]).status, 0);
    const source = await readRecording(path);
    let isDone = false;
    const reading = readAll(source).finally(() => isDone = true);
    await new Promise((resolve) => setTimeout(resolve, 60));
    assertEquals(isDone, false);
    const writer = await open(path, "w");
    await writer.write(pcapFile([{ bytes: netlinkRecord(join(family(30), sampleMessage(1))) }]));
    await writer.close();
    assertEquals(sequences(await reading), [1]);
  }),
);

test("a failure while reading is reported once, after everything read before", async () => {
  const sys = new FakeSys();
  sys.files.set("a", new FakeFile(pcapFile([{ bytes: netlinkRecord(join(family(30), sampleMessage(1))) }])));
  const source = new RecordingFile(DescriptorInput.open(sys, "a"));
  assertEquals((await source.read())!.samples, 1);
  sys.fail("read", 5);
  await assertRejects(async () => await source.read(), SystemError, "Cannot read a: input/output error");
  assertEquals(await source.read(), undefined);
  sys.assertClean();
  const broken = await readRecording((async function* (): AsyncGenerator<Uint8Array> {
    yield pcapFile([{ bytes: netlinkRecord(join(family(30), sampleMessage(1))) }]);
    await Promise.resolve();
    throw new Error("the network has gone");
  })());
  assertEquals((await broken.read())!.samples, 1);
  await assertRejects(async () => await broken.read(), Error, "the network has gone");
});

test("samples are lent: the objects are reused", async () => {
  const file = pcapFile([family(30), sampleMessage(1), sampleMessage(2)].map((message) => ({ bytes: netlinkRecord(message) })));
  const source = await readRecording(pieces(file, file.length - 40));
  const first: Batch = (await source.read())!;
  const kept = first.entries[0]!;
  assertEquals(kept.sequence, 1);
  const second = (await source.read())!;
  assertStrictEquals(second.entries[0], kept);
  assertEquals(kept.sequence, 2);
});

test("group events of a recording are yielded with the samples", async () => {
  const event = viewMessage(messageOf(message([[3, number(4, 9)], [7, number(4, 0)], [4, number(4, 0)]], { command: 2 }))) as GroupEvent;
  for (const writer of [new NetlinkWriter(), new PcapngWriter()]) {
    const items = [numbered(1, 9), event, numbered(0, 9), numbered(1, 9)];
    const read = await readPieces(record(writer, items, { devices: devices({}) }), 100);
    assertEquals(read.entries.map(({ type }) => type), ["sample", "group-created", "sample", "sample"]);
    assertEquals([read.stats.events, read.stats.lost, read.source.counts.events], [1, 0, 1]);
  }
});
