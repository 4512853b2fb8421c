/** Whether packets are forwarded. Source: include/uapi/linux/netconf.h, net/ipv4/devinet.c, net/ipv6/addrconf.c. */
import { AttrReader } from "../wire/attr_reader.ts";
import { encodeMessage, type Message, NLM_F_DUMP, NLM_F_REQUEST } from "../wire/message.ts";
import { memory } from "../wire/native.ts";

// include/uapi/linux/rtnetlink.h
export const RTM_NEWNETCONF = 80;
export const RTM_GETNETCONF = 82;

const NETCONFA_IFINDEX = 1;
const NETCONFA_FORWARDING = 2;
/** Stands for the devices that are still to come, in the place of an index. */
const NETCONFA_IFINDEX_DEFAULT = -2;
/** `struct netconfmsg`: u8 family, and its padding. */
const NETCONFMSG_SIZE = 4;

/** A request for the settings of all devices, for addresses of this family (AF_INET, AF_INET6). */
export function encodeSettingsDump(family: number): Uint8Array<ArrayBuffer> {
  const header = memory(NETCONFMSG_SIZE);
  header[0] = family;
  return encodeMessage({ type: RTM_GETNETCONF, flags: NLM_F_REQUEST | NLM_F_DUMP }, header);
}

/** Whether this entry, of a device or of all, says that packets are forwarded. */
export function decodeForwards({ payload, littleEndian }: Message): boolean {
  let ifindex = 0;
  let forwards = false;
  const attr = AttrReader.of(payload.subarray(NETCONFMSG_SIZE), littleEndian);
  while (attr.next()) {
    if (attr.type === NETCONFA_IFINDEX) ifindex = attr.u32() | 0;
    else if (attr.type === NETCONFA_FORWARDING) forwards = attr.u32() !== 0;
  }
  return forwards && ifindex !== NETCONFA_IFINDEX_DEFAULT;
}
