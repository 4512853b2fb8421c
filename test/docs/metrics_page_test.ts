/** The configurations on docs/metrics.md. Its queries, and the promql block, are asked by dashboard_test.ts and test/sink/metrics_test.ts. */
import { writeFileSync } from "node:fs";
import { test } from "node:test";
import { assert, assertEquals } from "@std/assert";
import { parse } from "@std/yaml";
import { inDirectory } from "../support/directory.ts";
import { blocksOn, commandsOn } from "../support/pages.ts";
import { output, programs } from "../support/programs.ts";

const BLOCKS = blocksOn("docs/metrics.md");
const [SCRAPE, PROVIDER] = BLOCKS.filter(({ language }) => language === "yaml").map(({ code }) => code) as [string, string];

test("there are no others", () => {
  assertEquals(BLOCKS.map(({ language }) => language), ["yaml", "yaml", "promql"]);
});

test("Prometheus scrapes the port that the guide serves at", () => {
  const { scrape_configs: [{ static_configs: [{ targets }] }] } = parse(SCRAPE) as {
    scrape_configs: [{ static_configs: [{ targets: string[] }] }];
  };
  const [, port] = commandsOn("docs/guide/exporting.md").flatMap(({ command }) => /--prometheus (\d+)/.exec(command) ?? []);
  assertEquals(targets, [`127.0.0.1:${port}`]);
});

test(
  "Prometheus understands the configuration",
  programs("promtool"),
  inDirectory((path) => {
    writeFileSync(path("prometheus.yml"), SCRAPE);
    const { out, err, status } = output("promtool", "check", "config", path("prometheus.yml"));
    assertEquals(status, 0, out + err);
  }),
);

test("the provider of dashboards has what Grafana requires: a version, a name, and a directory", () => {
  const { apiVersion, providers } = parse(PROVIDER) as { apiVersion: number; providers: { name: string; options: { path: string } }[] };
  assertEquals([apiVersion, providers.length], [1, 1]);
  assertEquals(providers[0]!.name, "psample");
  assert(providers[0]!.options.path.startsWith("/"));
});
