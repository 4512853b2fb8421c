/**
 * The metrics of a moment as OpenTelemetry's data model has them: cumulative sums, gauges and histograms, whose points have attributes.
 *
 * Sources: opentelemetry.io/docs/specs/otel/metrics/data-model (cumulative temporality, resets), and the semantic conventions for the names
 * of attributes.
 *
 * @module
 */
import type { Buckets } from "../prometheus/buckets.ts";
import type { FamilyWriter, HistogramPoint, LabelPairs, MetricPoint, MetricText } from "../prometheus/family.ts";

/** Names and values. Numbers are whole. */
export type OtlpAttributes = readonly (readonly [name: string, value: string | number])[];

/** One point of a metric. */
export interface OtlpPoint {
  readonly attributes: OtlpAttributes;
  /** Since when it has been counted, in nanoseconds since 1970; `undefined` for a gauge, which has no beginning. */
  readonly startNs: bigint | undefined;
  /** The value: a number, or a distribution. */
  readonly value: number | Buckets;
}

/** One metric. */
export interface OtlpMetric {
  readonly name: string;
  readonly description: string;
  readonly unit: string;
  readonly kind: "sum" | "gauge" | "histogram";
  /** Whether its values are whole numbers. */
  readonly isWhole: boolean;
  readonly points: readonly OtlpPoint[];
}

/** The names of attributes: those of the semantic conventions, and our own for what these do not have. */
const ATTRIBUTES: Readonly<Record<string, string>> = {
  device: "network.interface.name",
  direction: "network.io.direction",
  netns: "psample.netns",
  nsid: "psample.netns",
  group: "psample.group",
  tc: "psample.tc",
  queue: "psample.tc",
  sink: "psample.sink",
  ipsource: "source.address",
  ipdestination: "destination.address",
  sourceport: "source.port",
  destinationport: "destination.port",
  ipprotocol: "network.transport",
};
/** The conventions have words of their own for directions, seen from this machine. */
const DIRECTIONS: Readonly<Record<string, string>> = { in: "receive", out: "transmit" };
/** The conventions want these as numbers. */
const NUMBERS: ReadonlySet<string> = new Set(["source.port", "destination.port"]);

/** The attributes of a point of {@linkcode LabelPairs}. */
export function attributesOf(labels: LabelPairs = []): OtlpAttributes {
  return labels.flatMap(([label, value]) => {
    // As in Prometheus, a label without a value means that there is none.
    if (value === "") return [];
    const name = Object.hasOwn(ATTRIBUTES, label) ? ATTRIBUTES[label]! : `psample.flow.${label}`;
    if (name === "network.io.direction") return [[name, DIRECTIONS[value] ?? value]];
    return [[name, NUMBERS.has(name) ? Number(value) : value]];
  });
}

/** What was reported of a series, and since when it has been counted. */
interface Reported {
  readonly startNs: bigint;
  readonly value: number;
}

/**
 * Since when each series of a stream of reports has been counted. A series that is new, or has gone back, has begun after the last report:
 * it had no such value then.
 */
export class SeriesStarts {
  #before = new Map<string, Reported>();
  #now = new Map<string, Reported>();
  #startNs: bigint;
  #nowNs: bigint;

  /** Those of nothing yet, counted from this time on. */
  constructor(startNs: bigint) {
    this.#startNs = this.#nowNs = startNs;
  }

  /** Begins a report at this time. */
  begin(nowNs: bigint): void {
    this.#before = this.#now;
    this.#now = new Map();
    this.#startNs = this.#nowNs;
    this.#nowNs = nowNs;
  }

  /** Since when the series of this name has been counted, which has this value now. */
  of(key: string, value: number): bigint {
    const known = this.#before.get(key);
    const startNs = known && value >= known.value ? known.startNs : this.#startNs;
    this.#now.set(key, { startNs, value });
    // The clock may have been set back.
    return startNs < this.#nowNs ? startNs : this.#nowNs;
  }
}

/** Takes the families of a report as metrics. Those without points are left out: nothing is sent about nothing. */
export class OtlpFamilies implements FamilyWriter {
  readonly metrics: OtlpMetric[] = [];
  readonly #starts: SeriesStarts;

  /** A report whose series begin as `starts` knows. */
  constructor(starts: SeriesStarts) {
    this.#starts = starts;
  }

  counter(_: string, text: MetricText, points: readonly MetricPoint[]): void {
    this.#add("sum", text, points, ({ value }) => value, ({ value }) => value);
  }

  gauge(_: string, text: MetricText, points: readonly MetricPoint[]): void {
    this.#add("gauge", text, points, ({ value }) => value, undefined);
  }

  histogram(_: string, text: MetricText, points: readonly HistogramPoint[]): void {
    this.#add("histogram", text, points, ({ buckets }) => buckets, ({ buckets }) => buckets.count);
  }

  info(): void {
    // An attribute of the resource.
  }

  #add<Point extends Pick<MetricPoint, "labels">>(
    kind: OtlpMetric["kind"],
    { help: description, otel, fractional = false }: MetricText,
    points: readonly Point[],
    valueOf: (point: Point) => OtlpPoint["value"],
    countOf: ((point: Point) => number) | undefined,
  ): void {
    if (otel === undefined || points.length === 0) return;
    const [name, unit] = otel;
    this.metrics.push({
      name,
      description,
      unit,
      kind,
      isWhole: kind === "sum" && !fractional,
      points: points.map((point) => {
        const attributes = attributesOf(point.labels);
        const startNs = countOf && this.#starts.of(`${name}\0${attributes.flat().join("\0")}`, countOf(point));
        return { attributes, startNs, value: valueOf(point) };
      }),
    });
  }
}
