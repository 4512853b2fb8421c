import { test } from "node:test";
import { assert, assertEquals, assertInstanceOf, assertRejects, assertStringIncludes } from "@std/assert";
import { type Batch, type Closing, type Listener, NetlinkError, pump } from "../../mod.ts";
import { viewMessage } from "../../src/psample/group.ts";
import { listenWith } from "../../src/receive/listen.ts";
import { injectIntoWith } from "../../src/sink/inject.ts";
import type { EntryView } from "../../src/stream/batch.ts";
import { messageOf, messageType } from "../../src/wire/message.ts";
import { type FakeSocket, FakeSys } from "../fake_sys.ts";
import { BatchesSource } from "../support/batches.ts";
import { groupMessage, type SampleInit, sampleMessage } from "../support/messages.ts";

/** A kernel whose psample can be sent to. */
function kernel(options: ConstructorParameters<typeof FakeSys>[0] = {}): FakeSys {
  const sys = new FakeSys(options);
  if (sys.family) sys.family.groups = { config: 8, packets: 9 };
  return sys;
}

function view(message: Uint8Array): EntryView {
  return viewMessage(messageOf(message))!;
}

function samples(count: number, init: SampleInit = {}): EntryView[] {
  return Array.from({ length: count }, (_, i) => view(sampleMessage({ sequence: i, ...init })));
}

/** A batch of so many samples. */
function batch(count: number): Batch {
  return new BatchesSource([samples(count)]).read() as Batch;
}

const CLOSING: Closing = { stats: new BatchesSource([]).stats(), period: undefined };

/** Somebody who listens, and the socket. */
interface Listening {
  readonly listening: Listener;
  readonly socket: FakeSocket;
}

async function listener(sys: FakeSys, room = Infinity): Promise<Listening> {
  const listening = await listenWith(sys, { events: false });
  const socket = sys.listeners.find(({ groups }) => groups.has(9) && groups.size > 0)!;
  socket.room = room;
  return { listening, socket };
}

test("samples reach the listeners with the number of the family here, and a port for each producer", async () => {
  const sys = kernel();
  sys.family!.id = 44;
  const { listening } = await listener(sys);
  const sink = await injectIntoWith(sys);
  const entries = [...samples(2), ...samples(1, { portId: 4711 }), view(groupMessage("created", 1)), ...samples(1, { sequence: 2 })];
  const { sinks } = await pump(new BatchesSource([entries]), [], [sink]);
  assertEquals([sinks[0]!.written, sinks[0]!.skipped, sinks[0]!.error, sink.eventsLeftOut], [4, 0, undefined, 1]);
  listening.end();
  const got: { sequence: number | undefined; portId: number }[] = [];
  for await (const entry of listening) {
    assert(entry.type === "sample");
    got.push({ sequence: entry.sequence, portId: entry.portId });
  }
  const [one, , other] = got;
  assertEquals(got.map(({ sequence }) => sequence), [0, 1, 0, 2]);
  assertEquals(got.map(({ portId }) => portId), [one!.portId, one!.portId, other!.portId, one!.portId]);
  assert(one!.portId !== other!.portId && one!.portId > 0 && other!.portId > 0);
  assertEquals(sink.listeners!.map(({ dropped, isOpen }) => ({ dropped, isOpen })), [{ dropped: 0, isOpen: true }]);
  await listening.close();
  sys.assertClean();
});

test("a listener whose receive buffer is full is waited for, and loses nothing", async () => {
  const sys = kernel();
  const { listening, socket } = await listener(sys, 8);
  const sink = await injectIntoWith(sys);
  const pumping = pump(new BatchesSource([samples(100), samples(100)]), [], [sink]);
  let count = 0;
  for await (const batch of listening.lentBatches()) {
    assert(socket.drops === 0);
    count += batch.samples;
    if (count === 200) break;
  }
  await pumping;
  assertEquals([sink.written, sink.listeners!.map(({ dropped }) => dropped)], [200, [0]]);
  await listening.close();
  sys.assertClean();
});

/** A socket that has joined and reads nothing. */
async function deaf(sys: FakeSys, room: number): Promise<Listening> {
  const { listening, socket } = await listener(sys, room);
  // Nobody wakes it.
  socket.ready = undefined;
  return { listening, socket };
}

test("a listener that reads nothing is not waited for longer than a second, and what it loses is told", async () => {
  const sys = kernel();
  const { listening, socket } = await deaf(sys, 4);
  socket.drops = 1000;
  const sink = await injectIntoWith(sys);
  await pump(new BatchesSource([samples(50)]), [], [sink]);
  const { queue, drops } = socket;
  assertEquals([sink.written, queue.length, drops], [50, 4, 1046]);
  assertEquals(sink.listeners, [{ portId: socket.portId, inode: 1000 + socket.fd, dropped: 46, isOpen: true }]);
  await listening.close();
  sys.assertClean();
});

test("one who comes later is told too, and one who has gone is remembered", async () => {
  const sys = kernel();
  const sink = await injectIntoWith(sys);
  assertEquals(sink.listeners, []);
  const { listening, socket } = await deaf(sys, 1);
  // It looks again after a second.
  await new Promise((resolve) => setTimeout(resolve, 1000));
  sink.take(batch(3));
  await sink.flush();
  const dropped = socket.drops;
  assertEquals([sink.listeners!.length, dropped], [1, 2]);
  await listening.close();
  await sink.close(CLOSING);
  assertEquals(sink.listeners!.map(({ portId, isOpen }) => ({ portId, isOpen })), [{ portId: socket.portId, isOpen: false }]);
  sys.assertClean();
});

test("a module that was loaded again has another number, which is found; one that was unloaded ends the sink", async () => {
  const sys = kernel();
  const { listening, socket } = await deaf(sys, Infinity);
  const sink = await injectIntoWith(sys);
  sink.take(batch(1));
  sys.family = { id: 55, name: "psample", groups: { config: 8, packets: 9 } };
  await new Promise((resolve) => setTimeout(resolve, 1000));
  sink.take(batch(1));
  await sink.flush();
  assertEquals(socket.queue.map((queued) => "bytes" in queued ? messageType(queued.bytes) : 0), [30, 55]);
  sys.family = undefined;
  await new Promise((resolve) => setTimeout(resolve, 1000));
  sink.take(batch(1));
  const error = await sink.ended;
  assertInstanceOf(error, NetlinkError);
  assertStringIncludes((error as NetlinkError).message, "The psample module was unloaded. Load the kernel module: modprobe psample");
  assertEquals(sink.written, 2);
  await listening.close();
  sys.assertClean();
});

test("what prevents sending is told before anything is sent, with the cure", async () => {
  const cases: [FakeSys, string, string][] = [
    [kernel({ unprivileged: true }), "EPERM", "requires CAP_NET_ADMIN in the user namespace that owns this network namespace: run as root"],
    [kernel({ noFamily: true }), "ENOENT", "modprobe psample"],
    [new FakeSys(), "EOPNOTSUPP", "has the number 41, and programs can send to the first 32 only: load the module psample before others"],
  ];
  for (const [sys, code, cure] of cases) {
    const error = await assertRejects(() => injectIntoWith(sys), NetlinkError, cure);
    assertEquals([error.code, error.op], [code, "send samples to psample's listeners"]);
    sys.assertClean();
  }
});

test("a kernel that lists no sockets is sent to all the same, and says nothing of listeners", async () => {
  const sys = kernel({ noSocketDiag: true });
  const { listening, socket } = await deaf(sys, Infinity);
  const sink = await injectIntoWith(sys);
  // More than what may be sent at once.
  await pump(new BatchesSource([samples(600, { dataBytes: 1000 })]), [], [sink]);
  assertEquals([sink.written, socket.queue.length, sink.listeners], [600, 600, undefined]);
  await listening.close();
  sys.assertClean();
});

test("while the kernel has no memory the sink waits; any other refusal ends it", async () => {
  const sys = kernel();
  const sink = await injectIntoWith(sys);
  // The first is a measurement.
  sys.fail("sendto", 105, 105);
  sink.take(batch(1));
  assert(sink.full() !== undefined);
  await sink.full();
  assertEquals([sink.written, sink.full()], [1, undefined]);
  sys.fail("sendto", 90);
  const summary = pump(new BatchesSource([samples(1)]), [], [sink]);
  const error = await assertRejects(() => summary, NetlinkError, "Cannot send samples to psample's listeners");
  assertEquals(error.code, "EMSGSIZE");
  sys.assertClean();
});

test("an abort closes everything at once, and nothing more is sent", async () => {
  const sys = kernel();
  const { listening, socket } = await deaf(sys, 2);
  const sink = await injectIntoWith(sys);
  sink.take(batch(10));
  const full = sink.full();
  assert(full !== undefined);
  sink.abort();
  sink.abort();
  await full;
  sink.take(batch(1));
  assertEquals(socket.queue.length < 10, true);
  await listening.close();
  sys.assertClean();
});
