/** What a sampled packet begins with. Source: `tcf_sample_dev_ok_push` in net/sched/act_sample.c. */
import { ETH_P_IP, ETH_P_IPV6, ETH_P_TEB } from "../wire/ether_types.ts";
import { ARPHRD_ETHER, ARPHRD_IPGRE, ARPHRD_LOOPBACK, ARPHRD_NONE, ARPHRD_TUNNEL } from "./link.ts";

// include/uapi/linux/if_arp.h
const ARPHRD_PPP = 512;
const ARPHRD_RAWIP = 519;
const ARPHRD_TUNNEL6 = 769;
const ARPHRD_SIT = 776;
const ARPHRD_IP6GRE = 823;
const ARPHRD_VOID = 0xffff;

/**
 * What a sampled packet begins with: an Ethernet header, or an IPv4 or IPv6 header.
 *
 * @category Devices
 */
export type LinkType = "ethernet" | "raw-ip";

/**
 * Devices of which act_sample takes the packet as it is, without a link header (`tcf_sample_dev_ok_push`); RAWIP has none, nor does PPP,
 * whose driver adds and removes it (`ppp_start_xmit`, `ppp_receive_nonmp_frame`).
 */
const WITHOUT_HEADER: ReadonlySet<number> = new Set([
  ARPHRD_TUNNEL,
  ARPHRD_TUNNEL6,
  ARPHRD_SIT,
  ARPHRD_IPGRE,
  ARPHRD_IP6GRE,
  ARPHRD_VOID,
  ARPHRD_NONE,
  ARPHRD_RAWIP,
  ARPHRD_PPP,
]);

/** The codes of sFlow's header_protocol, which the VPP plugin sends in place of an EtherType. */
const SFLOW_ETHERNET = 1;
const SFLOW_IPV4 = 11;
const SFLOW_IPV6 = 12;

const ETHERTYPE_OFFSET = 12;

/** What packets of a device of this type, ARPHRD_*, begin with in tc and in samples; `undefined` if the type does not determine that. */
export function deviceLinkType(arphrd: number | undefined): LinkType | undefined {
  if (arphrd === ARPHRD_ETHER || arphrd === ARPHRD_LOOPBACK) return "ethernet";
  return arphrd !== undefined && WITHOUT_HEADER.has(arphrd) ? "raw-ip" : undefined;
}

/**
 * What a sampled packet begins with: from the type of its device if that is known and determines it, else from the sample's protocol, else
 * from the first half byte.
 *
 * @param arphrd The device's type, ARPHRD_*; `undefined` if the device is not known.
 * @param protocol The sample's protocol; `undefined` if it has none.
 * @param data The packet.
 */
export function linkTypeOf(arphrd: number | undefined, protocol: number | undefined, data: Uint8Array | undefined): LinkType {
  const byDevice = deviceLinkType(arphrd);
  if (byDevice !== undefined) return byDevice;
  if (protocol === SFLOW_ETHERNET || protocol === ETH_P_TEB) return "ethernet";
  if (protocol === SFLOW_IPV4 || protocol === SFLOW_IPV6) return "raw-ip";
  if (!data || data.length === 0) return "ethernet";
  const version = data[0]! >> 4;
  if (protocol === ETH_P_IP || protocol === ETH_P_IPV6) {
    // The protocol is that of the packet, with or without a frame around it; a frame contains it again.
    const framed = data.length >= ETHERTYPE_OFFSET + 2 &&
      ((data[ETHERTYPE_OFFSET]! << 8) | data[ETHERTYPE_OFFSET + 1]!) === protocol;
    return !framed && version === (protocol === ETH_P_IP ? 4 : 6) ? "raw-ip" : "ethernet";
  }
  // A packet that is neither IPv4 nor IPv6 must have a frame: nothing else would identify it.
  if (protocol !== undefined) return "ethernet";
  return version === 4 || version === 6 ? "raw-ip" : "ethernet";
}

/** {@linkcode linkTypeOf} for a sample, for hot loops: makes no view of the data if the device determines the type. */
export function linkTypeOfSample(
  arphrd: number | undefined,
  sample: { readonly protocol: number | undefined; readonly data: Uint8Array | undefined },
): LinkType {
  return deviceLinkType(arphrd) ?? linkTypeOf(arphrd, sample.protocol, sample.data);
}
