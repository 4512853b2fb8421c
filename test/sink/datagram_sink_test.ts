import { test } from "node:test";
import { assert, assertEquals, assertRejects } from "@std/assert";
import { ArgumentError } from "../../src/errors.ts";
import { DatagramSink, type DatagramSinkOptions } from "../../src/sink/datagram_sink.ts";
import { type Batch, BatchBuffer, type EntryView } from "../../src/stream/batch.ts";
import { pump } from "../../src/stream/pump.ts";
import type { Closing } from "../../src/stream/sink.ts";
import { ECONNREFUSED, ENETUNREACH } from "../../src/sys/sys.ts";
import { loadSys } from "../../src/sys/load.ts";
import { FakeSys } from "../fake_sys.ts";
import { BatchesSource } from "../support/batches.ts";
import { NumbersEncoder } from "../support/numbers_encoder.ts";
import { UdpReceiver } from "../support/udp_receiver.ts";
import { until } from "../support/waiting.ts";

const CLOSING = {} as Closing;

function numbered(from: number, count: number): EntryView[] {
  return Array.from({ length: count }, (_, i) => ({ type: "sample", sequence: from + i }) as EntryView);
}

function batchOf(from: number, count: number): Batch {
  const batch = new BatchBuffer();
  for (const entry of numbered(from, count)) batch.add(entry, 0);
  return batch;
}

/** A sink whose own timer fires first as late as it can. */
async function opened(
  sys: FakeSys,
  target = "192.0.2.9",
  options: Partial<DatagramSinkOptions<NumbersEncoder>> = {},
): Promise<DatagramSink<NumbersEncoder>> {
  return await DatagramSink.open(sys, target, {
    protocol: "Numbers",
    defaultPort: 9,
    maxDatagramBytes: 100,
    encoder: (datagrams, send) => new NumbersEncoder(datagrams, send),
    random: () => 1,
    ...options,
  });
}

const arrived = (sys: FakeSys): number[][] => sys.arrived.map(({ bytes }) => [...bytes]);

test("samples leave in the datagrams that the encoder makes of them, and are counted when they have left", async () => {
  const sys = new FakeSys();
  const sink = await opened(sys);
  assertEquals([sink.name, sink.address, sink.full()], ["Numbers 192.0.2.9:9", "192.0.2.9:9", undefined]);
  sink.take(batchOf(0, 5));
  await sink.flush();
  assertEquals([arrived(sys), sink.written, sink.skipped], [[[0, 1, 2], [3, 4]], 5, 0]);
  // More than the block, or one system call, takes.
  sink.take(batchOf(5, 250));
  await sink.flush();
  assertEquals(arrived(sys).flat(), Array.from({ length: 255 }, (_, i) => i).filter((i) => i !== 99));
  // One was left out on purpose.
  assertEquals([sink.written, sink.datagrams.sent, sink.encoder.leftOut], [255, sys.arrived.length, 1]);
  await sink.close(CLOSING);
  assertEquals(sink.encoder.ended, 1);
  sys.assertClean();
});

test("a sample waits for less than a second, or for 50 ms with low latency, and flushes come without samples too", async () => {
  const sys = new FakeSys();
  const [batch, low, idle] = await Promise.all([opened(sys, "192.0.2.1"), opened(sys, "192.0.2.2", { latency: "low" }), opened(sys)]);
  const beganMs = performance.now();
  const leftMs = new Map<string, number>();
  batch!.take(batchOf(1, 1));
  low!.take(batchOf(2, 1));
  await until("both have left", () => {
    for (const { to } of sys.arrived) if (!leftMs.has(to)) leftMs.set(to, performance.now() - beganMs);
    return leftMs.size === 2 && idle!.encoder.flushes.length > 0;
  });
  // How late a timer is on a busy machine nobody knows; the order is certain.
  assertEquals(sys.arrived.map(({ to }) => to), ["192.0.2.2:9", "192.0.2.1:9"]);
  assert(leftMs.get("192.0.2.2:9")! >= 30 && leftMs.get("192.0.2.1:9")! >= 800, JSON.stringify([...leftMs]));
  for (const sink of [batch, low, idle]) await sink!.close(CLOSING);
  sys.assertClean();
});

test("sinks that are opened together flush at different moments", async () => {
  const sys = new FakeSys();
  const sinks = await Promise.all([0.9, 0.1, 0.5].map((phase, i) => opened(sys, `192.0.2.1${i}`, { random: () => phase })));
  const order: number[] = [];
  await until("all have flushed", () => {
    sinks.forEach(({ encoder }, i) => encoder.flushes.length > 0 && !order.includes(i) && order.push(i));
    return order.length === 3;
  });
  assertEquals(order, [1, 2, 0]);
  for (const sink of sinks) sink.abort();
  sys.assertClean();
});

test("while no timer can fire, what has waited long enough leaves with the next batch", async () => {
  const sys = new FakeSys();
  const sink = await opened(sys, undefined, { latency: "low" });
  sink.take(batchOf(0, 1));
  const beganMs = performance.now();
  while (performance.now() - beganMs < 60);
  sink.take(batchOf(1, 1));
  assertEquals(arrived(sys), [[0, 1]]);
  sink.abort();
  sys.assertClean();
});

test("what cannot be sent is skipped sample by sample, told once, and holds up nothing", async () => {
  const sys = new FakeSys();
  const problems: string[] = [];
  const sink = await opened(sys, undefined, { onProblem: (error) => void problems.push(error.message) });
  sys.unreachable.set("192.0.2.9:9", ENETUNREACH);
  sink.take(batchOf(0, 4));
  await sink.flush();
  sink.take(batchOf(4, 3));
  await sink.flush();
  assertEquals([sink.written, sink.skipped, problems.length], [0, 7, 1]);
  assertEquals(sink.datagrams, { sent: 0, dropped: 3, droppedBy: { ENETUNREACH: 3 }, returned: 0, returnedBy: undefined });
  sys.unreachable.clear();
  sys.sendRoom = 1;
  sink.take(batchOf(7, 7));
  await sink.flush();
  assertEquals([sink.written, sink.skipped, arrived(sys)], [3, 11, [[7, 8, 9]]]);
  sys.refusing.add("192.0.2.9:9");
  sys.sendRoom = Infinity;
  for (let i = 0; i < 2; i++) {
    sink.take(batchOf(20, 1));
    await sink.flush();
  }
  // They had left.
  assertEquals([sink.written, sink.skipped, sink.datagrams.returned, sink.datagrams.returnedBy], [5, 11, 1, "ECONNREFUSED"]);
  sink.abort();
  sys.assertClean();
});

test("another address, or the same by another way, is told to the encoder", async () => {
  const sys = new FakeSys();
  let addresses = ["192.0.2.1"];
  const sink = await opened(sys, "collector", { lookup: () => Promise.resolve(addresses) });
  addresses = ["192.0.2.2"];
  await sink.renew();
  sink.take(batchOf(1, 1));
  await sink.flush();
  assertEquals([sink.encoder.announced, sink.name, sink.address, sys.arrived[0]!.to], [
    1,
    "Numbers collector:9",
    "192.0.2.2:9",
    "192.0.2.2:9",
  ]);
  sink.abort();
  sys.assertClean();
});

test("closing sends what is left, as soon as there is room; aborting sends nothing", async () => {
  const sys = new FakeSys();
  const [closed, aborted] = [await opened(sys), await opened(sys, "192.0.2.8")];
  for (const sink of [closed, aborted]) sink.take(batchOf(1, 2));
  sys.sendRoom = 0;
  const closing = closed.close(CLOSING);
  aborted.abort();
  await new Promise((resolve) => setTimeout(resolve, 30));
  sys.sendRoom = 5;
  await closing;
  assertEquals(sys.arrived.map(({ to, bytes }) => [to, [...bytes]]), [["192.0.2.9:9", [1, 2]]]);
  assertEquals([closed.written, aborted.written], [2, 0]);
  // Nothing more.
  closed.take(batchOf(3, 1));
  await closed.close(CLOSING);
  sys.assertClean();
});

test("closing waits for an error about the last datagrams, which nobody else would notice", async () => {
  const sys = new FakeSys();
  const problems: string[] = [];
  const sink = await opened(sys, undefined, { onProblem: (error) => void problems.push(error.message) });
  sink.take(batchOf(1, 2));
  const closing = sink.close(CLOSING);
  // A moment later, as from another host.
  await new Promise((resolve) => setTimeout(resolve, 5));
  assertEquals(sys.arrived.length, 1);
  [...sys.udp.values()][0]!.error = ECONNREFUSED;
  await closing;
  assertEquals([sink.datagrams.sent, sink.datagrams.returned, problems.length], [1, 1, 1]);
  sys.assertClean();
});

test("closing gives up on a full send buffer, and counts what is left", async () => {
  const sys = new FakeSys();
  const sink = await opened(sys);
  sys.sendRoom = 0;
  sink.take(batchOf(1, 2));
  await sink.close(CLOSING);
  assertEquals([sink.written, sink.skipped], [0, 2]);
  sys.assertClean();
});

test("an encoder that refuses its options leaves nothing open; one that fails in a timer ends its sink", async () => {
  const sys = new FakeSys();
  const encoder = (): NumbersEncoder => {
    throw new ArgumentError("no");
  };
  await assertRejects(() => opened(sys, undefined, { encoder }), ArgumentError, "no");
  sys.assertClean();
  const sink = await opened(sys, undefined, { random: () => 0 });
  sink.encoder.failure = new Error("a bug");
  assertEquals(await sink.ended, sink.encoder.failure);
  sys.assertClean();
});

test("in the pump, with a real socket, every sample arrives", async () => {
  using receiver = new UdpReceiver();
  const sink = await DatagramSink.open(await loadSys(), receiver.target, {
    protocol: "Numbers",
    defaultPort: 9,
    maxDatagramBytes: 100,
    encoder: (datagrams, send) => new NumbersEncoder(datagrams, send),
  });
  const batches = Array.from({ length: 10 }, (_, i) => numbered(20 * i, 20));
  const { sinks, samples } = await pump(new BatchesSource(batches), [], [sink]);
  assertEquals(samples, 200);
  assertEquals(sinks, [{
    name: `Numbers ${receiver.target}`,
    samples: 200,
    written: 200,
    skipped: 0,
    error: undefined,
    left: false,
    cut: false,
  }]);
  const all = await receiver.until(sink.datagrams.sent);
  assertEquals(all.flatMap((datagram) => [...datagram]), Array.from({ length: 200 }, (_, i) => i).filter((i) => i !== 99));
});
