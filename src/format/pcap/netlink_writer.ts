/** Writes netlink messages as they came (pcap with link type 253), as libpsample and nlmon devices record them. */
import { encodeNewFamily } from "../../genl/ctrl.ts";
import { PSAMPLE_GENL_NAME, PSAMPLE_GENL_VERSION } from "../../psample/constants.ts";
import type { SampleView } from "../../psample/sample_view.ts";
import type { Batch, EntryView } from "../../stream/batch.ts";
import { Clock } from "../../stream/clock.ts";
import { encodeMessage, isLittleEndian, messageType, NLMSG_NOOP } from "../../wire/message.ts";
import { LITTLE, memory, viewOf } from "../../wire/native.ts";
import { LINKTYPE_NETLINK } from "../link_types.ts";
import type { Output } from "../output.ts";
import type { Recorder } from "../recorder.ts";
import { ARPHRD_NETLINK, COOKED_HEADER, LOSSES_SIGNATURE, NETLINK_GENERIC, PACKET_OUTGOING } from "./cooked.ts";
import { FILE_HEADER, RECORD_HEADER } from "./header.ts";
import { writeFileHeader, writeRecordHeader } from "./writer.ts";

/** More than the record that names the family and one that records losses. */
const OTHER_RECORDS = 256;
/** Maximum number of groups watched for gaps in their numbers. */
const MOST_GROUPS = 4096;

/**
 * Writes the messages of samples and group events, byte for byte and so in the byte order of the machine that they are from. Two records
 * are our own: a message of the controller, from which readers learn the number of the psample family; and if a filter left samples out,
 * records of losses, because gaps in the numbers no longer show them.
 */
export class NetlinkWriter implements Recorder {
  #little = LITTLE;
  #begun = false;
  /** The number of the family that the file contains, and its byte order; -1 if it does not contain one yet. */
  #family = -1;
  #familyIsLittle = LITTLE;
  /** Whether this file records losses. */
  #tells = false;
  /** Losses not recorded yet; negative if samples arrived late that had been recorded as lost. */
  #untold = 0;
  /** The number after the last one written, for each group. */
  readonly #next = new Map<string | number, number>();
  readonly #clock = new Clock();

  begin(): void {
    this.#begun = false;
    this.#family = -1;
    this.#tells = false;
    this.#untold = 0;
    this.#next.clear();
  }

  enter(): void {}

  mostBytes(entry: EntryView): number {
    const message = entry.type === "sample" ? entry.messageBytes : entry.message?.length ?? 0;
    return FILE_HEADER + OTHER_RECORDS + RECORD_HEADER + COOKED_HEADER + message;
  }

  write(output: Output, batch: Batch, i: number): void {
    const entry = batch.entries[i]!;
    batch.readTime(i, this.#clock);
    if (entry.type === "sample") {
      this.#introduce(output, entry.messageType, entry.littleEndian);
      this.#tell(output, batch, i, entry);
      const size = entry.messageBytes;
      this.#beginRecord(output, size);
      entry.writeMessage(output.bytes, output.view, output.length);
      output.length += size;
    } else if (entry.message !== undefined) {
      const little = isLittleEndian(entry.message);
      this.#introduce(output, messageType(entry.message, little), little);
      this.#record(output, entry.message);
    }
  }

  /** Records the number of the family: it changes when the kernel module is loaded again. */
  #introduce(output: Output, family: number, little: boolean): void {
    this.#beginFile(output, little);
    if (family === this.#family && little === this.#familyIsLittle) return;
    this.#family = family;
    this.#familyIsLittle = little;
    this.#record(output, encodeNewFamily({ id: family, name: PSAMPLE_GENL_NAME, version: PSAMPLE_GENL_VERSION }, little));
  }

  /** A recording of nothing is still a recording. */
  end(output: Output): void {
    this.#beginFile(output, LITTLE);
  }

  #beginFile(output: Output, little: boolean): void {
    if (this.#begun) return;
    this.#begun = true;
    this.#little = little;
    writeFileHeader(output, LINKTYPE_NETLINK, little);
  }

  /** Records the losses before a sample, if its number does not show them. */
  #tell(output: Output, batch: Batch, i: number, sample: SampleView): void {
    const little = sample.littleEndian;
    const lost = batch.lostBefore(i);
    if (lost === undefined) return;
    if (!this.#tells) {
      if (this.#gap(sample, lost) <= Math.max(0, lost)) return;
      this.#tells = true;
      this.#tellLosses(output, Math.max(0, lost), little);
      return;
    }
    this.#untold += lost;
    if (this.#untold <= 0) return;
    this.#tellLosses(output, this.#untold, little);
    this.#untold = 0;
  }

  /** How many numbers are missing between a sample and the last one of its group that was written. */
  #gap({ group, nsid, sequence }: SampleView, lost: number): number {
    if (group === undefined || sequence === undefined) return 0;
    const key = nsid === undefined ? group : `${nsid}/${group}`;
    const next = this.#next.get(key);
    // A late one has its place before those that are written.
    if (lost >= 0) {
      if (next === undefined && this.#next.size === MOST_GROUPS) this.#next.clear();
      this.#next.set(key, (sequence + 1) >>> 0);
    }
    return next === undefined ? 0 : (sequence - next) | 0;
  }

  #tellLosses(output: Output, lost: number, little: boolean): void {
    const told = memory(8);
    viewOf(told).setUint32(0, LOSSES_SIGNATURE);
    viewOf(told).setUint32(4, Math.min(lost, 0xffff_ffff));
    this.#record(output, encodeMessage({ type: NLMSG_NOOP, flags: 0 }, told, undefined, little));
  }

  /** Writes a message at the time on the clock. */
  #record(output: Output, message: Uint8Array): void {
    this.#beginRecord(output, message.length);
    output.put(message);
  }

  /** Writes what comes before a message of `bytes`, and makes room for it. */
  #beginRecord(output: Output, bytes: number): void {
    const size = COOKED_HEADER + bytes;
    writeRecordHeader(output, this.#clock, size, size, this.#little);
    const { view, length: at } = output;
    view.setUint32(at, PACKET_OUTGOING << 16 | ARPHRD_NETLINK);
    view.setUint32(at + 4, 0);
    view.setUint32(at + 8, 0);
    view.setUint32(at + 12, NETLINK_GENERIC);
    output.length = at + COOKED_HEADER;
  }
}
