/** What Prometheus' receiver of OTLP makes of reports. */
import { spawn, spawnSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import process from "node:process";
import { test } from "node:test";
import { assertEquals } from "@std/assert";
import { metricsTo, otlpTo } from "../../../mod.ts";
import { BatchesSource } from "../../support/batches.ts";
import { inDirectory } from "../../support/directory.ts";
import { get } from "../../support/http.ts";
import { programs } from "../../support/programs.ts";
import { until } from "../../support/waiting.ts";
import { madeBatch } from "../prometheus/made.ts";

/** The options that turn the receiver on: it came as a feature with 2.47, and has an option of its own in 3. */
const RECEIVER = { 2: "--enable-feature=otlp-write-receiver", 3: "--web.enable-otlp-receiver" };

/** A Prometheus that receives OTLP, with the option for that; or why there is none. */
function prometheus(): { readonly needed: ReturnType<typeof programs>; readonly option: string } {
  const needed = programs("prometheus");
  if (needed.skip) return { needed, option: "" };
  const { stdout = "", stderr = "" } = spawnSync("prometheus", ["--version"], { encoding: "utf8" });
  const [, major = "0", minor = "0"] = /version (\d+)\.(\d+)/.exec(`${stdout}${stderr}`) ?? [];
  if (Number(major) > 2 || (Number(major) === 2 && Number(minor) >= 47)) {
    return { needed, option: Number(major) > 2 ? RECEIVER[3] : RECEIVER[2] };
  }
  const skip = `skipping what needs prometheus 2.47: this one is ${major}.${minor}, which does not receive OTLP`;
  process.stderr.write(`test: ${skip}\n`);
  return { needed: { ...needed, skip }, option: "" };
}

const { needed, option } = prometheus();

test("Prometheus takes reports, and its queries give the numbers back", needed, async () => {
  const source = new BatchesSource([]);
  // A free port: the one that a server was given and has left.
  const free = await metricsTo(0, { source });
  const port = Number(new URL(free.url).port);
  await free.close({ stats: source.stats(), period: undefined });
  await inDirectory(async (path) => {
    writeFileSync(path("prometheus.yml"), "{}\n");
    const words = [
      `--config.file=${path("prometheus.yml")}`,
      `--storage.tsdb.path=${path("data")}`,
      `--web.listen-address=127.0.0.1:${port}`,
    ];
    const child = spawn("prometheus", [...words, option], { stdio: ["ignore", "ignore", "pipe"] });
    let said = "";
    child.stderr.on("data", (bytes) => said += bytes);
    const ended = new Promise((resolve) => child.once("close", resolve));
    const problems: Error[] = [];
    const url = `http://127.0.0.1:${port}/api/v1/otlp/v1/metrics`;
    const resource = { "service.instance.id": "here" };
    const sink = await otlpTo(url, { source, version: "1.2.3", resource, onProblem: (error) => problems.push(error) });
    const query = async (text: string): Promise<[string, string][]> => {
      const { status, body } = await get(port, `/api/v1/query?query=${encodeURIComponent(text)}`);
      if (status !== 200) return [];
      const { data } = JSON.parse(body) as { data: { result: { metric: Record<string, string>; value: [number, string] }[] } };
      return data.result.map(({ metric, value }) => [metric.network_interface_name ?? metric.job ?? "", value[1]]);
    };
    try {
      const isReady = async (): Promise<boolean> => (await get(port, "/-/ready").catch(() => undefined))?.status === 200;
      await until(() => `it is ready: ${said}`, async () => child.exitCode !== null || await isReady());
      sink.take(madeBatch([{ bytes: 100, latencyNs: 1500n }, { bytes: 1400 }, { device: 2, oneIn: 1000, nsid: 3 }], ['a"b\\c', "ä"]));
      assertEquals([await sink.report(), problems, sink.reports.rejectedPoints], [true, [], 0], said);
      assertEquals((await query("sum by (network_interface_name) (psample_samples_total)")).sort(), [['a"b\\c', "2"], ["if2", "1"]]);
      assertEquals(await query('psample_estimated_packets_total{psample_netns="3",network_io_direction="receive"}'), [["if2", "1000"]]);
      assertEquals(await query('sum by (job) (psample_estimated_io_bytes_total{psample_netns="",instance="here"})'), [["psample", "1500"]]);
      assertEquals(await query('psample_latency_seconds_bucket{le="2e-06"}'), [['a"b\\c', "1"]]);
    } finally {
      child.kill("SIGKILL");
      await ended;
      sink.abort();
    }
  })();
});
