/**
 * What a record of netlink messages begins with: be16 packet type, be16 ARPHRD_NETLINK, 10 bytes, be16 netlink protocol.
 * Source: `struct sockaddr_ll` as drivers/net/nlmon.c and libpcap's pcap-linux.c fill it.
 */

export const COOKED_HEADER = 16;
/**
 * The size of version 2: be16 netlink protocol, be16 0, be32 interface index, be16 ARPHRD_NETLINK, u8 packet type, u8 address
 * length, 8 bytes of address.
 */
export const COOKED2_HEADER = 20;
/** `ARPHRD_NETLINK`, include/uapi/linux/if_arp.h. */
export const ARPHRD_NETLINK = 824;
/** The netlink protocol of generic netlink, include/uapi/linux/netlink.h. */
export const NETLINK_GENERIC = 16;
/** `PACKET_OUTGOING`, include/uapi/linux/if_packet.h: what libpsample writes as the packet type. */
export const PACKET_OUTGOING = 4;

/**
 * Our own message of type NLMSG_NOOP in a recording, because netlink has nothing of the kind: from here on gaps in the numbers are due to a
 * filter, and losses are recorded explicitly: this many before the next sample.
 *
 * ```
 * struct nlmsghdr
 * be32 "psmp"
 * be32 losses
 * ```
 */
export const LOSSES_SIGNATURE = 0x70736d70;
