import type { Batch } from "./batch.ts";
import type { ListenStats } from "./stats.ts";

/**
 * What a sink receives at the end.
 *
 * @category Pump
 */
export interface Closing {
  /** What the source received and lost. */
  readonly stats: ListenStats;
  /**
   * When the first batch was requested and when the source ended, in nanoseconds since 1970 by this machine's clock, even if the source is
   * a recording that was made at another time ({@linkcode Batch.recorded}). `undefined` if not known: `pump` always passes it.
   */
  readonly period: { readonly startNs: bigint; readonly endNs: bigint } | undefined;
  /** Whether the source failed: what it yielded before is not all of it. Defaults to `false`. */
  readonly failed?: boolean | undefined;
}

/**
 * Takes batches now and delivers them in its own time.
 *
 * {@linkcode Sink.take} is synchronous: it reads the batch, writes bytes or numbers into its own memory and keeps no entry. So lending is
 * safe by construction, and no sink can delay another.
 *
 * @category Pump
 */
export interface Sink {
  /** Name of what it writes to, for messages: `"samples.pcapng"`, `"standard output"`. */
  readonly name: string;
  /** Number of samples delivered completely. */
  readonly written: number;
  /** Number of samples left out because delivery could not keep up; 0 for sinks that make the source wait. */
  readonly skipped: number;
  /**
   * Resolves when the sink can deliver nothing more: to `undefined` if its reader has gone, which is no failure ("| head"), else to the
   * error.
   */
  readonly ended: Promise<unknown>;
  /** Whether its reader is being waited for now. `undefined` if there is no reader, or the sink does not know. */
  readonly isWaiting?: boolean;
  /** Takes a batch. */
  take(batch: Batch): void;
  /** If the sink has reached its bound and would like the pump to wait: resolves when it has room again. */
  full(): Promise<void> | undefined;
  /** Delivers everything taken so far. */
  flush(): Promise<void>;
  /** Writes the end of a file, delivers everything and closes what is open. */
  close(closing: Closing): Promise<void>;
  /** Closes what is open at once; anything not delivered yet never will be. */
  abort(): void;
}

/**
 * The result of one sink of a pump.
 *
 * @category Pump
 */
export interface SinkSummary {
  /** {@linkcode Sink.name} */
  readonly name: string;
  /** Samples that were for it: all; with a {@linkcode SinkSet}, those that came after it was added and before it was removed. */
  readonly samples: number;
  /** Samples delivered completely. */
  readonly written: number;
  /** Samples left out because delivery could not keep up. */
  readonly skipped: number;
  /** Its error; `undefined` if there was none. */
  readonly error: unknown;
  /** Whether its reader went away before the end. */
  readonly left: boolean;
  /** Whether it was closed before it had delivered everything, because the pump was cut off. */
  readonly cut: boolean;
}
