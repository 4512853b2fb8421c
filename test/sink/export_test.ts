/** What programs send to collectors: through a real socket, read back by decoders that know nothing of the encoders. */
import { test } from "node:test";
import { assert, assertEquals, assertRejects } from "@std/assert";
import { ArgumentError, ipfixFlowsTo, ipfixTo, pump, sflowTo } from "../../mod.ts";
import { sflowToWith } from "../../src/sink/export.ts";
import { decodeDatagram, headerOf } from "../export/sflow/decoder.ts";
import { IpfixDecoder } from "../export/ipfix/decoder.ts";
import { FakeSys } from "../fake_sys.ts";
import { recordedSamples } from "../psample/recordings.ts";
import { BatchesSource } from "../support/batches.ts";
import { doneMessage } from "../support/messages.ts";
import { UdpReceiver } from "../support/udp_receiver.ts";

const samples = recordedSamples();
const source = (): BatchesSource => new BatchesSource([samples.slice(0, 10), samples.slice(10)]);

test("sflowTo sends each sample of a pump once, as the agent that it is told to be", async () => {
  using receiver = new UdpReceiver();
  const sink = await sflowTo(receiver.target, { agent: "192.0.2.1", headerBytes: 64, subAgent: 3 });
  assertEquals([sink.name, sink.address], [`sFlow ${receiver.target}`, receiver.target]);
  const summary = await pump(source(), [], [sink]);
  assertEquals([summary.samples, summary.sinks[0]!.written, summary.sinks[0]!.skipped], [samples.length, samples.length, 0]);
  const datagrams = (await receiver.until(sink.datagrams.sent)).map((bytes) => decodeDatagram(new Uint8Array(bytes)));
  assertEquals(
    datagrams.map(({ agent, subAgent, sequence }) => [agent, subAgent, sequence]),
    datagrams.map((_, i) => ["192.0.2.1", 3, i + 1]),
  );
  assertEquals(
    datagrams.flatMap(({ samples }) => samples.map((sample) => headerOf(sample).header.length)),
    samples.map(({ dataBytes }) => Math.min(64, dataBytes)),
  );
});

test("sflowTo takes an address of this machine for the agent's unless it is told one", async () => {
  using receiver = new UdpReceiver();
  const sink = await sflowTo(receiver.target);
  await pump(source(), [], [sink]);
  const agents = new Set((await receiver.until(1)).map((bytes) => decodeDatagram(new Uint8Array(bytes)).agent));
  assertEquals(agents.size, 1);
  const sys = new FakeSys();
  sys.answer = ({ sequence }, socket) => sys.reply(socket, doneMessage(sequence));
  await assertRejects(
    () => sflowToWith(sys, "192.0.2.9"),
    ArgumentError,
    "no address that collectors could know it by; set `agent` to one",
  );
  sys.assertClean();
});

test("ipfixTo sends each sample of a pump once, templates first", async () => {
  using receiver = new UdpReceiver();
  const sink = await ipfixTo(receiver.target, { domain: 7, maxDatagramBytes: 600 });
  const summary = await pump(source(), [], [sink]);
  assertEquals([summary.samples, summary.sinks[0]!.written, summary.sinks[0]!.skipped], [samples.length, samples.length, 0]);
  const decoder = new IpfixDecoder();
  const messages = await receiver.until(sink.datagrams.sent);
  assert(messages.every(({ length }) => length <= 600));
  const records = messages.map((bytes) => decoder.read(bytes)).flatMap(({ records }) => records);
  assertEquals(records.filter(({ scopes }) => scopes === 0).length, samples.length);
});

test("ipfixFlowsTo sends at the end what it has added up, and every sample counts", async () => {
  using receiver = new UdpReceiver();
  const sink = await ipfixFlowsTo(receiver.target);
  const summary = await pump(source(), [], [sink]);
  assertEquals([summary.samples, summary.sinks[0]!.written, summary.sinks[0]!.skipped], [samples.length, samples.length, 0]);
  const decoder = new IpfixDecoder();
  const records = (await receiver.until(sink.datagrams.sent)).map((bytes) => decoder.read(bytes)).flatMap(({ records }) => records);
  const flows = records.filter(({ scopes }) => scopes === 0).length;
  assert(flows > 0 && flows < samples.length, `${flows} flows`);
});

test("wrong targets and options are refused before anything is sent", async () => {
  await assertRejects(() => sflowTo("192.0.2"), ArgumentError, '"192.0.2" is not an IPv4 address');
  await assertRejects(() => sflowTo("192.0.2.9", { agent: "x" }), ArgumentError, 'agent "x" is not an IPv4 or IPv6 address');
  await assertRejects(() => sflowTo("192.0.2.9", { agent: "192.0.2.1", maxDatagramBytes: 1 }), ArgumentError, "maxDatagramBytes 1 is not");
  await assertRejects(() => ipfixTo("192.0.2.9", { domain: 0 }), ArgumentError, "domain 0 is not");
});
