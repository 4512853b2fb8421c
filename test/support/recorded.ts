/** Recording as a sink does it: entries come in batches, which say what was lost. */
import { assert } from "@std/assert";
import { Output } from "../../src/format/output.ts";
import type { Ending, Recorder } from "../../src/format/recorder.ts";
import { type Devices, NO_DEVICES } from "../../src/link/device.ts";
import type { GroupEvent } from "../../src/psample/group.ts";
import type { SampleView } from "../../src/psample/sample_view.ts";
import { Ledger } from "../../src/receive/ledger.ts";
import { BatchBuffer } from "../../src/stream/batch.ts";

/** How entries are recorded. */
export interface RecordOptions {
  /** When they were received, in nanoseconds since 1970. */
  timeNs?: bigint;
  /** The devices of the machine. */
  devices?: Devices;
  /** How many messages the kernel dropped before them. */
  dropped?: number;
  /** The statistics at the end. */
  ending?: Ending;
  /** Counts what is lost. */
  ledger?: Ledger;
  /** Number of entries in a batch. Defaults to all in one. */
  batch?: number;
}

/** When entries are recorded unless told otherwise. */
export const RECORDED_NS = 1_784_000_000_000_000_001n;

/** Devices by their index. */
export function devices(named: Readonly<Record<number, string>>, type?: number): Devices {
  return {
    find: (ifindex) => named[ifindex] === undefined ? undefined : { name: named[ifindex], type, address: undefined },
  };
}

/** Records entries into one file, and checks that no more bytes are written than were promised. */
export function record(
  recorder: Recorder,
  items: readonly (SampleView | GroupEvent)[],
  options: RecordOptions = {},
): Uint8Array<ArrayBuffer> {
  const output = new Output(64);
  const ledger = options.ledger ?? new Ledger();
  const batch = new BatchBuffer();
  recorder.begin(output);
  const size = options.batch ?? Math.max(items.length, 1);
  for (let from = 0; from < Math.max(items.length, 1); from += size) {
    batch.clear();
    batch.devices = options.devices ?? NO_DEVICES;
    batch.readAtNs = options.timeNs ?? RECORDED_NS;
    if (from === 0) batch.dropped = options.dropped ?? 0;
    for (const item of items.slice(from, from + size)) {
      if (item.type !== "sample") ledger.event(item);
      batch.add(item, item.type === "sample" ? ledger.sample(item) : undefined);
    }
    recorder.enter(batch);
    for (let i = 0; i < batch.count; i++) {
      const before = output.length;
      // What was in the memory before must not show.
      output.bytes.fill(0xee, before);
      const most = recorder.mostBytes(batch.entries[i]!);
      recorder.write(output, batch, i);
      assert(output.length - before <= most, `${output.length - before} bytes, at most ${most} were promised`);
      if (i < batch.count - 1 || from + size < items.length) continue;
      const ended = output.length;
      output.bytes.fill(0xee, ended);
      recorder.end(output, options.ending ?? {});
      assert(output.length - before <= most, `${output.length - before} bytes with the end, at most ${most} were promised`);
      return output.written.slice();
    }
  }
  output.bytes.fill(0xee, output.length);
  recorder.end(output, options.ending ?? {});
  return output.written.slice();
}
