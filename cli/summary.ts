/** The line at the end: what was received, and what was lost and why. */
import type { ListenStats } from "../mod.ts";

/** Maximum number of groups named; nobody would read a line with many more. */
const MOST_NAMED = 8;

/** What passed the samplers, as far as it is known. */
export interface Passing {
  /** Packets that the sampler decided about. */
  readonly trials: bigint | undefined;
  /** Packets on the wire. */
  readonly packets: bigint | undefined;
  /** The devices whose counters could not be read at the end, so that more may have passed. Defaults to none. */
  readonly unread?: readonly string[] | undefined;
  /** N, if 1 packet in N is picked; `"mixed"` if devices differ. */
  readonly oneIn: number | "mixed" | undefined;
  /** Number of received samples that came from others' sampling. */
  readonly foreign: number;
  /** The amount of traffic, in words. */
  readonly load: string | undefined;
  /** What the sampler does that it does not say, if that is certain. */
  readonly fault?: string | undefined;
}

/**
 * What was received and lost; `written` is how many samples went on, in the way that `how` says. If others were lost after they had been
 * received, which is reported elsewhere, `isDropped` says that these are not among those that are lost here.
 */
export function received(
  stats: ListenStats,
  written: number,
  askedBytes?: number,
  passing?: Passing,
  how = "printed or recorded",
  isDropped = false,
): string {
  const parts = [passing ? passed(stats, passing) : `received ${plural(stats.received, "sample")}`];
  // More had arrived by the time the last one was wanted, or could be written.
  if (written < stats.received - (passing?.foreign ?? 0)) {
    parts[0] += `, ${passing ? grouped(written) : written} of them ${how}`;
  }
  if (passing && passing.foreign > 0) parts.push(`${plural(passing.foreign, "sample")} of others left out`);
  if (passing?.load !== undefined) parts.push(stats.filtered ? `${passing.load} of what it lets through` : passing.load);
  if (passing?.unread && passing.unread.length > 0) {
    parts.push(`what passed ${names(passing.unread)} at the end was not counted: the sampling was gone before its counters could be read`);
  }
  if (passing?.fault !== undefined) parts.push(passing.fault);
  if (stats.events > 0) parts.push(plural(stats.events, "group event"));
  parts.push(`lost ${stats.lost}${isDropped ? " while receiving" : ""}${where(stats)}`);
  const contradictory = stats.groups.filter((group) => group.contradictory);
  if (contradictory.length > 0) {
    parts.push(`the numbers of group ${names(contradictory.map(({ group }) => `${group}`))} contradict each other: more may be lost`);
  }
  if (stats.dropped > 0) {
    parts.push(`${plural(stats.dropped, "message")} dropped because the receive buffer of ${stats.receiveBufferBytes} bytes was full`);
  }
  if (stats.malformed > 0) parts.push(`${stats.malformed} malformed (the last: ${stats.lastMalformed})`);
  if (stats.unknown > 0) parts.push(`${stats.unknown} of unknown kinds`);
  // Nobody knows how much the kernel left out, nor whether some of it was lost.
  if (stats.filtered) parts.push("filtered in the kernel: losses show only as drops");
  const unnumbered = stats.filtered ? [] : stats.groups.filter((group) => !group.numbered && group.received > 1);
  if (unnumbered.length > 0) {
    const [groups, are] = unnumbered.length === 1 ? ["group", "is"] : ["groups", "are"];
    parts.push(`${groups} ${names(unnumbered.map(({ group }) => `${group}`))} ${are} not numbered: losses show only as drops`);
  }
  if (stats.dropped > 0 && askedBytes !== undefined && stats.receiveBufferBytes < askedBytes) {
    parts.push(`a receive buffer of ${askedBytes} bytes was asked for: raise net.core.rmem_max (sysctl), or run as root`);
  }
  return parts.join("; ");
}

const grouped = (number: bigint | number): string => number.toLocaleString("en");

function passed(stats: ListenStats, { trials, packets, oneIn, foreign, unread = [] }: Passing): string {
  const counted = trials ?? packets;
  const own = stats.received - foreign;
  if (counted === undefined) return `received ${plural(own, "sample")}`;
  // Each sample is a packet that has passed.
  const count = counted > own ? counted : BigInt(own);
  const least = unread.length > 0 || count > counted ? "at least " : "";
  // Segmentation offload: one decision for several packets.
  const wire = trials !== undefined && packets !== undefined && packets > trials ? `, ${grouped(packets)} on the wire` : "";
  const hits = trials === undefined ? "" : ` (rule hits${wire})`;
  const rate = oneIn === "mixed" ? "each device at its rate" : `1 in ${oneIn ?? "?"}`;
  const sampled = stats.filtered ? `${plural(own, "sample")} that the filter let through` : `${grouped(own)} sampled`;
  return `${least}${grouped(count)} packet${count === 1n ? "" : "s"} passed${hits}, ${rate}: ${sampled}`;
}

/** Whether there is anything to report. */
export function isTelling({ received, events, lost, dropped, malformed, unknown }: ListenStats): boolean {
  return received > 0 || events > 0 || lost > 0 || dropped > 0 || malformed > 0 || unknown > 0;
}

/** A number and what it counts. */
export function plural(count: number | bigint, what: string): string {
  return `${count} ${what}${Number(count) === 1 ? "" : "s"}`;
}

/** Reasons, with the number of times for each if there are several: `"ENOBUFS 3, EPERM 1"`. */
export function byReason(counts: Readonly<Record<string, number>>): string {
  const reasons = Object.entries(counts);
  return reasons.map(([reason, count]) => reasons.length > 1 ? `${reason} ${count}` : reason).join(", ");
}

function where({ groups, gaps, lost: all }: ListenStats): string {
  const lost = groups.filter((group) => group.lost > 0)
    .map((group) => `group ${group.group}${group.nsid === undefined ? "" : ` of nsid ${group.nsid}`}: ${group.lost}`);
  return lost.length > 0 ? `${all === gaps ? "" : `, ${gaps} of them`} by sequence number (${names(lost)})` : "";
}

function names(all: readonly string[]): string {
  const rest = all.length - MOST_NAMED;
  return rest <= 0 ? all.join(", ") : `${all.slice(0, MOST_NAMED).join(", ")} and ${rest} more`;
}
