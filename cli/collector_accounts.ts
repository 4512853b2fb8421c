/** What became of what was for a collector, in words. */
import type { ExportSink } from "../mod.ts";
import { connectionParts } from "./stream_targets.ts";
import { byReason, plural } from "./summary.ts";

/** The name of a collector, with its address if that is not its name. */
export function nameOf({ name, address }: ExportSink): string {
  return address === undefined || name.endsWith(` ${address}`) || name.endsWith(` tcp:${address}`) ? name : `${name} (${address})`;
}

/**
 * Why a collector certainly got nothing of what was for it; `undefined` if it may have got something, or there was nothing. Templates that
 * were sent are no use without data.
 */
export function whyUnreached(sink: ExportSink): string | undefined {
  const { written, skipped, encoder, counterSamples = { sent: 0, dropped: 0 }, datagrams } = sink;
  const left = written - (encoder.leftOut ?? 0) + counterSamples.sent;
  if (left === 0) {
    const isDropped = skipped + counterSamples.dropped > 0;
    return isDropped ? `nothing was sent to ${nameOf(sink)}: all of it was dropped${reasonsOf(datagrams.droppedBy)}` : undefined;
  }
  // Hosts do not report every datagram, so that fewer errors prove nothing. There are none by TCP.
  if (datagrams.returned < datagrams.sent || datagrams.returned === 0) return undefined;
  const { returnedBy, droppedBy } = datagrams;
  const reasons = reasonsOf({ ...droppedBy, ...returnedBy === undefined ? {} : { [returnedBy]: datagrams.returned } });
  return `nothing was delivered to ${nameOf(sink)}: errors came back for all of it${reasons}`;
}

/** Why something was not delivered, in parentheses. */
export function reasonsOf(by: Readonly<Record<string, number>>): string {
  const codes = Object.keys(by);
  return codes.length === 0 ? "" : ` (${codes.join(", ")})`;
}

function lostCounters(counterSamples: ExportSink["counterSamples"]): string {
  return counterSamples?.dropped ? ` and ${plural(counterSamples.dropped, "counter sample")}` : "";
}

/** What was sent to a collector. */
export function sentTo({ datagrams, skipped, encoder, connection, counterSamples }: ExportSink): string {
  const { sent, dropped, droppedBy, returned, returnedBy } = datagrams;
  const parts = [`${plural(sent, connection ? "message" : "datagram")} sent`, ...connection ? connectionParts(connection) : []];
  if (counterSamples?.sent) parts.push(`${plural(counterSamples.sent, "counter sample")} in them`);
  if (dropped > 0) {
    parts.push(`${dropped} dropped with ${plural(skipped, "sample")}${lostCounters(counterSamples)} (${byReason(droppedBy)})`);
  }
  if (returned > 0) parts.push(`errors came back for at least ${returned}${returnedBy === undefined ? "" : ` (${returnedBy})`}`);
  const { leftOut = 0 } = encoder;
  if (leftOut > 0) parts.push(`${plural(leftOut, "sample")} left out, whose packets were sampled when they arrived`);
  return parts.join(", ");
}
