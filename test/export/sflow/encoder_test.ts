/** What the encoder counts, and which agents and datagrams samples go into. */
import { test } from "node:test";
import { assert, assertEquals } from "@std/assert";
import type { SflowEncoder } from "../../../src/export/sflow/encoder.ts";
import type { SflowOptions } from "../../../src/export/sflow/options.ts";
import type { Device } from "../../../src/link/device.ts";
import type { SampleView } from "../../../src/psample/sample_view.ts";
import { viewMessage } from "../../../src/psample/group.ts";
import { messageOf } from "../../../src/wire/message.ts";
import { random } from "../../estimate/random.ts";
import { message, number } from "../../psample/build.ts";
import { decodeDatagram, type DecodedDatagram, type DecodedSample, headerOf, recordOf, wordsOf } from "./decoder.ts";
import { batchOf, type BatchParts, ethernet, hex, NOW_NS, sampleOf, type SampleParts, sent } from "./encoding.ts";

const OWN = "020000000001";
const OTHER = "020000000002";
const TO_OWN = hex(`${OWN} ${OTHER} 0800`);
const TO_OTHER = hex(`${OTHER} ${OWN} 0800`);
const INTERNAL = 0x3fffffff;

/** The datagrams that `use` makes an encoder send. */
function decoded(options: Partial<SflowOptions>, use: (encoder: SflowEncoder) => void): DecodedDatagram[] {
  return sent(options, use).map(({ bytes }) => decodeDatagram(bytes));
}

/** The samples of one batch. */
function samplesOf(parts: readonly SampleParts[], options: Partial<SflowOptions> = {}, batch: BatchParts = {}): DecodedSample[] {
  return decoded(options, (encoder) => encoder.take(batchOf(parts.map(sampleOf), batch))).flatMap(({ samples }) => samples);
}

/** Some samples of one interface. */
function some(count: number, parts: SampleParts = {}): SampleView[] {
  return Array.from({ length: count }, () => sampleOf({ input: 2, oneIn: 10, data: TO_OWN, ...parts }));
}

test("datagrams are numbered, and flow samples for each interface", () => {
  const all = decoded({ maxDatagramBytes: 512 }, (encoder) => {
    encoder.take(batchOf([...some(10), ...some(5, { input: 3 }), ...some(10)]));
    encoder.flush(NOW_NS);
    encoder.take(batchOf(some(1, { input: 3 })));
  });
  assertEquals(all.map(({ sequence }) => sequence), all.map((_, i) => i + 1));
  const sequences = (index: number): number[] =>
    all.flatMap(({ samples }) => samples).filter(({ sourceIndex }) => sourceIndex === index).map(({ sequence }) => sequence);
  assertEquals(sequences(2), Array.from({ length: 20 }, (_, i) => i + 1));
  assertEquals(sequences(3), [1, 2, 3, 4, 5, 6]);
});

test("a datagram is as full as it can be, and says how many samples are in it", () => {
  for (const maxDatagramBytes of [512, 1400, 9000]) {
    const all = sent({ maxDatagramBytes }, (encoder) => encoder.take(batchOf(some(300, { data: new Uint8Array(200) }))));
    const size = all[1]!.bytes.length;
    // 40 bytes of the sample, 24 and 128 of the header.
    assert(size <= maxDatagramBytes && size + 192 > maxDatagramBytes, `${size} of ${maxDatagramBytes} bytes`);
    for (const { bytes, samples } of all) assertEquals(decodeDatagram(bytes).samples.length, samples);
    assertEquals(all.reduce((sum, { samples }) => sum + samples, 0), 300);
  }
});

test("datagrams are sent when the block is full, or one call takes no more", () => {
  for (const block of [{ bytes: 1400 }, { bytes: 5000 }, { most: 1 }, { most: 3 }]) {
    const all = sent({}, (encoder) => encoder.take(batchOf(some(200))), block);
    assertEquals(
      all.flatMap(({ bytes }) => decodeDatagram(bytes).samples).map(({ sequence }) => sequence),
      [...Array(200).keys()].map((i) => i + 1),
    );
    assertEquals(all.map(({ bytes }) => decodeDatagram(bytes).sequence), all.map((_, i) => i + 1));
  }
});

test("nothing is sent for nothing", () => {
  assertEquals(sent({}, (encoder) => encoder.take(batchOf([{ type: "group-created", group: 1 } as never]))), []);
});

test("counters and discarded packets never share a datagram with flow samples", () => {
  const all = decoded({}, (encoder) => {
    encoder.hostCounters({}, NOW_NS);
    encoder.take(batchOf(some(1)));
    encoder.discard(
      { ifindex: 2, input: 2, output: 3, reason: 256, unreported: 0, data: TO_OWN, linkType: "ethernet", originalBytes: 60 },
      NOW_NS,
    );
    encoder.take(batchOf(some(1)));
    encoder.hostCounters({}, NOW_NS);
  });
  assertEquals(all.map(({ samples }) => samples.map(({ format }) => format)), [[1, 1], [2, 2], [5]]);
  assertEquals(all.map(({ sequence }) => sequence), [1, 2, 3]);
});

test("the uptime begins when the agent does, wraps, and never goes back", () => {
  const uptimes = (...ms: readonly number[]): number[] =>
    decoded({ startNs: NOW_NS }, (encoder) => {
      for (const one of ms) {
        encoder.hostCounters({}, NOW_NS + BigInt(one) * 1_000_000n);
        encoder.flush(NOW_NS + BigInt(one) * 1_000_000n);
      }
    }).map(({ uptimeMs }) => uptimeMs);
  assertEquals(uptimes(0, 1500, 2 ** 32 + 7), [0, 1500, 7]);
  // Set back by an hour: what passes from then on counts.
  assertEquals(uptimes(5000, -3_600_000, -3_599_000), [5000, 5000, 6000]);
  // Batches were read before the flush that came first.
  assertEquals(uptimes(5000, 4999, 5001, 4500, 5002), [5000, 5000, 5001, 5001, 5002]);
  assertEquals(decoded({ startNs: undefined }, (encoder) => encoder.take(batchOf(some(1))))[0]!.uptimeMs, 0);
  // Without another start it is the first time that the encoder is told.
  const late = decoded({ startNs: undefined }, (encoder) => {
    for (const seconds of [100n, 103n]) encoder.hostCounters({}, NOW_NS + seconds * 1_000_000_000n);
    encoder.flush(NOW_NS + 104_000_000_000n);
  });
  assertEquals(late.map(({ uptimeMs }) => uptimeMs), [4000]);
});

test("the pool is N for each sample, and wraps", () => {
  const big = 0xffff_ffff;
  const pools = samplesOf([2, 1000, big, undefined, 0].map((oneIn) => ({ input: 2, oneIn }))).map(({ rate, pool }) => [rate, pool]);
  assertEquals(pools, [[2, 2], [1000, 1002], [big, 1001], [1, 1002], [1, 1003]]);
});

test("the pool is what reached the samplers if that is told", () => {
  const pools = decoded({}, (encoder) => {
    const take = (): void => encoder.take(batchOf([...some(1), ...some(1, { input: 3 })]));
    take();
    encoder.setTrials(2, 500n);
    take();
    encoder.setTrials(2, 540n);
    take();
    // The sampler was set up again, and has seen 7 packets since.
    encoder.setTrials(2, 7n);
    take();
    encoder.setTrials(2, (1n << 32n) + 7n);
    take();
  }).flatMap(({ samples }) => samples);
  const of = (index: number): unknown[] => pools.filter(({ sourceIndex }) => sourceIndex === index).map(({ pool }) => pool);
  // 500 packets before, 40 more, 7 more of which 3 were in the pool already, 2^32 more.
  assertEquals(of(2), [10, 20, 60, 67, 67]);
  assertEquals(of(3), [10, 20, 30, 40, 50]);
});

test("while nobody knows what reached the samplers, the pool is N for each sample, and goes on from there", () => {
  const pools = decoded({}, (encoder) => {
    const take = (): void => encoder.take(batchOf(some(1)));
    take();
    encoder.setTrials(2, 100n);
    take();
    encoder.setTrials(2, 110n);
    // A filter that counts nothing takes its turn.
    encoder.setTrials(2, undefined);
    take();
    take();
    encoder.setTrials(2, 110n);
    take();
    encoder.setTrials(2, 130n);
    take();
  }).flatMap(({ samples }) => samples).map(({ pool }) => pool);
  assertEquals(pools, [10, 20, 30, 40, 50, 70]);
});

test("the pool never goes back and stays with what reached the samplers, whatever chance picks", () => {
  const draw = random(7);
  const steps: number[] = [];
  const pools = decoded({}, (encoder) => {
    encoder.setTrials(2, 0n);
    for (let trials = 0; trials < 100_000; trials += 1000) {
      const picked = Array.from({ length: 1000 }, draw).filter((value) => value < 0.1).length;
      encoder.take(batchOf(some(picked)));
      encoder.setTrials(2, BigInt(trials + 1000));
      steps.push(picked);
    }
    encoder.take(batchOf(some(1)));
  }).flatMap(({ samples }) => samples).map(({ pool }) => pool!);
  assert(pools.every((pool, i) => i === 0 || pool >= pools[i - 1]!));
  let at = 0;
  for (const [i, picked] of steps.entries()) {
    at += picked;
    // Each thousand brings 100 samples of 10, give or take; what is too much is taken out of the next thousand.
    assert(Math.abs(pools[at - 1]! - 1000 * (i + 1)) <= 500, `${pools[at - 1]} after ${1000 * (i + 1)}`);
  }
});

test("a fraction of N is carried, for each interface, so that the sum is right", () => {
  for (const probability of [0x4000_0001, 0xffff_fffe, 3_000_000_000, 4_000_000, 7]) {
    const exact = 0xffff_ffff / probability;
    const rates = samplesOf(Array.from({ length: 500 }, (_, i) => ({ input: 2 + i % 2, probability })));
    for (const index of [2, 3]) {
      let sum = 0;
      for (const [i, { rate }] of rates.filter(({ sourceIndex }) => sourceIndex === index).entries()) {
        sum += rate!;
        assert(Math.abs(rate! - exact) < 1 && rate! >= 1, `${rate} for ${exact}`);
        assert(Math.abs(sum - (i + 1) * exact) <= 0.5 + 1e-6 * sum, `${sum} for ${(i + 1) * exact}`);
      }
    }
  }
});

test("losses are drops of the interface whose sample shows them", () => {
  const drops = samplesOf([2, 3, 2, 3, 2].map((input) => ({ input })), {}, { lost: [0, 4, 0, 3, 1] });
  assertEquals(drops.map(({ sourceIndex, drops }) => [sourceIndex, drops]), [[2, 0], [3, 4], [2, 0], [3, 7], [2, 1]]);
});

test("a late sample takes a loss back, but drops never go back", () => {
  const parts = Array.from({ length: 6 }, () => ({ input: 2 }));
  assertEquals(samplesOf(parts, {}, { lost: [5, -1, -1, 1, 3, 0] }).map(({ drops }) => drops), [5, 5, 5, 5, 7, 7]);
});

test("what the socket drops counts if no number shows it", () => {
  const run = (...batches: readonly BatchParts[]): unknown[] =>
    decoded({}, (encoder) => {
      for (const parts of batches) encoder.take(batchOf(some(parts.lost?.length ?? 1), parts));
      encoder.take(batchOf(some(1)));
    }).flatMap(({ samples }) => samples).at(-1)!.drops as never;
  // Nothing is numbered: they are all that is known.
  assertEquals(run({ dropped: 3, lost: [undefined] }, { dropped: 4, lost: [undefined, undefined] }), 7 as never);
  // Everything is numbered: a gap will show them.
  assertEquals(run({ dropped: 3, lost: [0] }, { dropped: 0, lost: [3] }), 3 as never);
  assertEquals(run({ dropped: 3, lost: [3] }), 3 as never);
  // Of five dropped, two show as a gap at once or in the next batch, and the others are of the producer without numbers.
  assertEquals(run({ dropped: 5, lost: [undefined, 2] }, { lost: [0, undefined] }), 5 as never);
  assertEquals(run({ dropped: 5, lost: [undefined, 0] }, { lost: [2, undefined] }), 5 as never);
});

/** Where a packet passed, as the sample of it says. */
function passage(
  parts: SampleParts,
  options: Partial<SflowOptions> = {},
  devices: readonly Device[] = [ethernet(2, OWN), ethernet(3)],
): unknown {
  const [sample] = samplesOf([parts], options, { devices });
  return [sample!.sourceIndex, sample!.input, sample!.output];
}

test("where a packet passed: interfaces, the host itself, or nothing known", () => {
  assertEquals(passage({ input: 2, data: TO_OWN }), [2, 2, INTERNAL]);
  assertEquals(passage({ input: 2, data: hex("ffffffffffff") }), [2, 2, INTERNAL], "to all");
  assertEquals(passage({ input: 2, data: hex("01005e000001") }), [2, 2, INTERNAL], "to a group");
  assertEquals(passage({ input: 2, data: TO_OTHER }), [2, 2, 0], "to another");
  assertEquals(passage({ input: 3, data: TO_OWN }), [3, 3, 0], "no address known");
  assertEquals(passage({ input: 9, data: TO_OWN }), [9, 9, 0], "no device known");
  assertEquals(passage({ input: 2, data: TO_OWN.slice(0, 5) }), [2, 2, 0], "cut");
  assertEquals(passage({ input: 2 }), [2, 2, 0], "no data");
  assertEquals(passage({ input: 2, data: TO_OWN }, { forwards: true }), [2, 2, 0], "a router");
  assertEquals(passage({ input: 4, data: hex("45000014") }, {}, [ethernet(4, undefined, 0xfffe)]), [4, 4, INTERNAL], "no link layer");
  assertEquals(passage({ input: 4, data: hex("45000014") }, { forwards: true }, [ethernet(4, undefined, 0xfffe)]), [4, 4, 0]);
  assertEquals(passage({ output: 2, data: TO_OTHER }), [2, INTERNAL, 2], "made here");
  assertEquals(passage({ input: 3, output: 2, data: TO_OTHER }), [2, 3, 2], "forwarded");
  assertEquals(passage({ data: TO_OWN }), [0, 0, 0]);
});

test("indexes are whole, not their low 16 bits", () => {
  const devices = [ethernet(0x20002, OWN), ethernet(0x10003)];
  assertEquals(passage({ input: 3, output: 2, data: TO_OTHER }, {}, devices), [0x20002, 0x10003, 0x20002]);
  assertEquals(passage({ input: 2, data: TO_OWN }, {}, devices), [0x20002, 0x20002, INTERNAL]);
});

test("a packet that passed a sampler when it arrived is not exported when it leaves", () => {
  let leftOut = 0;
  const all = decoded({}, (encoder) => {
    const take = (): void =>
      encoder.take(batchOf([...some(1), ...some(2, { output: 3 }), ...some(1, { input: 4, output: 3 })], { lost: [0, 0, 2, 0] }));
    encoder.setTrials(3, 100n);
    take();
    encoder.setSampledInputs([2]);
    encoder.setTrials(3, 150n);
    take();
    encoder.setTrials(3, 200n);
    take();
    leftOut = encoder.leftOut;
    encoder.setSampledInputs([]);
    take();
  }).flatMap(({ samples }) => samples);
  assertEquals(leftOut, 4);
  const leaving = all.filter(({ sourceIndex }) => sourceIndex === 3);
  assertEquals(leaving.map(({ input }) => input), [2, 2, 4, 4, 4, 2, 2, 4]);
  assertEquals(leaving.map(({ sequence }) => sequence), [1, 2, 3, 4, 5, 6, 7, 8]);
  // Packets that reached the sampler, until some of them were not for it to count: what is told after that does not change the pool.
  assertEquals(leaving.map(({ pool }) => pool), [10, 20, 30, 60, 70, 80, 90, 100]);
  assertEquals(leaving.map(({ drops }) => drops), [0, 2, 2, 4, 6, 6, 8, 8]);
});

test("which interfaces are sampled is told for each namespace", () => {
  const all = decoded({}, (encoder) => {
    encoder.setSampledInputs([2], 5);
    encoder.take(batchOf([...some(1, { output: 3 }), ...some(1, { output: 3, nsid: 5 }), ...some(1, { output: 3, nsid: 6 })]));
  });
  assertEquals(all.map(({ subAgent }) => subAgent), [0, 7]);
});

test("an index of 2^24 changes the form for good, and no datagram has both forms", () => {
  const large = 1 << 24;
  for (const first of [ethernet(large + 2), ethernet(2)]) {
    const devices = [first];
    const all = decoded({}, (encoder) => {
      encoder.take(batchOf(some(2, { input: 5 }), { devices }));
      encoder.hostCounters({}, NOW_NS);
      encoder.take(batchOf([...some(1), ...some(1, { input: 5 })], { devices }));
      encoder.hostCounters({}, NOW_NS);
    });
    const formats = all.map(({ samples }) => samples.map(({ format }) => format));
    assertEquals(formats, first.index! >= large ? [[1, 1], [2], [3, 3], [4]] : [[1, 1, 1, 1], [2, 2]]);
    const flows = all.flatMap(({ samples }) => samples).filter(({ rate }) => rate !== undefined);
    assertEquals(flows.map(({ sourceIndex, sequence }) => [sourceIndex, sequence]), [[5, 1], [5, 2], [first.index, 1], [5, 3]]);
  }
  // Also as an input or an output only, or of counters.
  const formats = (use: (encoder: SflowEncoder) => void): number[] =>
    decoded({}, use).flatMap(({ samples }) => samples.map(({ format }) => format));
  assertEquals(formats((encoder) => encoder.take(batchOf(some(1, { output: 3 }), { devices: [ethernet(large + 2)] }))), [3]);
  assertEquals(formats((encoder) => encoder.take(batchOf(some(1, { input: undefined, output: 2 }), { devices: [ethernet(large + 2)] }))), [
    3,
  ]);
  assertEquals(formats((encoder) => encoder.take(batchOf(some(1, { input: undefined, output: 2 })))), [1]);
  assertEquals(formats((encoder) => encoder.take(batchOf(some(1, { input: large + 7 })))), [3]);
});

test("other namespaces have agent addresses of their own, or are sub-agents", () => {
  const all = decoded({ subAgent: 100, agents: new Map([[1, "192.0.2.77"], [2, "2001:db8::2"]]) }, (encoder) => {
    encoder.take(batchOf([undefined, 0, 1, 2, 3, undefined, 1].flatMap((nsid) => some(1, { nsid }))));
    encoder.interfaceCounters(2, counters(), NOW_NS, 1);
    encoder.setTrials(2, 1n, 1);
  });
  const agents = all.map(({ agent, subAgent, sequence, samples }) => [agent, subAgent, sequence, samples.map(({ sequence }) => sequence)]);
  assertEquals(agents, [
    ["192.0.2.10", 100, 1, [1, 2]],
    ["192.0.2.10", 101, 1, [1]],
    ["192.0.2.77", 100, 1, [1, 2]],
    ["192.0.2.77", 100, 2, [1]],
    ["20010db8000000000000000000000002", 100, 1, [1]],
    ["192.0.2.10", 104, 1, [1]],
  ]);
});

test("as many namespaces and interfaces as anybody makes up are no leak, and lose no sample", () => {
  const template = message([[0, number(4, 0)], [2, number(4, 60)], [3, number(4, 1)], [4, number(4, 0)]]);
  const sampleOn = (ifindex: number, nsid?: number): SampleView => {
    const bytes = template.slice();
    new DataView(bytes.buffer).setUint32(24, ifindex, true);
    return viewMessage(messageOf(bytes), nsid) as SampleView;
  };
  let samples = 0;
  const sequences: number[] = [];
  sent({}, (encoder) => {
    for (let i = 0; i < 100; i++) {
      encoder.take(batchOf([...Array.from({ length: 1000 }, (_, k) => sampleOn(1000 * i + k + 1)), sampleOn(500_000)]));
    }
    for (let i = 0; i < 10_000; i += 500) encoder.take(batchOf(Array.from({ length: 500 }, (_, k) => sampleOn(2, i + k))));
  }).forEach((datagram) => {
    samples += datagram.samples;
    const all = decodeDatagram(datagram.bytes).samples;
    sequences.push(...all.filter(({ sourceIndex }) => sourceIndex === 500_000).map(({ sequence }) => sequence));
  });
  assertEquals(samples, 100 * 1001 + 10_000);
  // One that is in use is never forgotten.
  assertEquals(sequences, [...Array(100).keys()].map((i) => i + 1));
});

test("an interface that was in use lately is not forgotten for others that are made up", () => {
  const all = decoded({}, (encoder) => {
    encoder.take(batchOf(some(1, { input: 70_000 })));
    for (let i = 1; i < 40_000; i++) encoder.setTrials(i, 0n);
    for (let i = 0; i < 3; i++) encoder.take(batchOf(some(1, { input: 70_000 })));
    for (let i = 40_000; i < 65_000; i++) encoder.setTrials(i, 0n);
    encoder.take(batchOf(some(1, { input: 69_999 })));
    for (let i = 65_000; i < 69_000; i++) encoder.setTrials(i, 0n);
    encoder.take(batchOf(some(1, { input: 70_000 })));
  });
  const sequences = all.flatMap(({ samples }) => samples).map(({ sourceIndex, sequence }) => [sourceIndex, sequence]);
  assertEquals(sequences, [[70_000, 1], [70_000, 2], [70_000, 3], [70_000, 4], [69_999, 1], [70_000, 5]]);
});

test("counter samples are numbered for each source, and anew when counters begin again", () => {
  const all = decoded({}, (encoder) => {
    encoder.interfaceCounters(2, counters(), NOW_NS);
    encoder.interfaceCounters(2, counters(), NOW_NS);
    encoder.interfaceCounters(3, counters(), NOW_NS);
    encoder.hostCounters({}, NOW_NS);
    encoder.interfaceCounters(2, counters({ restarted: true }), NOW_NS);
    encoder.interfaceCounters(2, counters(), NOW_NS);
  }).flatMap(({ samples }) => samples);
  assertEquals(all.map(({ sourceType, sourceIndex, sequence }) => [sourceType, sourceIndex, sequence]), [
    [0, 2, 1],
    [0, 2, 2],
    [0, 3, 1],
    [2, 1, 1],
    [0, 2, 1],
    [0, 2, 2],
  ]);
});

test("counters of a thousand interfaces fill datagrams", () => {
  const all = decoded({}, (encoder) => {
    for (let i = 1; i <= 1000; i++) encoder.interfaceCounters(i, counters({ name: "x".repeat(15) }), NOW_NS);
  });
  // 20 bytes of the sample, 96 and 28 of its records: nine fit.
  assertEquals(all.map(({ samples }) => samples.length).slice(0, -1), Array(111).fill(9));
  assertEquals(all.flatMap(({ samples }) => samples).length, 1000);
});

test("long names are cut at a whole character, and so are the bytes of discarded packets", () => {
  const long = "é".repeat(500);
  const [host, name] = decoded({}, (encoder) => {
    encoder.hostCounters({ description: { hostname: `x${long}`, uuid: undefined, machine: "riscv64", release: `x${long}` } }, NOW_NS);
    encoder.interfaceCounters(2, counters({ name: long }), NOW_NS);
  }).flatMap(({ samples }) => samples);
  const text = (body: Uint8Array): string => new TextDecoder("utf-8", { fatal: true }).decode(body);
  const description = recordOf(host!, 2000)!;
  assertEquals(text(description.slice(4, 4 + 63)), `x${"é".repeat(31)}`);
  assertEquals(description.slice(68, 84), new Uint8Array(16));
  assertEquals([...description.slice(84, 96)], [0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 31], "another machine, Linux");
  assertEquals(text(recordOf(name!, 1005)!.slice(4, 4 + 254)), "é".repeat(127));
  const [discard] = decoded({ maxDatagramBytes: 512 }, (encoder) => {
    const trap = { group: long, name: long };
    const data = new Uint8Array(2000);
    encoder.discard({
      ifindex: 2,
      input: 1,
      output: 2,
      reason: 256,
      unreported: undefined,
      data,
      linkType: "raw-ip",
      originalBytes: 2000,
      functionName: long,
      trap,
      linuxReason: long,
    }, NOW_NS);
  });
  const { protocol, frameLength, stripped, header } = headerOf(discard!.samples[0]!);
  assertEquals([protocol, frameLength, stripped, header.length], [11, 2000, 0, 104]);
});

test("delays and depths of more than 32 bits are the largest number", () => {
  const parts = (value: bigint): SampleParts => ({ input: 2, more: [[10, number(2, 0)], [11, number(8, value)], [12, number(8, value)]] });
  const values = [0n, 0xffff_fffen, 0xffff_ffffn, 1n << 32n, 0xffff_ffff_ffff_ffffn];
  const all = samplesOf(values.map(parts));
  const expected = [0, 0xffff_fffe, 0xffff_ffff, 0xffff_ffff, 0xffff_ffff];
  assertEquals(all.map((sample) => [wordsOf(sample, 1039)![0], wordsOf(sample, 1040)![0]]), expected.map((value) => [value, value]));
  // A depth without a queue means nothing.
  const [sample] = samplesOf([{ input: 2, more: [[11, number(8, 5)]] }]);
  assertEquals(sample!.records.map(({ format }) => format), [1]);
});

test("the time is the sample's; that of the record if a recording has no other", () => {
  const time = (parts: SampleParts, recorded: boolean): unknown => wordsOf(samplesOf([parts], {}, { recorded })[0]!, 1043);
  const own: SampleParts = { input: 2, more: [[13, number(8, 0x1_0000_0002n)]] };
  assertEquals([time(own, false), time(own, true)], [[1, 2], [1, 2]]);
  assertEquals(time({ input: 2 }, false), undefined);
  const recordedNs = 1_600_000_000_000_000_005n;
  assertEquals(time({ input: 2 }, true), [Number(recordedNs >> 32n), Number(recordedNs & 0xffff_ffffn)]);
});

test("a super-packet has its own length, also behind a header that says 0", () => {
  const big = hex(`${OWN} ${OTHER} 0800 4500 0000 0000 0000 4006 0000 c0000201 c0000202 ${"00".repeat(20)}`);
  const { frameLength, stripped } = headerOf(samplesOf([{ input: 2, bytes: 200_000, data: big }])[0]!);
  assertEquals([frameLength, stripped], [200_004, 4]);
  const [ip] = samplesOf([{ input: 2, bytes: 200_000, data: big.slice(14) }], {}, { devices: [ethernet(2, undefined, 0xfffe)] });
  assertEquals(wordsOf(ip!, 3)!.slice(0, 2), [200_000, 6]);
});

test("data may begin anywhere in memory", () => {
  const data = Uint8Array.from({ length: 61 }, (_, i) => i + 2);
  const whole = message([[0, number(2, 2)], [2, number(4, 61)], [3, number(4, 1)], [4, number(4, 0)], [6, data]]);
  for (const offset of [0, 1, 2, 3]) {
    const moved = new Uint8Array(whole.length + offset);
    moved.set(whole, offset);
    const sample = viewMessage(messageOf(moved.subarray(offset))) as SampleView;
    const [decodedSample] = decoded({}, (encoder) => encoder.take(batchOf([sample]))).flatMap(({ samples }) => samples);
    assertEquals(headerOf(decodedSample!).header, data, `at ${offset}`);
  }
});

test("fields of a packet in a packet are those of the outer one", () => {
  const tcp = `0fa01388 00000000 00000000 50120000 00000000`;
  const inner = `4500003c 00000000 40060000 0a000001 0a000002 ${tcp}`;
  const devices = [ethernet(2, undefined, 0xfffe)];
  const fieldsOf = (data: string): unknown => wordsOf(samplesOf([{ input: 2, bytes: 60, data: hex(data) }], {}, { devices })[0]!, 3);
  assertEquals(fieldsOf(`4500003c 00000000 40040000 c0000201 c0000202 ${inner}`), [60, 4, 0xc0000201, 0xc0000202, 0, 0, 0, 0]);
  assertEquals(fieldsOf(inner), [60, 6, 0x0a000001, 0x0a000002, 4000, 5000, 0x12, 0]);
});

test("headers of a device without a link layer: protocol and fields as far as they were captured", () => {
  const devices = [ethernet(2, undefined, 0xfffe)];
  const fragment = hex("45b80028 00002001 40110000 c0000201 c0000202 00010002 00140000 0000000000000000 00000000");
  const of = (data: Uint8Array | undefined, protocol = 0x0800): unknown[] => {
    const [sample] = samplesOf([{ input: 2, bytes: 40, data, more: [[14, number(2, protocol)]] }], {}, { devices });
    const { protocol: code, frameLength, stripped, header } = headerOf(sample!);
    return [code, frameLength, stripped, header.length, wordsOf(sample!, 3)?.slice(0, 2), wordsOf(sample!, 3)?.slice(4)];
  };
  // A later fragment has no ports.
  assertEquals(of(fragment), [11, 40, 0, 40, [40, 17], [0, 0, 0, 0xb8]]);
  assertEquals(of(fragment.slice(0, 20)), [11, 40, 0, 20, [40, 17], [0, 0, 0, 0xb8]]);
  assertEquals(of(fragment.slice(0, 19)), [11, 40, 0, 19, undefined, undefined]);
  assertEquals(of(undefined), [11, 40, 0, 0, undefined, undefined]);
  assertEquals(of(undefined, 0x86dd), [12, 40, 0, 0, undefined, undefined]);
});

/** Counters of which nothing is known. */
function counters(more: { readonly restarted?: boolean; readonly name?: string } = {}): Parameters<SflowEncoder["interfaceCounters"]>[1] {
  const unknown = undefined;
  const both = { octets: unknown, unicast: unknown, multicast: unknown, broadcast: unknown, discards: unknown, errors: unknown };
  return {
    ifType: unknown,
    bitsPerSecond: unknown,
    duplex: unknown,
    adminUp: true,
    operationallyUp: true,
    promiscuous: unknown,
    in: { ...both, unknownProtocols: unknown },
    out: both,
    ...more,
  };
}
