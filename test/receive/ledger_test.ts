import { test } from "node:test";
import { assertEquals } from "@std/assert";
import { Ledger } from "../../src/receive/ledger.ts";
import type { GroupStats } from "../../src/stream/stats.ts";
import type { GroupEvent } from "../../src/psample/group.ts";
import { PSAMPLE_ATTR_GROUP_SEQ, PSAMPLE_ATTR_SAMPLE_GROUP, PSAMPLE_ATTR_SAMPLE_PROBABILITY } from "../../src/psample/constants.ts";
import type { Sample } from "../../src/psample/sample.ts";
import { decodeSample } from "../../src/psample/sample_decoder.ts";
import { SampleView } from "../../src/psample/sample_view.ts";
import { LITTLE } from "../../src/wire/native.ts";
import { type Attribute, message, number } from "../psample/build.ts";
import { messageOf } from "../../src/wire/message.ts";

type Init = { group?: number; nsid?: number; rateIsProbability?: boolean };

function sample(sequence: number | undefined, { group = 1, nsid, rateIsProbability }: Init): Sample {
  const fields: Attribute[] = [[PSAMPLE_ATTR_SAMPLE_GROUP, number(4, group, LITTLE)]];
  if (sequence !== undefined) fields.push([PSAMPLE_ATTR_GROUP_SEQ, number(4, sequence, LITTLE)]);
  if (rateIsProbability) fields.push([PSAMPLE_ATTR_SAMPLE_PROBABILITY, new Uint8Array(0)]);
  return decodeSample(messageOf(message(fields, { little: LITTLE })), nsid);
}

/** Enters samples with these sequence numbers. */
function enter(ledger: Ledger, sequences: readonly (number | undefined)[], init: Init = {}): void {
  for (const sequence of sequences) {
    ledger.sample(sample(sequence, init));
  }
}

/** The account of one group after samples with these sequence numbers. */
function after(sequences: readonly (number | undefined)[], init: Init = {}): Partial<GroupStats> {
  const ledger = new Ledger();
  enter(ledger, sequences, init);
  const { received, lost, late, restarts, numbered } = ledger.stats(0).groups[0]!;
  return { received, lost, late, restarts, numbered };
}

function event(type: GroupEvent["type"], group = 1, sequence: number | undefined = 0): GroupEvent {
  return { type, group, sequence, refcount: 0, nsid: undefined, portId: 0 };
}

const numbered = { lost: 0, late: 0, restarts: 0, numbered: true };

test("Ledger without a sample has nothing to tell", () => {
  assertEquals(new Ledger().stats(4096), {
    received: 0,
    events: 0,
    lost: 0,
    dropped: 0,
    malformed: 0,
    lastMalformed: undefined,
    unknown: 0,
    receiveBufferBytes: 4096,
    groups: [],
  });
});

test("Ledger finds no loss in consecutive numbers, wherever they begin", () => {
  assertEquals(after([0, 1, 2]), { ...numbered, received: 3 });
  assertEquals(after([1000, 1001, 1002]), { ...numbered, received: 3 });
  assertEquals(after([1]), { ...numbered, received: 1 });
});

test("Ledger counts the numbers that a gap lacks", () => {
  assertEquals(after([0, 1, 4, 5, 10]), { ...numbered, received: 5, lost: 6 });
  assertEquals(after([5, 1000005]), { ...numbered, received: 2, lost: 999999 });
});

test("Ledger follows the numbers over the wrap at 2^32", () => {
  assertEquals(after([4294967294, 4294967295, 0, 1]), { ...numbered, received: 4 });
  assertEquals(after([4294967294, 2, 3]), { ...numbered, received: 3, lost: 3 });
  assertEquals(after([4294967295, 1]), { ...numbered, received: 2, lost: 1 });
});

test("Ledger takes back the loss of a sample that comes late", () => {
  assertEquals(after([0, 1, 3, 2, 4]), { ...numbered, received: 5, late: 1 });
  assertEquals(after([0, 3, 2, 1, 4]), { ...numbered, received: 5, late: 2 });
  assertEquals(after([4294967293, 4294967295, 0, 4294967294, 1]), { ...numbered, received: 5, late: 1 });
});

test("Ledger sees that the numbering began anew", () => {
  assertEquals(after([100, 101, 0, 1, 2]), { ...numbered, received: 5, restarts: 1 });
  // The first numbers of the new group were lost.
  assertEquals(after([5000, 5001, 2, 3]), { ...numbered, received: 4, restarts: 1 });
  // So close behind, and after a loss, that the first of them looks late; the second tells.
  assertEquals(after([100, 102, 50, 51, 52]), { ...numbered, received: 5, lost: 1, restarts: 1 });
});

test("Ledger counts no loss for Open vSwitch, which sends 0 and the probability flag", () => {
  assertEquals(after([0, 0, 0, 0], { rateIsProbability: true }), { ...numbered, numbered: false, received: 4 });
});

test("Ledger counts no loss for mlx5, which sends 0 for ever", () => {
  assertEquals(after([0]), { ...numbered, received: 1 });
  assertEquals(after([0, 0]), { ...numbered, numbered: false, received: 2 });
  assertEquals(after([0, 0, 0, 0]), { ...numbered, numbered: false, received: 4 });
});

test("Ledger counts no loss where there are no numbers at all", () => {
  assertEquals(after([undefined, undefined]), { ...numbered, numbered: false, received: 2 });
});

test("Ledger counts again where a producer that numbers takes the group over", () => {
  assertEquals(after([0, 0, 0, 1, 2, 5]), { ...numbered, received: 6, lost: 2 });
});

test("Ledger begins anew with the event that the group was created", () => {
  const ledger = new Ledger();
  enter(ledger, [7, 8]);
  ledger.event(event("group-deleted"));
  ledger.event(event("group-created"));
  enter(ledger, [0, 1, 3]);
  const { events, lost, groups } = ledger.stats(0);
  assertEquals({ events, lost, restarts: groups[0]!.restarts }, { events: 2, lost: 1, restarts: 1 });
});

test("Ledger counts what a new group lost before its first sample came", () => {
  const ledger = new Ledger();
  enter(ledger, [7, 8]);
  ledger.event(event("group-created"));
  enter(ledger, [4]);
  assertEquals(ledger.stats(0).lost, 4);
});

test("Ledger opens no account for an event about a group that sent nothing", () => {
  const ledger = new Ledger();
  ledger.event(event("group-created", 9));
  assertEquals([ledger.stats(0).events, ledger.stats(0).groups.length], [1, 0]);
});

test("Ledger takes an event of another namespace for that namespace's group", () => {
  const ledger = new Ledger();
  enter(ledger, [7]);
  enter(ledger, [20], { nsid: 2 });
  ledger.event({ ...event("group-created"), nsid: 2 });
  enter(ledger, [8]);
  enter(ledger, [0], { nsid: 2 });
  assertEquals(ledger.stats(0).groups.map(({ nsid, restarts, lost }) => ({ nsid, restarts, lost })), [
    { nsid: undefined, restarts: 0, lost: 0 },
    { nsid: 2, restarts: 1, lost: 0 },
  ]);
});

test("Ledger adds up what a counter of 32 bits says that wraps", () => {
  const ledger = new Ledger();
  ledger.drops(0);
  ledger.drops(4294967290);
  ledger.drops(4294967290);
  ledger.drops(5);
  assertEquals(ledger.stats(0).dropped, 4294967290 + 11);
});

test("Ledger keeps groups and namespaces apart, however they alternate", () => {
  const ledger = new Ledger();
  for (let i = 0; i < 50; i++) {
    for (let group = 0; group < 40; group++) enter(ledger, [group + i * (group % 3)], { group });
    enter(ledger, [i], { group: 7, nsid: 0 });
  }
  const { received, lost, groups } = ledger.stats(0);
  assertEquals(received, 50 * 41);
  assertEquals(groups.length, 41);
  assertEquals(groups.slice(0, 40).map(({ group }) => group), Array.from({ length: 40 }, (_, i) => i));
  assertEquals(groups[40], { ...numbered, group: 7, nsid: 0, received: 50 });
  // Groups of the third kind skip a number each time; those of the first kind repeat theirs, which is no loss.
  assertEquals(groups.slice(0, 40).filter(({ group }) => group! % 3 === 2).map((group) => group.lost), Array(13).fill(49));
  assertEquals(lost, 13 * 49);
});

test("Ledger sorts by namespace, its own first, and by group, samples without one first", () => {
  const ledger = new Ledger();
  for (const init of [{ group: 3, nsid: 1 }, { group: 4294967295 }, { group: 2 }, { group: 1, nsid: 1 }]) enter(ledger, [0], init);
  const nameless = new SampleView();
  ledger.sample(nameless);
  assertEquals(ledger.stats(0).groups.map(({ group, nsid }) => [nsid, group]), [
    [undefined, undefined],
    [undefined, 2],
    [undefined, 4294967295],
    [1, 1],
    [1, 3],
  ]);
});

test("Ledger keeps the last reason of a malformed message", () => {
  const ledger = new Ledger();
  ledger.malformedMessage("first");
  ledger.malformedMessage("second");
  assertEquals([ledger.stats(0).malformed, ledger.stats(0).lastMalformed], [2, "second"]);
});

test("Ledger.stats is a copy that later samples do not change", () => {
  const ledger = new Ledger();
  enter(ledger, [0]);
  const before = ledger.stats(0);
  enter(ledger, [5]);
  assertEquals([before.received, before.groups[0]!.received, before.groups[0]!.lost], [1, 1, 0]);
});
