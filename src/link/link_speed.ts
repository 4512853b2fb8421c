/**
 * Link speeds: the generic netlink family `ethtool`, since Linux 5.6. Source: include/uapi/linux/ethtool_netlink.h (since 6.15
 * ethtool_netlink_generated.h), net/ethtool/linkmodes.c.
 */
import { genlAttributes, genlHeader } from "../genl/ctrl.ts";
import { NLA_F_NESTED } from "../wire/attr_writer.ts";
import { encodeMessage, type Message, NLM_F_DUMP, NLM_F_REQUEST } from "../wire/message.ts";

/** The name of the family. */
export const ETHTOOL_GENL_NAME = "ethtool";
/** The request, and its reply. */
const ETHTOOL_MSG_LINKMODES_GET = 4;
const ETHTOOL_MSG_LINKMODES_GET_REPLY = 4;
const ETHTOOL_A_LINKMODES_HEADER = 1;
const ETHTOOL_A_LINKMODES_SPEED = 5;
const ETHTOOL_A_LINKMODES_DUPLEX = 6;
export const ETHTOOL_A_HEADER_DEV_INDEX = 1;
const ETHTOOL_A_HEADER_DEV_NAME = 2;
// include/uapi/linux/ethtool.h
const SPEED_UNKNOWN = 0xffff_ffff;
const DUPLEX_HALF = 0;
const DUPLEX_FULL = 1;

/** The speed of a link. */
export interface LinkSpeed {
  /** The name of the device. */
  readonly name: string;
  /** Bits a second, in each direction. */
  readonly bitsPerSecond: number;
}

/** How a link transmits; what it does not know is `undefined`, for example without a carrier. */
export interface LinkMode {
  /** Bits a second, in each direction. */
  readonly bitsPerSecond: number | undefined;
  readonly duplex: "full" | "half" | undefined;
}

/** A request for the speed and duplex of one device. */
export function encodeGetLinkMode(family: number, index: number): Uint8Array<ArrayBuffer> {
  return encodeMessage({ type: family, flags: NLM_F_REQUEST }, genlHeader(ETHTOOL_MSG_LINKMODES_GET), (attr) => {
    attr.nest(ETHTOOL_A_LINKMODES_HEADER | NLA_F_NESTED, () => attr.u32(ETHTOOL_A_HEADER_DEV_INDEX, index));
  });
}

/** A request for the speeds of all devices. */
export function encodeLinkModesDump(family: number): Uint8Array<ArrayBuffer> {
  return encodeMessage({ type: family, flags: NLM_F_REQUEST | NLM_F_DUMP }, genlHeader(ETHTOOL_MSG_LINKMODES_GET), (attr) => {
    // Linux 6.1 requires it, although it names no device.
    attr.nest(ETHTOOL_A_LINKMODES_HEADER | NLA_F_NESTED, () => {});
  });
}

/** The speed in one message of the reply; `undefined` if the device does not know it, for example without a carrier. */
export function decodeLinkSpeed(message: Message): LinkSpeed | undefined {
  const read = readLinkMode(message);
  const { name, mode } = read ?? {};
  return name === undefined || mode?.bitsPerSecond === undefined ? undefined : { name, bitsPerSecond: mode.bitsPerSecond };
}

/** Speed and duplex in one message of the reply; `undefined` if it is another message. */
export function decodeLinkMode(message: Message): LinkMode | undefined {
  return readLinkMode(message)?.mode;
}

function readLinkMode(message: Message): { readonly name: string | undefined; readonly mode: LinkMode } | undefined {
  const attr = genlAttributes(message, ETHTOOL_MSG_LINKMODES_GET_REPLY);
  if (!attr) return undefined;
  let name: string | undefined;
  let speed = SPEED_UNKNOWN;
  let duplex: number | undefined;
  while (attr.next()) {
    if (attr.type === ETHTOOL_A_LINKMODES_SPEED) speed = attr.u32();
    if (attr.type === ETHTOOL_A_LINKMODES_DUPLEX) duplex = attr.u8();
    if (attr.type !== ETHTOOL_A_LINKMODES_HEADER) continue;
    const header = attr.nested();
    while (header.next()) if (header.type === ETHTOOL_A_HEADER_DEV_NAME) name = header.string();
  }
  return {
    name,
    mode: {
      // In units of 10^6 bit/s; some drivers that do not know it report 0.
      bitsPerSecond: speed === SPEED_UNKNOWN || speed === 0 ? undefined : speed * 1e6,
      duplex: duplex === DUPLEX_FULL ? "full" : duplex === DUPLEX_HALF ? "half" : undefined,
    },
  };
}
