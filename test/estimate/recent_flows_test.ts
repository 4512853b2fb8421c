import { test } from "node:test";
import { assertEquals } from "@std/assert";
import { Estimator, type FlowEstimate } from "../../src/estimate/estimator.ts";
import type { Device } from "../../src/link/device.ts";
import { BatchBuffer, type EntryView } from "../../src/stream/batch.ts";
import { random } from "./random.ts";

const PLACES = "device,nsid,direction,group,queue";

/** Devices by index; those above 5 have no name. */
function devices(generation: string): (ifindex: number) => Device | undefined {
  const known = Array.from({ length: 6 }, (_, i): Device => ({ index: i, name: `eth${i}${generation}`, type: 1, address: undefined }));
  return (ifindex) => known[ifindex];
}

function fill(batch: BatchBuffer, count: number, below: (most: number) => number): void {
  batch.clear();
  for (let i = 0; i < count; i++) {
    const isOut = below(2) === 0;
    const ifindex = 1 + below(8);
    batch.add(
      {
        type: "sample",
        group: 1 + below(3),
        nsid: below(10) === 0 ? below(2) : undefined,
        portId: 0,
        oneIn: 10,
        inIfindex: isOut && below(2) === 0 ? undefined : isOut ? 1 + below(8) : ifindex,
        outIfindex: isOut ? ifindex : undefined,
        outTc: below(3) === 0 ? below(3) : undefined,
        originalBytes: 60 + below(1000),
        cookie: undefined,
        dataBytes: 0,
        dataOffset: -1,
      } as unknown as EntryView,
      0,
    );
  }
}

test("flows by where samples were taken are what they are by keys that are made for each sample", () => {
  for (const flows of [5, 40, 1000]) {
    const below = random(flows);
    const quick = new Estimator({ by: PLACES, flows, absent: true });
    // With a key that no sample has, keys are made of each.
    const plain = new Estimator({ by: `${PLACES},cookie`, flows, absent: true });
    const batch = new BatchBuffer();
    for (let round = 0; round < 60; round++) {
      // Devices are renamed, and flows forgotten.
      batch.devices = { find: devices(round < 30 ? "" : "-new") };
      fill(batch, 100, (most) => Math.floor(below() * most));
      quick.take(batch, 1n);
      plain.take(batch, 1n);
      if (round % 20 === 10) { for (const one of [quick, plain]) one.forget(([device]) => device === "eth2" || device === "if7"); }
      if (round === 50) { for (const one of [quick, plain]) one.restart(); }
      const [of, wanted] = [quick.snapshot(1n), plain.snapshot(1n)];
      assertEquals(of.flows, wanted.flows.map((flow): FlowEstimate => ({ ...flow, by: flow.by.slice(0, -1) })));
      assertEquals([of.total, of.kept, of.bound, of.devices], [wanted.total, wanted.kept, wanted.bound, wanted.devices]);
    }
  }
});
