/** What is polled of a scripted kernel, when, and what collectors get of it. */
import { test } from "node:test";
import { assert, assertEquals, assertRejects } from "@std/assert";
import { ArgumentError } from "../../src/errors.ts";
import type { SflowEncoder } from "../../src/export/sflow/encoder.ts";
import { CounterPoller } from "../../src/sink/counter_poller.ts";
import type { DatagramSink } from "../../src/sink/datagram_sink.ts";
import { type SflowToOptions, sflowToWith } from "../../src/sink/export.ts";
import { ENETUNREACH, EPERM } from "../../src/sys/sys.ts";
import { decodeDatagram, type DecodedSample, recordOf, wordsOf } from "../export/sflow/decoder.ts";
import { skippingWaits } from "../support/fake_time.ts";
import { until } from "../support/waiting.ts";
import { CountingKernel } from "./counting_kernel.ts";

const ONES = 0xffff_ffff;
const INTERVAL_MS = 1000;
const TARGET = "192.0.2.9";

async function opened(
  { sys }: CountingKernel,
  counters: NonNullable<SflowToOptions["counters"]>,
  options: SflowToOptions = {},
): Promise<DatagramSink<SflowEncoder>> {
  return await sflowToWith(sys, TARGET, {
    agent: "192.0.2.1",
    forwards: false,
    counters: { intervalMs: INTERVAL_MS, ...counters },
    ...options,
  });
}

/** The samples that have arrived, in their order. */
function samplesOf({ sys }: CountingKernel): DecodedSample[] {
  return sys.arrived.flatMap(({ bytes }) => decodeDatagram(new Uint8Array(bytes)).samples);
}

const ofDevice = (kernel: CountingKernel, index: number): DecodedSample[] =>
  samplesOf(kernel).filter(({ sourceType, sourceIndex }) => sourceType === 0 && sourceIndex === index);

function nameOf(sample: DecodedSample): string {
  const body = recordOf(sample, 1005)!;
  return new TextDecoder().decode(body.subarray(4, 4 + new DataView(body.buffer).getUint32(0)));
}

test(
  "a device's counters are sent as the kernel has them; what it does not tell apart is unknown",
  skippingWaits(async () => {
    const kernel = new CountingKernel();
    const stats = [1000, 2000, 2 ** 33 + 5, 7, 3, 4, 10, 12, 100, 0, 0, 0, 21, 22, 0, 5, 0, 23, 0, 0, 24];
    kernel.devices.set(3, { name: "eth0", speed: 10_000, duplex: 1, promiscuity: 2, stats });
    kernel.devices.set(4, { name: "veth1", kind: "veth", flags: 1, stats });
    kernel.devices.set(5, { name: "lo", type: 772, flags: 0 });
    const sink = await opened(kernel, { host: false });
    await until("all have come twice", () => [3, 4, 5].every((index) => ofDevice(kernel, index).length >= 2));
    const [first, second] = ofDevice(kernel, 3);
    assertEquals([first!.sequence, second!.sequence, first!.format, nameOf(first!)], [1, 2, 2, "eth0"]);
    assertEquals(
      wordsOf(first!, 1),
      [3, 6, 2, 0x540b_e400, 1, 3, 2, 5, 900, 100, ONES, 15, 3, ONES, 0, 7, 2000, ONES, ONES, 12, 4, 1],
    );
    // Alignment, check sequence, late collisions, carrier: what every driver has. The rest only hardware knows.
    assertEquals(wordsOf(first!, 2), [22, 21, ONES, ONES, ONES, ONES, 24, ONES, ONES, 23, ONES, ONES, ONES]);
    const [veth] = ofDevice(kernel, 4);
    assertEquals(veth!.records.map(({ format }) => format), [1, 1005]);
    assertEquals(wordsOf(veth!, 1)!.slice(0, 6), [4, 6, 0, 0, 0, 1]);
    assertEquals(wordsOf(ofDevice(kernel, 5)[0]!, 1)!.slice(0, 6), [5, 24, 0, 0, 0, 0]);
    assertEquals(sink.counterSamples.dropped, 0);
    assertEquals(sink.counterSamples.sent, samplesOf(kernel).length);
    // Those that do not know are not asked again.
    assertEquals(kernel.ethtool.filter(([command, index]) => command === 4 && index === 4).length, 1);
    assertEquals(kernel.ethtool.filter(([command, index]) => command === 32 && index === 3).length, 1);
    assert(kernel.ethtool.filter(([command, index]) => command === 4 && index === 3).length > 1);
    sink.abort();
    kernel.sys.assertClean();
  }),
);

test(
  "what the hardware counts is more than what the kernel knows",
  skippingWaits(async () => {
    const kernel = new CountingKernel();
    const hardware: [number, number, number][] = [
      [0, 0, 91],
      [1, 1, 92],
      [1, 4, 93],
      [1, 14, 30],
      [1, 15, 20],
      [1, 17, 60],
      [1, 18, 40],
      [1, 21, 94],
    ];
    kernel.devices.set(3, { name: "eth0", stats: [1000, 2000, 1, 2, 0, 0, 0, 0, 100, 0, 0, 0, 21], speed: ONES, duplex: 0, hardware });
    const sink = await opened(kernel, { host: false });
    await until("it has come", () => ofDevice(kernel, 3).length > 0);
    const [sample] = ofDevice(kernel, 3);
    const words = wordsOf(sample!, 1)!;
    // Unknown speed and half duplex; unicast, multicast and broadcast of both directions.
    assertEquals([words[3], words[4], words.slice(8, 11), words.slice(16, 19)], [0, 2, [900, 60, 40], [1950, 30, 20]]);
    assertEquals(wordsOf(sample!, 2), [0, 93, 92, ONES, ONES, ONES, 0, ONES, ONES, 0, 94, ONES, 91]);
    sink.abort();
    kernel.sys.assertClean();
  }),
);

test(
  "counters that begin again restart the sequence: the driver's, or those of another device with the same index",
  skippingWaits(async () => {
    const kernel = new CountingKernel();
    kernel.devices.set(3, { name: "eth0", stats: [100, 100, 5000, 5000] });
    const sink = await opened(kernel, { host: false });
    const sequences = (): number[] => ofDevice(kernel, 3).map(({ sequence }) => sequence);
    const next = async (): Promise<void> => {
      const before = sequences().length;
      await until("the next one has come", () => sequences().length > before);
    };
    await next();
    await next();
    assertEquals(sequences(), [1, 2]);
    // A driver that was reloaded.
    kernel.set(3, { name: "eth0", stats: [100, 100, 4999, 5000] });
    await next();
    assertEquals(sequences(), [1, 2, 1]);
    // Only its name is new.
    kernel.set(3, { name: "uplink", stats: [100, 100, 6000, 5000] });
    await next();
    assertEquals([sequences(), nameOf(ofDevice(kernel, 3).at(-1)!)], [[1, 2, 1, 2], "uplink"]);
    // Another device, whose counters are ahead already.
    kernel.delete(3);
    kernel.set(3, { name: "eth0", stats: [200, 200, 9000, 9000] });
    await next();
    assertEquals(sequences(), [1, 2, 1, 2, 1]);
    kernel.delete(3);
    kernel.set(4, { name: "eth1" });
    await until("the new one has come", () => ofDevice(kernel, 4).length > 1);
    assertEquals(sequences().length, 5);
    sink.abort();
    kernel.sys.assertClean();
  }),
);

test(
  "a thousand devices are spread over the interval, eight in a request, and each is due within it",
  skippingWaits(async () => {
    const kernel = new CountingKernel();
    for (let index = 1; index <= 1000; index++) kernel.devices.set(index, { name: `veth${index}`, kind: "veth" });
    const startMs = performance.now();
    const poller = await CounterPoller.open(kernel.sys, { host: false, random: () => 0.3 });
    const target = { encoder: { interfaceCounters: () => {}, hostCounters: () => {} }, flush: () => Promise.resolve(), fail: () => {} };
    poller.feed(target);
    await until("it knows the devices", () => poller.moments.length > 0);
    const moments = poller.moments.sort((a, b) => a - b);
    assertEquals(moments.length, 125);
    assert(moments[0]! >= startMs && moments.at(-1)! <= performance.now() + 30_000);
    // Evenly: between two of them there is never much more than a 125th of the interval.
    const widest = Math.max(...moments.slice(1).map((moment, i) => moment - moments[i]!));
    assert(widest < 3 * 30_000 / 125, `${widest} ms`);
    await until("a turn has come", () => kernel.polls.length > 1);
    assert(kernel.polls.every(({ length }) => length === 8));
    // Half of them, three times as often.
    poller.configure({ host: true, intervalMs: 10_000, devices: ({ index }) => index > 500 });
    await until("it has looked", () => poller.moments.length > 1);
    assertEquals(poller.moments.length, 1 + 63);
    assert(poller.moments.every((moment) => moment <= performance.now() + 10_000));
    // Without a target nothing is read.
    poller.leave(target);
    const asked = kernel.polls.length;
    const [moment] = poller.moments.sort((a, b) => a - b);
    await until("a turn is over", () => !poller.moments.includes(moment!));
    assertEquals(kernel.polls.length, asked);
    poller.close();
    kernel.sys.assertClean();
  }),
);

test(
  "two machines that are started together have different moments",
  skippingWaits(async () => {
    const moments = await Promise.all([0.1, 0.6].map(async (phase) => {
      const kernel = new CountingKernel();
      const startMs = performance.now();
      const poller = await CounterPoller.open(kernel.sys, { devices: () => false, random: () => phase });
      const [moment] = poller.moments;
      poller.close();
      kernel.sys.assertClean();
      return moment! - startMs;
    }));
    // They are half an interval apart, give or take what opening took.
    assert(moments[1]! - moments[0]! > 5000, moments.join());
  }),
);

test(
  "only wanted devices are polled, whatever comes and goes; and a collector that nothing reaches costs no silence",
  skippingWaits(async () => {
    const kernel = new CountingKernel();
    const { sys } = kernel;
    kernel.devices.set(3, { name: "eth0" });
    kernel.devices.set(4, { name: "tap0" });
    sys.unreachable.set(`${TARGET}:6343`, ENETUNREACH);
    const sink = await opened(kernel, { host: false, devices: ({ name }) => name.startsWith("eth") });
    await until("two were dropped", () => sink.counterSamples.dropped >= 2);
    assertEquals([sink.counterSamples.sent, sink.skipped, sink.datagrams.dropped], [0, 0, sink.counterSamples.dropped]);
    sys.unreachable.clear();
    kernel.set(4, { name: "eth1" });
    await until("the renamed one has come", () => ofDevice(kernel, 4).length > 0 && ofDevice(kernel, 3).length > 0);
    // The dropped ones show.
    assert(ofDevice(kernel, 3)[0]!.sequence >= 3);
    kernel.set(4, { name: "tap0" });
    const before = ofDevice(kernel, 3).length;
    await until("others go on", () => ofDevice(kernel, 3).length > before + 1);
    const gone = ofDevice(kernel, 4).length;
    const later = ofDevice(kernel, 3).length;
    await until("others go on", () => ofDevice(kernel, 3).length > later + 1);
    assertEquals(ofDevice(kernel, 4).length, gone);
    sink.abort();
    sys.assertClean();
  }),
);

test(
  "what cannot be read is reported once, until it can be read again",
  skippingWaits(async () => {
    const kernel = new CountingKernel();
    kernel.hasEthtool = false;
    kernel.refusal = EPERM;
    for (let index = 1; index <= 20; index++) kernel.devices.set(index, { name: `eth${index}` });
    const problems: string[] = [];
    const sink = await opened(kernel, { host: false }, { onProblem: (error) => void problems.push(error.message) });
    await until("it was refused often", () => kernel.polls.length > 6);
    assertEquals(problems.length, 1);
    assert(problems[0]!.startsWith("Cannot read the counters of devices"), problems[0]);
    kernel.refusal = 0;
    await until("all have come", () => samplesOf(kernel).length >= 20);
    kernel.refusal = EPERM;
    await until("it is reported again", () => problems.length === 2);
    sink.abort();
    kernel.sys.assertClean();
  }),
);

test(
  "the host is a source of its own: its records, and the network by which it is connected to others",
  skippingWaits(async () => {
    const kernel = new CountingKernel();
    kernel.file("processors", "cpu  1 2 3 4 5 6 7 8 9 10\ncpu0 1 2 3 4 5 6 7 8 9 10\nintr 99 1 2\nctxt 77\nprocs_running 3\n");
    for (const file of ["load", "memory", "paging", "disks"] as const) kernel.file(file, "");
    kernel.devices.set(1, { name: "lo", type: 772, stats: [1, 1, 1, 1] });
    kernel.devices.set(3, { name: "eth0", stats: [10, 20, 1000, 2000, 1, 2, 3, 4] });
    kernel.devices.set(4, { name: "eth1", stats: [1, 1, 500, 600] });
    kernel.devices.set(5, { name: "br0", kind: "bridge", stats: [7, 7, 7, 7] });
    const problems: string[] = [];
    const sink = await opened(kernel, { devices: () => false }, { onProblem: (error) => void problems.push(error.message) });
    await until("it has come twice", () => samplesOf(kernel).length >= 2);
    const [first, second] = samplesOf(kernel);
    assertEquals([first!.sourceType, first!.sourceIndex, first!.sequence, second!.sequence], [2, 1, 1, 2]);
    assertEquals(first!.records.map(({ format }) => format), [2000, 2003, 2004, 2006]);
    assertEquals(wordsOf(first!, 2006), [0, 1500, 11, 1, 3, 0, 2600, 21, 2, 4]);
    // Ticks of 10 ms; 32 bits each.
    assertEquals(wordsOf(first!, 2003)!.slice(8), [10, 20, 30, 40, 50, 60, 70, 99, 77, 80, 90, 100]);
    // One of them is gone, so that the sums begin again.
    kernel.delete(4);
    await until("the sequence begins again", () => samplesOf(kernel).at(-1)!.sequence === 1);
    assertEquals(problems, []);
    kernel.sys.files.clear();
    await until("what is hidden is reported", () => problems.length > 0);
    const seen = samplesOf(kernel).length;
    await until("the rest is sent", () => samplesOf(kernel).length > seen + 1);
    assertEquals([problems.length, wordsOf(samplesOf(kernel).at(-1)!, 2003)!.slice(8)], [1, Array(12).fill(ONES)]);
    assert(/Cannot read \/proc\/stat, .*\/proc\/diskstats for the counters of the host: .*ProcSubset=pid/.test(problems[0]!), problems[0]);
    // So many cards that they are not asked for at once: the answers would not fit into the socket.
    for (let index = 10; index < 60; index++) kernel.set(index, { name: `eth${index}`, stats: [0, 0, 1000] });
    await until("all are added up", () => wordsOf(samplesOf(kernel).at(-1)!, 2006)?.[1] === 51_000);
    assert(kernel.polls.every(({ length }) => length <= 8));
    sink.abort();
    kernel.sys.assertClean();
  }),
);

test(
  "a container's network is what leads out of it",
  skippingWaits(async () => {
    const kernel = new CountingKernel();
    kernel.devices.set(1, { name: "lo", type: 772, stats: [1, 1, 1, 1] });
    kernel.devices.set(2, { name: "eth0", kind: "veth", peerNsid: 0, stats: [10, 20, 1000, 2000] });
    kernel.devices.set(3, { name: "veth1", kind: "veth", stats: [7, 7, 7, 7] });
    const sink = await opened(kernel, { devices: () => false });
    await until("it has come", () => samplesOf(kernel).length > 0);
    assertEquals(wordsOf(samplesOf(kernel)[0]!, 2006), [0, 1000, 10, 0, 0, 0, 2000, 20, 0, 0]);
    sink.abort();
    kernel.sys.assertClean();
  }),
);

test(
  "an interval that is too short is refused, and nothing stays open",
  skippingWaits(async () => {
    const kernel = new CountingKernel();
    await assertRejects(() => opened(kernel, { intervalMs: 999 }), ArgumentError, "intervalMs 999 is not a number from 1000 to");
    await assertRejects(() => opened(kernel, {}, { agent: "x" }), ArgumentError, 'agent "x"');
    kernel.sys.assertClean();
  }),
);
