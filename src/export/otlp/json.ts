/**
 * OTLP in JSON: the mapping of proto3, with 64-bit numbers as text and enumerations as numbers (opentelemetry-proto, docs/specification.md,
 * "JSON Protobuf Encoding").
 *
 * @module
 */
import { CUMULATIVE, type OtlpMessage } from "./message.ts";
import type { OtlpAttributes, OtlpMetric, OtlpPoint } from "./points.ts";

/** A request in JSON. */
export function otlpJson({ resource, scope, metrics, timeNs }: OtlpMessage): string {
  return JSON.stringify({
    resourceMetrics: [{
      resource: { attributes: attributes(resource) },
      scopeMetrics: [{ scope, metrics: metrics.map((metric) => metricOf(metric, `${timeNs}`)) }],
    }],
  });
}

function metricOf({ name, description, unit, kind, isWhole, points }: OtlpMetric, timeUnixNano: string): unknown {
  const dataPoints = points.map((point) => ({
    attributes: attributes(point.attributes),
    startTimeUnixNano: point.startNs === undefined ? undefined : `${point.startNs}`,
    timeUnixNano,
    ...valueOf(point.value, isWhole),
  }));
  const aggregationTemporality = CUMULATIVE;
  if (kind === "gauge") return { name, description, unit, gauge: { dataPoints } };
  if (kind === "sum") return { name, description, unit, sum: { aggregationTemporality, isMonotonic: true, dataPoints } };
  return { name, description, unit, histogram: { aggregationTemporality, dataPoints } };
}

function valueOf(value: OtlpPoint["value"], isWhole: boolean): Record<string, unknown> {
  if (typeof value !== "number") {
    const { bounds, count, sum } = value;
    return { count: `${count}`, sum: double(sum), bucketCounts: value.counts().map(String), explicitBounds: bounds };
  }
  return isWhole ? { asInt: `${BigInt(Math.round(value))}` } : { asDouble: double(value) };
}

function attributes(pairs: OtlpAttributes): unknown[] {
  return pairs.map(([key, value]) => ({
    key,
    value: typeof value === "number" ? { intValue: `${value}` } : { stringValue: value.toWellFormed() },
  }));
}

/** What JSON has no number for is text. */
function double(value: number): number | string {
  return Number.isFinite(value) ? value : `${value}`;
}
