/**
 * Packet reports (RFC 5476, section 6.4): a template for each combination of what samples have. The number of a template says which, so that
 * it never means something else, not even after a restart; it is even.
 *
 * @module
 */
import {
  DATA_LINK_FRAME_SECTION,
  DATA_LINK_FRAME_SIZE,
  DATA_LINK_FRAME_TYPE,
  DESTINATION_IPV4_ADDRESS,
  DESTINATION_IPV6_ADDRESS,
  DESTINATION_PORT,
  DOT1Q_VLAN_ID,
  EGRESS_INTERFACE,
  type Element,
  type EnterpriseElements,
  FLOW_DIRECTION,
  FLOW_END_MILLISECONDS,
  FLOW_START_MILLISECONDS,
  INGRESS_INTERFACE,
  IP_CLASS_OF_SERVICE,
  IP_HEADER_PACKET_SECTION,
  IP_VERSION,
  LAYER2_OCTET_DELTA_COUNT,
  LAYER2_SEGMENT_ID,
  OBSERVATION_POINT_ID,
  OBSERVATION_TIME_NANOSECONDS,
  OCTET_DELTA_COUNT,
  PACKET_DELTA_COUNT,
  PROTOCOL_IDENTIFIER,
  SELECTION_SEQUENCE_ID,
  SELECTOR_ID,
  SOURCE_IPV4_ADDRESS,
  SOURCE_IPV6_ADDRESS,
  SOURCE_PORT,
  VLAN_ID,
} from "./elements.ts";
import { Template } from "./template.ts";

/** What a packet begins with, in the lowest three bits. */
export const SECTION = 7;
export const FRAME_SECTION = 0;
/** Nothing of the packet was captured. */
export const NO_SECTION = 1;
/** IP without a frame, which few collectors look into: with the fields of its headers. */
export const IPV4_SECTION = 2;
export const IPV6_SECTION = 3;
/** The same, but the header is not whole. */
export const BROKEN_SECTION = 4;
/** Other features, a bit each. */
export const HAS_POINT = 8;
export const HAS_SEGMENT = 16;
export const HAS_VLAN = 32;
/** The size does not fit into 16 bits. */
export const IS_BIG = 64;
export const HAS_MILLISECONDS = 128;
export const HAS_COOKIE = 256;
export const HAS_QUEUE = 512;
export const HAS_OCCUPANCY = 1024;
export const HAS_LATENCY = 2048;

const FIRST_ID = 256;

/** The template of reports with these features. */
export function reportTemplate(features: number, own: EnterpriseElements | undefined): Template {
  const has = (feature: number): boolean => (features & feature) !== 0;
  const fields: Element[] = [SELECTION_SEQUENCE_ID, SELECTOR_ID, OBSERVATION_TIME_NANOSECONDS];
  if (has(HAS_MILLISECONDS)) fields.push(FLOW_START_MILLISECONDS, FLOW_END_MILLISECONDS);
  fields.push(INGRESS_INTERFACE, EGRESS_INTERFACE, FLOW_DIRECTION, DATA_LINK_FRAME_SIZE);
  if (has(IS_BIG)) fields.push(LAYER2_OCTET_DELTA_COUNT);
  if (has(HAS_POINT)) fields.push(OBSERVATION_POINT_ID);
  if (has(HAS_SEGMENT)) fields.push(LAYER2_SEGMENT_ID);
  // The older name is the one that more collectors read.
  if (has(HAS_VLAN)) fields.push(VLAN_ID, DOT1Q_VLAN_ID);
  if (own) {
    if (has(HAS_QUEUE)) fields.push(own.queue);
    if (has(HAS_OCCUPANCY)) fields.push(own.occupancy);
    if (has(HAS_LATENCY)) fields.push(own.latency);
    if (has(HAS_COOKIE)) fields.push(own.cookie);
  }
  const section = features & SECTION;
  if (section === IPV4_SECTION || section === IPV6_SECTION) {
    fields.push(IP_VERSION);
    if (section === IPV4_SECTION) fields.push(SOURCE_IPV4_ADDRESS, DESTINATION_IPV4_ADDRESS);
    else fields.push(SOURCE_IPV6_ADDRESS, DESTINATION_IPV6_ADDRESS);
    fields.push(SOURCE_PORT, DESTINATION_PORT, PROTOCOL_IDENTIFIER, IP_CLASS_OF_SERVICE, OCTET_DELTA_COUNT, PACKET_DELTA_COUNT);
  }
  if (section === FRAME_SECTION) fields.push(DATA_LINK_FRAME_TYPE, DATA_LINK_FRAME_SECTION);
  else if (section !== NO_SECTION) fields.push(IP_HEADER_PACKET_SECTION);
  return new Template(FIRST_ID + 2 * features, fields);
}
