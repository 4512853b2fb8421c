/** Reading a recording as a library user does. */
import { readRecording, type ReadRecordingOptions, type RecordingSource } from "../../src/receive/recording.ts";
import type { ListenStats } from "../../src/stream/stats.ts";
import { toHex } from "../../src/wire/text.ts";

/** A copy of an entry. */
export interface ReadEntry {
  readonly type: string;
  readonly group: number | undefined;
  readonly sequence: number | undefined;
  readonly nsid: number | undefined;
  readonly data: string | undefined;
  /** All its fields, as text. */
  readonly json: string;
  /** The message, in hexadecimal. */
  readonly message: string;
  readonly timeNs: bigint;
  readonly lost: number | undefined;
  /** Names of the device that it was sampled on, and of the one that it came in by. */
  readonly device: string | undefined;
  readonly inName: string | undefined;
}

/** What is in a recording. */
export interface Reading {
  readonly entries: readonly ReadEntry[];
  readonly error: string | undefined;
  readonly source: RecordingSource;
  readonly stats: ListenStats;
  /** The sums of what the batches say. */
  readonly lost: number;
  readonly dropped: number;
}

/** A file in pieces of `size` bytes. */
export async function* pieces(file: Uint8Array, size: number = file.length): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < file.length; at += size) yield file.subarray(at, at + size);
}

/** Reads a file that is in memory, in pieces of `size` bytes. */
export async function readPieces(file: Uint8Array, size?: number, options?: ReadRecordingOptions): Promise<Reading> {
  return await readAll(await readRecording(pieces(file, size), options));
}

/** Reads everything. */
export async function readAll(source: RecordingSource): Promise<Reading> {
  const entries: ReadEntry[] = [];
  let error: string | undefined;
  let lost = 0;
  let dropped = 0;
  try {
    for await (const batch of source.lentBatches()) {
      lost += batch.lost;
      dropped += batch.dropped;
      batch.entries.forEach((entry, i) => {
        const isSample = entry.type === "sample";
        const { data, inIfindex } = isSample ? entry : { data: undefined, inIfindex: undefined };
        entries.push({
          type: entry.type,
          group: entry.group,
          sequence: entry.sequence,
          nsid: entry.nsid,
          data: data && toHex(data),
          json: JSON.stringify(entry),
          message: toHex(entry.message!),
          timeNs: batch.timeNs(i),
          lost: batch.lostBefore(i),
          device: batch.device(i)?.name,
          inName: inIfindex === undefined ? undefined : batch.devicesOf(i).find(inIfindex, entry.nsid)?.name,
        });
      });
    }
  } catch (caught) {
    if (!(caught instanceof Error) || caught.name !== "DecodeError") throw caught;
    error = caught.message;
  }
  return { entries, error, source, stats: source.stats(), lost, dropped };
}
