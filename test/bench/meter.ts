/** What a process uses while samples come, as a stage in front of its sinks. */
import process from "node:process";
import type { Batch } from "../../src/stream/batch.ts";
import type { Stage } from "../../src/stream/stage.ts";
import { cpuNs, report } from "./measure.ts";

/** Measures from when a tenth of `count` samples had come, until all have. */
export class Meter implements Stage {
  readonly #count: number;
  readonly #done: () => void;
  readonly #inner: Stage | undefined;
  /** Samples that have arrived, or are known to be lost. */
  #accounted = 0;
  #start: { readonly cpuNs: number; readonly ms: number; readonly resident: number; readonly accounted: number } | undefined;

  /**
   * @param done Called when all have come.
   * @param inner What selects; by default everything.
   */
  constructor(count: number, done: () => void, inner?: Stage) {
    this.#count = count;
    this.#done = done;
    this.#inner = inner;
  }

  select(batch: Batch, pick: (i: number) => void): void {
    if (this.#inner) this.#inner.select(batch, pick);
    else for (let i = 0; i < batch.count; i++) pick(i);
    this.#accounted += batch.samples + batch.lost;
    if (!this.#start && this.#accounted >= this.#count / 10) {
      this.#start = { cpuNs: cpuNs(), ms: performance.now(), resident: process.memoryUsage().rss, accounted: this.#accounted };
    }
    if (this.#accounted >= this.#count) this.#done();
  }

  report(): void {
    const { cpuNs: before, ms, resident, accounted } = this.#start!;
    const spent = cpuNs() - before;
    report("cpu", spent / (this.#accounted - accounted));
    report("percent", spent / 1e4 / (performance.now() - ms));
    const { rss } = process.memoryUsage();
    report("growth", (rss - resident) / 1e6);
    report("resident", rss / 1e6);
  }
}
