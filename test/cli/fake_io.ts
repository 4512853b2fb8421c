import { readFileSync } from "node:fs";
import { escapeControls, type Io } from "../../cli/io.ts";

/** A world for the command that remembers what was printed; files are kept in memory, recordings are read from disk. */
export interface FakeIo extends Io {
  /** Standard output as text. */
  text(): string;
  /** Standard output. */
  bytes(): Uint8Array;
  /** Standard error. */
  errors(): string;
  /** Files that were written. */
  readonly files: Map<string, Uint8Array>;
  /** Sends a signal to whoever listens; false where nobody does. */
  signal(name: string): boolean;
}

/** What is different from the normal. */
export interface FakeIoOptions {
  outIsTerminal?: boolean;
  errIsTerminal?: boolean;
  /** Called at each write to standard output: throws what a broken one throws. */
  onWrite?: () => void;
  /** Standard input, and files that {@linkcode FakeIo.read} finds before it looks on disk. */
  input?: Record<string, Uint8Array>;
  /** Size of the pieces in which files are read. */
  pieceBytes?: number;
}

export function fakeIo(options: FakeIoOptions = {}): FakeIo {
  const out: Uint8Array[] = [];
  let err = "";
  const files = new Map<string, Uint8Array>();
  const handlers = new Set<(signal: string) => void>();
  const encode = (data: Uint8Array | string): Uint8Array => typeof data === "string" ? new TextEncoder().encode(data) : data.slice();
  const joined = (): Uint8Array => {
    const all = new Uint8Array(out.reduce((size, part) => size + part.length, 0));
    let at = 0;
    for (const part of out) {
      all.set(part, at);
      at += part.length;
    }
    return all;
  };
  const content = (path: string): Uint8Array => options.input?.[path] ?? files.get(path) ?? new Uint8Array(readFileSync(path));
  return {
    out: {
      write: (data) => {
        options.onWrite?.();
        out.push(encode(data));
        return Promise.resolve();
      },
    },
    print: (text) => {
      out.push(encode(escapeControls(text)));
      return Promise.resolve();
    },
    data: (text) => {
      out.push(encode(text));
      return Promise.resolve();
    },
    err: (text) => void (err += escapeControls(text)),
    errIsTerminal: options.errIsTerminal ?? false,
    outIsTerminal: options.outIsTerminal ?? false,
    create: (path) => {
      files.set(path, new Uint8Array());
      return {
        write: (data) => {
          const more = encode(data);
          const before = files.get(path)!;
          const all = new Uint8Array(before.length + more.length);
          all.set(before);
          all.set(more, before.length);
          files.set(path, all);
          return Promise.resolve();
        },
        close: () => {},
      };
    },
    async *read(path): AsyncGenerator<Uint8Array> {
      const bytes = content(path);
      const size = options.pieceBytes ?? 65536;
      for (let at = 0; at < bytes.length; at += size) yield bytes.slice(at, at + size);
    },
    remove: (path) => void files.delete(path),
    size: (path) => content(path).length,
    onSignal: (handler) => {
      handlers.add(handler);
      return () => void handlers.delete(handler);
    },
    text: () => new TextDecoder().decode(joined()),
    bytes: joined,
    errors: () => err,
    files,
    signal: (name) => {
      for (const handler of handlers) handler(name);
      return handlers.size > 0;
    },
  } as FakeIo;
}
