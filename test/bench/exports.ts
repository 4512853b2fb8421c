/** What `psample export` does with samples, as the bench measures it: to a socket of this process that is never read. */
import { metricsToWith } from "../../src/sink/metrics.ts";
import { ipfixToWith, sflowToWith } from "../../src/sink/export.ts";
import type { Batch } from "../../src/stream/batch.ts";
import { pump } from "../../src/stream/pump.ts";
import type { Sink } from "../../src/stream/sink.ts";
import type { Source } from "../../src/stream/source.ts";
import { loadSys } from "../../src/sys/load.ts";
import { AF_INET, type Memory, SOCK_CLOEXEC, SOCK_DGRAM, type Sys } from "../../src/sys/sys.ts";
import { LITTLE, memory, viewOf } from "../../src/wire/native.ts";
import { MemoryTrimmer } from "../../cli/memory_trimmer.ts";
import { manyDevices, open } from "./listener.ts";
import { cpuNs, report } from "./measure.ts";
import { Meter } from "./meter.ts";

/** Those that the messages name. */
export const DEVICES = manyDevices(16);
/** An address for documentation. */
const AGENT = "192.0.2.1";

/** A socket that this process holds and never reads, to send to: once its queue is full the kernel drops what comes, and reports no error. */
export function deadEnd(sys: Sys): string {
  const fd = sys.socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  // struct sockaddr_in: family, port, address in network byte order.
  const address: Memory = memory(16);
  viewOf(address).setUint16(0, AF_INET, LITTLE);
  address.set([127, 0, 0, 1], 4);
  if (fd < 0 || sys.bind(fd, address) < 0 || sys.getsockname(fd, address) < 0) throw new Error("Cannot open a UDP socket on 127.0.0.1");
  return `127.0.0.1:${viewOf(address).getUint16(2)}`;
}

/** Exporters, by the letters of their names: `"sflow"`, `"ipfix"`, or `"all"` of them and metrics. */
async function openExports(what: string, sys: Sys, source: Pick<Source, "stats">, latency?: "low"): Promise<Sink[]> {
  const target = deadEnd(sys);
  const all = what === "all";
  const sinks: Sink[] = [];
  if (all || what === "sflow") sinks.push(await sflowToWith(sys, target, { agent: AGENT, forwards: false, latency }));
  if (all || what === "ipfix") sinks.push(await ipfixToWith(sys, target, { latency }));
  if (all || what === "metrics") sinks.push(await metricsToWith(sys, "127.0.0.1:0", { source, devices: DEVICES, sinks: [...sinks] }));
  return sinks;
}

/** What takes a batch, what sends the rest, and the end. */
export async function exportTaker(
  what: string,
  sys: Sys,
  source: Pick<Source, "stats">,
): Promise<{ take: (batch: Batch) => void; flush: () => Promise<void>; close: () => void }> {
  const sinks = await openExports(what, sys, source);
  return {
    take: (batch) => {
      for (const sink of sinks) sink.take(batch);
    },
    flush: async () => {
      for (const sink of sinks) await sink.flush();
    },
    close: () => sinks.forEach((sink) => sink.abort()),
  };
}

/** Exports `count` samples, which another process sends to the reported port. */
export async function exporting(what: string, count: number): Promise<void> {
  const sys = await loadSys();
  const { listener, port } = await open(sys, { devices: DEVICES });
  const sinks = await openExports(what, sys, listener);
  const trimmer = new MemoryTrimmer(sys);
  const meter = new Meter(count, () => {
    meter.report();
    trimmer.close();
    listener.end();
  });
  report("port", port);
  const { stats, sinks: results } = await pump(listener, [meter], sinks);
  report("lost", stats.lost);
  report("unsent", results.reduce((sum, { skipped, written }) => sum + Math.max(skipped, stats.received - written), 0));
  report("missing", count - stats.received - stats.lost);
}

/** Nothing comes, with all exporters open. */
export async function exportIdle(seconds: number): Promise<void> {
  const { listener } = await open(await loadSys(), { devices: DEVICES });
  const sinks = await openExports("all", await loadSys(), listener);
  let before = 0;
  setTimeout(() => before = cpuNs(), 1000);
  setTimeout(() => listener.end(), 1000 * (seconds + 1));
  await pump(listener, [], sinks);
  report("percent", (cpuNs() - before) / 1e7 / seconds);
}

/**
 * How long samples wait in the exporter at most, after the first tenth of them: from when a batch is taken until the datagram with its first
 * sample is handed to the kernel. By a seam that notes the time of each sending.
 */
export async function exportDelay(latency: string, count: number): Promise<void> {
  const sys = await loadSys();
  let sinceMs: number | undefined;
  let longestMs = 0;
  let taken = 0;
  const sendmmsg: Sys["sendmmsg"] = (fd, headers, number, flags) => {
    const sent = sys.sendmmsg(fd, headers, number, flags);
    if (sinceMs !== undefined && taken >= count / 10) longestMs = Math.max(longestMs, performance.now() - sinceMs);
    sinceMs = undefined;
    return sent;
  };
  const noting = new Proxy(sys, {
    get: (_, name) => {
      const member: unknown = Reflect.get(sys, name);
      return name === "sendmmsg" ? sendmmsg : typeof member === "function" ? member.bind(sys) : member;
    },
  });
  const { listener, port } = await open(sys, { devices: DEVICES });
  const [sink] = await openExports("sflow", noting, listener, latency === "low" ? "low" : undefined);
  const meter = new Meter(count, () => listener.end(), {
    select: (batch, pick) => {
      sinceMs ??= performance.now();
      taken += batch.samples;
      for (let i = 0; i < batch.count; i++) pick(i);
    },
  });
  report("port", port);
  await pump(listener, [meter], [sink!]);
  report("longest", longestMs);
}
