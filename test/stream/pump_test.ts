import { test } from "node:test";
import { assert, assertEquals, assertRejects, assertStrictEquals } from "@std/assert";
import { ArgumentError } from "../../mod.ts";
import { BatchBuffer, type EntryView } from "../../src/stream/batch.ts";
import { pump } from "../../src/stream/pump.ts";
import type { Sink } from "../../src/stream/sink.ts";
import type { Stage } from "../../src/stream/stage.ts";
import { batchOf, TestSink, TestSource, turn } from "./pump_ends.ts";

test("pump() moves every batch to every sink, and closes all", async () => {
  const source = new TestSource([batchOf(1, 2), batchOf(3)]);
  const sinks = [new TestSink("a"), new TestSink("b")];
  const summary = await pump(source, [], sinks);
  for (const sink of sinks) {
    assertEquals(sink.taken, [1, 2, 3]);
    assertEquals([sink.closed, sink.aborted], [1, 0]);
  }
  assertEquals([summary.end, summary.samples, source.closed], ["source", 3, 1]);
  assertEquals(summary.sinks[1], { name: "b", samples: 3, written: 3, skipped: 0, error: undefined, left: false, cut: false });
});

test("pump() passes what every stage selects, in order", async () => {
  const odd: Stage = { select: (batch, pick) => batch.entries.forEach((entry, i) => entry.sequence! % 2 && pick(i)) };
  const large: Stage = { select: (batch, pick) => batch.entries.forEach((entry, i) => entry.sequence! > 2 && pick(i)) };
  const sink = new TestSink();
  const summary = await pump(new TestSource([batchOf(1, 2, 3, 4, 5), batchOf(6, 7)]), [odd, large], [sink]);
  assertEquals(sink.taken, [3, 5, 7]);
  assertEquals(summary.samples, 3);
});

test("pump() stops after `count` samples, in the middle of a batch, and reads no more", async () => {
  const source = new TestSource([batchOf(1, 2), batchOf(3, 4, 5), batchOf(6)]);
  const sink = new TestSink();
  const summary = await pump(source, [], [sink], { count: 4 });
  assertEquals([sink.taken, summary.end, source.reads, sink.closed], [[1, 2, 3, 4], "count", 2, 1]);
});

test("pump() passes on nothing after the last requested sample", async () => {
  const batch = new BatchBuffer();
  for (const [type, sequence] of [["sample", 1], ["group-created", 2], ["sample", 3], ["group-deleted", 4]] as const) {
    batch.add({ type, sequence } as EntryView);
  }
  const sink = new TestSink();
  await pump(new TestSource([batch]), [], [sink], { count: 2 });
  assertEquals(sink.taken, [1, 2, 3]);
});

test("pump() ends by a signal: what is queued is still delivered", async () => {
  const source = new TestSource([], true);
  const sink = new TestSink();
  const ending = new AbortController();
  const pumping = pump(source, [], [sink], { signal: ending.signal });
  await turn();
  source.push(batchOf(1));
  await turn();
  ending.abort();
  const summary = await pumping;
  assertEquals([summary.end, sink.taken, sink.closed, source.ended, source.closed], ["signal", [1], 1, 1, 1]);
});

test("pump() ends after its duration, also while nothing arrives", async () => {
  const summary = await pump(new TestSource([], true), [], [new TestSink()], { durationMs: 1 });
  assertEquals(summary.end, "duration");
});

test("a sink that never has room is cut off after the time to deliver", async () => {
  const ending = new AbortController();
  const sink = new TestSink();
  sink.room = sink.closing = new Promise(() => {});
  const source = new TestSource([batchOf(1), batchOf(2)], true);
  const pumping = pump(source, [], [sink], { signal: ending.signal, deliverMs: 1 });
  await turn();
  ending.abort();
  const summary = await pumping;
  assertEquals([summary.end, sink.taken, sink.closed, sink.aborted, source.closed], ["cut", [1], 1, 1, 1]);
});

for (
  const [how, options] of [["its source has ended", {}], ["its limit is reached", { count: 1 }], ["its time is over", {
    durationMs: 0,
  }]] as const
) {
  test(`a signal bounds delivery also when ${how}`, async () => {
    const ending = new AbortController();
    const stuck = new TestSink("stuck");
    const file = new TestSink("file");
    stuck.closing = new Promise(() => {});
    const pumping = pump(new TestSource([batchOf(1)]), [], [stuck, file], { ...options, signal: ending.signal, deliverMs: 1 });
    while (stuck.closed === 0) await turn();
    ending.abort();
    const summary = await pumping;
    assertEquals([summary.end, stuck.aborted, file.aborted], ["cut", 1, 0]);
    assertEquals(summary.sinks.map(({ name, cut }) => [name, cut]), [["stuck", true], ["file", false]]);
  });
}

test("it tells whose reader is being waited for after a signal, once, and not if that takes no longer than an instant", async () => {
  const waitFor = async (isWaiting: boolean | undefined): Promise<unknown[]> => {
    const ending = new AbortController();
    const stuck = Object.assign(new TestSink("stuck"), isWaiting === undefined ? {} : { isWaiting });
    const file = new TestSink("file");
    stuck.closing = new Promise(() => {});
    const told: unknown[] = [];
    const onWait = (sinks: readonly Sink[], leftMs: number): void => void told.push(sinks.map(({ name }) => name), leftMs > 0);
    const pumping = pump(new TestSource([batchOf(1)]), [], [stuck, file], { signal: ending.signal, deliverMs: 1000, onWait });
    ending.abort();
    await pumping;
    return told;
  };
  assertEquals(await Promise.all([waitFor(true), waitFor(false), waitFor(undefined)]), [[["stuck"], true], [], []]);
  const quick: unknown[] = [];
  const ending = new AbortController();
  ending.abort();
  await pump(new TestSource([batchOf(1)]), [], [Object.assign(new TestSink(), { isWaiting: true })], {
    signal: ending.signal,
    onWait: (sinks) => void quick.push(sinks),
  });
  assertEquals(quick, []);
});

test("`cut` ends all waits at once: for the source, for room, for the end of a sink", async () => {
  const scenes: [string, TestSource, (sink: TestSink) => void][] = [
    ["the source", new TestSource([], true), () => {}],
    ["room", new TestSource([batchOf(1)], true), (sink) => sink.room = new Promise(() => {})],
    ["closing", new TestSource([batchOf(1)]), (sink) => sink.closing = new Promise(() => {})],
  ];
  for (const [what, source, prepare] of scenes) {
    const sink = new TestSink();
    prepare(sink);
    const file = new TestSink();
    const cut = new AbortController();
    const pumping = pump(source, [], [sink, file], { cut: cut.signal });
    await turn();
    cut.abort();
    const summary = await pumping;
    assertEquals([summary.end, sink.closed, file.closed, file.aborted, source.closed], ["cut", 1, 1, 0, 1], what);
  }
});

test("a sink that waits does not keep the others from a batch; reading pauses until it has room", async () => {
  const source = new TestSource([batchOf(1), batchOf(2)]);
  const [slow, quick] = [new TestSink(), new TestSink()];
  let makeRoom = (): void => {};
  slow.room = new Promise((resolve) => makeRoom = resolve);
  const pumping = pump(source, [], [slow, quick]);
  await turn();
  assertEquals([slow.taken, quick.taken, source.reads], [[1], [1], 1]);
  slow.room = undefined;
  makeRoom();
  await pumping;
  assertEquals([slow.taken, quick.taken], [[1, 2], [1, 2]]);
});

test("a sink whose reader is gone is released, and the others continue", async () => {
  const source = new TestSource([batchOf(1)], true);
  const [head, file] = [new TestSink("head"), new TestSink("file")];
  const told: unknown[] = [];
  const ending = new AbortController();
  const pumping = pump(source, [], [head, file], { signal: ending.signal, onSinkEnd: ({ name }, error) => told.push(name, error) });
  await turn();
  head.end();
  await turn();
  source.push(batchOf(2));
  await turn();
  ending.abort();
  const summary = await pumping;
  assertEquals([head.taken, file.taken, told, head.aborted], [[1], [1, 2], ["head", undefined], 1]);
  assertEquals(summary.sinks.map(({ left, error }) => [left, error]), [[true, undefined], [false, undefined]]);
});

test("pump() stops when no sink is left, also while nothing arrives", async () => {
  const source = new TestSource([], true);
  const sink = new TestSink();
  const pumping = pump(source, [], [sink]);
  await turn();
  sink.end();
  const summary = await pumping;
  assertEquals([summary.end, source.closed], ["sinks", 1]);
});

test("a sink that fails does not stop the others; only when every sink failed is it thrown", async () => {
  const failure = new Error("disk full");
  const [broken, whole] = [new TestSink(), new TestSink()];
  broken.failTake = failure;
  const summary = await pump(new TestSource([batchOf(1), batchOf(2)]), [], [broken, whole]);
  assertEquals(whole.taken, [1, 2]);
  assertStrictEquals(summary.sinks[0]!.error, failure);

  const late = new TestSink();
  late.closing = Promise.reject(failure);
  late.closing.catch(() => {});
  assertStrictEquals(await assertRejects(() => pump(new TestSource([batchOf(1)]), [], [late])), failure);
  assertEquals(late.aborted, 1);
});

test("what the source throws is thrown when the sinks have delivered what they had", async () => {
  const source = new TestSource([batchOf(1)], true);
  const sink = new TestSink();
  const pumping = pump(source, [], [sink]);
  await turn();
  source.failure = new Error("the module was unloaded");
  source.push(batchOf(2));
  assertStrictEquals(await assertRejects(() => pumping), source.failure);
  assertEquals([sink.taken, sink.closed, source.closed], [[1, 2], 1, 1]);
});

test("a stream that is ended before it begins still closes everything", async () => {
  const sink = new TestSink();
  const summary = await pump(new TestSource([], true), [], [sink], { signal: AbortSignal.abort() });
  assertEquals([summary.end, sink.closed], ["signal", 1]);
});

test("pump() waits for sinks that are still being opened; if one cannot be, nothing is begun", async () => {
  const late = new TestSink();
  const source = new TestSource([batchOf(1)]);
  await pump(source, [], [Promise.resolve(late)]);
  assertEquals(late.taken, [1]);
  const failure = new Error("no such directory");
  const [other, unread] = [new TestSink(), new TestSource([batchOf(1)])];
  assertStrictEquals(await assertRejects(() => pump(unread, [], [other, Promise.reject(failure)])), failure);
  assertEquals([other.aborted, unread.reads, unread.closed], [1, 0, 1]);
});

test("pump() refuses invalid options, and releases what it was given", async () => {
  const sink = new TestSink();
  const source = new TestSource([]);
  await assertRejects(() => pump(source, [], []), ArgumentError, "there is no sink");
  for (const options of [{ count: 0 }, { count: 1.5 }, { durationMs: -1 }, { deliverMs: NaN }]) {
    await assertRejects(() => pump(source, [], [sink], options), ArgumentError);
  }
  assertEquals([sink.aborted, source.closed], [4, 5]);
});

test("pump() takes every batch that it had to wait for", async () => {
  const source = new TestSource([], true);
  const sink = new TestSink();
  const ending = new AbortController();
  const pumping = pump(source, [], [sink], { signal: ending.signal });
  for (let i = 0; i < 1000; i++) {
    await Promise.resolve();
    source.push(batchOf(i));
  }
  await turn();
  ending.abort();
  await pumping;
  assert(sink.taken.length === 1000);
});
