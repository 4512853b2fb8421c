/** What `psample top` does with samples, as the bench measures it. */
import { writeSync } from "node:fs";
import process from "node:process";
import { DEFAULT_KEYS } from "../../src/estimate/mod.ts";
import type { Batch } from "../../src/stream/batch.ts";
import { pump } from "../../src/stream/pump.ts";
import type { Stage } from "../../src/stream/stage.ts";
import { loadSys } from "../../src/sys/load.ts";
import { Tally } from "../../cli/tally.ts";
import { countingAt } from "../../cli/top/count_at.ts";
import { Live } from "../../cli/top/live.ts";
import type { Screen } from "../../cli/top/terminal.ts";
import { manyDevices, open } from "./listener.ts";
import { cpuNs, report } from "./measure.ts";

/** As many flows as the command tells apart. */
const FLOWS = 1 << 12;

/** A screen that nobody looks at, on standard output. */
const SCREEN: Screen = {
  size: () => ({ columns: 120, rows: 40 }),
  hasColors: true,
  draw: (lines) => writeSync(1, `${lines.join("\n")}\n`),
  close: () => {},
};

/** The stage that the command has, and what the process has used since a tenth of `count` samples had come, until all have. */
class Meter implements Stage {
  readonly #count: number;
  readonly #done: () => void;
  readonly #tally = new Tally();
  /** Samples that have arrived, or are known to be lost. */
  #accounted = 0;
  #start: { readonly cpuNs: number; readonly ms: number; readonly resident: number } | undefined;

  constructor(count: number, done: () => void) {
    this.#count = count;
    this.#done = done;
  }

  select(batch: Batch, pick: (i: number) => void): void {
    this.#tally.select(batch, pick);
    this.#accounted += batch.samples + batch.lost;
    if (!this.#start && this.#accounted >= this.#count / 10) {
      this.#start = { cpuNs: cpuNs(), ms: performance.now(), resident: process.memoryUsage().rss };
    }
    if (this.#accounted >= this.#count) this.#done();
  }

  report(): void {
    const { cpuNs: before, ms, resident } = this.#start!;
    report("percent", (cpuNs() - before) / 1e4 / (performance.now() - ms));
    const { rss } = process.memoryUsage();
    report("growth", (rss - resident) / 1e6);
    report("resident", rss / 1e6);
  }
}

/** Shows on a screen what `count` samples stand for, which another process sends to the reported port. */
export async function topLive(count: number): Promise<void> {
  const devices = manyDevices(4);
  const { listener, port } = await open(await loadSys(), { devices });
  const { twice, stages } = countingAt(undefined, devices);
  const live = new Live({
    title: () => "psample top",
    by: DEFAULT_KEYS,
    unit: "bits",
    flows: FLOWS,
    only: stages,
    isFiltered: false,
    speeds: () => new Map(),
    twice,
    checkKeys: () => undefined,
    quit: () => {},
  });
  live.show(SCREEN);
  live.start(listener);
  const meter = new Meter(count, () => {
    meter.report();
    listener.end();
  });
  report("port", port);
  const { stats } = await pump(listener, [meter], [live]);
  report("lost", stats.lost);
  report("missing", count - stats.received - stats.lost);
}
