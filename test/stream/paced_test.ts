import { test } from "node:test";
import { assert, assertEquals, assertThrows } from "@std/assert";
import { ArgumentError } from "../../mod.ts";
import { viewSample } from "../../src/psample/sample_decoder.ts";
import type { SampleView } from "../../src/psample/sample_view.ts";
import { type Batch, BatchBuffer } from "../../src/stream/batch.ts";
import { paced } from "../../src/stream/paced.ts";
import type { Source } from "../../src/stream/source.ts";
import type { ListenStats } from "../../src/stream/stats.ts";
import { messageOf } from "../../src/wire/message.ts";
import { sampleMessage } from "../support/messages.ts";

/** A sample: its recorded time in milliseconds, and the losses before it. */
type Recorded = readonly [ms: number, lost?: number];

/** A source of recorded batches. */
class Recording implements Source {
  isClosed = false;
  isEnded = false;
  readonly #batches: (readonly Recorded[])[];
  #sequence = 0;
  readonly #later: boolean;

  constructor(batches: readonly (readonly Recorded[])[], later = false) {
    this.#batches = [...batches];
    this.#later = later;
  }

  read(): Batch | undefined | Promise<Batch | undefined> {
    const recorded = this.#batches.shift();
    if (!recorded) return undefined;
    const batch = new BatchBuffer();
    batch.recorded = true;
    batch.more = true;
    batch.dropped = 3;
    for (const [ms, lost = 0] of recorded) {
      batch.add(viewSample(messageOf(sampleMessage({ sequence: this.#sequence++ }))), lost);
      batch.recordedAt(Math.floor(ms / 1000), ms % 1000 * 1e6);
    }
    batch.lost += 10;
    return this.#later ? Promise.resolve(batch) : batch;
  }
  end(): void {
    this.isEnded = true;
  }
  close(): Promise<void> {
    this.isClosed = true;
    return Promise.resolve();
  }
  stats(): ListenStats {
    return { received: 42 } as ListenStats;
  }
}

const START = 1_784_000_000_000;

/** What comes of a source, and how long after it was asked first. */
async function arrivals(source: Source): Promise<{ sequence: number; ms: number }[]> {
  const all: { sequence: number; ms: number }[] = [];
  const startMs = performance.now();
  for (let batch = await source.read(); batch; batch = await source.read()) {
    const ms = performance.now() - startMs;
    for (const entry of batch.entries) all.push({ sequence: (entry as SampleView).sequence!, ms });
  }
  return all;
}

test("entries come in their order and never before their time, from one batch to the next", async () => {
  for (const later of [false, true]) {
    for (const speed of [1, 2]) {
      const source = new Recording([[[START], [START + 20], [START + 80]], [[START + 81], [START + 160]]], later);
      const all = await arrivals(paced(source, { speed }));
      assertEquals(all.map(({ sequence }) => sequence), [0, 1, 2, 3, 4]);
      [0, 20, 80, 81, 160].forEach((ms, i) => assert(all[i]!.ms >= ms / speed - 0.1, `${i} came after ${all[i]!.ms} ms at speed ${speed}`));
    }
  }
});

test("the parts of a batch together tell its losses, once", async () => {
  const source = paced(new Recording([[[START, 1], [START, 2], [START + 30, 4], [START + 60, 0]], [[START + 60]]]));
  // How many parts there are depends on how busy the machine is: at least two of the first batch.
  let parts = 0;
  let at = 0;
  const lostBefore = [1, 2, 4, 0, 0];
  const times = [0, 0, 30, 60, 60];
  for (let batch = await source.read(); batch; batch = await source.read()) {
    const end = at + batch.count;
    assertEquals([batch.samples, batch.entries.length, batch.more, batch.recorded], [batch.count, batch.count, false, true]);
    const entries = batch.entries.map((entry, i) => [(entry as SampleView).sequence, batch!.lostBefore(i), Number(batch!.timeNs(i))]);
    assertEquals(entries, entries.map((_, i) => [at + i, lostBefore[at + i], (START + times[at + i]!) * 1e6]));
    // What a batch tells beyond its entries comes with the last of them, and drops with the first.
    const lost = lostBefore.slice(at, end).reduce((sum, lost) => sum + lost, 0);
    assertEquals([batch.lost, batch.dropped], [lost + (end >= 4 ? 10 : 0), at === 0 || at === 4 ? 3 : 0]);
    at = end;
    parts++;
  }
  assertEquals(at, 5);
  assert(parts >= 3);
});

test("a batch that only tells losses comes at once", async () => {
  const batch = await paced(new Recording([[]])).read();
  assertEquals([batch!.count, batch!.lost, batch!.dropped], [0, 10, 3]);
});

test("what is late comes at once, and a clock that was set back begins anew", async () => {
  const hour = 3_600_000;
  const source = new Recording([[[START + hour], [START + hour - 900], [START], [START + 10], [START + hour - 2000]]]);
  const timed = paced(source);
  const first = await timed.read();
  assertEquals(first!.count, 3);
  assertEquals((await timed.read())!.count, 1);
  const waiting = timed.read();
  assert(waiting instanceof Promise);
  const { waitMs } = timed;
  assert(waitMs! > hour - 60_000 && waitMs! <= hour, `${waitMs} ms`);
  timed.end();
  assertEquals(await waiting, undefined);
});

test("after a restart the next entry comes at once, and time is counted from there", async () => {
  const day = 86_400_000;
  const timed = paced(new Recording([[[START]], [[START + day], [START + day + 5]], [[START + 1]]]));
  assertEquals((await timed.read())!.count, 1);
  timed.restart();
  assertEquals((await timed.read())!.count, 1);
  assertEquals((await timed.read())!.count, 1);
  timed.restart();
  assertEquals((await timed.read())!.count, 1);
  assertEquals(await timed.read(), undefined);
});

test("a wait longer than a timer can be is a wait all the same", async () => {
  const timed = paced(new Recording([[[START], [START + 1e11]]]), { speed: 0.5 });
  assertEquals((await timed.read())!.count, 1);
  const waiting = timed.read();
  assert(timed.waitMs! > 1.9e11);
  await timed.close();
  assertEquals(await waiting, undefined);
});

test("end and close reach the source, also during a wait, and nothing comes after them", async () => {
  for (const how of ["end", "close"] as const) {
    const source = new Recording([[[START], [START + 1e9]], [[START]]]);
    const timed = paced(source);
    await timed.read();
    const waiting = timed.read();
    assertEquals(timed.stats().received, 42);
    await timed[how]();
    assertEquals(await waiting, undefined);
    assertEquals(await timed.read(), undefined);
    assertEquals([source.isEnded, source.isClosed], [how === "end", how === "close"]);
  }
});

test("a speed is a number above 0", () => {
  for (const speed of [0, -1, NaN, Infinity]) {
    assertThrows(() => paced(new Recording([]), { speed }), ArgumentError, `speed ${speed} is not a number above 0`);
  }
});
