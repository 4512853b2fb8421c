/** The command's access to the world around it: the only file that reads, prints and handles signals, except for the screen of `top`. */
import { constants } from "node:os";
import process from "node:process";
import { isatty } from "node:tty";
import { SystemError } from "../mod.ts";
import { DescriptorInput, type RecordingInput } from "../src/receive/recording_input.ts";
import type { Destination } from "../src/sink/destination.ts";
import { openDescriptor, OutputFiles } from "../src/sink/files.ts";
import { Spool } from "../src/sink/spool.ts";
import { loadSys } from "../src/sys/load.ts";
import { EIO, ENXIO, O_CLOEXEC, O_PATH, type Sys } from "../src/sys/sys.ts";
import { printable } from "../src/wire/text.ts";
import { foldedText } from "./top/fold.ts";
import { readTextFile, type TextFile } from "./text_file.ts";
import { openScreen, type Screen, type ScreenEvents } from "./top/terminal.ts";

/**
 * Opens files to write to.
 *
 * @category Command
 */
export interface Files {
  /** Creates a file, or empties an existing one. */
  create(path: string): Destination;
  /** Creates a file; `undefined` if it exists already. */
  createNew(path: string): Destination | undefined;
  /** Throws what `create` would throw. Nothing is written, emptied or left. */
  probe(path: string): void;
  /** From now on refuses to open for writing the file that `path` names now. Returns a function that ends that. */
  guard(path: string): () => void;
  /** The names in the directory that `path` is in; none if it cannot be read. */
  namesBeside(path: string): readonly string[];
  /** Removes a file. */
  remove(path: string): void;
  /** Removes a file if it is empty. */
  removeEmpty(path: string): void;
}

/**
 * A terminal for output.
 *
 * @category Command
 */
export interface Terminal {
  /** Present number of columns: a terminal may be resized. */
  readonly columns: () => number;
  /** Whether it has colours and the user has not turned them off: https://no-color.org, and `TERM=dumb`. */
  readonly hasColors: boolean;
}

/**
 * The world around the command; tests use their own.
 *
 * @category Command
 */
export interface Io {
  /**
   * Text for people on standard output, such as help or a table. Characters that could control a terminal, or hide in it, are escaped:
   * anyone may choose the name of a device. Needs no permission.
   */
  print(text: string): Promise<void>;
  /** Text for programs on standard output, such as JSON: it is not changed. Needs no permission. */
  data(text: string): Promise<void>;
  /**
   * Text for people on standard error: notices, errors, the summary. Escaped as {@linkcode Io.print} does, and at a terminal messages of
   * the program (`psample: ...`) are folded between words.
   */
  err(text: string): void;
  /** Whether standard error is a terminal: then somebody may like to see progress. */
  readonly errIsTerminal: boolean;
  /** Whether standard output is a terminal: binary data does not belong there. */
  readonly outIsTerminal: boolean;
  /** Whether standard input is a terminal: somebody would have to type a recording. */
  readonly inIsTerminal: boolean;
  /** The terminal of standard output. */
  terminal(): Promise<Terminal>;
  /** The terminal of standard output as a screen; `undefined` if it is not a terminal, or not one that can be used as a screen. */
  openScreen(events: ScreenEvents): Promise<Screen | undefined>;
  /** Standard output for samples; refused if it is one of these files, which are being read. */
  stdout(inputs: readonly string[]): Promise<Destination>;
  /** Opens files for writing; refuses these files, which are being read. */
  openFiles(inputs: readonly string[]): Promise<Files>;
  /** Reads a whole text file, which must be a regular one. */
  readText(path: string): Promise<TextFile>;
  /** Opens a recording, or standard input if the path is `-`. */
  openRecording(path: string): Promise<RecordingInput>;
  /**
   * Calls `handler` for each signal that would end the process, until the function that it resolves to is called. Signals that are
   * ignored when the process starts stay ignored, except for those that ask for something (INT, TERM, USR1, USR2). Afterwards USR1 and
   * USR2 do nothing, since they never end a command.
   */
  hearSignals(handler: (signal: string) => void): Promise<() => void>;
  /**
   * Resolves to a function that returns whether the controlling terminal of the process, which it has now, has been closed; `false` if it
   * has none.
   */
  watchTerminal(): Promise<() => boolean>;
  /** Dies of a signal as if there were no handler for it. */
  dieOf(signal: string): Promise<void>;
  /** Resolves when everything written to standard error is delivered, or nobody reads it. */
  settled(): Promise<void>;
}

// The signals that end a process by default. Not ILL, FPE, SEGV and BUS: they mean a fault in the program itself, which then cannot clean
// up.
const SIGNALS = [
  "SIGHUP",
  "SIGINT",
  "SIGQUIT",
  "SIGTRAP",
  "SIGABRT",
  "SIGUSR1",
  "SIGUSR2",
  "SIGALRM",
  "SIGTERM",
  "SIGSTKFLT",
  "SIGXCPU",
  "SIGXFSZ",
  "SIGVTALRM",
  "SIGPROF",
  "SIGIO",
  "SIGPWR",
  "SIGSYS",
] as const;
/**
 * Handled even if they are ignored at the start, as INT is in a job that a script starts in the background: they are sent on purpose.
 */
const REQUESTS: ReadonlySet<string> = new Set(["SIGINT", "SIGTERM", "SIGUSR1", "SIGUSR2"]);

/**
 * They ask a running command for something, and end none: not either between two parts of one that hear signals, or while it prints its
 * last lines.
 */
const QUESTIONS = ["SIGUSR1", "SIGUSR2"] as const;

function ignore(): void {}

/** Signals that a runtime handles itself: Deno HUP, as soon as it handles any other, and Bun those that mean its own faults. */
const TAKEN_OVER: ReadonlySet<string> = new Set(["SIGHUP", "SIGTRAP", "SIGABRT", "SIGSYS"]);

/** How often to check for SIGUSR1 if there can be no handler for it. A command that has nothing to do hardly wakes up for anything else. */
const USR1_LOOK_MS = 1000;

/** How much may be queued for standard error, and how long the program waits at its end until it is read. */
const NOTICES_BYTES = 1 << 16;
const NOTICES_MS = 500;
/**
 * How long nobody else handles a signal when nothing is left to do but to end: longer than the last notices take. The process must not die
 * of it then, with the exit status that it has earned.
 */
const LATE_SIGNAL_MS = 2 * NOTICES_MS;

/** The width that lines on standard output should fit: that of its terminal; unlimited if it is none. */
export async function outColumns(io: Io): Promise<number> {
  return io.outIsTerminal ? (await io.terminal()).columns() : Infinity;
}

/** The real world. */
export function processIo(): Io {
  let notices: Notices | undefined;
  let hasTold = false;
  let loaded: Sys | undefined;
  let endHearing = (): void => {};
  /** All has been written, and the program that called the command may continue: from now on it handles signals itself again. */
  let endDying = (): void => {};
  let isOver = false;
  const die = (signal: string): void => void dieOf(signal);
  const dieOf = async (signal: string): Promise<void> => {
    await notices?.settled();
    (await loadSys()).raiseDefault(constants.signals[signal as keyof typeof constants.signals]);
  };
  // Without the system calls, which may not be permitted, the runtime knows the width too.
  const errColumns = (): number => (loaded ? loaded.windowSize(2)?.columns : process.stderr.columns) || COLUMNS;
  return {
    print: (text) => writeOut(escapeControls(text), loaded),
    data: (text) => writeOut(text, loaded),
    err: (text) => {
      const escaped = escapeControls(text);
      const safe = isatty(2) && text.startsWith("psample: ") ? foldedText(escaped, errColumns()) : escaped;
      if (notices) return notices.write(safe);
      // If nobody reads the notices, that is no reason to stop. The error is emitted, and if nothing listens for it Deno ends the
      // process and Bun changes its exit status.
      if (!hasTold) process.stderr.on("error", () => {});
      hasTold = true;
      try {
        process.stderr.write(safe);
      } catch {
        // Nor if it is thrown.
      }
    },
    // Not through process.stderr and process.stdout: at a terminal, Deno takes HUP over as soon as it creates one of them.
    inIsTerminal: isatty(0),
    errIsTerminal: isatty(2),
    outIsTerminal: isatty(1),
    terminal: async () => terminalOf(await loadSys()),
    openScreen: async (events) => openScreen(await loadSys(), events),
    stdout: async (inputs) => guarding(await loadSys(), inputs).descriptor(1, "standard output"),
    openFiles: async (inputs) => guarding(await loadSys(), inputs),
    openRecording: async (path) => {
      const sys = await loadSys();
      return path === "-" ? new DescriptorInput(sys, 0, "standard input") : DescriptorInput.open(sys, path);
    },
    readText: async (path) => readTextFile(await loadSys(), path),
    hearSignals: async (handler) => {
      const sys = loaded = await loadSys();
      // From here on a stalled reader must not delay the handling of signals.
      notices ??= new Notices(openDescriptor(sys, 2, "standard error"));
      const handlers = new Map<string, (signal: string) => void>();
      for (const name of SIGNALS) {
        const action = sys.signalAction(constants.signals[name]);
        // Once a runtime has taken one of these over, nothing but a handler keeps the process from dying of it.
        const heard = REQUESTS.has(name) || action === "default" || (TAKEN_OVER.has(name) && action === "caught");
        if (heard) handlers.set(name, handler);
        // Deno takes HUP over as soon as it handles any signal, and dies of it if nobody else handles it.
        else if (action === "ignored") handlers.set(name, () => {});
      }
      const usr1 = sys.takeUsr1();
      if (usr1) handlers.delete("SIGUSR1");
      const looking = usr1 && setInterval(() => usr1.arrived() && handler("SIGUSR1"), USR1_LOOK_MS);
      for (const [signal, handler] of handlers) process.on(signal, handler);
      // What has arrived, and was not passed on yet, is for this handler now.
      endHearing();
      let timer: ReturnType<typeof setTimeout> | undefined;
      const end = endHearing = (): void => {
        clearTimeout(timer);
        if (endHearing === end) endHearing = () => {};
        for (const [signal, handler] of handlers) process.off(signal, handler);
      };
      return () => {
        clearInterval(looking);
        usr1?.ignore();
        // First these, so that there is no moment without a handler.
        for (const signal of QUESTIONS) if (handlers.has(signal) && !process.listeners(signal).includes(ignore)) process.on(signal, ignore);
        // The runtime may have a signal that it has not passed on yet, too: without a handler that would be lost.
        timer = setTimeout(() => {
          if (isOver) return end();
          // Something is still printed, and may never be read: signals end the process again. Not without a handler: if it was stopped, or
          // had no processor, they may have arrived long ago.
          const ending = [...handlers].filter(([, one]) => one === handler).map(([signal]) => signal)
            .filter((signal) => QUESTIONS.every((question) => question !== signal));
          for (const signal of ending) process.on(signal, die);
          end();
          endHearing = endDying = () => {
            for (const signal of ending) process.off(signal, die);
          };
        }, LATE_SIGNAL_MS);
        timer.unref();
      };
    },
    watchTerminal: async () => {
      const sys = await loadSys();
      return openTerminal(sys) < 0 ? () => false : () => [-ENXIO, -EIO].includes(openTerminal(sys));
    },
    dieOf,
    settled: async () => {
      await notices?.settled();
      isOver = true;
      endDying();
    },
  };
}

/** Opens the controlling terminal for a moment: 0, or the negative error number, which is ENXIO if there is none (tty(4)). */
function openTerminal(sys: Sys): number {
  const fd = sys.openTerminal();
  if (fd < 0) return fd;
  sys.close(fd);
  return 0;
}

/** Assumed width of a terminal that does not report it: the narrowest in common use. */
const COLUMNS = 80;
/** How long a width is cached. */
const COLUMNS_MS = 200;

/** The properties of standard output as a terminal. */
function terminalOf(sys: Sys): Terminal {
  let columns = COLUMNS;
  let looked = -Infinity;
  return {
    // Polled now and then, not reported by a signal: handling one more would change what happens at others.
    columns: () => {
      const now = performance.now();
      if (now - looked < COLUMNS_MS) return columns;
      looked = now;
      return columns = sys.windowSize(1)?.columns ?? COLUMNS;
    },
    hasColors: !sys.environment("NO_COLOR") && sys.environment("TERM") !== "dumb",
  };
}

/** Opens files for writing; refuses these. */
function guarding(sys: Sys, inputs: readonly string[]): OutputFiles {
  return new OutputFiles(sys, inputs.map((path) => identity(sys, path)).filter((identity) => identity !== undefined));
}

/** Device and inode of a file; `undefined` if they cannot be determined. */
function identity(sys: Sys, path: string): string | undefined {
  const fd = path === "-" ? 0 : sys.open(path, O_PATH | O_CLOEXEC, 0);
  if (fd < 0) return undefined;
  const status = sys.stat(fd);
  if (path !== "-") sys.close(fd);
  return typeof status === "number" ? undefined : status.identity;
}

/** Standard error through libc: the runtimes' own would block the process while nobody reads it. */
class Notices {
  readonly #spool: Spool;

  constructor(destination: Destination) {
    this.#spool = new Spool(destination, NOTICES_BYTES);
  }

  write(text: string): void {
    if (this.#spool.isFull) return;
    this.#spool.output.text(text);
    this.#spool.entered(0);
    this.#spool.settle(false);
  }

  /** Resolves when everything is written, or nobody reads it. */
  async settled(): Promise<void> {
    let timer: ReturnType<typeof setTimeout> | undefined;
    const late = new Promise<void>((resolve) => timer = setTimeout(resolve, NOTICES_MS));
    await Promise.race([late, this.#spool.flush().catch(() => {})]);
    clearTimeout(timer);
  }
}

/** Translates a runtime's error into ours. */
function asOurs(error: Error): Error {
  const code = "code" in error ? `${error.code}` : "";
  const errno = constants.errno[code as keyof typeof constants.errno];
  return errno === undefined ? error : new SystemError("write standard output", errno, { cause: error });
}

/** Writes to standard output. */
async function writeOut(text: string, sys: Sys | undefined): Promise<void> {
  // The runtimes' own way may block the process while nobody reads: a signal that was heard just before would have no effect.
  if (sys) await deliver(openDescriptor(sys, 1, "standard output"), new TextEncoder().encode(text));
  else await writeByRuntime(text);
}

async function deliver(destination: Destination, bytes: Uint8Array<ArrayBuffer>): Promise<void> {
  try {
    for (let at = 0; at < bytes.length;) {
      const written = destination.write(bytes.subarray(at));
      if (written === 0) await destination.writable();
      at += written;
    }
  } finally {
    destination.close();
  }
}

/** Writes to standard output without a permission. */
function writeByRuntime(text: string): Promise<void> {
  return new Promise((resolve, reject) => {
    // After a failed write the stream also emits the error, and Deno ends the process if nothing listens for it.
    const fail = (error: Error): void => reject(asOurs(error));
    process.stdout.once("error", fail);
    try {
      process.stdout.write(text, (error?: Error | null) => {
        if (error) return fail(error);
        process.stdout.off("error", fail);
        resolve();
      });
    } catch (error) {
      // Deno writes to files at once.
      fail(error as Error);
    }
  });
}

/**
 * Escapes characters that no text of ours contains: control characters, format characters such as U+202E, and line separators; but not tab,
 * newline, and the characters of a progress line. Names in a text were escaped by `printable` before, which also distinguishes a backslash
 * from an escape: this is for what came in somebody else's message.
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
