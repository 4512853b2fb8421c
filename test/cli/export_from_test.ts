/** `psample export --from`: what collectors get is what was recorded. */
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { assert, assertEquals, assertMatch, assertNotMatch, assertStringIncludes } from "@std/assert";
import { whyUnreached } from "../../cli/collector_accounts.ts";
import { processIo } from "../../cli/io.ts";
import { main } from "../../cli/main.ts";
import type { ExportSink, Sample } from "../../mod.ts";
import { readRecording } from "../../src/receive/recording.ts";
import { decodeDatagram, type DecodedSample, headerOf } from "../export/sflow/decoder.ts";
import { IpfixDecoder, type IpfixRecord, unsigned, unsigned64 } from "../export/ipfix/decoder.ts";
import { pcapFile } from "../support/capture_files.ts";
import { pieces } from "../support/reading.ts";
import { UdpReceiver } from "../support/udp_receiver.ts";
import { type FakeIo, fakeIo, type FakeIoOptions } from "./fake_io.ts";

const GOLDEN = new URL("../golden/", import.meta.url).pathname;

async function run(args: readonly string[], options?: FakeIoOptions): Promise<FakeIo & { status: number }> {
  const io = fakeIo(options);
  return Object.assign(io, { status: await main(["export", ...args], io) });
}

/** The samples of recordings, with their times. */
async function recorded(...files: readonly Uint8Array[]): Promise<{ sample: Sample; timeNs: bigint }[]> {
  const all: { sample: Sample; timeNs: bigint }[] = [];
  for (const file of files) {
    await using source = await readRecording(pieces(file));
    for await (const batch of source.lentBatches()) {
      batch.entries.forEach((entry, i) => {
        if (entry.type === "sample") all.push({ sample: entry.copy(), timeNs: batch.timeNs(i) });
      });
    }
  }
  return all;
}

/** What was sent to both collectors, once all of it has arrived: so many datagrams as the account says. */
async function exported(
  args: readonly string[],
  options?: FakeIoOptions,
): Promise<{ samples: DecodedSample[]; records: IpfixRecord[]; errors: string }> {
  using sflow = new UdpReceiver();
  using ipfix = new UdpReceiver();
  const words = ["--sflow", sflow.target, "--ipfix", ipfix.target, "--agent", "192.0.2.1", "--header", "512"];
  const { status, errors } = await run([...args, ...words], options);
  assertEquals(status, 0, errors());
  const [first, second] = [...errors().matchAll(/(\d+) datagrams? sent/g)].map(([, count]) => Number(count));
  const samples = (await sflow.until(first!)).flatMap((bytes) => decodeDatagram(new Uint8Array(bytes)).samples);
  const decoder = new IpfixDecoder();
  const records = (await ipfix.until(second!)).flatMap((bytes) => decoder.read(bytes).records).filter(({ scopes }) => scopes === 0);
  return { samples, records, errors: errors() };
}

/** Nanoseconds since 1970 of a time as NTP has it: seconds since 1900, and 32 bits of a fraction. */
function ntpNs(time: bigint): bigint {
  return ((time >> 32n) - 2_208_988_800n) * 1_000_000_000n + ((time & 0xffffffffn) * 1_000_000_000n >> 32n);
}

test("a recording that is exported equals itself to the sample, byte, interface, rate and time", async () => {
  for (const name of ["ingress.new", "forward.new", "rate100.new", "trunc64.old", "two-groups.new", "tun.new"]) {
    const path = `${GOLDEN}${name}.pcap`;
    const expected = await recorded(new Uint8Array(readFileSync(path)));
    const { samples, records } = await exported(["--from", path, "--speed", "max"]);
    const packets = expected.map(({ sample }) => [
      [...sample.data ?? []],
      sample.originalBytes,
      sample.inIfindex ?? (sample.outIfindex === undefined ? 0 : 0x3fffffff),
      sample.outIfindex,
      sample.oneIn,
    ]);
    assertEquals(
      samples.map((sample, i) => {
        const { frameLength, stripped, header } = headerOf(sample);
        const out = expected[i]?.sample.outIfindex === undefined ? undefined : sample.output;
        return [[...header], frameLength - stripped, sample.input, out, sample.rate];
      }),
      packets,
      `${name} as sFlow`,
    );
    assertEquals(
      records.map((record, i) => {
        const { sample } = expected[i]!;
        const has = (key: string): boolean => record.fields.has(key);
        return [
          [...record.fields.get("315") ?? record.fields.get("313") ?? []],
          unsigned(record, "312"),
          sample.inIfindex === undefined ? undefined : unsigned(record, "10"),
          sample.outIfindex === undefined || !has("14") ? undefined : unsigned(record, "14"),
        ];
      }),
      expected.map(({ sample }) => [[...sample.data ?? []], sample.originalBytes, sample.inIfindex, sample.outIfindex]),
      `${name} as IPFIX`,
    );
    for (const [i, record] of records.entries()) {
      const off = ntpNs(unsigned64(record, "325")) - expected[i]!.timeNs;
      assert(off <= 1n && off >= -1n, `${name}: sample ${i} is ${off} ns off`);
    }
  }
});

test("packets of tcpdump come at their own times, and several recordings one after the other", async () => {
  const frame = (last: number): Uint8Array =>
    Uint8Array.from({ length: 60 }, (_, i) => i === 12 ? 8 : i === 14 ? 0x45 : i === 59 ? last : 0);
  const file = (...records: readonly (readonly [number, number])[]): Uint8Array =>
    pcapFile(records.map(([last, fraction]) => ({ seconds: 1784000000, fraction, bytes: frame(last) })), { linkType: 1 });
  const input = { "a.pcap": file([1, 0], [2, 400_000]), "b.pcap": file([3, 600_000]) };
  const startMs = performance.now();
  const { samples, records } = await exported(["--from", "a.pcap", "--from", "b.pcap", "--speed", "2"], { input });
  assert(performance.now() - startMs >= 300, "they came before their time");
  assertEquals(samples.map((sample) => headerOf(sample).header[59]), [1, 2, 3]);
  // The fraction of a time is rounded.
  const tenths = records.map((record) => Number((ntpNs(unsigned64(record, "325")) + 1n) / 100_000_000n % 10n));
  assertEquals(tenths, [0, 4, 6]);
});

test("groups and packets are chosen, samples counted off, and the account says what was left out", async () => {
  const path = `${GOLDEN}two-groups.new.pcap`;
  const all = await recorded(new Uint8Array(readFileSync(path)));
  const group = all[0]!.sample.group!;
  const own = all.filter(({ sample }) => sample.group === group);
  const chosen = await exported(["--from", path, "--speed", "max", "-g", `${group}`]);
  assertEquals([chosen.samples.length, chosen.records.length], [own.length, own.length]);
  assertMatch(chosen.errors, new RegExp(`psample: read ${own.length} samples; (\\d+ group events?; )?\\d+ of other groups`));
  const counted = await exported(["--from", path, "--speed", "max", "--filter", "ip", "-c", "1"]);
  assertEquals([counted.samples.length, counted.records.length], [1, 1]);
});

test("--loop begins again at the end, without a loss between two rounds, and ends if there is nothing to export", async () => {
  const path = `${GOLDEN}ingress.new.pcap`;
  const { length } = await recorded(new Uint8Array(readFileSync(path)));
  const count = 2 * length + 1;
  const { samples, records, errors } = await exported(["--from", path, "--speed", "max", "--loop", "-c", `${count}`]);
  assertEquals([samples.length, records.length, samples.at(-1)!.drops], [count, count, 0]);
  assertMatch(errors, new RegExp(`psample: read ${count} samples; (.*; )?3 rounds; sFlow`));
  using sflow = new UdpReceiver();
  const nothing = await run([
    "--from",
    path,
    "--speed",
    "max",
    "--loop",
    "--filter",
    "host 203.0.113.99",
    "--sflow",
    sflow.target,
    "--agent",
    "192.0.2.1",
  ]);
  assertEquals(nothing.status, 1);
  assertMatch(nothing.errors(), /--loop: nothing in the recordings was exported, so psample stops here/);
});

test("what is about sampling now is refused beside a recording, with 2", async () => {
  const target = ["--sflow", "192.0.2.9"];
  for (
    const [args, why] of [
      [["--speed", "2", ...target], /--speed requires --from FILE/],
      [["--loop", ...target], /--loop requires --from FILE/],
      [["--from", "-", "--loop", ...target], /--loop requires files: standard input can be read only once/],
      [["--from", "a.pcap", "--speed", "x", ...target], /--speed is "x": expected a number above 0/],
      [["--from", "a.pcap", "eth0", ...target], /"eth0" is sampled now: they cannot be combined \(several recordings: --from for each\)/],
      [["--from", "a.pcap", "--rate", "7", ...target], /--rate is not for recordings/],
      [["--from", "a.pcap", "--check", ...target], /--check is not for recordings/],
      [["--from", "-", "--from", "-", ...target], /standard input was given twice/],
      [["--from", "a.pcap"], /nowhere to export to/],
    ] as const
  ) {
    const { status, errors } = await run(args);
    assertEquals(status, 2, errors());
    assertMatch(errors(), why);
  }
  const missing = await run(["--from", "no-such.pcap", ...target]);
  assertEquals(missing.status, 1);
  assertMatch(missing.errors(), /no-such\.pcap/);
});

test("a collector that took nothing at all is reported, with 1: by UDP if an error came back for each datagram", async () => {
  const path = `${GOLDEN}ingress.new.pcap`;
  const { length } = await recorded(new Uint8Array(readFileSync(path)));
  using there = new UdpReceiver();
  // Nothing listens on port 9, discard.
  const from = ["--from", path, "--speed", "max"];
  const stream = await run([...from, "--sflow", there.target, "--agent", "192.0.2.1", "--ipfix", "tcp:127.0.0.1:9"]);
  assertEquals(stream.status, 1);
  const told = `psample: read ${length} samples; .*0 messages sent.* dropped with ${length} samples \\(ECONNREFUSED\\)\n`;
  assertMatch(
    stream.errors(),
    new RegExp(`${told}psample: nothing was sent to IPFIX tcp:127\\.0\\.0\\.1:9: all of it was dropped \\(ECONNREFUSED\\)\n$`),
  );
  const report = await run([...from, "--quiet", "--otlp", "http://127.0.0.1:9"]);
  assertEquals(report.status, 1);
  assertMatch(report.errors(), /^psample: no report was delivered to OTLP http:\/\/127\.0\.0\.1:9\/v1\/metrics \(ECONNREFUSED\)\n$/);
  const datagrams = await run([...from, "--sflow", "127.0.0.1:9", "--agent", "192.0.2.1", "-c", "1"]);
  assertEquals(datagrams.status, 1, datagrams.errors());
  assertMatch(
    datagrams.errors(),
    /psample: read 1 sample; (.*; )?sFlow \S+: 1 datagram sent, errors came back for at least 1 \(ECONNREFUSED\)\npsample: nothing was delivered to sFlow 127\.0\.0\.1:9: errors came back for all of it \(ECONNREFUSED\)\n$/,
  );
  for (const words of [["--sflow", "127.0.0.1:9", "--agent", "192.0.2.1"], ["--ipfix", "127.0.0.1:9"]]) {
    const all = await run([...from, "--quiet", ...words, "--max-datagram", "512"]);
    assertEquals(all.status, 1, all.errors());
    assertMatch(all.errors(), /psample: nothing was delivered to \S+ 127\.0\.0\.1:9: errors came back for all of it \(ECONNREFUSED\)\n$/);
  }
});

test("a collector by UDP that may have got something, or for which there was nothing, did not take nothing", () => {
  const sink = (counts: { readonly sent: number; readonly returned: number; readonly written: number }): ExportSink => {
    const { sent, returned, written } = counts;
    const datagrams = { sent, dropped: 0, droppedBy: {}, returned, returnedBy: returned > 0 ? "ECONNREFUSED" : undefined };
    return { name: "sFlow a", address: "a", written, skipped: 0, encoder: {}, datagrams } as unknown as ExportSink;
  };
  assertEquals(whyUnreached(sink({ sent: 3, returned: 2, written: 7 })), undefined);
  assertEquals(whyUnreached(sink({ sent: 3, returned: 0, written: 7 })), undefined);
  assertEquals(whyUnreached(sink({ sent: 1, returned: 1, written: 0 })), undefined, "templates only");
  assertEquals(whyUnreached(sink({ sent: 0, returned: 0, written: 0 })), undefined);
  assertEquals(
    whyUnreached(sink({ sent: 3, returned: 3, written: 7 })),
    "nothing was delivered to sFlow a: errors came back for all of it (ECONNREFUSED)",
  );
});

test("a recording that is cut off: what was exported of it is said, and then what is wrong, with 1", async () => {
  const whole = new Uint8Array(readFileSync(`${GOLDEN}ingress.new.pcap`));
  const cut = whole.subarray(0, whole.length - 10);
  using there = new UdpReceiver();
  const io = await run(["--from", "cut.pcap", "--speed", "max", "--sflow", there.target, "--agent", "192.0.2.1"], {
    input: { "cut.pcap": cut },
  });
  assertEquals(io.status, 1);
  const { length } = await recorded(whole);
  assertMatch(
    io.errors(),
    new RegExp(
      `\npsample: read ${length - 1} samples; (.*; )?sFlow \\S+: \\d+ datagrams? sent\npsample: Cannot decode recording .*cut off here`,
    ),
  );
});

test("a recording that is not there, and could be a device: how to export that", async () => {
  const { status, errors } = await run(["--from", "va", "--sflow", "192.0.2.1"]);
  assertEquals(status, 1);
  assertMatch(errors(), /; to sample a device of that name, psample export va\n$/);
});

test("what is the same by two names is said: a collector, which gets everything twice, and a recording, which counts twice", async () => {
  using there = new UdpReceiver();
  const port = there.target.split(":").at(-1)!;
  const path = `${GOLDEN}ingress.new.pcap`;
  const words = ["--speed", "max", "--agent", "192.0.2.1"];
  const real = async (...args: string[]): Promise<FakeIo & { status: number }> => {
    const io = Object.assign(fakeIo(), { openRecording: processIo().openRecording });
    return Object.assign(io, { status: await main(["export", ...args], io) });
  };
  const once = await real("--from", path, ...words, "--sflow", there.target, "--ipfix", there.target);
  assertNotMatch(once.errors(), /twice/);
  const twice = await real(
    ...["--from", path, "--from", path, "--from", `${GOLDEN}./ingress.new.pcap`, ...words],
    ...["--sflow", there.target, "--sflow", `localhost:${port}`],
  );
  assertEquals([once.status, twice.status], [0, 0]);
  assertStringIncludes(twice.errors(), `psample: ${path} was given twice, and is read twice\n`);
  assertStringIncludes(
    twice.errors(),
    `psample: ${GOLDEN}./ingress.new.pcap is the same file: ${path} was given twice, and is read twice\n`,
  );
  assertStringIncludes(
    twice.errors(),
    `psample: sFlow localhost:${port} (127.0.0.1:${port}) is the same collector as sFlow ${there.target}: it is sent everything twice\n`,
  );
});
