/** A report as a plain table, for all output other than the live screen. */
import { folded } from "./fold.ts";
import { span, type Unit } from "./figures.ts";
import { remarks, type Report } from "./report.ts";
import { flowTable, totalsTable } from "./table.ts";

/** Layout of a plain report. */
export interface PlainStyle {
  /** Maximum number of flows. */
  readonly rows: number;
  /** The unit of traffic. */
  readonly unit: Unit;
  /** Its width in columns. */
  readonly columns: number;
}

/** A report as lines. */
export function plainReport(report: Report, { rows, unit, columns }: PlainStyle): string {
  const { snapshot, seconds, atNs, lost } = report;
  const flows = snapshot.flows.slice(0, rows);
  const { samples } = snapshot.total;
  const until = seconds > 0
    ? ` in ${span(seconds)} until ${new Date(Number(atNs / 1_000_000n)).toISOString().slice(0, 19).replace("T", " ")}Z`
    : "";
  const title = `${samples} sample${samples === 1 ? "" : "s"}${until}, lost ${lost}`;
  const table = flowTable(flows, report, { columns, unit, last: "samples" });
  const notes = remarks(report, flows.length).flatMap((note) => folded(note, columns));
  const parts = [
    [title],
    ...samples > 0 ? [totalsTable(report, columns, unit)] : [],
    ...flows.length > 0 ? [[...table.heading, ...table.rows.flat()]] : [],
    ...notes.length > 0 ? [notes] : [],
  ];
  return `${parts.map((lines) => lines.map((line) => `${line}\n`).join("")).join("\n")}`;
}
