/** How tshark, capinfos, tcpdump, editcap and mergecap handle files of packets. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { assert, assertEquals, assertMatch } from "@std/assert";
import { Ledger } from "../../src/receive/ledger.ts";
import { linkTypeOf } from "../../src/link/link_type.ts";
import { PcapngWriter } from "../../src/format/pcapng/writer.ts";
import type { GroupEvent } from "../../src/psample/mod.ts";
import { viewMessage } from "../../src/psample/group.ts";
import type { SampleView } from "../../src/psample/sample_view.ts";
import { message, number } from "../psample/build.ts";
import { recordings } from "../psample/recordings.ts";
import { decodeFile } from "../support/decoding.ts";
import { output, programs } from "../support/programs.ts";
import { devices, record } from "../support/recorded.ts";
import { messageOf } from "../../src/wire/message.ts";

type Item = SampleView | GroupEvent;

const NAMES: Readonly<Record<number, string>> = { 101: "a", 103: "c", 110: "tun0", 120: "vxlan0" };

function write(items: readonly Item[]): Uint8Array<ArrayBuffer> {
  return record(new PcapngWriter({ application: "psample 1" }), items, { devices: devices(NAMES), timeNs: 1_784_000_000_000_000_000n });
}

function read(file: Uint8Array): readonly Item[] {
  const { items, error } = decodeFile(file);
  assertEquals(error, undefined);
  return items;
}

/** Calls `use` with the path of a temporary file. */
function withFile<T>(bytes: Uint8Array, use: (path: string, directory: string) => T): T {
  const directory = mkdtempSync(join(tmpdir(), "psample-"));
  try {
    const path = join(directory, "packets.pcapng");
    writeFileSync(path, bytes);
    return use(path, directory);
  } finally {
    rmSync(directory, { recursive: true });
  }
}

/** The fields that tshark prints, a row a packet. */
function tshark(path: string, ...fields: string[]): string[][] {
  const { out } = output("tshark", "-n", "-r", path, "-T", "fields", ...fields.flatMap((field) => ["-e", field]));
  return out.split("\n").slice(0, -1).map((line) => line.split("\t"));
}

const recorded: Item[] = recordings().flatMap(({ items }) => items);
const samplesOf = (items: readonly Item[]): SampleView[] => items.filter((item) => item.type === "sample");

/** Samples with everything in them, and gaps. */
function gapped(): Item[] {
  let sequence = 0;
  return Array.from({ length: 40 }, (_, i) => {
    sequence += 1 + (i % 7 === 3 ? i : 0);
    return viewMessage(messageOf(message([
      [0, number(2, 101)],
      ...(i % 3 === 0 ? [[1, number(2, 103)] as const] : []),
      [2, number(4, 1500)],
      [3, number(4, 0xfffffff0 + i % 2)],
      [4, number(4, sequence)],
      [5, number(4, 100)],
      [10, number(2, i % 8)],
      [13, number(8, 1_784_000_000_000_000_000n + BigInt(i * 1001))],
      [6, new Uint8Array(40).fill(i)],
      [15, number(4, i)],
    ]))) as Item;
  });
}

test("tshark shows what the samples have", programs("tshark"), () => {
  for (const items of [recorded, gapped()]) {
    const ledger = new Ledger();
    const samples = samplesOf(items);
    const rows = withFile(write(items), (path) =>
      tshark(
        path,
        "frame.time_epoch",
        "frame.cap_len",
        "frame.len",
        "frame.interface_name",
        "frame.packet_flags_direction",
        "frame.packet_id",
        "frame.interface_queue",
        "frame.drop_count",
        "frame.comment",
        "frame.encap_type",
      ));
    const numberedBefore = new Map<number | undefined, number>();
    const expected = samples.map((sample) => {
      const { outIfindex, inIfindex, group, sequence, outTc, data, originalBytes } = sample;
      const ns = sample.timestampNs!;
      const index = (outIfindex ?? inIfindex)!;
      const before = numberedBefore.get(group) ?? 0;
      numberedBefore.set(group, before + 1);
      return [
        `${ns / 1_000_000_000n}.${String(ns % 1_000_000_000n).padStart(9, "0")}`,
        String(data?.length ?? 0),
        String(originalBytes),
        NAMES[index] ?? `if${index}`,
        `0x0000000${outIfindex === undefined ? 1 : 2}`,
        String(BigInt(group!) << 32n | BigInt(sequence!)),
        String(outTc ?? ""),
        undefined,
        undefined,
        linkTypeOf(undefined, sample.protocol, data) === "ethernet" ? "1" : "7",
      ];
    });
    assertEquals(rows.length, samples.length);
    for (const [i, row] of rows.entries()) {
      assertEquals(row.map((value, field) => field === 7 || field === 8 ? undefined : value), expected[i], `packet ${i + 1}`);
      assert(row[8]!.startsWith(`group ${samples[i]!.group} sample-rate ${samples[i]!.rate}`), row[8]);
    }
    for (const item of items) item.type === "sample" ? ledger.sample(item) : ledger.event(item);
    // Recordings one after the other: numbers restart, which the ledger does not count as a loss.
    assertEquals(rows.reduce((sum, row) => sum + Number(row[7]), 0), ledger.stats(0).lost);
  }
});

test("tshark reads the packets themselves", programs("tshark"), () => {
  const { items } = recordings().find(({ name }) => name === "tun.new.pcap")!;
  assertEquals(withFile(write(items), (path) => tshark(path, "ip.src", "ipv6.src", "udp.dstport", "frame.comment")), [
    ["192.0.2.2", "", "5000", "group 9 sample-rate 1"],
    ["", "2001:db8::2", "5000", "group 9 sample-rate 1"],
  ]);
});

test("capinfos counts packets, bytes and interfaces", programs("capinfos"), () => {
  const samples = samplesOf(recorded);
  const { out, err, status } = withFile(write(recorded), (path) => output("capinfos", "-M", path));
  assertEquals([status, err.replace(/^Running as .*\n/, "")], [0, ""]);
  const bytes = samples.reduce((sum, { originalBytes }) => sum + originalBytes!, 0);
  assertMatch(out, new RegExp(`^Number of packets: +${samples.length}$`, "m"));
  assertMatch(out, new RegExp(`^Data size: +${bytes} bytes$`, "m"));
  assertMatch(out, /^File timestamp precision: +nanoseconds \(9\)$/m);
  assertMatch(out, /^Capture application: +psample 1$/m);
  const names = [...out.matchAll(/^ +Name = (.*)$/gm)].map((match) => match[1]);
  const perInterface = [...out.matchAll(/^ +Number of packets = (\d+)$/gm)].map((match) => Number(match[1]));
  assertEquals([...out.matchAll(/^ +Number of stat entries = 1$/gm)].length, names.length);
  assertEquals(
    new Set(names),
    new Set(samples.map((sample) => (sample.outIfindex ?? sample.inIfindex)!).map((index) => NAMES[index] ?? `if${index}`)),
  );
  assertEquals(perInterface.reduce((sum, count) => sum + count, 0), samples.length);
});

test("tcpdump reads packets of one link type, and a file of nothing", programs("tcpdump"), () => {
  const { items } = recordings().find(({ name }) => name === "ingress.new.pcap")!;
  const { out, status } = withFile(write(items), (path) => output("tcpdump", "-nr", path));
  assertEquals(status, 0);
  const lines = out.trim().split("\n");
  assertEquals(lines.length, 5);
  assertMatch(lines[0]!, / IP 192\.0\.2\.2\.4000 > 192\.0\.2\.1\.5000: UDP, length 100$/);
  const nothing = withFile(write([]), (path) => output("tcpdump", "-nr", path));
  assertEquals([nothing.out, nothing.status], ["", 0]);
});

test("a file that is cut off opens in tshark up to its last whole block", programs("tshark"), () => {
  const { items } = recordings().find(({ name }) => name === "cookie.new.pcap")!;
  const file = write(items);
  for (let size = file.length - 1; size > 240; size -= 171) {
    const cut = file.slice(0, size);
    const whole = decodeFile(cut).items.filter(({ type }) => type === "sample").length;
    const rows = withFile(cut, (path) => tshark(path, "frame.number"));
    assertEquals(rows.length, whole, `cut at ${size}`);
  }
});

test("samples survive editcap and mergecap", programs("editcap", "mergecap"), () => {
  const [one, two] = ["vxlan4.new.pcap", "ovs.new.pcap"].map((name) => recordings().find((recording) => recording.name === name)!.items);
  const plain = (items: readonly Item[]): unknown[] => samplesOf(items).map((sample) => ({ ...sample.copy() }));
  withFile(write(one!), (path, directory) => {
    const [second, merged, copy, short] = ["second", "merged", "copy", "short"].map((name) => join(directory, name));
    writeFileSync(second!, write(two!));
    assertEquals(output("mergecap", "-a", "-w", merged!, path, second!).status, 0);
    assertEquals(plain(read(new Uint8Array(readFileSync(merged!)))), [...plain(one!), ...plain(two!)]);
    assertEquals(output("editcap", path, copy!).status, 0);
    // Events are before the first packet in this one, and raw IP.
    const events = recordings().find(({ name }) => name === "tun.new.pcap")!.items;
    const eventful = join(directory, "eventful");
    writeFileSync(eventful, write(events));
    assertEquals(output("editcap", eventful, second!).status, 0);
    assertEquals(plain(read(new Uint8Array(readFileSync(second!)))), plain(events));
    assertEquals(plain(read(new Uint8Array(readFileSync(copy!)))), plain(one!));
    assertEquals(output("editcap", "-s", "33", path, short!).status, 0);
    const cut = samplesOf(one!).map((sample) => ({ ...sample.copy(), data: sample.data!.slice(0, 33) }));
    assertEquals(plain(read(new Uint8Array(readFileSync(short!)))), cut);
  });
});
