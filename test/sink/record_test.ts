import { test } from "node:test";
import { assertEquals, assertRejects, assertThrows } from "@std/assert";
import type { Ending, Recorder } from "../../src/format/recorder.ts";
import type { Output } from "../../src/format/output.ts";
import { SystemError } from "../../src/errors.ts";
import { Recording, type RecordingOptions } from "../../src/sink/record.ts";
import { type Batch, BatchBuffer, type EntryView } from "../../src/stream/batch.ts";
import type { Closing } from "../../src/stream/sink.ts";
import type { ListenStats } from "../../src/stream/stats.ts";
import { TestDestination } from "./destinations.ts";

const ENOSPC = 28;
const EACCES = 13;
const CLOSING: Closing = { stats: { received: 3 } as ListenStats, period: { startNs: 1n, endNs: 9n } };

/** Writes letters for its calls. */
class TestRecorder implements Recorder {
  entered = 0;
  endings: Ending[] = [];
  begin(output: Output): void {
    output.text("<");
  }
  enter(): void {
    this.entered++;
  }
  mostBytes(): number {
    return 3;
  }
  write(output: Output, batch: Batch, i: number): void {
    output.text(`${batch.entries[i]!.sequence},`);
  }
  end(output: Output, ending: Ending): void {
    this.endings.push(ending);
    output.text(">");
  }
}

interface Scene {
  readonly recorder: TestRecorder;
  readonly files: TestDestination[];
  readonly sink: Recording;
}

function scene(options?: RecordingOptions, prepare: (file: TestDestination) => void = () => {}): Scene {
  const recorder = new TestRecorder();
  const files: TestDestination[] = [];
  const next = (): TestDestination => {
    const file = new TestDestination();
    prepare(file);
    files.push(file);
    return file;
  };
  return { recorder, files, sink: new Recording(recorder, next, options) };
}

function batchOf(sequences: number[], recordedAtSeconds?: number[]): Batch {
  const batch = new BatchBuffer();
  batch.recorded = recordedAtSeconds !== undefined;
  sequences.forEach((sequence, i) => {
    batch.add({ type: "sample", sequence } as EntryView);
    if (recordedAtSeconds) batch.recordedAt(recordedAtSeconds[i]!, 0);
  });
  return batch;
}

test("a recording begins at once, takes every entry, and ends with the statistics", async () => {
  const { recorder, files, sink } = scene();
  assertEquals(files[0]!.text(), "<");
  sink.take(batchOf([1, 2]));
  sink.take(batchOf([]));
  sink.take(batchOf([3]));
  assertEquals([files[0]!.text(), sink.written, recorder.entered], ["<1,2,3,", 3, 3]);
  await sink.close(CLOSING);
  assertEquals([files[0]!.text(), files[0]!.closed, files.length], ["<1,2,3,>", 1, 1]);
  const [{ stats, period }] = recorder.endings as [Ending];
  assertEquals([stats?.received, period?.endNs], [3, 9n]);
});

test("a recording that is recorded again has no period of its own", async () => {
  const { recorder, sink } = scene();
  sink.take(batchOf([1], [100]));
  await sink.close(CLOSING);
  assertEquals(recorder.endings[0]!.period, undefined);
});

test("a new file starts before one would be too long, but each has a packet", async () => {
  const { files, sink } = scene({ rotation: { bytes: 6 } });
  sink.take(batchOf([1, 2, 333333, 4]));
  await sink.close(CLOSING);
  assertEquals(files.map((file) => file.text()), ["<1,2,>", "<333333,>", "<4,>"]);
  assertEquals([sink.written, ...files.map(({ closed }) => closed)], [4, 1, 1, 1]);
});

test("when recording a recording, a new file starts when packets are a period apart, in either direction", async () => {
  const { files, sink } = scene({ rotation: { periodMs: 10_000 } });
  // One from the far future, and then on as before.
  sink.take(batchOf([1, 2, 3, 4, 5, 6], [100, 109, 110, 18_000_000_000, 111, 112]));
  await sink.close(CLOSING);
  assertEquals(files.map((file) => file.text()), ["<1,2,>", "<3,>", "<4,>", "<5,6,>"]);
});

test("while receiving, a new file starts by the steady clock, whatever the times of packets", async () => {
  const { files, sink } = scene({ rotation: { periodMs: 1 } });
  sink.take(batchOf([1]));
  const since = performance.now();
  while (performance.now() - since < 2);
  sink.take(batchOf([2]));
  await sink.close(CLOSING);
  assertEquals(files.map((file) => file.text()), ["<1,>", "<2,>"]);
});

test("a recording is reopened on request", async () => {
  const { files, sink } = scene();
  sink.take(batchOf([1]));
  sink.reopen();
  sink.take(batchOf([2]));
  await sink.close(CLOSING);
  assertEquals(files.map((file) => file.text()), ["<1,>", "<2,>"]);
  assertEquals(sink.written, 2);
});

test("a recording that cannot be reopened continues, and one that cannot be rotated is complete", async () => {
  let fails = false;
  const start = (options?: RecordingOptions): Scene =>
    scene(options, () => {
      if (fails) throw new SystemError("write the output", EACCES);
    });
  const { files, sink } = start();
  sink.take(batchOf([1]));
  fails = true;
  assertThrows(() => sink.reopen(), SystemError);
  sink.take(batchOf([2]));
  fails = false;
  sink.reopen();
  sink.take(batchOf([3]));
  await sink.close(CLOSING);
  assertEquals([files.map((file) => file.text()), sink.written], [["<1,2,>", "<3,>"], 3]);

  const rotated = start({ rotation: { bytes: 5 } });
  rotated.sink.take(batchOf([1]));
  fails = true;
  assertThrows(() => rotated.sink.take(batchOf([2])), SystemError);
  assertEquals([rotated.files.map((file) => file.text()), rotated.sink.written], [["<1,>"], 1]);
  rotated.sink.abort();
});

test("a full disk ends the recording, in the first file and in a later one", async () => {
  for (const failing of [0, 1]) {
    const { files, sink } = scene({ rotation: { bytes: 5 } });
    if (failing === 0) files[0]!.fails(ENOSPC);
    sink.take(batchOf([1]));
    if (failing === 1) {
      sink.take(batchOf([2]));
      files[1]!.fails(ENOSPC);
      sink.take(batchOf([3]));
    }
    const error = await sink.ended;
    assertEquals((error as { code?: string }).code, "ENOSPC");
    await assertRejects(() => sink.close(CLOSING));
    // In the later file only the end is missing.
    assertEquals(sink.written, failing === 0 ? 0 : 3);
  }
});

test("a pipe with a slow reader makes the source wait, or costs samples, which are counted", () => {
  for (const policy of ["wait", "drop"] as const) {
    const { sink } = scene({ policy, spoolBytes: 2 }, (file) => file.room = 0);
    sink.take(batchOf([1]));
    sink.take(batchOf([2]));
    assertEquals([sink.full() !== undefined, sink.skipped], policy === "wait" ? [true, 0] : [false, 1]);
    sink.abort();
  }
});
