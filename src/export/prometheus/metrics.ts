/**
 * Metrics of samples: what was sampled, the traffic that it represents, with bounds, what was lost, and who talks most. The numbers are
 * those of the {@linkcode Estimator} and of the source's own account. Memory is bounded, and time is an argument.
 *
 * @module
 */
import { ArgumentError } from "../../errors.ts";
import { Estimator, type FlowEstimate, type Snapshot } from "../../estimate/estimator.ts";
import { DEFAULT_KEYS } from "../../estimate/keys.ts";
import type { Batch } from "../../stream/batch.ts";
import type { OtherStats } from "../../stream/stats.ts";
import type { ExpositionFormat } from "./accept.ts";
import { Delays } from "./delays.ts";
import { writeDiscards } from "./discards.ts";
import { Exposition } from "./exposition.ts";
import type { FamilyWriter, HistogramPoint, LabelPairs, MetricPoint, MetricText } from "./family.ts";
import { writeSinks } from "./sinks.ts";
import type { MetricsSampler, MetricsState } from "./state.ts";

/**
 * What metrics show.
 *
 * @category Export
 */
export interface MetricsOptions {
  /** Show this many of the largest flows, 1000 at most. Defaults to none: a series for each address could be too many for a server. */
  readonly top?: number | undefined;
  /** Keys that tell flows apart, separated by commas; they are the labels of the flows. Defaults to `"ipsource,ipdestination"`. */
  readonly by?: string | undefined;
  /** The version in `psample_build_info`. Defaults to none, and then there is no such metric. */
  readonly version?: string | undefined;
}

/**
 * What metrics know at one moment, for a page.
 *
 * @category Export
 */
export interface MetricsSnapshot {
  /** Each device, direction, group and traffic class; `by` are the values of {@linkcode SERIES_LABELS}. */
  readonly series: readonly FlowEstimate[];
  /** All of them together. */
  readonly all: Snapshot;
  /** The largest flows of the last minute; `undefined` if they are not asked for. */
  readonly top: Snapshot | undefined;
}

/**
 * The labels of all series about traffic.
 *
 * @category Export
 */
export const SERIES_LABELS = ["device", "netns", "direction", "group", "tc"] as const;
/** The keys that these are. */
const SERIES_KEYS = "device,nsid,direction,group,queue";
/** Maximum number of series: the smallest make room. */
const MOST_SERIES = 8192;
const MOST_TOP = 1000;
/** Flows are ranked by the traffic of the last minute, about. */
const TOP_TAU_S = 30;
/** Maximum number of flows among which the largest are found. */
const MOST_FLOWS = 4096;
/** What a flow must have left to be shown: one that ended decays, and never reaches nothing. */
const LEAST_BYTES = 1;
/** How long the series of a device that is gone stay, so that a scraper gets their last numbers. */
const GONE_NS = 60_000_000_000n;

/**
 * Collects metrics from batches, and writes them as text whenever a scraper asks.
 *
 * @category Export
 */
export class Metrics {
  readonly #series = new Estimator({ by: SERIES_KEYS, flows: MOST_SERIES, absent: true, devices: false });
  readonly #delays = new Delays();
  #top: Estimator | undefined;
  #topCount = 0;
  #topBy: string | undefined;
  #topLabels: readonly string[] = [];
  readonly #version: string | undefined;
  readonly #startNs: bigint;
  /** Since when devices of series are gone, and how many samples their series had then. */
  #gone = new Map<string, { readonly sinceNs: bigint; readonly samples: number }>();
  /** The largest number of lost samples that was shown. */
  #lost = 0;

  /**
   * Metrics of nothing yet.
   *
   * @param startNs When they begin, in nanoseconds since 1970.
   * @throws {ArgumentError} if a key is unknown, or the number of flows is not from 1 to 1000.
   */
  constructor({ top, by, version }: MetricsOptions, startNs: bigint) {
    this.show({ top, by });
    this.#version = version;
    this.#startNs = startNs;
  }

  /**
   * From now on, shows the `top` largest flows by these keys. If the keys change, counting of flows starts again.
   *
   * @throws {ArgumentError} if a key is unknown, or the number of flows is not from 1 to 1000.
   */
  show({ top, by = DEFAULT_KEYS }: Pick<MetricsOptions, "top" | "by">): void {
    if (top !== undefined && !(Number.isInteger(top) && top >= 1 && top <= MOST_TOP)) {
      throw new ArgumentError(`Cannot show the ${top} largest flows: expected a whole number from 1 to ${MOST_TOP}`);
    }
    const wanted = top === undefined ? undefined : by;
    if (wanted !== this.#topBy) {
      this.#top = wanted === undefined ? undefined : new Estimator({ by: wanted, flows: MOST_FLOWS, taus: [TOP_TAU_S], devices: false });
      this.#topBy = wanted;
      this.#topLabels = labelNames(this.#top?.by ?? []);
    }
    this.#topCount = top ?? 0;
  }

  /** Takes a batch; `nowNs` is when its samples arrived, in nanoseconds since 1970. */
  take(batch: Batch, nowNs: bigint): void {
    this.#series.take(batch, nowNs);
    this.#top?.take(batch, nowNs);
    this.#delays.take(batch);
  }

  /** What is known at this time. Ends the series of devices that have been gone for a minute. */
  snapshot(nowNs: bigint, { hasDevice }: Pick<MetricsState, "hasDevice">): MetricsSnapshot {
    const all = this.#series.snapshot(nowNs);
    const isGone = hasDevice ? this.#endGone(all.flows, hasDevice, nowNs) : () => false;
    const top = this.#top?.snapshot(nowNs, this.#topCount);
    const flows = top?.flows.filter(({ bytes }) => bytes >= LEAST_BYTES);
    // Series must not change their order from one scrape to the next.
    const names = all.flows.filter(({ by: [device, netns] }) => !isGone(device!, netns!)).map((flow) => ({
      flow,
      name: flow.by.join("\0"),
    })).sort((a, b) => a.name < b.name ? -1 : 1);
    return { series: names.map(({ flow }) => flow), all, top: top && { ...top, flows: flows! } };
  }

  /** The text for a scraper at this time. */
  text(format: ExpositionFormat, nowNs: bigint, state: MetricsState): string {
    const out = new Exposition(format);
    this.write(out, nowNs, state);
    return out.end();
  }

  /** Writes every family of metrics at this time. */
  write(out: FamilyWriter, nowNs: bigint, state: MetricsState): void {
    const snapshot = this.snapshot(nowNs, state);
    this.#writeTraffic(out, snapshot);
    this.#writeDelays(out);
    this.#writeAccount(out, state);
    writeSamplers(out, state.samplers);
    writeDiscards(out, state.discards);
    writeSinks(out, state.sinks);
    if (snapshot.top) this.#writeTop(out, snapshot.top);
    if (this.#version !== undefined) {
      out.info("psample_build", { help: "The version of psample.", otel: undefined }, [["version", this.#version]]);
    }
    out.gauge("psample_start_time_seconds", { help: "When counting began, since 1970.", unit: "seconds", otel: undefined }, [
      { value: Number(this.#startNs) / 1e9 },
    ]);
  }

  /** When they began, in nanoseconds since 1970. */
  get startNs(): bigint {
    return this.#startNs;
  }

  #writeTraffic(out: FamilyWriter, { series, all }: MetricsSnapshot): void {
    const points = (value: (flow: FlowEstimate) => number): MetricPoint[] =>
      series.map((flow) => ({ labels: zip(SERIES_LABELS, flow.by), value: value(flow) }));
    out.counter("psample_samples", { help: "Samples counted.", otel: ["psample.samples", "{sample}"] }, points(({ samples }) => samples));
    out.counter(
      "psample_estimated_packets",
      {
        help: "Packets that the samples stand for; packets of segmentation offload count as on the wire, and lost samples are made up for.",
        otel: ["psample.estimated.packets", "{packet}"],
        fractional: true,
      },
      points(({ packets }) => packets),
    );
    out.gauge(
      "psample_estimated_packets_low",
      { help: "Lower bound of these packets at 95 %.", otel: ["psample.estimated.packets_low", "{packet}"] },
      points(({ packetsRange }) => packetsRange[0]),
    );
    out.gauge(
      "psample_estimated_packets_high",
      { help: "Upper bound of these packets at 95 %.", otel: ["psample.estimated.packets_high", "{packet}"] },
      points(({ packetsRange }) => packetsRange[1]),
    );
    out.counter(
      "psample_estimated_bytes",
      {
        help: "Bytes that the samples stand for, with link-layer headers and without frame check sequences.",
        otel: ["psample.estimated.io", "By"],
        fractional: true,
        unit: "bytes",
      },
      // What a series may have inherited from one that made room for it is not its own.
      points(({ bytes, overcountAtMost }) => Math.max(0, bytes - overcountAtMost)),
    );
    out.gauge(
      "psample_estimated_bytes_low",
      { help: "Lower bound of these bytes at 95 %.", otel: ["psample.estimated.io_low", "By"] },
      points(({ bytesRange }) => bytesRange[0]),
    );
    out.gauge(
      "psample_estimated_bytes_high",
      { help: "Upper bound of these bytes at 95 %.", otel: ["psample.estimated.io_high", "By"] },
      points(({ bytesRange, overcountAtMost }) => bytesRange[1] - overcountAtMost),
    );
    single(
      out,
      "psample_unusable_samples",
      {
        help: "Samples whose size or rate is not known: they are in no figure about traffic.",
        otel: ["psample.unusable_samples", "{sample}"],
      },
      all.unusable,
    );
    single(
      out,
      "psample_unsegmented_samples",
      {
        help: "Samples of segmentation offload whose number of packets is not known: each counts as one packet.",
        otel: ["psample.unsegmented_samples", "{sample}"],
      },
      all.unknownSegments,
    );
  }

  #writeDelays(out: FamilyWriter): void {
    const { series } = this.#delays;
    const withValues = (of: "latency" | "occupancy"): HistogramPoint[] =>
      series.filter((one) => one[of].count > 0).map((one) => ({ labels: one.labels, buckets: one[of] }));
    out.histogram(
      "psample_latency_seconds",
      {
        help: "Time that sampled packets spent in the switch. Counts samples, not estimated packets.",
        otel: ["psample.latency", "s"],
        unit: "seconds",
      },
      withValues("latency"),
    );
    out.histogram(
      "psample_queue_occupancy_bytes",
      {
        help: "Bytes in the queue of sampled packets. Counts samples, not estimated packets.",
        otel: ["psample.queue.occupancy", "By"],
        unit: "bytes",
      },
      withValues("occupancy"),
    );
  }

  #writeAccount(out: FamilyWriter, { stats }: MetricsState): void {
    const { received, lost, dropped, malformed, unknown, receiveBufferBytes, groups, others } = stats;
    single(out, "psample_received_samples", {
      help: "Samples received, before any selection.",
      otel: ["psample.received_samples", "{sample}"],
    }, received);
    // A sample that comes late takes a loss back, and a counter that shrinks would mean a restart.
    single(
      out,
      "psample_lost_samples",
      {
        help: "Samples that are certain to be lost: gaps in the sequence numbers, and drops that no gap shows.",
        otel: ["psample.lost_samples", "{sample}"],
      },
      this.#lost = Math.max(this.#lost, lost),
    );
    single(out, "psample_dropped_messages", {
      help: "Messages that the kernel dropped because the receive buffer was full.",
      otel: ["psample.dropped_messages", "{message}"],
    }, dropped);
    single(out, "psample_malformed_messages", {
      help: "Messages that could not be decoded.",
      otel: ["psample.malformed_messages", "{message}"],
    }, malformed);
    single(out, "psample_unknown_messages", {
      help: "Messages of kinds that this version does not know.",
      otel: ["psample.unknown_messages", "{message}"],
    }, unknown);
    const producers = groups.map((counts) => ({
      group: `${counts.group ?? ""}`,
      netns: `${counts.nsid ?? ""}`,
      counts: counts as OtherStats,
    }));
    if (others.received > 0) producers.push({ group: "others", netns: "", counts: others });
    // Producers of one group are added up: there may be thousands, and anybody can be one.
    const perGroup = (name: string, text: MetricText, value: (counts: OtherStats) => number): void => {
      const sums = new Map<string, { labels: LabelPairs; value: number }>();
      for (const { group, netns, counts } of producers) {
        const key = `${netns}/${group}`;
        const before = sums.get(key)?.value ?? 0;
        sums.set(key, { labels: [["group", group], ["netns", netns]], value: before + value(counts) });
      }
      out.counter(name, text, [...sums.values()]);
    };
    perGroup("psample_gap_samples", {
      help: "Samples that were missing by sequence number when a later one arrived.",
      otel: ["psample.gap_samples", "{sample}"],
    }, ({ lost, late }) => lost + late);
    perGroup("psample_late_samples", {
      help: "Samples that were missing, and arrived later than their successors.",
      otel: ["psample.late_samples", "{sample}"],
    }, ({ late }) => late);
    perGroup("psample_duplicate_samples", {
      help: "Samples whose sequence number had arrived before.",
      otel: ["psample.duplicate_samples", "{sample}"],
    }, ({ duplicates }) => duplicates);
    out.gauge("psample_receive_buffer_bytes", {
      help: "Size of the receive buffer.",
      otel: ["psample.receive_buffer.size", "By"],
      unit: "bytes",
    }, [{ value: receiveBufferBytes }]);
  }

  #writeTop(out: FamilyWriter, { flows, seconds }: Snapshot): void {
    const rates: readonly (readonly [string, MetricText, (flow: FlowEstimate) => number])[] = [
      [
        "psample_top_bytes_per_second",
        { help: "Bytes a second of the largest flows of about the last minute.", otel: ["psample.top.io_rate", "By/s"] },
        ({ bytes }) => bytes,
      ],
      [
        "psample_top_bytes_per_second_low",
        { help: "Lower bound of these bytes a second at 95 %.", otel: ["psample.top.io_rate_low", "By/s"] },
        ({ bytesRange }) => bytesRange[0],
      ],
      [
        "psample_top_bytes_per_second_high",
        { help: "Upper bound of these bytes a second at 95 %.", otel: ["psample.top.io_rate_high", "By/s"] },
        ({ bytesRange }) => bytesRange[1],
      ],
      [
        "psample_top_packets_per_second",
        { help: "Packets a second of the largest flows of about the last minute.", otel: ["psample.top.packet_rate", "{packet}/s"] },
        ({ packets }) => packets,
      ],
      [
        "psample_top_packets_per_second_low",
        { help: "Lower bound of these packets a second at 95 %.", otel: ["psample.top.packet_rate_low", "{packet}/s"] },
        ({ packetsRange }) => packetsRange[0],
      ],
      [
        "psample_top_packets_per_second_high",
        { help: "Upper bound of these packets a second at 95 %.", otel: ["psample.top.packet_rate_high", "{packet}/s"] },
        ({ packetsRange }) => packetsRange[1],
      ],
    ];
    for (const [name, text, value] of rates) {
      const points = seconds > 0 ? flows.map((flow) => ({ labels: zip(this.#topLabels, flow.by), value: value(flow) / seconds })) : [];
      out.gauge(name, text, points);
    }
  }

  /** Ends the series of devices that were gone a minute ago and have had no sample since. Returns which those are. */
  #endGone(
    series: readonly FlowEstimate[],
    hasDevice: (name: string) => boolean,
    nowNs: bigint,
  ): (device: string, netns: string) => boolean {
    const samples = new Map<string, number>();
    for (const { by, samples: count } of series) {
      // Nothing is known of devices of other namespaces.
      const [device = "", netns] = by;
      if (netns === "" && device !== "" && !hasDevice(device)) samples.set(device, (samples.get(device) ?? 0) + count);
    }
    const before = this.#gone;
    const gone = new Map<string, { readonly sinceNs: bigint; readonly samples: number }>();
    const over = new Set<string>();
    for (const [device, count] of samples) {
      const known = before.get(device);
      const since = known && known.samples === count && known.sinceNs <= nowNs ? known : { sinceNs: nowNs, samples: count };
      if (nowNs - since.sinceNs >= GONE_NS) over.add(device);
      else gone.set(device, since);
    }
    this.#gone = gone;
    const isGone = (device: string, netns: string): boolean => netns === "" && over.has(device);
    if (over.size === 0) return isGone;
    this.#series.forget(([device, netns]) => isGone(device!, netns!));
    this.#delays.forget(isGone);
    return isGone;
  }
}

/** A counter without labels. */
function single(out: FamilyWriter, name: string, text: MetricText, value: number): void {
  out.counter(name, text, [{ value }]);
}

function writeSamplers(out: FamilyWriter, samplers: readonly MetricsSampler[]): void {
  const labels = ({ device, direction }: MetricsSampler): LabelPairs => [["device", device], ["direction", direction]];
  const counted = samplers.filter(({ trials }) => trials !== undefined);
  out.gauge(
    "psample_sampling_one_in",
    { help: "N: one packet in N is sampled.", otel: ["psample.sampling.one_in", "1"] },
    samplers.map((one) => ({ labels: labels(one), value: one.oneIn })),
  );
  out.counter(
    "psample_sampler_packets",
    {
      help: "Packets that the sampler decided about, by the kernel's count; a packet of segmentation offload counts once.",
      otel: ["psample.sampler.packets", "{packet}"],
    },
    counted.map((one) => ({ labels: labels(one), value: one.trials! })),
  );
  out.gauge(
    "psample_sampler_deviates",
    {
      help: "1 if it is certain that the sampler does not keep to its rate, by the kernel's count and the samples that came.",
      otel: ["psample.sampler.deviates", "1"],
    },
    counted.map((one) => ({ labels: labels(one), value: one.deviates ? 1 : 0 })),
  );
}

function zip(names: readonly string[], values: readonly string[]): LabelPairs {
  return names.map((name, i) => [name, values[i]!]);
}

/** Keys as names of labels: letters, digits and underscores, and each only once. */
function labelNames(keys: readonly string[]): string[] {
  const taken = new Set<string>();
  return keys.map((key) => {
    const plain = key.replace(/\W+/g, "_");
    let name = plain;
    for (let i = 2; taken.has(name); i++) name = `${plain}_${i}`;
    taken.add(name);
    return name;
  });
}
