import { readdirSync, readFileSync } from "node:fs";
import { PcapReader, type PcapRecord } from "../../src/format/pcap.ts";
import { RecordDecoder } from "../../src/format/netlink_record.ts";
import type { GroupEvent } from "../../src/psample/mod.ts";
import type { SampleView } from "../../src/psample/sample_view.ts";

/** A recording of a real kernel, see test/golden. */
export interface Recording {
  readonly name: string;
  readonly file: Uint8Array<ArrayBuffer>;
  readonly records: PcapRecord[];
  readonly items: (SampleView | GroupEvent)[];
  readonly decoder: RecordDecoder;
}

/** All recordings; throws where there are none, so that no test passes for want of them. */
export function recordings(): Recording[] {
  const folder = new URL("../golden/", import.meta.url);
  const names = readdirSync(folder).filter((name) => name.endsWith(".pcap")).sort();
  if (names.length === 0) throw new Error("no recordings in test/golden");
  return names.map((name) => {
    const file = new Uint8Array(readFileSync(new URL(name, folder)));
    const reader = new PcapReader();
    const records = reader.push(file);
    reader.end();
    const decoder = new RecordDecoder();
    const items = records.flatMap((record) => decoder.decode(record));
    decoder.end();
    return { name, file, records, items, decoder };
  });
}

/** Only the samples of all recordings. */
export function recordedSamples(): SampleView[] {
  return recordings().flatMap(({ items }) => items.filter((item) => item.type === "sample"));
}
