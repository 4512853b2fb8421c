/** Where a sink's bytes go. Nothing here ever blocks the process: signals are handled and samples received while a reader is slow. */

/**
 * Takes as many bytes as it can at once.
 *
 * @category Command
 */
export interface Destination {
  /** Its name in messages: `"standard output"`, `"samples.pcapng"`. */
  readonly name: string;
  /** Whether nobody reads it any more, which a write would report as `EPIPE`; `undefined` if only a write shows that. */
  readonly isAbandoned?: boolean | undefined;
  /**
   * Writes what it can take at once, and returns how many bytes that was; 0 if it can take nothing now.
   *
   * @throws {SystemError} `EPIPE` if nobody reads any more, `ENOSPC` if the disk is full.
   */
  write(bytes: Uint8Array<ArrayBuffer>): number;
  /** Resolves when it may be able to take more. */
  writable(): Promise<void>;
  /** Closes what is open. Idempotent. */
  close(): void;
}
