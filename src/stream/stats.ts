/** What a source received and lost: the shape of the account that a ledger keeps and a summary contains. */

/** What is known about one group of one network namespace. */
export interface GroupStats {
  /** The group's number, u32; `undefined` for samples that name none. */
  readonly group: number | undefined;
  /** `nsid` of the namespace; `undefined` for the listener's own. */
  readonly nsid: number | undefined;
  /** Samples received. */
  readonly received: number;
  /** Samples missing by their sequence numbers. */
  readonly lost: number;
  /** Samples that came after a later one: each had been counted as lost until it came. */
  readonly late: number;
  /** How often the numbering began anew: the group was removed and made again. */
  readonly restarts: number;
  /** False where the producer numbers nothing (Open vSwitch, mlx5), so that a loss in this group has no number. */
  readonly numbered: boolean;
}

/** What a listener received and lost. */
export interface ListenStats {
  /** Samples received. */
  readonly received: number;
  /** Group events received. */
  readonly events: number;
  /** Samples missing by their sequence numbers: the sum over the groups. */
  readonly lost: number;
  /**
   * Messages that the kernel dropped because the socket's receive buffer was full. Of those the samples of
   * numbered groups are in {@linkcode ListenStats.lost} too: as soon as a later one shows the gap.
   */
  readonly dropped: number;
  /** Messages that could not be decoded, and why the last of them could not. */
  readonly malformed: number;
  /** Why the last malformed message was. */
  readonly lastMalformed: string | undefined;
  /** Messages of kinds that this package does not know. */
  readonly unknown: number;
  /** Size of the receive buffer in bytes that the kernel granted. */
  readonly receiveBufferBytes: number;
  /** Each group by itself. */
  readonly groups: readonly GroupStats[];
}
