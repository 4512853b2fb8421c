/** Metrics as programs serve them, asked for by clients that share nothing with the server. */
import { spawn } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { test } from "node:test";
import { assert, assertEquals, assertMatch, assertRejects, assertThrows } from "@std/assert";
import { ArgumentError, metricsTo, pump, sflowTo, SystemError } from "../../mod.ts";
import { isAllowedHost, parseListenAddress } from "../../src/sink/listen_address.ts";
import { metricsToWith } from "../../src/sink/metrics.ts";
import type { Batch } from "../../src/stream/batch.ts";
import type { Sink } from "../../src/stream/sink.ts";
import type { Source } from "../../src/stream/source.ts";
import { loadSys } from "../../src/sys/load.ts";
import { madeBatch } from "../export/prometheus/made.ts";
import { readExposition, valuesOf } from "../export/prometheus/reader.ts";
import { recordedSamples } from "../psample/recordings.ts";
import { BatchesSource } from "../support/batches.ts";
import { inDirectory } from "../support/directory.ts";
import { ask, connection, get, untilClosed } from "../support/http.ts";
import { programs } from "../support/programs.ts";
import { UdpReceiver } from "../support/udp_receiver.ts";
import { until } from "../support/waiting.ts";

const samples = recordedSamples();
const port = ({ url }: { readonly url: string }): number => Number(new URL(url).port);

/** A source that is read to its end, and then waits until it is ended. */
class Waiting implements Source {
  readonly #source: Source;
  #end: () => void = () => {};
  readonly #ended = new Promise<void>((resolve) => this.#end = resolve);
  /** Whether everything was read. */
  isEmpty = false;

  constructor(source: Source) {
    this.#source = source;
  }

  async read(): Promise<Batch | undefined> {
    const batch = await this.#source.read();
    if (batch) return batch;
    this.isEmpty = true;
    await this.#ended;
    return undefined;
  }

  end(): void {
    this.#end();
  }

  close(): Promise<void> {
    this.#end();
    return this.#source.close();
  }

  stats(): ReturnType<Source["stats"]> {
    return this.#source.stats();
  }
}

/** Serves the metrics of batches while `work` runs. */
async function serving(source: Waiting, sinks: readonly Sink[], work: (port: number) => Promise<void>): Promise<void> {
  const metrics = await metricsTo(0, { source, sinks, top: 5, version: "1.2.3" });
  const over = new AbortController();
  const pumping = pump(source, [], [...sinks, metrics], { signal: over.signal });
  try {
    await until("everything is read", () => source.isEmpty);
    await work(port(metrics));
  } finally {
    over.abort();
    await pumping;
  }
}

test("metricsTo serves the account and the traffic of a pump, in the format that is asked for", async () => {
  using receiver = new UdpReceiver();
  const collector = await sflowTo(receiver.target, { agent: "192.0.2.1" });
  const source = new Waiting(new BatchesSource([samples.slice(0, 10), samples.slice(10)]));
  await serving(source, [collector], async (port) => {
    const { status, headers, body } = await get(port, "/metrics");
    assertEquals([status, headers["content-type"], headers.vary], [200, "text/plain; version=0.0.4; charset=utf-8", "Accept"]);
    assertEquals(valuesOf(body, "psample_received_samples_total"), { "": samples.length });
    assertEquals(valuesOf(body, "psample_lost_samples_total"), { "": source.stats().lost });
    const counted = Object.values(valuesOf(body, "psample_samples_total")).reduce((sum, count) => sum + count, 0);
    assertEquals(counted + valuesOf(body, "psample_unusable_samples_total")[""]!, samples.length);
    assertEquals(Object.keys(valuesOf(body, "psample_sink_written_samples_total")), [collector.name]);
    const open = await get(port, "/metrics", "Accept: application/openmetrics-text; version=1.0.0");
    assertEquals(open.headers["content-type"], "application/openmetrics-text; version=1.0.0; charset=utf-8");
    assert(open.body.endsWith("# EOF\n"));
    assertEquals(readExposition(open.body).length, readExposition(body).length);
  });
});

test("there is a page for people, which loads nothing from elsewhere and runs nothing", async () => {
  const source = new Waiting(new BatchesSource([samples]));
  await serving(source, [], async (port) => {
    const { status, headers, body } = await get(port, "/");
    assertEquals([status, headers["content-type"]], [200, "text/html; charset=utf-8"]);
    assertMatch(headers["content-security-policy"]!, /^default-src 'none'; style-src 'self';/);
    for (const part of ["<h2>Traffic</h2>", "<h2>Largest flows</h2>", "<h2>Account</h2>", "<svg ", "samples received"]) {
      assert(body.includes(part), part);
    }
    assert(!/<script|\son\w+=|style=|https?:/i.test(body));
    const style = await get(port, "/style.css");
    assertEquals([style.status, style.headers["content-type"]], [200, "text/css; charset=utf-8"]);
    assertEquals([(await get(port, "/healthz")).body, (await get(port, "/healthz?x")).status], ["ok\n", 200]);
    assertEquals([(await get(port, "/metric")).status, (await get(port, "/../metrics")).status], [404, 404]);
    assertEquals((await ask(port, "POST /metrics HTTP/1.1", "Host: localhost", "Content-Length: 0")).status, 405);
  });
});

test("the page and the metrics tell what the kernel discards, whenever they are asked, if that is known", async () => {
  const source = { read: () => undefined, end: () => {}, close: () => Promise.resolve(), stats: () => new BatchesSource([]).stats() };
  let reported: number | undefined;
  const metrics = await metricsTo(0, {
    source,
    discards: () => reported === undefined ? undefined : { reported, beyondLimit: 2345, lost: 6, notPackets: 7, malformed: 0 },
  });
  try {
    for (const path of ["/", "/metrics"]) assert(!/discard/i.test((await get(port(metrics), path)).body));
    for (reported of [1, 1234]) {
      // A page that was made a moment ago is not made again.
      await until(`${reported} are on the page`, async () => {
        const { body } = await get(port(metrics), "/");
        return body.includes(`<tr><td>packets reported to collectors</td><td class="number">${reported!.toLocaleString("en")}</td></tr>`);
      });
      await until(`${reported} are in the metrics`, async () => {
        const { body } = await get(port(metrics), "/metrics");
        return valuesOf(body, "psample_reported_discards_total")[""] === reported;
      });
    }
    const { body } = await get(port(metrics), "/");
    assertMatch(body, /<h2>Discarded by the kernel<\/h2>[^]*>2,345<[^]*<span class="bad">6<\/span>[^]*>7<[^]*>0<\/td>/);
  } finally {
    metrics.abort();
  }
});

test("names of devices and flows cannot break out of the page", async () => {
  const source = { read: () => undefined, end: () => {}, close: () => Promise.resolve(), stats: () => new BatchesSource([]).stats() };
  const metrics = await metricsTo(0, {
    source,
    sinks: [
      { name: "<b>&", written: 1, skipped: 0 },
      { name: "OTLP", written: 1, skipped: 0, reports: { sent: 1234, failed: 5, skipped: 0, rejectedPoints: 0 } },
    ],
  });
  metrics.take(madeBatch([{}, { device: 2, oneIn: 10 }], ["<script>", '"&']));
  const { body } = await get(port(metrics), "/");
  metrics.abort();
  assert(body.includes("&lt;script&gt;") && body.includes("&quot;&amp;") && body.includes("&lt;b&gt;&amp;"));
  assert(!body.includes("<script") && !body.includes("<b>"));
  assert(body.includes('<td class="number">1,234</td><td class="number"><span class="bad">5</span></td><td class="number">0</td>'), body);
});

test("only addresses, localhost and allowed names are answered to", async () => {
  const hosts: [string | undefined, boolean][] = [
    ["127.0.0.1", true],
    ["192.0.2.1:9410", true],
    ["[::1]:9410", true],
    ["localhost:9410", true],
    ["LOCALHOST", true],
    ["localhost.", true],
    ["router.example.net:9410", true],
    ["Router.Example.NET.", true],
    [undefined, false],
    ["", false],
    ["evil.example", false],
    ["127.0.0.1.evil.example", false],
    ["localhost.evil.example:9410", false],
    ["[::1", false],
    ["[evil]", false],
    ["127.0.0.1:9410:1", false],
  ];
  for (const [host, allowed] of hosts) assertEquals(isAllowedHost(host, ["router.example.net"]), allowed, host);
  await serving(new Waiting(new BatchesSource([])), [], async (port) => {
    for (const path of ["/", "/metrics", "/healthz"]) {
      assertEquals((await ask(port, `GET ${path} HTTP/1.1`, "Host: evil.example")).status, 403, path);
      assertEquals((await ask(port, `GET ${path} HTTP/1.1`, `Host: localhost:${port}`)).status, 200, path);
    }
  });
});

test("configure() changes the flows that are shown and the names that are answered to, and what is counted goes on", async () => {
  const source = new Waiting(new BatchesSource([samples]));
  const metrics = await metricsTo(0, { source, hosts: ["old.example"] });
  const over = new AbortController();
  const pumping = pump(source, [], [metrics], { signal: over.signal });
  try {
    await until("everything is read", () => source.isEmpty);
    const statusFor = async (host: string): Promise<number> => (await ask(port(metrics), "GET /metrics HTTP/1.1", `Host: ${host}`)).status;
    assertEquals([await statusFor("old.example"), await statusFor("new.example")], [200, 403]);
    assertThrows(() => metrics.configure({ top: 0 }), ArgumentError);
    metrics.configure({ top: 3, by: "ipsource", hosts: ["new.example"] });
    assertEquals([await statusFor("old.example"), await statusFor("new.example")], [403, 200]);
    const counted = Object.values(valuesOf((await get(port(metrics), "/metrics")).body, "psample_samples_total"));
    assertEquals(counted.reduce((sum, count) => sum + count, 0), samples.length);
  } finally {
    over.abort();
    await pumping;
  }
});

test("where to listen is an address and a port, and loopback unless it is given", async () => {
  const right: [string, string, number][] = [
    ["9410", "127.0.0.1", 9410],
    ["0", "127.0.0.1", 0],
    ["0.0.0.0:9410", "0.0.0.0", 9410],
    ["[::1]:65535", "::1", 65535],
  ];
  for (const [text, address, port] of right) assertEquals(parseListenAddress(text), { address, port });
  const source = new BatchesSource([]);
  for (const text of ["", "a", "65536", "-1", "01", "::1", "[::1]", "[x]:1", "localhost:1", "1.2.3:4", "1.2.3.4:", ":1", "1.2.3.4:x"]) {
    await assertRejects(() => metricsTo(text, { source }), ArgumentError, "Cannot listen on", text);
  }
  await assertRejects(() => metricsTo(":9410", { source }), ArgumentError, "9410 alone is 127.0.0.1, [::]:9410 every address");
  await assertRejects(() => metricsTo("localhost:9410", { source }), ArgumentError, "names are not looked up: 9410 alone is 127.0.0.1");
  await assertRejects(() => metricsTo(0, { source, top: 0 }), ArgumentError, "0 largest flows");
  await assertRejects(() => metricsTo(0, { source, hosts: ["a b"] }), ArgumentError, "not the name of a host");
  const first = await metricsTo(0, { source });
  await assertRejects(() => metricsTo(port(first), { source }), SystemError, "address already in use");
  first.abort();
});

test("scraping every 10 ms, and scrapers that read nothing, lose no sample", { timeout: 120_000 }, async () => {
  const wanted = 40_000;
  const device = { name: "eth0", type: 1, address: undefined, mtu: 1500 };
  const pieces = Array.from(
    { length: wanted / 100 },
    (_, i) => Array.from({ length: 100 }, (_, j) => samples[(100 * i + j) % samples.length]!),
  );
  const batches = new BatchesSource(pieces, { devices: () => device });
  // A batch each 5 ms.
  const paced: Source = {
    read: async () => {
      await new Promise((resolve) => setTimeout(resolve, 5));
      return await batches.read();
    },
    end: () => batches.end(),
    close: () => batches.close(),
    stats: () => batches.stats(),
  };
  const source = new Waiting(paced);
  const metrics = await metricsToWith(await loadSys(), 0, { source, top: 10 }, { limits: { answerMs: 500 } });
  const stuck = await Promise.all(
    Array.from({ length: 8 }, () => connection(port(metrics), "GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n".repeat(20))),
  );
  for (const socket of stuck) socket.pause();
  const over = new AbortController();
  const pumping = pump(source, [], [metrics], { signal: over.signal });
  let scrapes = 0;
  let last = 0;
  while (!source.isEmpty) {
    const { status, body } = await get(port(metrics), "/metrics");
    if (status === 200) {
      const received = valuesOf(body, "psample_received_samples_total")[""]!;
      assert(received >= last, `${received} after ${last}`);
      last = received;
      scrapes++;
    }
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  for (const socket of stuck) socket.destroy();
  let received: Record<string, number> = {};
  await until(() => `all are received: ${JSON.stringify(received)}`, async () => {
    received = valuesOf((await get(port(metrics), "/metrics")).body, "psample_received_samples_total");
    return received[""] === wanted;
  });
  over.abort();
  const summary = await pumping;
  assertEquals([summary.samples, summary.sinks[0]!.written, summary.sinks[0]!.skipped], [wanted, wanted, 0]);
  assert(scrapes > 10, `${scrapes} scrapes`);
});

test("Prometheus scrapes it, and its queries give the numbers back", programs("prometheus"), async () => {
  const source = new Waiting(new BatchesSource([]));
  await serving(source, [], async () => {
    const metrics = await metricsTo(0, { source, version: "1.2.3", top: 3 });
    metrics.take(
      madeBatch([{ bytes: 100, tc: 1, latencyNs: 1500n }, { bytes: 1400 }, { device: 2, oneIn: 1000, nsid: 3 }], ['a"b\\c', "ä"]),
    );
    await inDirectory(async (path) => {
      writeFileSync(
        path("prometheus.yml"),
        `global: {scrape_interval: 2s, scrape_timeout: 2s}
scrape_configs:
  - {job_name: psample, static_configs: [{targets: ["127.0.0.1:${port(metrics)}"]}]}
`,
      );
      // A free port: the one that a server was given and has left.
      const free = await metricsTo(0, { source });
      const at = port(free);
      await free.close({ stats: source.stats(), period: undefined });
      const child = spawn("prometheus", [
        `--config.file=${path("prometheus.yml")}`,
        `--storage.tsdb.path=${path("data")}`,
        `--web.listen-address=127.0.0.1:${at}`,
      ], { stdio: ["ignore", "ignore", "pipe"] });
      let said = "";
      child.stderr.on("data", (bytes) => said += bytes);
      const ended = new Promise((resolve) => child.once("close", resolve));
      const query = async (text: string): Promise<[string, string][]> => {
        const { status, body } = await get(at, `/api/v1/query?query=${encodeURIComponent(text)}`);
        if (status !== 200) return [];
        const { data } = JSON.parse(body) as { data: { result: { metric: Record<string, string>; value: [number, string] }[] } };
        return data.result.map(({ metric, value }) => [metric.device ?? metric.version ?? "", value[1]]);
      };
      try {
        let up: unknown;
        for (let i = 0; i < 1000 && up !== "1" && child.exitCode === null; i++) {
          up = (await query("up").catch(() => []))[0]?.[1];
          await new Promise((resolve) => setTimeout(resolve, 20));
        }
        assertEquals(up, "1", said);
        assertEquals((await query("sum by (device) (psample_samples_total)")).sort(), [['a"b\\c', "2"], ["if2", "1"]]);
        assertEquals(await query('psample_samples_total{netns="3",direction="in",group="5"}'), [["if2", "1"]]);
        assertEquals(await query('sum(psample_estimated_bytes_total{netns=""})'), [["", "1500"]]);
        assertEquals(await query('psample_estimated_packets_total{netns="3"}'), [["if2", "1000"]]);
        assertEquals(await query('psample_latency_seconds_bucket{le="2e-06",tc="1"}'), [['a"b\\c', "1"]]);
        assertEquals(await query("psample_build_info"), [["1.2.3", "1"]]);
        const [, queries] = readFileSync(new URL("../../docs/metrics.md", import.meta.url), "utf8").split("\n## Queries\n");
        const documented = [...queries!.matchAll(/\| `(.*?)` +\|$|^```promql\n([^`]*)^```$/gm)].map(([, row, block]) => row ?? block!);
        assertEquals(documented.length, 6);
        for (const text of documented) {
          const { status, body } = await get(at, `/api/v1/query?query=${encodeURIComponent(text)}`);
          assertEquals(status, 200, `${text}: ${body}`);
        }
        const targets = JSON.parse((await get(at, "/api/v1/targets")).body) as { data: { activeTargets: { lastError: string }[] } };
        assertEquals(targets.data.activeTargets.map(({ lastError }) => lastError), [""]);
      } finally {
        child.kill("SIGKILL");
        await ended;
        metrics.abort();
      }
    })();
  });
});

test("after the pump nobody listens any more, and connections are closed", async () => {
  let at = 0;
  let idle: Promise<string> | undefined;
  await serving(new Waiting(new BatchesSource([])), [], async (port) => {
    at = port;
    // Bun knows of a connection when something has come on it.
    idle = untilClosed(await connection(port, "GET /"));
    await get(port, "/healthz");
  });
  assertEquals(await idle, "");
  await assertRejects(() => connection(at));
});
