/**
 * What this package does in the bench: one kind of work in a process of its own, so that neither the compiler's
 * nor the collector's state is that of other work. Results are lines "NAME VALUE" on standard error, as the C
 * peers have them; CPU is that of the whole process, its threads included. What works in rounds does COUNT messages
 * for each byte on standard input, after it was ready.
 *
 *   decode reused|owned FILE COUNT             messages that are in memory, in rounds
 *   drain batches|samples FILE COUNT           its own full queue, in rounds
 *   drain text|json FILE COUNT                 the same, and a line for each sample on standard output
 *   drain sflow|ipfix|all FILE COUNT           the same, and each sample sent to a collector; all is both, and metrics
 *   details LINKS FILE COUNT                   as drain text, with the names of devices, of which there are LINKS
 *   pcap PATH FILE COUNT                       samples that are in memory, a record for each, in rounds
 *   filter EXPRESSION FILE COUNT               whether packets that are in memory match, in rounds
 *   headers FILE COUNT OTHERS                  where the headers of packets that are in memory are, in rounds; those of OTHERS, before
 *   headers-heap FILE COUNT OTHERS             what of the heap that takes, half of them from OTHERS
 *   wait batches|latency|text|memory COUNT     what somebody else sends to the port that it names
 *   wait filtered COUNT FILE                   the same, of which a filter in the kernel lets one in 1000 through; FILE, all of it, before
 *   blocked text|json COUNT SECONDS RECORDING  the same, for so long: lines on standard output, and a recording
 *   export sflow|ipfix|all COUNT               what somebody else sends to the port that it names is sent on to a collector
 *   export-delay batch|low COUNT               the same, as sFlow, and how long a sample waits at most
 *   export-idle SECONDS                        nothing comes, with all exporters open
 *   top COUNT                                  the same, and what it stands for on a screen
 *   idle SECONDS                               nothing comes
 */
import { readFileSync } from "node:fs";
import process from "node:process";
import { ArgumentError } from "../../src/errors.ts";
import { JsonWriter } from "../../src/format/json.ts";
import { TextWriter } from "../../src/format/text.ts";
import type { Devices } from "../../src/link/device.ts";
import { packetFilter } from "../../src/filter/stage.ts";
import { Ledger } from "../../src/receive/ledger.ts";
import type { Entry } from "../../src/receive/listener.ts";
import { NetlinkSocket } from "../../src/socket/netlink_socket.ts";
import type { Sample } from "../../src/psample/sample.ts";
import { SampleDecoder, viewSample } from "../../src/psample/sample_decoder.ts";
import { SampleView } from "../../src/psample/sample_view.ts";
import type { LineWriter } from "../../src/sink/lines.ts";
import { linesToWith, recordToWith } from "../../src/sink/open.ts";
import { type Batch, BatchBuffer, type EntryView } from "../../src/stream/batch.ts";
import { pump } from "../../src/stream/pump.ts";
import { loadSys } from "../../src/sys/load.ts";
import { AF_NETLINK, MSG_DONTWAIT, NETLINK_USERSOCK, type Sys } from "../../src/sys/sys.ts";
import { messageOf } from "../../src/wire/message.ts";
import { LITTLE, memory, viewOf } from "../../src/wire/native.ts";
import { DEVICES, exportDelay, exportIdle, exporting, exportTaker } from "./exports.ts";
import { headersHeap, headersInRounds } from "./headers.ts";
import { manyDevices, open } from "./listener.ts";
import { topLive } from "./live.ts";
import { cpuNs, inRounds, report, WARM_UP } from "./measure.ts";
import { memorySys } from "./memory_sys.ts";
import { type BenchMessage, readMessages } from "./messages.ts";

/** Made of all that is read, so that no reading can be left out. */
let sum = 0;

/** What a program reads that wants all of a sample; the C peers read the same. */
function readAll(sample: Sample | SampleView): number {
  return ((sample.group ?? 0) + (sample.sequence ?? 0) + (sample.rate ?? 0) + (sample.originalBytes ?? 0) + (sample.inIfindex ?? 0) +
    (sample.outIfindex ?? 0) + (sample.protocol ?? 0) + sample.portId + sample.dataBytes + (sample.outTc ?? 0) +
    (sample.timestampNs === 0n ? 1 : 0)) | 0;
}

function readBatch(batch: readonly EntryView[]): void {
  let read = 0;
  for (const entry of batch) if (entry.type === "sample") read = (read + readAll(entry)) | 0;
  sum += read;
}

/** The same of samples that are given away, and their data. */
function readOwned(batch: readonly Entry[]): void {
  let read = 0;
  for (const entry of batch) if (entry.type === "sample") read = (read + readAll(entry) + (entry.data?.[0] ?? 0)) | 0;
  sum += read;
}

async function decodeReused(path: string, count: number): Promise<void> {
  // In one memory, as a batch has them.
  const messages = readMessages(path).map(({ bytes }) => [bytes.byteOffset, bytes.byteOffset + bytes.length] as const);
  const view = new DataView(readMessages(path)[0]!.bytes.buffer);
  const decoder = new SampleDecoder();
  const sample = new SampleView();
  let next = 0;
  await inRounds(count, () => {
    const start = cpuNs();
    let read = 0;
    for (let i = 0; i < count; i++) {
      const [from, to] = messages[next]!;
      next = next + 1 === messages.length ? 0 : next + 1;
      read = (read + readAll(decoder.view(view, from, to, sample))) | 0;
    }
    sum += read;
    return (cpuNs() - start) / count;
  });
}

/** All of the receive path, but with messages that are in memory already in the place of the kernel. */
async function decodeOwned(path: string, count: number): Promise<void> {
  const { listener } = await open(memorySys(readMessages(path).slice(0, 64)));
  const batches = listener.batches();
  await inRounds(count, async () => {
    const start = cpuNs();
    let taken = 0;
    while (taken < count) {
      const batch = (await batches.next()).value!;
      readOwned(batch);
      taken += batch.length;
    }
    return (cpuNs() - start) / taken;
  });
  await listener.close();
}

const OTHER_FILTERS = [
  "udp port 53 or icmp",
  "not tcp port 22 and not arp",
  "host 10.0.0.1 or host 2001:db8::1",
  "tcp[13] & 2 != 0 and len > 60",
  "ip6 and portrange 1-1023 or vlan 5",
];

/** The predicate, on packets as a sample has them. */
async function decide(expression: string, path: string, count: number): Promise<void> {
  const packets = readMessages(path).map(({ bytes }) => viewSample(messageOf(bytes)).copy());
  // A compiler that has seen one filter only would make one function of it: a program may have several.
  for (const other of OTHER_FILTERS) {
    const matches = packetFilter(other);
    for (let i = 0; i < WARM_UP / 4; i++) {
      const { data, originalBytes } = packets[i % packets.length]!;
      if (matches(data!, "ethernet", originalBytes)) sum++;
    }
  }
  const matches = packetFilter(expression);
  let next = 0;
  await inRounds(count, () => {
    const start = cpuNs();
    let matching = 0;
    for (let i = 0; i < count; i++) {
      const { data, originalBytes } = packets[next]!;
      next = next + 1 === packets.length ? 0 : next + 1;
      if (matches(data!, "ethernet", originalBytes)) matching++;
    }
    sum += matching;
    return (cpuNs() - start) / count;
  });
}

/** Puts messages into a socket's queue, again and again. */
class Sender {
  readonly #sys: Sys;
  readonly #socket: NetlinkSocket;
  readonly #address = memory(12);
  readonly #messages: readonly (BenchMessage & { readonly view: DataView })[];
  #next = 0;

  constructor(sys: Sys, port: number, path: string) {
    this.#sys = sys;
    this.#socket = new NetlinkSocket(sys, NETLINK_USERSOCK);
    this.#messages = readMessages(path).map((message) => ({ ...message, view: viewOf(message.bytes) }));
    new Uint32Array(this.#address.buffer).set([LITTLE ? AF_NETLINK : AF_NETLINK << 16, port]);
  }

  /** Queues up to `count` messages; returns how many. Without an allocation: receiving is not to pay for its collection. */
  fill(count: number): number {
    const [sys, { fd }, address, messages] = [this.#sys, this.#socket, this.#address, this.#messages];
    for (let i = 0; i < count; i++) {
      const { bytes, view, sequenceAt, step } = messages[this.#next]!;
      if (sys.sendto(fd, bytes, MSG_DONTWAIT, address) < 0) return i;
      if (sequenceAt > 0) view.setUint32(sequenceAt, view.getUint32(sequenceAt, LITTLE) + step, LITTLE);
      this.#next = this.#next + 1 === messages.length ? 0 : this.#next + 1;
    }
    return count;
  }

  close(): void {
    this.#socket.close();
  }
}

/** What samples can be exported as. */
const EXPORTS = new Set(["sflow", "ipfix", "all"]);

/** Takes all that is queued, `count` messages a round. */
async function drain(form: string, path: string, count: number, devices?: Devices): Promise<void> {
  const sys = await loadSys();
  const { listener, port } = await open(sys, { devices: EXPORTS.has(form) ? DEVICES : devices });
  const sender = new Sender(sys, port, path);
  const exports = EXPORTS.has(form) ? await exportTaker(form, sys, listener) : undefined;
  const nextTaker = exports ? () => exports.take : takers(sys, form, devices !== undefined);
  const samples = listener[Symbol.asyncIterator]();
  await inRounds(count, async () => {
    const queued = sender.fill(count);
    const take = nextTaker();
    let taken = 0;
    const start = cpuNs();
    while (taken < queued) {
      if (form === "samples") {
        const sample = (await samples.next()).value as Sample;
        sum += readAll(sample) + (sample.data?.[0] ?? 0);
        taken++;
      } else {
        const batch = (await listener.read())!;
        await take(batch);
        taken += batch.count;
      }
    }
    await exports?.flush();
    return (cpuNs() - start) / taken;
  });
  exports?.close();
  sender.close();
  await listener.close();
}

/** What is done with a batch: it is read, or goes to a sink of lines. Called for each round. */
function takers(sys: Sys, form: string, details = false): () => (batch: Batch) => Promise<void> | void {
  const utcOffset = (seconds: number): number => sys.utcOffset(seconds);
  const writers: Record<string, () => LineWriter> = {
    text: () => new TextWriter({ utcOffset, details }),
    json: () => new JsonWriter(),
  };
  const writer = writers[form]?.();
  if (!writer) return () => (batch) => readBatch(batch.entries);
  return () => {
    // The file is emptied between rounds, and a sink counts on what it has written to know where pages begin.
    const sink = linesToWith(sys, writer);
    return (batch) => {
      sink.take(batch);
      return sink.full();
    };
  };
}

/** By as many records as a batch of the receiver has. */
async function pcap(to: string, path: string, count: number): Promise<void> {
  const sys = await loadSys();
  const batch = new BatchBuffer();
  batch.more = true;
  for (const { bytes } of readMessages(path)) batch.add(viewSample(messageOf(bytes)));
  await inRounds(count, async () => {
    const recording = recordToWith(sys, to, { format: "netlink" });
    const start = cpuNs();
    let written = 0;
    for (; written < count; written += batch.count) {
      recording.take(batch);
      await recording.full();
    }
    await recording.close({ stats: new Ledger().stats(0), period: undefined });
    return (cpuNs() - start) / written;
  });
}

/** The filter lets 1 in `ONE_IN` messages through. */
const ONE_IN = 1000;

/** What comes at its own pace. The first tenth warms up. */
async function wait(form: string, count: number, warmUp: string): Promise<void> {
  const sys = await loadSys();
  const filter = form === "filtered" ? "tcp port 443 and net 10.0.0.0/8" : undefined;
  const { listener, port } = await open(sys, { filter });
  const take = takers(sys, form)();
  // What the filter leaves out comes no further, and is counted for what it costs all the same.
  const each = filter === undefined ? 1 : ONE_IN;
  const batches = listener.lentBatches();
  if (warmUp !== "") {
    // The tenth of what the filter lets through is too little to be warm from.
    const sender = new Sender(sys, port, warmUp);
    for (let left = WARM_UP; left > 0;) {
      const queued = sender.fill(Math.min(left, 5000));
      for (let taken = 0; taken < queued;) {
        const { value } = await batches.next();
        await take(value!);
        taken += value!.count;
      }
      left -= queued;
    }
    sender.close();
  }
  const latencies: number[] = [];
  const clock = form === "latency" ? realtimeMs() : 0;
  let resident = 0;
  let taken = 0;
  let start = -1;
  let since = 0;
  report("port", port);
  for await (const batch of batches) {
    if (form === "latency") {
      const now = clock + performance.now();
      for (const entry of batch.entries) latencies.push((now - Number((entry as SampleView).timestampNs! / 1000n) / 1000) * 1e6);
    }
    await take(batch);
    taken += each * batch.count;
    if (taken >= count) break;
    if (taken >= count / 10 && start < 0) {
      start = cpuNs();
      since = performance.now();
      resident = process.memoryUsage().rss;
    }
  }
  const spent = cpuNs() - start;
  report("cpu", spent / (count * 0.9));
  report("percent", spent / 1e4 / (performance.now() - since));
  if (form === "latency") {
    latencies.sort((a, b) => a - b);
    report("p50", latencies[Math.floor(count / 2)]!);
    report("p99", latencies[Math.floor(count * 0.99)]!);
  }
  if (form === "memory") {
    const { rss } = process.memoryUsage();
    report("growth", (rss - resident) / 1e6);
    report("resident", rss / 1e6);
  }
}

/** Both prints and records, whether or not anybody reads what is printed. What is missing at the end is in nobody's account. */
async function blocked(form: string, count: number, seconds: number, recording: string): Promise<void> {
  const sys = await loadSys();
  const { listener, port } = await open(sys);
  const writer = form === "json" ? new JsonWriter() : new TextWriter({ utcOffset: (second) => sys.utcOffset(second) });
  const sinks = [linesToWith(sys, writer), recordToWith(sys, recording)];
  report("port", port);
  const { stats } = await pump(listener, [], sinks, { durationMs: seconds * 1000, deliverMs: 10_000 });
  report("lost", stats.lost);
  report("unrecorded", stats.received - sinks[1]!.written);
  report("unprinted", stats.received - sinks[0]!.written);
  report("missing", count - stats.received - stats.lost);
  report("peak", Number(/VmHWM:\s+(\d+)/.exec(readFileSync("/proc/self/status", "utf8"))![1]) / 1024);
}

/** What the monotonic clock lacks to the realtime clock, in milliseconds: read where the latter steps to the next, as early as can be. */
function realtimeMs(): number {
  let best = -Infinity;
  for (let i = 0; i < 20; i++) {
    const before = Date.now();
    while (Date.now() === before);
    best = Math.max(best, Date.now() - performance.now());
  }
  return best;
}

async function idle(seconds: number): Promise<void> {
  const { listener } = await open(await loadSys());
  const ended = listener.read();
  await new Promise((resolve) => setTimeout(resolve, 1000));
  const start = cpuNs();
  const switches = process.resourceUsage().voluntaryContextSwitches;
  await new Promise((resolve) => setTimeout(resolve, seconds * 1000));
  report("percent", (cpuNs() - start) / 1e7 / seconds);
  report("switches", (process.resourceUsage().voluntaryContextSwitches - switches) / seconds);
  await listener.close();
  await ended;
}

const [work, form = "", path = "", number = ""] = process.argv.slice(2);
const count = Number(number);
if (work === "decode" && form === "reused") await decodeReused(path, count);
else if (work === "decode") await decodeOwned(path, count);
else if (work === "drain") await drain(form, path, count);
else if (work === "details") await drain("text", path, count, manyDevices(Number(form)));
else if (work === "filter") await decide(form, path, count);
else if (work === "headers") sum = await headersInRounds(form, Number(path), number);
else if (work === "headers-heap") sum = headersHeap(form, Number(path), number);
else if (work === "export") await exporting(form, Number(path));
else if (work === "export-delay") await exportDelay(form, Number(path));
else if (work === "export-idle") await exportIdle(Number(form));
else if (work === "top") await topLive(Number(form));
else if (work === "pcap") await pcap(form, path, count);
else if (work === "wait") await wait(form, Number(path), number);
else if (work === "blocked") await blocked(form, Number(path), count, process.argv[6]!);
else if (work === "idle") await idle(Number(form));
else throw new ArgumentError(`Cannot do ${work}: no such work`);
report("sum", sum);
