import { test } from "node:test";
import { assert, assertEquals } from "@std/assert";
import { Lines, type LinesOptions, type LineWriter } from "../../src/sink/lines.ts";
import { type Batch, BatchBuffer, type EntryView } from "../../src/stream/batch.ts";
import { TestDestination } from "./destinations.ts";

const NUMBERS: LineWriter = {
  begin: (output) => output.text("sequence\n"),
  write: (output, batch, i) => output.text(`${batch.entries[i]!.sequence}\n`),
};

function batchOf(...sequences: number[]): Batch {
  const batch = new BatchBuffer();
  for (const sequence of sequences) batch.add({ type: "sample", sequence } as EntryView);
  return batch;
}

function lines(options?: LinesOptions): { destination: TestDestination; sink: Lines } {
  const destination = new TestDestination();
  return { destination, sink: new Lines(destination, NUMBERS, options) };
}

test("a sink of lines writes each entry, after the writer's header, and counts samples", async () => {
  const { destination, sink } = lines();
  const batch = new BatchBuffer();
  batch.add({ type: "group-created", group: 5, sequence: 7 } as EntryView);
  batch.add({ type: "sample", sequence: 8 } as EntryView);
  sink.take(batch);
  assertEquals([destination.text(), sink.written], ["sequence\n7\n8\n", 1]);
  sink.take(batchOf(9));
  await sink.close();
  assertEquals([destination.text(), sink.written, destination.closed], ["sequence\n7\n8\n9\n", 2, 1]);
});

test("lines are gathered while more is queued", async () => {
  const { destination, sink } = lines();
  const batch = batchOf(1) as BatchBuffer;
  batch.more = true;
  sink.take(batch);
  assertEquals(destination.text(), "");
  await sink.flush();
  assertEquals(destination.text(), "sequence\n1\n");
});

test("a sink without entries still writes the writer's header", async () => {
  const { destination, sink } = lines();
  await sink.close();
  assertEquals(destination.text(), "sequence\n");
});

test("a slow reader makes the source wait, or costs samples, which are counted, as configured", () => {
  const waiting = lines({ spoolBytes: 5 });
  const dropping = lines({ spoolBytes: 5, policy: "drop" });
  for (const { destination, sink } of [waiting, dropping]) {
    destination.room = 0;
    sink.take(batchOf(1, 2));
    sink.take(batchOf(3, 4));
  }
  assert(waiting.sink.full() !== undefined);
  assertEquals([waiting.sink.skipped, dropping.sink.skipped, dropping.sink.full()], [0, 2, undefined]);
});
