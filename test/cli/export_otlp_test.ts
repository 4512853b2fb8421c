/** `psample export --otlp`: what it sends is what the account and Prometheus say. */
import { spawn, spawnSync } from "node:child_process";
import process from "node:process";
import { test } from "node:test";
import { assert, assertEquals, assertMatch } from "@std/assert";
import { main } from "../../cli/main.ts";
import { needsProtobuf, pointsOf, readJson, readProtobuf } from "../export/otlp/reader.ts";
import { valuesOf } from "../export/prometheus/reader.ts";
import { COMMAND } from "../support/command.ts";
import { get } from "../support/http.ts";
import { cut, OtlpReceiver, silence, status } from "../support/otlp_receiver.ts";
import { programs } from "../support/programs.ts";
import { UdpReceiver } from "../support/udp_receiver.ts";
import { until } from "../support/waiting.ts";
import { fakeIo } from "./fake_io.ts";

const RECORDING = new URL("../golden/rate100.new.pcap", import.meta.url).pathname;
const SAMPLES = 18;
const IS_BUN = "Bun" in globalThis;
const sum = (values: Record<string, unknown>): number => Object.values(values).reduce<number>((sum, value) => sum + Number(value), 0);

test("the last report of a recording is its account, with what stands beside it", needsProtobuf, async () => {
  await using receiver = await OtlpReceiver.listen();
  await using other = await OtlpReceiver.listen();
  using collector = new UdpReceiver();
  const io = fakeIo();
  // Not at once: rates need a time.
  const words = ["--from", RECORDING, "--speed", "10", "--sflow", collector.target, "--agent", "192.0.2.1", "--top", "3"];
  assertEquals(await main(["export", ...words, "--otlp", receiver.url, "--otlp", other.url], io), 0, io.errors());
  assertMatch(
    io.errors(),
    new RegExp(`exporting to sFlow \\S+, OTLP ${receiver.url}/v1/metrics, OTLP ${other.url}/v1/metrics\n`),
  );
  assertMatch(io.errors(), new RegExp(`read ${SAMPLES} samples; .*OTLP ${receiver.url}/v1/metrics: 1 report sent; .*: 1 report sent\n$`));
  for (const { reports } of [receiver, other]) {
    assertEquals(reports.length, 1);
    const request = readProtobuf(reports[0]!.body);
    assertEquals(pointsOf(request, "psample.received_samples"), { "": SAMPLES });
    assertEquals(sum(pointsOf(request, "psample.samples")), SAMPLES);
    assertEquals(sum(pointsOf(request, "psample.estimated.packets")), 100 * SAMPLES);
    assertEquals(Object.keys(pointsOf(request, "psample.sink.written_samples")), [
      `sFlow ${collector.target}`,
      `OTLP ${receiver.url}/v1/metrics`,
      `OTLP ${other.url}/v1/metrics`,
    ]);
    const top = request.metrics.find(({ name }) => name === "psample.top.io_rate")!.points;
    assert(top.length > 0 && top.every(({ attributes }) => "source.address" in attributes));
  }
});

test("Prometheus and OTLP have the same numbers of the same samples", async () => {
  await using receiver = await OtlpReceiver.listen();
  const io = fakeIo();
  const words = ["--from", RECORDING, "--speed", "0.000001", "--prometheus", "0", "--otlp", receiver.url, "--otlp-encoding", "json"];
  const running = main(["export", ...words, "--interval", "1s"], io);
  await until("it listens", () => io.errors().includes("exporting to"));
  const [, port] = /Prometheus at http:\/\/127\.0\.0\.1:(\d+)\//.exec(io.errors())!;
  let text = "";
  await until("there is a sample", async () => {
    text = (await get(Number(port), "/metrics")).body;
    return text.includes("\npsample_samples_total{");
  });
  const before = receiver.reports.length;
  await receiver.has(before + 2);
  text = (await get(Number(port), "/metrics")).body;
  const request = readJson(receiver.reports.at(-1)!.body);
  for (
    const [name, metric] of [
      ["psample_samples_total", "psample.samples"],
      ["psample_estimated_packets_total", "psample.estimated.packets"],
      ["psample_estimated_bytes_total", "psample.estimated.io"],
      ["psample_estimated_bytes_high", "psample.estimated.io_high"],
      ["psample_received_samples_total", "psample.received_samples"],
    ] as const
  ) {
    assertEquals(Object.values(pointsOf(request, metric)), Object.values(valuesOf(text, name)), name);
  }
  assert(io.signal("SIGINT"));
  assertEquals(await running, 0, io.errors());
});

test("a receiver that fails is told once, and so is that it is well again; the account has the numbers", async () => {
  await using receiver = await OtlpReceiver.listen();
  receiver.otherwise = cut;
  const io = fakeIo();
  const words = ["--from", RECORDING, "--speed", "0.000001", "--otlp", receiver.url, "--otlp-encoding", "json", "--interval", "1s"];
  const running = main(["export", ...words, "--otlp-header", "Authorization=Bearer s3cr3t-t0ken"], io);
  await receiver.has(4);
  receiver.otherwise = status(200);
  await until("it is well again", () => io.errors().includes("accepts reports again"));
  receiver.otherwise = silence;
  assert(io.signal("SIGTERM"));
  assertEquals(await running, 0, io.errors());
  const errors = io.errors();
  assertEquals(errors.match(/Cannot send to .*ECONNRESET/g)?.length, 1, errors);
  assertEquals(errors.match(/accepts reports again/g)?.length, 1, errors);
  assertMatch(errors, /OTLP http:\/\/\S+: \d+ reports? sent, \d+ not delivered \(.*ETIMEDOUT/);
  assertEquals(receiver.reports[0]!.headers.authorization, "Bearer s3cr3t-t0ken");
  assert(!errors.includes("s3cr3t"), errors);
});

test("--check sends one report, and says whether it was accepted", async () => {
  await using receiver = await OtlpReceiver.listen();
  const io = fakeIo();
  assertEquals(await main(["export", "--otlp", receiver.url, "--check"], io), 0, io.errors());
  assertEquals(io.text(), `OTLP ${receiver.url}/v1/metrics: 1 report sent, and accepted\n`);
  assertEquals(receiver.reports.length, 1);
  receiver.otherwise = status(404);
  const other = fakeIo();
  assertEquals(await main(["export", "--otlp", receiver.url, "--check"], other), 1);
  assertMatch(other.errors(), /it answered 404\. The path of the URL may be wrong.*\n.*: 0 reports sent, 1 not delivered \(404\)\n$/);
});

test("options that make no sense are refused, without repeating what may be secret", async () => {
  const wrong: [string[], RegExp][] = [
    [["--otlp", "collector:4318"], /--otlp is "collector:4318": expected a URL such as http/],
    [["--otlp", "http://a", "--otlp", "http://a:4318/v1/metrics"], /--otlp was given twice for http:\/\/a:4318/],
    [["--otlp", "http://u:secret@a"], /credentials belong in a header/],
    [["--otlp", "http://a", "--interval", "10ms"], /--interval must be at least 1s/],
    [["--otlp", "http://a", "--otlp-header", "secret"], /--otlp-header is not NAME=VALUE: expected such as "Authorization=Bearer TOKEN"/],
    [["--otlp", "http://a", "--otlp-header", "A B=secret"], /--otlp-header is not NAME=VALUE/],
    [["--otlp", "http://a", "--otlp-header", "A=secret", "--otlp-header", "A=secret"], /--otlp-header was given twice for A/],
    [
      ["--otlp", "http://a", "--otlp-header", "A=secret", "--otlp-header", "a=secret"],
      /--otlp-header was given twice for a: A is the same\n/,
    ],
    [["--otlp", "http://a", "--otlp-resource", "a=1", "--otlp-resource", "A=1", "--otlp-header", "A"], /--otlp-header is not NAME=VALUE/],
    [["--otlp", "http://a", "--otlp-header", "A=sécret"], /Cannot send the header "A": its value has characters/],
    [["--otlp", "http://a", "--otlp-encoding", "grpc"], /--otlp-encoding is "grpc": expected protobuf or json/],
    [["--sflow", "192.0.2.9", "--interval", "10s"], /--interval requires --otlp/],
    [["--sflow", "192.0.2.9", "--otlp-header", "a=b"], /--otlp-header requires --otlp/],
    [["--sflow", "192.0.2.9", "--top", "3"], /--top requires --prometheus or --otlp/],
    [["--otlp", "http://a", "--prometheus-host", "b"], /--prometheus-host requires --prometheus/],
  ];
  for (const [words, message] of wrong) {
    const io = fakeIo();
    assertEquals(await main(["export", ...words, "--check"], io), 2, words.join(" "));
    assertMatch(io.errors(), message);
    assert(!/secret|sécret/.test(io.errors()), io.errors());
  }
});

test("without the permission of Deno the error says which flag it needs", {
  ...programs(),
  ...IS_BUN ? { skip: "Bun has no permissions" } : {},
}, () => {
  const [program, ...args] = COMMAND;
  const { status, stderr } = spawnSync(program!, [...args, "export", "--otlp", "http://127.0.0.1", "--check"], { encoding: "utf8" });
  assertEquals(status, 1, stderr);
  assertMatch(
    stderr,
    /Requires net access to "127\.0\.0\.1:4318", run again with the --allow-net flag\. .*deno run --allow-ffi --allow-net cli/,
  );
});

test("a command that is told to end sends the last numbers and ends", programs(), async () => {
  await using receiver = await OtlpReceiver.listen();
  const [program, ...args] = COMMAND;
  const words = IS_BUN ? args : args.map((word) => word === "--allow-ffi" ? "--allow-ffi --allow-net" : word).join(" ").split(" ");
  const sending = ["export", "--from", RECORDING, "--speed", "0.000001", "--otlp", receiver.url, "--otlp-encoding", "json"];
  const child = spawn(program!, [...words, ...sending], { stdio: ["ignore", "ignore", "pipe"] });
  let errors = "";
  child.stderr.on("data", (bytes) => errors += bytes);
  const ended = new Promise<number | null>((resolve) => child.once("close", resolve));
  await until("it runs", () => errors.includes("exporting to") || child.exitCode !== null);
  process.kill(child.pid!, "SIGTERM");
  assertEquals(await ended, 0, errors);
  assert(!errors.includes("Error"), errors);
  const last = readJson(receiver.reports.at(-1)!.body);
  const [, read] = /read (\d+) samples?/.exec(errors)!;
  assertEquals(sum(pointsOf(last, "psample.samples")), Number(read));
});
