/**
 * What the hardware of an Ethernet device counts by the names of IEEE 802.3, clause 30: the generic netlink family `ethtool`, since Linux
 * 5.13. Source: include/uapi/linux/ethtool_netlink.h, net/ethtool/stats.c.
 */
import { genlAttributes, genlHeader } from "../genl/ctrl.ts";
import type { AttrReader } from "../wire/attr_reader.ts";
import { NLA_F_NESTED } from "../wire/attr_writer.ts";
import { encodeMessage, type Message, NLM_F_REQUEST } from "../wire/message.ts";
import { LITTLE, memory, viewOf } from "../wire/native.ts";
import { ETHTOOL_A_HEADER_DEV_INDEX } from "./link_speed.ts";

const ETHTOOL_MSG_STATS_GET = 32;
const ETHTOOL_MSG_STATS_GET_REPLY = 33;
const ETHTOOL_A_STATS_HEADER = 2;
const ETHTOOL_A_STATS_GROUPS = 3;
const ETHTOOL_A_STATS_GRP = 4;
const ETHTOOL_A_STATS_GRP_ID = 2;
const ETHTOOL_A_STATS_GRP_STAT = 4;
const ETHTOOL_A_BITSET_NOMASK = 1;
const ETHTOOL_A_BITSET_SIZE = 2;
const ETHTOOL_A_BITSET_VALUE = 4;
/** The groups of counters. */
const ETH_PHY = 0;
const ETH_MAC = 1;
const GROUPS = 2;

/** The counters of each group that management knows, by number (ETHTOOL_A_STATS_ETH_PHY_*, ETHTOOL_A_STATS_ETH_MAC_*). */
const NUMBERS = {
  symbolErrors: [ETH_PHY, 0],
  singleCollisionFrames: [ETH_MAC, 1],
  multipleCollisionFrames: [ETH_MAC, 2],
  fcsErrors: [ETH_MAC, 4],
  alignmentErrors: [ETH_MAC, 5],
  deferredTransmissions: [ETH_MAC, 7],
  lateCollisions: [ETH_MAC, 8],
  excessiveCollisions: [ETH_MAC, 9],
  internalMacTransmitErrors: [ETH_MAC, 10],
  carrierSenseErrors: [ETH_MAC, 11],
  internalMacReceiveErrors: [ETH_MAC, 13],
  multicastSent: [ETH_MAC, 14],
  broadcastSent: [ETH_MAC, 15],
  multicastReceived: [ETH_MAC, 17],
  broadcastReceived: [ETH_MAC, 18],
  frameTooLongs: [ETH_MAC, 21],
} as const;

/** What the hardware counts; what it does not is missing. */
export type EthernetStats = { readonly [Name in keyof typeof NUMBERS]?: bigint };

const NAMES: ReadonlyMap<number, string> = new Map(
  Object.entries(NUMBERS).map(([name, [group, number]]) => [group << 16 | number, name]),
);

/** A request for the counters of one device. */
export function encodeGetEthernetStats(family: number, index: number): Uint8Array<ArrayBuffer> {
  const groups = memory(4);
  viewOf(groups).setUint32(0, 1 << ETH_PHY | 1 << ETH_MAC, LITTLE);
  return encodeMessage({ type: family, flags: NLM_F_REQUEST }, genlHeader(ETHTOOL_MSG_STATS_GET), (attr) => {
    attr.nest(ETHTOOL_A_STATS_HEADER | NLA_F_NESTED, () => attr.u32(ETHTOOL_A_HEADER_DEV_INDEX, index));
    attr.nest(ETHTOOL_A_STATS_GROUPS | NLA_F_NESTED, () => {
      attr.flag(ETHTOOL_A_BITSET_NOMASK, true).u32(ETHTOOL_A_BITSET_SIZE, GROUPS).bytes(ETHTOOL_A_BITSET_VALUE, groups);
    });
  });
}

/** The counters in the reply; `undefined` if there are none, or it is another message. */
export function decodeEthernetStats(message: Message): EthernetStats | undefined {
  const stats: Record<string, bigint> = {};
  const attr = genlAttributes(message, ETHTOOL_MSG_STATS_GET_REPLY);
  while (attr?.next()) if (attr.type === ETHTOOL_A_STATS_GRP) readGroup(attr.nested(), stats);
  return Object.keys(stats).length > 0 ? stats : undefined;
}

function readGroup(attr: AttrReader, stats: Record<string, bigint>): void {
  // The kernel writes it first.
  let group = -1;
  while (attr.next()) {
    if (attr.type === ETHTOOL_A_STATS_GRP_ID) group = attr.u32();
    if (attr.type !== ETHTOOL_A_STATS_GRP_STAT) continue;
    const stat = attr.nested();
    while (stat.next()) {
      const name = NAMES.get(group << 16 | stat.type);
      // An empty one is padding, of the same numbers.
      if (name !== undefined && stat.size === 8) stats[name] = stat.u64();
    }
  }
}
