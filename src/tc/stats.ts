/**
 * Counters of qdiscs and actions: the attributes inside TCA_STATS2 and TCA_ACT_STATS.
 * Source: include/uapi/linux/gen_stats.h, net/core/gen_stats.c.
 */
import type { AttrReader } from "../wire/attr_reader.ts";
import { LITTLE } from "../wire/native.ts";
import { keepUnknown, type UnknownAttribute } from "./tcmsg.ts";

// include/uapi/linux/gen_stats.h
const TCA_STATS_BASIC = 1;
const TCA_STATS_QUEUE = 3;
const TCA_STATS_PAD = 6;
const TCA_STATS_BASIC_HW = 7;
const TCA_STATS_PKT64 = 8;

/**
 * Counters. Those that the kernel did not send are `undefined`.
 *
 * @category Sampling
 */
export interface Stats {
  /** Bytes seen, in software and hardware together. */
  readonly bytes: bigint | undefined;
  /** Packets seen, in software and hardware together; a GSO packet counts as the segments it stands for. */
  readonly packets: bigint | undefined;
  /** Of `bytes`, those that hardware counted. */
  readonly hardwareBytes: bigint | undefined;
  /** Of `packets`, those that hardware counted. */
  readonly hardwarePackets: bigint | undefined;
  /** Packets dropped. */
  readonly drops: number | undefined;
  /** How often a limit was exceeded; the kernel counts a jump of the sampler's control here too. */
  readonly overlimits: number | undefined;
  /** Packets put back into the queue. */
  readonly requeues: number | undefined;
  /** Bytes waiting in the queue. */
  readonly backlogBytes: number | undefined;
  /** Packets waiting in the queue. */
  readonly queueLength: number | undefined;
  /** What else the kernel sent. */
  readonly unknown: readonly UnknownAttribute[];
}

/** Reads the attributes inside TCA_STATS2 or TCA_ACT_STATS. */
export function readStats(attr: AttrReader): Stats {
  let bytes: bigint | undefined;
  let packets: bigint | undefined;
  let packets64: bigint | undefined;
  let hardwareBytes: bigint | undefined;
  let hardwarePackets: bigint | undefined;
  let drops: number | undefined;
  let overlimits: number | undefined;
  let requeues: number | undefined;
  let backlogBytes: number | undefined;
  let queueLength: number | undefined;
  const unknown: UnknownAttribute[] = [];
  while (attr.next()) {
    switch (attr.type) {
      case TCA_STATS_BASIC: {
        // struct gnet_stats_basic: u64 bytes, u32 packets, and on most machines 4 bytes of padding.
        const view = attr.atLeast(12);
        bytes = view.getBigUint64(0, LITTLE);
        packets = BigInt(view.getUint32(8, LITTLE));
        break;
      }
      case TCA_STATS_BASIC_HW: {
        const view = attr.atLeast(12);
        hardwareBytes = view.getBigUint64(0, LITTLE);
        hardwarePackets = BigInt(view.getUint32(8, LITTLE));
        break;
      }
      case TCA_STATS_PKT64:
        packets64 = attr.u64();
        break;
      case TCA_STATS_QUEUE: {
        // struct gnet_stats_queue: qlen, backlog, drops, requeues, overlimits.
        const view = attr.atLeast(20);
        queueLength = view.getUint32(0, LITTLE);
        backlogBytes = view.getUint32(4, LITTLE);
        drops = view.getUint32(8, LITTLE);
        requeues = view.getUint32(12, LITTLE);
        overlimits = view.getUint32(16, LITTLE);
        break;
      }
      case TCA_STATS_PAD:
        break;
      default:
        unknown.push(keepUnknown(attr));
    }
  }
  // The kernel adds the 64-bit count once 32 bits are not enough.
  if (packets64) packets = packets64;
  return {
    bytes,
    packets,
    hardwareBytes,
    hardwarePackets,
    drops,
    overlimits,
    requeues,
    backlogBytes,
    queueLength,
    unknown,
  };
}
