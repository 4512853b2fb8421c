/** Writes pcap: its files and records, and the packets of samples as tcpdump would have recorded them. */
import { EncodeError } from "../../errors.ts";
import { linkTypeOfSample } from "../../link/link_type.ts";
import type { Batch, EntryView } from "../../stream/batch.ts";
import { Clock } from "../../stream/clock.ts";
import { LITTLE } from "../../wire/native.ts";
import { LINKTYPE_ETHERNET, LINKTYPE_RAW, linkTypeText } from "../link_types.ts";
import type { Output } from "../output.ts";
import type { Recorder } from "../recorder.ts";
import { FILE_HEADER, MAGIC_NANOSECONDS, RECORD_HEADER, SNAPLEN, VERSION_MAJOR, VERSION_MINOR } from "./header.ts";

/** The last second that a record can express: in 2106. */
const LAST_SECOND = 0xffff_ffff;

/** Writes what a file begins with. */
export function writeFileHeader(output: Output, linkType: number, little: boolean): void {
  output.reserve(FILE_HEADER);
  const { view, length: at } = output;
  view.setUint32(at, MAGIC_NANOSECONDS, little);
  view.setUint16(at + 4, VERSION_MAJOR, little);
  view.setUint16(at + 6, VERSION_MINOR, little);
  view.setUint32(at + 8, 0);
  view.setUint32(at + 12, 0);
  view.setUint32(at + 16, SNAPLEN, little);
  view.setUint32(at + 20, linkType, little);
  output.length = at + FILE_HEADER;
}

/** Begins a record, and makes room for its bytes. A time that the format cannot express becomes the nearest that it can. */
export function writeRecordHeader(output: Output, clock: Clock, captured: number, original: number, little: boolean): void {
  output.reserve(RECORD_HEADER + captured);
  const { view, length: at } = output;
  const { seconds } = clock;
  const fits = seconds >= 0 && seconds <= LAST_SECOND;
  view.setUint32(at, fits ? seconds : seconds < 0 ? 0 : LAST_SECOND, little);
  view.setUint32(at + 4, fits ? clock.nanoseconds : seconds < 0 ? 0 : 999_999_999, little);
  view.setUint32(at + 8, captured, little);
  view.setUint32(at + 12, original, little);
  output.length = at + RECORD_HEADER;
}

/** Writes the packets, all of one link type. Group events are left out. */
export class PcapWriter implements Recorder {
  /** The link type of this file; its first packet decides. */
  #linkType: number | undefined;
  readonly #clock = new Clock();

  begin(): void {
    this.#linkType = undefined;
  }

  enter(): void {}

  mostBytes(entry: EntryView): number {
    return FILE_HEADER + RECORD_HEADER + (entry.type === "sample" ? entry.dataBytes : 0);
  }

  write(output: Output, batch: Batch, i: number): void {
    const sample = batch.entries[i]!;
    if (sample.type !== "sample") return;
    const captured = sample.dataBytes;
    // A packet without data fits every link type.
    if (captured > 0 || this.#linkType === undefined) {
      const first = linkTypeOfSample(batch.device(i)?.type, sample);
      this.#is(output, first === "ethernet" ? LINKTYPE_ETHERNET : LINKTYPE_RAW);
    }
    batch.readTime(i, this.#clock);
    writeRecordHeader(output, this.#clock, captured, Math.max(captured, sample.originalBytes ?? 0), LITTLE);
    if (captured > 0) sample.writeData(output.bytes, output.view, output.length);
    output.length += captured;
  }

  end(output: Output): void {
    if (this.#linkType === undefined) this.#is(output, LINKTYPE_ETHERNET);
  }

  #is(output: Output, linkType: number): void {
    if (linkType === this.#linkType) return;
    if (this.#linkType !== undefined) {
      throw new EncodeError(
        `Cannot record ${linkTypeText(linkType)} beside ${linkTypeText(this.#linkType)}: a pcap file has one link type. ` +
          "Record as pcapng (.pcapng), which has one for each interface",
      );
    }
    this.#linkType = linkType;
    writeFileHeader(output, linkType, LITTLE);
  }
}
