import { test } from "node:test";
import { assert, assertAlmostEquals, assertEquals, assertThrows } from "@std/assert";
import { ArgumentError } from "../../src/errors.ts";
import { Estimator } from "../../src/estimate/estimator.ts";
import { LossCorrection } from "../../src/estimate/losses.ts";
import type { Device } from "../../src/link/device.ts";
import { BatchBuffer, type EntryView } from "../../src/stream/batch.ts";
import type { Stage } from "../../src/stream/stage.ts";
import { hex } from "../packet/made.ts";
import { random } from "./random.ts";

const SECOND = 1_000_000_000n;
const ETH0: Device = { name: "eth0", type: 1, address: undefined, mtu: 1500 };

interface Sampled {
  readonly source?: number;
  readonly bytes?: number;
  readonly oneIn?: number | undefined;
  readonly lost?: number | undefined;
  readonly out?: boolean;
}

/** UDP from 10.0.0.SOURCE to 10.9.9.9. */
function frame(source: number): Uint8Array {
  const bytes = hex("0200000000020200000000010800 4500002800004000401100000a0000ff0a090909 0035 0035 0014 0000");
  bytes[29] = source;
  return bytes;
}

function batchOf(samples: readonly Sampled[], atSeconds = 0): BatchBuffer {
  const batch = new BatchBuffer();
  batch.readAtNs = BigInt(Math.round(atSeconds * 1e9));
  batch.devices = { find: (ifindex) => ifindex === 1 ? ETH0 : undefined };
  for (const { source = 1, bytes = 100, oneIn = 1000, lost = 0, out = false, ...rest } of samples) {
    const data = frame(source);
    batch.add(
      {
        type: "sample",
        group: 1,
        nsid: undefined,
        portId: 0,
        oneIn: "oneIn" in rest ? undefined : oneIn,
        inIfindex: out ? undefined : 1,
        outIfindex: out ? 1 : undefined,
        originalBytes: bytes,
        protocol: 0x0800,
        data,
        dataMemory: data.buffer,
        dataAt: 0,
        dataBytes: data.length,
        dataOffset: 0,
      } as unknown as EntryView,
      lost,
    );
  }
  return batch;
}

test("each sample stands for N packets of its size, for its flow, its device and in all", () => {
  const estimator = new Estimator();
  estimator.take(batchOf([{ source: 1 }, { source: 1, bytes: 200 }, { source: 2, bytes: 1000, oneIn: 100 }, { source: 2, out: true }]));
  const { by, total, flows, devices, bound } = estimator.snapshot(2n * SECOND);
  assertEquals([by, total.packets, total.bytes, total.samples, bound], [["ipsource", "ipdestination"], 3100, 500_000, 4, 0]);
  assertEquals(flows.map(({ by, packets, bytes, share }) => [...by, packets, bytes, share]), [
    ["10.0.0.1", "10.9.9.9", 2000, 300_000, 0.6],
    ["10.0.0.2", "10.9.9.9", 1100, 200_000, 0.4],
  ]);
  assertEquals(devices.map(({ by, packets }) => [...by, packets]), [["eth0", "in", 2100], ["eth0", "out", 1000]]);
  // In two seconds.
  assertEquals(total.bitsPerSecond, 2_000_000);
});

test("bounds enclose the estimate, and equal it if every packet was sampled", () => {
  const estimator = new Estimator();
  estimator.take(batchOf(Array.from({ length: 100 }, () => ({}))));
  const [flow] = estimator.snapshot(SECOND).flows;
  assertAlmostEquals(flow!.packetsRange[0], 81_373, 2);
  assertAlmostEquals(flow!.packetsRange[1], 121_616, 2);
  // The largest possible packet counts, not the largest one seen.
  assert(flow!.bytesRange[1] > 12_161_600);
  const complete = new Estimator();
  complete.take(batchOf([{ oneIn: 1 }, { oneIn: 1 }]));
  assertEquals(complete.snapshot(SECOND).flows[0]!.packetsRange, [2, 2]);
});

test("a packet of segmentation offload counts as its packets on the wire", () => {
  const estimator = new Estimator({ by: "device" });
  // The segment size of UDP is unknown: it counts as one, and is reported.
  estimator.take(batchOf([{ bytes: 20_000, oneIn: 1 }]));
  assertEquals([estimator.snapshot(SECOND).total.packets, estimator.snapshot(SECOND).unknownSegments], [1, 1]);
});

test("unusable samples, and those without a key, are reported", () => {
  const estimator = new Estimator({ by: "ip6source" });
  const batch = batchOf([{}, {}]);
  batch.add({ type: "sample", oneIn: undefined, originalBytes: 5 } as EntryView, 0);
  estimator.take(batch);
  const { keyless, unusable, flows, total } = estimator.snapshot(SECOND);
  assertEquals([keyless, unusable, flows.length, total.packets], [2, 1, 0, 2000]);
});

test("rates follow the traffic: after it stops they decay, each horizon with its own time constant", () => {
  const estimator = new Estimator({ taus: [1, 20] });
  // 1000 packets of 100 bytes, a hundred times a second, for 100 seconds.
  for (let i = 0; i < 10_000; i++) estimator.take(batchOf([{}], i / 100));
  const rate = 100 * 1000 * 100 * 8;
  const at = (seconds: number, horizon: number): number => estimator.snapshot(BigInt(seconds) * SECOND, 1, horizon).total.bitsPerSecond;
  assertAlmostEquals(at(100, 0) / rate, 1, 0.02);
  assertAlmostEquals(at(100, 1) / rate, 1, 0.02);
  assertAlmostEquals(at(101, 0) / rate, Math.exp(-1), 0.02);
  assertAlmostEquals(at(101, 1) / rate, Math.exp(-1 / 20), 0.02);
  // Long after, and on: nothing overflows.
  for (let i = 0; i < 100; i++) estimator.take(batchOf([{}], 10_000 + i / 100));
  assertAlmostEquals(at(10_001, 0) / rate, 1 - Math.exp(-1), 0.05);
});

test("rates are right while the first window fills", () => {
  const estimator = new Estimator({ taus: [20] });
  for (let i = 0; i < 100; i++) estimator.take(batchOf([{}], 50 + i / 100));
  assertAlmostEquals(estimator.snapshot(51n * SECOND).total.bitsPerSecond, 100 * 1000 * 100 * 8, 1e6);
});

test("a clock that is set back does no harm", () => {
  const estimator = new Estimator({ taus: [1] });
  estimator.take(batchOf([{}], 1000));
  estimator.take(batchOf([{}], 10));
  const { total } = estimator.snapshot(1000n * SECOND);
  assertEquals(total.packets, 2000);
});

test("lost samples are compensated by later ones, exactly", () => {
  const next = random(7);
  for (const share of [0.01, 0.5, 0.9]) {
    const losses = new LossCorrection();
    let sum = 0;
    let lost = 0;
    let sent = 0;
    while (sent < 50_000) {
      sent++;
      // In bursts, as usual for losses.
      if (next() < share / 20) {
        const burst = 1 + Math.floor(next() * 40);
        lost += burst;
        sent += burst;
      }
      sum += losses.factor(1, undefined, 0, lost);
      lost = 0;
    }
    assertAlmostEquals(sum + losses.outstanding, sent, 1e-3 * sent);
    assert(losses.outstanding < 1000);
  }
  const none = new LossCorrection();
  assertEquals([none.factor(1, undefined, 0, 0), none.factor(2, 3, 4, undefined)], [1, 1]);
});

test("a late sample takes back what was counted as lost", () => {
  const losses = new LossCorrection();
  let sum = losses.factor(1, undefined, 0, 1);
  sum += losses.factor(1, undefined, 0, -1);
  for (let i = 0; i < 2000; i++) sum += losses.factor(1, undefined, 0, 0);
  assertAlmostEquals(sum, 2002, 0.01);
});

test("after a late sample the bounds of complete sampling are still numbers, and those of the estimate", () => {
  const estimator = new Estimator({ by: "ipsource" });
  const late = Array.from({ length: 11 }, (_, i) => ({ oneIn: 1, lost: i === 10 ? -1 : 0 }));
  const after = Array.from({ length: 5 }, () => ({ source: 2, oneIn: 1 }));
  estimator.take(batchOf([{ oneIn: 1, lost: 1 }, ...late, ...after]));
  const { packets, packetsRange, bytes, bytesRange } = estimator.snapshot(SECOND).flows.find(({ by }) => by[0] === "10.0.0.2")!;
  assert(packets > 4.9 && packets < 5);
  assertEquals([packetsRange, bytesRange], [[packets, packets], [bytes, bytes]]);
});

test("an interval begins with nothing", () => {
  const estimator = new Estimator();
  estimator.take(batchOf([{ source: 1 }], 1));
  estimator.restart();
  estimator.take(batchOf([{ source: 2 }], 5));
  const { flows, total, seconds } = estimator.snapshot(7n * SECOND);
  assertEquals([flows.length, flows[0]!.by[0], total.packets, seconds], [1, "10.0.0.2", 1000, 2]);
});

test("of more flows than are kept, the largest are there, with their error", () => {
  const estimator = new Estimator({ by: "ipsource", flows: 8 });
  const next = random(3);
  for (let i = 0; i < 5000; i++) estimator.take(batchOf([{ source: i % 2 === 0 ? 200 : Math.floor(next() * 200) }]));
  const { flows, bound, total } = estimator.snapshot(SECOND);
  assertEquals([flows.length, flows[0]!.by, flows[0]!.overcountAtMost], [8, ["10.0.0.200"], 0]);
  assert(bound > 0 && bound <= total.bytes / 8);
  for (const { bytes, overcountAtMost } of flows) assert(overcountAtMost <= bytes);
});

test("an estimator refuses invalid options", () => {
  for (const options of [{ by: "ipsauce" }, { by: "" }, { flows: 0 }, { oneIn: 0 }, { taus: [] }, { taus: [0] }]) {
    assertThrows(() => new Estimator(options), ArgumentError);
  }
});

test("samples that are not counted are no traffic, but compensate losses like all others", () => {
  const samples = Array.from({ length: 400 }, (_, i) => ({ source: 1 + i % 4, lost: i === 100 ? 100 : 0 }));
  // Every fourth of them.
  const only: Stage = {
    select: (batch, pick) => {
      for (let i = 0; i < batch.count; i++) if (batch.packet(i).bytes[batch.packet(i).offsets[1]! + 15] === 2) pick(i);
    },
  };
  const all = new Estimator();
  const some = new Estimator({ only });
  for (const estimator of [all, some]) for (const sample of samples) estimator.take(batchOf([sample]));
  const [whole, part] = [all, some].map((estimator) => estimator.snapshot(SECOND));
  assertEquals([whole!.lost, part!.lost, part!.total.samples, part!.flows.length], [100, 100, 100, 1]);
  assertAlmostEquals(part!.total.packets, whole!.total.packets / 4, 2000);
  assertAlmostEquals(whole!.total.packets, 500_000, 2000);
});

test("samples without a rate use the given one", () => {
  const estimator = new Estimator({ oneIn: 10 });
  const batch = batchOf([{ oneIn: 1000 }]);
  batch.add({ ...batch.entries[0]!, oneIn: undefined } as unknown as EntryView, 0);
  estimator.take(batch);
  const { total, unusable } = estimator.snapshot(SECOND);
  assertEquals([total.packets, unusable], [1010, 0]);
});

test("a device has its packets' bytes on the wire, in each direction", () => {
  const estimator = new Estimator();
  estimator.take(
    batchOf([{ bytes: 42, oneIn: 1 }, { bytes: 60, oneIn: 1 }, { bytes: 1514, oneIn: 1 }, { bytes: 1514, oneIn: 1, out: true }]),
  );
  const { devices } = estimator.snapshot(SECOND);
  assertEquals(devices.map(({ by, wireBytes, wireBytesRange }) => [...by, wireBytes, ...wireBytesRange]), [
    ["eth0", "in", 84 + 84 + 1538, 1706, 1706],
    ["eth0", "out", 1538, 1538, 1538],
  ]);
});

test("flows are ranked by packets on request, in each horizon", () => {
  const estimator = new Estimator({ by: "ipsource", taus: [Infinity, 1] });
  estimator.take(batchOf([{ source: 1, bytes: 1500 }, { source: 2 }, { source: 2 }], 0));
  estimator.take(batchOf([{ source: 3, bytes: 64 }], 20));
  const first = (...args: [number, "bytes" | "packets"]): string => estimator.snapshot(20n * SECOND, 1, ...args).flows[0]!.by[0]!;
  assertEquals([first(0, "bytes"), first(0, "packets"), first(1, "bytes")], ["10.0.0.1", "10.0.0.2", "10.0.0.3"]);
  assertEquals(estimator.snapshot(20n * SECOND).kept, 3);
});

test("samples that lack a key have an empty text for it; those that lack all only if that is wanted", () => {
  const flowsBy = (by: string, absent?: boolean): unknown[] => {
    const estimator = new Estimator({ by, absent });
    estimator.take(batchOf([{}, {}]));
    const { flows, keyless } = estimator.snapshot(0n);
    return [flows.map(({ by, samples }) => [by, samples]), keyless];
  };
  for (const absent of [true, false]) {
    assertEquals(flowsBy("device,queue,ip6source", absent), [[[["eth0", "", ""], 2]], 0]);
    assertEquals(flowsBy("ip6source,vni,ipdestination,icmptype", absent), [[[["", "", "10.9.9.9", ""], 2]], 0]);
  }
  assertEquals(flowsBy("queue,ip6source", true), [[[["", ""], 2]], 0]);
  assertEquals(flowsBy("queue,ip6source"), [[], 2]);
});

test("figures of devices are left out if they are not wanted, and all others are the same", () => {
  const [all, few] = [new Estimator({ by: "ipsource" }), new Estimator({ by: "ipsource", devices: false })];
  for (const estimator of [all, few]) estimator.take(batchOf([{ source: 1 }, { source: 2, out: true, bytes: 30_000 }]));
  assertEquals(few.snapshot(SECOND), { ...all.snapshot(SECOND), devices: [] });
  assertThrows(() => new Estimator({ devices: false, parts: true }), ArgumentError, "Cannot keep parts of devices");
});

test("flows can be forgotten, and begin again at nothing; the total keeps them", () => {
  const estimator = new Estimator({ by: "ipsource" });
  estimator.take(batchOf([{ source: 1 }, { source: 2 }, { source: 2 }]));
  assertEquals(estimator.forget(([source]) => source === "10.0.0.2"), 1);
  const names = (): unknown => estimator.snapshot(0n).flows.map(({ by, samples, packets }) => [by[0], samples, packets]);
  assertEquals(names(), [["10.0.0.1", 1, 1000]]);
  estimator.take(batchOf([{ source: 2 }]));
  assertEquals(names(), [["10.0.0.1", 1, 1000], ["10.0.0.2", 1, 1000]]);
  assertEquals(estimator.snapshot(0n).total.samples, 4);
});

test("what has decayed to nothing, as in a quiet night, is nothing, and its bounds are found at once", () => {
  const estimator = new Estimator({ by: "ipsource", taus: [30] });
  estimator.take(batchOf([{ source: 1 }, { source: 2, bytes: 1400 }]));
  for (const hours of [1n, 3n, 6n, 12n, 10_000n]) {
    const { total, flows } = estimator.snapshot(hours * 3600n * SECOND);
    for (const { bytes, bytesRange: [low, high] } of [total, ...flows]) assert(low >= 0 && low <= bytes && high >= bytes, `${hours} h`);
  }
});
