/** The recipes of docs/recipes.md that need no kernel with psample, as they stand there. Those that do are in test/kernel/recipes_test.ts. */
import { spawnSync } from "node:child_process";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { test } from "node:test";
import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { parse } from "@std/yaml";
import { main } from "../../cli/main.ts";
import { pump, readRecording, recordTo } from "../../mod.ts";
import { fakeIo } from "../cli/fake_io.ts";
import { collectors, runAlone } from "../export/collectors.ts";
import { DAEMON_TOOLS, ROOT } from "../run/project.ts";
import { COMMAND, installCommand } from "../support/command.ts";
import { inDirectory } from "../support/directory.ts";
import { filesOn } from "../support/pages.ts";
import { npmPackage, output, programs } from "../support/programs.ts";
import { pieces } from "../support/reading.ts";
import { blocksOf } from "../support/recipes.ts";

const files = filesOn("docs/recipes.md");
/** Several rates, devices and hosts, packets of IPv4 and IPv6. */
const RECORDINGS = ["rate100.new", "two-groups.new", "forward.new", "vxlan4.new", "mixed.new"];
/** Packets without link layer. */
const RAW = "tun.new";

/** One command of a page, as somebody types it where `samples.pcapng` is. */
function typed(directory: string, line: string): string {
  const { status, stdout, stderr } = spawnSync("bash", ["-o", "pipefail", "-ec", line], {
    cwd: directory,
    encoding: "utf8",
    env: { ...process.env, PATH: `${directory}:${process.env.PATH}`, TZ: "UTC" },
  });
  assertEquals(status, 0, `${line}\n${stdout}${stderr}`);
  return stdout;
}

/** Makes `samples.pcapng`, and the command `psample`, in a directory; returns the samples. */
async function withSamples(path: (name: string) => string, recordings: readonly string[]): Promise<OfSample[]> {
  installCommand(path("psample"), COMMAND);
  const parts: Uint8Array[] = [];
  for (const name of recordings) {
    const bytes = new Uint8Array(readFileSync(join(ROOT, "test/golden", `${name}.pcap`)));
    await pump(await readRecording(pieces(bytes)), [], [await recordTo(path("part.pcapng"))]);
    parts.push(new Uint8Array(readFileSync(path("part.pcapng"))));
  }
  // Sections of a pcapng file may follow each other.
  writeFileSync(path("samples.pcapng"), Uint8Array.from(parts.flatMap((part) => [...part])));
  const lines = typed(path(""), "psample read samples.pcapng --quiet --json --details").trim().split("\n");
  return lines.map((line) => JSON.parse(line) as OfSample).filter(({ type }) => type === "sample");
}

interface OfSample {
  readonly type: string;
  readonly at: string;
  readonly device?: string | null;
  readonly oneIn: number;
  readonly originalBytes: number;
  readonly packet?: { readonly source?: string; readonly destinationPort?: number };
}

test(
  "jq selects samples, and sums the traffic of each source",
  programs("jq"),
  inDirectory(async (path) => {
    const samples = await withSamples(path, [...RECORDINGS, RAW]);
    const [select, sum, ...more] = blocksOf("jq");
    assertEquals(more, []);
    const selected = typed(path(""), select!).trim().split("\n").map((line) => JSON.parse(line) as OfSample);
    assertEquals(selected, samples.map(({ at, device = null, packet }) => ({ at, device, packet })) as OfSample[]);

    const sources = Map.groupBy(samples.filter(({ packet }) => packet?.source), ({ packet }) => packet!.source!);
    const expected = [...sources].map(([source, of]) => {
      return [source, `${of.reduce((all, { oneIn, originalBytes }) => all + oneIn * originalBytes, 0)}`, `${of.length}`];
    });
    assert(expected.length >= 4 && expected.length <= 10, `${expected}`);
    const rows = typed(path(""), sum!).trim().split("\n").map((row) => row.split("\t"));
    assertEquals(rows.map(([, bytes]) => Number(bytes)), expected.map(([, bytes]) => Number(bytes)).sort((a, b) => b - a));
    assertEquals(rows.sort(), expected.sort());
  }),
);

test(
  "tcpdump and tshark read a recording as any other",
  programs("tcpdump", "tshark", "capinfos"),
  inDirectory(async (path) => {
    const samples = await withSamples(path, RECORDINGS);
    const [block] = blocksOf("tcpdump and tshark");
    const [capture, tcpdump, conversations, fields, ...more] = block!.trim().split("\n");
    assertEquals(more, []);
    assertMatch(capture!, /^psample capture eth0 .* -w samples\.pcapng /);
    // There is no DNS in these recordings: the same command for another port finds all of that, and this one nothing.
    const ports = samples.map(({ packet }) => packet?.destinationPort).filter((port) => port !== undefined);
    const of = (port: number): number => typed(path(""), tcpdump!.replace("port 53", `dst port ${port}`)).trim().split("\n").length;
    assertEquals(typed(path(""), tcpdump!), "");
    assertEquals(of(5000), ports.filter((port) => port === 5000).length);
    assertMatch(typed(path(""), conversations!), /^192\.0\.2\.2 +<-> 192\.0\.2\.1 /m);
    // The kernel's messages name no devices.
    const rows = typed(path(""), fields!).replace(/\n$/, "").split("\n").map((row) => row.split("\t"));
    assertEquals(rows.map(([, , length]) => Number(length)), samples.map(({ originalBytes }) => originalBytes));
    for (const [device] of rows) assertMatch(device!, /^if\d+$/);
    // What the page says about rates, and about link types.
    assertMatch(typed(path(""), "capinfos samples.pcapng"), /1 in 100, group \d+/);
    assertMatch(typed(path(""), "tshark -r samples.pcapng -T fields -e frame.comment"), /^group \d+ sample-rate 100$/m);
    await withSamples(path, [...RECORDINGS, RAW]);
    const { status, stderr } = spawnSync("sh", ["-c", tcpdump!], { cwd: path(""), encoding: "utf8" });
    assertEquals(status, 1);
    assertMatch(stderr, /an interface has a type \d+ different from/);
  }),
);

/** The server of the example, in a process that needs no user of its own and writes only where it is told to. */
const nginxConf = (directory: string, server: string): string =>
  `daemon off;
user root root;
master_process off;
pid ${directory}/pid;
error_log stderr;
events {}
http {
  access_log off;
  ${["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map((name) => `${name}_temp_path ${directory}/${name};`).join(" ")}
  ${server}
}
`;

test(
  "nginx serves /metrics with TLS to those who have the password, and nothing else",
  collectors("nginx", "openssl", "curl"),
  inDirectory((path) => {
    const [certificate, password, install, ...more] = blocksOf("TLS and a password in front of /metrics");
    assertEquals(more, []);
    // The page asks for the password, and gives the file to the group of Debian's nginx.
    const here = (text: string): string => text.replaceAll("/etc/nginx/", path("").replace(/\/?$/, "/"));
    const [hash, ...rights] = password!.trim().split("\n");
    assertEquals(rights.map((line) => line.split(" ")[0]), ["chown", "chmod"]);
    const curl = /^curl .*$/m.exec(install!)![0];
    const server = readFileSync(join(ROOT, "examples/psample-metrics.nginx"), "utf8");
    for (const line of [`install -m 644 examples/psample-metrics.nginx`, "nginx -t"]) assertStringIncludes(install!, line);
    writeFileSync(path("nginx.conf"), nginxConf(path(""), here(server)));
    const answers = `--connect-to router.example.net:9411:127.0.0.1:9411 --silent --show-error --write-out '%{http_code}\\n'`;
    const script = `
      set -u
      ip link set lo up
      cd "$1"; shift
      wait_for() { local process=$1; shift; until "$@" >/dev/null 2>&1; do kill -0 $process || { cat log >&2; exit 9; }; sleep 0.05; done; }
      { ${here(certificate!)} } 2>log || { cat log >&2; exit 8; }
      ${here(hash!).replace("passwd -6", "passwd -6 geheim")}
      "$@" >log 2>&1 & exporter=$!
      wait_for $exporter grep -q 'lost 0\\|Prometheus\\|exporting' log
      nginx -t -q -e stderr -c "$PWD/nginx.conf" || exit 7
      nginx -e stderr -c "$PWD/nginx.conf" 2>log2 & proxy=$!
      scrape() { ${here(curl)} ${answers} "$@"; }
      wait_for $proxy scrape --user prometheus:geheim
      scrape --user prometheus:geheim >body
      scrape --user prometheus:wrong --output /dev/null
      scrape --user prometheus:geheim --request DELETE --output /dev/null
      ${
      curl.split(" --cacert")[0]
    } ${answers} --cacert psample.crt --user prometheus:geheim --output /dev/null https://router.example.net:9411/
      ${curl.split(" --cacert")[0]} ${answers} --cacert psample.crt --output /dev/null https://router.example.net:9411/metrics
      # Without the certificate it is not trusted, and without TLS not spoken to.
      ${curl.split(" --cacert")[0]} ${answers} --output /dev/null https://router.example.net:9411/metrics 2>/dev/null || echo "curl $?"
      ${curl.split(" --cacert")[0]} ${answers} --output /dev/null http://router.example.net:9411/metrics`;
    const words = ["export", "--from", join(ROOT, "test/golden/rate100.new.pcap"), "--loop", "--speed", "max", "--prometheus", "9410"];
    const permissions = "Bun" in globalThis ? COMMAND : [...COMMAND.slice(0, -1), "--allow-net", COMMAND.at(-1)!];
    const out = runAlone(script, [path(""), ...permissions, ...words]);
    assertEquals(out, "401\n403\n404\n401\n000\ncurl 60\n400\n");
    const body = readFileSync(path("body"), "utf8");
    assertMatch(body, /^psample_samples_total\{?.* \d+$/m);
    assertMatch(body, /\n200\n$/);
  }),
);

test(
  "Prometheus takes the settings for a scrape with TLS and a password",
  programs("promtool"),
  inDirectory((path) => {
    const settings = files.get("prometheus.yml")!;
    for (const name of ["psample.password", "psample.crt"]) {
      assertStringIncludes(settings, `/etc/prometheus/${name}`);
      writeFileSync(path(name), "");
    }
    writeFileSync(path("prometheus.yml"), settings.replaceAll("/etc/prometheus/", path("").replace(/\/?$/, "/")));
    const { out, err, status } = output("promtool", "check", "config", "--syntax-only", path("prometheus.yml"));
    assertEquals(status, 0, out + err);
  }),
);

test("Vector's file is YAML, and psample takes the command in it", async () => {
  const { sources, transforms, sinks } = parse(files.get("/etc/vector/psample.yaml")!) as {
    sources: { psample: { type: string; mode: string; command: string[]; include_stderr: boolean } };
    transforms: Record<string, { inputs: string[] }>;
    sinks: Record<string, { inputs: string[] }>;
  };
  const { type, mode, command, include_stderr } = sources.psample;
  // What psample prints on standard error is no JSON.
  assertEquals([type, mode, include_stderr, command[0]], ["exec", "streaming", false, "psample"]);
  assertEquals([transforms.samples!.inputs, sinks.out!.inputs], [["psample"], ["samples"]]);
  const io = fakeIo();
  // Nothing is sampled here, and there may be no device but this.
  const words = command.slice(1).map((word) => word === "eth0" ? "lo" : word);
  assertEquals(await main([...words, "--match", "ip", "--explain"], io), 0, io.errors());
});

test("the query for DuckDB has the keys of JSON, and the formulas of the one for ClickHouse, which the tests run", () => {
  const query = files.get("top-duckdb.sql")!;
  const clickhouse = filesOn("docs/scale.md").get("top-clickhouse.sql")!;
  const keys = readFileSync(join(ROOT, "docs/json.md"), "utf8");
  for (const key of ["originalBytes", "oneIn"]) {
    for (const text of [query, clickhouse, keys]) assertStringIncludes(text, key);
  }
  const plain = (text: string): string =>
    text.replace("`packet.source`", "packet.source").replace("::DOUBLE ** 2", " * originalBytes").replaceAll("::BIGINT", "")
      .replace("round(sum(originalBytes * oneIn))", "sum(originalBytes * oneIn)").replace("count(*)", "count()");
  const columns = (text: string): string => /^SELECT\n([^]*?)^FROM /m.exec(plain(text))![1]!;
  assertEquals(columns(query), columns(clickhouse));
});

/** DuckDB as its command is used here, which npm has as a library only: it runs the statement that it reads, and prints the rows. */
const DUCKDB = `#!/usr/bin/env node
const { createRequire } = require("node:module");
const { DuckDBInstance } = createRequire(${JSON.stringify(`${DAEMON_TOOLS}/`)})("@duckdb/node-api");
DuckDBInstance.create().then((database) => database.connect()).then(async (connection) => {
  const rows = await connection.runAndReadAll(require("node:fs").readFileSync(0, "utf8"));
  for (const row of rows.getRowsJson()) console.log(row.join("\t"));
});
`;

test(
  "DuckDB sums the traffic of each source, and says how far off it may be",
  npmPackage("@duckdb/node-api"),
  inDirectory(async (path) => {
    const samples = await withSamples(path, [...RECORDINGS, RAW]);
    writeFileSync(path("duckdb"), DUCKDB, { mode: 0o755 });
    writeFileSync(path("top-duckdb.sql"), files.get("top-duckdb.sql")!);
    const rows = blocksOf("DuckDB").map((block) => typed(path(""), block)).join("").trim().split("\n").map((row) => row.split("\t"));
    const sources = Map.groupBy(samples.filter(({ packet }) => packet?.source), ({ packet }) => packet!.source!);
    const expected = [...sources].map(([source, of]) => {
      const sum = (value: (sample: OfSample) => number): number => of.reduce((all, sample) => all + value(sample), 0);
      const variance = sum(({ originalBytes, oneIn }) => originalBytes ** 2 * oneIn * (oneIn - 1));
      return [source, sum(({ originalBytes, oneIn }) => originalBytes * oneIn), Math.round(1.96 * Math.sqrt(variance)), of.length] as const;
    }).sort(([a, one], [b, other]) => other - one || (a < b ? -1 : 1));
    assert(expected.length >= 3);
    assertEquals(rows, expected.slice(0, 10).map((row) => row.map(String)));
  }),
);

test("the DaemonSet's pods are its own, in the network namespace of their node, and every container has the rights of the first", () => {
  const set = parse(readFileSync(join(ROOT, "examples/psample-daemonset.yaml"), "utf8")) as {
    apiVersion: string;
    kind: string;
    spec: {
      selector: { matchLabels: Record<string, string> };
      template: {
        metadata: { labels: Record<string, string> };
        spec: Record<"initContainers" | "containers", { image: string; securityContext: unknown }[]> & {
          hostNetwork: boolean;
          automountServiceAccountToken: boolean;
        };
      };
    };
  };
  assertEquals([set.apiVersion, set.kind], ["apps/v1", "DaemonSet"]);
  const { selector, template: { metadata, spec } } = set.spec;
  assertEquals(metadata.labels, selector.matchLabels);
  assertEquals([spec.hostNetwork, spec.automountServiceAccountToken], [true, false]);
  const all = [...spec.initContainers, ...spec.containers];
  assertEquals(new Set(all.map(({ image }) => image)).size, 1);
  for (const { securityContext } of all) {
    assertEquals(securityContext, {
      runAsUser: 0,
      capabilities: { drop: ["ALL"], add: ["NET_ADMIN"] },
      allowPrivilegeEscalation: false,
      readOnlyRootFilesystem: true,
    });
  }
});

test("every file that the page names is in examples/", () => {
  const page = readFileSync(join(ROOT, "docs/recipes.md"), "utf8");
  const named = new Set([...page.matchAll(/examples\/(psample[\w.@-]*\w)/g)].map(([, name]) => name!));
  assertEquals(named.size, 6);
  for (const name of named) assert(existsSync(join(ROOT, "examples", name)), name);
});
