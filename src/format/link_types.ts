/** What the packets of a recording begin with, as pcap and pcapng number it. Source: https://www.tcpdump.org/linktypes.html */

export const LINKTYPE_NULL = 0;
export const LINKTYPE_ETHERNET = 1;
export const LINKTYPE_RAW = 101;
/** Linux cooked capture: what `tcpdump -i any` writes, of which netlink devices are a part. */
export const LINKTYPE_LINUX_SLL = 113;
export const LINKTYPE_IPV4 = 228;
export const LINKTYPE_IPV6 = 229;
/** Each record is a cooked header and netlink messages. */
export const LINKTYPE_NETLINK = 253;
/** Linux cooked capture, version 2. */
export const LINKTYPE_LINUX_SLL2 = 276;

/** The number that raw IP has in files of BSDs: https://github.com/the-tcpdump-group/libpcap, pcap-common.c. */
export const DLT_RAW = 12;
/** The same on OpenBSD. */
export const DLT_RAW_OPENBSD = 14;

const NAMES: Readonly<Record<number, string>> = {
  [LINKTYPE_NULL]: "BSD loopback",
  [LINKTYPE_ETHERNET]: "Ethernet",
  [DLT_RAW]: "raw IP",
  [DLT_RAW_OPENBSD]: "raw IP",
  [LINKTYPE_RAW]: "raw IP",
  105: "802.11",
  [LINKTYPE_LINUX_SLL]: "Linux cooked capture",
  127: "802.11 with radiotap",
  189: "USB",
  220: "USB",
  [LINKTYPE_IPV4]: "raw IPv4",
  [LINKTYPE_IPV6]: "raw IPv6",
  239: "nflog",
  [LINKTYPE_NETLINK]: "netlink",
  [LINKTYPE_LINUX_SLL2]: "Linux cooked capture, version 2",
};

/** A link type as text: its number, and its name if it is a common one. */
export function linkTypeText(linkType: number): string {
  const name = NAMES[linkType];
  return name === undefined ? `link type ${linkType}` : `link type ${linkType} (${name})`;
}
