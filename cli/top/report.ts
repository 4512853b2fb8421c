/** The estimates at the end of an interval, and everything that must be reported with them. */
import type { DeviceEstimate, FlowEstimate, Overlap, Snapshot } from "../../src/estimate/mod.ts";
import type { Labels } from "../../src/format/labels.ts";
import { printable } from "../../src/wire/text.ts";
import { type Figure, scaled } from "./figures.ts";
import type { HostNames } from "./host_names.ts";
import { type Twice, twiceText } from "./twice.ts";

/** Maximum number of devices named in a sentence. */
const MOST_NAMED = 8;

/** The figures of an interval. */
export interface Report {
  /** The estimates. */
  readonly snapshot: Snapshot;
  /** When the interval ended, in nanoseconds since 1970. */
  readonly atNs: bigint;
  /** Its length; 0 if the recording contains no times. */
  readonly seconds: number;
  /** Samples that were lost in it. */
  readonly lost: number;
  /** How many of those losses no other sample makes up for. */
  readonly missing: number;
  /** Whether only some of the packets are counted: then link loads are lower bounds. */
  readonly isFiltered: boolean;
  /** Speeds of devices in bit/s, by name, as far as known. */
  readonly speeds: ReadonlyMap<string, number>;
  /** Pairs of places whose packets the figures count twice. */
  readonly twice?: readonly Overlap[] | undefined;
  /** Places whose samples are left out, so that nothing is counted twice. */
  readonly leftOut?: readonly string[] | undefined;
  /** Host names, if they are wanted. */
  readonly hosts?: HostNames | undefined;
  /** Names of groups, cookies and VLANs. */
  readonly labels?: Labels | undefined;
}

/** What reports contain besides the estimates, as far as it is known before there are any. */
export interface ReportContext {
  /** {@linkcode Report.isFiltered} */
  readonly isFiltered: boolean;
  /** {@linkcode Report.speeds} */
  readonly speeds: () => ReadonlyMap<string, number>;
  /** Finds {@linkcode Report.twice}. */
  readonly twice?: Twice | undefined;
  /** {@linkcode Report.leftOut} */
  readonly leftOut?: ReadonlySet<string> | undefined;
  /** {@linkcode Report.hosts} */
  readonly hosts?: HostNames | undefined;
  /** {@linkcode Report.labels} */
  readonly labels?: Labels | undefined;
}

/** The report on a snapshot, with what its context knows now; `lost` is {@linkcode Report.lost}. */
export function reportOf(snapshot: Snapshot, atNs: bigint, lost: number, context: ReportContext): Report {
  const { isFiltered, speeds, twice, leftOut, hosts, labels } = context;
  return {
    snapshot,
    atNs,
    seconds: snapshot.seconds,
    lost,
    missing: Math.max(0, lost - snapshot.lost),
    isFiltered,
    speeds: speeds(),
    twice: twice?.of(snapshot),
    leftOut: leftOut && [...leftOut],
    hosts,
    labels,
  };
}

/** Whether the figures of bytes are lower bounds, and those of packets; of a flow, those that counters do not make sure. */
export function lowerBounds({ missing, snapshot }: Report, flow?: FlowEstimate): { readonly bytes: boolean; readonly packets: boolean } {
  const isSure = (what: "packets" | "bytes"): boolean => flow?.calibrated?.includes(what) ?? false;
  return {
    bytes: missing > 0 && !isSure("bytes"),
    packets: (missing > 0 || snapshot.unknownSegments > 0) && !isSure("packets"),
  };
}

/** How much of a link is used, 0 to 1; `undefined` if its speed is not known. Each direction has the full speed. */
export function loadOf({ by: [name], wireBytes, wireBytesRange: [low, high] }: DeviceEstimate, report: Report): Figure | undefined {
  const speed = report.speeds.get(name!);
  if (speed === undefined || !(report.seconds > 0)) return undefined;
  const whole = speed / 8 * report.seconds;
  return { value: wireBytes / whole, range: [low / whole, high / whole] };
}

/** Remarks on the figures, one sentence each. */
export function remarks(report: Report, shown: number): string[] {
  const { snapshot, missing, twice = [], leftOut = [] } = report;
  const { kept, keyless, unusable, unknownSegments, bound, by } = snapshot;
  const notes: string[] = [];
  if (twice.length > 0) notes.push(twiceText(twice));
  if (leftOut.length > 0) notes.push(`left out by --count-at: ${leftOut.join(", ")}`);
  if (bound > 0) {
    notes.push(`the ${shown} largest of more than ${kept} flows; one that is not kept has at most ${scaled(bound, "B")}`);
  } else if (shown < kept) {
    notes.push(`the ${shown} largest of ${kept} flows`);
  }
  if (keyless > 0) notes.push(`${samples(keyless)} ${lacking(by)}: in the totals only`);
  if (unusable > 0) notes.push(`${samples(unusable)} of unknown rate or size: counted nowhere (--rate N says what they stand for)`);
  if (missing > 0) notes.push(`${samples(missing)} lost that no other sample makes up for: figures are lower bounds (≥)`);
  if (unknownSegments > 0) {
    notes.push(`${samples(unknownSegments)} of an unknown number of packets: packets are lower bounds (≥)`);
  }
  const sure = snapshot.devices.filter(({ calibrated }) => calibrated).map(({ by }) => by.map(printable).join(" "));
  if (sure.length > 0) notes.push(`calibrated by the kernel's counters: ${some(sure)}`);
  const failed = report.hosts?.failed;
  if (failed && failed.count > 0) {
    notes.push(`${failed.count} host name${failed.count === 1 ? "" : "s"} could not be looked up (${failed.why})`);
  }
  return notes;
}

function some(names: readonly string[]): string {
  return names.length <= MOST_NAMED ? names.join(", ") : `${names.slice(0, MOST_NAMED).join(", ")} and ${names.length - MOST_NAMED} more`;
}

function samples(count: number): string {
  return `${count} sample${count === 1 ? "" : "s"}`;
}

/** That something has none of these keys. */
function lacking(keys: readonly string[]): string {
  if (keys.length === 1) return `without ${keys[0]}`;
  return keys.length === 2 ? `with neither ${keys.join(" nor ")}` : `with none of ${keys.join(", ")}`;
}
