/** The HTTP client against servers that misbehave, and by TLS. */
import { spawnSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { createServer as createSecureServer } from "node:https";
import type { AddressInfo } from "node:net";
import { test } from "node:test";
import { assert, assertEquals, assertMatch, assertRejects } from "@std/assert";
import { HttpError, LookupError, SystemError } from "../../src/errors.ts";
import { HttpClient } from "../../src/sys/http_client.ts";
import { loadSys } from "../../src/sys/load.ts";
import { inDirectory } from "../support/directory.ts";
import { cut, OtlpReceiver, silence, status } from "../support/otlp_receiver.ts";
import { programs } from "../support/programs.ts";

const BODY = new TextEncoder().encode("hello");
const PATIENCE_MS = 60_000;

async function clientOf(url: string, certificates?: string): Promise<HttpClient> {
  return await HttpClient.open(await loadSys(), { url: new URL(url), headers: { "X-A": "1" }, certificates });
}

const post = (client: HttpClient, timeoutMs = PATIENCE_MS): ReturnType<HttpClient["post"]> => client.post(BODY, { "X-B": "2" }, timeoutMs);

test("a body is posted with its headers, and the answer is read, on one connection", async () => {
  await using server = await OtlpReceiver.listen();
  const client = await clientOf(`${server.url}/a/b?c=d`);
  server.answers.push(status(503, { "Content-Type": "text/plain", "Retry-After": "7", Location: "/x" }, "no"));
  const { body, ...answer } = await post(client);
  assertEquals(answer, { status: 503, type: "text/plain", retryAfter: "7", location: "/x" });
  assertEquals(new TextDecoder().decode(body), "no");
  // A redirect is an answer like any other.
  server.answers.push(status(302, { Location: `${server.url}/elsewhere` }));
  assertEquals((await post(client)).status, 302);
  assertEquals((await post(client)).status, 200);
  assertEquals(
    server.reports.map(({ method, path, connection }) => [method, path, connection]),
    [0, 1, 2].map(() => ["POST", "/a/b?c=d", 0]),
  );
  const [{ headers, body: sent }] = server.reports as [(typeof server.reports)[number]];
  assertEquals([headers["x-a"], headers["x-b"], headers["content-length"], new TextDecoder().decode(sent)], ["1", "2", "5", "hello"]);
  client.close();
});

test("of a large body only the beginning is read", async () => {
  await using server = await OtlpReceiver.listen();
  const client = await clientOf(server.url);
  server.answers.push(status(200, {}, "x".repeat(10_000_000)));
  const { body } = await post(client);
  assertEquals(body.length, 65_536);
  // The next one takes a new connection.
  assertEquals((await post(client)).status, 200);
  client.close();
});

test("a connection that fails, or takes too long, is told by what it failed with", { timeout: 60_000 }, async () => {
  const server = await OtlpReceiver.listen();
  const { url } = server;
  const client = await clientOf(url);
  server.answers.push(cut, silence, (_, socket) => void socket.end("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc"));
  const codeOf = async (timeoutMs?: number): Promise<string> => (await assertRejects(() => post(client, timeoutMs), SystemError, url)).code;
  assertEquals([await codeOf(), await codeOf(100), await codeOf()], ["ECONNRESET", "ETIMEDOUT", "ECONNRESET"]);
  server.answers.push((_, socket) => void socket.end("no HTTP at all\r\n\r\n"));
  const notHttp = `Cannot send to ${url}: the server's answer is not HTTP. Is this its port for HTTP, or is https:`;
  await assertRejects(() => post(client), HttpError, notHttp);
  // What is left of a limit has many digits.
  server.answers.push(silence);
  const { message } = await assertRejects(() => post(client, 120.4567), SystemError);
  assertMatch(message, /No answer came within 0\.12 s$/);
  assertEquals((await post(client)).status, 200);
  client.close();
  await server[Symbol.asyncDispose]();
  const alone = await clientOf(url);
  assertEquals((await assertRejects(() => post(alone), SystemError, url)).code, "ECONNREFUSED");
  alone.close();
  const unknown = await clientOf("http://psample.invalid:4318");
  await assertRejects(() => post(unknown), LookupError, "psample.invalid");
  unknown.close();
});

test("a server that does not speak TLS is told as that", async () => {
  await using server = await OtlpReceiver.listen();
  const client = await clientOf(server.url.replace("http:", "https:"));
  const { message } = await assertRejects(() => post(client), HttpError);
  assertEquals(
    message,
    `Cannot send to ${
      server.url.replace("http:", "https:")
    }: the server does not speak TLS. Is this its port for HTTPS, or is ${server.url} meant`,
  );
  client.close();
});

test("a request can be cancelled at any moment, and the client goes on", async () => {
  await using server = await OtlpReceiver.listen();
  const client = await clientOf(server.url);
  client.cancel();
  for (let i = 0; i < 4; i++) {
    server.answers.push(silence);
    const count = server.reports.length;
    const pending = assertRejects(() => post(client), HttpError, "cancelled");
    await server.has(count + 1);
    client.cancel();
    await pending;
    assertEquals((await post(client)).status, 200);
  }
  const early = assertRejects(() => post(client), HttpError, "cancelled");
  client.cancel();
  await early;
  assertEquals((await post(client)).status, 200);
  server.otherwise = silence;
  const last = assertRejects(() => post(client), HttpError, "cancelled");
  client.close();
  await last;
});

test("by TLS a server must have a certificate of an authority that is trusted, for its name", programs("openssl"), async () => {
  await inDirectory(async (path) => {
    const openssl = (...words: string[]): void => {
      const { status, stderr } = spawnSync("openssl", words, { encoding: "utf8" });
      assertEquals(status, 0, stderr);
    };
    const key = (
      name: string,
    ): string[] => ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", path(`${name}.key`)];
    openssl("req", "-x509", ...key("authority"), "-out", path("authority.pem"), "-days", "2", "-subj", "/CN=authority");
    openssl("req", ...key("server"), "-out", path("server.csr"), "-subj", "/CN=server");
    writeFileSync(path("names"), "subjectAltName=DNS:localhost\n");
    const signed = [
      "-CA",
      path("authority.pem"),
      "-CAkey",
      path("authority.key"),
      "-CAcreateserial",
      "-extfile",
      path("names"),
      "-days",
      "2",
    ];
    openssl("x509", "-req", "-in", path("server.csr"), "-out", path("server.pem"), ...signed);
    const server = createSecureServer(
      { key: readFileSync(path("server.key")), cert: readFileSync(path("server.pem")) },
      (request, response) => void request.resume().on("end", () => response.end("ok")),
    );
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const { port } = server.address() as AddressInfo;
    const authority = readFileSync(path("authority.pem"), "utf8");
    try {
      const trusting = await clientOf(`https://localhost:${port}`, authority);
      assertEquals([(await post(trusting)).status, (await post(trusting)).status], [200, 200]);
      trusting.close();
      const stranger = await clientOf(`https://localhost:${port}`);
      const { message } = await assertRejects(() => post(stranger), HttpError);
      assertMatch(message, /certificate.*NODE_EXTRA_CA_CERTS=FILE/);
      stranger.close();
      const misnamed = await clientOf(`https://127.0.0.1:${port}`, authority);
      const other = await assertRejects(() => post(misnamed), HttpError);
      assert(!other.message.includes("NODE_EXTRA"), other.message);
      misnamed.close();
    } finally {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    }
  })();
});
