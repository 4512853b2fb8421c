/** The sinks of a pump, which may come and go while it runs. */
import type { Sink, SinkSummary } from "./sink.ts";

/** What a running pump does for its set. */
export interface SinkHolder {
  /** Samples handed on so far, after stages and limits. */
  readonly samples: number;
  /** How many of them were for this sink; `undefined` if it is none of the pump's. */
  samplesFor(sink: Sink): number | undefined;
  /** Hands the sink everything from the next batch on. */
  add(sink: Sink): void;
  /** Hands the sink nothing more, and closes it. */
  remove(sink: Sink): Promise<SinkSummary>;
}

/** Tells a set which pump it is for. Returns the sinks that the pump begins with. */
export let attachPump: (set: SinkSet, pump: SinkHolder) => readonly Sink[];
/** Tells a set that its pump takes no more sinks, and closes them itself. */
export let detachPump: (set: SinkSet) => void;

/**
 * Sinks for {@linkcode pump} that may be added and removed while it runs. Those that stay are not affected: they are handed every batch.
 *
 * A pump ends when the last of its sinks has failed, or its reader has gone; it does not end because sinks are removed. While there are
 * none, samples are read and counted, and go nowhere.
 *
 * @example Send samples to another collector, without losing one for the first
 * ```ts ignore
 * import { listen, pump, sflowTo, SinkSet, watchLinks } from "@psample/psample";
 *
 * const agent = "192.0.2.1";
 * const sinks = new SinkSet([await sflowTo("192.0.2.9", { agent })]);
 * const running = pump(await listen({ events: false, devices: await watchLinks() }), [], sinks, { durationMs: 2000 });
 * const other = await sflowTo("192.0.2.10", { agent });
 * sinks.add(other);
 * await new Promise((resolve) => setTimeout(resolve, 1000));
 * const removed = await sinks.remove(other);
 * console.log(removed?.written, "samples were sent to the other one");
 * await running;
 * ```
 *
 * @category Pump
 */
export class SinkSet {
  #sinks: readonly Sink[];
  #pump: SinkHolder | undefined;
  #isOver = false;

  /** A set of these, for one pump. */
  constructor(sinks: readonly Sink[] = []) {
    this.#sinks = sinks;
  }

  /** The sinks that are in the set now, in the order in which they were added. */
  get sinks(): readonly Sink[] {
    return this.#sinks;
  }

  /** Samples handed on so far by the pump. */
  get samples(): number {
    return this.#pump?.samples ?? 0;
  }

  /** How many of them were for this sink: those after it was added. */
  samplesFor(sink: Sink): number {
    return this.#pump?.samplesFor(sink) ?? 0;
  }

  /**
   * Adds a sink: it is handed everything from the next batch on.
   *
   * @returns `false` if the pump has ended. Then the sink is not used, and the caller still has to close it.
   */
  add(sink: Sink): boolean {
    if (this.#isOver) return false;
    this.#sinks = [...this.#sinks, sink];
    this.#pump?.add(sink);
    return true;
  }

  /**
   * Removes a sink: it is handed nothing more, delivers what it has within {@linkcode PumpOptions.deliverMs}, and is closed.
   *
   * @returns What became of it, when it is closed; `undefined` if it is not in the set, or no pump has begun or the pump has ended, which
   * closes all sinks itself. Then it is only forgotten.
   */
  async remove(sink: Sink): Promise<SinkSummary | undefined> {
    if (!this.#sinks.includes(sink)) return undefined;
    this.#sinks = this.#sinks.filter((other) => other !== sink);
    return this.#isOver ? undefined : await this.#pump?.remove(sink);
  }

  static {
    attachPump = (set, pump) => {
      set.#pump = pump;
      return set.#sinks;
    };
    detachPump = (set) => void (set.#isOver = true);
  }
}
