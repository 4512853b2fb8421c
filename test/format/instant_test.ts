import { test } from "node:test";
import { assertEquals } from "@std/assert";
import { INSTANT_BYTES, InstantWriter } from "../../src/format/instant.ts";
import { Output } from "../../src/format/output.ts";
import { viewSample } from "../../src/psample/sample_decoder.ts";
import { BatchBuffer } from "../../src/stream/batch.ts";
import { message, number } from "../psample/build.ts";
import { messageOf } from "../../src/wire/message.ts";

const writer = new InstantWriter();

/** The time of the only entry, or `undefined` if it cannot be expressed. */
function instant(batch: BatchBuffer): string | undefined {
  if (!writer.read(batch, 0)) return undefined;
  const output = new Output(INSTANT_BYTES);
  output.reserve(INSTANT_BYTES);
  writer.write(output);
  assertEquals(output.length, INSTANT_BYTES);
  return output.takeText();
}

function sampledAt(timestampNs: bigint | undefined): BatchBuffer {
  const batch = new BatchBuffer();
  batch.add(viewSample(messageOf(message(timestampNs === undefined ? [] : [[13, number(8, timestampNs)]]), true)));
  return batch;
}

test("an instant equals Date's, with nanoseconds", () => {
  for (const time of [0n, 1n, 951_782_400_123_456_789n, 1_784_000_000_999_999_999n, 0xffff_ffff_ffff_ffffn, 5n]) {
    const text = new Date(Number(time / 1_000_000n)).toISOString();
    assertEquals(instant(sampledAt(time)), `${text.slice(0, 20)}${String(time % 1_000_000_000n).padStart(9, "0")}Z`);
  }
});

test("an instant is that of the sample, otherwise of its record, otherwise of the reading", () => {
  const recorded = (batch: BatchBuffer, seconds: number): BatchBuffer => {
    batch.recorded = true;
    batch.recordedAt(seconds, 7);
    return batch;
  };
  assertEquals(instant(recorded(sampledAt(1n), 1_000_000_000)), "1970-01-01T00:00:00.000000001Z");
  assertEquals(instant(recorded(sampledAt(undefined), 1_000_000_000)), "2001-09-09T01:46:40.000000007Z");
  const read = sampledAt(undefined);
  read.readAtNs = 1_234_567_890_000_000_000n;
  assertEquals(instant(read), "2009-02-13T23:31:30.000000000Z");
});

test("an instant has four digits of a year, or is none", () => {
  const at = (seconds: number): BatchBuffer => {
    const batch = sampledAt(undefined);
    batch.recorded = true;
    batch.recordedAt(seconds, 0);
    return batch;
  };
  assertEquals(instant(at(-1)), "1969-12-31T23:59:59.000000000Z");
  assertEquals(instant(at(-62167219200)), "0000-01-01T00:00:00.000000000Z");
  assertEquals(instant(at(-62167219201)), undefined);
  assertEquals(instant(at(253402300799)), "9999-12-31T23:59:59.000000000Z");
  assertEquals(instant(at(253402300800)), undefined);
});
