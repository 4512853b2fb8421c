/**
 * A small HTTP client, by the runtime's `node:http` and `node:https`: the only file that asks other servers. It sends one request at a time
 * to one URL, on a connection that it keeps, follows no redirects, and limits the time and the memory that a server may take.
 */
import type { Agent, ClientRequest, IncomingMessage, RequestOptions } from "node:http";
import { constants } from "node:os";
import { HttpError, LookupError, SystemError } from "../errors.ts";
import type { Sys } from "./sys.ts";

/** Whom to ask. */
export interface HttpClientOptions {
  readonly url: URL;
  /** Headers of every request. */
  readonly headers: Readonly<Record<string, string>>;
  /** Certificates of trusted authorities, in PEM, to verify the server with, instead of those that the runtime trusts. */
  readonly certificates?: string | undefined;
}

/** What a server answers. */
export interface HttpReply {
  readonly status: number;
  /** The header `Content-Type`; `undefined` if there is none. */
  readonly type: string | undefined;
  /** The header `Retry-After`; `undefined` if there is none. */
  readonly retryAfter: string | undefined;
  /** The header `Location`; `undefined` if there is none. */
  readonly location: string | undefined;
  /** The beginning of the body: all of it, up to 64 KiB. */
  readonly body: Uint8Array;
}

/** The most of a body that is read. */
const MOST_BODY = 1 << 16;

/** Errors of looking up a name, by getaddrinfo(3). */
const LOOKUP: ReadonlySet<string> = new Set(["ENOTFOUND", "EAI_AGAIN", "ENODATA", "EAI_NONAME", "EAI_NODATA"]);
const HINTS: Readonly<Record<string, string>> = {
  ECONNREFUSED: "Nothing listens there: is the receiver running, and is this its port for HTTP",
  ECONNRESET: "The server closed the connection without an answer",
};

/** X509_verify_cert_error_string(3) of certificates whose issuer is not known, or they themselves. */
const UNKNOWN_ISSUER = /^(UNABLE_TO_(VERIFY_LEAF_SIGNATURE|GET_ISSUER_CERT(_LOCALLY)?)|(DEPTH_ZERO_)?SELF_SIGNED_CERT(_IN_CHAIN)?)$/;

/** Sends requests to one URL. */
export class HttpClient {
  readonly #url: URL;
  readonly #open: () => Agent;
  #agent: Agent;
  readonly #request: (options: RequestOptions, reply: (message: IncomingMessage) => void) => ClientRequest;
  readonly #headers: Readonly<Record<string, string>>;
  readonly #certificates: string | undefined;
  #cancel: ((reason: Error) => void) | undefined;

  private constructor(
    { url, headers, certificates }: HttpClientOptions,
    open: () => Agent,
    request: (options: RequestOptions, reply: (message: IncomingMessage) => void) => ClientRequest,
  ) {
    this.#url = url;
    this.#headers = headers;
    this.#certificates = certificates;
    this.#open = open;
    this.#agent = open();
    this.#request = request;
  }

  /** A client of this URL; nothing is sent yet. */
  static async open(sys: Sys, options: HttpClientOptions): Promise<HttpClient> {
    const { url } = options;
    // Otherwise Deno refuses only when something is sent.
    sys.requestNetwork(hostOf(url), portOf(url));
    const { Agent, request } = url.protocol === "https:" ? await import("node:https") : await import("node:http");
    return new HttpClient(options, () => new Agent({ keepAlive: true }), request);
  }

  /**
   * Sends a body, and reads the answer.
   *
   * @param timeoutMs How long that may take.
   * @throws {SystemError} or {@linkcode LookupError} if the connection fails, or takes too long; {@linkcode HttpError} if it cannot be trusted,
   * or the answer is no HTTP.
   */
  async post(body: Uint8Array, headers: Readonly<Record<string, string>>, timeoutMs: number): Promise<HttpReply> {
    const op = `send to ${this.#url.origin}`;
    return await new Promise((resolve, reject) => {
      let request: ClientRequest | undefined;
      // Deno reports nothing about a destroyed request, so it is ended here first.
      const settle = (act: () => void): void => {
        if (this.#cancel !== cancel) return;
        this.#cancel = undefined;
        clearTimeout(timer);
        act();
      };
      const cancel = (reason: Error): void => {
        settle(() => reject(reason));
        request?.destroy();
        this.#disconnect();
      };
      const fail = (error: Error & { readonly code?: string }): void =>
        settle(() => {
          this.#disconnect();
          reject(failureOf(op, this.#url, error));
        });
      const timer = setTimeout(
        () => cancel(new SystemError(op, constants.errno.ETIMEDOUT, { hint: `No answer came within ${roundSeconds(timeoutMs)} s` })),
        timeoutMs,
      );
      this.#cancel = cancel;
      const { hostname, pathname, search } = this.#url;
      try {
        request = this.#request({
          host: hostOf(this.#url),
          port: portOf(this.#url),
          path: `${pathname}${search}`,
          method: "POST",
          agent: this.#agent,
          headers: { ...this.#headers, ...headers, "Content-Length": `${body.length}` },
          ...this.#url.protocol === "https:" && this.#certificates !== undefined ? { ca: this.#certificates } : {},
          ...this.#url.protocol === "https:" && !isAddress(hostname) ? { servername: hostname } : {},
        }, (message) => this.#read(message, (reply) => settle(() => resolve(reply)), fail));
        request.on("error", fail);
        request.on("close", () => fail(Object.assign(new Error("closed"), { code: "ECONNRESET" })));
        request.end(body);
      } catch (error) {
        fail(error as Error);
      }
    });
  }

  /** Ends the present request at once. */
  cancel(): void {
    this.#cancel?.(new HttpError("The request was cancelled", undefined));
  }

  /** Closes the connection if it is idle: the next request looks the name up again. */
  renew(): void {
    if (!this.#cancel) this.#disconnect();
  }

  /** Closes the connection at once. Idempotent. */
  close(): void {
    this.cancel();
    this.#agent.destroy();
  }

  /** Closes the connection. Deno's agent does not give up one whose request was destroyed, and would wait for it forever. */
  #disconnect(): void {
    this.#agent.destroy();
    this.#agent = this.#open();
  }

  #read(message: IncomingMessage, done: (reply: HttpReply) => void, fail: (error: Error) => void): void {
    const parts: Uint8Array[] = [];
    let size = 0;
    const finish = (): void => {
      const body = new Uint8Array(size);
      let at = 0;
      for (const part of parts) {
        body.set(part, at);
        at += part.length;
      }
      const { "content-type": type, "retry-after": retryAfter, location } = message.headers;
      done({ status: message.statusCode ?? 0, type, retryAfter, location, body });
    };
    message.on("data", (bytes: Uint8Array) => {
      const part = bytes.slice(0, MOST_BODY - size);
      parts.push(part);
      size += part.length;
      if (size < MOST_BODY) return;
      finish();
      // The rest is of no interest, and may never end.
      message.destroy();
      this.#disconnect();
    });
    message.on("end", finish);
    message.on("error", fail);
  }
}

/** The host without the brackets of an IPv6 address. */
function hostOf({ hostname }: URL): string {
  return hostname.replace(/^\[|\]$/g, "");
}

function portOf({ protocol, port }: URL): number {
  return port === "" ? protocol === "https:" ? 443 : 80 : Number(port);
}

/** Whether this is an address and not a name: RFC 6066 has no addresses as names of servers. */
function isAddress(hostname: string): boolean {
  return hostname.startsWith("[") || /^[\d.]+$/.test(hostname);
}

/** Seconds for people: what is left of a time limit has many digits. */
function roundSeconds(ms: number): number {
  return Number((ms / 1000).toPrecision(2));
}

function failureOf(op: string, url: URL, error: Error & { readonly code?: string }): Error {
  // Deno's own refusal says which flag it needs.
  if (error.name === "NotCapable") return error;
  // What Bun calls a server that closes the connection during the handshake.
  const code = error.code === "ERR_SOCKET_CLOSED" ? "ECONNRESET" : error.code ?? "";
  if (LOOKUP.has(code)) return new LookupError(hostOf(url), code, "Is the name right, and does its name server answer");
  const errno = (constants.errno as Readonly<Record<string, number>>)[code];
  if (errno !== undefined) return new SystemError(op, errno, { hint: HINTS[code], cause: error });
  // In words of our own: those of the runtimes are about their parsers.
  if (code === "ERR_SSL_WRONG_VERSION_NUMBER") {
    const plain = `http://${url.hostname}:${portOf(url)}`;
    return new HttpError(`Cannot ${op}: the server does not speak TLS. Is this its port for HTTPS, or is ${plain} meant`, undefined, error);
  }
  if (/^HPE_/.test(code)) {
    const other = url.protocol === "http:" ? `, or is https://${url.hostname}:${portOf(url)} meant` : "";
    return new HttpError(`Cannot ${op}: the server's answer is not HTTP. Is this its port for HTTP${other}`, undefined, error);
  }
  if (/^ERR_SSL_/.test(code)) {
    const what = code.replace("ERR_SSL_", "").replaceAll("_", " ").toLowerCase();
    return new HttpError(`Cannot ${op}: TLS failed: ${what}`, undefined, error);
  }
  const hint = UNKNOWN_ISSUER.test(code)
    ? ". If your own authority issued it, set NODE_EXTRA_CA_CERTS=FILE in the environment, a file with that authority's certificate"
    : "";
  return new HttpError(`Cannot ${op}: ${error.message}${hint}`, undefined, error);
}
