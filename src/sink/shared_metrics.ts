/** The numbers behind metrics, which several sinks of a pump may show: each sample is counted once, however many there are. */
import { Metrics, type MetricsOptions } from "../export/prometheus/metrics.ts";
import type { MetricsDiscards, MetricsSampler, MetricsSink, MetricsState } from "../export/prometheus/state.ts";
import type { Batch } from "../stream/batch.ts";
import { nowNs } from "../stream/clock.ts";
import type { Source } from "../stream/source.ts";

/**
 * What metrics are about.
 *
 * @category Export
 */
export interface MetricsSourceOptions extends MetricsOptions {
  /** The source of the samples: its account is part of the metrics. */
  readonly source: Pick<Source, "stats">;
  /** Other sinks, whose numbers are shown too. Defaults to none. The array may change. */
  readonly sinks?: readonly MetricsSink[] | undefined;
  /** The samplers, asked for each time. Defaults to none: then there are no metrics about them. */
  readonly samplers?: (() => readonly MetricsSampler[]) | undefined;
  /**
   * What the kernel discards, asked for each time: `() => reports.stats()` of `reportDiscards()`. Defaults to nothing known: then there are no
   * metrics about it.
   */
  readonly discards?: (() => MetricsDiscards | undefined) | undefined;
  /**
   * The devices, such as those of {@linkcode watchLinks}: a minute after a device is gone, its series end. Defaults to none: then series only
   * end when there are more than 8192, the smallest first.
   */
  readonly devices?: { has(name: string): boolean } | undefined;
}

/**
 * Numbers that several sinks of one pump show.
 *
 * @category Export
 */
export class SharedMetrics {
  /** The numbers. */
  readonly metrics: Metrics;
  readonly #options: MetricsSourceOptions;
  readonly #sinks = new Set<object>();

  /**
   * Numbers of nothing yet, that begin now.
   *
   * @throws {ArgumentError} if an option is invalid.
   */
  constructor(options: MetricsSourceOptions) {
    this.#options = options;
    this.metrics = new Metrics(options, nowNs());
  }

  /** Adds a sink that shows them. */
  join(sink: object): void {
    this.#sinks.add(sink);
  }

  /** Removes a sink that has ended. */
  leave(sink: object): void {
    this.#sinks.delete(sink);
  }

  /** Takes a batch that a sink was given. All sinks are given the same, and it is counted for the first of them that is left. */
  take(sink: object, batch: Batch): void {
    const [first] = this.#sinks;
    // A recording has times of its own, and is counted when it arrives all the same.
    if (sink === first) this.metrics.take(batch, batch.recorded ? nowNs() : batch.readAtNs);
  }

  /** What is known now besides the samples. */
  state(): MetricsState {
    const { source, sinks = [], samplers, discards, devices } = this.#options;
    return {
      stats: source.stats(),
      sinks,
      samplers: samplers?.() ?? [],
      discards: discards?.(),
      hasDevice: devices && ((name) => devices.has(name)),
    };
  }

  /** The version of what makes them, if it was given. */
  get version(): string | undefined {
    return this.#options.version;
  }
}
