/** IPFIX by TCP, to a real listener on the loopback interface, read by a decoder that knows nothing of the encoder. */
import { test } from "node:test";
import { assert, assertEquals } from "@std/assert";
import { type ExportSink, ipfixFlowsTo, ipfixTo, pump, type SystemError } from "../../mod.ts";
import { ipfixToWith } from "../../src/sink/export.ts";
import { BatchBuffer } from "../../src/stream/batch.ts";
import type { Closing } from "../../src/stream/sink.ts";
import { loadSys } from "../../src/sys/load.ts";
import { IpfixDecoder, type IpfixRecord } from "../export/ipfix/decoder.ts";
import { recordedSamples } from "../psample/recordings.ts";
import { BatchesSource } from "../support/batches.ts";
import { TcpReceiver } from "../support/tcp_receiver.ts";
import { UdpReceiver } from "../support/udp_receiver.ts";
import { until } from "../support/waiting.ts";

const samples = recordedSamples();
const source = (): BatchesSource => new BatchesSource([samples.slice(0, 10), samples.slice(10)]);
const CLOSING = {} as Closing;

function give(sink: ExportSink, times = 1): void {
  const batch = new BatchBuffer();
  batch.readAtNs = 1_784_000_000_000_000_000n;
  for (let i = 0; i < times; i++) {
    batch.clear();
    for (const sample of samples) batch.add(sample, 0);
    sink.take(batch);
  }
}

/** The packet reports of a connection; throws if it does not begin with the templates, or a number is missing. */
function reportsOf(receiver: TcpReceiver, stream = 0): IpfixRecord[] {
  const decoder = new IpfixDecoder();
  return receiver.messages(stream).messages.flatMap((bytes) => decoder.read(bytes).records).filter(({ scopes }) => scopes === 0);
}

test("each sample of a pump arrives once, in whole messages up to the size that was asked for", async () => {
  await using receiver = await TcpReceiver.listen();
  const sink = await ipfixTo(`tcp:${receiver.target}`, { domain: 7, maxDatagramBytes: 600 });
  assertEquals([sink.name, sink.address], [`IPFIX tcp:${receiver.target}`, receiver.target]);
  const summary = await pump(source(), [], [sink]);
  assertEquals([summary.sinks[0]!.written, summary.sinks[0]!.skipped], [samples.length, 0]);
  await until("it has ended", () => receiver.streams[0]?.isEnded ?? false);
  const { messages, rest } = receiver.messages();
  assertEquals([messages.length, rest, messages.every(({ length }) => length <= 600)], [sink.datagrams.sent, 0, true]);
  assertEquals(reportsOf(receiver).length, samples.length);
  assertEquals(sink.connection!.mayBeLost, 0);
});

test("a recording waits for its collector, so that it arrives whole as fast as that reads; but not for one that is not there", async () => {
  await using receiver = await TcpReceiver.listen();
  const times = Math.ceil(60_000 / samples.length);
  const long = (): BatchesSource => new BatchesSource(Array(times).fill(samples), { recorded: true });
  const sink = await ipfixTo(`tcp:${receiver.target}`, { spoolBytes: 1 << 18 });
  const { sinks: [sent] } = await pump(long(), [], [sink]);
  assertEquals([sent!.written, sent!.skipped], [times * samples.length, 0]);
  const { port } = await freePort();
  const gone = await ipfixTo(`tcp:127.0.0.1:${port}`, { spoolBytes: 1 << 18 });
  const { sinks: [unsent] } = await pump(long(), [], [gone]);
  assertEquals([unsent!.written, unsent!.skipped], [0, times * samples.length]);
});

test("flow records go by TCP too", async () => {
  await using receiver = await TcpReceiver.listen();
  const { sinks: [sent] } = await pump(source(), [], [ipfixFlowsTo(`tcp:${receiver.target}`)]);
  assertEquals([sent!.written, sent!.skipped], [samples.length, 0]);
  await until("it has ended", () => receiver.streams[0]?.isEnded ?? false);
  const flows = reportsOf(receiver).length;
  assert(flows > 0 && flows < samples.length, `${flows} flows`);
});

test("a collector that restarts gets everything that it had not confirmed to be gone, templates first", async () => {
  const first = await TcpReceiver.listen();
  const told: string[] = [];
  await using sink = closing(
    await ipfixTo(`tcp:${first.target}`, {
      onProblem: (error) => told.push((error as SystemError).code),
      onRecovery: () => told.push("well"),
    }),
  );
  give(sink.it);
  await sink.it.flush();
  await until("all have arrived", () => reportsOf(first).length === samples.length);
  await until("it is confirmed", () => sink.it.connection!.unconfirmedSamples === 0);
  await first.close();
  give(sink.it);
  await sink.it.flush();
  await using second = await TcpReceiver.listen({ port: first.port });
  await until("what waited has arrived", () => reportsOf(second).length === samples.length);
  await until("it is told", () => told.includes("well"));
  assertEquals([told.length <= 3, told.at(-1), told.filter((one) => one === "well").length], [true, "well", 1]);
  assertEquals([sink.it.written, sink.it.skipped, sink.it.connection!.mayBeLost], [2 * samples.length, 0, 0]);
});

test("a collector that is not there yet gets what was sampled meanwhile", async () => {
  const { port } = await freePort();
  const told: string[] = [];
  await using sink = closing(await ipfixTo(`tcp:127.0.0.1:${port}`, { onProblem: (error) => told.push((error as SystemError).code) }));
  give(sink.it);
  await sink.it.flush();
  await until("it is told", () => told.length > 0);
  await using receiver = await TcpReceiver.listen({ port });
  await until("all have arrived", () => reportsOf(receiver).length === samples.length);
  assertEquals([told, sink.it.skipped], [["ECONNREFUSED"], 0]);
});

test("a collector that never reads holds up neither others nor memory, and what it does not take is counted", async () => {
  await using deaf = await TcpReceiver.listen({ reads: false });
  using other = new UdpReceiver();
  const told: string[] = [];
  await using sink = closing(
    await ipfixTo(`tcp:${deaf.target}`, { spoolBytes: 1 << 18, onProblem: (error) => told.push((error as SystemError).code) }),
  );
  await using beside = closing(await ipfixTo(other.target));
  await until("there is a connection", () => sink.it.connection!.isOpen);
  let given = 0;
  await until("it is told", async () => {
    for (const one of [sink.it, beside.it]) give(one, 20);
    given += 20 * samples.length;
    other.receive();
    await new Promise((resolve) => setTimeout(resolve, 1));
    return sink.it.skipped > 0;
  });
  const { connection, written, skipped } = sink.it;
  assertEquals([told, connection!.connections], [["EAGAIN"], 1]);
  // All but what the encoder has not handed over is accounted for.
  assert(given - (written + skipped + connection!.waitingSamples) < 20 * samples.length);
  assert(connection!.waiting * 512 < 1 << 20, `${connection!.waiting} wait`);
  await beside.it.flush();
  assertEquals([beside.it.written, beside.it.skipped], [given, 0]);
  const startMs = performance.now();
  await sink.it.close(CLOSING);
  assert(performance.now() - startMs < 10_000);
  assertEquals(sink.it.written + sink.it.skipped, given);
  assert(sink.it.connection!.mayBeLost > 0);
});

test("a connection that is reset while messages are on their way says how many samples may be lost", async () => {
  const deaf = await TcpReceiver.listen({ reads: false });
  await using sink = closing(await ipfixTo(`tcp:${deaf.target}`));
  await until("there is a connection", () => sink.it.connection!.isOpen && deaf.streams.length > 0);
  await until("something is not confirmed", async () => {
    give(sink.it, 20);
    await sink.it.flush();
    return sink.it.connection!.unconfirmedSamples > 0 && sink.it.connection!.waiting > 0;
  });
  // Closed with unread bytes: the kernel resets it.
  await deaf.close();
  await until("it is known", async () => {
    await sink.it.flush();
    return !sink.it.connection!.isOpen;
  });
  assert(sink.it.connection!.mayBeLost > 0);
});

test("the address of a name goes with it, without a connection that was made to an old one", async () => {
  await using receiver = await TcpReceiver.listen();
  let addresses = ["127.0.0.1"];
  const sink = await ipfixToWith(await loadSys(), `tcp:localhost:${receiver.port}`, { lookup: () => Promise.resolve(addresses) } as object);
  await using _ = closing(sink);
  await until("there is a connection", () => sink.connection!.isOpen);
  await sink.renew();
  assertEquals([sink.connection!.connections, sink.address], [1, receiver.target]);
  addresses = ["127.0.0.2"];
  await sink.renew();
  assert(!sink.connection!.isOpen);
  assertEquals(sink.address, `127.0.0.2:${receiver.port}`);
});

/** Closes a sink at the end of a test. */
function closing<One extends ExportSink>(it: One): { readonly it: One } & AsyncDisposable {
  return { it, [Symbol.asyncDispose]: async () => await it.close(CLOSING) };
}

/** A port that nobody listens on now. */
async function freePort(): Promise<{ port: number }> {
  const receiver = await TcpReceiver.listen();
  await receiver.close();
  return receiver;
}
