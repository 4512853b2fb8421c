/** What the command has of the world around it: the only file that reads, prints and hears signals. */
import { closeSync, createReadStream, openSync, rmSync, statSync, writeSync } from "node:fs";
import process from "node:process";
import { FdOutput } from "../src/sink/descriptor.ts";
import { loadSys } from "../src/sys/load.ts";

/** Where bytes go. */
export interface Out {
  /** Resolves when everything is written. */
  write(data: Uint8Array | string): Promise<void>;
}

/** A file that is being written. */
export interface OutFile extends Out {
  /** Closes it. */
  close(): void;
}

/** The world around the command; tests bring their own. */
export interface Io {
  /** Standard output. */
  readonly out: Out;
  /**
   * A text for people on standard output, such as a help or a table: needs no permission. What could steer a
   * terminal (strangers choose the names of devices) is escaped.
   */
  print(text: string): Promise<void>;
  /** Standard error: notices, errors, the summary. */
  err(text: string): void;
  /** Whether standard error is a terminal: somebody who would like to see progress. */
  readonly errIsTerminal: boolean;
  /** Whether standard output is a terminal: bytes that are no text do not belong there. */
  readonly outIsTerminal: boolean;
  /** Makes a file, or empties it. */
  create(path: string): OutFile;
  /** Removes a file, where it still is. */
  remove(path: string): void;
  /** Reads a file, or standard input where the path is `-`. */
  read(path: string): AsyncIterable<Uint8Array>;
  /** The size of a file in bytes; `undefined` where it has none. */
  size(path: string): number | undefined;
  /** Calls `handler` at each SIGINT, SIGTERM and SIGHUP, until the function that it returns is called. */
  onSignal(handler: (signal: string) => void): () => void;
}

const SIGNALS = ["SIGINT", "SIGTERM", "SIGHUP"] as const;

/** The real world. */
export function processIo(): Io {
  return {
    out: standardOutput(),
    print: (text) =>
      new Promise((resolve, reject) => {
        process.stdout.write(escapeControls(text), (error?: Error | null) => {
          if (error) reject(error);
          else resolve();
        });
      }),
    err: (text) => {
      try {
        process.stderr.write(escapeControls(text));
      } catch {
        // Nobody reads the notices: that is no reason to stop.
      }
    },
    errIsTerminal: process.stderr.isTTY === true,
    outIsTerminal: process.stdout.isTTY === true,
    create: (path) => {
      const fd = openSync(path, "w");
      return {
        write: (data) => {
          const bytes = typeof data === "string" ? new TextEncoder().encode(data) : data;
          try {
            for (let at = 0; at < bytes.length;) at += writeSync(fd, bytes, at, bytes.length - at);
          } catch (error) {
            const { code, message } = error as NodeJS.ErrnoException;
            return Promise.reject(Object.assign(new Error(`Cannot write ${path}: ${message}`, { cause: error }), { code }));
          }
          return Promise.resolve();
        },
        close: () => closeSync(fd),
      };
    },
    remove: (path) => rmSync(path, { force: true }),
    read: (path) => path === "-" ? process.stdin : createReadStream(path, { highWaterMark: 1 << 18 }),
    size: (path) => {
      const stat = path === "-" ? undefined : statSync(path);
      return stat?.isFile() ? stat.size : undefined;
    },
    onSignal: (handler) => {
      for (const signal of SIGNALS) process.on(signal, handler);
      return () => {
        for (const signal of SIGNALS) process.off(signal, handler);
      };
    },
  };
}

/** Control characters but tab, newline, and the carriage return and "erase line" of a progress line, as \\xNN. */
export function escapeControls(text: string): string {
  // deno-lint-ignore no-control-regex
  return text.replace(/\r\x1b\[K|[\0-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]/g, (match) => {
    return match === ERASE_LINE ? match : `\\x${match.charCodeAt(0).toString(16).padStart(2, "0")}`;
  });
}

/** Back to the beginning of the line, and erase it: the end of a progress line. */
const ERASE_LINE = "\r\x1b[K";

/** Standard output through libc, opened at the first write: Deno's own would block the process while a reader is slow. */
function standardOutput(): Out {
  let output: Promise<FdOutput> | undefined;
  return {
    write: async (data) => {
      output ??= loadSys().then((sys) => new FdOutput(sys, 1));
      await (await output).write(data);
    },
  };
}
