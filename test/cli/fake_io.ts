import { readFileSync } from "node:fs";
import { escapeControls, type Files, type Io } from "../../cli/io.ts";
import type { Screen, ScreenEvents } from "../../cli/top/terminal.ts";
import type { TextFile } from "../../cli/text_file.ts";
import { ArgumentError, SystemError } from "../../mod.ts";
import { IterableInput } from "../../src/receive/recording_input.ts";
import type { Destination } from "../../src/sink/destination.ts";

/** An environment for the command that remembers what was printed; files are kept in memory, recordings are read from disk. */
export interface FakeIo extends Io {
  /** Standard output as text. */
  text(): string;
  /** Standard output. */
  bytes(): Uint8Array;
  /** Standard error. */
  errors(): string;
  /** Files that were written. */
  readonly files: Map<string, Uint8Array>;
  /** Sends a signal to its handlers; false if there are none. */
  signal(name: string): boolean;
  /** The signals that the process has died of. */
  readonly deaths: string[];
}

/** Deviations from the default. */
export interface FakeIoOptions {
  outIsTerminal?: boolean;
  inIsTerminal?: boolean;
  errIsTerminal?: boolean;
  /** Whether the controlling terminal has been closed since the start. Defaults to no. */
  isTerminalClosed?: () => boolean;
  /** Width of the terminal. Defaults to 80. */
  columns?: number;
  /** The terminal as a screen. Defaults to none. */
  screen?: (events: ScreenEvents) => Screen;
  /** Whether it has colours. Defaults to false. */
  hasColors?: boolean;
  /** Called at each write to standard output: throws what a broken one throws. Returns how much it takes at most; all unless it does. */
  onWrite?: () => number | void;
  /** Standard input, and files that {@linkcode FakeIo.openRecording} finds before it looks on disk. */
  input?: Record<string, Uint8Array | AsyncIterable<Uint8Array>>;
  /** What text files are besides their text. Defaults to files of root that only root may write to, read by root. */
  textFile?: Partial<TextFile>;
  /** Size of the pieces in which files are read. */
  pieceBytes?: number;
}

export function fakeIo(options: FakeIoOptions = {}): FakeIo {
  const out: Uint8Array[] = [];
  let err = "";
  const files = new Map<string, Uint8Array>();
  const deaths: string[] = [];
  const handlers = new Set<(signal: string) => void>();
  const content = (path: string): Uint8Array | AsyncIterable<Uint8Array> =>
    options.input?.[path] ?? files.get(path) ?? new Uint8Array(readFileSync(path));
  async function* pieces(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
    const size = options.pieceBytes ?? 65536;
    for (let at = 0; at < bytes.length; at += size) yield bytes.slice(at, at + size);
  }
  const create = (path: string, guarded: readonly string[]): Destination => {
    if (guarded.includes(path)) throw new ArgumentError(`Cannot write ${path}: it is the file that is being read`);
    // What is there stays until the first write, as in a real file.
    if (!files.has(path)) files.set(path, new Uint8Array());
    let room = new Uint8Array(4096);
    let size = 0;
    return destination(path, (bytes) => {
      if (size + bytes.length > room.length) {
        const larger = new Uint8Array(2 * (size + bytes.length));
        larger.set(room.subarray(0, size));
        room = larger;
      }
      room.set(bytes, size);
      size += bytes.length;
      files.set(path, room.subarray(0, size));
      return bytes.length;
    });
  };
  return {
    stdout: () =>
      Promise.resolve(destination("standard output", (bytes) => {
        const most = options.onWrite?.() ?? bytes.length;
        out.push(bytes.slice(0, most));
        return Math.min(most, bytes.length);
      })),
    openScreen: (events) => Promise.resolve(options.screen?.(events)),
    terminal: () => Promise.resolve({ columns: () => options.columns ?? 80, hasColors: options.hasColors ?? false }),
    print: (text) => Promise.resolve(void out.push(new TextEncoder().encode(escapeControls(text)))),
    data: (text) => Promise.resolve(void out.push(new TextEncoder().encode(text))),
    err: (text) => void (err += escapeControls(text)),
    inIsTerminal: options.inIsTerminal ?? false,
    errIsTerminal: options.errIsTerminal ?? false,
    outIsTerminal: options.outIsTerminal ?? false,
    openFiles: (inputs): Promise<Files> => {
      const guarded = [...inputs];
      return Promise.resolve({
        guard: (path) => {
          guarded.push(path);
          return () => void guarded.splice(guarded.indexOf(path), 1);
        },
        probe: () => {},
        create: (path) => create(path, guarded),
        createNew: (path) => files.has(path) || guarded.includes(path) ? undefined : create(path, guarded),
        namesBeside: (path) => {
          const directory = path.slice(0, path.lastIndexOf("/") + 1);
          return [...files.keys()].filter((name) => name.startsWith(directory)).map((name) => name.slice(directory.length));
        },
        remove: (path) => void files.delete(path),
        removeEmpty: (path) => void (files.get(path)?.length === 0 && files.delete(path)),
      });
    },
    // deno-lint-ignore require-await -- a file that is not there is a rejection
    openRecording: async (path) => {
      const bytes = content(path);
      const size = bytes instanceof Uint8Array ? bytes.length : undefined;
      return new IterableInput(size === undefined ? bytes as AsyncIterable<Uint8Array> : pieces(bytes as Uint8Array), size);
    },
    // deno-lint-ignore require-await -- a file that is not there is a rejection
    readText: async (path) => {
      const bytes = options.input?.[path] ?? files.get(path);
      if (bytes === undefined) throw new SystemError(`read ${path}`, 2);
      return { text: new TextDecoder().decode(bytes as Uint8Array), owner: 0, mode: 0o644, reader: 0, ...options.textFile };
    },
    hearSignals: (handler) => {
      handlers.add(handler);
      return Promise.resolve(() => void handlers.delete(handler));
    },
    watchTerminal: () => Promise.resolve(options.isTerminalClosed ?? (() => false)),
    dieOf: (signal) => Promise.resolve(void deaths.push(signal)),
    settled: () => Promise.resolve(),
    text: () => new TextDecoder().decode(concatenate(out)),
    bytes: () => concatenate(out),
    errors: () => err,
    files,
    deaths,
    signal: (name) => {
      for (const handler of handlers) handler(name);
      return handlers.size > 0;
    },
  };
}

function destination(name: string, write: (bytes: Uint8Array) => number): Destination {
  return { name, write, writable: () => new Promise((resolve) => setTimeout(resolve, 1)), close: () => {} };
}

function concatenate(parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const all = new Uint8Array(parts.reduce((size, part) => size + part.length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}
