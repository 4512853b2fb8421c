/** Packet reports: as a collector reads them that knows RFC 7011 and nothing else. */
import { readdirSync } from "node:fs";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { assert, assertEquals, assertThrows } from "@std/assert";
import { ArgumentError } from "../../../src/errors.ts";
import { Datagrams } from "../../../src/export/datagrams.ts";
import type { IpfixPacketOptions } from "../../../src/export/ipfix/options.ts";
import { IpfixPacketEncoder } from "../../../src/export/ipfix/packet_encoder.ts";
import type { Device } from "../../../src/link/device.ts";
import { linkTypeOf } from "../../../src/link/link_type.ts";
import type { SampleView } from "../../../src/psample/sample_view.ts";
import { readRecording } from "../../../src/receive/recording.ts";
import { toHex } from "../../../src/wire/text.ts";
import { attributes, bytes, join, number } from "../../psample/build.ts";
import { Exported, READ_NS, sampleOf, type SampleParts } from "./exported.ts";
import { type IpfixRecord, unsigned, unsigned64 } from "./decoder.ts";

const SECOND = 1_000_000_000n;

function exported(options: IpfixPacketOptions = {}, devices?: (ifindex: number) => Device | undefined): Exported<IpfixPacketEncoder> {
  return new Exported((datagrams, send) => new IpfixPacketEncoder(datagrams, send, options), devices);
}

const device = (index: number, name: string, type = 1): Device => ({ index, name, type, address: undefined });

/** Ethernet, IPv4, TCP. */
const FRAME = bytes(
  "020000000002 020000000001 0800 4500003c12344000400600 00c0000201c6336402 d43101bb0000000100000000a002faf000000000",
);
const PLAIN: SampleParts = { in: 2, group: 1, rate: 1000, originalBytes: 74, protocol: 0x800, data: FRAME };

const keysOf = (record: IpfixRecord): string => [...record.fields.keys()].join();
const hexOf = (record: IpfixRecord, key: string): string => toHex(record.fields.get(key)!);
const only = (records: readonly IpfixRecord[]): IpfixRecord => {
  assertEquals(records.length, 1);
  return records[0]!;
};

test("a packet report is byte for byte the example that tshark and nfacctd have read", () => {
  const output = exported({ domain: 5, milliseconds: false });
  const timestampNs = 1_750_000_000_123_456_789n;
  const at = 1_750_000_000n * SECOND;
  // The example is of the seventh selection sequence.
  output.take([...Array(6).keys()].map((i) => sampleOf({ ...PLAIN, in: 11 + i, timestampNs })), at).flush(at);
  output.take([sampleOf({ ...PLAIN, timestampNs })], at).flush(at);
  const [first, second] = output.datagrams.map((datagram) => toHex(datagram.bytes));
  const squeeze = (hex: string): string => hex.replaceAll(" ", "");
  const template = squeeze("0002002c 01000009 012d0008 012e0008 01450008 000a0004 000e0004 003d0001 01380002 01980002 013bffff");
  const optionsTemplate = squeeze("0003001e 01010005 0001 012e0008 01300002 01310004 01320004 01370008");
  const options = squeeze("0101001e 0000000000000001 0004 00000001 000003e7 3f50624dd2f1a9fc");
  for (const set of [template, optionsTemplate, options]) assert(first!.includes(set), set);
  const report = squeeze(
    `000a0070 684ee180 00000001 00000005 01000060 0000000000000007 0000000000000001 ebf960001f9add37 00000002 00000000 00 004a 0001 36
     ${toHex(FRAME)}`,
  ).replaceAll(/\s/g, "");
  const sequence = output.messages()[1]!.sequence.toString(16).padStart(8, "0");
  assertEquals(second, report.slice(0, 16) + sequence + report.slice(24));
});

test("a report of a frame: identifiers of 8 bytes, times in two units, interfaces, direction, size, the first bytes", () => {
  const output = exported().take([
    sampleOf({ ...PLAIN, timestampNs: 1_750_000_000_999_999_999n }),
    sampleOf({ ...PLAIN, in: 2, out: 3, timestampNs: 1_750_000_000_000_000_001n }),
  ]).flush();
  const [ingress, egress] = output.records();
  assertEquals(keysOf(ingress!), "301,302,325,152,153,10,14,61,312,408,315");
  assertEquals(["301", "302", "325"].map((key) => ingress!.fields.get(key)!.length), [8, 8, 8]);
  assertEquals([unsigned(ingress!, "302"), unsigned(ingress!, "10"), unsigned(ingress!, "14"), unsigned(ingress!, "61")], [1, 2, 0, 0]);
  assertEquals([unsigned(egress!, "302"), unsigned(egress!, "10"), unsigned(egress!, "14"), unsigned(egress!, "61")], [1, 2, 3, 1]);
  assert(unsigned(ingress!, "301") !== unsigned(egress!, "301"));
  assertEquals([unsigned64(ingress!, "152"), unsigned64(ingress!, "153")], [1_750_000_000_999n, 1_750_000_000_999n]);
  assertEquals(ntpNs(ingress!), 1_750_000_000_999_999_999n);
  assertEquals(ntpNs(egress!), 1_750_000_000_000_000_001n);
  assertEquals([unsigned(ingress!, "312"), unsigned(ingress!, "408"), hexOf(ingress!, "315")], [74, 1, toHex(FRAME)]);
});

/** NTP's time stamp in nanoseconds since 1970. */
function ntpNs(record: IpfixRecord): bigint {
  const ntp = unsigned64(record, "325");
  return ((ntp >> 32n) - 2_208_988_800n) * SECOND + ((ntp & 0xffff_ffffn) * SECOND + 0x8000_0000n >> 32n);
}

test("the size: in 312 up to 65535, beyond in 352 too", () => {
  const output = exported().take([65_535, 65_536, 5_000_000].map((originalBytes) => sampleOf({ ...PLAIN, originalBytes }))).flush();
  const sizes = output.records().map((record) => [unsigned(record, "312"), record.fields.has("352") && unsigned(record, "352")]);
  assertEquals(sizes, [[65_535, false], [65_535, 65_536], [65_535, 5_000_000]]);
});

test("IP without a frame is sent with the fields of its headers", () => {
  const ip6 = bytes(`6ab00000 0014 0640 ${"20010db8".padEnd(31, "0")}1 ${"20010db8".padEnd(31, "0")}2 1f90 01bb ${"0".repeat(32)}`);
  const output = exported({}, (index) => device(index, "tun0", 65534)).take([
    sampleOf({ ...PLAIN, originalBytes: 60, data: FRAME.slice(14) }),
    sampleOf({ ...PLAIN, originalBytes: 60, data: ip6, protocol: 0x86dd }),
    sampleOf({ ...PLAIN, originalBytes: 60, data: FRAME.slice(14, 14 + 19) }),
  ]).flush();
  const [four, six, cut] = output.records();
  assertEquals(keysOf(four!), "301,302,325,152,153,10,14,61,312,60,8,12,7,11,4,5,1,2,313");
  assertEquals([hexOf(four!, "8"), hexOf(four!, "12"), hexOf(four!, "313")], ["c0000201", "c6336402", toHex(FRAME.slice(14))]);
  assertEquals(["60", "7", "11", "4", "5", "1", "2"].map((key) => unsigned(four!, key)), [4, 54321, 443, 6, 0, 60, 1]);
  assertEquals(keysOf(six!), "301,302,325,152,153,10,14,61,312,60,27,28,7,11,4,5,1,2,313");
  assertEquals(["60", "7", "11", "4", "5", "1"].map((key) => unsigned(six!, key)), [6, 8080, 443, 6, 0xab, 60]);
  assertEquals(hexOf(six!, "28"), "20010db8000000000000000000000002");
  assertEquals(keysOf(cut!), "301,302,325,152,153,10,14,61,312,313", "its header is not whole");
});

test("a sample without bytes is reported without a section", () => {
  const { data: _, ...withoutData } = PLAIN;
  const record = only(exported().take([sampleOf(withoutData)]).flush().records());
  assertEquals(keysOf(record), "301,302,325,152,153,10,14,61,312");
  assertEquals(unsigned(record, "312"), 74);
});

test("VLANs and overlays", () => {
  const tagged = bytes("020000000002 020000000001 8100 6005 88a8 0007 0800 45000014000000004001000001020304050607 08");
  const tunnel = (port: number): Uint8Array<ArrayBuffer> => attributes([[0, number(8, 0x123456, false)], [10, number(2, port, false)]]);
  const vxlan = bytes(`020000000002 020000000001 0800 4500004600000000401100000102030405060708 1234 12b5 0032 0000
    0800000000beef00 020000000002 020000000001 0806 0001`);
  const records = exported().take([
    sampleOf({ ...PLAIN, data: tagged }),
    sampleOf({ ...PLAIN, tunnel: tunnel(4789) }),
    sampleOf({ ...PLAIN, tunnel: tunnel(6081) }),
    sampleOf({ ...PLAIN, data: vxlan, originalBytes: 84 }),
  ]).flush().records();
  assertEquals([unsigned(records[0]!, "58"), unsigned(records[0]!, "243")], [5, 5]);
  assertEquals(records.slice(1).map((record) => hexOf(record, "351")), ["0100000000123456", "0000000000123456", "010000000000beef"]);
});

test("what IANA has no element for is sent under the enterprise's number, if there is one", () => {
  const parts = { ...PLAIN, cookie: bytes("c00c1e"), outTc: 7, occupancy: 2n ** 40n, latencyNs: 2n ** 33n };
  assertEquals(keysOf(only(exported().take([sampleOf(parts)]).flush().records())), "301,302,325,152,153,10,14,61,312,408,315");
  const record = only(exported({ enterprise: 32473 }).take([sampleOf(parts)]).flush().records());
  assertEquals(hexOf(record, "32473/1"), "c00c1e");
  assertEquals(["32473/2", "32473/3", "32473/4"].map((key) => unsigned64(record, key)), [7n, 2n ** 40n, 2n ** 33n]);
});

test("the cookie of Open vSwitch is the observation point, and may name the domain", () => {
  const parts: SampleParts = { ...PLAIN, rate: 0xffff_ffff, isProbability: true, cookie: bytes("0700002a 0000beef") };
  const whole = only(exported().take([sampleOf(parts)]).flush().records());
  assertEquals([whole.domain, hexOf(whole, "138")], [1, "0700002a0000beef"]);
  const named = exported({ domains: "cookie" }).take([sampleOf(parts), sampleOf(PLAIN)]).flush().records();
  assertEquals(named.map(({ domain }) => domain).sort((a, b) => a - b), [1, 0x0700_002a]);
  assertEquals(hexOf(named.find(({ domain }) => domain !== 1)!, "138"), "000000000000beef");
  // A cookie of tc is somebody's own affair, whatever its size.
  const tc = only(exported().take([sampleOf({ ...PLAIN, cookie: bytes("0700002a 0000beef") })]).flush().records());
  assertEquals(tc.fields.has("138"), false);
});

test("a message has at most the size asked for; the bytes of packets give way", () => {
  const data = new Uint8Array(9000).fill(1);
  data.set(FRAME);
  // The headers of the message and the set have 20 bytes, the other fields 53, the section's length 3.
  for (const [maxDatagramBytes, headerBytes, section] of [[512, 9000, 436], [1400, 128, 128], [9216, 9000, 9000], [1400, 0, 0]] as const) {
    const output = exported({ maxDatagramBytes, headerBytes });
    output.take([...Array(20).keys()].map(() => sampleOf({ ...PLAIN, originalBytes: 9000, data }))).flush();
    assert(Math.max(...output.datagrams.map((datagram) => datagram.bytes.length)) <= maxDatagramBytes);
    const lengths = new Set(output.records().map((record) => record.fields.get("315")!.length));
    assertEquals([...lengths], [section], `${maxDatagramBytes}`);
    assertEquals(output.datagrams.reduce((sum, { samples }) => sum + samples, 0), 20);
  }
});

test("each message fills its datagram, and goes out at the latest with a flush", () => {
  const output = exported();
  for (let i = 0; i < 100; i++) output.take([sampleOf(PLAIN)]);
  output.flush();
  const sizes = output.datagrams.map((datagram) => datagram.bytes.length);
  assert(sizes.slice(0, -1).every((size) => size > 1200), `${sizes}`);
  assertEquals(output.records().length, 100);
  assertEquals(output.flush().messages(), [], "nothing is due");
});

test("whatever a sample has or lacks, its report is as its template says", () => {
  const { data: _, ...withoutData } = PLAIN;
  const tagged = join(FRAME.slice(0, 12), bytes("81000005"), FRAME.slice(12));
  const sections: SampleParts[] = [
    PLAIN,
    { ...PLAIN, data: tagged },
    withoutData,
    { ...PLAIN, in: 9, data: FRAME.slice(14) },
    { ...PLAIN, in: 9, protocol: 0x86dd, data: bytes(`60000000 0000 3b40 ${"00".repeat(32)}`) },
    { ...PLAIN, in: 9, data: bytes("45") },
  ];
  const others: SampleParts[] = [
    { isProbability: true, cookie: bytes("0000000100000002") },
    { tunnel: attributes([[0, number(8, 5, false)]]) },
    { originalBytes: 70_000 },
    { cookie: bytes("01") },
    { outTc: 3 },
    { occupancy: 4n },
    { latencyNs: 5n },
  ];
  const samples = sections.flatMap((section) =>
    [...Array(1 << others.length).keys()].map((chosen) => sampleOf(Object.assign({}, section, ...others.filter((_, i) => chosen & 1 << i))))
  );
  for (const maxDatagramBytes of [512, 1400]) {
    const devices = (index: number): Device => device(index, `eth${index}`, index === 9 ? 65534 : 1);
    const output = exported({ enterprise: 32473, maxDatagramBytes, strict: true }, devices);
    for (let i = 0; i < samples.length; i += 50) output.take(samples.slice(i, i + 50));
    const records = output.flush().records();
    assertEquals(records.length, samples.length);
    assertEquals(records.map(reported).sort(), samples.map((sample) => truth(sample, READ_NS, devices(sample.inIfindex!).type)).sort());
  }
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

test("any option out of its range is refused, and too little memory", () => {
  const wrong: IpfixPacketOptions[] = [
    { domain: 0 },
    { domain: 2 ** 32 },
    { maxDatagramBytes: 511 },
    { maxDatagramBytes: 65_508 },
    { templateRefreshMs: 99 },
    { headerBytes: -1 },
    { headerBytes: 1.5 },
    { enterprise: 0 },
    { oneIn: 0.5 },
    { refreshPhase: 1.5 },
    { domains: "group" as "rate" },
  ];
  for (const options of wrong) {
    const [[name, value]] = Object.entries(options) as [[string, unknown]];
    const error = assertThrows(() => exported(options), ArgumentError);
    assert(
      error.message.includes(`Cannot export IPFIX: ${name} ${typeof value === "string" ? `"${value}"` : value} is not `),
      error.message,
    );
  }
  assertThrows(() => new IpfixPacketEncoder(new Datagrams(new Uint8Array(1399), 1), () => {}), ArgumentError, "1400 bytes");
});

test("every recording of a kernel comes out as it went in", async () => {
  const folder = fileURLToPath(new URL("../../golden/", import.meta.url));
  const names = readdirSync(folder, { recursive: true, encoding: "utf8" }).filter((name) => /\.pcap(ng)?$/.test(name));
  assert(names.length > 30);
  for (const name of names) {
    await using source = await readRecording(folder + name);
    const output = exported({ enterprise: 32473, strict: true });
    const expected: string[] = [];
    for await (const batch of source.lentBatches()) {
      batch.entries.forEach((entry, i) => {
        if (entry.type === "sample") expected.push(truth(entry, batch.timeNs(i), batch.device(i)?.type));
      });
      output.encoder.take(batch);
    }
    output.encoder.end(READ_NS);
    assertEquals(output.records().map(reported).sort(), expected.sort(), name);
  }
});

function truth(sample: SampleView, timeNs: bigint, arphrd: number | undefined): string {
  const { data, originalBytes, inIfindex, outIfindex, group, cookie, latencyNs, outTc } = sample;
  const section = data && data.length > 0 ? toHex(data.slice(0, 128)) : undefined;
  return JSON.stringify({
    at: timeNs.toString(),
    in: inIfindex ?? 0,
    out: outIfindex ?? 0,
    direction: outIfindex === undefined ? 0 : 1,
    size: originalBytes ?? data?.length ?? 0,
    group: group ?? 0,
    [linkTypeOf(arphrd, sample.protocol, data) === "ethernet" ? "frame" : "ip"]: section,
    cookie: cookie && toHex(cookie),
    latency: latencyNs?.toString(),
    queue: outTc,
  });
}

function reported(record: IpfixRecord): string {
  const has = (key: string): boolean => record.fields.has(key);
  return JSON.stringify({
    at: ntpNs(record).toString(),
    in: unsigned(record, "10"),
    out: unsigned(record, "14"),
    direction: unsigned(record, "61"),
    size: unsigned(record, has("352") ? "352" : "312"),
    group: unsigned(record, "302") % 2 ** 32,
    ...(has("315") ? { frame: hexOf(record, "315") } : {}),
    ...(has("313") ? { ip: hexOf(record, "313") } : {}),
    cookie: has("32473/1") ? hexOf(record, "32473/1") : undefined,
    latency: has("32473/4") ? unsigned64(record, "32473/4").toString() : undefined,
    queue: has("32473/2") ? unsigned(record, "32473/2") : undefined,
  });
}
