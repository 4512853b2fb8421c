/** Metrics as they are sent by OTLP, to receivers that behave well, and to others. */
import { hostname } from "node:os";
import { test } from "node:test";
import { assert, assertEquals, assertMatch, assertRejects, assertThrows } from "@std/assert";
import { ArgumentError, HttpError, LookupError, metricsTo, type OtlpSink, type OtlpToOptions, pump, SystemError } from "../../mod.ts";
import { retryAfterMs } from "../../src/sink/otlp_delivery.ts";
import { otlpToWith } from "../../src/sink/otlp.ts";
import { otlpUrlText, parseOtlpUrl } from "../../src/sink/otlp_url.ts";
import type { Source } from "../../src/stream/source.ts";
import { loadSys } from "../../src/sys/load.ts";
import { needsProtobuf, pointsOf, protobufOf, readJson, readProtobuf } from "../export/otlp/reader.ts";
import { madeBatch } from "../export/prometheus/made.ts";
import { recordedSamples } from "../psample/recordings.ts";
import { BatchesSource } from "../support/batches.ts";
import { cut, OtlpReceiver, silence, status } from "../support/otlp_receiver.ts";
import { until } from "../support/waiting.ts";

const NEVER_MS = 0x7fff_ffff;
const nothing: Pick<Source, "stats"> = { stats: () => new BatchesSource([]).stats() };
const closing = { stats: nothing.stats(), period: undefined };

interface Tried {
  readonly sink: OtlpSink;
  readonly problems: Error[];
  recoveries: number;
}

/** A sink whose problems are noted. By default it sends only when it is told to, and tries again at once. */
async function sending(
  url: string,
  options: Partial<OtlpToOptions> = {},
  internals: Parameters<typeof otlpToWith>[3] = {},
): Promise<Tried> {
  const problems: Error[] = [];
  const tried = {
    problems,
    recoveries: 0,
    sink: await otlpToWith(await loadSys(), url, {
      source: nothing,
      intervalMs: NEVER_MS,
      encoding: "json",
      onProblem: (error) => problems.push(error),
      onRecovery: () => tried.recoveries++,
      ...options,
    }, { backoffMs: 1, ...internals }),
  };
  return tried;
}

/** A sink whose first report is due at once. */
const dueNow = (url: string, options: Partial<OtlpToOptions> = {}, internals: Parameters<typeof otlpToWith>[3] = {}): Promise<Tried> =>
  sending(url, options, { random: () => 0, ...internals });

test("a report has the account and the traffic of a pump, and goes where it should", async () => {
  await using receiver = await OtlpReceiver.listen();
  const samples = recordedSamples();
  const source = new BatchesSource([samples]);
  const internals = { lastMs: 60_000 };
  const { sink, problems } = await sending(receiver.url, {
    source,
    version: "1.2.3",
    headers: { Authorization: "Bearer secret", "X-Scope": "a" },
    resource: { "service.instance.id": "here", "deployment.environment.name": "lab" },
  }, internals);
  assertEquals(sink.name, `OTLP ${receiver.url}/v1/metrics`);
  const { sinks: [summary] } = await pump(source, [], [sink]);
  assertEquals([summary!.written, summary!.skipped, problems], [samples.length, 0, []]);
  assertEquals(receiver.reports.length, 1);
  const [{ method, path, headers, body }] = receiver.reports as [(typeof receiver.reports)[number]];
  assertEquals([method, path], ["POST", "/v1/metrics"]);
  assertEquals([headers["content-type"], headers["content-encoding"], headers.authorization, headers["x-scope"], headers["user-agent"]], [
    "application/json",
    "gzip",
    "Bearer secret",
    "a",
    "psample/1.2.3",
  ]);
  const request = readJson(body);
  const { "service.instance.id": id, ...resource } = request.resource;
  assertEquals(id, "here");
  assertEquals(resource, {
    "service.name": "psample",
    "service.version": "1.2.3",
    "host.name": hostname(),
    "deployment.environment.name": "lab",
  });
  assertEquals(pointsOf(request, "psample.received_samples"), { "": samples.length });
  assertEquals(pointsOf(request, "psample.lost_samples"), { "": source.stats().lost });
  const counted = Object.values(pointsOf(request, "psample.samples")).reduce<number>((sum, count) => sum + Number(count), 0);
  assertEquals(counted + Number(pointsOf(request, "psample.unusable_samples")[""]), samples.length);
});

test("protobuf is the default, and the instance is the same for all receivers of a process", needsProtobuf, async () => {
  await using receiver = await OtlpReceiver.listen();
  for (let i = 0; i < 2; i++) {
    const { sink } = await sending(`${receiver.url}/opentelemetry/v1/metrics?key=1`, { encoding: undefined });
    assertEquals(sink.name, `OTLP ${receiver.url}/opentelemetry/v1/metrics`);
    assertEquals(await sink.report(), true);
    sink.abort();
  }
  assertEquals(receiver.reports.map(({ path, headers }) => [path, headers["content-type"]]), [
    ["/opentelemetry/v1/metrics?key=1", "application/x-protobuf"],
    ["/opentelemetry/v1/metrics?key=1", "application/x-protobuf"],
  ]);
  const ids = receiver.reports.map(({ body }) => readProtobuf(body).resource["service.instance.id"]);
  assertEquals(ids.map((id) => /^[0-9a-f-]{36}$/.test(`${id}`)), [true, true]);
  assertEquals(ids[0], ids[1]);
});

test("several sinks of a pump share their numbers, and each sample is counted once; if one ends, the others go on", async () => {
  await using receiver = await OtlpReceiver.listen();
  const metrics = await metricsTo(0, { source: nothing });
  const { sink: first } = await sending(receiver.url, { numbers: metrics.numbers });
  const { sink: second } = await sending(receiver.url, { numbers: first.numbers });
  const counted = async (sink: OtlpSink): Promise<unknown> => {
    assertEquals(await sink.report(), true);
    return pointsOf(readJson(receiver.reports.at(-1)!.body), "psample.samples");
  };
  for (const sink of [metrics, first, second]) sink.take(madeBatch([{}, {}]));
  assertEquals(await counted(first), { "eth0 receive 5": 2 });
  assertEquals(await counted(second), { "eth0 receive 5": 2 });
  metrics.abort();
  for (const sink of [first, second]) sink.take(madeBatch([{}]));
  first.abort();
  second.take(madeBatch([{}]));
  assertEquals(await counted(second), { "eth0 receive 5": 4 });
  assertEquals([second.written, second.skipped], [4, 0]);
  second.abort();
});

test("numbers are counted on if a sink that shares them could not be opened", async () => {
  await using receiver = await OtlpReceiver.listen();
  const { sink: first } = await sending(receiver.url, {});
  const { numbers } = first;
  const metrics = await metricsTo(0, { source: nothing });
  await assertRejects(() => metricsTo(new URL(metrics.url).host, { numbers }), SystemError, "address already in use");
  const { sink: second } = await sending(receiver.url, { numbers });
  for (const sink of [first, second]) sink.take(madeBatch([{}]));
  first.abort();
  second.take(madeBatch([{}]));
  assertEquals(await second.report(), true);
  assertEquals(pointsOf(readJson(receiver.reports.at(-1)!.body), "psample.samples"), { "eth0 receive 5": 2 });
  second.abort();
  metrics.abort();
});

test("reports come at the interval on one connection, from a random part of it on", async () => {
  await using receiver = await OtlpReceiver.listen();
  const { sink } = await dueNow(receiver.url, { intervalMs: 30 });
  await receiver.has(5);
  sink.abort();
  assertEquals(new Set(receiver.reports.slice(0, 5).map(({ connection }) => connection)).size, 1);
  const times = receiver.reports.map(({ body }) => readJson(body).metrics[0]!.points[0]!.timeNs);
  assertEquals(times, times.toSorted());
  await using other = await OtlpReceiver.listen();
  const { sink: late } = await sending(other.url, { intervalMs: NEVER_MS }, { random: () => 0.999 });
  assertEquals(other.reports.length, 0);
  late.abort();
});

test("a renewed sink takes a new connection, for which the name is looked up again", async () => {
  await using receiver = await OtlpReceiver.listen();
  const { sink } = await sending(receiver.url);
  assertEquals([await sink.report(), await sink.report()], [true, true]);
  sink.renew();
  assertEquals(await sink.report(), true);
  const [first, second, third] = receiver.reports.map(({ connection }) => connection);
  assertEquals([first === second, second === third], [true, false]);
  sink.abort();
});

test("what may be tried again is tried again, until it is accepted, and the trouble is told once", async () => {
  for (const answer of [status(429), status(502), status(503), status(504), cut]) {
    await using receiver = await OtlpReceiver.listen();
    receiver.answers.push(answer, answer, answer);
    const tried = await dueNow(receiver.url);
    await until("it is delivered", () => tried.sink.reports.sent === 1);
    assertEquals(receiver.reports.length, 4);
    assertEquals([tried.problems.length, tried.recoveries, tried.sink.reports.failed], [1, 1, 0]);
    // The same numbers of the same moment.
    assertEquals(new Set(receiver.reports.map(({ body }) => new TextDecoder().decode(body))).size, 1);
    tried.sink.abort();
  }
});

test("a connection that was closed while it was idle is no trouble", async () => {
  await using receiver = await OtlpReceiver.listen();
  receiver.answers.push(cut);
  const tried = await dueNow(receiver.url, {}, { backoffMs: 60_000 });
  await until("it is delivered", () => tried.sink.reports.sent === 1);
  assertEquals([receiver.reports.length, tried.problems, tried.recoveries], [2, [], 0]);
  tried.sink.abort();
});

test("Retry-After is waited for, and reports that are due meanwhile are skipped and counted", async () => {
  await using receiver = await OtlpReceiver.listen();
  receiver.answers.push(status(503, { "Retry-After": "1" }));
  const tried = await dueNow(receiver.url, { intervalMs: 100 });
  await receiver.has(2);
  const [first, second] = receiver.reports;
  assert(second!.atMs - first!.atMs >= 990, `${second!.atMs - first!.atMs} ms`);
  await until("it is delivered", () => tried.sink.reports.sent > 0);
  const { failed, failedBy, skipped } = tried.sink.reports;
  assertEquals([failed, failedBy], [1, { 503: 1 }]);
  assert(skipped > 0);
  tried.sink.abort();
  await using other = await OtlpReceiver.listen();
  other.answers.push(status(429, { "Retry-After": "1" }));
  const within = await dueNow(other.url);
  await until("it is delivered", () => within.sink.reports.sent === 1);
  assert(other.reports[1]!.atMs - other.reports[0]!.atMs >= 990);
  within.sink.abort();
});

test("Retry-After is a number of seconds or a date", () => {
  const now = Date.parse("2026-01-02T03:04:05Z");
  assertEquals(retryAfterMs(undefined, now), undefined);
  assertEquals(retryAfterMs("0", now), 0);
  assertEquals(retryAfterMs(" 120 ", now), 120_000);
  assertEquals(retryAfterMs("Fri, 02 Jan 2026 03:04:15 GMT", now), 10_000);
  assertEquals(retryAfterMs("Fri, 02 Jan 2026 03:04:00 GMT", now), 0);
  assertEquals(retryAfterMs("soon", now), undefined);
});

test("what is refused for good is not tried again, and the error says why and what helps", async () => {
  const json = { "Content-Type": "application/json" };
  const refusals: [Parameters<typeof status>, RegExp][] = [
    [[400, json, '{"message":"bad data"}'], /: it answered 400: bad data$/],
    [[401], /: it answered 401\. It requires a header with credentials/],
    [
      [404, { "Content-Type": "text/plain" }, "404 page not found"],
      /: it answered 404: 404 page not found\. The path of the URL may be wrong/,
    ],
    [[408], /: it answered 408$/],
    [[413], /: it answered 413\. The receiver does not accept reports of this size$/],
    [[500, { "Content-Type": "text/html" }, "<h1>no</h1>"], /: it answered 500$/],
    [
      [302, { Location: "https://elsewhere.example/v1/metrics?key=1" }],
      /it answered 302 to https:\/\/elsewhere\.example\/v1\/metrics\. Redirects are not/,
    ],
  ];
  for (const [answer, message] of refusals) {
    await using receiver = await OtlpReceiver.listen();
    receiver.otherwise = status(...answer);
    const tried = await dueNow(receiver.url);
    await until("it is given up", () => tried.sink.reports.failed === 1);
    assertEquals([await tried.sink.report(), receiver.reports.length, tried.problems.length], [false, 2, 1]);
    const problem = tried.problems[0] as HttpError;
    assert(problem instanceof HttpError);
    assertEquals([problem.status, tried.sink.reports.failedBy], [answer[0], { [answer[0]]: 2 }]);
    assertMatch(problem.message, message);
    receiver.otherwise = status(200);
    assertEquals([await tried.sink.report(), tried.recoveries], [true, 1]);
    tried.sink.abort();
  }
});

test("what is only partly accepted is final, and told", needsProtobuf, async () => {
  await using receiver = await OtlpReceiver.listen();
  const tried = await sending(receiver.url, { encoding: "protobuf" });
  const partial = protobufOf("ExportMetricsServiceResponse", {
    partialSuccess: { rejectedDataPoints: 7, errorMessage: "too many labels" },
  });
  receiver.otherwise = status(200, { "Content-Type": "application/x-protobuf" }, partial);
  tried.sink.take(madeBatch([{}]));
  assertEquals([await tried.sink.report(), await tried.sink.report()], [true, true]);
  assertEquals([receiver.reports.length, tried.sink.written], [2, 1]);
  assertEquals(tried.problems.map(({ message }) => message), [`${tried.sink.name} rejects 7 of the points: too many labels`]);
  assertEquals(tried.sink.reports, { sent: 2, failed: 0, failedBy: {}, skipped: 0, rejectedPoints: 14 });
  receiver.otherwise = status(200, { "Content-Type": "application/x-protobuf" });
  assertEquals([await tried.sink.report(), tried.recoveries], [true, 1]);
  tried.sink.abort();
});

test("secrets are in no message, even if the receiver repeats them", async () => {
  await using receiver = await OtlpReceiver.listen();
  receiver.otherwise = status(401, { "Content-Type": "text/plain" }, "unknown token s3cr3t-t0ken of Bearer s3cr3t-t0ken");
  const { sink, problems } = await sending(receiver.url, { headers: { Authorization: "Bearer s3cr3t-t0ken" } });
  assertEquals(await sink.report(), false);
  assertMatch(problems[0]!.message, /unknown token \.\.\. of \.\.\./);
  assert(!JSON.stringify([sink.name, sink.reports, problems[0]!.message]).includes("s3cr3t"));
  sink.abort();
  for (const headers of [{ "a b": "secret" }, { A: "secret\r\nB: c" }, { "Content-Length": "secret" }, { A: "sécret" }]) {
    const { message } = await assertRejects(() => sending("http://127.0.0.1", { headers }), ArgumentError, "Cannot send the header");
    assert(!message.includes("secret"), message);
  }
});

test("a secret that is longer than what is shown of an answer is not shown in part, nor is the key of a URL", async () => {
  await using receiver = await OtlpReceiver.listen();
  const token = "0123456789".repeat(30);
  const answers = [
    status(401, { "Content-Type": "text/plain" }, `unknown token ${token}`),
    status(404, { "Content-Type": "text/plain" }, "no such path: /v1/metrics?key=k%2Dey-0123456&0123-alone"),
    status(302, { Location: `/login/${token}` }),
  ];
  for (const answer of answers) {
    receiver.answers.push(answer);
    const headers = { Authorization: `Bearer ${token}` };
    const { sink, problems } = await sending(`${receiver.url}/v1/metrics?key=k%2Dey-0123456&0123-alone`, { headers });
    assertEquals(await sink.report(), false);
    assert(!problems[0]!.message.replace(receiver.url, "").includes("0123"), problems[0]!.message);
    sink.abort();
  }
});

test("a last report that is not waited for counts as not delivered, with the reason as far as it is known", async () => {
  await using receiver = await OtlpReceiver.listen();
  for (const [answer, code, problems] of [[silence, "ECANCELED", 0], [cut, "ECONNRESET", 1], [status(503), "503", 1]] as const) {
    receiver.otherwise = answer;
    const tried = await sending(receiver.url, {}, { backoffMs: 60_000, lastMs: 1_000_000, timeoutMs: 1_000_000 });
    tried.sink.take(madeBatch([{}, {}]));
    const before = receiver.reports.length;
    const closed = tried.sink.close(closing);
    // A connection that is closed is tried again at once, once.
    await until("it is asked", () => receiver.reports.length >= before + (answer === cut ? 2 : 1));
    if (problems > 0) await new Promise((resolve) => setTimeout(resolve, 20));
    tried.sink.abort();
    const counts = { sent: 0, failed: 1, failedBy: { [code]: 1 }, skipped: 0, rejectedPoints: 0 };
    assertEquals([tried.sink.reports, tried.sink.skipped, tried.problems.length], [counts, 2, problems]);
    await closed;
    tried.sink.abort();
    assertEquals([tried.sink.reports, tried.sink.skipped], [counts, 2]);
  }
});

test("a receiver that wants to be asked again at once is not asked again and again", async () => {
  await using receiver = await OtlpReceiver.listen();
  receiver.otherwise = status(503, { "Retry-After": "0" });
  // Without a pause there would be time for many attempts, with it for one.
  const tried = await dueNow(receiver.url, { intervalMs: 20_000 }, { backoffMs: 60_000 });
  await until("it is given up", () => tried.sink.reports.failed === 1);
  assertEquals(receiver.reports.length, 1);
  tried.sink.abort();
});

test("a receiver that does not answer, sends without end, or speaks no HTTP, holds up nothing", { timeout: 60_000 }, async () => {
  await using receiver = await OtlpReceiver.listen();
  const endless = (
    response: { write(text: string): boolean; on(event: string, call: () => void): void },
    socket: { destroyed: boolean },
  ): void => {
    const more = (): void => {
      while (!socket.destroyed && response.write("x".repeat(65_536)));
    };
    response.on("drain", more);
    more();
  };
  receiver.answers.push(silence);
  // Enough for those that do answer, on a busy machine.
  const tried = await sending(receiver.url, {}, { timeoutMs: 2000 });
  assertEquals(await tried.sink.report(), false);
  assert(tried.problems[0] instanceof SystemError && tried.problems[0].code === "ETIMEDOUT", `${tried.problems[0]}`);
  tried.sink.abort();
  const { sink } = await sending(receiver.url, {}, { timeoutMs: 60_000 });
  receiver.answers.push((response, socket) => endless(response.writeHead(200), socket));
  assertEquals(await sink.report(), true);
  receiver.answers.push((_, socket) => void socket.end("junk\r\n\r\n"));
  assertEquals(await sink.report(), false);
  assertEquals(await sink.report(), true);
  assertEquals(sink.reports.sent, 2);
  sink.abort();
});

test("reports that are due while one is being sent are skipped and counted, and samples are taken all the same", async () => {
  await using receiver = await OtlpReceiver.listen();
  receiver.otherwise = silence;
  const { sink } = await dueNow(receiver.url, { intervalMs: 5 }, { timeoutMs: 60_000 });
  await until("several are skipped", () => {
    sink.take(madeBatch([{}]));
    return sink.reports.skipped > 5;
  });
  await receiver.has(1);
  assertEquals([receiver.reports.length, sink.full(), sink.written], [1, undefined, 0]);
  sink.abort();
});

test("a receiver that is not there is told, and found when it is back", async () => {
  let port: number;
  {
    await using receiver = await OtlpReceiver.listen();
    port = receiver.port;
  }
  const tried = await dueNow(`http://127.0.0.1:${port}`, { intervalMs: 20 });
  await until("it is given up", () => tried.sink.reports.failed > 0 && tried.problems.length > 0);
  assert(tried.problems[0] instanceof SystemError && tried.problems[0].code === "ECONNREFUSED", `${tried.problems[0]}`);
  await using receiver = await OtlpReceiver.listen(port);
  await until("it is back", () => tried.recoveries === 1);
  assertEquals([tried.problems.length, receiver.reports.length > 0], [1, true]);
  tried.sink.abort();
  const unknown = await sending("http://psample.invalid");
  assertEquals(await unknown.sink.report(), false);
  assert(unknown.problems[0] instanceof LookupError, `${unknown.problems[0]}`);
  unknown.sink.abort();
});

test("the last numbers are sent when the pump ends, instead of older ones on their way, and within a second", async () => {
  await using receiver = await OtlpReceiver.listen();
  receiver.answers.push(silence);
  const { sink } = await dueNow(receiver.url, {}, { lastMs: 60_000 });
  sink.take(madeBatch([{}]));
  await receiver.has(1);
  sink.take(madeBatch([{}]));
  await sink.close(closing);
  assertEquals(pointsOf(readJson(receiver.reports[1]!.body), "psample.samples"), { "eth0 receive 5": 2 });
  assertEquals([sink.written, sink.skipped, sink.reports.sent, sink.reports.failed], [2, 0, 1, 0]);
  receiver.otherwise = silence;
  const stuck = await dueNow(receiver.url);
  stuck.sink.take(madeBatch([{}, {}, {}]));
  const startMs = performance.now();
  await stuck.sink.close(closing);
  const tookMs = performance.now() - startMs;
  assert(tookMs < 5000, `${tookMs} ms`);
  assertEquals([stuck.sink.written, stuck.sink.skipped, stuck.sink.reports.failedBy], [0, 3, { ETIMEDOUT: 1 }]);
});

test("a sink that is aborted while it is closed ends at once, and tells nothing of it", async () => {
  await using receiver = await OtlpReceiver.listen();
  receiver.otherwise = silence;
  const tried = await sending(receiver.url, {}, { lastMs: 60_000 });
  const closed = tried.sink.close(closing);
  await receiver.has(1);
  tried.sink.abort();
  await closed;
  assertEquals([tried.problems, tried.sink.reports.sent, tried.sink.reports.failed], [[], 0, 0]);
});

test("a report that is too large for one request comes in several", async () => {
  await using receiver = await OtlpReceiver.listen();
  const { sink } = await sending(receiver.url, {}, { maxBytes: 1000 });
  sink.take(madeBatch([{}]));
  assertEquals(await sink.report(), true);
  assert(receiver.reports.length > 1);
  assert(receiver.reports.every(({ body }) => body.length <= 1000));
  assertEquals(sink.reports.sent, 1);
  sink.abort();
});

test("where to send to is a URL of http or https", () => {
  const right: [string, string][] = [
    ["http://192.0.2.9", "http://192.0.2.9:4318/v1/metrics"],
    ["http://192.0.2.9/", "http://192.0.2.9:4318/v1/metrics"],
    ["http://192.0.2.9:80", "http://192.0.2.9/v1/metrics"],
    ["HTTP://[2001:db8::9]", "http://[2001:db8::9]:4318/v1/metrics"],
    ["http://[2001:db8::9]:9090/api/v1/otlp/v1/metrics", "http://[2001:db8::9]:9090/api/v1/otlp/v1/metrics"],
    ["https://otlp.example.net", "https://otlp.example.net/v1/metrics"],
    ["https://otlp.example.net:4318/x?key=1", "https://otlp.example.net:4318/x"],
  ];
  for (const [text, url] of right) assertEquals(otlpUrlText(parseOtlpUrl(text)), url, text);
  const wrong = [
    "",
    "192.0.2.9",
    "192.0.2.9:4318",
    "localhost:4318",
    "ftp://a",
    "http://",
    "http:///a",
    "http://a:",
    "http://a:0",
    "http://a:70000",
  ];
  for (
    const text of [
      ...wrong,
      "http://a#b",
      "http://::1",
      "http://a b",
      "grpc://a:4317",
      "http://u:secret@a",
      "http://u:secret@a:x?key=secret",
    ]
  ) {
    const { message } = assertThrows(() => parseOtlpUrl(text), ArgumentError);
    assertMatch(message, /^Cannot send by OTLP to ".*": /, text);
    assert(!message.includes("secret"), message);
  }
});

test("intervals that no timer takes are refused", async () => {
  for (const intervalMs of [0, -1, NaN, 2 ** 31]) {
    await assertRejects(() => sending("http://127.0.0.1", { intervalMs }), ArgumentError, "Cannot send every");
  }
});
