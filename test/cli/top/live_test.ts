/** The live screen as a sink: what is drawn for incoming samples, and what keys do. */
import { test } from "node:test";
import { assert, assertEquals, assertMatch } from "@std/assert";
import { CountAt } from "../../../cli/top/count_at.ts";
import { Live, type LiveOptions } from "../../../cli/top/live.ts";
import type { Screen } from "../../../cli/top/terminal.ts";
import { Twice } from "../../../cli/top/twice.ts";
import { link } from "../../support/filters.ts";
import { NOTHING } from "../../../cli/session.ts";
import { RecordingFile } from "../../../src/receive/recording.ts";
import { IterableInput } from "../../../src/receive/recording_input.ts";
import type { Link } from "../../../src/link/link.ts";
import type { SampleView } from "../../../src/psample/sample_view.ts";
import { Calibration } from "../../../src/estimate/mod.ts";
import { type BatchBuffer, sampledIfindex } from "../../../src/stream/batch.ts";
import type { Stage } from "../../../src/stream/stage.ts";
import { recording, type Sampled } from "./samples.ts";

class FakeScreen implements Screen {
  readonly hasColors = false;
  lines: readonly string[] = [];
  closed = 0;
  columns = 80;
  rows = 24;
  size(): { columns: number; rows: number } {
    return this;
  }
  draw(lines: readonly string[]): void {
    // deno-lint-ignore no-control-regex -- what sets words off
    this.lines = lines.map((line) => line.replace(/\x1b\[\d*m/g, "").trimEnd());
  }
  close(): void {
    this.closed++;
  }
}

/** Those that draw. */
const drawing: Live[] = [];

/** A test of some of them, which end with it. */
function drawn(name: string, work: () => void | Promise<void>): void {
  test(name, async () => {
    try {
      await work();
    } finally {
      for (const one of drawing.splice(0)) one.abort();
    }
  });
}

function live(options: Partial<LiveOptions> = {}): { live: Live; screen: FakeScreen; quits: () => number } {
  const screen = new FakeScreen();
  let quits = 0;
  const live = new Live({
    title: () => "title",
    by: "ipsource",
    unit: "packets",
    flows: 100,
    only: [],
    isFiltered: false,
    speeds: () => new Map(),
    checkKeys: () => undefined,
    quit: () => quits++,
    ...options,
  });
  drawing.push(live);
  live.show(screen);
  live.start(NOTHING);
  return { live, screen, quits: () => quits };
}

/** Takes samples as if they arrived now. */
async function take(live: Live, samples: readonly Sampled[], devices?: readonly Link[]): Promise<void> {
  const source = new RecordingFile(
    new IterableInput((async function* (): AsyncGenerator<Uint8Array> {
      yield await Promise.resolve(recording(samples));
    })()),
  );
  for await (const batch of source.lentBatches()) {
    (batch as BatchBuffer).recorded = false;
    if (devices) batch.device = (i) => devices.find(({ index }) => index === sampledIfindex(batch.entries[i] as SampleView));
    live.take(batch);
  }
}

const rowsOf = ({ lines }: FakeScreen): string[] => {
  const heading = lines.findIndex((line) => /share$/.test(line));
  return lines.slice(heading + 1, lines.findIndex((line, i) => i > heading && line === "")).map((line) => line.split(/ {2,}/)[0]!);
};

drawn("labels are drawn, whatever the keys", async () => {
  const { live: sink, screen } = live({ by: "group", labels: { groups: new Map([[7, "edge"]]), vlans: new Map([[42, "dmz"]]) } });
  await take(sink, [{ vlan: 42 }]);
  sink.changed();
  assertEquals(rowsOf(screen), ["7 (edge)"]);
  sink.typed("K\x15vlan\r");
  await take(sink, [{ vlan: 42 }]);
  sink.changed();
  assertEquals(rowsOf(screen), ["42 (dmz)"]);
});

drawn("what counts twice is reported while it does, by the present topology", async () => {
  const devices = [link({ index: 3, name: "eth0" }), link({ index: 4, name: "eth1", kind: "vlan", lowerIndex: 3 })];
  const links = { version: 1, links: () => devices };
  const twice = new Twice(links);
  const { live: sink, screen } = live({ twice });
  const told = (): string | undefined => screen.lines.find((line) => /counted twice/.test(line));
  await take(sink, [{}, { out: true }]);
  sink.changed();
  assertEquals(told(), undefined);
  // Both on the way out: the VLAN and its parent.
  await take(sink, [{}, { forwarded: true }]);
  sink.changed();
  assertMatch(told()!, /^counted twice \(--count-at lower,in counts it once\): what passes eth0 out/);
  devices[1] = link({ index: 4, name: "eth1" });
  links.version++;
  sink.changed();
  assertEquals(told(), "counted twice (--count-at in counts it once): what passes eth0 in and eth1 out");
});

drawn("--count-at by the relations of devices", async () => {
  const devices = [link({ index: 3, name: "eth0", masterIndex: 4 }), link({ index: 4, name: "eth1", kind: "bridge" })];
  const counted = async (...values: string[]): Promise<[string[], string[]]> => {
    const twice = new Twice({ version: 1, links: () => devices }, !values.includes("in"));
    const countAt = new CountAt(values, twice);
    const { live: sink, screen } = live({ by: "device,direction", only: [countAt], twice, leftOut: countAt.leftOut });
    await take(sink, [{}, { forwarded: true }], devices);
    sink.changed();
    const rows = screen.lines.filter((line) => /^eth\d {3,}(in|out) /.test(line)).map((line) => line.split(/ {2,}/).slice(0, 2).join(" "));
    return [rows, [...countAt.leftOut]];
  };
  const both = [["eth0 in", "eth1 out"], []];
  assertEquals(await counted("port"), [["eth0 in"], ["eth1 out"]]);
  assertEquals(await counted("lower"), [["eth0 in"], ["eth1 out"]]);
  assertEquals(await counted("bridge"), [["eth1 out"], ["eth0 in"]]);
  assertEquals(await counted("upper"), [["eth1 out"], ["eth0 in"]]);
  assertEquals(await counted("in"), [["eth0 in"], ["eth1 out"]]);
  assertEquals(await counted("eth0", "port"), [["eth0 in"], ["eth1 out"]]);
  assertEquals(await counted("eth0", "bridge"), [[], ["eth0 in", "eth1 out"]]);
  assertEquals((await counted("eth0", "eth1"))[0].sort(), both[0]);
});

drawn("flows are drawn as they arrive, ordered by traffic or by name, with the typed keys and filter", async () => {
  const { live: sink, screen, quits } = live();
  await take(sink, [{ from: 9 }, { from: 9 }, { from: 9 }, { from: 10 }, { from: 10 }, { from: 2 }]);
  assertEquals(sink.written, 6);
  sink.changed();
  assertEquals(rowsOf(screen), ["10.0.0.9", "10.0.0.10", "10.0.0.2"]);
  sink.typed("s");
  assertEquals(rowsOf(screen), ["10.0.0.2", "10.0.0.9", "10.0.0.10"]);
  sink.typed("/src host 10.0.0.9\r");
  assertMatch(screen.lines[1]!, /^0 samples in .*; filter: src host 10\.0\.0\.9$/);
  await take(sink, [{ from: 9 }, { from: 10 }]);
  sink.typed("s");
  assertEquals(rowsOf(screen), ["10.0.0.9"]);
  sink.typed("/\x15\rK\x15udpdestinationport\r");
  await take(sink, [{ from: 9 }, { from: 10 }]);
  sink.changed();
  assertEquals(rowsOf(screen), ["53"]);
  assertEquals(quits(), 0);
  sink.typed("q");
  assertEquals(quits(), 1);
  await sink.close();
  assertEquals(screen.closed, 1);
});

drawn("the kernel's counters make the totals exact, for each view from its own start", async () => {
  const made: Calibration[] = [];
  const begun: unknown[] = [];
  const calibration: LiveOptions["calibration"] = (options, before, isFirst) => {
    begun.push([options.isFiltered, before === made.at(-1), isFirst]);
    made.push(new Calibration(options));
    return made.at(-1)!;
  };
  const { live: sink, screen } = live({ calibration });
  const text = (): string => screen.lines.join("\n");
  const count = (packets: number, seconds: number): void => {
    const counts = [{ ifindex: 3, direction: "in", oneIn: 100, trials: packets, packets }] as const;
    made.at(-1)!.count(counts, BigInt(Date.now() + 1000 * seconds) * 1_000_000n);
  };
  count(0, 0);
  await take(sink, [{}, {}, {}]);
  sink.changed();
  assert(!text().includes("calibrated"), text());
  count(12_345, 1);
  sink.changed();
  assertMatch(text(), /^eth0 in .*±0%$/m);
  assertMatch(text(), /calibrated by the kernel's counters: eth0 in/);
  sink.typed("/udp\r");
  count(20_000, 2);
  await take(sink, [{}]);
  sink.changed();
  assert(!text().includes("calibrated"), text());
  count(20_100, 3);
  sink.changed();
  assertMatch(text(), /calibrated by the kernel's counters: eth0 in/);
  sink.abort();
  // Before there was anything to show, at the start, and with the typed filter.
  assertEquals(begun, [[false, true, false], [false, true, true], [true, true, false]]);
});

drawn("what --match leaves out, the kernel's counters leave out too", async () => {
  const begun: unknown[] = [];
  const calibration: LiveOptions["calibration"] = (options) => {
    begun.push(options.isFiltered);
    return new Calibration(options);
  };
  const { live: sink } = live({ calibration, isFiltered: true });
  sink.typed("/udp\r");
  await sink.close();
  assertEquals(begun, [false, false, true]);
});

drawn("a filter looks at each batch once, for the estimates and for the counters", async () => {
  let looks = 0;
  const even: Stage = {
    select: (batch, pick) => {
      looks++;
      for (let i = 0; i < batch.count; i += 2) pick(i);
    },
  };
  let calibration: Calibration | undefined;
  const { live: sink, screen } = live({ only: [even], calibration: (options) => calibration = new Calibration(options) });
  sink.typed("/src host 10.0.0.1 or src host 10.0.0.2\r");
  calibration!.count([{ ifindex: 3, direction: "in", oneIn: 100, trials: 0, packets: 0 }], BigInt(Date.now()) * 1_000_000n);
  await take(sink, [{ from: 1 }, { from: 2 }, { from: 3 }]);
  sink.changed();
  assertEquals(rowsOf(screen), ["10.0.0.1"]);
  assertEquals(looks, 1);
  await take(sink, [{ from: 2 }, { from: 1 }]);
  sink.changed();
  assertEquals(rowsOf(screen).sort(), ["10.0.0.1", "10.0.0.2"]);
  assertEquals(looks, 2);
  sink.abort();
});

drawn("a paused screen stays; counting continues", async () => {
  const { live: sink, screen } = live();
  await take(sink, [{ from: 1 }]);
  sink.typed("p");
  const before = screen.lines;
  await take(sink, [{ from: 2 }]);
  sink.changed();
  assertEquals(screen.lines.slice(1), before.slice(1));
  assertMatch(screen.lines[0]!, /PAUSED/);
  sink.typed("p");
  assertEquals(rowsOf(screen).sort(), ["10.0.0.1", "10.0.0.2"]);
  sink.abort();
});

drawn("more flows than fit are scrolled, not beyond the last", async () => {
  const { live: sink, screen } = live();
  await take(sink, Array.from({ length: 50 }, (_, i) => Array.from({ length: 60 - i }, () => ({ from: i + 1 }))).flat());
  sink.changed();
  const first = rowsOf(screen);
  assertEquals(first[0], "10.0.0.1");
  assert(first.length > 5 && first.length < 24);
  sink.typed("\x1b[B");
  assertEquals(rowsOf(screen)[0], "10.0.0.2");
  for (let i = 0; i < 20; i++) sink.typed("\x1b[6~");
  assertEquals(rowsOf(screen), ["10.0.0.50"]);
  sink.typed("\x1b[H");
  assertEquals(rowsOf(screen)[0], "10.0.0.1");
  sink.abort();
});

drawn("messages are shown; a closed terminal ends it without an error, a failing one with an error", async () => {
  const { live: sink, screen } = live();
  assert(sink.tell("psample: eth0 is down\n"));
  assert(screen.lines.includes("eth0 is down"));
  sink.tell("psample: of \x1b]0;owned\x07\nsomebody\u202e\n");
  assert(screen.lines.includes("of \\x1b]0;owned\\x07 somebody\\xe2\\x80\\xae"));
  sink.failed(undefined);
  assertEquals(await sink.ended, undefined);
  const { live: broken } = live();
  const error = new Error("no");
  broken.failed(error);
  assertEquals(await broken.ended, error);
  for (const one of [sink, broken]) one.abort();
  assertEquals(sink.isShown, false);
});
