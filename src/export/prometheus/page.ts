/** Metrics as a page for people: HTML with drawings in SVG, without any script. */
import type { FlowEstimate } from "../../estimate/estimator.ts";
import type { Interval } from "../../estimate/intervals.ts";
import { type MetricsSnapshot, SERIES_LABELS } from "./metrics.ts";
import type { MetricsSink, MetricsState } from "./state.ts";

/** Maximum number of devices, directions, groups and classes on the page: the largest. */
const MOST_ROWS = 50;
/** Width of a drawing, and its height, in CSS pixels. */
const [WIDTH, HEIGHT] = [260, 16];
const ENTITIES: Readonly<Record<string, string>> = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;" };
const PREFIXES = ["", "k", "M", "G", "T", "P", "E"];

/** The style sheet of {@linkcode metricsPage}. */
export const PAGE_STYLE = `:root { color-scheme: light dark }
body { font: 15px/1.4 sans-serif; margin: 2em auto; max-width: 80em; padding: 0 1em; color: #222; background: #fff }
h1 { font-size: 1.4em } h2 { font-size: 1.1em; margin: 1.6em 0 .4em }
.wide { overflow-x: auto }
table { border-collapse: collapse } caption { text-align: left; color: #555; padding-bottom: .3em }
th, td { padding: .15em .8em .15em 0; text-align: left; vertical-align: middle } th { color: #555; font-weight: normal; border-bottom: 1px solid #ccc; white-space: nowrap }
td.number, th.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap } .bad { color: #b00; font-weight: bold }
svg { display: block } svg .bar { fill: #7aa6d8 } svg .error { stroke: #222 }
@media (prefers-color-scheme: dark) { body { color: #ddd; background: #181818 } th, caption { color: #aaa } th { border-color: #555 } .bad { color: #f66 } svg .error { stroke: #eee } }
`;

/** What the page may load: its own style sheet, and nothing else. */
export const PAGE_POLICY = "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/** The page; its style sheet is at `style.css`. */
export function metricsPage(snapshot: MetricsSnapshot, state: MetricsState, nowNs: bigint): string {
  const parts = [
    samplersPart(state),
    trafficPart(snapshot),
    topPart(snapshot),
    accountPart(snapshot, state),
    discardsPart(state),
    sinksPart(state),
  ];
  return `<!DOCTYPE html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1"><title>psample</title>
<link rel="stylesheet" href="style.css"></head>
<body>
<h1>psample</h1>
<p>What is sampled and exported here. ${new Intl.DateTimeFormat("en", FORM).format(Number(nowNs / 1_000_000n))}. For Prometheus:
<a href="metrics">metrics</a>.</p>
${parts.filter((part) => part !== "").join("\n")}
</body>
</html>
`;
}

const FORM = { dateStyle: "long", timeStyle: "long", timeZone: "UTC" } as const;

function samplersPart({ samplers }: MetricsState): string {
  if (samplers.length === 0) return "";
  const rows = samplers.map(({ device, direction, oneIn, trials, deviates }) => [
    escaped(device),
    direction,
    number(`1 in ${grouped(oneIn)}`),
    number(trials === undefined ? "not counted" : grouped(trials)),
    deviates ? bad("no: it does not keep to its rate") : "no reason to doubt it",
  ]);
  return section("Sampled", ["device", "direction", "#rate", "#packets", "right rate?"], rows);
}

function trafficPart({ series, all }: MetricsSnapshot): string {
  if (series.length === 0) return "<h2>Traffic</h2><p>No sample has come yet.</p>";
  const largest = [...series].sort((a, b) => b.bytes - a.bytes).slice(0, MOST_ROWS);
  const columns = SERIES_LABELS.map((name, i) => [name, i] as const).filter(([, i]) => series.some(({ by }) => by[i] !== ""));
  const most = Math.max(...largest.map(({ bytesRange }) => bytesRange[1]));
  const rows = largest.map((flow) => [
    ...columns.map(([, i]) => escaped(flow.by[i]!)),
    number(grouped(flow.samples)),
    number(withError(flow.packets, flow.packetsRange, "")),
    number(withError(flow.bytes, flow.bytesRange, "B")),
    bar(flow.bytes, flow.bytesRange, most),
  ]);
  const left = series.length - largest.length;
  const note = left > 0
    ? `The largest ${MOST_ROWS} of ${grouped(series.length)}, of the ${span(all.seconds)} since the first sample.`
    : `Of the ${span(all.seconds)} since the first sample.`;
  return section(
    "Traffic",
    [...columns.map(([name]) => name), "#samples", "#packets", "#bytes", "bytes, and their bounds at 95 %"],
    rows,
    note,
  );
}

function topPart({ top }: MetricsSnapshot): string {
  if (!top) return "";
  if (top.flows.length === 0 || top.seconds <= 0) return "<h2>Largest flows</h2><p>None in the last minute.</p>";
  const rate = (range: Interval): Interval => [8 * range[0] / top.seconds, 8 * range[1] / top.seconds];
  const most = Math.max(...top.flows.map(({ bytesRange }) => rate(bytesRange)[1]));
  const rows = top.flows.map((flow: FlowEstimate) => [
    ...flow.by.map((text) => escaped(text || "-")),
    number(withError(flow.bitsPerSecond, rate(flow.bytesRange), "bit/s")),
    number(`${(100 * flow.share).toFixed(1)} %`),
    bar(flow.bitsPerSecond, rate(flow.bytesRange), most),
  ]);
  return section(
    "Largest flows",
    [...top.by.map(escaped), "#rate", "#share", "rate, and its bounds at 95 %"],
    rows,
    "Of about the last minute.",
  );
}

function accountPart({ all }: MetricsSnapshot, { stats }: MetricsState): string {
  const { received, lost, gaps, dropped, late, duplicates, malformed, unknown, filtered, receiveBufferBytes } = stats;
  const rows = [
    ["samples received", number(grouped(received))],
    ["samples lost for certain", loss(lost)],
    ["samples missing by sequence number", loss(gaps)],
    // A recording has none.
    [`messages dropped by a full receive buffer${receiveBufferBytes > 0 ? ` of ${grouped(receiveBufferBytes)} bytes` : ""}`, loss(dropped)],
    ["samples that came late", number(grouped(late))],
    ["samples that came twice", number(grouped(duplicates))],
    ["messages that could not be decoded", loss(malformed)],
    ["messages of unknown kinds", number(grouped(unknown))],
    ["samples of unknown size or rate, which count nowhere above", loss(all.unusable)],
    ["samples of segmentation offload, of unknown numbers of packets", number(grouped(all.unknownSegments))],
  ];
  const note = filtered ? "The kernel leaves samples out: losses show only as drops." : "";
  return section("Account", ["", "#"], rows, note);
}

function discardsPart({ discards }: MetricsState): string {
  if (!discards) return "";
  const { reported, beyondLimit, lost, notPackets, malformed } = discards;
  const rows = [
    ["packets reported to collectors", number(grouped(reported))],
    ["packets beyond the limit of a second, which are not reported", number(grouped(beyondLimit))],
    ["packets whose report the kernel had no room for", loss(lost)],
    ["buffers that were no packets", number(grouped(notPackets))],
    ["messages that could not be decoded", loss(malformed)],
  ];
  return section("Discarded by the kernel", ["", "#"], rows);
}

function sinksPart({ sinks }: MetricsState): string {
  if (sinks.length === 0) return "";
  const sendsReports = sinks.some(({ reports }) => reports);
  const keepsConnections = sinks.some(({ connection }) => connection);
  const rows = sinks.map(({ name, written, skipped, datagrams, connection, reports }) => [
    escaped(name),
    number(grouped(written)),
    loss(skipped),
    number(datagrams ? grouped(datagrams.sent) : ""),
    datagrams ? loss(datagrams.dropped) : number(""),
    number(datagrams ? datagrams.returned > 0 ? bad(`at least ${grouped(datagrams.returned)}`) : "0" : ""),
    ...keepsConnections ? connectionCells(connection) : [],
    ...sendsReports ? reportCells(reports) : [],
  ]);
  return section("Exported", [
    "to",
    "#samples",
    "#skipped",
    "#datagrams",
    "#dropped",
    "#errors came back",
    ...keepsConnections ? CONNECTION_COLUMNS : [],
    ...sendsReports ? REPORT_COLUMNS : [],
  ], rows);
}

const CONNECTION_COLUMNS = ["#connected", "#waiting", "#unconfirmed"];

function connectionCells(connection: MetricsSink["connection"]): string[] {
  if (!connection) return CONNECTION_COLUMNS.map(() => number(""));
  const { isOpen, waitingSamples, mayBeLost } = connection;
  return [number(isOpen ? "yes" : bad("no")), number(grouped(waitingSamples)), loss(mayBeLost)];
}

const REPORT_COLUMNS = ["#reports", "#failed", "#skipped reports", "#rejected points"];

function reportCells(reports: MetricsSink["reports"]): string[] {
  if (!reports) return REPORT_COLUMNS.map(() => number(""));
  const { sent, failed, skipped, rejectedPoints } = reports;
  return [number(grouped(sent)), loss(failed), loss(skipped), loss(rejectedPoints)];
}

/** A heading and a table. A column whose title begins with # has numbers, which are cells already. */
function section(title: string, columns: readonly string[], rows: readonly (readonly string[])[], note = ""): string {
  const head = columns.map((name) => name.startsWith("#") ? `<th class="number">${name.slice(1)}</th>` : `<th>${name}</th>`).join("");
  const body = rows.map((cells) => `<tr>${cells.map((cell) => cell.startsWith("<td") ? cell : `<td>${cell}</td>`).join("")}</tr>`);
  const caption = note === "" ? "" : `<caption>${note}</caption>\n`;
  return `<h2>${title}</h2>\n<div class="wide"><table>${caption}<tr>${head}</tr>\n${body.join("\n")}\n</table></div>`;
}

const number = (text: string): string => `<td class="number">${text}</td>`;
const bad = (text: string): string => `<span class="bad">${text}</span>`;
const grouped = (count: number): string => count.toLocaleString("en");
const loss = (count: number): string => number(count > 0 ? bad(grouped(count)) : "0");

/** A bar up to the estimate, and a line between its bounds. */
function bar(value: number, [low, high]: Interval, most: number): string {
  const x = (of: number): string => (most > 0 ? WIDTH * Math.min(1, of / most) : 0).toFixed(1);
  const middle = HEIGHT / 2;
  const line = high > low
    ? `<path class="error" d="M${x(low)} ${middle}H${x(high)}M${x(low)} ${middle - 4}v8M${x(high)} ${middle - 4}v8"/>`
    : "";
  const title = `<title>${scaled(low, "")} to ${scaled(high, "")}</title>`;
  return `<svg width="${WIDTH}" height="${HEIGHT}" role="img">${title}<rect class="bar" y="3" width="${x(value)}" height="${
    HEIGHT - 6
  }"/>${line}</svg>`;
}

function withError(value: number, [low, high]: Interval, sign: string): string {
  const off = value > 0 ? 100 * Math.max(high - value, value - low) / value : 0;
  return `${scaled(value, sign)}${off > 1e-6 ? ` ± ${off > 999 ? "&gt; 999" : off < 9.95 ? off.toFixed(1) : Math.ceil(off)} %` : ""}`;
}

/** A number in three digits. */
function scaled(value: number, sign: string): string {
  let rest = value;
  let power = 0;
  for (; rest >= 999.5 && power < PREFIXES.length - 1; power++) rest /= 1000;
  const digits = power === 0 && Number.isInteger(rest) ? 0 : rest < 9.995 ? 2 : rest < 99.95 ? 1 : 0;
  return `${rest.toFixed(digits)} ${PREFIXES[power]}${sign}`.trim();
}

function span(seconds: number): string {
  const whole = Math.max(0, Math.round(seconds));
  if (whole < 120) return `${whole} s`;
  return whole < 7200 ? `${Math.floor(whole / 60)} min` : `${Math.floor(whole / 3600)} h ${Math.floor(whole % 3600 / 60)} min`;
}

function escaped(text: string): string {
  return text.replace(/[&<>"']/g, (letter) => ENTITIES[letter]!);
}
