/** docs/grafana.json: each of its queries finds something in a Prometheus that has scraped metrics of every kind. */
import { spawn, spawnSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { test } from "node:test";
import { assert, assertEquals } from "@std/assert";
import type { Metrics } from "../../src/export/prometheus/metrics.ts";
import type { MetricsSink, MetricsState } from "../../src/export/prometheus/state.ts";
import { everything, everythingElse, madeBatch } from "../export/prometheus/made.ts";
import { inDirectory } from "../support/directory.ts";
import { get } from "../support/http.ts";
import { programs } from "../support/programs.ts";

const read = (path: string): string => readFileSync(new URL(`../../docs/${path}`, import.meta.url), "utf8");

/** What this test looks at of a dashboard. */
interface Dashboard {
  readonly panels: readonly Panel[];
  readonly templating: { readonly list: readonly { name: string; type: string; query: string | { query: string } }[] };
}

interface Panel {
  readonly id: number;
  readonly type: string;
  readonly title: string;
  readonly datasource?: { readonly uid: string };
  readonly gridPos: { readonly x: number; readonly y: number; readonly w: number; readonly h: number };
  readonly targets?: readonly { readonly expr: string; readonly datasource: { readonly uid: string } }[];
}

const dashboard = JSON.parse(read("grafana.json")) as Dashboard;
const targets = dashboard.panels.flatMap(({ title, targets = [] }) => targets.map((target) => ({ title, ...target })));
const variables = dashboard.templating.list;
const [, section] = read("metrics.md").split("## Queries\n") as [string, string];
/** The queries of docs/metrics.md, by what they answer. */
const QUERIES = new Map(
  [...section.matchAll(/^\| (\S.*?) +\| `(.*)` +\|$/gm)].map(([, question, query]) => [question!, query!]),
);

/** A series that was found. */
interface Result {
  readonly metric: Readonly<Record<string, string>>;
  readonly value: readonly [seconds: number, value: string];
}

/** How Grafana writes `label_values(metric, label)` in PromQL: the series whose values of the label it lists. */
const LABEL_VALUES = /^label_values\((.*), (\w+)\)$/;

/** A query with values in the place of Grafana's variables. */
function filled(text: string): string {
  const values: Record<string, string> = { __rate_interval: "1m", __range: "4m", instance: ".*", device: ".*", top: "10" };
  return text.replace(/\$(\w+)/g, (word, name: string) => {
    assert(values[name] !== undefined, `${word} in ${text} is not a variable`);
    return values[name]!;
  });
}

test("the dashboard uses documented metrics, and only variables that it has", () => {
  const documented = new Set([...read("metrics.md").matchAll(/^\| `(psample_\w+)` /gm)].map(([, name]) => name!));
  const queries = [...targets.map(({ expr }) => expr), ...variables.map(({ query }) => typeof query === "string" ? query : query.query)];
  const used = new Set(queries.flatMap((query) => [...query.matchAll(/psample_\w+/g)].map(([name]) => name.replace(/_bucket$/, ""))));
  assertEquals([...used].filter((name) => !documented.has(name)), []);
  const names = variables.map(({ name }) => name);
  const asked = new Set(queries.flatMap((query) => [...query.matchAll(/\$(\w+)/g)].map(([, name]) => name!)));
  assertEquals([...asked].filter((name) => !names.includes(name) && !name.startsWith("__")), []);
});

test("its data source is a variable, and no panels overlap", () => {
  assertEquals(variables.find(({ name }) => name === "datasource")?.type, "datasource");
  const sources = [...dashboard.panels.flatMap(({ datasource }) => datasource ?? []), ...targets.map(({ datasource }) => datasource)];
  assert(sources.every(({ uid }) => uid === "${datasource}"));
  assertEquals(new Set(dashboard.panels.map(({ id }) => id)).size, dashboard.panels.length);
  const cells = dashboard.panels.flatMap(({ gridPos: { x, y, w, h } }) =>
    Array.from({ length: w * h }, (_, i) => `${x + i % w}/${y + Math.floor(i / w)}`)
  );
  assertEquals(new Set(cells).size, cells.length);
  assert(dashboard.panels.every(({ gridPos: { x, w } }) => x + w <= 24));
});

const STEP_SECONDS = 15;
const STEPS = 20;
const START_SECONDS = 1_784_000_000;

const CONNECTION = { isOpen: false, connections: 2, waitingSamples: 0, mayBeLost: 0 };
const NONE = { sent: 5, dropped: 0, returned: 0 };
/** Each sign that a collector is too slow or gone, without the others. */
const TROUBLED: readonly (readonly [name: string, what: (i: number) => Partial<MetricsSink>])[] = [
  ["slow", (i) => ({ skipped: i })],
  ["unreachable, without samples", (i) => ({ datagrams: { ...NONE, dropped: i } })],
  ["refused by UDP", (i) => ({ datagrams: { ...NONE, returned: i } })],
  ["gone, of OTLP", (i) => ({ reports: { sent: 0, failed: i, skipped: 0, rejectedPoints: 0 } })],
  ["gone, of TCP", () => ({ datagrams: NONE, connection: CONNECTION })],
];

/** What was lost, skipped and so on by step `i`. */
function stateAt(i: number): MetricsState {
  const { stats } = everythingElse;
  const counts = { received: 100 * i, lost: 3 * i, late: i, duplicates: i };
  return {
    ...everythingElse,
    stats: {
      ...stats,
      ...counts,
      gaps: 2 * i,
      dropped: i,
      malformed: i,
      unknown: i,
      groups: [{ ...counts, group: 5, nsid: undefined, portId: 0, restarts: 0, numbered: true, contradictory: false }],
      receiveBufferBytes: 1 << 25,
    },
    sinks: [
      { name: "sFlow", written: i, skipped: i, datagrams: { sent: i, dropped: i, returned: i } },
      { name: "OTLP", written: i, skipped: i, reports: { sent: i, failed: i, skipped: i, rejectedPoints: i } },
      ...TROUBLED.map(([name, what]) => ({ name, written: i, skipped: 0, ...what(i) })),
      {
        name: "well",
        written: i,
        skipped: 0,
        datagrams: { sent: i, dropped: 3, returned: 2 },
        connection: { ...CONNECTION, isOpen: true },
      },
    ],
    samplers: [{ device: 'a"b', direction: "in", oneIn: 10, trials: 1000 * i, deviates: true }],
  };
}

/** What a Prometheus has after it has scraped these metrics for a while, as lines of OpenMetrics with times. */
function scrapes(metrics: Metrics): string {
  const lines: string[] = [];
  for (let i = 0; i < STEPS; i++) {
    const seconds = START_SECONDS + STEP_SECONDS * i;
    const nowNs = BigInt(seconds) * 1_000_000_000n;
    metrics.take(madeBatch([{ tc: 1, latencyNs: 1000n, occupancy: 99n, oneIn: 100 }, { device: 2 }], ['a"b', "ä"], nowNs), nowNs);
    for (const line of metrics.text("openmetrics", nowNs, stateAt(i)).split("\n")) {
      const [, name, labels = "", value] = /^([a-z_]+)(?:\{(.*)\})? (\S+)$/.exec(line) ?? [];
      if (name !== undefined) {
        lines.push(`${name}{${labels && `${labels},`}instance="eth0.example.net:9410",job="psample"} ${value} ${seconds}`);
      }
    }
  }
  return `${lines.join("\n")}\n# EOF\n`;
}

test(
  "each query of the dashboard finds series",
  programs("prometheus", "promtool"),
  inDirectory(async (path) => {
    writeFileSync(path("metrics"), scrapes(everything()));
    writeFileSync(path("prometheus.yml"), "scrape_configs: []\n");
    const made = spawnSync("promtool", ["tsdb", "create-blocks-from", "openmetrics", path("metrics"), path("data")], { encoding: "utf8" });
    assertEquals([made.status, made.stderr], [0, ""]);
    const child = spawn("prometheus", [
      `--config.file=${path("prometheus.yml")}`,
      `--storage.tsdb.path=${path("data")}`,
      // What was scraped long ago is not to be deleted.
      "--storage.tsdb.retention.time=100y",
      "--web.listen-address=127.0.0.1:0",
    ], { stdio: ["ignore", "ignore", "pipe"] });
    const ended = new Promise((resolve) => child.once("close", resolve));
    let said = "";
    const port = new Promise<number>((resolve, reject) => {
      child.stderr.on("data", (bytes) => {
        said += bytes;
        const [, port] = /msg="Listening on" address=127\.0\.0\.1:(\d+)/.exec(said) ?? [];
        if (port !== undefined && /Server is ready/.test(said)) resolve(Number(port));
      });
      void ended.then(() => reject(new Error(`Prometheus ended: ${said}`)));
    });
    try {
      const at = START_SECONDS + STEP_SECONDS * (STEPS - 1);
      const results = async (query: string): Promise<readonly Result[]> => {
        const { status, body } = await get(await port, `/api/v1/query?time=${at}&query=${encodeURIComponent(filled(query))}`);
        assertEquals(status, 200, `${query}: ${body}`);
        const { data } = JSON.parse(body) as { data: { result: readonly Result[] } };
        return data.result.filter(({ value }) => value[1] !== "NaN");
      };
      const found = async (query: string): Promise<number> => (await results(query)).length;
      const empty: string[] = [];
      for (const { title, expr } of targets) if (await found(expr) === 0) empty.push(`${title}: ${expr}`);
      for (const { name, query } of variables) {
        if (typeof query === "string") continue;
        const [, series, label] = LABEL_VALUES.exec(query.query) ?? [];
        if (await found(`count by (${label}) (${series})`) === 0) empty.push(`${name}: ${query.query}`);
      }
      for (const [question, query] of QUERIES) if (await found(query) === 0) empty.push(`${question}: ${query}`);
      assertEquals(empty, []);
      assert(targets.length > 30);
      const troubled = await results(/^```promql\n(.*?)^```$/ms.exec(section)![1]!);
      assertEquals(troubled.map(({ metric }) => metric.sink!).sort(), ["OTLP", "sFlow", ...TROUBLED.map(([name]) => name)].sort());
    } finally {
      child.kill("SIGKILL");
      await ended;
    }
  }),
);
