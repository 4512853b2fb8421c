/** Flows for programs: one line of JSON or CSV each. docs/json.md describes the keys. */
import type { FlowEstimate, Interval } from "../../src/estimate/mod.ts";
import { escapeInvisible } from "../../src/format/json.ts";
import { printable } from "../../src/wire/text.ts";
import { hostOf, isAddress } from "./host_names.ts";
import { hasLabels, kindOf, LABELLED, type Labelled, labelOf } from "./labels.ts";
import type { Report } from "./report.ts";
import { placeText } from "./twice.ts";

/** The keys of a flow in JSON. */
export interface FlowRow {
  readonly at: string | undefined;
  readonly seconds: number | undefined;
  readonly by: Readonly<Record<string, string>>;
  readonly names: Readonly<Record<string, string>> | undefined;
  readonly groupLabel: string | undefined;
  readonly cookieLabel: string | undefined;
  readonly vlanLabels: readonly string[] | undefined;
  readonly device: string | undefined;
  readonly direction: string | undefined;
  readonly samples: number;
  readonly packets: number;
  readonly packetsRange: Interval;
  readonly bytes: number;
  readonly bytesRange: Interval;
  readonly bitsPerSecond: number | undefined;
  readonly bitsPerSecondRange: Interval | undefined;
  readonly share: number;
  readonly shareRange: Interval;
  readonly lost: number;
  readonly overcountAtMost: number;
  readonly calibrated: readonly string[] | undefined;
  readonly countedTwice: readonly (readonly [string, string])[] | undefined;
}

/** The JSON object of a flow. */
export function flowRow(flow: FlowEstimate, { snapshot, atNs, seconds, lost, labels, hosts, twice = [] }: Report): FlowRow {
  const by = Object.fromEntries(snapshot.by.map((name, i) => [name, flow.by[i]!] as const).filter(([, text]) => text !== ""));
  const named = (kind: Labelled): string[] =>
    snapshot.by.flatMap((key, i) => kindOf(key) === kind ? labelOf(labels, key, flow.by[i]!) ?? [] : []);
  const vlanLabels = named("vlan");
  const names = snapshot.by.flatMap((key, i) => {
    const name = hostOf(hosts, key, flow.by[i]!);
    return name === undefined ? [] : [[key, name] as const];
  });
  const isRate = seconds > 0;
  const rate = (bytes: number): number => 8 * bytes / seconds;
  const { bytes, bytesRange: [low, high] } = flow;
  return {
    at: instant(atNs),
    seconds: isRate ? rounded(seconds, 9) : undefined,
    by,
    names: names.length > 0 ? Object.fromEntries(names) : undefined,
    groupLabel: named("group")[0],
    cookieLabel: named("cookie")[0],
    vlanLabels: vlanLabels.length > 0 ? vlanLabels : undefined,
    device: by.device,
    direction: by.direction,
    samples: flow.samples,
    packets: Math.round(flow.packets),
    packetsRange: outward(flow.packetsRange),
    bytes: Math.round(bytes),
    bytesRange: outward([low, high]),
    bitsPerSecond: isRate ? Math.round(rate(bytes)) : undefined,
    bitsPerSecondRange: isRate ? outward([rate(low), rate(high)]) : undefined,
    share: rounded(flow.share, 6),
    shareRange: [Math.floor(flow.shareRange[0] * 1e6) / 1e6, Math.ceil(flow.shareRange[1] * 1e6) / 1e6],
    lost,
    overcountAtMost: Math.ceil(flow.overcountAtMost),
    calibrated: flow.calibrated,
    countedTwice: twice.length > 0 ? twice.map(({ points: [one, other] }) => [placeText(one), placeText(other)] as const) : undefined,
  };
}

/** A line of JSON. */
export function jsonLine(flow: FlowEstimate, report: Report): string {
  return `${escapeInvisible(JSON.stringify(flowRow(flow, report)))}\n`;
}

/** The CSV header, for flows told apart by the keys of this report. */
export function csvHeader(report: Report): string {
  const { by } = report.snapshot;
  const columns = columnsOf(report).flatMap((name) => name === "by" ? by.map((key) => `by.${key}`) : [name]);
  return `${[...columns, ...namedKeys(report).map((key) => `names.${key}`)].join(",")}\r\n`;
}

/** The keys whose values may have host names, if these are wanted. */
function namedKeys({ snapshot, hosts }: Report): readonly string[] {
  return hosts ? snapshot.by.filter(isAddress) : [];
}

/** The columns; those of labels only if the key is in use and there are labels for it. */
function columnsOf({ snapshot, labels }: Report): readonly Column[] {
  const kinds = LABEL_KINDS.filter((kind) => hasLabels(labels, kind) && snapshot.by.some((key) => kindOf(key) === kind));
  return [...COLUMNS, ...kinds.map((kind) => LABELLED[kind])];
}

const LABEL_KINDS = Object.keys(LABELLED) as Labelled[];

const COLUMNS = [
  "at",
  "seconds",
  "by",
  "samples",
  "packets",
  "packetsRange",
  "bytes",
  "bytesRange",
  "bitsPerSecond",
  "bitsPerSecondRange",
  "share",
  "shareRange",
  "lost",
  "overcountAtMost",
] as const;

type Column = typeof COLUMNS[number] | typeof LABELLED[Labelled];

/** A line of CSV, RFC 4180. */
export function csvLine(flow: FlowEstimate, report: Report): string {
  const row = flowRow(flow, report);
  const values = columnsOf(report).flatMap((name) => name === "by" ? report.snapshot.by.map((key) => printable(row.by[key])) : [row[name]]);
  const names = namedKeys(report).map((key) => printable(row.names?.[key]));
  return `${[...values, ...names].map(csvValue).join(",")}\r\n`;
}

function csvValue(value: string | number | readonly (string | number)[] | undefined): string {
  if (value === undefined) return "";
  if (typeof value === "object") return value.join(" ");
  const text = `${value}`;
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

/** A time in RFC 3339; `undefined` outside its range of years. */
function instant(atNs: bigint): string | undefined {
  const nanoseconds = atNs % 1_000_000_000n;
  if (atNs < 0n) return undefined;
  const date = new Date(Number((atNs - nanoseconds) / 1_000_000n));
  const year = date.getUTCFullYear();
  return year >= 0 && year <= 9999 ? date.toISOString().replace(".000Z", `.${`${nanoseconds}`.padStart(9, "0")}Z`) : undefined;
}

function rounded(value: number, digits: number): number {
  return Number(value.toFixed(digits));
}

/** Bounds as whole numbers, rounded outward. */
function outward([low, high]: Interval): Interval {
  // A difference in the last bit of a double does not count.
  return [Math.floor(low + 1e-6), Math.ceil(high - 1e-6)];
}
