// include/uapi/linux/psample.h. The enumerations start at 0, unlike nearly every other family's.

/** The name of the generic netlink family. */
export const PSAMPLE_GENL_NAME = "psample";
/** The family's version. */
export const PSAMPLE_GENL_VERSION = 1;
/** Multicast group of the samples; joining takes CAP_NET_ADMIN. */
export const PSAMPLE_NL_MCGRP_SAMPLE_NAME = "packets";
/** Multicast group of the events about psample groups; free for everybody. */
export const PSAMPLE_NL_MCGRP_CONFIG_NAME = "config";

export const PSAMPLE_CMD_SAMPLE = 0;
export const PSAMPLE_CMD_GET_GROUP = 1;
export const PSAMPLE_CMD_NEW_GROUP = 2;
export const PSAMPLE_CMD_DEL_GROUP = 3;

export const PSAMPLE_ATTR_IIFINDEX = 0;
export const PSAMPLE_ATTR_OIFINDEX = 1;
export const PSAMPLE_ATTR_ORIGSIZE = 2;
export const PSAMPLE_ATTR_SAMPLE_GROUP = 3;
export const PSAMPLE_ATTR_GROUP_SEQ = 4;
export const PSAMPLE_ATTR_SAMPLE_RATE = 5;
export const PSAMPLE_ATTR_DATA = 6;
export const PSAMPLE_ATTR_GROUP_REFCOUNT = 7;
export const PSAMPLE_ATTR_TUNNEL = 8;
export const PSAMPLE_ATTR_PAD = 9;
export const PSAMPLE_ATTR_OUT_TC = 10;
export const PSAMPLE_ATTR_OUT_TC_OCC = 11;
export const PSAMPLE_ATTR_LATENCY = 12;
export const PSAMPLE_ATTR_TIMESTAMP = 13;
export const PSAMPLE_ATTR_PROTO = 14;
export const PSAMPLE_ATTR_USER_COOKIE = 15;
export const PSAMPLE_ATTR_SAMPLE_PROBABILITY = 16;

export const PSAMPLE_TUNNEL_KEY_ATTR_ID = 0;
export const PSAMPLE_TUNNEL_KEY_ATTR_IPV4_SRC = 1;
export const PSAMPLE_TUNNEL_KEY_ATTR_IPV4_DST = 2;
export const PSAMPLE_TUNNEL_KEY_ATTR_TOS = 3;
export const PSAMPLE_TUNNEL_KEY_ATTR_TTL = 4;
export const PSAMPLE_TUNNEL_KEY_ATTR_DONT_FRAGMENT = 5;
export const PSAMPLE_TUNNEL_KEY_ATTR_CSUM = 6;
export const PSAMPLE_TUNNEL_KEY_ATTR_OAM = 7;
export const PSAMPLE_TUNNEL_KEY_ATTR_GENEVE_OPTS = 8;
export const PSAMPLE_TUNNEL_KEY_ATTR_TP_SRC = 9;
export const PSAMPLE_TUNNEL_KEY_ATTR_TP_DST = 10;
export const PSAMPLE_TUNNEL_KEY_ATTR_VXLAN_OPTS = 11;
export const PSAMPLE_TUNNEL_KEY_ATTR_IPV6_SRC = 12;
export const PSAMPLE_TUNNEL_KEY_ATTR_IPV6_DST = 13;
export const PSAMPLE_TUNNEL_KEY_ATTR_PAD = 14;
export const PSAMPLE_TUNNEL_KEY_ATTR_ERSPAN_OPTS = 15;
export const PSAMPLE_TUNNEL_KEY_ATTR_IPV4_INFO_BRIDGE = 16;
