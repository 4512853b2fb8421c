/** Recordings as files: the formats, and the interface that writes all of them. */
import type { Batch, EntryView } from "../stream/batch.ts";
import type { ListenStats } from "../stream/stats.ts";
import type { Output } from "./output.ts";

/**
 * Format of a recording:
 *
 * - `pcapng`: the sampled packets with everything that is known about them. Wireshark and tcpdump open it, and reading it
 *   gives the same samples back.
 * - `pcap`: the sampled packets and their times, nothing else, all of one link type.
 * - `netlink`: the netlink messages as the kernel sent them, as libpsample records them (pcap with link type 253).
 *
 * @category Recordings
 */
export type RecordingFormat = "pcapng" | "pcap" | "netlink";

/**
 * All formats, the default first.
 *
 * @category Recordings
 */
export const RECORDING_FORMATS: readonly RecordingFormat[] = ["pcapng", "pcap", "netlink"];

/**
 * The format that the name of a file implies: `pcap` if it ends in `.pcap`, else `pcapng`.
 *
 * @category Recordings
 */
export function recordingFormat(path: string): RecordingFormat {
  return /\.pcap$/i.test(path) ? "pcap" : "pcapng";
}

/**
 * What is known when a file ends.
 *
 * @category Recordings
 */
export interface Ending {
  /** When recording it began and ended, in nanoseconds since 1970; `undefined` if the samples come from another recording. */
  readonly period?: { readonly startNs: bigint; readonly endNs: bigint } | undefined;
  /** What the source received and lost, if this is its end. */
  readonly stats?: ListenStats | undefined;
}

/**
 * Writes files in one format, one after the other: {@linkcode Recorder.begin}, then for each batch
 * {@linkcode Recorder.enter} and {@linkcode Recorder.write} for each of its entries, and at last {@linkcode Recorder.end}.
 * A new file may begin in the middle of a batch. It writes into memory and keeps no entry.
 *
 * @category Recordings
 */
export interface Recorder {
  /** Begins a file. */
  begin(output: Output): void;
  /** Announces a batch, even one without entries, because its losses belong to the recording. */
  enter(batch: Batch): void;
  /** Maximum number of bytes that writing this entry and then ending adds to the file. */
  mostBytes(entry: EntryView): number;
  /**
   * Writes entry `i` of the batch that was entered last.
   *
   * @throws {EncodeError} if the format cannot express it.
   */
  write(output: Output, batch: Batch, i: number): void;
  /** Ends the file. */
  end(output: Output, ending: Ending): void;
}
