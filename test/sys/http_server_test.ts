/** The HTTP server against clients that misbehave. */
import { test } from "node:test";
import { assert, assertEquals, assertRejects } from "@std/assert";
import { SystemError } from "../../src/errors.ts";
import { type HttpLimits, type HttpServer, sentence, serveHttp } from "../../src/sys/http_server.ts";
import { loadSys } from "../../src/sys/load.ts";
import { ask, connection, get, untilClosed } from "../support/http.ts";

const GET = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

async function withServer(
  limits: Partial<HttpLimits>,
  work: (server: HttpServer, failures: unknown[]) => Promise<void>,
  body = "hello",
): Promise<void> {
  const failures: unknown[] = [];
  const server = await serveHttp(await loadSys(), {
    address: "127.0.0.1",
    port: 0,
    answer: ({ path, host, accept }) => {
      if (path === "/bug") throw new TypeError("a bug");
      return path === "/" ? sentence(200, body) : sentence(404, JSON.stringify([path, host, accept]));
    },
    onFailure: (error) => failures.push(error),
    limits,
  });
  try {
    await work(server, failures);
  } finally {
    await server.close();
  }
}

test("GET and HEAD are answered, and nothing else", () =>
  withServer({}, async ({ port }, failures) => {
    const got = await get(port, "/");
    assertEquals([got.status, got.body, got.headers["content-length"], got.headers["x-content-type-options"]], [
      200,
      "hello\n",
      "6",
      "nosniff",
    ]);
    const head = await ask(port, "HEAD / HTTP/1.1", "Host: a");
    assertEquals([head.status, head.body, head.headers["content-length"]], [200, "", "6"]);
    for (const method of ["POST", "PUT", "DELETE", "OPTIONS", "PATCH"]) {
      const other = await ask(port, `${method} / HTTP/1.1`, "Host: a", "Content-Length: 0");
      assertEquals([other.status, other.headers.allow], [405, "GET, HEAD"], method);
    }
    const asked = await ask(port, "GET /a?b#c HTTP/1.1", "Host: x:1", "Accept: text/plain");
    assertEquals([asked.status, JSON.parse(asked.body)], [404, ["/a", "x:1", "text/plain"]]);
    assertEquals(failures, []);
  }));

test(
  "a client that sends nothing, or half a request, is cut off, and so is one that reads nothing",
  { timeout: 30_000 },
  () =>
    withServer({ requestMs: 1500, answerMs: 1500, idleMs: 1500 }, async ({ port }) => {
      const silent = await connection(port);
      const half = await connection(port, "GET / HTTP/1.1\r\nHost: a\r\nX");
      const idle = await connection(port, GET);
      const stuck = await connection(port, GET);
      stuck.pause();
      // Others do not notice.
      assertEquals((await get(port, "/nothing")).status, 404);
      await Promise.all([silent, half, idle].map(untilClosed));
      const seen = new Promise((resolve) => stuck.once("close", resolve));
      stuck.resume();
      await seen;
    }, "x".repeat(20_000_000)),
);

/** Asks again until the answer is the right one. */
async function askUntil(what: string, port: number, path: string, isRight: (status: number) => boolean): Promise<void> {
  const deadline = Date.now() + 20_000;
  for (;;) {
    const { status } = await get(port, path);
    if (isRight(status)) return;
    if (Date.now() > deadline) throw new Error(`Waited in vain until ${what}: the status is ${status}`);
  }
}

test(
  "connections are limited, and there is room again when they end",
  { timeout: 30_000 },
  () =>
    withServer({ connections: 3 }, async ({ port }) => {
      const sockets = await Promise.all([1, 2, 3].map(() => connection(port, "GET /")));
      // A connection that is cut off has no status.
      await askUntil("one more is cut off", port, "/", Number.isNaN);
      for (const socket of sockets) socket.destroy();
      await askUntil("there is room again", port, "/", (status) => status === 200);
    }),
);

test(
  "answers on their way are limited: more are told to come again",
  { timeout: 30_000 },
  () =>
    withServer({ answers: 1 }, async ({ port }) => {
      const stuck = await connection(port, GET);
      stuck.pause();
      await askUntil("there are too many", port, "/nothing", (status) => status === 503);
      stuck.destroy();
      await askUntil("there is room again", port, "/nothing", (status) => status === 404);
    }, "x".repeat(20_000_000)),
);

test("headers that are too long, and what is no HTTP, are refused", () =>
  withServer({}, async ({ port }, failures) => {
    const long = await ask(port, "GET / HTTP/1.1", "Host: a", `X: ${"x".repeat(20_000)}`).catch(() => undefined);
    assert(long === undefined || Number.isNaN(long.status) || long.status >= 400, `${long?.status}`);
    await untilClosed(await connection(port, "\x16\x03\x01\x00\x00\r\n\r\n"));
    assertEquals((await get(port, "/")).status, 200);
    assertEquals(failures, []);
  }));

test("an error in making an answer is passed on", () =>
  withServer({}, async ({ port }, failures) => {
    await untilClosed(await connection(port, "GET /bug HTTP/1.1\r\nHost: a\r\n\r\n"));
    assertEquals(failures.map((error) => `${error}`), ["TypeError: a bug"]);
  }));

test("where nothing can listen, the error says why and what helps", () =>
  withServer({}, async ({ port }) => {
    const serve = async (address: string, port: number): Promise<HttpServer> =>
      await serveHttp(await loadSys(), { address, port, answer: () => sentence(200, ""), onFailure: () => {} });
    const used = await assertRejects(
      () => serve("127.0.0.1", port),
      SystemError,
      `Cannot listen on 127.0.0.1:${port}: address already in use`,
    );
    assertEquals(used.code, "EADDRINUSE");
    const foreign = await assertRejects(() => serve("192.0.2.77", port), SystemError, "It is not an address of this machine");
    assertEquals(foreign.code, "EADDRNOTAVAIL");
  }));

test("closing cuts off everybody, and the port is free", async () => {
  let port = 0;
  let idle: Promise<string> | undefined;
  await withServer({}, async (server) => {
    port = server.port;
    idle = untilClosed(await connection(port, GET));
    await get(port, "/");
  });
  await idle;
  await assertRejects(() => connection(port));
});
