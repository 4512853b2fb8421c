/** Options of `psample export` on their way through the command: each changes what is sent as its help says. */
import { test } from "node:test";
import { assert, assertEquals } from "@std/assert";
import { main } from "../../cli/main.ts";
import type { SampleView } from "../../mod.ts";
import { PcapngWriter } from "../../src/format/pcapng/writer.ts";
import { viewMessage } from "../../src/psample/group.ts";
import { messageOf } from "../../src/wire/message.ts";
import { readJson } from "../export/otlp/reader.ts";
import { IpfixDecoder, type IpfixRecord, unsigned } from "../export/ipfix/decoder.ts";
import { decodeDatagram, type DecodedDatagram } from "../export/sflow/decoder.ts";
import { recordedSamples } from "../psample/recordings.ts";
import { pcapFile } from "../support/capture_files.ts";
import { ask } from "../support/http.ts";
import { OtlpReceiver } from "../support/otlp_receiver.ts";
import { record } from "../support/recorded.ts";
import { TcpReceiver } from "../support/tcp_receiver.ts";
import { UdpReceiver } from "../support/udp_receiver.ts";
import { until } from "../support/waiting.ts";
import { type FakeIo, fakeIo, type FakeIoOptions } from "./fake_io.ts";

const fileOf = (name: string): string => new URL(`../golden/${name}.pcap`, import.meta.url).pathname;

/** Exports recordings, and returns the numbers of datagrams that the account has, collector by collector. */
async function exported(words: readonly string[], options?: FakeIoOptions): Promise<number[]> {
  const io = fakeIo(options);
  assertEquals(await main(["export", "--speed", "max", ...words], io), 0, io.errors());
  return [...io.errors().matchAll(/(\d+) (?:datagram|message)s? sent/g)].map(([, count]) => Number(count));
}

async function asSflow(words: readonly string[], options?: FakeIoOptions): Promise<DecodedDatagram[]> {
  using receiver = new UdpReceiver();
  const [sent] = await exported([...words, "--sflow", receiver.target, "--agent", "192.0.2.1"], options);
  return (await receiver.until(sent!)).map((bytes) => decodeDatagram(new Uint8Array(bytes)));
}

async function asIpfix(words: readonly string[]): Promise<IpfixRecord[]> {
  using receiver = new UdpReceiver();
  const [sent] = await exported([...words, "--ipfix", receiver.target]);
  const decoder = new IpfixDecoder();
  return (await receiver.until(sent!)).flatMap((bytes) => decoder.read(bytes).records);
}

/** Starts an export that goes on until it is ended. */
async function started(words: readonly string[], options?: FakeIoOptions): Promise<{ io: FakeIo; end: () => Promise<number> }> {
  const io = fakeIo(options);
  const running = main(["export", ...words], io);
  await until(() => `it exports: ${io.errors()}`, () => io.errors().includes("exporting to "));
  return { io, end: () => (assert(io.signal("SIGINT")), running) };
}

/** A file that does not end before it is told to. */
async function* lasting(file: Uint8Array, ended: Promise<void>): AsyncGenerator<Uint8Array> {
  yield file;
  await ended;
}

/** The records of sFlow about tunnels: of IPv4 and IPv6 on the way out and in, and their VNI. */
const TUNNEL_RECORDS = [1023, 1024, 1025, 1026, 1029, 1030];

test("--sflow-tunnels adds the records of tunnels and their VNI, and changes nothing else", async () => {
  for (const [name, expected] of [["vxlan4.new", [1023, 1024, 1029, 1030]], ["vxlan6.new", [1025, 1026, 1029, 1030]]] as const) {
    const [plain, tunnels] = [
      await asSflow(["--from", fileOf(name)]),
      await asSflow(["--from", fileOf(name), "--sflow-tunnels"]),
    ].map((datagrams) => datagrams.flatMap(({ samples }) => samples)) as [DecodedDatagram["samples"], DecodedDatagram["samples"]];
    const formats = new Set(tunnels.flatMap(({ records }) => records.map(({ format }) => format)));
    assertEquals([...formats].filter((format) => TUNNEL_RECORDS.includes(format)).sort(), expected, name);
    const others = tunnels.map((sample) => ({
      ...sample,
      records: sample.records.filter(({ format }) => !TUNNEL_RECORDS.includes(format)),
    }));
    assertEquals(others, plain, name);
  }
});

test("--agent-for gives a namespace an agent address of its own; without, it is a sub-agent", async () => {
  // As --all-namespaces records them.
  const samples = recordedSamples().slice(0, 3).flatMap(({ message }) =>
    [undefined, 3, 4].map((nsid) => viewMessage(messageOf(message), nsid) as SampleView)
  );
  const input = { "all.pcapng": record(new PcapngWriter(), samples) };
  const agents = async (...words: string[]): Promise<string[]> => {
    const datagrams = await asSflow(["--from", "all.pcapng", "--sub-agent", "20", ...words], { input });
    assertEquals(datagrams.flatMap(({ samples }) => samples).length, samples.length);
    return [...new Set(datagrams.map(({ agent, subAgent }) => `${agent} ${subAgent}`))].sort();
  };
  assertEquals(await agents(), ["192.0.2.1 20", "192.0.2.1 24", "192.0.2.1 25"]);
  assertEquals(await agents("--agent-for", "3=192.0.2.33", "--agent-for", "4=2001:db8::4"), [
    "192.0.2.1 20",
    "192.0.2.33 20",
    "20010db8000000000000000000000004 20",
  ]);
});

test("--scale multiplies the numbers of --flows by the rate, and tells collectors that nothing was sampled", async () => {
  const words = ["--from", fileOf("rate100.new"), "--flows"];
  const totals = (records: readonly IpfixRecord[]): number[] =>
    ["1", "2"].map((key) => records.filter(({ scopes }) => scopes === 0).reduce((sum, record) => sum + unsigned(record, key), 0));
  /** One packet of how many is sampled: samplingPacketInterval 1 and samplingPacketSpace N - 1, and samplingInterval N. */
  const rates = (records: readonly IpfixRecord[]): string[] =>
    [
      ...new Set(
        records.flatMap((record) =>
          ["305", "306", "34"].filter((key) => record.fields.has(key)).map((key) => `${key}: ${unsigned(record, key)}`)
        ),
      ),
    ].sort();
  const [plain, scaled] = [await asIpfix(words), await asIpfix([...words, "--scale"])];
  assertEquals(totals(scaled), totals(plain).map((total) => 100 * total));
  assert(totals(plain).every((total) => total > 0));
  assertEquals([rates(plain), rates(scaled)], [["305: 1", "306: 99", "34: 100"], ["305: 1", "306: 0", "34: 1"]]);
});

test("--ipfix-spool is how much waits for a collector that is not there yet", async () => {
  const PACKETS = 2000;
  const frame = Uint8Array.from({ length: 200 }, (_, i) => i === 12 ? 8 : i === 14 ? 0x45 : 0);
  const file = pcapFile(Array.from({ length: PACKETS }, () => ({ bytes: frame })), { linkType: 1 });
  for (const [spool, holdsAll] of [["131072", false], ["4MB", true]] as const) {
    const place = await TcpReceiver.listen();
    await place.close();
    let release = (): void => {};
    const ended = new Promise<void>((resolve) => release = resolve);
    const words = ["--from", "-", "--header", "200", "--ipfix", `tcp:${place.target}`, "--ipfix-spool", spool];
    const { io, end } = await started(words, { input: { "-": lasting(file, ended) } });
    const waits = (): [waiting: number, dropped: number] => {
      io.signal("SIGUSR1");
      const last = io.errors().trimEnd().split("\n").at(-1)!;
      const [, waiting = 0] = / with (\d+) samples? waiting/.exec(last) ?? [];
      const [, dropped = 0] = / dropped with (\d+) samples?/.exec(last) ?? [];
      return [Number(waiting), Number(dropped)];
    };
    await until(() => `all have been taken in: ${io.errors()}`, () => waits().reduce((sum, count) => sum + count) === PACKETS);
    const [waiting, dropped] = waits();
    assertEquals([waiting > 0, dropped === 0], [true, holdsAll], `${spool}: ${waiting} and ${dropped}`);
    await using collector = await TcpReceiver.listen({ port: place.port });
    const arrived = (): number => {
      const decoder = new IpfixDecoder();
      const { messages } = collector.messages();
      return messages.flatMap((bytes) => decoder.read(bytes, { gaps: true }).records).filter(({ scopes }) => scopes === 0).length;
    };
    await until(() => `${waiting} have arrived: ${arrived()} ${io.errors()}`, () => arrived() === waiting);
    release();
    await end();
  }
});

test("--prometheus-host is a name that is answered to; others are not", async () => {
  const words = ["--from", fileOf("rate100.new"), "--speed", "0.000001", "--prometheus", "0"];
  for (const names of [[], ["router.example.net"], ["router.example.net", "r1"]]) {
    const { io, end } = await started([...words, ...names.flatMap((name) => ["--prometheus-host", name])]);
    const [, port] = /Prometheus at http:\/\/127\.0\.0\.1:(\d+)\//.exec(io.errors())!;
    for (const host of ["router.example.net", "r1", "r2", "localhost"]) {
      const { status } = await ask(Number(port), "GET /metrics HTTP/1.1", `Host: ${host}:${port}`);
      assertEquals(status, host === "localhost" || names.includes(host) ? 200 : 403, `${host} with ${names}`);
    }
    assertEquals(await end(), 0, io.errors());
  }
});

test("--otlp-resource adds attributes of the resource, replaces those that there are, and leaves empty ones out", async () => {
  await using receiver = await OtlpReceiver.listen();
  const words = ["--from", fileOf("rate100.new"), "--otlp", receiver.url, "--otlp-encoding", "json"];
  const resource = async (...more: string[]): Promise<Record<string, string | number>> => {
    const before = receiver.reports.length;
    await exported([...words, ...more]);
    assertEquals(receiver.reports.length, before + 1);
    return readJson(receiver.reports.at(-1)!.body).resource;
  };
  const plain = await resource();
  assertEquals(Object.keys(plain).sort(), ["host.name", "service.instance.id", "service.name", "service.version"]);
  assertEquals(plain["service.name"], "psample");
  const given = ["service.instance.id=edge1", "deployment.environment.name=lab=1", "host.name="];
  const { "host.name": _left, ...others } = plain;
  assertEquals(await resource(...given.flatMap((pair) => ["--otlp-resource", pair])), {
    ...others,
    "service.instance.id": "edge1",
    "deployment.environment.name": "lab=1",
  });
});
