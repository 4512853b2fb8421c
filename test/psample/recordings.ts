import { readdirSync, readFileSync } from "node:fs";
import { viewMessage } from "../../src/psample/group.ts";
import type { GroupEvent } from "../../src/psample/mod.ts";
import type { SampleView } from "../../src/psample/sample_view.ts";
import { messageOf } from "../../src/wire/message.ts";

/** One record of a file. */
export interface RecordBytes {
  /** The cooked head and the messages. */
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly originalBytes: number;
  readonly timeNs: bigint;
}

/** A recording of a real kernel, see test/golden. */
export interface Recording {
  readonly name: string;
  readonly file: Uint8Array<ArrayBuffer>;
  readonly records: RecordBytes[];
  readonly items: (SampleView | GroupEvent)[];
}

/** All recordings; throws if there are none, so that no test passes without any. */
export function recordings(): Recording[] {
  const folder = new URL("../golden/", import.meta.url);
  const names = readdirSync(folder).filter((name) => name.endsWith(".pcap")).sort();
  if (names.length === 0) throw new Error("no recordings in test/golden");
  return names.map((name) => {
    const file = new Uint8Array(readFileSync(new URL(name, folder)));
    const records = naiveRecords(file);
    return { name, file, records, items: naiveItems(records.map(({ bytes }) => bytes)) };
  });
}

/** Only the samples of all recordings. */
export function recordedSamples(): SampleView[] {
  return recordings().flatMap(({ items }) => items.filter((item) => item.type === "sample"));
}

/** The records of a little-endian pcap file, read independently of the reader under test. */
export function naiveRecords(file: Uint8Array<ArrayBuffer>): RecordBytes[] {
  const view = new DataView(file.buffer, file.byteOffset, file.length);
  const unit = { 0xa1b2c3d4: 1000n, 0xa1b23c4d: 1n }[view.getUint32(0, true)];
  if (unit === undefined) throw new Error("not a little-endian pcap file");
  const records: RecordBytes[] = [];
  for (let at = 24; at < file.length;) {
    const size = view.getUint32(at + 8, true);
    records.push({
      bytes: file.slice(at + 16, at + 16 + size),
      originalBytes: view.getUint32(at + 12, true),
      timeNs: BigInt(view.getUint32(at, true)) * 1_000_000_000n + BigInt(view.getUint32(at + 4, true)) * unit,
    });
    at += 16 + size;
  }
  return records;
}

/** The psample messages in these records, one of which names the family before any sample. */
function naiveItems(records: readonly Uint8Array<ArrayBuffer>[]): (SampleView | GroupEvent)[] {
  const items: (SampleView | GroupEvent)[] = [];
  let family = -1;
  for (const bytes of records) {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    if (view.getUint16(14) !== 16) continue;
    for (let at = 16; at + 16 <= bytes.length;) {
      const length = view.getUint32(at, true);
      if (length < 16 || at + length > bytes.length) break;
      const message = bytes.slice(at, at + length);
      const type = view.getUint16(at + 4, true);
      // A reply of the controller whose name is psample: its number is in the attribute 1.
      const text = new TextDecoder("latin1").decode(message);
      if (type === 16 && message[16] === 1 && text.includes("psample\0")) {
        family = view.getUint16(at + text.indexOf("\x06\0\x01\0") + 4, true);
      } else if (type === family) {
        const item = viewMessage(messageOf(message));
        if (item && (item.type === "sample" || item.portId === 0)) items.push(item);
      }
      at += (length + 3) & ~3;
    }
  }
  return items;
}
