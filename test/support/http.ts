/** An HTTP client of bytes: what it sends is not corrected. */
import { connect, type Socket } from "node:net";

/** An answer. */
export interface HttpReply {
  readonly status: number;
  /** By their names in lower case. */
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

/** Opens a connection to the loopback address, and sends something on it. */
export async function connection(port: number, text = ""): Promise<Socket> {
  return await new Promise((resolve, reject) => {
    const socket = connect(port, "127.0.0.1", () => {
      socket.removeListener("error", reject);
      // Being cut off is no failure here.
      socket.on("error", () => {});
      if (text !== "") socket.write(text);
      resolve(socket);
    });
    socket.once("error", reject);
  });
}

/** What comes on a connection until it is closed. */
export async function untilClosed(socket: Socket): Promise<string> {
  const parts: Uint8Array[] = [];
  socket.on("data", (bytes: Uint8Array) => parts.push(bytes.slice()));
  if (!socket.destroyed) await new Promise((resolve) => socket.once("close", resolve));
  const decoder = new TextDecoder();
  return parts.map((part) => decoder.decode(part, { stream: true })).join("") + decoder.decode();
}

/** Sends a request with these lines, and reads the answer. */
export async function ask(port: number, ...lines: string[]): Promise<HttpReply> {
  const socket = await connection(port, `${[...lines, "Connection: close"].join("\r\n")}\r\n\r\n`);
  const text = await untilClosed(socket);
  const end = text.indexOf("\r\n\r\n");
  const [first = "", ...rest] = text.slice(0, end).split("\r\n");
  const headers = Object.fromEntries(
    rest.map((line) => [line.slice(0, line.indexOf(":")).toLowerCase(), line.slice(line.indexOf(":") + 1).trim()]),
  );
  return { status: Number(first.split(" ")[1]), headers, body: text.slice(end + 4) };
}

/** The answer to a request of a well-behaved client. */
export async function get(port: number, path: string, ...lines: string[]): Promise<HttpReply> {
  return await ask(port, `GET ${path} HTTP/1.1`, `Host: 127.0.0.1:${port}`, ...lines);
}
