/**
 * A terminal as a screen: key by key input, an alternate screen, and everything restored, whatever ends the program except SIGKILL.
 *
 * INT and QUIT stay signals, which the command handles as usual; only echo and line editing are switched off. Writing never waits for the
 * terminal: a frame that it does not take at once is finished before the next is begun.
 */
import process from "node:process";
import { SystemError } from "../../src/errors.ts";
import { DescriptorInput } from "../../src/receive/recording_input.ts";
import { Descriptor } from "../../src/sink/descriptor.ts";
import { O_CLOEXEC, O_NOCTTY, O_NONBLOCK, O_RDONLY, O_WRONLY, POLLOUT, type Sys } from "../../src/sys/sys.ts";
import { LITTLE, memory, viewOf } from "../../src/wire/native.ts";

/**
 * Events of a screen.
 *
 * @category Command
 */
export interface ScreenEvents {
  /** Something was typed. */
  typed(text: string): void;
  /** Its size has changed, or what was drawn is gone. */
  changed(): void;
  /** Nothing can be drawn any more; without an error if the terminal was closed. */
  failed(error: unknown): void;
}

/**
 * A screen to draw on.
 *
 * @category Command
 */
export interface Screen {
  /** Its present size. */
  size(): { readonly columns: number; readonly rows: number };
  /** Whether it has colours and the user has not turned them off. */
  readonly hasColors: boolean;
  /** Shows these lines. Does nothing if the last ones are still being written: the next call comes soon. */
  draw(lines: readonly string[]): void;
  /** Restores it. Idempotent. */
  close(): void;
}

// xterm's ctlseqs: alternate screen, cursor, synchronized output.
const ENTER = "\x1b[?1049h\x1b[?25l\x1b[H\x1b[2J";
const LEAVE = "\x1b[0m\x1b[?25h\x1b[?1049l";
const BEGIN = "\x1b[?2026h";
const END = "\x1b[?2026l";
/** Cancels an escape sequence that was begun. */
const CANCEL = "\x18";

// include/uapi/asm-generic/termbits.h
const LFLAG = 12;
const ICANON = 0x0002;
const ECHO = 0x0008;
const VTIME = 17 + 5;
const VMIN = 17 + 6;
const SIGSTOP = 19;
/** How long to wait at the end for a terminal that does not take anything. */
const LEAVE_MS = 200;

/** Makes a screen of standard output; `undefined` if that is not a terminal, or one without cursor control. */
export function openScreen(sys: Sys, events: ScreenEvents): Screen | undefined {
  const terminal = sys.environment("TERM");
  if (sys.terminalMode(1) === undefined || terminal === undefined || terminal === "" || terminal === "dumb") return undefined;
  return new TerminalScreen(sys, events);
}

class TerminalScreen implements Screen {
  readonly hasColors: boolean;
  readonly #sys: Sys;
  readonly #events: ScreenEvents;
  readonly #output: Descriptor;
  readonly #input: DescriptorInput | undefined;
  readonly #encoder = new TextEncoder();
  /** Its original mode. */
  #mode: Uint8Array<ArrayBuffer> | undefined;
  #isEntered = false;
  #isClosed = false;
  /** The lines on it; `undefined` if they are not known. */
  #shown: readonly string[] | undefined;
  /** Output that it has not taken yet. */
  #rest: Uint8Array<ArrayBuffer> = memory(0);
  readonly #signals: Readonly<Record<string, () => void>> = {
    SIGWINCH: () => this.#redraw(),
    SIGTSTP: () => this.#suspend(),
    SIGCONT: () => this.#continue(),
  };
  readonly #onExit = (): void => this.close();
  readonly #onRejection = (reason: unknown): void => {
    this.close();
    // Thrown again, it is reported and ends the program, as if nobody had handled it. Not in a microtask: Bun ignores it there.
    setTimeout(() => {
      throw reason;
    }, 0);
  };

  constructor(sys: Sys, events: ScreenEvents) {
    this.#sys = sys;
    this.#events = events;
    this.hasColors = !sys.environment("NO_COLOR");
    // Opened again: the blocking mode of a descriptor is shared with everybody who holds it.
    const own = sys.reopen(1, O_WRONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    this.#output = own < 0 ? new Descriptor(sys, 1, "terminal") : new Descriptor(sys, own, "terminal", { owned: true, nonblocking: true });
    this.#input = inputOf(sys);
    for (const [name, hear] of Object.entries(this.#signals)) process.on(name, hear);
    // Runs before an uncaught error is reported; Deno then ends without the event "exit", and Bun reports rejections without the first of
    // these events.
    for (const event of ["uncaughtExceptionMonitor", "exit"]) process.on(event, this.#onExit);
    process.on("unhandledRejection", this.#onRejection);
    this.#enter();
    void this.#listen();
  }

  size(): { readonly columns: number; readonly rows: number } {
    return this.#sys.windowSize(1) ?? { columns: 80, rows: 24 };
  }

  draw(lines: readonly string[]): void {
    if (this.#isClosed || !this.#isEntered || this.#rest.length > 0) return;
    const before = this.#shown;
    let text = "";
    for (let i = 0; i < lines.length; i++) {
      if (lines[i] !== before?.[i]) text += `\x1b[${i + 1};1H${lines[i]}\x1b[K`;
    }
    if (before === undefined || before.length > lines.length) text += `\x1b[${lines.length};1H${lines.at(-1) ?? ""}\x1b[J`;
    this.#shown = [...lines];
    if (text !== "") this.#write(`${BEGIN}${text}${END}`);
  }

  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    for (const [name, hear] of Object.entries(this.#signals)) process.off(name, hear);
    for (const event of ["uncaughtExceptionMonitor", "exit"]) process.off(event, this.#onExit);
    process.off("unhandledRejection", this.#onRejection);
    this.#leave();
    this.#input?.close();
    this.#output.close();
  }

  /** Takes the terminal. After a stop that went unnoticed its mode may be the shell's, but the original mode is known. */
  #enter(): void {
    if (this.#isClosed) return;
    const mode = this.#sys.terminalMode(1);
    if (mode) {
      if (!this.#isEntered) this.#mode = mode;
      const raw = mode.slice();
      const view = viewOf(raw);
      view.setUint32(LFLAG, view.getUint32(LFLAG, LITTLE) & ~(ICANON | ECHO), LITTLE);
      raw[VMIN] = 1;
      raw[VTIME] = 0;
      this.#sys.setTerminalMode(1, raw);
    }
    this.#isEntered = true;
    this.#rest = memory(0);
    this.#shown = undefined;
    this.#write(ENTER);
  }

  #leave(): void {
    if (!this.#isEntered) return;
    this.#isEntered = false;
    const bytes = this.#encoder.encode(`${this.#rest.length > 0 ? CANCEL + END : ""}${LEAVE}`);
    this.#rest = memory(0);
    try {
      const deadline = performance.now() + LEAVE_MS;
      for (let at = 0; at < bytes.length && performance.now() < deadline;) {
        if (this.#sys.poll(1, POLLOUT) === 0) continue;
        at += this.#output.write(bytes.slice(at));
      }
    } catch (error) {
      // A terminal that is gone needs no restoring.
      if (!(error instanceof SystemError)) throw error;
    }
    if (this.#mode) this.#sys.setTerminalMode(1, this.#mode as Uint8Array<ArrayBuffer>);
  }

  /** Ctrl-Z: gives the terminal back to the shell, and then stops the process until it is continued. */
  #suspend(): void {
    this.#leave();
    this.#sys.raiseDefault(SIGSTOP);
    this.#continue();
  }

  #continue(): void {
    this.#enter();
    this.#redraw();
  }

  #redraw(): void {
    this.#shown = undefined;
    this.#events.changed();
  }

  #write(text: string): void {
    try {
      const bytes = this.#encoder.encode(text);
      const count = this.#output.write(bytes);
      if (count === bytes.length) return;
      this.#rest = bytes.slice(count);
      void this.#writeRest();
    } catch (error) {
      this.#fail(error);
    }
  }

  async #writeRest(): Promise<void> {
    try {
      while (this.#rest.length > 0 && this.#isEntered) {
        await this.#output.writable();
        // The screen may have been left and taken again meanwhile.
        const rest = this.#rest;
        if (!this.#isEntered || rest.length === 0) return;
        this.#rest = rest.slice(this.#output.write(rest));
      }
      if (this.#isEntered) this.#events.changed();
    } catch (error) {
      this.#fail(error);
    }
  }

  /** Reads keys until the end. */
  async #listen(): Promise<void> {
    const input = this.#input;
    if (!input) return;
    const bytes = memory(1024);
    const decoder = new TextDecoder();
    try {
      while (!this.#isClosed) {
        const count = input.read(bytes);
        if (count === 0) return;
        if (count < 0) await input.wait();
        else this.#events.typed(decoder.decode(bytes.subarray(0, count), { stream: true }));
      }
    } catch (error) {
      this.#fail(error);
    }
  }

  #fail(error: unknown): void {
    if (this.#isClosed) return;
    // EIO: the terminal was closed.
    const isGone = error instanceof SystemError && (error.code === "EIO" || error.code === "EPIPE");
    this.#events.failed(isGone ? undefined : error);
  }
}

/** The input for keys: standard input, or the same terminal if that is something else; `undefined` if it cannot be read. */
function inputOf(sys: Sys): DescriptorInput | undefined {
  if (sys.terminalMode(0) !== undefined) return new DescriptorInput(sys, 0, "terminal");
  const fd = sys.reopen(1, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
  return fd < 0 ? undefined : new DescriptorInput(sys, fd, "terminal", true);
}
