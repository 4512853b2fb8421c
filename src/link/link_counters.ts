/** The counters of a device. Source: `struct rtnl_link_stats64` in include/uapi/linux/if_link.h, net/core/rtnetlink.c. */
import { AttrReader } from "../wire/attr_reader.ts";
import { encodeMessage, type Message, NLM_F_REQUEST } from "../wire/message.ts";
import { decodeLink, IFINFOMSG_SIZE, IFLA_STATS64, type Link, linkHeader, RTM_GETLINK } from "./link.ts";

const IFLA_PROMISCUITY = 30;

/** The places of the counters in `struct rtnl_link_stats64`, each of 8 bytes. */
const PLACES = {
  rxPackets: 0,
  txPackets: 1,
  rxBytes: 2,
  txBytes: 3,
  rxErrors: 4,
  txErrors: 5,
  rxDropped: 6,
  txDropped: 7,
  multicast: 8,
  collisions: 9,
  rxCrcErrors: 12,
  rxFrameErrors: 13,
  rxMissedErrors: 15,
  txCarrierErrors: 17,
  txWindowErrors: 20,
} as const;

const NAMES = Object.keys(PLACES) as (keyof typeof PLACES)[];
/** What every kernel has: the last counters were added later. */
const LEAST_BYTES = 8 * 21;

/** What a device has counted since it was made, or since its driver was loaded. */
export type LinkStats = { readonly [Name in keyof typeof PLACES]: bigint };

/** A device, and what it has counted. */
export interface CountedLink {
  readonly link: Link;
  /** Whether something makes it receive packets to other addresses; `undefined` if the kernel does not say. */
  readonly promiscuous: boolean | undefined;
  /** `undefined` if the kernel does not say. */
  readonly stats: LinkStats | undefined;
}

/** A request for a device with its counters. */
export function encodeGetLinkCounters(index: number): Uint8Array<ArrayBuffer> {
  return encodeMessage({ type: RTM_GETLINK, flags: NLM_F_REQUEST }, linkHeader(index));
}

/** Reads RTM_NEWLINK with counters. */
export function decodeLinkCounters(message: Message): CountedLink {
  const link = decodeLink(message);
  let promiscuous: boolean | undefined;
  let stats: LinkStats | undefined;
  const attr = AttrReader.of(message.payload.subarray(IFINFOMSG_SIZE), message.littleEndian);
  while (attr.next()) {
    if (attr.type === IFLA_PROMISCUITY) promiscuous = attr.u32() > 0;
    else if (attr.type === IFLA_STATS64) stats = readStats(attr.atLeast(LEAST_BYTES), message.littleEndian);
  }
  return { link, promiscuous, stats };
}

function readStats(view: DataView, littleEndian: boolean): LinkStats {
  return Object.fromEntries(NAMES.map((name) => [name, view.getBigUint64(8 * PLACES[name], littleEndian)])) as unknown as LinkStats;
}
