/**
 * What this package does in the bench: one kind of work in a process of its own, so that neither the compiler's
 * nor the collector's state is that of other work. Results are lines "NAME VALUE" on standard error, as the C
 * peers have them; CPU is that of the whole process, its threads included. What works in rounds does COUNT messages
 * for each byte on standard input, after it was ready.
 *
 *   decode reused|owned BYTES COUNT            messages that are in memory, in rounds
 *   drain batches|samples BYTES COUNT          its own full queue, in rounds
 *   drain text|json BYTES COUNT                the same, and a line for each sample on standard output
 *   pcap FILE BYTES COUNT                      samples that are in memory, a record for each, in rounds
 *   wait batches|latency|text|memory COUNT     what somebody else sends to the port that it names
 *   idle SECONDS                               nothing comes
 */
import { readSync, writeSync } from "node:fs";
import process from "node:process";
import { processIo } from "../../cli/io.ts";
import { pcapRecorder } from "../../cli/recording.ts";
import { jsonSink, recordingSink, textSink } from "../../cli/sinks.ts";
import { ArgumentError } from "../../src/errors.ts";
import { type Entry, type Listener, SocketListener } from "../../src/receive/listener.ts";
import { NetlinkSocket } from "../../src/socket/netlink_socket.ts";
import { decodeSample, decodeSampleAt, Sample } from "../../src/psample/sample.ts";
import { Receiver } from "../../src/socket/receiver.ts";
import type { Batch } from "../../src/stream/batch.ts";
import { loadSys } from "../../src/sys/load.ts";
import { AF_NETLINK, MSG_DONTWAIT, NETLINK_USERSOCK, type Sys } from "../../src/sys/sys.ts";
import { LITTLE, memory, viewOf } from "../../src/wire/native.ts";
import { memorySys } from "./memory_sys.ts";
import { buildMessage, buildMessages, FAMILY, SEQUENCE_WORD } from "./message.ts";

const RECEIVE_BUFFER_BYTES = 32 * 1024 * 1024;
/** Messages, and rounds at least, until the compilers are done. */
const WARM_UP = 400_000;
const WARM_UP_ROUNDS = 3;

/** Made of all that is read, so that no reading can be left out. */
let sum = 0;

function report(name: string, value: number): void {
  writeSync(2, `${name} ${value.toFixed(1)}\n`);
}

/** CPU time of this process so far, in nanoseconds. */
function cpuNs(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) * 1000;
}

/** Does what takes nanoseconds a message, `count` messages a round: until it is warm, and then as often as it is told to. */
async function inRounds(count: number, round: () => Promise<number> | number): Promise<void> {
  for (let i = 0; i < Math.max(WARM_UP_ROUNDS, WARM_UP / count); i++) await round();
  report("ready", 1);
  const word = new Uint8Array(1);
  while (readSync(0, word) === 1) report("cpu", await round());
}

/** What a program reads that wants all of a sample; the C peers read the same. */
function readAll(sample: Sample): number {
  return (sample.group! + sample.sequence! + sample.rate! + sample.originalBytes! + sample.inIfindex! + sample.outIfindex! +
    sample.protocol! + sample.portId + sample.dataBytes + (sample.outTc ?? 0) + (sample.timestampNs === 0n ? 1 : 0)) | 0;
}

function readBatch(batch: readonly Entry[]): void {
  let read = 0;
  for (const entry of batch) if (entry.type === "sample") read = (read + readAll(entry)) | 0;
  sum += read;
}

async function decodeReused(bytes: number, count: number): Promise<void> {
  const messages = buildMessages(1024, bytes);
  const all = new Uint8Array(messages.reduce((size, message) => size + message.length, 0));
  messages.forEach((message, i) => all.set(message, i * message.length));
  const stride = messages[0]!.length;
  const view = viewOf(all);
  const sample = new Sample();
  await inRounds(count, () => {
    const start = cpuNs();
    let read = 0;
    for (let i = 0; i < count; i++) {
      const at = (i & 1023) * stride;
      read = (read + readAll(decodeSampleAt(view, at, at + stride, sample))) | 0;
    }
    sum += read;
    return (cpuNs() - start) / count;
  });
}

/** All of the receive path, but with messages that are in memory already in the place of the kernel. */
async function decodeOwned(bytes: number, count: number): Promise<void> {
  const { listener } = await open(memorySys(buildMessages(64, bytes)));
  const batches = listener.batches();
  await inRounds(count, async () => {
    const start = cpuNs();
    let taken = 0;
    while (taken < count) {
      const batch = (await batches.next()).value!;
      readBatch(batch);
      taken += batch.length;
    }
    return (cpuNs() - start) / taken;
  });
  await listener.close();
}

async function open(sys: Sys): Promise<{ listener: Listener; port: number }> {
  const receiver = await Receiver.open(sys, NETLINK_USERSOCK, { receiveBufferBytes: RECEIVE_BUFFER_BYTES });
  const listener = new SocketListener(receiver);
  listener.expect(FAMILY);
  return { listener, port: receiver.portId };
}

/** Takes all that is queued, `count` messages a round. */
async function drain(form: string, bytes: number, count: number): Promise<void> {
  const sys = await loadSys();
  const { listener, port } = await open(sys);
  const sender = new NetlinkSocket(sys, NETLINK_USERSOCK);
  const message = buildMessage(0, bytes);
  const words = new Uint32Array(message.buffer);
  const address = memory(12);
  new Uint32Array(address.buffer).set([LITTLE ? AF_NETLINK : AF_NETLINK << 16, port]);
  const take = taker(form);
  const samples = listener[Symbol.asyncIterator]();
  let sequence = 0;
  await inRounds(count, async () => {
    // Without an allocation: what a collection of sending costs is not to be paid by receiving.
    let queued = 0;
    for (; queued < count; queued++) {
      words[SEQUENCE_WORD] = sequence++;
      if (sys.sendto(sender.fd, message, MSG_DONTWAIT, address) < 0) break;
    }
    let taken = 0;
    const start = cpuNs();
    while (taken < queued) {
      if (form === "samples") {
        sum += readAll((await samples.next()).value as Sample);
        taken++;
      } else {
        const batch = (await listener.read())!;
        await take(batch);
        taken += batch.count;
      }
    }
    return (cpuNs() - start) / taken;
  });
  sender.close();
  await listener.close();
}

/** What is done with a batch: it is read, or goes where the command's batches go. */
function taker(form: string): (batch: Batch) => Promise<void> | void {
  const { out } = processIo();
  if (form === "text") {
    return ((sink) => (batch) => sink.write(batch.entries, batch))(textSink(out, { verbose: false, details: undefined }));
  }
  if (form === "json") return ((sink) => (batch) => sink.write(batch.entries, batch))(jsonSink(out));
  return (batch) => readBatch(batch.entries);
}

/** By as many records as a batch of the receiver has. */
async function pcap(path: string, bytes: number, count: number): Promise<void> {
  const samples = buildMessages(1024, bytes).map((message) => decodeSample(message));
  await inRounds(count, async () => {
    const sink = recordingSink({ next: () => processIo().create(path) }, pcapRecorder());
    const start = cpuNs();
    let written = 0;
    for (; written < count; written += samples.length) await sink.write(samples, { more: true });
    await sink.close();
    return (cpuNs() - start) / written;
  });
}

/** What comes at its own pace. The first tenth warms up. */
async function wait(form: string, count: number): Promise<void> {
  const { listener, port } = await open(await loadSys());
  const take = taker(form);
  const latencies: number[] = [];
  const clock = form === "latency" ? realtimeMs() : 0;
  let resident = 0;
  let taken = 0;
  let start = -1;
  let since = 0;
  report("port", port);
  for await (const batch of listener.lentBatches()) {
    if (form === "latency") {
      const now = clock + performance.now();
      for (const entry of batch.entries) latencies.push((now - Number((entry as Sample).timestampNs! / 1000n) / 1000) * 1e6);
    }
    await take(batch);
    taken += batch.count;
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

const [work, form = "", ...rest] = process.argv.slice(2);
const [first = 0, second = 0] = rest.map(Number);
if (work === "decode" && form === "reused") await decodeReused(first, second);
else if (work === "decode") await decodeOwned(first, second);
else if (work === "drain") await drain(form, first, second);
else if (work === "pcap") await pcap(form, first, second);
else if (work === "wait") await wait(form, first);
else if (work === "idle") await idle(Number(form));
else throw new ArgumentError(`Cannot do ${work}: no such work`);
report("sum", sum);
