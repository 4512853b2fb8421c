/** Tables of flows, devices and totals: pure functions from figures to lines. */
import type { FlowEstimate } from "../../src/estimate/mod.ts";
import { printable } from "../../src/wire/text.ts";
import { amountOf, type Figure, percent, perSecond, plusMinus, scaled, shownUnit, signOf, type Unit } from "./figures.ts";
import { hostOf } from "./host_names.ts";
import { labelled } from "./labels.ts";
import { loadOf, lowerBounds, type Report } from "./report.ts";
import { widthOf } from "./width.ts";

/** Layout of a table. */
export interface TableStyle {
  /** Its width in columns. */
  readonly columns: number;
  /** The unit of traffic. */
  readonly unit: Unit;
  /** Whether the last column is a bar, or the number of samples. */
  readonly last: "bar" | "samples";
}

/** A table. */
export interface Table {
  /** The column names, in as many lines as a row has. */
  readonly heading: readonly string[];
  /** The lines of each row: more than one if its keys are too long for one. */
  readonly rows: readonly (readonly string[])[];
}

const GAP = "  ";
const FIGURE = 12;
const SURE = 6;
const SHARE = 10;
const SAMPLES = 8;
/** Width of the narrowest useful bar. */
const LEAST_BAR = 8;
/** Minimum width of the keys, however narrow the table is. */
const LEAST_KEYS = 16;

/** The largest flows, each with its figures. */
export function flowTable(flows: readonly FlowEstimate[], report: Report, { columns, unit: asked, last }: TableStyle): Table {
  const names = report.snapshot.by;
  const shown = (key: string, text: string): string => {
    if (text === "") return "-";
    const host = hostOf(report.hosts, key, text);
    return host === undefined ? labelled(report.labels, key, printable(text)) : `${printable(text)} (${printable(host)})`;
  };
  const texts = flows.map(({ by }) => by.map((text, i) => shown(names[i]!, text)));
  const figures = FIGURE + 1 + SURE + GAP.length + SHARE;
  const most = Math.max(LEAST_KEYS, columns - GAP.length - figures - (last === "samples" ? GAP.length + SAMPLES : 0));
  const widths = names.map((name, i) => Math.max(...[name, ...texts.map((row) => row[i]!)].map(widthOf)));
  const sum = widths.reduce((sum, width) => sum + width, 0) + GAP.length * (widths.length - 1);
  const fits = sum <= most;
  const keys = fits ? Math.max(sum, LEAST_KEYS) : most;
  const barWidth = last === "bar" ? columns - figures - GAP.length - keys - GAP.length : 0;
  const lines = (row: readonly string[]): string[] =>
    fits ? [pad(row.map((text, i) => pad(text, widths[i]!)).join(GAP), keys)] : folded(row, keys).map((line) => pad(line, keys));
  const isRate = report.seconds > 0;
  const unit = shownUnit(asked, isRate);
  const figure = (flow: FlowEstimate): Figure => perSecond(amountOf(flow, unit), report.seconds);
  // The bar of the largest flow has room for its bounds.
  const scale = Math.max(0, ...flows.map((flow) => figure(flow).value), ...flows.slice(0, 1).map((flow) => figure(flow).range[1]));
  const cells = (flow: FlowEstimate): string => {
    const one = figure(flow);
    // Bytes inherited from other flows are in the sum of bytes, but not in that of packets.
    const least = lowerBounds(report, flow);
    const isLeast = unit === "packets" ? least.packets || flow.overcountAtMost > 0 : least.bytes;
    const share = percent({ value: flow.share, range: flow.shareRange });
    const cells = `${atLeast(one.value, signOf(unit, isRate), isLeast)} ${plusMinus(one).padStart(SURE)}${GAP}${share.padStart(SHARE)}`;
    if (last === "samples") return `${cells}${GAP}${`${flow.samples}`.padStart(SAMPLES)}`;
    return barWidth >= LEAST_BAR ? `${cells}${GAP}${bar(one, scale, barWidth)}` : cells;
  };
  const [first, ...more] = lines(names);
  const heads = `${signOf(unit, isRate).padStart(FIGURE)} ${"±".padStart(SURE)}${GAP}${"share".padStart(SHARE)}`;
  return {
    heading: [`${first}${GAP}${heads}${last === "samples" ? `${GAP}${"samples".padStart(SAMPLES)}` : ""}`, ...more].map(trimmed),
    rows: flows.map((flow, i) => {
      const [first, ...more] = lines(texts[i]!);
      return [`${first}${GAP}${cells(flow)}`, ...more].map(trimmed);
    }),
  };
}

/** All traffic, and that of each device and direction: a heading, and one line each. */
export function totalsTable(report: Report, columns: number, unit: Unit, mostDevices = Infinity): string[] {
  const { snapshot, seconds } = report;
  const isRate = seconds > 0;
  const units = [shownUnit(unit === "bytes" ? "bytes" : "bits", isRate), "packets"] as const;
  const devices = [...snapshot.devices].filter(({ bytes }) => bytes > 0).sort((a, b) => b.bytes - a.bytes);
  const shown = devices.slice(0, devices.length > mostDevices ? Math.max(0, mostDevices - 1) : mostDevices);
  const rows = [
    { name: "total", flow: snapshot.total, load: "" },
    ...shown.map((device) => {
      const [name, direction] = device.by;
      const load = loadOf(device, report);
      const words = load && `${report.isFiltered ? "≥" : ""}${percent(load)} of ${scaled(report.speeds.get(name!)!, "bit/s")}`;
      return { name: `${printable(name!)} ${direction}`.trimEnd(), flow: device, load: words ?? "" };
    }),
  ];
  const width = Math.min(24, Math.max(...rows.map(({ name }) => widthOf(name))));
  const hasLoad = rows.some(({ load }) => load !== "");
  const lines = rows.map(({ name, flow, load }) => {
    const least = lowerBounds(report, flow);
    const cells = units.map((unit) => {
      const figure = perSecond(amountOf(flow, unit), seconds);
      const isLeast = unit === "packets" ? least.packets : least.bytes;
      return `${atLeast(figure.value, signOf(unit, isRate), isLeast)} ${plusMinus(figure).padStart(SURE)}`;
    });
    return [pad(name, width), ...cells, load].join(GAP).trimEnd();
  });
  const head = units.map((unit) => `${signOf(unit, isRate).padStart(FIGURE)} ${"±".padStart(SURE)}`);
  const heading = ["".padEnd(width), ...head, hasLoad ? "load of the link" : ""].join(GAP).trimEnd();
  const rest = devices.length - shown.length;
  const more = rest === 1 ? "and 1 more device or direction" : `and ${rest} more devices and directions`;
  return [heading, ...lines, ...rest > 0 ? [more] : []].map((line) => cut(line, columns));
}

function trimmed(line: string): string {
  return line.trimEnd();
}

function atLeast(value: number, sign: string, isLeast: boolean): string {
  return `${isLeast && value > 0 ? "≥" : ""}${scaled(value, sign)}`.padStart(FIGURE);
}

/** A bar: solid up to the lower bound, shaded up to the upper one. */
export function bar({ range: [low, high] }: Figure, scale: number, width: number): string {
  if (!(scale > 0)) return "";
  const until = Math.min(width, Math.round(width * high / scale));
  const solid = Math.min(until, Math.round(width * low / scale));
  return "█".repeat(solid) + "░".repeat(until - solid);
}

/** A text with blanks behind it. */
export function pad(text: string, width: number): string {
  return text + " ".repeat(Math.max(0, width - widthOf(text)));
}

/** A text, cut to fit. */
export function cut(text: string, width: number): string {
  if (widthOf(text) <= width) return text;
  let kept = "";
  let used = 0;
  for (const character of text) {
    used += widthOf(character);
    if (used > width) break;
    kept += character;
  }
  return kept;
}

/** The texts in lines of at most `width`; lines after the first are indented. Nothing is left out. */
function folded(texts: readonly string[], width: number): string[] {
  const margin = " ";
  const lines: string[] = [];
  let line = "";
  for (let text of texts) {
    if (line !== "" && widthOf(line) + GAP.length + widthOf(text) <= width) {
      line += GAP + text;
      continue;
    }
    if (line !== "") lines.push(line);
    line = lines.length > 0 ? margin : "";
    while (widthOf(line) + widthOf(text) > width) {
      const piece = cut(text, width - widthOf(line));
      if (piece === "") break;
      lines.push(line + piece);
      text = text.slice(piece.length);
      line = margin;
    }
    line += text;
  }
  return [...lines, line];
}
