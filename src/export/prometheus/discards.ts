/** The metrics about packets that the kernel discards. */
import type { FamilyWriter, MetricText } from "./family.ts";
import type { MetricsDiscards } from "./state.ts";

/** Writes the families of discarded packets; none if nobody monitors them, because 0 would say that there were none. */
export function writeDiscards(out: FamilyWriter, discards: MetricsDiscards | undefined): void {
  if (!discards) return;
  const { reported, beyondLimit, lost, notPackets, malformed } = discards;
  const families: readonly (readonly [name: string, text: MetricText, value: number])[] = [
    ["psample_reported_discards", {
      help: "Discarded packets that were reported to collectors.",
      otel: ["psample.reported_discards", "{packet}"],
    }, reported],
    ["psample_skipped_discards", {
      help: "Discarded packets that were not reported, because there were more in a second than the limit.",
      otel: ["psample.skipped_discards", "{packet}"],
    }, beyondLimit],
    ["psample_lost_discards", {
      help: "Discarded packets that were not reported, because the kernel had no room for the report.",
      otel: ["psample.lost_discards", "{packet}"],
    }, lost],
    ["psample_nonpacket_discards", {
      help: "Discarded buffers that were no packets of a network: these are not reported.",
      otel: ["psample.nonpacket_discards", "{buffer}"],
    }, notPackets],
    ["psample_malformed_discards", {
      help: "Messages about discarded packets that could not be decoded.",
      otel: ["psample.malformed_discards", "{message}"],
    }, malformed],
  ];
  for (const [name, text, value] of families) out.counter(name, text, [{ value }]);
}
