/** Families of metrics, as {@linkcode Metrics} hands them to whatever writes them: text for Prometheus, or points for OTLP. */
import type { Buckets } from "./buckets.ts";

/**
 * Names and values. Those without a value are left out, which means the same.
 *
 * @category Export
 */
export type LabelPairs = readonly (readonly [name: string, value: string])[];

/**
 * A number, and what it is about.
 *
 * @category Export
 */
export interface MetricPoint {
  /** Defaults to none. */
  readonly labels?: LabelPairs | undefined;
  /** The number. */
  readonly value: number;
}

/**
 * What is said of a family besides its numbers.
 *
 * @category Export
 */
export interface MetricText {
  /** What the numbers are. */
  readonly help: string;
  /** The unit that Prometheus' name ends with. */
  readonly unit?: string | undefined;
  /**
   * The name in OpenTelemetry, and the unit, of UCUM. `undefined` for what OTLP says in other ways: the version is an attribute of the
   * resource, and the start is part of each point.
   */
  readonly otel: readonly [name: string, unit: string] | undefined;
  /** Whether a counter has parts of a whole: estimates have. Defaults to false. */
  readonly fractional?: boolean | undefined;
}

/**
 * A distribution, and what it is about.
 *
 * @category Export
 */
export interface HistogramPoint {
  /** What it is about. */
  readonly labels: LabelPairs;
  /** The distribution. */
  readonly buckets: Buckets;
}

/**
 * Takes families, each with all of its series. Names are those of Prometheus, without `_total` and `_info`.
 *
 * @category Export
 */
export interface FamilyWriter {
  /** Numbers that only grow. */
  counter(name: string, text: MetricText, points: readonly MetricPoint[]): void;
  /** Numbers that come and go. */
  gauge(name: string, text: MetricText, points: readonly MetricPoint[]): void;
  /** What does not change, as labels. */
  info(name: string, text: MetricText, labels: LabelPairs): void;
  /** Distributions. */
  histogram(name: string, text: MetricText, points: readonly HistogramPoint[]): void;
}
