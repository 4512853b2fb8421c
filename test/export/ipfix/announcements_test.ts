/** What collectors are told beside packets and flows: templates, rates, names, and PSAMP's own reports; when, and in which domain. */
import { test } from "node:test";
import { assert, assertEquals } from "@std/assert";
import type { IpfixPacketOptions } from "../../../src/export/ipfix/options.ts";
import { IpfixPacketEncoder } from "../../../src/export/ipfix/packet_encoder.ts";
import type { Device } from "../../../src/link/device.ts";
import { bytes } from "../../psample/build.ts";
import { Exported, READ_NS, sampleOf, type SampleParts } from "./exported.ts";
import { IpfixDecoder, type IpfixRecord, unsigned } from "./decoder.ts";

const SECOND = 1_000_000_000n;
const PLAIN: SampleParts = {
  in: 2,
  group: 1,
  rate: 1000,
  originalBytes: 60,
  timestampNs: READ_NS,
  data: bytes("020000000002 020000000001 0806 0001"),
};

function exported(options: IpfixPacketOptions = {}, devices?: (ifindex: number) => Device | undefined): Exported<IpfixPacketEncoder> {
  return new Exported((datagrams, send) => new IpfixPacketEncoder(datagrams, send, options), devices);
}

const float64 = (record: IpfixRecord, key: string): number => {
  const value = record.fields.get(key)!;
  return new DataView(value.buffer).getFloat64(0);
};
const text = (value: Uint8Array): string => new TextDecoder().decode(value);

/** The announcements of a selector: domain, 34, selector, 304, 305, 306. */
function rates(output: Exported<IpfixPacketEncoder>): number[][] {
  return output.messages().flatMap(({ records }) =>
    records.flatMap((record, i) => {
      if (!record.fields.has("304")) return [];
      const before = records[i - 1]!;
      assertEquals(
        [unsigned(before, "149"), unsigned(before, "35")],
        [before.domain, 2],
        "first the rate of the domain, in the same message",
      );
      return [[before.domain, unsigned(before, "34"), ...["302", "304", "305", "306"].map((key) => unsigned(record, key))]];
    })
  );
}

test("before the first report: its template, and the rate in every form that collectors look for, alone in its set", () => {
  const [message] = exported().take([sampleOf(PLAIN)]).flush().messages();
  const [rate, selector, losses, report] = message!.records;
  assertEquals([...rate!.fields.keys()], ["149", "34", "35"]);
  assertEquals([rate!.scopes, unsigned(rate!, "149"), unsigned(rate!, "34"), unsigned(rate!, "35")], [1, 1, 1000, 2]);
  assertEquals([...selector!.fields.keys()], ["302", "304", "305", "306", "311"]);
  assertEquals([selector!.scopes, ...["302", "304", "305", "306"].map((key) => unsigned(selector!, key))], [1, 1, 4, 1, 999]);
  assertEquals(float64(selector!, "311"), 0.001);
  assertEquals([...losses!.fields.keys()], ["149", "164"]);
  assertEquals(report!.scopes, 0);
  assertEquals(message!.sets, [3, 3, 259, 257, 3, 263, 2, report!.template]);
});

test("a rate of 1 in 1 is announced too, and that of samples without one as told", () => {
  assertEquals(rates(exported().take([sampleOf({ ...PLAIN, rate: 1 })]).flush()), [[1, 1, 1, 4, 1, 0]]);
  const { rate: _, ...unknown } = PLAIN;
  assertEquals(rates(exported().take([sampleOf(unknown)]).flush()), [[1, 1, 1, 4, 1, 0]]);
  assertEquals(rates(exported({ oneIn: 400 }).take([sampleOf(unknown), sampleOf({ ...PLAIN, rate: 0 })]).flush()), [
    [1, 400, 1, 4, 1, 399],
    [1, 400, 1 + 2 ** 32, 4, 1, 399],
  ]);
});

test("a probability is announced as a fraction, and exactly", () => {
  const probability = 0x1999_9999;
  const output = exported().take([sampleOf({ ...PLAIN, rate: probability, isProbability: true })]).flush();
  const selector = output.records("302")[0]!;
  assertEquals([unsigned(selector, "305"), unsigned(selector, "306")], [1000, 9000]);
  assert(Math.abs(float64(selector, "311") - probability / 0xffff_ffff) < 1e-15);
});

test("each rate has a domain of its own, or each selector its number in one", () => {
  const samples = [
    sampleOf(PLAIN),
    sampleOf({ ...PLAIN, rate: 10 }),
    sampleOf({ ...PLAIN, group: 7 }),
    sampleOf({ ...PLAIN, group: 0xffff_ffff, rate: 10 }),
    sampleOf({ ...PLAIN, portId: 5 }),
  ];
  const byRate = rates(exported({ domain: 9 }).take(samples).flush());
  assertEquals(byRate.map(([domain, n, selector]) => [domain, n, selector]), [
    [9, 1000, 1],
    [9, 1000, 7],
    [9, 1000, 1 + 2 ** 32],
    [10, 10, 1],
    [10, 10, 0xffff_ffff],
  ]);
  const inOne = rates(exported({ domains: "namespace" }).take(samples).flush());
  assertEquals(inOne.map(([domain, n, selector]) => [domain, n, selector]), [
    [1, 1000, 1],
    [1, 10, 1 + 2 ** 32],
    [1, 1000, 7],
    [1, 10, 0xffff_ffff],
    [1, 1000, 1 + 2 * 2 ** 32],
  ]);
});

test("the two records of a rate are never in different messages, which are never too large", () => {
  for (let maxDatagramBytes = 512; maxDatagramBytes < 560; maxDatagramBytes++) {
    const output = exported({ domains: "namespace", maxDatagramBytes, strict: true });
    output.take([...Array(60).keys()].map((group) => sampleOf({ ...PLAIN, group }))).flush();
    assertEquals(rates(output).length, 60);
    assertEquals(rates(output.flush(READ_NS + 30n * SECOND)).length, 60);
    assert(output.datagrams.every((datagram) => datagram.bytes.length <= maxDatagramBytes));
  }
});

test("templates, rates and names are sent again by the timer, before data, whether or not there is any", () => {
  const output = exported({ templateRefreshMs: 20_000 }, (index) => ({ index, name: `eth${index}`, type: 1, address: undefined }));
  const first = output.take([sampleOf(PLAIN)]).flush().messages();
  assertEquals(output.flush(READ_NS + 19n * SECOND).messages(), []);
  const [again, ...rest] = output.flush(READ_NS + 20n * SECOND).messages();
  assertEquals(rest, []);
  assertEquals(again!.exportSeconds, Number((READ_NS + 20n * SECOND) / SECOND));
  assertEquals(again!.records.map(({ template }) => template), [259, 257, 263, 261, 273]);
  assertEquals(again!.sets.filter((set) => set < 256), first[0]!.sets.filter((set) => set < 256));
  // With data, in a message before it.
  const [repeated, data] = output.take([sampleOf(PLAIN)], READ_NS + 40n * SECOND).flush(READ_NS + 40n * SECOND).messages();
  assertEquals(repeated!.records.map(({ template }) => template), [259, 257, 263, 261, 273]);
  assertEquals(data!.records.map(({ scopes }) => scopes), [0]);
  // A clock that was set back by an hour does not stop them for an hour.
  assertEquals(output.flush(READ_NS - 3600n * SECOND).messages().length, 1);
  assertEquals(output.flush(READ_NS - 3600n * SECOND).messages(), []);
});

test("by TCP a record of options never comes before its template, whenever it is due to be sent again", () => {
  // One that has a name needs another template; another rate in the domain of the first, another domain.
  const later: SampleParts[] = [{ ...PLAIN, in: 7 }, { ...PLAIN, rate: 10 }, { ...PLAIN, group: 2, in: 7 }];
  for (const maxDatagramBytes of [512, 1400]) {
    for (const domains of ["rate", "namespace"] as const) {
      for (let ms = 0n; ms <= 2500n; ms += 100n) {
        for (const parts of later) {
          const options = { transport: "tcp", templateRefreshMs: 1000, strict: true, domains, maxDatagramBytes, headerBytes: 0 } as const;
          const output = exported(options, (index) => index === 7 ? { index, name: "eth7", type: 1, address: undefined } : undefined);
          // The decoder throws if a template is missing.
          const begun = READ_NS + ms * 1_000_000n;
          output.take([sampleOf(PLAIN)]).flush(begun).take([sampleOf(parts)], begun).flush(begun + SECOND);
          output.take([sampleOf(PLAIN)], begun + 2n * SECOND).flush(begun + 3n * SECOND);
          const records = output.messages().flatMap(({ records }) => records);
          assertEquals(records.filter(({ scopes }) => scopes === 0).length, 3);
          // It was sent again at least once.
          assert(records.filter((record) => record.fields.has("304")).length > 1);
        }
      }
    }
  }
});

test("exporters that start together send templates at different times, if told", () => {
  const output = exported({ templateRefreshMs: 20_000, refreshPhase: 0.25 }).take([sampleOf(PLAIN)]).flush();
  output.messages();
  const at = [4, 5, 24, 25, 26].filter((seconds) => output.flush(READ_NS + BigInt(seconds) * SECOND).messages().length > 0);
  assertEquals(at, [5, 25]);
});

test("a new receiver is told everything first, also before a message that has begun", () => {
  const output = exported().take([sampleOf(PLAIN)]).flush();
  output.messages();
  output.take([sampleOf(PLAIN)]);
  output.encoder.announce();
  output.flush();
  const stranger = new IpfixDecoder();
  const { bytes: whole } = output.datagrams[1]!;
  // The stranger does not know the sequence: it begins with this message.
  const renumbered = output.datagrams.slice(1).map((datagram, i) => {
    const copy = datagram.bytes.slice();
    new DataView(copy.buffer).setUint32(8, i === 0 ? 0 : new DataView(copy.buffer).getUint32(8) - new DataView(whole.buffer).getUint32(8));
    return stranger.read(copy);
  });
  assertEquals(renumbered.map(({ records }) => records.filter(({ scopes }) => scopes === 0).length), [0, 1]);
  assertEquals(output.messages().length, 2, "and the sequence goes on");
});

test("interfaces are numbered and named as the machine does, and again if they are renamed", () => {
  let name = "eth0";
  // The kernel sends the low 16 bits of an index.
  const devices = (index: number): Device => ({ index: index + 0x10000, name: index === 2 ? name : "wan", type: 1, address: undefined });
  const output = exported({}, devices).take([sampleOf({ ...PLAIN, in: 3, out: 2 })]).flush();
  const records = output.messages().flatMap(({ records }) => records);
  const names = (of: readonly IpfixRecord[]): [number, string][] =>
    of.filter((record) => record.scopes > 0 && record.fields.has("82")).map((record) => [
      unsigned(record, "10"),
      text(record.fields.get("82")!),
    ]);
  assertEquals(names(records), [[0x10002, "eth0"], [0x10003, "wan"]]);
  const described = records.filter((record) => record.fields.has("83"));
  assertEquals(described.map((record) => [unsigned(record, "10"), text(record.fields.get("83")!)]), [
    [0x10002, "eth0".padEnd(32, "\0")],
    [0x10003, "wan".padEnd(32, "\0")],
  ]);
  const report = records.find(({ scopes }) => scopes === 0)!;
  assertEquals([unsigned(report, "10"), unsigned(report, "14")], [0x10003, 0x10002]);
  name = "lan";
  const renamed = output.take([sampleOf({ ...PLAIN, in: 3, out: 2 })]).flush().messages().flatMap(({ records }) => records);
  assertEquals(names(renamed), [[0x10002, "lan"]]);
});

test("what was lost is told", () => {
  const output = exported().take([sampleOf({ ...PLAIN, sequence: 0 }), sampleOf({ ...PLAIN, sequence: 10 })]).flush();
  output.messages();
  const told = output.flush(READ_NS + 30n * SECOND).records("149").filter((record) => record.fields.has("164"));
  assertEquals(told.map((record) => unsigned(record, "164")), [9]);
});

test("what the socket dropped is told of producers that do not number samples; gaps account for others", () => {
  const lost = (output: Exported<IpfixPacketEncoder>): number[] => {
    output.flush().messages();
    const told = output.flush(READ_NS + 30n * SECOND).records("149").filter((record) => record.fields.has("164"));
    return told.map((record) => unsigned(record, "164"));
  };
  assertEquals(lost(exported().take([sampleOf(PLAIN)], READ_NS, { dropped: 5 })), [5]);
  const numbered = exported().take([sampleOf({ ...PLAIN, sequence: 0 })]);
  numbered.take([sampleOf({ ...PLAIN, sequence: 6 })], READ_NS, { dropped: 5 });
  assertEquals(lost(numbered), [5]);
});

test("PSAMP's own reports on request: selection sequences, their statistics, and accuracy", () => {
  const output = exported({ strict: true, domains: "namespace" }).take([
    sampleOf({ ...PLAIN, sequence: 0 }),
    sampleOf({ ...PLAIN, sequence: 3 }),
    sampleOf({ ...PLAIN, in: 2, out: 5, group: 4, rate: 10 }),
  ]).flush();
  output.messages();
  const messages = output.flush(READ_NS + 30n * SECOND).messages();
  const records = messages.flatMap(({ records }) => records);
  // nfdump reads only the first record of a set.
  assertEquals(messages.flatMap(({ sets }) => sets).filter((set) => set >= 256).length, records.length);
  const sequences = records.filter((record) => record.fields.has("301") && record.fields.has("302"));
  assertEquals(sequences.map((record) => [...record.fields.keys()].map((key) => `${key}=${unsigned(record, key)}`)), [
    ["301=1", "10=2", "302=1"],
    ["301=2", "14=5", "302=4"],
  ]);
  const statistics = records.filter((record) => record.fields.has("318"));
  assertEquals(statistics.map((record) => ["301", "318", "319"].map((key) => unsigned(record, key))), [[1, 4000, 4], [2, 10, 1]]);
  const accuracy = records.filter((record) => record.fields.has("303"));
  assertEquals(accuracy.map((record) => [record.scopes, unsigned(record, "303"), float64(record, "320")]), [[1, 312, 8], [1, 325, 1]]);
});

test("packets observed are those that the samplers have counted, if that is told; they are shared out by what was selected, and never go back", () => {
  const output = exported({ strict: true });
  const observed = (): number[][] => {
    const records = output.flush().messages().flatMap(({ records }) => records).filter((record) => record.fields.has("318"));
    return records.map((record) => ["301", "318", "319"].map((key) => unsigned(record, key)));
  };
  const announced = (): number[][] => {
    output.encoder.announce();
    return observed();
  };
  output.take([sampleOf({ ...PLAIN, sequence: 0 })]);
  observed();
  assertEquals(announced(), [[1, 1000, 1]]);
  // From the first time on it is counted.
  output.encoder.setObserved(2, "ingress", 40n);
  output.encoder.setObserved(2, "egress", 1_000_000n);
  assertEquals(announced(), [[1, 1000, 1]]);
  output.encoder.setObserved(2, "ingress", 2540n);
  assertEquals(announced(), [[1, 3500, 1]]);
  // Samplers that were set up again.
  output.encoder.setObserved(2, "ingress", 500n);
  assertEquals(announced(), [[1, 4000, 1]]);
  // Another selector of the same packets, of another rate.
  output.take([sampleOf({ ...PLAIN, group: 9, rate: 10, sequence: 0 })]);
  observed();
  output.encoder.setObserved(2, "ingress", 1500n);
  assertEquals(announced(), [[1, 4000, 1], [1, 2500, 1]]);
});

test("a kernel that says no times has no accuracy of them", () => {
  const { timestampNs: _, ...untimed } = PLAIN;
  const output = exported({ strict: true }).take([sampleOf(untimed)]).flush();
  output.messages();
  const accuracy = output.flush(READ_NS + 30n * SECOND).records("303");
  assertEquals(accuracy.map((record) => unsigned(record, "303")), [312]);
});

test("a producer that makes up rates and devices does not make memory grow, and every sample is still announced", () => {
  const output = exported();
  const rates = 600;
  for (let i = 1; i <= rates; i++) output.take([sampleOf({ ...PLAIN, rate: i })]);
  output.flush();
  const records = output.records();
  assertEquals(records.length, rates);
  assertEquals(new Set(records.map(({ domain }) => domain)).size, rates, "a number is never used for another rate");
  // Of the forgotten ones nothing is sent any more.
  const messages = output.flush(READ_NS + 30n * SECOND).messages();
  assert(messages.length <= 256, `${messages.length}`);
});
