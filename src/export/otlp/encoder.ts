/**
 * Metrics as requests of OTLP/HTTP: one moment in as many requests as their size takes.
 *
 * @module
 */
import type { Metrics } from "../prometheus/metrics.ts";
import type { MetricsState } from "../prometheus/state.ts";
import { otlpJson } from "./json.ts";
import type { OtlpMessage } from "./message.ts";
import { OtlpFamilies, type OtlpMetric, SeriesStarts } from "./points.ts";
import { otlpProtobuf } from "./protobuf.ts";

/**
 * The encodings of OTLP/HTTP.
 *
 * @category Export
 */
export type OtlpEncoding = "protobuf" | "json";

/**
 * How to encode metrics.
 *
 * @category Export
 */
export interface OtlpOptions {
  /** Defaults to `"protobuf"`: every receiver accepts it, and some accept nothing else. */
  readonly encoding?: OtlpEncoding | undefined;
  /** Attributes of what the metrics are about: `"service.name"`, `"host.name"` and so on. Empty ones are left out. */
  readonly resource: Readonly<Record<string, string>>;
  /** The version of what made the metrics. Defaults to none. */
  readonly version?: string | undefined;
  /** Maximum size of a request before compression, in bytes. Defaults to 20 MiB, which the specification recommends. */
  readonly maxBytes?: number | undefined;
}

/**
 * A request.
 *
 * @category Export
 */
export interface OtlpRequest {
  /** What to send. */
  readonly body: Uint8Array<ArrayBuffer>;
  /** Number of its points. */
  readonly points: number;
}

const MOST_BYTES = 20 << 20;
const TYPES: Readonly<Record<OtlpEncoding, string>> = { protobuf: "application/x-protobuf", json: "application/json" };

/**
 * Encodes the numbers of {@linkcode Metrics}, as cumulative sums, histograms and gauges. Each receiver needs its own.
 *
 * @category Export
 */
export class OtlpEncoder {
  /** The media type of the requests. */
  readonly contentType: string;
  readonly #metrics: Metrics;
  readonly #starts: SeriesStarts;
  readonly #encode: (message: OtlpMessage) => Uint8Array<ArrayBuffer>;
  readonly #about: Pick<OtlpMessage, "resource" | "scope">;
  readonly #maxBytes: number;

  /** An encoder of these metrics. */
  constructor(metrics: Metrics, { encoding = "protobuf", resource, version, maxBytes = MOST_BYTES }: OtlpOptions) {
    this.#metrics = metrics;
    this.#starts = new SeriesStarts(metrics.startNs);
    this.contentType = TYPES[encoding];
    const encoder = new TextEncoder();
    this.#encode = encoding === "json" ? (message) => encoder.encode(otlpJson(message)) : otlpProtobuf;
    this.#about = {
      resource: Object.entries(resource).filter(([, value]) => value !== ""),
      scope: { name: "psample", version },
    };
    this.#maxBytes = maxBytes;
  }

  /**
   * The requests with everything that is known at this time. Each can be sent again; all of them are worth sending, because each has other
   * metrics.
   */
  encode(timeNs: bigint, state: MetricsState): OtlpRequest[] {
    this.#starts.begin(timeNs);
    const families = new OtlpFamilies(this.#starts);
    this.#metrics.write(families, timeNs, state);
    return this.#requests(families.metrics, timeNs);
  }

  #requests(metrics: readonly OtlpMetric[], timeNs: bigint): OtlpRequest[] {
    const points = metrics.reduce((sum, metric) => sum + metric.points.length, 0);
    if (points === 0) return [];
    const body = this.#encode({ ...this.#about, metrics, timeNs });
    if (body.length <= this.#maxBytes || points === 1) return [{ body, points }];
    const half = points >> 1;
    return [...this.#requests(slice(metrics, 0, half), timeNs), ...this.#requests(slice(metrics, half, points), timeNs)];
  }
}

/** The metrics with their points from `start` to before `end`, counted through all of them. */
function slice(metrics: readonly OtlpMetric[], start: number, end: number): OtlpMetric[] {
  let at = 0;
  return metrics.flatMap((metric) => {
    const points = metric.points.slice(Math.max(0, start - at), Math.max(0, end - at));
    at += metric.points.length;
    return points.length === 0 ? [] : [{ ...metric, points }];
  });
}
