/** A collector of streams for tests: it listens, and keeps what it reads of each connection. */
import { createServer, type Server, type Socket } from "node:net";

/** What has arrived by one connection. */
export interface ReceivedStream {
  readonly chunks: Uint8Array[];
  /** Whether the exporter has ended it. */
  isEnded: boolean;
}

/** A server for as long as it is in scope. */
export class TcpReceiver implements AsyncDisposable {
  /** The address with the port, as targets are written. */
  readonly target: string;
  readonly port: number;
  /** One for each connection so far. */
  readonly streams: ReceivedStream[] = [];
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();

  private constructor(server: Server, address: string, port: number, reads: boolean) {
    this.#server = server;
    this.port = port;
    this.target = `${address}:${port}`;
    server.on("connection", (socket) => {
      const stream: ReceivedStream = { chunks: [], isEnded: false };
      this.streams.push(stream);
      this.#sockets.add(socket);
      socket.on("error", () => {});
      socket.on("close", () => this.#sockets.delete(socket));
      socket.on("end", () => stream.isEnded = true);
      if (reads) socket.on("data", (chunk) => stream.chunks.push(new Uint8Array(chunk as Uint8Array)));
      else socket.pause();
    });
  }

  /** Listens; the kernel chooses the port if none is given. One that does not read takes connections and nothing else. */
  static async listen(
    { port = 0, address = "127.0.0.1", reads = true }: { port?: number; address?: string; reads?: boolean } = {},
  ): Promise<TcpReceiver> {
    const server = createServer({ pauseOnConnect: !reads });
    await new Promise<void>((resolve, reject) => {
      server.on("error", reject);
      server.listen(port, address, () => resolve());
    });
    return new TcpReceiver(server, address, (server.address() as { port: number }).port, reads);
  }

  /** The whole messages of one connection, as their headers delimit them (RFC 7011, section 3.1), and how many bytes follow the last. */
  messages(stream = 0): { readonly messages: readonly Uint8Array[]; readonly rest: number } {
    const bytes = joined(this.streams[stream]?.chunks ?? []);
    const messages: Uint8Array[] = [];
    let at = 0;
    while (at + 4 <= bytes.length) {
      const end = at + (bytes[at + 2]! << 8 | bytes[at + 3]!);
      if (end < at + 16) throw new Error(`a message of ${end - at} bytes`);
      if (end > bytes.length) break;
      messages.push(bytes.slice(at, end));
      at = end;
    }
    return { messages, rest: bytes.length - at };
  }

  /** Closes the connections, and listens no more. */
  async close(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await new Promise<void>((resolve) => this.#server.close(() => resolve()));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}

function joined(chunks: readonly Uint8Array[]): Uint8Array {
  const all = new Uint8Array(chunks.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const chunk of chunks) {
    all.set(chunk, at);
    at += chunk.length;
  }
  return all;
}
