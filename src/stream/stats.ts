/** What a source received and lost, as its ledger counts it. */

/**
 * One producer of samples of one group. Usually that is the kernel; processes that send samples, such as VPP's, number their
 * own.
 *
 * @category Pump
 */
export interface GroupStats {
  /** The group, u32; `undefined` for samples that contain none. */
  readonly group: number | undefined;
  /** `nsid` of the network namespace; `undefined` for the listener's own. */
  readonly nsid: number | undefined;
  /** The netlink port id of the producer: 0 is the kernel. */
  readonly portId: number;
  /** Samples received. */
  readonly received: number;
  /** Samples lost, according to gaps in the sequence numbers. */
  readonly lost: number;
  /** Samples received out of order; each was counted as lost until it arrived. */
  readonly late: number;
  /** Samples whose number had arrived before. The kernel counts without a lock, so this happens on multiprocessor machines. */
  readonly duplicates: number;
  /** How often the numbers restarted: the group was deleted and created again, or the module or process restarted. */
  readonly restarts: number;
  /**
   * False if the producer does not number samples (Open vSwitch, mlx5), or a filter in the kernel left out some of its samples
   * ({@linkcode ListenStats.filtered}): losses in this group show only in {@linkcode ListenStats.dropped}.
   */
  readonly numbered: boolean;
  /** Whether the numbers contradict each other, as if several producers used the same group: then {@linkcode GroupStats.lost} is a minimum. */
  readonly contradictory: boolean;
}

/**
 * Totals of the producers that are not listed, because there were too many.
 *
 * @category Pump
 */
export interface OtherStats {
  /** Samples received. */
  readonly received: number;
  /** Samples lost while they were listed. */
  readonly lost: number;
  /** Samples received out of order while they were listed. */
  readonly late: number;
  /** Samples whose number had arrived before, while they were listed. */
  readonly duplicates: number;
}

/**
 * What a listener received and lost.
 *
 * @category Pump
 */
export interface ListenStats {
  /** Samples received. */
  readonly received: number;
  /** Group events received. */
  readonly events: number;
  /**
   * Samples that are certain to be lost. The complete figure: {@linkcode ListenStats.gaps}, plus those messages of {@linkcode
   * ListenStats.dropped} that no gap accounts for.
   */
  readonly lost: number;
  /** Samples missing according to the sequence numbers. */
  readonly gaps: number;
  /** Messages that the kernel dropped because the receive buffer was full. Most of them show as gaps too, as soon as a later sample arrives. */
  readonly dropped: number;
  /** Samples received out of order; each was counted as lost until it arrived. */
  readonly late: number;
  /** Samples whose number had arrived before. */
  readonly duplicates: number;
  /** Messages that could not be decoded. */
  readonly malformed: number;
  /** Why the last malformed message could not be decoded. */
  readonly lastMalformed: string | undefined;
  /** Messages of kinds that this version does not know. */
  readonly unknown: number;
  /**
   * Whether a filter in the kernel chose among the samples. Gaps in the numbers then mean nothing: {@linkcode ListenStats.lost} is what the
   * socket dropped of what the filter let through, and nothing is known of other losses.
   */
  readonly filtered: boolean;
  /** Size of the receive buffer in bytes that the kernel granted. */
  readonly receiveBufferBytes: number;
  /** Each producer of each group: a few thousand at most. */
  readonly groups: readonly GroupStats[];
  /** All producers that are not in {@linkcode ListenStats.groups}. */
  readonly others: OtherStats;
}
