import { test } from "node:test";
import { assert, assertAlmostEquals, assertEquals } from "@std/assert";
import { calibrate } from "../../src/estimate/calibrate.ts";
import { Calibration, ratioEstimate, type SamplerCounts } from "../../src/estimate/calibration.ts";
import { Estimator, type FlowEstimate, type Snapshot } from "../../src/estimate/estimator.ts";
import type { Device } from "../../src/link/device.ts";
import { BatchBuffer, type EntryView } from "../../src/stream/batch.ts";
import type { Stage } from "../../src/stream/stage.ts";
import { hex } from "../packet/made.ts";
import { binomialInterval } from "../../src/estimate/intervals.ts";
import { random } from "./random.ts";

const SECOND = 1_000_000_000n;
const ETH0: Device = { name: "eth0", type: 1, address: undefined, mtu: 1500 };

interface Sampled {
  readonly bytes: number;
  readonly ifindex?: number;
  readonly out?: boolean;
  /** The last byte of its IPv4 source. */
  readonly host?: number;
}

/** TCP, without options. */
const FRAME = hex("0200000000020200000000010800 45000028000040004006 00000a0000010a090909 0035003500000000000000005010000000000000");

function batchOf(samples: readonly Sampled[], atSeconds = 0): BatchBuffer {
  const batch = new BatchBuffer();
  batch.readAtNs = BigInt(atSeconds) * SECOND;
  batch.devices = { find: (ifindex) => ({ ...ETH0, name: `eth${ifindex - 1}` }) };
  for (const { bytes, ifindex = 1, out = false, host = 1 } of samples) {
    const data = FRAME.slice();
    data[29] = host;
    batch.add(
      {
        type: "sample",
        group: 1,
        nsid: undefined,
        portId: 0,
        oneIn: 100,
        inIfindex: out ? undefined : ifindex,
        outIfindex: out ? ifindex : undefined,
        originalBytes: bytes,
        protocol: 0x0800,
        data,
        dataMemory: data.buffer,
        dataAt: 0,
        dataBytes: FRAME.length,
        dataOffset: 0,
      } as unknown as EntryView,
      0,
    );
  }
  return batch;
}

const IN: SamplerCounts = { ifindex: 1, direction: "in", oneIn: 100, trials: 0, packets: 0 };

/** An estimator and a calibration of the same samples, between two readings of the counters. */
function both(
  samples: readonly Sampled[],
  counts: readonly SamplerCounts[],
  options: { by?: string; only?: Stage; isFiltered?: boolean; parts?: boolean } = {},
): { readonly before: Snapshot; readonly after: Snapshot } {
  const estimator = new Estimator(options);
  const calibration = new Calibration(options);
  calibration.count(counts.map((count) => ({ ...count, trials: count.trials && 0, packets: count.packets && 0 })), 0n);
  estimator.snapshot(0n, 0);
  const batch = batchOf(samples, 1);
  estimator.take(batch);
  calibration.take(batch);
  calibration.count(counts, 2n * SECOND);
  const before = estimator.snapshot(2n * SECOND);
  return { before, after: calibrate(before, calibration) };
}

test("packets are what the counter says, bytes the rule hits times the mean", () => {
  const { before, after } = both([{ bytes: 100 }, { bytes: 300 }], [{ ...IN, trials: 250, packets: 250 }]);
  assertEquals([before.total.packets, before.total.bytes], [200, 40_000]);
  const [device] = after.devices;
  for (const one of [after.total, device!]) {
    assertEquals([one.packets, one.packetsRange, one.bytes, one.calibrated], [250, [250, 250], 50_000, ["packets", "bytes"]]);
    assert(one.bytesRange[0] < 50_000 && one.bytesRange[1] > 50_000, `${one.bytesRange}`);
  }
  // 8 bits for 2 s; the wire has 24 bytes more for each packet.
  assertEquals([device!.bitsPerSecond, device!.wireBytes, device!.share], [200_000, 50_000 + 24 * 250, 1]);
  // Without their shares nothing is known about flows.
  assertEquals(after.flows, before.flows);
});

test("if nothing is calibrated, the figures are the same object", () => {
  const samples = [{ bytes: 100 }];
  for (const counts of [[], [{ ...IN, trials: undefined, packets: undefined }], [{ ...IN, ifindex: 7, trials: 5, packets: 5 }]]) {
    const { before, after } = both(samples, counts);
    assertEquals(after === before, true, JSON.stringify(counts));
  }
  const estimator = new Estimator();
  estimator.take(batchOf(samples));
  const snapshot = estimator.snapshot(SECOND);
  assertEquals(calibrate(snapshot, new Calibration()) === snapshot, true);
});

test("segments are those of the counter, whatever the MTU says, and so are the bytes of their headers", () => {
  // 54 bytes of headers and 14,600 of payload: 10 segments by the MTU, 25 by the counter.
  const super_ = { bytes: 54 + 14_600 };
  const { before, after } = both(Array.from({ length: 10 }, () => super_), [{ ...IN, trials: 1000, packets: 25_000 }]);
  assertEquals([before.total.packets, before.total.bytes], [10_000, 1000 * (14_600 + 540)]);
  assertEquals([after.total.packets, after.total.packetsRange], [25_000, [25_000, 25_000]]);
  assertAlmostEquals(after.total.bytes, 1000 * 14_600 + 25_000 * 54, 1e-3);
});

test("a counter shared with others leaves the other figure unchanged, and so do missing rule hits if packets are segmented", () => {
  const samples = [{ bytes: 100 }, { bytes: 300 }];
  const shared = both(samples, [{ ...IN, trials: 250, packets: undefined }]).after.total;
  assertEquals([shared.packets, shared.bytes, shared.calibrated], [250, 50_000, ["packets", "bytes"]]);
  const { before, after: { total: flower } } = both([...samples, { bytes: 9000 }], [{ ...IN, trials: undefined, packets: 260 }]);
  assertEquals([flower.packets, flower.bytes, flower.calibrated], [260, before.total.bytes, ["packets"]]);
});

test("without rule hits bytes are the packets on the wire times the mean, if none of the samples will be segmented", () => {
  const { total } = both([{ bytes: 100 }, { bytes: 300 }], [{ ...IN, trials: undefined, packets: 260 }]).after;
  assertEquals([total.packets, total.bytes, total.calibrated], [260, 52_000, ["packets", "bytes"]]);
  // If each packet is sampled, but some samples have not arrived when the counter is read, both figures stand for the same packets.
  const flower = { ...IN, oneIn: 1, trials: undefined, packets: 9 };
  const all = both(Array.from({ length: 6 }, () => ({ bytes: 1000 })), [flower]).after.total;
  assertEquals([all.packets, all.bytes], [9, 9000]);
  // And if none of their packets was counted yet, both are the samples' own.
  const early = both([{ bytes: 1000 }], [{ ...flower, packets: 0 }]);
  assertEquals(early.after === early.before, true);
});

test("with a filter the share of samples counts, not the action's counter; places that are left out count nothing", () => {
  const large: Stage = {
    select: (batch, pick) => batch.entries.forEach((entry, i) => (entry as { originalBytes: number }).originalBytes > 200 && pick(i)),
  };
  const samples = [{ bytes: 100 }, { bytes: 300 }, { bytes: 100 }, { bytes: 300, out: true }];
  const counts = [{ ...IN, trials: 330, packets: 990 }, { ...IN, direction: "out" as const, trials: 120, packets: 120 }];
  const { total } = both(samples, counts, { only: large }).after;
  assertEquals([total.packets, total.bytes], [330 / 3 + 120, 330 / 3 * 300 + 120 * 300]);
  const incoming: Stage = {
    select: (batch, pick) => batch.entries.forEach((entry, i) => (entry as EntryView & { outIfindex?: number }).outIfindex ?? pick(i)),
  };
  const place = both(samples, counts, { only: incoming, isFiltered: false }).after;
  assertEquals([place.total.packets, place.total.packetsRange], [990, [990, 990]]);
});

test("the total is only as exact as every device; a device without samples counts by its packets", () => {
  const samples = [{ bytes: 100 }, { bytes: 100, ifindex: 2 }];
  const { total, devices } = both(samples, [{ ...IN, trials: 150, packets: 150 }]).after;
  assertEquals([devices.map(({ packets, calibrated }) => [packets, calibrated]), total.packets, total.calibrated], [
    [[150, ["packets", "bytes"]], [100, undefined]],
    250,
    undefined,
  ]);
  const quiet = both([{ bytes: 100 }], [{ ...IN, trials: 150, packets: 150 }, { ...IN, ifindex: 2, trials: 40, packets: 40 }]).after.total;
  assertEquals([quiet.packets, quiet.bytes, quiet.calibrated], [190, 15_000, ["packets", "bytes"]]);
  // 40 packets of up to 1522 bytes.
  assert(quiet.bytesRange[1] > 15_000 + 40 * 1522 - 1, `${quiet.bytesRange}`);
});

test("flows told apart by device and direction are calibrated, others are not", () => {
  const samples = [{ bytes: 100 }, { bytes: 200, out: true }];
  const counts = [{ ...IN, trials: 150, packets: 150 }, { ...IN, direction: "out" as const, trials: 80, packets: 80 }];
  const of = (by: string) =>
    both(samples, counts, { by }).after.flows.map(({ by, packets, bytes, calibrated }) => [...by, packets, bytes, calibrated]);
  const sure = ["packets", "bytes"];
  assertEquals(of("direction,device"), [["out", "eth0", 80, 16_000, sure], ["in", "eth0", 150, 15_000, sure]]);
  assertEquals(of("device"), [["eth0", 230, 31_000, sure]]);
  assertEquals(of("device,ipprotocol").map(([, , , , calibrated]) => calibrated), [undefined]);
});

/** Packets and bytes of each flow by its last byte, and whether they are as many as the total and each within it. */
function rowsOf({ flows, total }: Snapshot): Record<string, readonly [packets: number, bytes: number]> {
  const sum = (of: (flow: FlowEstimate) => number): number => flows.reduce((sum, flow) => sum + of(flow), 0);
  assertAlmostEquals(sum(({ packets }) => packets), total.packets, 1e-6);
  assertAlmostEquals(sum(({ bytes }) => bytes), total.bytes, 1e-6);
  assertAlmostEquals(sum(({ share }) => share), 1, 1e-9);
  for (const { packets, packetsRange, bytes, bytesRange, share, shareRange } of flows) {
    for (
      const [value, [low, high], most] of [[packets, packetsRange, total.packetsRange[1]], [
        bytes,
        bytesRange,
        total.bytesRange[1],
      ]] as const
    ) {
      assert(low <= value && value <= high && high <= most + 1e-6, `${low} ${value} ${high} ${most}`);
    }
    assert(shareRange[0] <= share && share <= shareRange[1] + 1e-9, `${shareRange} ${share}`);
  }
  return Object.fromEntries(flows.map(({ by, packets, bytes }) => [by[0]!.split(".").at(-1)!, [packets, bytes] as const]));
}

test("flows are shares of what the counters of their device and direction show", () => {
  // Twice as many packets arrived as the samples say, and half as many left.
  const samples = [{ bytes: 100 }, { bytes: 300, host: 2 }, { bytes: 200, out: true, host: 2 }, { bytes: 200, out: true, host: 3 }];
  const counts = [{ ...IN, trials: 400, packets: 400 }, { ...IN, direction: "out" as const, trials: 100, packets: 100 }];
  const { after } = both(samples, counts, { by: "ipsource", parts: true });
  assertEquals(rowsOf(after), { 1: [200, 20_000], 2: [250, 70_000], 3: [50, 10_000] });
  assertEquals(after.flows.map(({ by, calibrated }) => [by[0], calibrated]), [
    ["10.0.0.2", undefined],
    ["10.0.0.1", undefined],
    ["10.0.0.3", undefined],
  ]);
  const [, first] = after.flows;
  assertEquals(first!.bitsPerSecond, 4 * 20_000);
  // Ranked by packets, the order is different.
  const packets = both([{ bytes: 100 }, { bytes: 250, out: true, host: 2 }], counts, { by: "ipsource", parts: true }).after;
  assertEquals(packets.flows.map(({ bytes }) => bytes), [40_000, 25_000]);
});

test("a flow with all samples of a device has at most the device's total, and possibly less", () => {
  const samples = Array.from({ length: 5 }, () => ({ bytes: 500 }));
  const { before, after } = both(samples, [{ ...IN, trials: 730, packets: 730 }], { by: "ipsource", parts: true });
  const [flow] = after.flows;
  assertEquals([flow!.packets, flow!.packetsRange[1], before.flows[0]!.packets], [730, 730, 500]);
  assertEquals([flow!.bytes, flow!.bytesRange[1]], [after.total.bytes, after.total.bytesRange[1]]);
  // Clopper and Pearson's lower bound of 5 of 5.
  assertAlmostEquals(flow!.packetsRange[0], 730 * binomialInterval(5, 5)[0], 0.1);
  assert(flow!.share === 1 && flow!.shareRange[0] < 0.9, `${flow!.shareRange}`);
});

test("segments that the counter shows belong to the flows with packets that are segmented", () => {
  // 10 segments each by the MTU, 25 by the counter; each packet of the other flow is certainly one.
  const samples = Array.from({ length: 20 }, (_, i) => i < 10 ? { bytes: 54 + 14_600 } : { bytes: 66, host: 2 });
  const { after } = both(samples, [{ ...IN, trials: 2000, packets: 26_000 }], { by: "ipsource", parts: true });
  const rows = rowsOf(after);
  assertAlmostEquals(rows[1]![0], 25_000, 1e-6);
  assertAlmostEquals(rows[2]![0], 1000, 1e-6);
});

test("a flow on more devices than are told apart, and one that took over from others, are shares of everything", () => {
  const samples = Array.from({ length: 12 }, (_, i) => ({ bytes: 100 + i, ifindex: 1 + i % 6 }));
  const counts = Array.from({ length: 6 }, (_, i) => ({ ...IN, ifindex: 1 + i, trials: 300, packets: 300 }));
  const { after } = both(samples, counts, { by: "ipprotocol", parts: true });
  assertAlmostEquals(after.flows[0]!.packets, 1800, 1e-6);
  assertAlmostEquals(after.flows[0]!.bytes, after.total.bytes, 200);
  const crowd = Array.from({ length: 9 }, (_, host) => ({ bytes: 100, host }));
  const few = new Estimator({ by: "ipsource", flows: 2, parts: true });
  const calibration = new Calibration();
  calibration.count([IN], 0n);
  few.take(batchOf(crowd));
  calibration.take(batchOf(crowd));
  calibration.count([{ ...IN, trials: 1800, packets: 1800 }], SECOND);
  const { flows, total } = calibrate(few.snapshot(SECOND), calibration);
  assertEquals(total.bytes, 180_000);
  // Twice what the samples say, also for what was taken over.
  const before = few.snapshot(SECOND).flows;
  assertEquals(
    flows.map(({ bytes, overcountAtMost }) => [bytes, overcountAtMost]),
    before.map(({ bytes, overcountAtMost }) => [2 * bytes, 2 * overcountAtMost]),
  );
});

test("the bounds of a flow enclose the truth as often as is claimed when it is a share of what was counted", () => {
  const next = random(5);
  const ONE_IN = 100;
  const RUNS = 1000;
  for (const [expected, part] of [[5, 0.5], [50, 0.02], [50, 0.9]] as const) {
    let [packetsInside, bytesInside] = [0, 0];
    for (let run = 0; run < RUNS; run++) {
      const trials = ONE_IN * expected;
      const truth = [0, 0];
      const samples: Sampled[] = [];
      for (let packet = 0; packet < trials; packet++) {
        const host = next() < part ? 1 : 2;
        const bytes = next() < 0.5 ? 1500 : 64;
        if (host === 1) truth[0]!++, truth[1]! += bytes;
        if (next() * ONE_IN < 1) samples.push({ bytes, host });
      }
      const { flows } = both(samples, [{ ...IN, trials, packets: trials }], { by: "ipsource", parts: true }).after;
      const flow = flows.find(({ by }) => by[0] === "10.0.0.1");
      // Nothing is reported about a flow without samples.
      const isIn = (value: number, [low, high]: readonly [number, number] = [0, Infinity]): boolean => low <= value && value <= high;
      if (isIn(truth[0]!, flow?.packetsRange)) packetsInside++;
      if (isIn(truth[1]!, flow?.bytesRange)) bytesInside++;
    }
    assert(Math.min(packetsInside, bytesInside) >= 0.94 * RUNS, JSON.stringify({ expected, part, packetsInside, bytesInside }));
  }
});

test("packets before the first reading do not count; a counter that restarts is unknown; an interval starts at the last reading", () => {
  const calibration = new Calibration();
  calibration.take(batchOf([{ bytes: 100 }]));
  calibration.count([{ ...IN, trials: 1000, packets: 1000 }], 0n);
  assertEquals(calibration.figures(), []);
  calibration.take(batchOf([{ bytes: 100 }]));
  calibration.count([{ ...IN, trials: 1100, packets: 1200 }], SECOND);
  assertEquals(calibration.figures()[0]!.packets!.value, 200);
  calibration.restart();
  calibration.take(batchOf([{ bytes: 500 }]));
  calibration.count([{ ...IN, trials: 1150, packets: 1250 }], 2n * SECOND);
  assertEquals([calibration.figures()[0]!.packets!.value, calibration.figures()[0]!.bytes!.value], [50, 25_000]);
  calibration.count([{ ...IN, trials: 3, packets: 3 }], 3n * SECOND);
  assertEquals([calibration.figures()[0]!.packets, calibration.figures()[0]!.bytes], [undefined, undefined]);
  calibration.restart();
  calibration.count([], 4n * SECOND);
  assertEquals(calibration.figures(), []);
});

test("a decaying rate is that of the last reading of the counters", () => {
  const taus = [1];
  const estimator = new Estimator({ taus });
  const calibration = new Calibration({ taus });
  calibration.count([IN], 0n);
  estimator.snapshot(0n, 0);
  for (let second = 1; second <= 2000; second++) {
    const batch = batchOf([{ bytes: 100 }], second);
    estimator.take(batch);
    calibration.take(batch);
    calibration.count([{ ...IN, trials: 150 * second, packets: 150 * second }], BigInt(second) * SECOND);
  }
  const { total, seconds } = calibrate(estimator.snapshot(2000n * SECOND + SECOND / 2n), calibration);
  // Packets between two readings count as if evenly distributed.
  assertAlmostEquals(total.packets / seconds, 150, 1e-6);
  assertAlmostEquals(total.bytes / total.packets, 100, 1e-6);
  assertEquals(total.packetsRange, [total.packets, total.packets]);
});

const MIXES = [
  { what: "packets of three sizes", sizes: [64, 64, 64, 64, 64, 64, 64, 576, 576, 576, 576, 1500], most: 1522 },
  { what: "super packets and what acknowledges them", sizes: [66, 66, 2962, 10_202, 65_226], most: 66_500 },
];

for (const { what, sizes, most: largest } of MIXES) {
  test(`the bounds of a ratio enclose the truth as often as is claimed, for bytes and for a filter's share: ${what}`, () => {
    const next = random(11);
    const ONE_IN = 20;
    const HIT = sizes.at(-2)!;
    for (const expected of [2, 10, 100, 1000]) {
      const runs = 5000;
      const trials = ONE_IN * expected;
      const covered = { bytes: 0, share: 0 };
      for (let i = 0; i < runs; i++) {
        let [samples, bytes, squares, hits, allBytes, allHits] = [0, 0, 0, 0, 0, 0];
        for (let packet = 0; packet < trials; packet++) {
          const size = sizes[Math.floor(next() * sizes.length)]!;
          const hit = size === HIT ? 1 : 0;
          allBytes += size;
          allHits += hit;
          if (next() * ONE_IN >= 1) continue;
          samples++;
          bytes += size;
          squares += size * size;
          hits += hit;
        }
        const isInside = (truth: number, sum: number, squares: number, largest: number): boolean => {
          const { range: [low, high] } = ratioEstimate(trials, { samples, squared: samples, sum, squares, cross: sum }, largest, ONE_IN);
          return low <= truth && truth <= high;
        };
        if (isInside(allBytes, bytes, squares, largest)) covered.bytes++;
        if (isInside(allHits, hits, hits, 1)) covered.share++;
      }
      const told = JSON.stringify({ expected, runs, ...covered });
      assert(covered.bytes >= 0.94 * runs && covered.share >= 0.94 * runs, told);
    }
  });
}

test("the ratio of sFlow's paper: 1,000 of 2,500 samples of 1,000,000 are 400,000, more surely than the sum of N", () => {
  const { value, range: [low, high] } = ratioEstimate(
    1_000_000,
    { samples: 2500, squared: 2500, sum: 1000, squares: 1000, cross: 1000 },
    1,
    400,
  );
  assertEquals(value, 400_000);
  // Its error of 19,204, which is that of a normal distribution.
  assertAlmostEquals((high - low) / 2, 19_204, 400);
});

test("if every packet was sampled, nothing is estimated", () => {
  assertEquals(ratioEstimate(5, { samples: 5, squared: 5, sum: 500, squares: 60_000, cross: 500 }, 1522, 1), {
    value: 500,
    range: [500, 500],
  });
});
