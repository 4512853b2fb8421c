/** What the command has of the world around it: the only file that reads, prints and hears signals. */
import { closeSync, createReadStream, openSync, rmSync, statSync, writeSync } from "node:fs";
import process from "node:process";
import { FdOutput } from "../src/sink/descriptor.ts";
import { loadSys } from "../src/sys/load.ts";
import { printable } from "../src/wire/text.ts";

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
   * Text for people on standard output, such as help or a table. What could control a terminal or hide in it is escaped:
   * anyone may choose the name of a device. Needs no permission.
   */
  print(text: string): Promise<void>;
  /** Text for programs on standard output, such as JSON: it is not touched. Needs no permission. */
  data(text: string): Promise<void>;
  /** Text for people on standard error: notices, errors, the summary. Escaped as {@linkcode Io.print} does. */
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
    print: (text) => writeOut(escapeControls(text)),
    data: writeOut,
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

function writeOut(text: string): Promise<void> {
  return new Promise((resolve, reject) => {
    process.stdout.write(text, (error?: Error | null) => {
      if (error) reject(error);
      else resolve();
    });
  });
}

/**
 * Escapes what no text of ours contains: controls, formats such as U+202E, and separators of lines; but not tab, newline, and
 * what a progress line consists of. Names in a text are escaped by `printable` before, which also tells a backslash from an
 * escape: this is for what came in somebody else's message.
 */
export function escapeControls(text: string): string {
  // deno-lint-ignore no-control-regex
  return text.replace(/\r\x1b\[K|[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/gu, (match, at: number) => {
    const own = match === "\t" || match === "\n" || match === ERASE_LINE || (match === "\r" && at === 0);
    return own ? match : printable(match);
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
