// include/uapi/linux/psample.h. The enumerations start at 0, unlike nearly every other family's.

/**
 * The name of the generic netlink family.
 *
 * @category Samples
 */
export const PSAMPLE_GENL_NAME = "psample";
/** The family's version. */
export const PSAMPLE_GENL_VERSION = 1;
/**
 * Multicast group of the samples; joining requires CAP_NET_ADMIN.
 *
 * @category Samples
 */
export const PSAMPLE_NL_MCGRP_SAMPLE_NAME = "packets";
/**
 * Multicast group of the events about psample groups; open to everybody.
 *
 * @category Samples
 */
export const PSAMPLE_NL_MCGRP_CONFIG_NAME = "config";

/** A sample. */
export const PSAMPLE_CMD_SAMPLE = 0;
/** Asks for the groups; dump only. */
export const PSAMPLE_CMD_GET_GROUP = 1;
/** A group was created, or an entry of the list of groups. */
export const PSAMPLE_CMD_NEW_GROUP = 2;
/** A group was removed. */
export const PSAMPLE_CMD_DEL_GROUP = 3;

/** Interface in: u16, in messages of producers in user space also u32. */
export const PSAMPLE_ATTR_IIFINDEX = 0;
/** Interface out: u16, in messages of producers in user space also u32. */
export const PSAMPLE_ATTR_OIFINDEX = 1;
/** Size of the packet before truncation: u32 bytes. */
export const PSAMPLE_ATTR_ORIGSIZE = 2;
/** The group: u32. */
export const PSAMPLE_ATTR_SAMPLE_GROUP = 3;
/** Number of the sample in its group: u32. */
export const PSAMPLE_ATTR_GROUP_SEQ = 4;
/** N of 1 in N, or a probability: u32. */
export const PSAMPLE_ATTR_SAMPLE_RATE = 5;
/** The packet: bytes. */
export const PSAMPLE_ATTR_DATA = 6;
/** How many actions use the group: u32; number 8 on kernels 5.8 to 5.11. */
export const PSAMPLE_ATTR_GROUP_REFCOUNT = 7;
/** The tunnel: a nest; number 7 on kernels 5.8 to 5.11. */
export const PSAMPLE_ATTR_TUNNEL = 8;
/** Padding before 64-bit values. */
export const PSAMPLE_ATTR_PAD = 9;
/** Traffic class out: u16. */
export const PSAMPLE_ATTR_OUT_TC = 10;
/** Occupancy of that queue: u64 bytes. */
export const PSAMPLE_ATTR_OUT_TC_OCC = 11;
/** Time in the device: u64 nanoseconds. */
export const PSAMPLE_ATTR_LATENCY = 12;
/** When the packet was sampled: u64 nanoseconds since 1970. */
export const PSAMPLE_ATTR_TIMESTAMP = 13;
/** EtherType: u16 in host byte order. */
export const PSAMPLE_ATTR_PROTO = 14;
/** Cookie of the action: up to 16 bytes. */
export const PSAMPLE_ATTR_USER_COOKIE = 15;
/** The rate is a probability: a flag. */
export const PSAMPLE_ATTR_SAMPLE_PROBABILITY = 16;

/** Tunnel key: u64 in network byte order. */
export const PSAMPLE_TUNNEL_KEY_ATTR_ID = 0;
/** Outer source: 4 bytes. */
export const PSAMPLE_TUNNEL_KEY_ATTR_IPV4_SRC = 1;
/** Outer destination: 4 bytes. */
export const PSAMPLE_TUNNEL_KEY_ATTR_IPV4_DST = 2;
/** Outer type of service: u8. */
export const PSAMPLE_TUNNEL_KEY_ATTR_TOS = 3;
/** Outer time to live: u8. */
export const PSAMPLE_TUNNEL_KEY_ATTR_TTL = 4;
/** Do not fragment: a flag. */
export const PSAMPLE_TUNNEL_KEY_ATTR_DONT_FRAGMENT = 5;
/** With checksum: a flag. */
export const PSAMPLE_TUNNEL_KEY_ATTR_CSUM = 6;
/** Operations and maintenance: a flag. */
export const PSAMPLE_TUNNEL_KEY_ATTR_OAM = 7;
/** Geneve options: bytes. */
export const PSAMPLE_TUNNEL_KEY_ATTR_GENEVE_OPTS = 8;
/** Outer source port: u16 in network byte order. */
export const PSAMPLE_TUNNEL_KEY_ATTR_TP_SRC = 9;
/** Outer destination port: u16 in network byte order. */
export const PSAMPLE_TUNNEL_KEY_ATTR_TP_DST = 10;
/** VXLAN metadata: bytes. */
export const PSAMPLE_TUNNEL_KEY_ATTR_VXLAN_OPTS = 11;
/** Outer source: 16 bytes. */
export const PSAMPLE_TUNNEL_KEY_ATTR_IPV6_SRC = 12;
/** Outer destination: 16 bytes. */
export const PSAMPLE_TUNNEL_KEY_ATTR_IPV6_DST = 13;
/** Padding before 64-bit values. */
export const PSAMPLE_TUNNEL_KEY_ATTR_PAD = 14;
/** ERSPAN metadata: bytes. */
export const PSAMPLE_TUNNEL_KEY_ATTR_ERSPAN_OPTS = 15;
/** Metadata of a bridge: a flag. */
export const PSAMPLE_TUNNEL_KEY_ATTR_IPV4_INFO_BRIDGE = 16;
