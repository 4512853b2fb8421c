import { test } from "node:test";
import { assertEquals, assertStrictEquals } from "@std/assert";
import type { Device, Devices } from "../../src/link/device.ts";
import { BatchBuffer, Selection } from "../../src/stream/batch.ts";
import { decodeSample } from "../../src/psample/mod.ts";
import { message, number } from "../psample/build.ts";

/** A sample of one interface. */
function on(ifindex: number, nsid?: number): ReturnType<typeof decodeSample> {
  return decodeSample(message([[0, number(2, ifindex)]]), { nsid });
}

function device(name: string): Device {
  return { name, type: undefined, address: undefined };
}

const named = (prefix: string): Devices => ({ find: (ifindex, nsid) => device(`${prefix}${ifindex}/${nsid}`) });

test("Batch.device() asks the machine that the entry comes from", () => {
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
