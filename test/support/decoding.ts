/** Decoding a recording at once, without a source, for checks of each entry while it is lent. */
import { DecodeError } from "../../src/errors.ts";
import { CaptureReader } from "../../src/format/capture_reader.ts";
import type { Origin } from "../../src/format/decoded_interface.ts";
import type { RecordCounts } from "../../src/format/record_counts.ts";
import { RecordingDecoder, type RecordingDecoderOptions, WANTED_BLOCKS } from "../../src/format/recording_decoder.ts";
import type { Told } from "../../src/format/recording_sink.ts";
import { type GroupEvent, viewMessage } from "../../src/psample/group.ts";
import type { SampleView } from "../../src/psample/sample_view.ts";
import type { EntryView } from "../../src/stream/batch.ts";
import { isLittleEndian, messageOf } from "../../src/wire/message.ts";

/** What a recording is. */
export interface Decoded<Item> {
  readonly items: readonly Item[];
  readonly counts: RecordCounts;
  readonly error: string | undefined;
}

/** Where, when and after which losses an entry was recorded. */
export interface Circumstances {
  readonly told: Told;
  /** `undefined` if the record has no time. */
  readonly timeNs: bigint | undefined;
  readonly origin: Origin;
}

/** Decodes pieces of a file; `take` returns what is kept of each entry. */
export function decodePieces<Item>(
  pieces: Iterable<Uint8Array>,
  take: (entry: EntryView, circumstances: Circumstances) => Item,
  options?: RecordingDecoderOptions,
): Decoded<Item> {
  const items: Item[] = [];
  const decoder = new RecordingDecoder({
    entry: (entry, told, seconds, nanoseconds, origin) => {
      const timeNs = Number.isNaN(seconds) ? undefined : BigInt(seconds) * 1_000_000_000n + BigInt(nanoseconds);
      items.push(take(entry, { told, timeNs, origin }));
    },
    correct: () => {},
  }, options);
  const reader = new CaptureReader(decoder, WANTED_BLOCKS);
  let left = new Uint8Array(0);
  let error: string | undefined;
  try {
    for (const piece of pieces) {
      const bytes = new Uint8Array(left.length + piece.length);
      bytes.set(left);
      bytes.set(piece, left.length);
      const view = new DataView(bytes.buffer);
      let at = 0;
      do {
        decoder.begin();
        at = reader.read(view, at, bytes.length);
      } while (decoder.paused);
      left = bytes.slice(at);
    }
    reader.end(left.length);
    decoder.end();
  } catch (caught) {
    if (!(caught instanceof DecodeError)) throw caught;
    error = caught.message;
  }
  return { items, counts: decoder.counts, error };
}

/** Decodes a whole file, in pieces of `size` bytes, into entries of their own. */
export function decodeFile(
  file: Uint8Array,
  size: number = file.length,
  options?: RecordingDecoderOptions,
): Decoded<SampleView | GroupEvent> {
  return decodePieces(slices(file, size), (entry) => own(entry), options);
}

/** The bytes of all packets of a file, of any kind. */
export function packetsOf(file: Uint8Array<ArrayBuffer>): Uint8Array[] {
  const packets: Uint8Array[] = [];
  const reader = new CaptureReader({
    paused: false,
    section: () => {},
    interface: () => {},
    packet: (_, { start, end }) => void packets.push(file.slice(start, end)),
    block: () => {},
  });
  const at = reader.read(new DataView(file.buffer, file.byteOffset, file.length), 0, file.length);
  reader.end(file.length - at);
  return packets;
}

/** Copies of the pieces of a file. */
export function* slices(file: Uint8Array, size: number): Generator<Uint8Array> {
  for (let at = 0; at < file.length; at += size) yield file.slice(at, at + size);
}

/** A copy of an entry. */
export function own({ message, nsid }: EntryView): SampleView | GroupEvent {
  const bytes = message!.slice();
  return viewMessage(messageOf(bytes, isLittleEndian(bytes)), nsid)!;
}
