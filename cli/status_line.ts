/** The last line of a terminal, which is rewritten while something is in progress. */
import type { Io } from "./io.ts";

/** How often it is rewritten. */
const EVERY_MS = 1000;

/** A line shown on standard error until something else is printed there. */
export class StatusLine {
  readonly #io: Io;
  #timer: ReturnType<typeof setInterval> | undefined;
  #isVisible = false;

  constructor(io: Io) {
    this.#io = io;
  }

  /** Shows what `text` returns, every second from now on. */
  start(text: () => string): void {
    this.#timer = setInterval(() => {
      this.#isVisible = true;
      this.#io.err(`\r\x1b[K${text()}`);
    }, EVERY_MS);
  }

  /** Erases it, to make room for a line that stays. */
  clear(): void {
    if (this.#isVisible) this.#io.err("\r\x1b[K");
    this.#isVisible = false;
  }

  /** Erases it for good. */
  end(): void {
    clearInterval(this.#timer);
    this.clear();
  }
}
