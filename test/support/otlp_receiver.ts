/** A receiver of OTLP that answers as it is told, on the loopback address. */
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo, Socket } from "node:net";
import { gunzipSync } from "node:zlib";
import { until } from "./waiting.ts";

/** A request that came. */
export interface ReceivedReport {
  readonly method: string;
  readonly path: string;
  readonly headers: IncomingMessage["headers"];
  /** Uncompressed. */
  readonly body: Uint8Array;
  /** When it was complete, by the steady clock. */
  readonly atMs: number;
  /** Which connection it came on, from 0. */
  readonly connection: number;
}

/** What a request is answered with. */
export type ReportAnswer = (response: ServerResponse, socket: Socket) => void;

/** Answers with a status. */
export function status(code: number, headers: Record<string, string> = {}, body: string | Uint8Array = ""): ReportAnswer {
  return (response) => void response.writeHead(code, headers).end(body);
}

/** Never answers. */
export const silence: ReportAnswer = () => {};

/** Closes the connection without an answer. */
export const cut: ReportAnswer = (_, socket) => void socket.destroy();

/** A server; closed by `using`. */
export class OtlpReceiver implements AsyncDisposable {
  readonly reports: ReceivedReport[] = [];
  /** What the next requests are answered with; after these, with 200. */
  readonly answers: ReportAnswer[] = [];
  /** What all others are answered with. */
  otherwise: ReportAnswer = status(200);
  readonly #server = createServer((request, response) => this.#take(request, response));
  readonly #sockets: Socket[] = [];

  /** Listens on this port; 0 is any free one. */
  static async listen(port = 0): Promise<OtlpReceiver> {
    const receiver = new OtlpReceiver();
    const server = receiver.#server;
    server.on("connection", (socket: Socket) => receiver.#sockets.push(socket));
    await new Promise<void>((resolve, reject) => {
      server.once("error", reject);
      server.listen({ host: "127.0.0.1", port }, resolve);
    });
    return receiver;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  /** Waits for this many requests. */
  async has(count: number): Promise<void> {
    await until(() => `there are ${count} reports instead of ${this.reports.length}`, () => this.reports.length >= count);
  }

  /** Closes the connections; new ones may come. */
  disconnect(): void {
    for (const socket of this.#sockets) socket.destroy();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const closed = new Promise((resolve) => this.#server.close(resolve));
    this.disconnect();
    await closed;
  }

  #take(request: IncomingMessage, response: ServerResponse): void {
    const parts: Uint8Array[] = [];
    request.on("data", (bytes: Uint8Array) => parts.push(bytes));
    request.on("end", () => {
      const bytes = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0));
      let at = 0;
      for (const part of parts) {
        bytes.set(part, at);
        at += part.length;
      }
      const { method = "", url: path = "", headers, socket } = request;
      const body = headers["content-encoding"] === "gzip" ? gunzipSync(bytes) : bytes;
      const connection = this.#sockets.findIndex(({ remotePort }) => remotePort === socket.remotePort);
      this.reports.push({ method, path, headers, body, atMs: performance.now(), connection });
      (this.answers.shift() ?? this.otherwise)(response, socket);
    });
  }
}
