/** Flow records: the same samples as packet reports, aggregated. */
import { readdirSync } from "node:fs";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { assert, assertEquals, assertThrows } from "@std/assert";
import { ArgumentError } from "../../../src/errors.ts";
import { IpfixFlowEncoder } from "../../../src/export/ipfix/flow_encoder.ts";
import type { IpfixFlowOptions } from "../../../src/export/ipfix/options.ts";
import type { Device } from "../../../src/link/device.ts";
import type { SampleView } from "../../../src/psample/sample_view.ts";
import { readRecording } from "../../../src/receive/recording.ts";
import { toHex } from "../../../src/wire/text.ts";
import { attributes, bytes, number } from "../../psample/build.ts";
import { Exported, ipFrame, READ_NS, sampleOf, type SampleParts } from "./exported.ts";
import { type IpfixRecord, unsigned, unsigned64 } from "./decoder.ts";

const SECOND = 1_000_000_000n;

function exported(options: IpfixFlowOptions = {}, devices?: (ifindex: number) => Device | undefined): Exported<IpfixFlowEncoder> {
  return new Exported((datagrams, send) => new IpfixFlowEncoder(datagrams, send, options), devices);
}

function ended(output: Exported<IpfixFlowEncoder>, atNs: bigint = READ_NS): IpfixRecord[] {
  output.encoder.end(atNs);
  return output.records();
}

const PLAIN: SampleParts = {
  in: 2,
  group: 1,
  rate: 100,
  originalBytes: 1014,
  timestampNs: READ_NS,
  data: ipFrame("192.0.2.1", "198.51.100.2", 1000, 53, 1000),
};
const keysOf = (record: IpfixRecord): string => [...record.fields.keys()].join();
const hexOf = (record: IpfixRecord, key: string): string => toHex(record.fields.get(key)!);
const END_IDLE = 1;
const END_ACTIVE = 2;
const END_FORCED = 4;
const END_RESOURCES = 5;

test("the packets of a flow are one record: the first and last time, packets, bytes of IP, flags", () => {
  const tcp = (flags: string): Uint8Array =>
    bytes(`020000000002 020000000001 0800 45b8003c12344000400600 00c0000201c6336402 d43101bb0000000100000000 50${flags} faf000000000`);
  const output = exported().take([
    sampleOf({ ...PLAIN, originalBytes: 74, data: tcp("02"), timestampNs: READ_NS + 1_999_999n }),
    sampleOf({ ...PLAIN, originalBytes: 74, data: tcp("11"), timestampNs: READ_NS + 2n * SECOND }),
    sampleOf({ ...PLAIN, originalBytes: 74, data: tcp("10"), timestampNs: READ_NS + SECOND }),
  ]);
  assertEquals(output.encoder.flows, 1);
  const [record, ...rest] = ended(output);
  assertEquals(rest, []);
  assertEquals(keysOf(record!), "302,152,153,10,14,61,136,8,12,7,11,4,5,6,1,2");
  const ms = READ_NS / 1_000_000n;
  assertEquals([unsigned64(record!, "152"), unsigned64(record!, "153")], [ms + 1n, ms + 2000n]);
  assertEquals([hexOf(record!, "8"), hexOf(record!, "12")], ["c0000201", "c6336402"]);
  const fields = ["302", "10", "14", "61", "136", "7", "11", "4", "5", "6", "1", "2"].map((key) => unsigned(record!, key));
  assertEquals(fields, [1, 2, 0, 0, END_FORCED, 54321, 443, 6, 0xb8, 0x13, 180, 3]);
});

test("flows differ by any address, port, protocol, interface, direction, VLAN, overlay and selector", () => {
  const frame = (source: string, destination: string, sourcePort: number, destinationPort: number): SampleParts => ({
    ...PLAIN,
    data: ipFrame(source, destination, sourcePort, destinationPort, 1000),
  });
  const icmp = PLAIN.data!.slice();
  icmp[14 + 9] = 1;
  const tagged = (vlan: number): Uint8Array => {
    const data = new Uint8Array(PLAIN.data!.length + 4);
    data.set(PLAIN.data!.subarray(0, 12));
    data.set([0x81, 0, 0, vlan], 12);
    data.set(PLAIN.data!.subarray(12), 16);
    return data;
  };
  const tunnel = (id: number): Uint8Array<ArrayBuffer> => attributes([[0, number(8, id, false)], [10, number(2, 4789, false)]]);
  const parts: SampleParts[] = [
    PLAIN,
    frame("192.0.2.2", "198.51.100.2", 1000, 53),
    frame("192.0.2.1", "198.51.100.3", 1000, 53),
    frame("192.0.2.1", "198.51.100.2", 1001, 53),
    frame("192.0.2.1", "198.51.100.2", 1000, 54),
    { ...PLAIN, data: icmp },
    { ...PLAIN, in: 3 },
    { ...PLAIN, in: 2, out: 3 },
    { ...PLAIN, data: tagged(5) },
    { ...PLAIN, data: tagged(6) },
    { ...PLAIN, tunnel: tunnel(1) },
    { ...PLAIN, tunnel: tunnel(2) },
    { ...PLAIN, group: 2 },
    { ...PLAIN, rate: 200 },
  ];
  const output = exported().take([...parts, ...parts].map((one) => sampleOf(one)));
  const records = ended(output);
  assertEquals(records.length, parts.length);
  assert(records.every((record) => unsigned(record, "2") === 2));
  assertEquals(records.filter((record) => record.fields.has("58")).map((record) => unsigned(record, "58")), [5, 6]);
  assertEquals(records.filter((record) => record.fields.has("351")).map((record) => hexOf(record, "351")), [
    "0100000000000001",
    "0100000000000002",
  ]);
  const ping = records.find((record) => record.fields.has("4") && unsigned(record, "4") === 1)!;
  assertEquals([unsigned(ping, "7"), unsigned(ping, "11")], [0, 0x03e8], "type and code, as in NetFlow");
});

test("IPv6, other frames, and packets of which nothing was captured", () => {
  const ip6 = bytes(
    `020000000002 020000000001 86dd 60000000 0014 0640 ${"20010db8".padEnd(31, "0")}1 ${"20010db8".padEnd(31, "0")}2 1f9001bb`,
  );
  const arp = bytes("ffffffffffff 020000000001 0806 0001");
  const { data: _, ...withoutData } = PLAIN;
  const output = exported().take([
    sampleOf({ ...PLAIN, originalBytes: 74, data: ip6 }),
    sampleOf({ ...PLAIN, originalBytes: 42, data: arp }),
    sampleOf({ ...withoutData, protocol: 0x800 }),
    sampleOf(withoutData),
  ]);
  const [six, frame, four, nothing] = ended(output);
  assertEquals([hexOf(six!, "27"), hexOf(six!, "28")], ["20010db8000000000000000000000001", "20010db8000000000000000000000002"]);
  assertEquals(["7", "11", "4", "1", "2"].map((key) => unsigned(six!, key)), [8080, 443, 6, 60, 1]);
  assertEquals(keysOf(frame!), "302,152,153,10,14,61,136,256,56,80,1,2");
  assertEquals([hexOf(frame!, "256"), hexOf(frame!, "56"), hexOf(frame!, "80"), unsigned(frame!, "1")], [
    "0806",
    "020000000001",
    "ffffffffffff",
    42,
  ]);
  assertEquals([hexOf(four!, "256"), unsigned(four!, "1")], ["0800", 1014]);
  assertEquals([hexOf(nothing!, "256"), unsigned(nothing!, "1")], ["0000", 1014]);
});

test("the bytes of a packet are those of IP: without padding, and what there was if the header does not know", () => {
  const sized = (ipBytes: number, originalBytes: number): SampleView =>
    sampleOf({ ...PLAIN, originalBytes, data: ipFrame("192.0.2.1", "198.51.100.2", 1, 2, ipBytes) });
  for (const [ipBytes, originalBytes, expected] of [[40, 60, 40], [1500, 1514, 1500], [0, 200_014, 200_000], [1500, 100, 86]] as const) {
    assertEquals(unsigned(ended(exported().take([sized(ipBytes, originalBytes)]))[0]!, "1"), expected);
  }
});

test("a flow is reported when it has been idle, and while it goes on", () => {
  const output = exported({ activeMs: 10_000, idleMs: 5_000 });
  const at = (seconds: number): bigint => READ_NS + BigInt(seconds) * SECOND;
  const other = { ...PLAIN, in: 3 };
  output.take([sampleOf(PLAIN), sampleOf(other)]).flush(at(4));
  assertEquals(output.records(), []);
  output.take([sampleOf({ ...PLAIN, timestampNs: at(4) })], at(4)).flush(at(5));
  assertEquals(output.records().map((record) => [unsigned(record, "10"), unsigned(record, "136"), unsigned(record, "2")]), [
    [3, END_IDLE, 1],
  ]);
  output.take([sampleOf({ ...PLAIN, timestampNs: at(8) })], at(8)).flush(at(10));
  assertEquals(output.records().map((record) => [unsigned(record, "10"), unsigned(record, "136"), unsigned(record, "2")]), [
    [2, END_ACTIVE, 3],
  ]);
  assertEquals(output.encoder.flows, 0);
  // What comes next is another record of the same flow.
  output.take([sampleOf({ ...PLAIN, timestampNs: at(11) })], at(11)).flush(at(16));
  assertEquals(output.records().map((record) => [unsigned(record, "136"), unsigned(record, "2")]), [[END_IDLE, 1]]);
});

test("a clock that was set back ends flows instead of keeping them", () => {
  const output = exported().take([sampleOf(PLAIN)]).flush(READ_NS - 3600n * SECOND);
  assertEquals(output.records().map((record) => unsigned(record, "136")), [END_IDLE]);
});

test("the flows of a recording end by its own time, whatever time it is now", () => {
  const output = exported();
  const at = (seconds: number): bigint => READ_NS - BigInt(1e6 - seconds) * SECOND;
  for (const seconds of [0, 3, 6, 9, 12, 30]) {
    output.take([sampleOf({ ...PLAIN, timestampNs: at(seconds) })], READ_NS, { recorded: true }).flush(READ_NS + 100n * SECOND);
  }
  assertEquals(output.records().map((record) => [unsigned(record, "136"), unsigned(record, "2")]), [
    [END_ACTIVE, 4],
    [END_IDLE, 1],
  ]);
  assertEquals(ended(output).map((record) => [unsigned(record, "136"), unsigned(record, "2")]), [[END_FORCED, 1]]);
});

test("packets and bytes are multiplied if asked, and then nothing was sampled", () => {
  const samples = [sampleOf(PLAIN), sampleOf(PLAIN), sampleOf({ ...PLAIN, group: 2, rate: 0x4000_0000, isProbability: true })];
  const output = exported({ scale: true }).take(samples);
  output.encoder.end(READ_NS);
  const records = output.messages().flatMap(({ records }) => records);
  const flows = records.filter(({ scopes }) => scopes === 0);
  assertEquals(flows.map((record) => [record.domain, unsigned(record, "2"), unsigned(record, "1")]), [[1, 200, 200_000], [1, 4, 4000]]);
  const rates = records.filter((record) => record.fields.has("306"));
  assertEquals(rates.map((record) => [unsigned(record, "302"), unsigned(record, "305"), unsigned(record, "306")]), [[1, 1, 0], [2, 1, 0]]);
  assert(records.filter((record) => record.fields.has("34")).every((record) => unsigned(record, "34") === 1));
});

test("memory is bounded: the flow that was idle longest makes room, and nothing is lost", () => {
  const output = exported({ flows: 3 });
  const of = (sourcePort: number): SampleView => sampleOf({ ...PLAIN, data: ipFrame("192.0.2.1", "198.51.100.2", sourcePort, 53, 1000) });
  output.take([of(1), of(2), of(3), of(1), of(4)]).flush();
  assertEquals(output.encoder.flows, 3);
  assertEquals(output.records().map((record) => [unsigned(record, "7"), unsigned(record, "136")]), [[2, END_RESOURCES]]);
  assertEquals(ended(output).map((record) => [unsigned(record, "7"), unsigned(record, "2")]), [[1, 2], [3, 1], [4, 1]]);
});

test("any number of flows in any order adds up, and each datagram knows its samples", () => {
  const output = exported({ flows: 500 });
  const packets = new Map<string, number>();
  let random = 1;
  for (let i = 0; i < 40; i++) {
    const samples = [...Array(200).keys()].map(() => {
      random = (Math.imul(random, 1_103_515_245) + 12_345) >>> 0;
      const port = random % 1000;
      packets.set(`${port}`, (packets.get(`${port}`) ?? 0) + 1);
      const timestampNs = READ_NS + BigInt(i) * SECOND / 4n;
      return sampleOf({ ...PLAIN, timestampNs, data: ipFrame("192.0.2.1", "198.51.100.2", port, 53, 1000) });
    });
    output.take(samples, READ_NS + BigInt(i) * SECOND / 4n).flush(READ_NS + BigInt(i) * SECOND / 4n);
    assert(output.encoder.flows <= 500);
  }
  const reported = new Map<string, number>();
  for (const record of ended(output, READ_NS + 10n * SECOND)) {
    const port = `${unsigned(record, "7")}`;
    reported.set(port, (reported.get(port) ?? 0) + unsigned(record, "2"));
  }
  assertEquals([...reported].sort(), [...packets].sort());
  assertEquals(output.datagrams.reduce((sum, { samples }) => sum + samples, 0), 8000);
});

test("a producer that makes up rates does not make memory grow, and no packet is lost", () => {
  const output = exported();
  for (let rate = 1; rate <= 600; rate++) output.take([sampleOf({ ...PLAIN, rate })]);
  assert(output.encoder.flows <= 256);
  assertEquals(ended(output).length, 600);
});

test("a packet that passed a sampler when it arrived is not exported when it leaves", () => {
  const output = exported();
  const samples = [
    sampleOf({ ...PLAIN, in: 2 }),
    sampleOf({ ...PLAIN, in: 2, out: 3 }),
    sampleOf({ ...PLAIN, in: 4, out: 3 }),
    sampleOf({ ...PLAIN, in: 2, out: 3 }, 5),
  ];
  output.encoder.setSampledInputs([2, 3]);
  output.take(samples);
  output.encoder.setSampledInputs([]);
  output.encoder.setSampledInputs([2], 5);
  output.take(samples);
  output.encoder.end(READ_NS);
  assertEquals(output.encoder.leftOut, 2);
  const places = output.records().map((record) => [record.domain, unsigned(record, "10"), unsigned(record, "14")].join()).sort();
  assertEquals([...new Set(places)], ["1,2,0", "1,2,3", "1,4,3", "2,2,3"]);
  assertEquals(output.datagrams.reduce((sum, datagram) => sum + datagram.samples, 0), 6);
});

test("any option out of its range is refused", () => {
  const wrong: IpfixFlowOptions[] = [{ activeMs: 0 }, { idleMs: 86_400_001 }, { flows: 0 }, { flows: 2 ** 20 + 1 }, { domain: -1 }];
  for (const options of wrong) {
    const [[name, value]] = Object.entries(options) as [[string, unknown]];
    const error = assertThrows(() => exported(options), ArgumentError);
    assert(error.message.includes(`${name} ${value} is not a whole number from`), error.message);
  }
});

test("the flows of every recording have all of its packets", async () => {
  const folder = fileURLToPath(new URL("../../golden/", import.meta.url));
  const names = readdirSync(folder, { recursive: true, encoding: "utf8" }).filter((name) => /\.pcap(ng)?$/.test(name));
  assert(names.length > 30);
  for (const name of names) {
    await using source = await readRecording(folder + name);
    const output = exported();
    let samples = 0;
    let most = 0;
    for await (const batch of source.lentBatches()) {
      for (const entry of batch.entries) if (entry.type === "sample") most += entry.originalBytes ?? entry.dataBytes;
      samples += batch.samples;
      output.encoder.take(batch);
    }
    const records = ended(output);
    assertEquals(records.reduce((sum, record) => sum + unsigned(record, "2"), 0), samples, name);
    const bytes = records.reduce((sum, record) => sum + unsigned(record, "1"), 0);
    assert(bytes <= most && bytes >= most - 40 * samples, `${name}: ${bytes} of ${most}`);
  }
});
