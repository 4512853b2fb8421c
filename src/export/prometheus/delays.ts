/** Distributions of what switches measure: how long packets waited, and how full their queues were. */
import { type Batch, sampledIfindex } from "../../stream/batch.ts";
import { Buckets } from "./buckets.ts";
import type { LabelPairs } from "./family.ts";

/** 1 µs to 10 s, in seconds. */
const LATENCY_BOUNDS: readonly number[] = [-6, -5, -4, -3, -2, -1].flatMap((power) => [1, 2, 5].map((digit) => Number(`${digit}e${power}`)))
  .concat(1, 2, 5, 10);
/** 256 bytes to 64 MiB. */
const OCCUPANCY_BOUNDS: readonly number[] = Array.from({ length: 10 }, (_, i) => 256 * 4 ** i);
/** Maximum number of series: those of all others are counted together. */
const MOST = 1024;

/** Where packets were sampled. */
export interface DelaySeries {
  /** The device's name; empty for those that are counted together. */
  readonly device: string;
  /** The nsid of another network namespace; empty for the listener's own. */
  readonly netns: string;
  readonly labels: LabelPairs;
  readonly latency: Buckets;
  readonly occupancy: Buckets;
}

/** The distributions by device, direction, group and traffic class. */
export class Delays {
  readonly #series = new Map<string, DelaySeries>();

  /** Takes the samples of a batch that have measurements. */
  take(batch: Batch): void {
    const { entries, count } = batch;
    for (let i = 0; i < count; i++) {
      const entry = entries[i]!;
      if (entry.type !== "sample") continue;
      const { latencyNs, outTcOccupancyBytes } = entry;
      if (latencyNs === undefined && outTcOccupancyBytes === undefined) continue;
      const { group, nsid, outTc, outIfindex } = entry;
      const ifindex = sampledIfindex(entry);
      const device = batch.device(i)?.name ?? (ifindex === undefined ? "" : `if${ifindex}`);
      const series = this.#of(device, textOf(nsid), outIfindex === undefined ? "in" : "out", textOf(group), textOf(outTc));
      if (latencyNs !== undefined) series.latency.add(Number(latencyNs) / 1e9);
      if (outTcOccupancyBytes !== undefined) series.occupancy.add(Number(outTcOccupancyBytes));
    }
  }

  /** Each series. */
  get series(): readonly DelaySeries[] {
    return [...this.#series.values()];
  }

  /** Ends the series of devices that are gone. */
  forget(isGone: (device: string, netns: string) => boolean): void {
    for (const [key, { device, netns }] of this.#series) if (device !== "" && isGone(device, netns)) this.#series.delete(key);
  }

  #of(device: string, netns: string, direction: string, group: string, tc: string): DelaySeries {
    const key = `${netns}/${group}/${tc}/${direction}/${device}`;
    const known = this.#series.get(key);
    if (known) return known;
    if (this.#series.size >= MOST && key !== OTHERS) return this.#of("", "", "", "", "");
    const labels: LabelPairs = [["device", device], ["netns", netns], ["direction", direction], ["group", group], ["tc", tc]];
    const series = { device, netns, labels, latency: new Buckets(LATENCY_BOUNDS), occupancy: new Buckets(OCCUPANCY_BOUNDS) };
    this.#series.set(key, series);
    return series;
  }
}

/** The key of the series without labels. */
const OTHERS = "////";

function textOf(value: number | undefined): string {
  return value === undefined ? "" : `${value}`;
}
