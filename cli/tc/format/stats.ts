/** Counters. */
import type { Stats } from "../../../src/tc/stats.ts";
import type { DocumentWriter } from "./document.ts";

/** A number of bytes, as iproute2 shortens it: only if next to nothing is lost. */
function sizeText(bytes: number): string {
  for (const [unit, name, slack] of [[1024 * 1024, "Mb", 1024], [1024, "Kb", 16]] as const) {
    const rounded = Math.round(bytes / unit);
    if (bytes >= unit && Math.abs(rounded * unit - bytes) < slack) return `${rounded}${name}`;
  }
  return `${bytes}b`;
}

/** Counters, with `prefix` before each line. */
export function writeStats(out: DocumentWriter, stats: Stats, prefix: string): void {
  const { bytes, packets, hardwareBytes, hardwarePackets, drops, overlimits, requeues, backlogBytes, queueLength } = stats;
  if (bytes !== undefined && packets !== undefined) {
    out.text(prefix);
    out.field("bytes", bytes, `Sent ${bytes} bytes`);
    out.field("packets", packets, ` ${packets} pkt`);
  }
  const queue = drops !== undefined && overlimits !== undefined && requeues !== undefined;
  if (queue) {
    out.field("drops", drops, ` (dropped ${drops}`);
    out.field("overlimits", overlimits, `, overlimits ${overlimits}`);
    out.field("requeues", requeues, ` requeues ${requeues}) `);
  }
  if (hardwareBytes || hardwarePackets) {
    const inHardware = { bytes: hardwareBytes ?? 0n, packets: hardwarePackets ?? 0n };
    if (bytes !== undefined && packets !== undefined && bytes >= inHardware.bytes && packets >= inHardware.packets) {
      out.line();
      out.text(prefix);
      out.field("sw_bytes", bytes - inHardware.bytes, `Sent software ${bytes - inHardware.bytes} bytes`);
      out.field("sw_packets", packets - inHardware.packets, ` ${packets - inHardware.packets} pkt`);
    }
    out.line();
    out.text(prefix);
    out.field("hw_bytes", inHardware.bytes, `Sent hardware ${inHardware.bytes} bytes`);
    out.field("hw_packets", inHardware.packets, ` ${inHardware.packets} pkt`);
  }
  if (queue && backlogBytes !== undefined && queueLength !== undefined) {
    out.line();
    out.text(prefix);
    out.field("backlog", backlogBytes, `backlog ${sizeText(backlogBytes)}`);
    out.field("qlen", queueLength, ` ${queueLength}p`);
    out.text(` requeues ${requeues}`);
  }
}
