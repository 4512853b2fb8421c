/** Samples, and what metrics are told beside them. */
import { Metrics } from "../../../src/export/prometheus/metrics.ts";
import type { MetricsState } from "../../../src/export/prometheus/state.ts";
import type { Device } from "../../../src/link/device.ts";
import { BatchBuffer, type EntryView } from "../../../src/stream/batch.ts";
import { NOTHING } from "../../../cli/session.ts";
import { hex } from "../../packet/made.ts";

const FRAME = "0200000000020200000000010800 4500002800004000401100000a000001 0a090909 0035 0035 0014 0000";

/** What is different from a sample of 100 bytes that came in by the first device, 1 in 1. */
export interface Made {
  readonly device?: number;
  readonly out?: boolean;
  readonly oneIn?: number | undefined;
  readonly bytes?: number;
  readonly group?: number;
  readonly nsid?: number;
  readonly tc?: number;
  readonly latencyNs?: bigint;
  readonly occupancy?: bigint;
  /** The last number of its source address. */
  readonly source?: number;
}

/** A batch of these samples, on devices with these names from index 1 on. */
export function madeBatch(samples: readonly Made[], names: readonly string[] = ["eth0", "eth1"], atNs = 0n): BatchBuffer {
  const devices = names.map((name): Device => ({ name, type: 1, address: undefined, mtu: 1500 }));
  const batch = new BatchBuffer();
  batch.readAtNs = atNs;
  batch.devices = { find: (ifindex, nsid) => nsid === undefined ? devices[ifindex - 1] : undefined };
  for (const { device = 1, out = false, bytes = 100, group = 5, nsid, tc, latencyNs, occupancy, source = 1, ...rest } of samples) {
    const data = hex(FRAME);
    data[29] = source;
    const sample = {
      type: "sample",
      group,
      nsid,
      portId: 0,
      oneIn: "oneIn" in rest ? rest.oneIn : 1,
      inIfindex: out ? undefined : device,
      outIfindex: out ? device : undefined,
      originalBytes: bytes,
      outTc: tc,
      latencyNs,
      outTcOccupancyBytes: occupancy,
      protocol: 0x0800,
      data,
      dataMemory: data.buffer,
      dataAt: 0,
      dataBytes: data.length,
      dataOffset: 0,
    };
    batch.add(sample as unknown as EntryView, 0);
  }
  return batch;
}

/** Nothing is known beside the samples, unless it is given. */
export function stateOf(given: Partial<MetricsState> = {}): MetricsState {
  return { stats: NOTHING.stats(), sinks: [], samplers: [], hasDevice: undefined, ...given };
}

/** Metrics that have series of every kind, with {@linkcode everythingElse}. */
export function everything(): Metrics {
  const metrics = new Metrics({ top: 10, by: "ipsource,subnet:/24", version: "1.2.3" }, 5n);
  metrics.take(madeBatch([{ tc: 1, latencyNs: 1000n, occupancy: 99n }, { device: 2, oneIn: 100, nsid: 3 }], ['a"b', "ä"]), 0n);
  metrics.take(madeBatch([{ source: 2 }]), 1_000_000_000n);
  return metrics;
}

/** What is known beside the samples of {@linkcode everything}. */
export const everythingElse: MetricsState = stateOf({
  sinks: [
    { name: "sFlow", written: 1, skipped: 2, datagrams: { sent: 1, dropped: 2, returned: 3 } },
    {
      name: "IPFIX",
      written: 5,
      skipped: 6,
      datagrams: { sent: 7, dropped: 8, returned: 0 },
      connection: { isOpen: true, connections: 2, waitingSamples: 9, mayBeLost: 10 },
    },
    { name: "OTLP", written: 3, skipped: 4, reports: { sent: 4, failed: 5, skipped: 6, rejectedPoints: 7 } },
  ],
  samplers: [{ device: "eth0", direction: "in", oneIn: 10, trials: 5, deviates: false }],
  discards: { reported: 11, beyondLimit: 12, lost: 13, notPackets: 14, malformed: 15 },
});
