import { test } from "node:test";
import { assertEquals } from "@std/assert";
import { pump } from "../../src/stream/pump.ts";
import type { Closing } from "../../src/stream/sink.ts";
import { SinkSet } from "../../src/stream/sink_set.ts";
import { batchOf, TestSink, TestSource, turn } from "./pump_ends.ts";

/** A pump of a set, and what ends it. */
function running(sinks: SinkSet, source = new TestSource([], true), deliverMs?: number): {
  source: TestSource;
  push: (...sequences: number[]) => Promise<void>;
  end: () => ReturnType<typeof pump>;
} {
  const ending = new AbortController();
  const pumping = pump(source, [], sinks, { signal: ending.signal, deliverMs });
  return {
    source,
    push: async (...sequences) => {
      source.push(batchOf(...sequences));
      await turn();
    },
    end: () => {
      ending.abort();
      return pumping;
    },
  };
}

test("a sink that is added gets everything from then on, one that is removed nothing more; the one that stays misses nothing", async () => {
  const [stays, goes, comes] = [new TestSink("stays"), new TestSink("goes"), new TestSink("comes")];
  const sinks = new SinkSet([stays, goes]);
  const { push, end } = running(sinks);
  await turn();
  await push(1, 2);
  assertEquals(sinks.add(comes), true);
  await push(3);
  const gone = await sinks.remove(goes);
  await push(4, 5);
  assertEquals([sinks.samples, sinks.samplesFor(stays), sinks.samplesFor(comes)], [5, 5, 3]);
  assertEquals([stays.taken, goes.taken, comes.taken], [[1, 2, 3, 4, 5], [1, 2, 3], [3, 4, 5]]);
  assertEquals([goes.closed, goes.aborted, stays.closed], [1, 0, 0]);
  const result = { skipped: 0, error: undefined, left: false, cut: false };
  assertEquals(gone, { name: "goes", samples: 3, written: 3, ...result });
  const { samples, sinks: results } = await end();
  assertEquals([samples, results], [5, [
    { name: "stays", samples: 5, written: 5, ...result },
    { name: "goes", samples: 3, written: 3, ...result },
    { name: "comes", samples: 3, written: 3, ...result },
  ]]);
  assertEquals([stays.closed, goes.closed, comes.closed], [1, 1, 1]);
});

test("of a removed sink only its result is kept: there is no end of reloads", async () => {
  const [stays, goes] = [new TestSink("stays"), new TestSink("goes")];
  const sinks = new SinkSet([stays, goes]);
  const { push, end } = running(sinks);
  await turn();
  await push(1, 2);
  const gone = await sinks.remove(goes);
  Object.defineProperty(goes, "written", {
    get: () => {
      throw new Error("it is asked again");
    },
  });
  await push(3);
  assertEquals((await end()).sinks.map(({ name, samples, written }) => [name, samples, written]), [["stays", 3, 3], ["goes", 2, 2]]);
  assertEquals([gone!.samples, gone!.written], [2, 2]);
});

test("a removed sink is closed with the account so far, and its delivery holds nothing up but is bounded", async () => {
  const [stays, stuck] = [new TestSink("stays"), new TestSink("stuck")];
  const closings: Closing[] = [];
  stuck.close = (closing?: Closing) => {
    closings.push(closing!);
    return new Promise(() => {});
  };
  const sinks = new SinkSet([stays, stuck]);
  const { push, end } = running(sinks, undefined, 50);
  await turn();
  const removing = sinks.remove(stuck);
  await push(1);
  assertEquals([stays.taken, stuck.taken], [[1], []]);
  assertEquals([(await removing)!.cut, stuck.aborted], [true, 1]);
  assertEquals(closings.length, 1);
  assertEquals([closings[0]!.failed, closings[0]!.period !== undefined], [undefined, true]);
  assertEquals((await end()).sinks.map(({ name, cut }) => [name, cut]), [["stays", false], ["stuck", true]]);
});

test("a sink without room that is removed no longer makes the source wait", async () => {
  const [stays, full] = [new TestSink(), new TestSink()];
  full.room = new Promise(() => {});
  const sinks = new SinkSet([stays, full]);
  const { source, push, end } = running(sinks);
  await turn();
  await push(1);
  source.push(batchOf(2));
  await turn();
  assertEquals(stays.taken, [1]);
  await sinks.remove(full);
  await turn();
  assertEquals([stays.taken, full.taken], [[1, 2], [1]]);
  await end();
});

test("without any sink the pump goes on, and ends only when its last one has failed or its reader is gone", async () => {
  const [first, second] = [new TestSink(), new TestSink()];
  const sinks = new SinkSet([first]);
  const source = new TestSource([], true);
  const pumping = pump(source, [], sinks);
  await turn();
  await sinks.remove(first);
  source.push(batchOf(1));
  await turn();
  sinks.add(second);
  source.push(batchOf(2));
  await turn();
  second.end();
  const { end, samples } = await pumping;
  assertEquals([end, samples, first.taken, second.taken], ["sinks", 2, [], [2]]);
});

test("the end of the pump waits for a sink that is being removed", async () => {
  const [stays, goes] = [new TestSink(), new TestSink()];
  let delivered = (): void => {};
  goes.closing = new Promise((resolve) => delivered = resolve);
  const sinks = new SinkSet([stays, goes]);
  const { end } = running(sinks);
  await turn();
  const removing = sinks.remove(goes);
  let isOver = false;
  const over = end().then((summary) => (isOver = true, summary));
  while (stays.closed === 0) await turn();
  assertEquals(isOver, false);
  delivered();
  assertEquals([(await removing)!.cut, (await over).end], [false, "signal"]);
});

test("a removed sink that fails while it closes is reported as every other", async () => {
  const [stays, breaks] = [new TestSink(), new TestSink("breaks")];
  const failure = new Error("disk full");
  breaks.closing = Promise.reject(failure);
  breaks.closing.catch(() => {});
  const told: unknown[] = [];
  const sinks = new SinkSet([stays, breaks]);
  const ending = new AbortController();
  const pumping = pump(new TestSource([], true), [], sinks, {
    signal: ending.signal,
    onSinkEnd: ({ name }, error) => told.push(name, error),
  });
  await turn();
  assertEquals([(await sinks.remove(breaks))!.error, told], [failure, ["breaks", failure]]);
  ending.abort();
  assertEquals((await pumping).sinks.map(({ error }) => error), [undefined, failure]);
});

test("before the pump the set only changes; after it nothing is taken, and nothing is closed twice", async () => {
  const [first, second, third] = [new TestSink(), new TestSink(), new TestSink()];
  const sinks = new SinkSet([first]);
  sinks.add(second);
  assertEquals([await sinks.remove(first), await sinks.remove(third), sinks.sinks], [undefined, undefined, [second]]);
  await pump(new TestSource([batchOf(1)]), [], sinks);
  assertEquals([first.taken, first.closed, second.taken, second.closed], [[], 0, [1], 1]);
  assertEquals([sinks.add(third), await sinks.remove(second), third.closed, second.closed], [false, undefined, 0, 1]);
});
