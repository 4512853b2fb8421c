import type { Batch } from "./batch.ts";
import type { ListenStats } from "./stats.ts";

/**
 * Where batches come from: a socket, a recording, a test.
 *
 * @category Pump
 */
export interface Source {
  /**
   * The next batch, or `undefined` at the end. A promise only if there is something to wait for: while a queue is long, promises would cost
   * more than reading it. Asking for the next batch returns the previous one.
   */
  read(): Batch | undefined | Promise<Batch | undefined>;
  /** Stops: what is already queued is still returned, then the end. */
  end(): void;
  /** Stops at once: a waiting {@linkcode Source.read} resolves to the end. Idempotent. */
  close(): Promise<void>;
  /** What was received and lost so far; still available after the end. */
  stats(): ListenStats;
  /**
   * Whether something has arrived that was not read yet. If it stays true while nothing is read, the reader is stuck. `undefined` if that is
   * not known.
   */
  readonly unread?: boolean | undefined;
}
