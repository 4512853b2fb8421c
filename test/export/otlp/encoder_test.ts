/** What is sent by OTLP is what Prometheus would be told, in both encodings. */
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { assert, assertEquals } from "@std/assert";
import { OtlpEncoder, type OtlpEncoding } from "../../../src/export/otlp/encoder.ts";
import { SeriesStarts } from "../../../src/export/otlp/points.ts";
import { Metrics } from "../../../src/export/prometheus/metrics.ts";
import type { MetricsState } from "../../../src/export/prometheus/state.ts";
import { everything, everythingElse, madeBatch, stateOf } from "../prometheus/made.ts";
import { readExposition } from "../prometheus/reader.ts";
import { needsProtobuf, readJson, type ReadMetric, readProtobuf, type ReadRequest } from "./reader.ts";

const SECOND = 1_000_000_000n;
const page = readFileSync(new URL("../../../docs/metrics.md", import.meta.url), "utf8");
/** OTLP's name, unit, kind and Prometheus' name of each metric, as documented. */
const DOCUMENTED = [...page.matchAll(/^\| `(psample\.[\w.]+)` +\| `([^`]+)` +\| (\w+) +\| `(psample_\w+)` +\|$/gm)].map(([, ...row]) =>
  row as [name: string, unit: string, kind: string, prometheus: string]
);
const ENCODINGS: readonly (readonly [OtlpEncoding, (bytes: Uint8Array) => ReadRequest])[] = [["json", readJson], [
  "protobuf",
  readProtobuf,
]];

/** Encodes and reads metrics at a time, as one request. */
function sent(metrics: Metrics, state: MetricsState, encoding: OtlpEncoding = "json", timeNs = SECOND): ReadRequest {
  const requests = new OtlpEncoder(metrics, { encoding, resource: { "service.name": "psample", empty: "" }, version: "1.2.3" })
    .encode(timeNs, state);
  assertEquals(requests.length, 1);
  const { body, points } = requests[0]!;
  const request = ENCODINGS.find(([name]) => name === encoding)![1](body);
  assertEquals(request.metrics.reduce((sum, metric) => sum + metric.points.length, 0), points);
  return request;
}

/** The attributes of a point as the labels that Prometheus has. */
function labelsOf(attributes: ReadMetric["points"][number]["attributes"]): Record<string, string> {
  const names: Record<string, string> = {
    "network.interface.name": "device",
    "network.io.direction": "direction",
    "source.address": "ipsource",
    "destination.port": "destinationport",
  };
  const directions: Record<string, string> = { receive: "in", transmit: "out" };
  return Object.fromEntries(
    Object.entries(attributes).map(([name, value]) => {
      const label = names[name] ?? name.replace(/^psample\.(flow\.)?/, "");
      return [label, label === "direction" ? directions[value]! : `${value}`];
    }),
  );
}

const keyOf = (labels: Record<string, string>): string => JSON.stringify(Object.entries(labels).filter(([, value]) => value !== "").sort());

function checkEqualToPrometheus(encoding: OtlpEncoding): void {
  const metrics = new Metrics({ top: 10, by: "ipsource,destinationport,subnet:/24", version: "1.2.3" }, 5n);
  metrics.take(
    madeBatch([{ tc: 1, latencyNs: 1000n, occupancy: 99n }, { device: 2, oneIn: 100, nsid: 3 }, { out: true }, { oneIn: undefined }], [
      'a"b\\c',
      "ä\ud800",
    ]),
    0n,
  );
  metrics.take(madeBatch([{ source: 2 }, { latencyNs: 10n ** 12n }]), SECOND);
  const others = { received: 1, lost: 2, late: 3, duplicates: 4 };
  const state = { ...everythingElse, stats: { ...everythingElse.stats, received: 3_000_000_000, others } };
  const text = readExposition(metrics.text("text", SECOND, state));
  const request = sent(metrics, state, encoding);
  assertEquals(request.resource, { "service.name": "psample" });
  assertEquals(request.scope, { name: "psample", version: "1.2.3" });
  const told = new Map<string, Map<string, number>>();
  for (const { name, labels, value } of text) {
    if (!told.has(name)) told.set(name, new Map());
    told.get(name)!.set(keyOf(labels), value);
  }
  // What the resource and each point say in their own way.
  told.delete("psample_build_info");
  told.delete("psample_start_time_seconds");
  for (const { name, unit, kind, points } of request.metrics) {
    const row = DOCUMENTED.find(([other]) => other === name);
    assertEquals(row?.slice(0, 3), [name, unit, kind]);
    for (const { attributes, startNs, timeNs, value } of points) {
      assertEquals([startNs, timeNs], [kind === "gauge" ? undefined : 5n, SECOND]);
      const labels = labelsOf(attributes);
      const expect = (suffix: string, more: Record<string, string>, number: number): void => {
        const key = keyOf({ ...labels, ...more });
        const series = told.get(`${row![3]}${suffix}`);
        assertEquals(number, series?.get(key), `${name} ${key}`);
        series!.delete(key);
      };
      if (typeof value === "number") {
        expect("", {}, value);
        continue;
      }
      expect("_count", {}, value.count);
      expect("_sum", {}, value.sum);
      assertEquals(value.bucketCounts.length, value.explicitBounds.length + 1);
      // Prometheus' buckets include all smaller ones, and bounds are text there.
      const buckets = told.get(`${row![3]}_bucket`)!;
      let sum = 0;
      for (const [key, count] of buckets) {
        const { le, ...rest } = Object.fromEntries(JSON.parse(key) as [string, string][]);
        if (keyOf(rest) !== keyOf(labels)) continue;
        const bound = le === "+Inf" ? Infinity : Number(le);
        const at = bound === Infinity ? value.explicitBounds.length : value.explicitBounds.indexOf(bound);
        assert(at >= 0, le);
        sum += value.bucketCounts[at]!;
        assertEquals(sum, count, key);
        buckets.delete(key);
      }
    }
  }
  assertEquals([...told].filter(([, series]) => series.size > 0), []);
}

test("requests in JSON have all numbers that Prometheus gets, and no others", () => checkEqualToPrometheus("json"));

test("requests in protobuf have all numbers that Prometheus gets, and no others", needsProtobuf, () => checkEqualToPrometheus("protobuf"));

test("docs/metrics.md has every metric of OTLP once, with its unit and kind", () => {
  const others = { received: 1, lost: 0, late: 0, duplicates: 0 };
  const { metrics } = sent(everything(), { ...everythingElse, stats: { ...everythingElse.stats, others } });
  assertEquals(
    DOCUMENTED.map(([name, unit, kind]) => [name, unit, kind]).sort(),
    metrics.map(({ name, unit, kind }) => [name, unit, kind]).sort(),
  );
});

test("numbers and names that are hard to write arrive", needsProtobuf, () => {
  const metrics = new Metrics({}, 5n);
  const stats = { ...stateOf().stats, received: Number.MAX_SAFE_INTEGER, receiveBufferBytes: 0 };
  const name = `${"é".repeat(100)}\0\n"\\`;
  const samplers = [
    { device: name, direction: "in", oneIn: Infinity, trials: 2 ** 52, deviates: false },
    { device: "x", direction: "out", oneIn: NaN, trials: undefined, deviates: false },
  ] as const;
  for (const [encoding, read] of ENCODINGS) {
    const { body } = new OtlpEncoder(metrics, { encoding, resource: {} }).encode(2n ** 63n, stateOf({ stats, samplers }))[0]!;
    const request = read(body);
    assertEquals(request.resource, {});
    const points = (name: string): unknown[] => request.metrics.find((metric) => metric.name === name)!.points.map(({ value }) => value);
    assertEquals(points("psample.received_samples"), [Number.MAX_SAFE_INTEGER]);
    assertEquals(points("psample.sampler.packets"), [2 ** 52]);
    assertEquals(points("psample.sampling.one_in"), [Infinity, NaN]);
    assertEquals(request.metrics.find((metric) => metric.name === "psample.sampler.packets")!.points[0]!.attributes, {
      "network.interface.name": name,
      "network.io.direction": "receive",
    });
    assertEquals(request.metrics[0]!.points[0]!.timeNs, 2n ** 63n);
  }
});

test("a report that is too large for one request is sent in several, without losing a point", needsProtobuf, () => {
  for (const [encoding, read] of ENCODINGS) {
    const metrics = everything();
    const whole = sent(metrics, everythingElse, encoding);
    for (const maxBytes of [1, 700, 5000]) {
      const requests = new OtlpEncoder(metrics, { encoding, resource: { "service.name": "psample" }, version: "1.2.3", maxBytes })
        .encode(SECOND, everythingElse);
      const parts = requests.map(({ body }) => read(body));
      for (const { body, points } of requests) assert(body.length <= maxBytes || points === 1, `${body.length} for ${maxBytes}`);
      const flat = (all: readonly ReadRequest[]): unknown[] =>
        all.flatMap(({ metrics }) => metrics.flatMap(({ name, points }) => points.map((point) => [name, point])));
      assertEquals(flat(parts), flat([whole]));
      assertEquals(parts.map(({ resource, scope }) => [resource, scope]), parts.map(() => [whole.resource, whole.scope]));
      assertEquals(requests.length > 1, true);
    }
  }
});

test("a series starts when counting began; one that is new or starts over, at the report before", () => {
  const starts = new SeriesStarts(10n);
  const report = (timeNs: bigint, values: Record<string, number>): Record<string, bigint> => {
    starts.begin(timeNs);
    return Object.fromEntries(Object.entries(values).map(([key, value]) => [key, starts.of(key, value)]));
  };
  assertEquals(report(20n, { a: 5, b: 0 }), { a: 10n, b: 10n });
  assertEquals(report(30n, { a: 5, b: 7, c: 1 }), { a: 10n, b: 10n, c: 20n });
  // One goes back, and one ends.
  assertEquals(report(40n, { a: 4, c: 2 }), { a: 30n, c: 20n });
  assertEquals(report(50n, { a: 9, b: 8, c: 2 }), { a: 30n, b: 40n, c: 20n });
  // The clock is set back: nothing starts later than now.
  assertEquals(report(25n, { a: 10, b: 9, c: 3 }), { a: 25n, b: 25n, c: 20n });
});

test("series of a device that is gone end, and those of one that is back start anew", () => {
  const metrics = new Metrics({}, 0n);
  const encoder = new OtlpEncoder(metrics, { encoding: "json", resource: {} });
  const startsAt = (timeNs: bigint, hasDevice: boolean): Record<string, bigint | undefined> => {
    const { body } = encoder.encode(timeNs, stateOf({ hasDevice: (name) => name !== "eth0" || hasDevice }))[0]!;
    const series = readJson(body).metrics.find(({ name }) => name === "psample.samples")!;
    return Object.fromEntries(series.points.map(({ attributes, startNs }) => [attributes["network.interface.name"], startNs]));
  };
  metrics.take(madeBatch([{}, { device: 2 }]), 0n);
  assertEquals(startsAt(SECOND, true), { eth0: 0n, eth1: 0n });
  assertEquals(startsAt(2n * SECOND, false), { eth0: 0n, eth1: 0n });
  assertEquals(startsAt(63n * SECOND, false), { eth1: 0n });
  metrics.take(madeBatch([{}]), 64n * SECOND);
  assertEquals(startsAt(65n * SECOND, true), { eth0: 63n * SECOND, eth1: 0n });
});
