/**
 * A small HTTP server, by the runtime's `node:http`: the only file that answers requests. It takes GET and HEAD, has an answer ready at
 * once, and gives nobody more time, connections or memory than an answer needs.
 */
import type { IncomingMessage, Server, ServerResponse } from "node:http";
import type { Socket } from "node:net";
import { SystemError } from "../errors.ts";
import { addressAndPort } from "../wire/text.ts";
import { EACCES, EADDRINUSE, EADDRNOTAVAIL, type Sys } from "./sys.ts";

/** A request. */
export interface HttpRequest {
  /** The path, without the query. */
  readonly path: string;
  /** The header `Host`; `undefined` if there is none. */
  readonly host: string | undefined;
  /** The header `Accept`; `undefined` if there is none. */
  readonly accept: string | undefined;
}

/** An answer. It may be given again: its body is not copied. */
export interface HttpAnswer {
  readonly status: number;
  readonly type: string;
  readonly body: Uint8Array;
  /** More headers. */
  readonly headers?: Readonly<Record<string, string>> | undefined;
}

/** What limits others; all of it can be shorter in tests. */
export interface HttpLimits {
  /** How long a connection may take until its request is complete. */
  readonly requestMs: number;
  /** How long an answer may take to be read: longer than a scraper waits. */
  readonly answerMs: number;
  /** How long a connection may be idle. */
  readonly idleMs: number;
  readonly connections: number;
  /** How many answers may be on their way: they take memory. */
  readonly answers: number;
}

const LIMITS: HttpLimits = { requestMs: 5000, answerMs: 15_000, idleMs: 5000, connections: 64, answers: 16 };
const MOST_HEADER_BYTES = 8192;

/** How to serve. */
export interface HttpServerOptions {
  /** An IPv4 or IPv6 address of this machine. */
  readonly address: string;
  /** 0 is any free one. */
  readonly port: number;
  /** Answers a request. */
  readonly answer: (request: HttpRequest) => HttpAnswer;
  /** Called if the server has failed, or `answer` has thrown. */
  readonly onFailure: (error: unknown) => void;
  readonly limits?: Partial<HttpLimits> | undefined;
}

/** A server that listens. */
export interface HttpServer {
  /** The port that it listens on. */
  readonly port: number;
  /** Stops at once: connections are closed. Idempotent. */
  close(): Promise<void>;
}

/** What helps, by the code of the error. */
const FAILURES: Readonly<Record<string, readonly [errno: number, hint: string | undefined]>> = {
  EADDRINUSE: [EADDRINUSE, "Another program listens there: choose another port"],
  EADDRNOTAVAIL: [EADDRNOTAVAIL, "It is not an address of this machine"],
  // What Deno makes of it.
  EINVAL: [EADDRNOTAVAIL, "It is not an address of this machine"],
  EACCES: [EACCES, "Ports below 1024 require CAP_NET_BIND_SERVICE: choose another port"],
};

const TEXT = "text/plain; charset=utf-8";

/** An answer that consists of a sentence. */
export function sentence(status: number, text: string, headers?: HttpAnswer["headers"]): HttpAnswer {
  return { status, type: TEXT, body: new TextEncoder().encode(`${text}\n`), headers };
}

/**
 * Listens for requests.
 *
 * @throws {SystemError} if nothing can listen there.
 */
export async function serveHttp(sys: Sys, options: HttpServerOptions): Promise<HttpServer> {
  const { address, port, answer, onFailure } = options;
  const limits = { ...LIMITS, ...options.limits };
  // Otherwise Deno throws where nobody can catch it.
  sys.requestNetwork(address, port);
  const { createServer } = await import("node:http");
  const server = createServer({
    headersTimeout: limits.requestMs,
    requestTimeout: limits.requestMs,
    keepAliveTimeout: limits.idleMs,
    connectionsCheckingInterval: Math.min(1000, limits.requestMs / 2),
    maxHeaderSize: MOST_HEADER_BYTES,
  });
  const sockets = new Set<Socket>();
  server.on("connection", (socket: Socket) => {
    if (sockets.size >= limits.connections) return void socket.destroy();
    sockets.add(socket);
    socket.on("close", () => sockets.delete(socket));
  });
  let answers = 0;
  server.on("request", (request: IncomingMessage, response: ServerResponse) => {
    if (answers >= limits.answers) {
      return send(request, response, sentence(503, "Too many requests are being answered.", { "Retry-After": "1" }));
    }
    answers++;
    // A reader that takes nothing more would keep the answer in memory forever.
    const timer = setTimeout(() => request.socket.destroy(), limits.answerMs);
    response.on("close", () => {
      clearTimeout(timer);
      answers--;
    });
    try {
      send(request, response, answerOf(request, answer));
    } catch (error) {
      request.socket.destroy();
      onFailure(error);
    }
  });
  await listening(server, address, port);
  server.on("error", onFailure);
  let closed: Promise<void> | undefined;
  return {
    port: (server.address() as { readonly port: number }).port,
    close: () =>
      closed ??= new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
        for (const socket of sockets) socket.destroy();
      }),
  };
}

function answerOf({ method, url = "", headers }: IncomingMessage, answer: HttpServerOptions["answer"]): HttpAnswer {
  if (method !== "GET" && method !== "HEAD") return sentence(405, "Only GET and HEAD are supported.", { Allow: "GET, HEAD" });
  const { host, accept } = headers;
  return answer({ path: url.replace(/[?#].*$/s, ""), host, accept });
}

function send({ method }: IncomingMessage, response: ServerResponse, { status, type, body, headers }: HttpAnswer): void {
  response.writeHead(status, {
    "Content-Type": type,
    "Content-Length": `${body.length}`,
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    ...headers,
  });
  if (method === "HEAD") response.end();
  else response.end(body);
}

async function listening(server: Server, address: string, port: number): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    const fail = (error: Error & { readonly code?: string }): void => {
      const [errno, hint] = FAILURES[error.code ?? ""] ?? [];
      reject(errno === undefined ? error : new SystemError(`listen on ${addressAndPort(address, port)}`, errno, { hint, cause: error }));
    };
    server.once("error", fail);
    server.listen({ host: address, port, exclusive: true }, () => {
      server.removeListener("error", fail);
      resolve();
    });
  });
}
