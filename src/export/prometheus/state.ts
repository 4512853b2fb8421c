/** What metrics show besides what the samples say: the account of the source, the other sinks, and the samplers. */
import type { ListenStats } from "../../stream/stats.ts";

/**
 * A sink, as far as metrics show it.
 *
 * @category Export
 */
export interface MetricsSink {
  /** Its name. */
  readonly name: string;
  /** Samples that it delivered. */
  readonly written: number;
  /** Samples that it left out because delivery could not keep up. */
  readonly skipped: number;
  /** Its datagrams, if it sends any. */
  readonly datagrams?: { readonly sent: number; readonly dropped: number; readonly returned: number } | undefined;
  /** Its connections, if it keeps one. */
  readonly connection?:
    | { readonly isOpen: boolean; readonly connections: number; readonly waitingSamples: number; readonly mayBeLost: number }
    | undefined;
  /** Its reports, if it sends any. */
  readonly reports?:
    | { readonly sent: number; readonly failed: number; readonly skipped: number; readonly rejectedPoints: number }
    | undefined;
}

/**
 * A sampler: a device and direction, and what the kernel counted there.
 *
 * @category Export
 */
export interface MetricsSampler {
  /** The name of the device. */
  readonly device: string;
  /** The direction of the packets. */
  readonly direction: "in" | "out";
  /** N, of "1 in N". */
  readonly oneIn: number;
  /** Packets that it decided about; `undefined` if they are not counted. */
  readonly trials: number | undefined;
  /** Whether it is certain that it does not keep to its rate. */
  readonly deviates: boolean;
}

/**
 * Everything that metrics show besides what the samples say, at one moment.
 *
 * @category Export
 */
export interface MetricsState {
  /** What the source received and lost. */
  readonly stats: ListenStats;
  /** The sinks beside this one. */
  readonly sinks: readonly MetricsSink[];
  /** The samplers, if they are known. */
  readonly samplers: readonly MetricsSampler[];
  /** Whether there is a device of this name in the listener's network namespace; `undefined` if that is not known. */
  readonly hasDevice: ((name: string) => boolean) | undefined;
}
