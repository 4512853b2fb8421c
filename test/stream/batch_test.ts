import { test } from "node:test";
import { assertEquals, assertStrictEquals } from "@std/assert";
import type { Device, Devices } from "../../src/link/device.ts";
import { BatchBuffer, Selection } from "../../src/stream/batch.ts";
import type { GroupEvent } from "../../src/psample/mod.ts";
import { viewSample } from "../../src/psample/sample_decoder.ts";
import { bytes, message, number } from "../psample/build.ts";
import { messageOf } from "../../src/wire/message.ts";

/** A sample of one interface. */
function on(ifindex: number, nsid?: number): ReturnType<typeof viewSample> {
  return viewSample(messageOf(message([[0, number(2, ifindex)]])), nsid);
}

function device(name: string): Device {
  return { name, type: undefined, address: undefined };
}

const named = (prefix: string): Devices => ({ find: (ifindex, nsid) => device(`${prefix}${ifindex}/${nsid}`) });

test("Batch.device() uses the devices of the machine that the entry is from", () => {
  const batch = new BatchBuffer();
  batch.devices = named("here");
  const there = named("there");
  const known = device("known");
  batch.add(on(1));
  batch.add(on(2, 7));
  batch.recordedOn({ device: undefined, devices: there });
  batch.add(on(3));
  batch.recordedOn({ device: known, devices: there });
  batch.add(on(4));
  const names = (from: { device(i: number): Device | undefined; count: number }): (string | undefined | null)[] =>
    Array.from({ length: from.count }, (_, i) => from.device(i)?.name);
  assertEquals(names(batch), ["here1/undefined", "there2/7", "known", "here4/undefined"]);
  assertStrictEquals(batch.devicesOf(1), there);
  assertStrictEquals(batch.devicesOf(3), batch.devices);
  const selection = new Selection();
  selection.from(batch);
  selection.pick(1);
  selection.pick(3);
  assertEquals(names(selection), ["there2/7", "here4/undefined"]);
  assertStrictEquals(selection.devicesOf(0), there);
  batch.clear();
  batch.add(on(5));
  assertEquals(names(batch), ["here5/undefined"]);
});

test("a device is looked up only once in each batch", () => {
  const batch = new BatchBuffer();
  let lookups = 0;
  batch.devices = { find: (ifindex) => ++lookups && ifindex === 2 ? undefined : device(`found ${lookups} times`) };
  const asked = (): (string | undefined)[] => [0, 1, 2, 2, 1, 0].map((i) => batch.device(i)?.name);
  for (const ifindex of [1, 2, 1]) batch.add(on(ifindex));
  assertEquals(asked(), ["found 1 times", undefined, "found 3 times", "found 3 times", undefined, "found 1 times"]);
  batch.clear();
  for (const ifindex of [1, 1, 2]) batch.add(on(ifindex));
  assertEquals(asked(), ["found 4 times", "found 5 times", undefined, undefined, "found 5 times", "found 4 times"]);
  assertEquals(lookups, 6);
});

test("Selection.lostBefore() includes losses revealed by samples that were left out", () => {
  const batch = new BatchBuffer();
  const selection = new Selection();
  /** The losses reported by a selection of samples, given their groups, losses, and whether they pass. */
  const told = (...samples: [group: number, lost: number | undefined, pick: boolean][]): (number | undefined)[] => {
    batch.clear();
    for (const [group, lost] of samples) batch.add(viewSample(messageOf(message([[3, number(4, group)]]))), lost);
    selection.from(batch);
    samples.forEach(([, , pick], i) => pick && selection.pick(i));
    selection.finish();
    return Array.from({ length: selection.count }, (_, i) => selection.lostBefore(i));
  };
  assertEquals(told([1, 0, true], [1, 2, false], [2, 0, true], [1, 1, true], [1, 0, true]), [0, 0, 3, 0]);
  // Across batches, and for each group separately.
  assertEquals(told([1, 5, false], [2, 7, false]), []);
  assertEquals(told([3, 1, true], [1, 0, true]), [1, 5]);
  assertEquals(told([1, 0, true], [2, -1, true], [2, undefined, true]), [0, 6, undefined]);
  assertEquals(told([2, 0, true]), [0]);
  // What follows the last one is left out too.
  assertEquals(told([1, 0, true], [1, 4, false]), [0]);
  assertEquals(told([1, -4, true]), [0]);
});

test("Selection.lostBefore() reports the losses of any number of groups in bounded memory, and forgets none", () => {
  const batch = new BatchBuffer();
  const selection = new Selection();
  const sample = (group: number): ReturnType<typeof on> => viewSample(messageOf(message([[3, number(4, group)]])));
  // Each of these groups shows a loss and is left out: as many as are kept apart, and 1000 more.
  const apart = 4096;
  batch.clear();
  for (let group = 0; group < apart + 1000; group++) batch.add(sample(group), 2);
  selection.from(batch);
  selection.finish();
  batch.clear();
  for (const group of [70_000, apart, 0]) batch.add(sample(group), 0);
  selection.from(batch);
  for (let i = 0; i < 3; i++) selection.pick(i);
  selection.finish();
  assertEquals([0, 1, 2].map((i) => selection.lostBefore(i)), [2 * 1000, 2, 0]);
  // All of them are reported once.
  batch.clear();
  for (let group = 1000; group < apart + 1000; group++) batch.add(sample(group), 0);
  selection.from(batch);
  let sum = 0;
  for (let i = 0; i < batch.count; i++) {
    selection.pick(i);
    sum += selection.lostBefore(i)!;
  }
  assertEquals(sum, 2 * (apart - 1));
});

test("Selection.lostBefore() reports the losses of an event that passes once", () => {
  const batch = new BatchBuffer();
  const sample = () => viewSample(messageOf(message([[3, number(4, 1)]])));
  batch.add(sample(), 0);
  batch.add({ type: "group-deleted", group: 1, nsid: undefined, portId: 0 } as GroupEvent, 3);
  batch.add(sample(), 0);
  const selection = new Selection();
  const told = (...picks: number[]): (number | undefined)[] => {
    selection.from(batch);
    for (const i of picks) selection.pick(i);
    selection.finish();
    return Array.from({ length: selection.count }, (_, i) => selection.lostBefore(i));
  };
  assertEquals(told(0, 1, 2), [0, 3, 0]);
  assertEquals(told(0, 2), [0, 3]);
});

test("Batch.packet() decodes a packet once, by the type of the device that it was sampled on", () => {
  const ip = bytes("450000140000400040060000c00002070a000001");
  const sample = (ifindex: number): ReturnType<typeof on> =>
    viewSample(messageOf(message([[0, number(2, ifindex)], [2, number(4, 60)], [6, ip]])));
  const batch = new BatchBuffer();
  // A tunnel's packets have no frame around them, 768 is ARPHRD_TUNNEL; of an unknown device the packet itself tells.
  batch.devices = {
    find: (ifindex) => ifindex === 1 ? { ...device("t"), type: 768 } : ifindex === 2 ? { ...device("e"), type: 1 } : undefined,
  };
  for (const ifindex of [1, 2, 3]) batch.add(sample(ifindex));
  batch.add({ type: "group-created", group: 1 } as GroupEvent);
  assertEquals([0, 1, 2, 3].map((i) => batch.packet(i).stack), ["ip", "eth", "ip", ""]);
  assertStrictEquals(batch.packet(0), batch.packet(0));
  assertEquals([batch.packet(0).originalBytes, batch.packet(3).broken, batch.packet(3).cut], [60, 0, 0]);
  const selection = new Selection();
  selection.from(batch);
  selection.pick(1);
  assertStrictEquals(selection.packet(0), batch.packet(1));
  batch.clear();
  batch.add(sample(2));
  assertEquals(batch.packet(0).stack, "eth");
});
