/**
 * Text that Prometheus scrapes: version 0.0.4 of its text format, and OpenMetrics 1.0.0.
 *
 * Sources: prometheus.io/docs/instrumenting/exposition_formats; the OpenMetrics specification, version 1.0.0. They differ in the names of
 * counters and of build information in the lines about a family, in units, in escaping of help, and in the end.
 *
 * @module
 */
import type { ExpositionFormat } from "./accept.ts";
import type { FamilyWriter, HistogramPoint, LabelPairs, MetricPoint, MetricText } from "./family.ts";

/** What the text says of a family besides its numbers. */
type FamilyText = Pick<MetricText, "help" | "unit">;

type FamilyType = "counter" | "gauge" | "histogram" | "info";

/** Writes families, each with all of its series. Families without series are left out. */
export class Exposition implements FamilyWriter {
  readonly #isOpen: boolean;
  readonly #lines: string[] = [];

  /** An empty text in this format. */
  constructor(format: ExpositionFormat) {
    this.#isOpen = format === "openmetrics";
  }

  /** Numbers that only grow. The name is without `_total`. */
  counter(name: string, text: FamilyText, points: readonly MetricPoint[]): void {
    this.#family(name, "counter", text, points.length);
    for (const { labels, value } of points) this.#sample(`${name}_total`, labelText(labels), value);
  }

  /** Numbers that come and go. */
  gauge(name: string, text: FamilyText, points: readonly MetricPoint[]): void {
    this.#family(name, "gauge", text, points.length);
    for (const { labels, value } of points) this.#sample(name, labelText(labels), value);
  }

  /** What does not change, as labels. The name is without `_info`. */
  info(name: string, text: FamilyText, labels: LabelPairs): void {
    this.#family(name, "info", text, 1);
    this.#sample(`${name}_info`, labelText(labels), 1);
  }

  /** Distributions. */
  histogram(name: string, text: FamilyText, points: readonly HistogramPoint[]): void {
    this.#family(name, "histogram", text, points.length);
    for (const { labels, buckets } of points) {
      for (const [bound, count] of buckets.cumulative()) {
        this.#sample(`${name}_bucket`, labelText([...labels, ["le", boundText(bound)]]), count);
      }
      this.#sample(`${name}_bucket`, labelText([...labels, ["le", "+Inf"]]), buckets.count);
      this.#sample(`${name}_sum`, labelText(labels), buckets.sum);
      this.#sample(`${name}_count`, labelText(labels), buckets.count);
    }
  }

  /** The whole text. */
  end(): string {
    return `${this.#lines.join("\n")}\n${this.#isOpen ? "# EOF\n" : ""}`;
  }

  #family(name: string, type: FamilyType, { help, unit }: FamilyText, series: number): void {
    if (series === 0) return;
    const isOpen = this.#isOpen;
    const named = isOpen ? name : type === "counter" ? `${name}_total` : type === "info" ? `${name}_info` : name;
    this.#lines.push(
      `# HELP ${named} ${escaped(help, isOpen)}`,
      // The text format has no type for information.
      `# TYPE ${named} ${type === "info" && !isOpen ? "gauge" : type}`,
    );
    if (isOpen && unit !== undefined) this.#lines.push(`# UNIT ${named} ${unit}`);
  }

  #sample(name: string, labels: string, value: number): void {
    this.#lines.push(`${name}${labels} ${numberText(value)}`);
  }
}

/** Labels in braces; nothing if there are none. */
function labelText(labels: LabelPairs = []): string {
  const parts = labels.flatMap(([name, value]) => value === "" ? [] : [`${name}="${escaped(value, true)}"`]);
  return parts.length === 0 ? "" : `{${parts.join(",")}}`;
}

/** A backslash and a line feed are escaped everywhere; a quote only if the text may be in quotes. */
function escaped(text: string, quotes: boolean): string {
  // Every other character may stand there, but half of a surrogate pair is no character in UTF-8.
  const whole = text.toWellFormed().replace(/\\/g, "\\\\").replace(/\n/g, "\\n");
  return quotes ? whole.replace(/"/g, '\\"') : whole;
}

function numberText(value: number): string {
  return Number.isFinite(value) ? `${value}` : Number.isNaN(value) ? "NaN" : value > 0 ? "+Inf" : "-Inf";
}

/** A bound in the canonical form of OpenMetrics: bounds are text to Prometheus, and must be the same everywhere. */
function boundText(bound: number): string {
  if (bound >= 1e6 || (bound > 0 && bound < 1e-4)) {
    const [digits, exponent] = bound.toExponential().split("e") as [string, string];
    return `${digits}e${exponent[0]}${exponent.slice(1).padStart(2, "0")}`;
  }
  return Number.isInteger(bound) ? `${bound}.0` : `${bound}`;
}
