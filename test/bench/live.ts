/** What `psample top` does with samples, as the bench measures it. */
import { writeSync } from "node:fs";
import { DEFAULT_KEYS } from "../../src/estimate/mod.ts";
import { pump } from "../../src/stream/pump.ts";
import { loadSys } from "../../src/sys/load.ts";
import { Tally } from "../../cli/tally.ts";
import { countingAt } from "../../cli/top/count_at.ts";
import { Live } from "../../cli/top/live.ts";
import type { Screen } from "../../cli/top/terminal.ts";
import { manyDevices, open } from "./listener.ts";
import { report } from "./measure.ts";
import { Meter } from "./meter.ts";

/** As many flows as the command tells apart. */
const FLOWS = 1 << 12;

/** A screen that nobody looks at, on standard output. */
const SCREEN: Screen = {
  size: () => ({ columns: 120, rows: 40 }),
  hasColors: true,
  draw: (lines) => writeSync(1, `${lines.join("\n")}\n`),
  close: () => {},
};

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
  }, new Tally());
  report("port", port);
  const { stats } = await pump(listener, [meter], [live]);
  report("lost", stats.lost);
  report("missing", count - stats.received - stats.lost);
}
