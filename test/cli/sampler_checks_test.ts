/** Whether a sampler keeps to its rate, from counters and samples that are read at different times. */
import { test } from "node:test";
import { assertEquals, assertMatch } from "@std/assert";
import { SamplerChecks } from "../../cli/sampler_checks.ts";
import { NOTHING } from "../../cli/session.ts";
import type { SamplerCounts } from "../../src/estimate/mod.ts";
import { BatchBuffer, type EntryView } from "../../src/stream/batch.ts";
import type { ListenStats } from "../../src/stream/stats.ts";

/** A batch of samples of packets that leave through eth0; `more`: whether others are queued after them. */
function batchOf(samples: number, more = false): BatchBuffer {
  const batch = new BatchBuffer();
  for (let i = 0; i < samples; i++) {
    batch.add({ type: "sample", group: 1, nsid: undefined, portId: 0, inIfindex: undefined, outIfindex: 2 } as unknown as EntryView, 0);
  }
  batch.more = more;
  return batch;
}

/** A sampler, with its counter and its samples. */
class Scene {
  readonly checks = new SamplerChecks();
  stats: ListenStats = NOTHING.stats();
  #coming: BatchBuffer | undefined;
  readonly #source = this.checks.follow({ ...NOTHING, read: () => this.#coming, stats: () => this.stats });
  readonly #oneIn: number;

  constructor(oneIn: number) {
    this.#oneIn = oneIn;
    this.counted(0);
  }

  /** The counter reports this many packets. */
  counted(trials: number | undefined): void {
    const counts: SamplerCounts = { ifindex: 2, direction: "out", oneIn: this.#oneIn, trials, packets: trials };
    this.checks.begin();
    this.checks.end([counts], new Map([[2, "eth\x1b0"]]));
  }

  /** This many samples arrive. */
  came(samples: number, more = false): void {
    this.#coming = batchOf(samples, more);
    this.#source.read();
    let passed = 0;
    this.checks.select(this.#coming, () => passed++);
    assertEquals(passed, samples);
  }

  /** The source ends after everything that was queued. */
  end(): void {
    this.#source.end();
    this.#coming = undefined;
    this.#source.read();
  }
}

test("too few: only for packets all of whose samples have arrived", () => {
  const scene = new Scene(10);
  scene.came(0);
  scene.counted(10_000);
  // Most may still be queued.
  scene.came(100, true);
  scene.counted(10_000);
  assertEquals(scene.checks.fault(), undefined);
  scene.came(100);
  assertEquals(
    scene.checks.fault(),
    "the sampler of eth\\x1b0 out does not keep to its rate: 1 in 10 of 10,000 packets is about 1,000 samples, and there were 200",
  );
});

test("too few: at the end all samples of counted packets have arrived", () => {
  const scene = new Scene(10);
  scene.came(0);
  scene.counted(10_000);
  scene.came(10, true);
  assertEquals(scene.checks.fault(), undefined);
  scene.end();
  assertMatch(scene.checks.fault()!, /, and there were 10$/);
});

test("lost samples were taken", () => {
  const scene = new Scene(10);
  scene.came(0);
  scene.counted(10_000);
  scene.stats = { ...scene.stats, lost: 890 };
  scene.came(100);
  assertEquals(scene.checks.fault(), undefined);
  scene.stats = { ...scene.stats, lost: 2000 };
  scene.counted(10_000);
  assertMatch(scene.checks.fault()!, /, and there were 2,100$/);
});

test("too many: only compared with packets that were counted later", () => {
  const scene = new Scene(10);
  scene.came(3000);
  assertEquals(scene.checks.fault(), undefined);
  scene.counted(30_000);
  assertEquals(scene.checks.fault(), undefined);
  scene.came(3000);
  scene.counted(31_000);
  assertMatch(scene.checks.fault()!, /1 in 10 of 31,000 packets is about 3,100 samples, and there were 6,000$/);
});

test("without rule hits, or if they start again, nothing is reported", () => {
  const scene = new Scene(1);
  scene.counted(undefined);
  scene.came(50);
  assertEquals(scene.checks.fault(), undefined);
  const again = new Scene(1);
  again.came(50);
  again.counted(50);
  again.came(0);
  again.counted(0);
  again.came(50);
  assertEquals(again.checks.fault(), undefined);
});

test("a sampler that keeps to its rate is not reported, however it is checked", () => {
  const scene = new Scene(1);
  let trials = 0;
  for (let look = 1; look < 200; look++) {
    // Some are counted before they arrive, some arrive before they are counted.
    scene.came(100, look % 3 === 0);
    trials += 100;
    scene.counted(trials + look % 7);
  }
  scene.end();
  assertEquals(scene.checks.fault(), undefined);
});

test("it begins again when a sampler is set up again, whose counters do too", () => {
  const scene = new Scene(10);
  scene.came(1000);
  scene.counted(10_000);
  scene.came(0);
  assertEquals([scene.checks.fault(), scene.checks.deviates(2, "out")], [undefined, false]);
  // Without this, 1000 samples would be those of the few packets of the new counter.
  scene.checks.restart();
  scene.counted(50);
  scene.came(5);
  scene.counted(100);
  scene.came(0);
  scene.counted(150);
  assertEquals([scene.checks.fault(), scene.checks.deviates(2, "out")], [undefined, false]);
  scene.came(0);
  scene.counted(100_000);
  scene.came(0);
  scene.counted(100_001);
  assertEquals([scene.checks.deviates(2, "out"), scene.checks.deviates(2, "in"), scene.checks.deviates(3, "out")], [true, false, false]);
});
