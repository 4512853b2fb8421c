/** Recordings that are read again and again. */
import type { Batch } from "../src/stream/batch.ts";
import type { Source } from "../src/stream/source.ts";
import type { ListenStats } from "../src/stream/stats.ts";
import type { Recordings } from "./recordings.ts";

/** The same recordings, round after round. Its numbers are those of the first round: each finds the same. */
export class Rounds implements Source {
  /** The round that is read, from 1 on. */
  round = 1;
  readonly #first: Recordings;
  readonly #open: () => Promise<Recordings>;
  readonly #again: () => boolean;
  #current: Recordings;
  #isOver = false;

  /**
   * Begins with `first`. After each round `again` is asked, when everything was taken that it contained; `open` then opens the same
   * recordings once more.
   */
  constructor(first: Recordings, open: () => Promise<Recordings>, again: () => boolean) {
    this.#first = this.#current = first;
    this.#open = open;
    this.#again = again;
  }

  /** Size of what a round reads, in bytes; `undefined` if it is not known. */
  get size(): number | undefined {
    return this.#current.size;
  }

  /** How much of this round was read. */
  get bytesRead(): number {
    return this.#current.bytesRead;
  }

  /** What became of the packets of the first round. */
  get counts(): Recordings["counts"] {
    return this.#first.counts;
  }

  read(): Batch | undefined | Promise<Batch | undefined> {
    const batch = this.#current.read();
    return batch instanceof Promise ? batch.then((batch) => batch ?? this.#next()) : batch ?? this.#next();
  }

  end(): void {
    this.#isOver = true;
    this.#current.end();
  }

  async close(): Promise<void> {
    this.#isOver = true;
    await this.#current.close();
  }

  stats(): ListenStats {
    return this.#first.stats();
  }

  #next(): undefined | Promise<Batch | undefined> {
    return this.#isOver || !this.#again() ? undefined : this.#readAgain();
  }

  async #readAgain(): Promise<Batch | undefined> {
    await this.#current.close();
    const current = await this.#open();
    // It may have been ended in the meantime.
    if (this.#isOver) {
      await current.close();
      return undefined;
    }
    this.#current = current;
    this.round++;
    return await this.read();
  }
}
