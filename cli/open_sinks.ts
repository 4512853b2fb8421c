/** Sinks that are opened together, unless they are open already. */
import type { Sink } from "../mod.ts";

/** The sinks of a reload: those that are wanted as they are stay open. */
export class OpenSinks {
  readonly #before: ReadonlyMap<string, Sink>;
  readonly #fresh: Sink[] = [];
  /** All sinks, by what they are made of. */
  readonly sinks = new Map<string, Sink>();

  /** Takes from these the sinks that are open already. */
  constructor(before: ReadonlyMap<string, Sink> = new Map()) {
    this.#before = before;
  }

  /** The sink that is made of this, everything that its work depends on; `open` is called if there is none. */
  async take<Open extends Sink>(madeOf: readonly unknown[], open: () => Promise<Open>): Promise<Open> {
    const key = JSON.stringify(madeOf, (_, value) => value instanceof Map ? [...value] : value);
    let sink = this.#before.get(key) as Open | undefined;
    if (sink === undefined) {
      sink = await open();
      this.#fresh.push(sink);
    }
    this.sinks.set(key, sink);
    return sink;
  }

  /** Closes those that were opened here; what was open before stays. */
  abort(): void {
    for (const sink of this.#fresh) sink.abort();
  }
}
