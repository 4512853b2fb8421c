/** What an OTLP request consists of, for both encodings. */
import type { OtlpAttributes, OtlpMetric } from "./points.ts";

/** One request: the metrics of a moment, of one resource and one scope. */
export interface OtlpMessage {
  /** What the metrics are about. */
  readonly resource: OtlpAttributes;
  /** What made them. */
  readonly scope: { readonly name: string; readonly version: string | undefined };
  readonly metrics: readonly OtlpMetric[];
  /** The moment, in nanoseconds since 1970. */
  readonly timeNs: bigint;
}

/** `AGGREGATION_TEMPORALITY_CUMULATIVE`, of `AggregationTemporality` in opentelemetry/proto/metrics/v1/metrics.proto. */
export const CUMULATIVE = 2;
