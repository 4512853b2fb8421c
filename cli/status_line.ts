/** The last line of a terminal, which is written again and again while something goes on. */
import type { Io } from "./io.ts";

/** How often it is written. */
const EVERY_MS = 1000;

/** What is shown on standard error until something else is told there. */
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

  /** Takes it off the screen, for a line that stays. */
  clear(): void {
    if (this.#isVisible) this.#io.err("\r\x1b[K");
    this.#isVisible = false;
  }

  /** Takes it off the screen for good. */
  end(): void {
    clearInterval(this.#timer);
    this.clear();
  }
}
