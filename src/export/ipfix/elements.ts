/**
 * Information elements: what the fields of records mean, and how many bytes they have here.
 * Source: IANA, "IP Flow Information Export (IPFIX) Entities"; for sampling RFC 5477.
 *
 * @module
 */

/** The size of a field that each record has in its own length (RFC 7011, section 7). */
export const VARIABLE = 0xffff;

/** A field of a template. */
export interface Element {
  /** Number of the information element, without the enterprise bit. */
  readonly id: number;
  /** Size in bytes, or {@linkcode VARIABLE}. */
  readonly size: number;
  /** The private enterprise number that defines it; `undefined` for IANA's. */
  readonly enterprise: number | undefined;
}

function element(id: number, size: number): Element {
  return { id, size, enterprise: undefined };
}

export const OCTET_DELTA_COUNT: Element = element(1, 8);
export const PACKET_DELTA_COUNT: Element = element(2, 8);
export const PROTOCOL_IDENTIFIER: Element = element(4, 1);
export const IP_CLASS_OF_SERVICE: Element = element(5, 1);
export const TCP_CONTROL_BITS: Element = element(6, 2);
export const SOURCE_PORT: Element = element(7, 2);
export const SOURCE_IPV4_ADDRESS: Element = element(8, 4);
export const INGRESS_INTERFACE: Element = element(10, 4);
export const DESTINATION_PORT: Element = element(11, 2);
export const DESTINATION_IPV4_ADDRESS: Element = element(12, 4);
export const EGRESS_INTERFACE: Element = element(14, 4);
export const SOURCE_IPV6_ADDRESS: Element = element(27, 16);
export const DESTINATION_IPV6_ADDRESS: Element = element(28, 16);
/** N of 1 in N. Deprecated in favour of PSAMP's, which fewer collectors read. */
export const SAMPLING_INTERVAL: Element = element(34, 4);
/** 1 deterministic, 2 random. */
export const SAMPLING_ALGORITHM: Element = element(35, 1);
export const SOURCE_MAC_ADDRESS: Element = element(56, 6);
export const VLAN_ID: Element = element(58, 2);
export const IP_VERSION: Element = element(60, 1);
/** 0 in, 1 out. */
export const FLOW_DIRECTION: Element = element(61, 1);
export const DESTINATION_MAC_ADDRESS: Element = element(80, 6);
export const INTERFACE_NAME: Element = element(82, VARIABLE);
/** With zeros after it: nfdump does not read strings of variable length. */
export const INTERFACE_DESCRIPTION: Element = element(83, 32);
export const FLOW_END_REASON: Element = element(136, 1);
export const OBSERVATION_POINT_ID: Element = element(138, 8);
export const OBSERVATION_DOMAIN_ID: Element = element(149, 4);
export const FLOW_START_MILLISECONDS: Element = element(152, 8);
export const FLOW_END_MILLISECONDS: Element = element(153, 8);
/** Packets that were selected and then lost before they could be reported. */
export const IGNORED_PACKET_TOTAL_COUNT: Element = element(164, 8);
export const DOT1Q_VLAN_ID: Element = element(243, 2);
export const ETHERNET_TYPE: Element = element(256, 2);
export const SELECTION_SEQUENCE_ID: Element = element(301, 8);
/** Reduced to 4 or 2 bytes, pmacct 1.7.7 confuses two selectors. */
export const SELECTOR_ID: Element = element(302, 8);
export const INFORMATION_ELEMENT_ID: Element = element(303, 2);
export const SELECTOR_ALGORITHM: Element = element(304, 2);
export const SAMPLING_PACKET_INTERVAL: Element = element(305, 4);
export const SAMPLING_PACKET_SPACE: Element = element(306, 4);
export const SAMPLING_PROBABILITY: Element = element(311, 8);
export const DATA_LINK_FRAME_SIZE: Element = element(312, 2);
export const IP_HEADER_PACKET_SECTION: Element = element(313, VARIABLE);
export const DATA_LINK_FRAME_SECTION: Element = element(315, VARIABLE);
export const SELECTOR_ID_TOTAL_PKTS_OBSERVED: Element = element(318, 8);
export const SELECTOR_ID_TOTAL_PKTS_SELECTED: Element = element(319, 8);
export const ABSOLUTE_ERROR: Element = element(320, 8);
/** NTP's time stamp: seconds since 1900, and a fraction of 32 bits. */
export const OBSERVATION_TIME_NANOSECONDS: Element = element(325, 8);
/** The kind of overlay in the upper 8 bits, its identifier in the lower 24. */
export const LAYER2_SEGMENT_ID: Element = element(351, 8);
export const LAYER2_OCTET_DELTA_COUNT: Element = element(352, 8);
/** 1 Ethernet. */
export const DATA_LINK_FRAME_TYPE: Element = element(408, 2);

/** What IANA's registry has no element for, under a private enterprise number. */
export interface EnterpriseElements {
  /** 1, octetArray: the cookie of the tc action or of the Open vSwitch action. */
  readonly cookie: Element;
  /** 2, unsigned16: the egress traffic class, or queue. */
  readonly queue: Element;
  /** 3, unsigned64: bytes in that queue. */
  readonly occupancy: Element;
  /** 4, unsigned64: nanoseconds that the packet was in the device. */
  readonly latency: Element;
}

/** The elements of this package under an enterprise's number. */
export function enterpriseElements(enterprise: number): EnterpriseElements {
  const own = (id: number, size: number): Element => ({ id, size, enterprise });
  return { cookie: own(1, VARIABLE), queue: own(2, 2), occupancy: own(3, 8), latency: own(4, 8) };
}
