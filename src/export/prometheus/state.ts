/** What metrics show besides what the samples say: the account of the source, the other sinks, the samplers, and discarded packets. */
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
 * Packets that the kernel discarded, and what became of the reports about them; such as `stats()` of `reportDiscards()` has it.
 *
 * @category Export
 */
export interface MetricsDiscards {
  /** Packets that were reported to collectors. */
  readonly reported: number;
  /** Packets that were not reported, because more than the limit arrived in a second. */
  readonly beyondLimit: number;
  /** Packets whose report the kernel had no room for. */
  readonly lost: number;
  /** Buffers that were no packets of a network: these are not reported. */
  readonly notPackets: number;
  /** Messages about discarded packets that could not be decoded. */
  readonly malformed: number;
}

/**
 * Everything that metrics show besides the samples, at one moment.
 *
 * @category Export
 */
export interface MetricsState {
  /** What the source received and lost. */
  readonly stats: ListenStats;
  /** The other sinks. */
  readonly sinks: readonly MetricsSink[];
  /** The samplers, if they are known. */
  readonly samplers: readonly MetricsSampler[];
  /** What the kernel discards. Defaults to nothing known, which is not the same as none. */
  readonly discards?: MetricsDiscards | undefined;
  /** Whether there is a device of this name in the listener's network namespace; `undefined` if that is not known. */
  readonly hasDevice: ((name: string) => boolean) | undefined;
}
