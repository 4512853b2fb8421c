import { test } from "node:test";
import { assert, assertEquals } from "@std/assert";
import { Ledger, MOST_PRODUCERS } from "../../src/receive/ledger.ts";
import type { GroupStats, ListenStats } from "../../src/stream/stats.ts";
import type { GroupEvent } from "../../src/psample/group.ts";
import type { SampleFields } from "../../src/psample/sample.ts";
import { decodeSample } from "../../src/psample/sample_decoder.ts";
import { messageOf } from "../../src/wire/message.ts";
import { message } from "../psample/build.ts";

type Init = { group?: number | undefined; nsid?: number; portId?: number; rateIsProbability?: boolean };

const NOTHING = { ...decodeSample(messageOf(message([]), true)) };

function sample(sequence: number | undefined, init: Init = {}): SampleFields {
  return { ...NOTHING, group: 1, sequence, ...init };
}

/** Enters samples with these sequence numbers. */
function enter(ledger: Ledger, sequences: readonly (number | undefined)[], init: Init = {}): (number | undefined)[] {
  return sequences.map((sequence) => ledger.sample(sample(sequence, init)));
}

/** What is known of one group after samples with these sequence numbers. */
function after(sequences: readonly (number | undefined)[], init: Init = {}): Partial<GroupStats> {
  const ledger = new Ledger();
  enter(ledger, sequences, init);
  const { received, lost, numbered } = ledger.stats(0).groups[0]!;
  return { received, lost, numbered };
}

function event(type: GroupEvent["type"], init: Partial<GroupEvent> = {}): GroupEvent {
  return { type, group: 1, sequence: 0, refcount: 0, nsid: undefined, portId: 0, ...init };
}

function losses({ lost, gaps, dropped }: ListenStats): Record<string, number> {
  return { lost, gaps, dropped };
}

const GROUP: GroupStats = {
  group: 1,
  nsid: undefined,
  portId: 0,
  received: 0,
  lost: 0,
  late: 0,
  duplicates: 0,
  restarts: 0,
  numbered: true,
  contradictory: false,
};

test("Ledger without a sample reports nothing", () => {
  assertEquals(new Ledger().stats(4096), {
    received: 0,
    events: 0,
    lost: 0,
    gaps: 0,
    dropped: 0,
    late: 0,
    duplicates: 0,
    malformed: 0,
    lastMalformed: undefined,
    unknown: 0,
    filtered: false,
    receiveBufferBytes: 4096,
    groups: [],
    others: { received: 0, lost: 0, late: 0, duplicates: 0 },
  });
});

test("Ledger reports with each sample how many more are missing", () => {
  const ledger = new Ledger();
  assertEquals(enter(ledger, [5, 6, 9, 8, 8, 10, 2, 3]), [0, 0, 2, -1, 0, 0, 0, 1 - 1]);
  const { lost, late, duplicates, groups } = ledger.stats(0);
  assertEquals({ lost, late, duplicates }, { lost: 1, late: 1, duplicates: 1 });
  assertEquals(groups, [{ ...GROUP, received: 8, lost: 1, late: 1, duplicates: 1, restarts: 1 }]);
});

test("Ledger reports no losses for producers that number nothing: Open vSwitch, mlx5, and those without numbers", () => {
  assertEquals(after([0, 0, 0, 0], { rateIsProbability: true }), { received: 4, lost: 0, numbered: false });
  assertEquals(after([0]), { received: 1, lost: 0, numbered: true });
  assertEquals(after([0, 0]), { received: 2, lost: 0, numbered: false });
  assertEquals(after([0, 0, 0, 0]), { received: 4, lost: 0, numbered: false });
  assertEquals(after([undefined, undefined]), { received: 2, lost: 0, numbered: false });
  const ledger = new Ledger();
  assertEquals(enter(ledger, [0, 0, 0]), [0, undefined, undefined]);
  assertEquals(enter(ledger, [0, 0], { group: 2, rateIsProbability: true }), [undefined, undefined]);
  assertEquals(enter(ledger, [undefined], { group: 3 }), [undefined]);
});

test("Ledger counts once a producer that numbers takes over the group", () => {
  assertEquals(after([0, 0, 0, 1, 2, 5]), { received: 6, lost: 2, numbered: true });
  assertEquals(after([0, 0, 0, 700, 701, 703]), { received: 6, lost: 1, numbered: true });
});

test("Ledger distinguishes the producers of one group: the kernel, each process, each namespace", () => {
  const ledger = new Ledger();
  for (let i = 0; i < 100; i++) {
    enter(ledger, [1000 + i]);
    enter(ledger, [500_000 + i], { portId: 77 });
    if (i !== 50) enter(ledger, [7 * i], { portId: 78 });
    enter(ledger, [i], { nsid: 0 });
  }
  assertEquals(ledger.stats(0).groups, [
    { ...GROUP, received: 100 },
    { ...GROUP, portId: 77, received: 100 },
    { ...GROUP, portId: 78, received: 99, lost: 98 * 6 + 7 },
    { ...GROUP, nsid: 0, received: 100 },
  ]);
});

test("Ledger keeps groups apart, however they alternate", () => {
  const ledger = new Ledger();
  for (let i = 0; i < 50; i++) {
    for (let group = 0; group < 40; group++) enter(ledger, [group + i * (1 + group % 3)], { group });
  }
  const { received, lost, groups } = ledger.stats(0);
  assertEquals([received, groups.map(({ group }) => group)], [50 * 40, Array.from({ length: 40 }, (_, i) => i)]);
  assertEquals(groups.map((group) => group.lost), Array.from({ length: 40 }, (_, i) => 49 * (i % 3)));
  assertEquals(lost, groups.reduce((sum, group) => sum + group.lost, 0));
});

test("Ledger sorts by namespace, its own first, by group, samples without one first, and by port", () => {
  const ledger = new Ledger();
  for (const init of [{ group: 3, nsid: 1 }, { group: 4294967295 }, { group: 2, portId: 9 }, { group: 2 }, { group: 1, nsid: 1 }]) {
    enter(ledger, [0], init);
  }
  enter(ledger, [0], { group: undefined });
  assertEquals(ledger.stats(0).groups.map(({ group, nsid, portId }) => [nsid, group, portId]), [
    [undefined, undefined, 0],
    [undefined, 2, 0],
    [undefined, 2, 9],
    [undefined, 4294967295, 0],
    [1, 1, 0],
    [1, 3, 0],
  ]);
});

// ---- what is known for certain

test("Ledger: a group that is created again begins its numbers again, and the first of them can be lost", () => {
  for (const complete of [false, true]) {
    const ledger = new Ledger({ complete });
    enter(ledger, [7, 8]);
    ledger.event(event("group-deleted", { sequence: 9 }));
    ledger.event(event("group-created"));
    assertEquals(enter(ledger, [4, 5, 7]), [4, 0, 1]);
    const { events, lost, groups } = ledger.stats(0);
    assertEquals({ events, lost, restarts: groups[0]!.restarts }, { events: 2, lost: 5, restarts: 1 });
  }
});

test("Ledger: the last samples of a group that is deleted are lost, if all were to arrive", () => {
  const ledger = new Ledger({ complete: true });
  enter(ledger, [7, 8]);
  assertEquals(ledger.event(event("group-deleted", { sequence: 12 })), 3);
  assertEquals(enter(ledger, [10]), [-1]);
  assertEquals(losses(ledger.stats(0)), { lost: 2, gaps: 2, dropped: 0 });
  const some = new Ledger();
  enter(some, [7, 8]);
  assertEquals([some.event(event("group-deleted", { sequence: 12 })), some.lost], [0, 0]);
});

test("Ledger: all samples of a group that was created and deleted unheard are lost, if all were to arrive", () => {
  const ledger = new Ledger({ complete: true });
  ledger.event(event("group-created", { group: 9 }));
  assertEquals(ledger.stats(0).groups, []);
  ledger.event(event("group-deleted", { group: 9, sequence: 7 }));
  assertEquals(ledger.stats(0).groups, [{ ...GROUP, group: 9, lost: 7 }]);
  // Nothing is known about a group that existed before.
  ledger.event(event("group-deleted", { group: 10, sequence: 7 }));
  assertEquals(ledger.stats(0).lost, 7);
});

test("Ledger creates no entry for an event about a group that sent nothing, if the source is not complete", () => {
  const ledger = new Ledger();
  ledger.event(event("group-created", { group: 9 }));
  ledger.event(event("group-deleted", { group: 9, sequence: 4 }));
  assertEquals([ledger.stats(0).events, ledger.stats(0).groups.length, ledger.lost], [2, 0, 0]);
});

test("Ledger assigns an event to the kernel's group in that namespace, and believes no process", () => {
  const ledger = new Ledger();
  enter(ledger, [7]);
  enter(ledger, [20], { nsid: 2 });
  enter(ledger, [30], { portId: 5 });
  ledger.event(event("group-created", { nsid: 2 }));
  ledger.event(event("group-created", { portId: 5 }));
  enter(ledger, [8]);
  enter(ledger, [0], { nsid: 2 });
  enter(ledger, [31], { portId: 5 });
  assertEquals(ledger.stats(0).groups.map(({ nsid, portId, restarts, lost }) => ({ nsid, portId, restarts, lost })), [
    { nsid: undefined, portId: 0, restarts: 0, lost: 0 },
    { nsid: undefined, portId: 5, restarts: 0, lost: 0 },
    { nsid: 2, portId: 0, restarts: 1, lost: 0 },
  ]);
});

test("Ledger: after the module was unloaded all groups of the kernel are numbered from 0, also new ones", () => {
  const ledger = new Ledger({ complete: true });
  enter(ledger, [100, 101]);
  enter(ledger, [50], { portId: 5 });
  ledger.unloaded();
  assertEquals(enter(ledger, [7, 8, 9, 10, 11]), [7, 0, 0, 0, 0]);
  assertEquals(enter(ledger, [3], { group: 2 }), [3]);
  assertEquals(enter(ledger, [51], { portId: 5 }), [0]);
  assertEquals(enter(ledger, [9], { group: 2, portId: 5 }), [0]);
  // Open vSwitch numbers nothing.
  assertEquals(enter(ledger, [0, 0, 0], { group: 4, rateIsProbability: true }), [undefined, undefined, undefined]);
  const { received, lost, groups } = ledger.stats(0);
  assertEquals([received, lost, groups[0]!.restarts], [14, 10, 1]);
});

// ---- what the socket dropped

test("Ledger adds up a 32-bit counter that wraps", () => {
  const ledger = new Ledger();
  assertEquals([0, 4294967290, 4294967290, 5].map((counter) => ledger.drops(counter)), [false, true, false, true]);
  assertEquals(ledger.stats(0).dropped, 4294967290 + 11);
});

test("lost is one complete figure: drops that a gap accounts for are in it once", () => {
  const ledger = new Ledger();
  enter(ledger, [0, 1]);
  ledger.drops(10);
  // It is not known yet which group they belonged to.
  assertEquals(losses(ledger.stats(0)), { lost: 10, gaps: 0, dropped: 10 });
  enter(ledger, [8]);
  assertEquals(losses(ledger.stats(0)), { lost: 10, gaps: 6, dropped: 10 });
  enter(ledger, [15]);
  assertEquals(losses(ledger.stats(0)), { lost: 12, gaps: 12, dropped: 10 });
  // The others belonged to a producer that numbers nothing, or to a group that never appears again.
  ledger.drops(13);
  enter(ledger, [16]);
  assertEquals(losses(ledger.stats(0)), { lost: 15, gaps: 12, dropped: 13 });
});

test("a gap from before anything was dropped is a loss of its own", () => {
  const ledger = new Ledger();
  enter(ledger, [0, 5]);
  ledger.drops(4);
  assertEquals(losses(ledger.stats(0)), { lost: 8, gaps: 4, dropped: 4 });
});

test("late samples were not dropped: others were", () => {
  const ledger = new Ledger();
  enter(ledger, [0]);
  ledger.drops(2);
  enter(ledger, [5]);
  assertEquals(losses(ledger.stats(0)), { lost: 4, gaps: 4, dropped: 2 });
  enter(ledger, [1, 2, 3]);
  assertEquals(losses(ledger.stats(0)), { lost: 2, gaps: 1, dropped: 2 });
  enter(ledger, [4]);
  assertEquals(losses(ledger.stats(0)), { lost: 2, gaps: 0, dropped: 2 });
});

test("a repeated number hides a loss, the socket's drops do not", () => {
  const ledger = new Ledger();
  enter(ledger, [0, 1]);
  ledger.drops(1);
  enter(ledger, [1, 2]);
  assertEquals(losses(ledger.stats(0)), { lost: 1, gaps: 0, dropped: 1 });
});

test("drops are counted before the gap that they cause: once for each read of the socket", () => {
  let drops = 0;
  let reads = 0;
  const ledger = new Ledger({
    readDrops: () => {
      reads++;
      return drops;
    },
  });
  enter(ledger, [0]);
  drops = 3;
  enter(ledger, [4, 6, 8]);
  assertEquals(reads, 1);
  assertEquals(losses(ledger.stats(0)), { lost: 5, gaps: 5, dropped: 3 });
  ledger.begin();
  drops = 5;
  enter(ledger, [9, 12]);
  assertEquals([reads, losses(ledger.stats(0))], [2, { lost: 7, gaps: 7, dropped: 5 }]);
});

test("losses, drops and their causes add up, for any samples in any order", () => {
  let state = 3;
  const random = (below: number): number => (state = (Math.imul(state, 1103515245) + 12345) >>> 0) % below;
  for (let round = 0; round < 200; round++) {
    let drops = 0;
    const ledger = new Ledger({ complete: random(2) === 0, readDrops: () => drops });
    const next = [0, 0, 0];
    // What became of each sample: some are dropped by the socket, some get lost on the way.
    let dropped = 0;
    let elsewhere = 0;
    for (let i = 0; i < 300; i++) {
      const group = random(3);
      if (i < 3) enter(ledger, [next[i]!++], { group: i });
      else if (random(10) === 0) {
        next[group]!++;
        if (random(3) > 0) drops = ++dropped;
        else elsewhere++;
      } else enter(ledger, [next[group]!++], { group });
      if (random(20) === 0) ledger.begin();
      if (random(30) === 0) ledger.drops(drops);
      const { lost, gaps } = ledger.stats(0);
      assert(lost >= gaps && lost <= dropped + elsewhere && gaps <= dropped + elsewhere, `round ${round}`);
    }
    // One more of each reveals everything.
    ledger.begin();
    for (const group of [0, 1, 2]) enter(ledger, [next[group]!], { group });
    ledger.drops(drops);
    assertEquals(losses(ledger.stats(0)), { lost: dropped + elsewhere, gaps: dropped + elsewhere, dropped });
  }
});

// ---- recordings

test("Ledger of a recording: reported losses, late samples, drops", () => {
  const ledger = new Ledger();
  assertEquals([ledger.told(sample(5), 3), ledger.told(sample(9), 0), ledger.told(sample(2, { group: 2 }), undefined)], [3, 0, undefined]);
  assertEquals(losses(ledger.stats(0)), { lost: 3, gaps: 3, dropped: 0 });
  assertEquals(ledger.takeBack(5), 3);
  ledger.told(sample(10), 2);
  ledger.recordedDrops(6);
  assertEquals(losses(ledger.stats(0)), { lost: 6, gaps: 2, dropped: 6 });
  const [first, second] = ledger.stats(0).groups;
  assertEquals([first!.lost, first!.late, first!.numbered, second!.numbered], [2, 3, true, false]);
});

// ---- bounds

test("Ledger: memory is bounded however many groups are invented; those beyond the bound are counted together", () => {
  const ledger = new Ledger({ complete: true });
  enter(ledger, [0, 1, 4]);
  for (let i = 0; i < 30_000; i++) {
    enter(ledger, [i], { group: i, nsid: 3 });
    ledger.event(event("group-created", { group: i, nsid: 4 }));
  }
  for (let i = 0; i < 10_000; i++) enter(ledger, [i], { portId: 1 + i });
  enter(ledger, [5, 7]);
  const { received, lost, groups, others } = ledger.stats(0);
  assertEquals([received, lost], [40_005, 3]);
  assert(groups.length > 1000 && groups.length <= MOST_PRODUCERS + 1);
  assertEquals(groups[0], { ...GROUP, received: 5, lost: 3 });
  assertEquals(others.received + groups.reduce((sum, group) => sum + group.received, 0), received);
});

test("Ledger: a group of this namespace's kernel is never left out because of other namespaces and processes", () => {
  const ledger = new Ledger();
  for (let i = 0; i < 3 * MOST_PRODUCERS; i++) enter(ledger, [0], { group: i, nsid: 3 });
  assertEquals(enter(ledger, [10, 12], { group: 5 }), [0, 1]);
});

test("Ledger: producers that are gone make room for new ones, and their losses are kept", () => {
  const ledger = new Ledger({ complete: true });
  for (let i = 0; i < 3 * MOST_PRODUCERS; i++) {
    ledger.event(event("group-created", { group: i }));
    enter(ledger, [0, 2], { group: i });
    ledger.event(event("group-deleted", { group: i, sequence: 3 }));
  }
  const { received, lost, groups, others } = ledger.stats(0);
  assertEquals([received, lost], [6 * MOST_PRODUCERS, 3 * MOST_PRODUCERS]);
  assert(groups.length <= MOST_PRODUCERS && groups.at(-1)!.group === 3 * MOST_PRODUCERS - 1);
  assertEquals(others.lost + groups.reduce((sum, group) => sum + group.lost, 0), lost);
});

test("Ledger: idle producers make room too, but not those that still send", () => {
  const ledger = new Ledger();
  enter(ledger, [1], { group: 0, portId: 1 });
  for (let i = 1; i < MOST_PRODUCERS; i++) enter(ledger, [1], { group: i, portId: 1 });
  for (let i = 0; i < 20 * MOST_PRODUCERS; i++) {
    enter(ledger, [i]);
    if (i % 1000 === 0) enter(ledger, [2 + i / 1000], { group: 0, portId: 1 });
  }
  assertEquals(enter(ledger, [7, 9], { group: 1, portId: 2 }), [0, 1]);
  const { groups } = ledger.stats(0);
  assert(groups.some(({ group, portId }) => group === 0 && portId === 1));
  assert(!groups.some(({ group, portId }) => group === 1 && portId === 1));
});

// ---- the rest

test("Ledger keeps the last reason of a malformed message", () => {
  const ledger = new Ledger();
  ledger.malformedMessage("first");
  ledger.malformedMessage("second");
  assertEquals([ledger.stats(0).malformed, ledger.stats(0).lastMalformed], [2, "second"]);
});

test("Ledger.stats returns a copy that later samples do not change", () => {
  const ledger = new Ledger();
  enter(ledger, [0]);
  const before = ledger.stats(0);
  enter(ledger, [5]);
  assertEquals([before.received, before.groups[0]!.received, before.groups[0]!.lost, before.others.received], [1, 1, 0, 0]);
});
