import { NetlinkWriter } from "./pcap/netlink_writer.ts";
import { PcapWriter } from "./pcap/writer.ts";
import { type PcapngOptions, PcapngWriter } from "./pcapng/writer.ts";
import type { Recorder, RecordingFormat } from "./recorder.ts";

/**
 * Makes a writer of recordings in this format. Only pcapng names the program that wrote it.
 *
 * @category Recordings
 */
export function createRecorder(format: RecordingFormat, options: PcapngOptions = {}): Recorder {
  switch (format) {
    case "pcapng":
      return new PcapngWriter(options);
    case "pcap":
      return new PcapWriter();
    case "netlink":
      return new NetlinkWriter();
  }
}
