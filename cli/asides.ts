/** Messages of a command that has a screen: the screen shows them, and standard error has them afterwards. */
import type { Io } from "./io.ts";

/** Maximum number of messages that are repeated at the end: older ones are no longer of interest. */
const MOST_ASIDES = 100;

/** Messages that arrive while there is a screen: shown there for a while, and repeated when the screen is gone. */
export class Asides {
  /** Shows a text; returns whether the screen has taken it. */
  take: (text: string) => boolean | void = () => false;
  readonly io: Io;
  readonly #io: Io;
  readonly #taken: string[] = [];

  constructor(io: Io) {
    this.#io = io;
    this.io = { ...io, err: (text) => this.#err(text) };
  }

  #err(text: string): void {
    if (this.take(text)) {
      this.#taken.push(text);
      if (this.#taken.length > MOST_ASIDES) this.#taken.shift();
      return;
    }
    for (const before of this.#taken.splice(0)) this.#io.err(before);
    this.#io.err(text);
  }
}
