/** The entry point ./record, as a program uses it. */
import { existsSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { ArgumentError, pump, readRecording as readRecordingOfMain, recordTo } from "../../mod.ts";
import { createRecorder, Output, readRecording, RECORDING_FORMATS, type RecordingFormat, recordingFormat } from "../../src/receive/mod.ts";
import { inDirectory } from "../support/directory.ts";

const RECORDED = new URL("../golden/cookie.new.pcap", import.meta.url).pathname;

/** The packets of a recording, in hexadecimal. */
async function packets(path: string): Promise<string[]> {
  const found: string[] = [];
  await using recording = await readRecording(path);
  for await (const batch of recording.lentBatches()) {
    for (const entry of batch.entries) if (entry.type === "sample") found.push(Array.from(entry.data!, (byte) => byte.toString(16)).join());
  }
  return found;
}

test(
  "a recording is converted into each format, by a recorder and by a sink",
  inDirectory(async (at) => {
    assert(readRecordingOfMain === readRecording);
    const expected = await packets(RECORDED);
    assertEquals(expected.length, 2);
    for (const format of RECORDING_FORMATS) {
      const byHand = at(`hand.${format}`);
      const recorder = createRecorder(format as RecordingFormat);
      const output = new Output();
      recorder.begin(output);
      const recording = await readRecording(RECORDED);
      for (let batch = await recording.read(); batch; batch = await recording.read()) {
        recorder.enter(batch);
        for (let i = 0; i < batch.count; i++) recorder.write(output, batch, i);
      }
      recorder.end(output, { stats: recording.stats() });
      await recording.close();
      writeFileSync(byHand, output.written);
      const bySink = at(`sink.${format}`);
      await pump(await readRecording(RECORDED), [], [await recordTo(bySink, { format })]);
      assertEquals([await packets(byHand), await packets(bySink)], [expected, expected], format);
      assertEquals(readFileSync(bySink), readFileSync(byHand), format);
    }
    assertEquals(["a.pcap", "a.pcapng", "a"].map(recordingFormat), ["pcap", "pcapng", "pcapng"]);
  }),
);

test(
  "a recording that is read is not emptied by recording to it, by whatever name",
  inDirectory(async (at) => {
    const path = at("a.pcapng");
    writeFileSync(path, readFileSync(RECORDED));
    await using recording = await readRecording(path);
    const guarded = [recording.identity!];
    await assertRejects(async () => await recordTo(join(at(""), ".", "a.pcapng"), { guarded }), ArgumentError, "being read");
    assertEquals(readFileSync(path), readFileSync(RECORDED));
  }),
);

test(
  "a recording is reopened once its file has been moved away, and continues in the present one until then",
  inDirectory(async (at) => {
    const path = at("a.pcapng");
    const sink = await recordTo(path);
    const source = await readRecording(RECORDED);
    const batch = (await source.read())!;
    sink.take(batch);
    await sink.flush();
    const size = statSync(path).size;
    assertThrows(() => sink.reopen(), ArgumentError, "it is the file that is recorded to");
    assertEquals(statSync(path).size, size);
    const moved = at("moved");
    // A new file may get the number of a removed one.
    for (let i = 0; i < 3; i++) {
      renameSync(path, moved);
      sink.reopen();
      await sink.flush();
      assert(existsSync(path));
      if (i === 0) assert(statSync(moved).size >= size);
      rmSync(moved);
    }
    assertEquals(sink.written, batch.samples);
    sink.abort();
    await source.close();
  }),
);
