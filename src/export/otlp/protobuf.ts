/**
 * OTLP in protobuf's binary form. The numbers of the fields are those of opentelemetry-proto: collector/metrics/v1/metrics_service.proto,
 * metrics/v1/metrics.proto, resource/v1/resource.proto and common/v1/common.proto. Fields are written in reverse order.
 *
 * @module
 */
import { BackwardWriter } from "./backward_writer.ts";
import { CUMULATIVE, type OtlpMessage } from "./message.ts";
import type { OtlpAttributes, OtlpMetric, OtlpPoint } from "./points.ts";

/** The field of a metric that has its points. */
const KINDS: Readonly<Record<OtlpMetric["kind"], number>> = { gauge: 5, sum: 7, histogram: 9 };
/** The field of the attributes of a point: NumberDataPoint, HistogramDataPoint. */
const NUMBER_ATTRIBUTES = 7;
const HISTOGRAM_ATTRIBUTES = 9;

/** A request in protobuf. */
export function otlpProtobuf({ resource, scope, metrics, timeNs }: OtlpMessage): Uint8Array<ArrayBuffer> {
  const out = new BackwardWriter();
  // ExportMetricsServiceRequest.resource_metrics
  out.message(1, () => {
    // ResourceMetrics.scope_metrics
    out.message(2, () => {
      for (const metric of metrics.toReversed()) out.message(2, () => writeMetric(out, metric, timeNs));
      // ScopeMetrics.scope
      out.message(1, () => {
        if (scope.version !== undefined) out.text(2, scope.version);
        out.text(1, scope.name);
      });
    });
    // ResourceMetrics.resource
    out.message(1, () => writeAttributes(out, 1, resource));
  });
  return out.bytes;
}

function writeMetric(out: BackwardWriter, { name, description, unit, kind, isWhole, points }: OtlpMetric, timeNs: bigint): void {
  out.message(KINDS[kind], () => {
    // Sum.is_monotonic
    if (kind === "sum") out.varint(3, 1);
    if (kind !== "gauge") out.varint(2, CUMULATIVE);
    for (const point of points.toReversed()) out.message(1, () => writePoint(out, point, isWhole, timeNs));
  });
  out.text(3, unit);
  out.text(2, description);
  out.text(1, name);
}

function writePoint(out: BackwardWriter, { attributes, startNs, value }: OtlpPoint, isWhole: boolean, timeNs: bigint): void {
  if (typeof value === "number") {
    writeAttributes(out, NUMBER_ATTRIBUTES, attributes);
    if (isWhole) out.sfixed64(6, BigInt(Math.round(value)));
    else out.double(4, value);
  } else {
    writeAttributes(out, HISTOGRAM_ATTRIBUTES, attributes);
    out.doubles(7, value.bounds);
    out.fixed64s(6, value.counts());
    out.double(5, value.sum);
    out.fixed64(4, BigInt(value.count));
  }
  out.fixed64(3, timeNs);
  if (startNs !== undefined) out.fixed64(2, startNs);
}

function writeAttributes(out: BackwardWriter, field: number, attributes: OtlpAttributes): void {
  for (const [key, value] of attributes.toReversed()) {
    out.message(field, () => {
      // KeyValue.value, AnyValue.string_value or int_value
      out.message(2, () => {
        if (typeof value === "number") out.varint(3, value);
        else out.text(1, value);
      });
      out.text(1, key);
    });
  }
}
