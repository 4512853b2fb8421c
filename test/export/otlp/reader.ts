/**
 * Reads requests of OTLP with the numbers of the fields from opentelemetry-proto, by protobufjs: it shares nothing with the encoder. JSON is
 * read as the specification maps it, and strictly.
 */
import { createRequire } from "node:module";
import { join } from "node:path";
import { TOOLS } from "../../run/project.ts";
import { npmPackage } from "../../support/programs.ts";

/** What tests that read protobuf need. */
export const needsProtobuf: ReturnType<typeof npmPackage> = npmPackage("protobufjs");

/** The value of a point: a number, or a distribution. */
export type ReadValue = number | { count: number; sum: number; bucketCounts: number[]; explicitBounds: number[] };

/** A point. */
export interface ReadPoint {
  readonly attributes: Record<string, string | number>;
  readonly startNs: bigint | undefined;
  readonly timeNs: bigint;
  readonly value: ReadValue;
}

/** A metric. */
export interface ReadMetric {
  readonly name: string;
  readonly unit: string;
  readonly kind: "sum" | "gauge" | "histogram";
  readonly points: readonly ReadPoint[];
}

/** A request. */
export interface ReadRequest {
  readonly resource: Record<string, string | number>;
  readonly scope: { readonly name: string; readonly version: string | undefined };
  readonly metrics: readonly ReadMetric[];
}

const field = (type: string, id: number, rule?: "repeated"): Record<string, unknown> => ({ type, id, ...rule && { rule } });

/** opentelemetry/proto/{common,resource,metrics,collector/metrics}/v1, as far as anything here is used. */
const SCHEMA = {
  nested: {
    ExportMetricsServiceRequest: { fields: { resourceMetrics: field("ResourceMetrics", 1, "repeated") } },
    ResourceMetrics: {
      fields: { resource: field("Resource", 1), scopeMetrics: field("ScopeMetrics", 2, "repeated"), schemaUrl: field("string", 3) },
    },
    Resource: { fields: { attributes: field("KeyValue", 1, "repeated"), droppedAttributesCount: field("uint32", 2) } },
    ScopeMetrics: {
      fields: { scope: field("Scope", 1), metrics: field("Metric", 2, "repeated"), schemaUrl: field("string", 3) },
    },
    Scope: { fields: { name: field("string", 1), version: field("string", 2) } },
    Metric: {
      oneofs: { data: { oneof: ["gauge", "sum", "histogram"] } },
      fields: {
        name: field("string", 1),
        description: field("string", 2),
        unit: field("string", 3),
        gauge: field("Gauge", 5),
        sum: field("Sum", 7),
        histogram: field("Histogram", 9),
      },
    },
    Gauge: { fields: { dataPoints: field("NumberDataPoint", 1, "repeated") } },
    Sum: {
      fields: {
        dataPoints: field("NumberDataPoint", 1, "repeated"),
        aggregationTemporality: field("int32", 2),
        isMonotonic: field("bool", 3),
      },
    },
    Histogram: { fields: { dataPoints: field("HistogramDataPoint", 1, "repeated"), aggregationTemporality: field("int32", 2) } },
    NumberDataPoint: {
      oneofs: { value: { oneof: ["asDouble", "asInt"] } },
      fields: {
        attributes: field("KeyValue", 7, "repeated"),
        startTimeUnixNano: field("fixed64", 2),
        timeUnixNano: field("fixed64", 3),
        asDouble: field("double", 4),
        asInt: field("sfixed64", 6),
        flags: field("uint32", 8),
      },
    },
    HistogramDataPoint: {
      fields: {
        attributes: field("KeyValue", 9, "repeated"),
        startTimeUnixNano: field("fixed64", 2),
        timeUnixNano: field("fixed64", 3),
        count: field("fixed64", 4),
        sum: field("double", 5),
        bucketCounts: field("fixed64", 6, "repeated"),
        explicitBounds: field("double", 7, "repeated"),
        flags: field("uint32", 10),
      },
    },
    KeyValue: { fields: { key: field("string", 1), value: field("AnyValue", 2) } },
    AnyValue: {
      oneofs: { value: { oneof: ["stringValue", "boolValue", "intValue", "doubleValue"] } },
      fields: {
        stringValue: field("string", 1),
        boolValue: field("bool", 2),
        intValue: field("int64", 3),
        doubleValue: field("double", 4),
      },
    },
    ExportMetricsServiceResponse: { fields: { partialSuccess: field("PartialSuccess", 1) } },
    PartialSuccess: { fields: { rejectedDataPoints: field("int64", 1), errorMessage: field("string", 2) } },
    Status: { fields: { code: field("int32", 1), message: field("string", 2) } },
  },
};

interface MessageType {
  decode(bytes: Uint8Array): unknown;
  encode(value: unknown): { finish(): Uint8Array };
  toObject(message: unknown, options: Record<string, unknown>): Record<string, unknown>;
}

let root: { lookupType(name: string): MessageType } | undefined;

function typeOf(name: string): MessageType {
  root ??= createRequire(join(TOOLS, "package.json"))("protobufjs").Root.fromJSON(SCHEMA) as NonNullable<typeof root>;
  return root.lookupType(name);
}

/** The bytes of a message. */
export function protobufOf(name: "ExportMetricsServiceResponse" | "Status", value: unknown): Uint8Array {
  return typeOf(name).encode(value).finish();
}

/** Reads a request in protobuf. */
export function readProtobuf(bytes: Uint8Array): ReadRequest {
  const type = typeOf("ExportMetricsServiceRequest");
  // 64-bit numbers as text, as in JSON.
  return requestOf(type.toObject(type.decode(bytes), { longs: String }));
}

/** Reads a request in JSON. */
export function readJson(bytes: Uint8Array): ReadRequest {
  return requestOf(JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes)));
}

type Members = Record<string, unknown>;

/** The members of an object, which has no others than these. */
function members(value: unknown, ...names: string[]): Members {
  if (typeof value !== "object" || value === null || Array.isArray(value)) throw new Error(`no object: ${JSON.stringify(value)}`);
  const strange = Object.keys(value).find((name) => !names.includes(name));
  if (strange !== undefined) throw new Error(`an unknown member: ${strange}`);
  return value as Members;
}

function list(value: unknown): unknown[] {
  if (!Array.isArray(value)) throw new Error(`no list: ${JSON.stringify(value)}`);
  return value;
}

function only<Value>(value: unknown): Value {
  const values = list(value);
  if (values.length !== 1) throw new Error(`${values.length} instead of one`);
  return values[0] as Value;
}

function text(value: unknown): string {
  if (typeof value !== "string") throw new Error(`no text: ${value}`);
  return value;
}

/** A 64-bit number, which is text. */
function long(value: unknown): bigint {
  if (!/^-?\d+$/.test(text(value))) throw new Error(`no whole number: ${value}`);
  return BigInt(text(value));
}

function double(value: unknown): number {
  if (typeof value === "number") return value;
  if (!["NaN", "Infinity", "-Infinity"].includes(text(value))) throw new Error(`no number: ${value}`);
  return Number(value);
}

function attributes(value: unknown): Record<string, string | number> {
  const pairs = list(value ?? []).map((pair): [string, string | number] => {
    const { key, value } = members(pair, "key", "value");
    const { stringValue, intValue } = members(value, "stringValue", "intValue");
    return [text(key), intValue === undefined ? text(stringValue) : Number(long(intValue))];
  });
  if (new Set(pairs.map(([key]) => key)).size !== pairs.length) throw new Error("an attribute is there twice");
  return Object.fromEntries(pairs);
}

function requestOf(value: unknown): ReadRequest {
  const { resourceMetrics } = members(value, "resourceMetrics");
  const { resource, scopeMetrics } = members(only(resourceMetrics), "resource", "scopeMetrics");
  const { scope, metrics } = members(only(scopeMetrics), "scope", "metrics");
  const { name, version } = members(scope, "name", "version");
  if (list(metrics).length === 0) throw new Error("an empty envelope");
  return {
    resource: attributes(members(resource, "attributes").attributes),
    scope: { name: text(name), version: version === undefined ? undefined : text(version) },
    metrics: list(metrics).map(metricOf),
  };
}

function metricOf(value: unknown): ReadMetric {
  const { name, description, unit, ...data } = members(value, "name", "description", "unit", "gauge", "sum", "histogram");
  if (text(description) === "") throw new Error(`${name} has no description`);
  const kind = only<ReadMetric["kind"]>(Object.keys(data));
  const { dataPoints, aggregationTemporality, isMonotonic } = members(data[kind], "dataPoints", "aggregationTemporality", "isMonotonic");
  if (aggregationTemporality !== (kind === "gauge" ? undefined : 2)) throw new Error(`${name} is not cumulative`);
  if (isMonotonic !== (kind === "sum" ? true : undefined)) throw new Error(`${name} may shrink`);
  if (list(dataPoints).length === 0) throw new Error(`${name} has no points`);
  return { name: text(name), unit: text(unit), kind, points: list(dataPoints).map((point) => pointOf(point, kind)) };
}

function pointOf(value: unknown, kind: ReadMetric["kind"]): ReadPoint {
  const own = kind === "histogram" ? ["count", "sum", "bucketCounts", "explicitBounds"] : ["asInt", "asDouble"];
  const point = members(value, "attributes", "startTimeUnixNano", "timeUnixNano", ...own);
  const { startTimeUnixNano, timeUnixNano, asInt, asDouble } = point;
  if ((startTimeUnixNano === undefined) !== (kind === "gauge")) throw new Error("a start is missing, or has no meaning");
  if (kind !== "histogram" && (asInt === undefined) === (asDouble === undefined)) throw new Error("not one value");
  return {
    attributes: attributes(point.attributes),
    startNs: startTimeUnixNano === undefined ? undefined : long(startTimeUnixNano),
    timeNs: long(timeUnixNano),
    value: kind !== "histogram" ? asInt === undefined ? double(asDouble) : Number(long(asInt)) : {
      count: Number(long(point.count)),
      sum: double(point.sum),
      bucketCounts: list(point.bucketCounts).map((count) => Number(long(count))),
      explicitBounds: list(point.explicitBounds).map(double),
    },
  };
}

/** The values of a metric, by its attributes as text. */
export function pointsOf({ metrics }: ReadRequest, name: string): Record<string, ReadValue> {
  const points = metrics.filter((metric) => metric.name === name).flatMap(({ points }) => points);
  return Object.fromEntries(points.map(({ attributes, value }) => [Object.values(attributes).join(" "), value]));
}
