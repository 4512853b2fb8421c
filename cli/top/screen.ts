/** The live screen: a pure function from estimates to lines. */
import { span, type Unit } from "./figures.ts";
import { remarks, type Report } from "./report.ts";
import { cut, flowTable, pad, totalsTable } from "./table.ts";
import { type View, WINDOWS } from "./view.ts";
import { widthOf } from "./width.ts";

/** Everything that a screen is made from. */
export interface Frame {
  /** Its size. */
  readonly columns: number;
  readonly rows: number;
  /** What is being sampled: devices and rate. */
  readonly title: string;
  readonly view: View;
  /** The figures for the window that the view shows, largest flows first. */
  readonly report: Report;
  /** For how many seconds it has been counting. */
  readonly elapsed: number;
  /** Messages since then, the newest last. */
  readonly messages: readonly string[];
  /** How words are set off. */
  readonly style: Style;
}

/** How words are set off. */
export interface Style {
  heading(text: string): string;
  strong(text: string): string;
  faint(text: string): string;
  bar(text: string): string;
  problem(text: string): string;
}

const same = (text: string): string => text;
const sgr = (code: string) => (text: string): string => text === "" ? "" : `\x1b[${code}m${text}\x1b[0m`;

/** No highlighting. */
export const PLAIN: Style = { heading: same, strong: same, faint: same, bar: same, problem: same };
/** Without colours. */
export const MONOCHROME: Style = { heading: sgr("7"), strong: sgr("1"), faint: sgr("2"), bar: same, problem: sgr("1") };
/** The standard colours, which every terminal has and users can choose. */
export const COLORED: Style = { ...MONOCHROME, bar: sgr("36"), problem: sgr("31") };

const HINTS = "? help  q quit  p pause  1 2 3 window  b unit  k keys  / filter  s sort";

/** The keys of the screen, and the signs on it, each with what it does or means. */
export const SCREEN_KEYS = [
  ["1 2 3", "rates over the last 2, 10 or 40 seconds"],
  ["b", "bits, bytes or packets a second; prefixes are powers of 1000"],
  ["k or Tab", "the next keys that tell flows apart"],
  ["K", "type such keys: ipprotocol,destinationport"],
  ["/", "type a filter in tcpdump's language: tcp port 443 and not arp"],
  ["s", "order by traffic, or by name"],
  ["p or Space", "pause: the figures stay, counting continues"],
  ["Up Down", "the flow above or below; Page Up and Page Down, Home"],
  ["q or Ctrl-C", "end; Ctrl-Z suspends"],
  ["", ""],
  ["±", "error bound, with a confidence of 95 %"],
  ["█░", "solid up to the lower bound, shaded up to the upper one"],
  ["≥", "at least: something of unknown size is missing"],
] as const;

/** Number of lines available for flows. */
export function flowRows(frame: Pick<Frame, "rows" | "columns" | "report">): number {
  return Math.max(1, frame.rows - totals(frame, "bits").length - 5);
}

/** The screen as lines, none longer than its width. */
export function screen(frame: Frame): string[] {
  const { rows, view } = frame;
  const bottom = footer(frame);
  const room = Math.max(0, rows - bottom.length);
  const top = view.help ? help(frame) : body(frame, room);
  const lines = [...top.slice(0, room), ...Array.from({ length: Math.max(0, room - top.length) }, () => ""), ...bottom];
  return lines.slice(0, rows);
}

function totals({ report, columns, rows }: Pick<Frame, "report" | "columns" | "rows">, unit: Unit): string[] {
  return totalsTable(report, columns, unit, rows >= 20 ? 4 : rows >= 14 ? 2 : 0);
}

function body(frame: Frame, room: number): string[] {
  const { view, report, columns, style } = frame;
  const { samples } = report.snapshot.total;
  const [head, ...sums] = totals(frame, frame.view.unit);
  const counted = `${samples} samples in ${span(frame.elapsed)}, lost ${report.lost}${
    view.filter === "" ? "" : `; filter: ${view.filter}`
  }`;
  const table = flowTable(report.snapshot.flows.slice(view.scroll), report, { columns, unit: view.unit, last: "bar" });
  const lines = [
    heading(frame),
    style.faint(cut(counted, columns)),
    style.faint(head!),
    ...sums,
    "",
    ...table.heading.map((line) => style.heading(pad(cut(line, columns), columns))),
  ];
  for (const row of table.rows) {
    // A flow is shown completely or not at all.
    if (lines.length + row.length > room) break;
    lines.push(...row.map((line) => cut(line, columns).replace(/[█░]+$/, style.bar)));
  }
  if (samples === 0 && lines.length < room) lines.push(style.faint("no samples yet"));
  return lines;
}

/** What is being sampled, and the windows with the chosen one. */
function heading({ title, view, columns, style }: Frame): string {
  const windows = WINDOWS.map((seconds, i) => i === view.window ? `[${seconds} s]` : `${seconds} s`).join(" ");
  const right = `${view.paused ? "PAUSED  " : ""}${windows}`;
  const left = cut(title, Math.max(0, columns - widthOf(right) - 2));
  const between = Math.max(0, columns - widthOf(left) - widthOf(right));
  return `${style.strong(left)}${" ".repeat(between)}${cut(right, columns)}`;
}

/** The last lines: the line being typed, or messages, and the keys. */
function footer({ view, report, columns, rows, messages, style }: Frame): string[] {
  const { input } = view;
  if (input) {
    const prompt = input.what === "filter" ? "filter: " : "keys: ";
    // The end of a long line is shown, because that is where the user types.
    const shown = [...input.text];
    let from = 0;
    while (widthOf(prompt) + widthOf(shown.slice(from).join("")) >= columns && from < shown.length) from++;
    const line = cut(`${prompt}${shown.slice(from).join("")}_`, columns);
    const { problem } = input;
    if (!problem) return [style.faint(cut("Enter uses it, Esc does not, Ctrl-U empties it", columns)), line];
    const mark = problem.at === undefined || problem.at < from ? "" : `${" ".repeat(widthOf(prompt) + problem.at - from)}^`;
    return [style.problem(cut(problem.text, columns)), line, cut(mark, columns)].filter((line) => line !== "");
  }
  const told = messages.slice(-1).map((text) => style.strong(cut(text, columns)));
  const notes = view.help ? [] : remarks(report, Infinity).slice(0, rows >= 20 ? 2 : 0).map((note) => style.faint(cut(note, columns)));
  return [...told, ...notes, style.faint(cut(HINTS, columns))];
}

function help(frame: Frame): string[] {
  const { columns } = frame;
  return [heading(frame), "", ...SCREEN_KEYS.map(([key, what]) => cut(`  ${pad(key, 12)}  ${what}`.trimEnd(), columns))];
}
