/**
 * Fields of a packet that tell flows apart, under sFlow-RT's names. A name followed by `.1` stands for the packet inside a tunnel, `.2` for
 * one inside a tunnel in a tunnel.
 *
 * `ipsource`, `ipdestination`, `ipprotocol`, `sourceport` and `destinationport` cover IPv4 and IPv6, and TCP, UDP, UDP-Lite and SCTP;
 * the narrower names (`ip6source`, `tcpdestinationport`) exist only in their own packets.
 *
 * @module
 */
import { addressText, ipv4Text, ipv6Text } from "../wire/text.ts";
import { macText, nextLevel } from "./fields.ts";
import {
  AH,
  ARP,
  ETHERNET,
  GENEVE,
  GRE,
  GTPU,
  headerName,
  ICMP,
  ICMPV6,
  IPV4,
  IPV6,
  IPV6_EXTENSION,
  MPLS,
  SCTP,
  TCP,
  UDP,
  UDP_LITE,
  VLAN,
  VXLAN,
  VXLAN_GPE,
} from "./header.ts";
import type { Headers } from "./headers.ts";
import { protocolName } from "./protocol_names.ts";
import { tcpFlagsText } from "./transport.ts";

/**
 * Where a value is in all packets with the same headers.
 *
 * @category Packets
 */
export interface KeyPlace {
  /** Index of its header. */
  readonly header: number;
  /** Its offset in that header. */
  readonly offset: number;
  /** Its size in bytes; -1 if these packets do not have it. */
  readonly size: number;
}

/**
 * One field of a packet as a key.
 *
 * @category Packets
 */
export interface PacketKey {
  /** The name, as requested: `"ipsource.1"`. */
  readonly name: string;
  /** Maximum size of a value, in bytes. */
  readonly size: number;
  /**
   * Writes the value of a packet.
   *
   * @returns The number of bytes written from `at` on; -1 if the packet does not have it.
   */
  write(packet: Headers, into: Uint8Array, at: number): number;
  /**
   * Where the value is in every packet with the same kinds of headers; `undefined` if that depends on more than their kinds, or the value
   * is not in the packet verbatim.
   */
  place(packet: Headers): KeyPlace | undefined;
  /** The text of a value. */
  text(value: Uint8Array): string;
}

/** A field of a packet, between two of its headers. */
interface Field {
  readonly size: number;
  /** {@linkcode PacketKey.place} */
  readonly place?: (packet: Headers, from: number, end: number) => KeyPlace | undefined;
  readonly write: (packet: Headers, from: number, end: number, into: Uint8Array, at: number) => number;
  readonly text: (value: Uint8Array) => string;
}

const NOWHERE = -1;
const NO_PLACE: KeyPlace = { header: 0, offset: 0, size: NOWHERE };

/** Copies `size` bytes at `offset` in header `i`, if they were captured. */
function copy(packet: Headers, i: number, offset: number, size: number, into: Uint8Array, at: number): number {
  if (i < 0) return NOWHERE;
  const start = packet.offsets[i]! + offset;
  if (start + size > packet.end) return NOWHERE;
  const { bytes } = packet;
  for (let k = 0; k < size; k++) into[at + k] = bytes[start + k]!;
  return size;
}

/** Index of the first header of one of two kinds between `from` and `end`; -1 if there is none. */
function find(packet: Headers, from: number, end: number, kind: number, orKind = kind): number {
  const { kinds } = packet;
  for (let i = from; i < end; i++) if (kinds[i] === kind || kinds[i] === orKind) return i;
  return NOWHERE;
}

function number(value: Uint8Array): number {
  let result = 0;
  for (const byte of value) result = result * 256 + byte;
  return result;
}

const decimal = (value: Uint8Array): string => `${number(value)}`;

/** A field of `size` bytes at a fixed place in a header of one of two kinds. */
function fixed(kind: number, offset: number, size: number, text: (value: Uint8Array) => string, orKind = kind): Field {
  return {
    size,
    write: (packet, from, end, into, at) => copy(packet, find(packet, from, end, kind, orKind), offset, size, into, at),
    place: (packet, from, end) => {
      const header = find(packet, from, end, kind, orKind);
      return header < 0 ? NO_PLACE : { header, offset, size };
    },
    text,
  };
}

/** An IPv4 or IPv6 address: they differ in size. */
function address(offset4: number, offset6: number, isArp: number): Field {
  return {
    size: 16,
    write: (packet, from, end, into, at) => {
      const { kinds } = packet;
      for (let i = from; i < end; i++) {
        if (kinds[i] === IPV4) return copy(packet, i, offset4, 4, into, at);
        if (kinds[i] === IPV6) return copy(packet, i, offset6, 16, into, at);
        // ARP for IPv4 on Ethernet asks about addresses too (RFC 826).
        if (kinds[i] === ARP && packet.available(i) >= 28) {
          const start = packet.offsets[i]!;
          // Their place depends on the lengths of both kinds of address.
          if (packet.bytes[start + 4] === 6 && packet.bytes[start + 5] === 4) return copy(packet, i, isArp, 4, into, at);
        }
      }
      return NOWHERE;
    },
    place: ({ kinds }, from, end) => {
      for (let i = from; i < end; i++) {
        if (kinds[i] === IPV4) return { header: i, offset: offset4, size: 4 };
        if (kinds[i] === IPV6) return { header: i, offset: offset6, size: 16 };
        if (kinds[i] === ARP) return undefined;
      }
      return NO_PLACE;
    },
    text: addressText,
  };
}

/** A port of any protocol that has ports, or of one. */
function port(offset: number, kind?: number): Field {
  const header = ({ kinds }: Headers, from: number, end: number): number => {
    for (let i = from; i < end; i++) {
      const found = kinds[i]!;
      if (kind === undefined ? found === TCP || found === UDP || found === SCTP || found === UDP_LITE : found === kind) return i;
    }
    return NOWHERE;
  };
  return {
    size: 2,
    write: (packet, from, end, into, at) => copy(packet, header(packet, from, end), offset, 2, into, at),
    place: (packet, from, end) => {
      const i = header(packet, from, end);
      return i < 0 ? NO_PLACE : { header: i, offset, size: 2 };
    },
    text: decimal,
  };
}

/** The number of the protocol after the IP header and its extensions. */
function protocolAt(packet: Headers, from: number, end: number): number {
  const { kinds, offsets, bytes } = packet;
  let i = find(packet, from, end, IPV4, IPV6);
  if (i < 0) return NOWHERE;
  let at = offsets[i]! + (kinds[i] === IPV4 ? 9 : 6);
  while (++i < end && (kinds[i] === IPV6_EXTENSION || kinds[i] === AH)) at = offsets[i]!;
  return at < packet.end ? bytes[at]! : NOWHERE;
}

const IP_PROTOCOL: Field = {
  size: 1,
  write: (packet, from, end, into, at) => {
    const protocol = protocolAt(packet, from, end);
    if (protocol < 0) return NOWHERE;
    into[at] = protocol;
    return 1;
  },
  text: (value) => protocolName(value[0]!) ?? decimal(value),
};

/** Bits of a header's field. */
function bits(kind: number, offset: number, shift: number, mask: number, text = decimal, orKind = kind): Field {
  return {
    size: 2,
    write: (packet, from, end, into, at) => {
      const i = find(packet, from, end, kind, orKind);
      if (i < 0) return NOWHERE;
      const start = packet.offsets[i]! + offset;
      if (start + 2 > packet.end) return NOWHERE;
      const value = (packet.bytes[start]! << 8 | packet.bytes[start + 1]!) >> shift & mask;
      into[at] = value >> 8;
      into[at + 1] = value & 255;
      return 2;
    },
    text,
  };
}

/** The traffic class of IPv4 or IPv6, shifted by this many bits. */
function trafficClass(shift: number, kind?: number): Field {
  return {
    size: 1,
    write: (packet, from, end, into, at) => {
      const i = find(packet, from, end, kind ?? IPV4, kind ?? IPV6);
      if (i < 0 || packet.available(i) < 2) return NOWHERE;
      const start = packet.offsets[i]!;
      const { bytes } = packet;
      const value = packet.kinds[i] === IPV4 ? bytes[start + 1]! : (bytes[start]! << 4 | bytes[start + 1]! >> 4) & 0xff;
      into[at] = value >> shift;
      return 1;
    },
    text: decimal,
  };
}

/** The network identifier of a tunnel's header: 24 bits of VXLAN, Geneve and NVGRE. */
const VNI: Field = {
  size: 3,
  write: (packet, from, end, into, at) => {
    const { kinds } = packet;
    for (let i = from; i < end; i++) {
      if (kinds[i] === VXLAN || kinds[i] === GENEVE || kinds[i] === VXLAN_GPE) return copy(packet, i, 4, 3, into, at);
      // NVGRE: a key, and a frame inside (RFC 7637).
      if (kinds[i] === GRE && packet.available(i) >= 8) {
        const start = packet.offsets[i]!;
        const { bytes } = packet;
        if (bytes[start] === 0x20 && bytes[start + 2] === 0x65 && bytes[start + 3] === 0x58) return copy(packet, i, 4, 3, into, at);
      }
    }
    return NOWHERE;
  },
  text: decimal,
};

/** The label at the top of an MPLS stack, in the upper 20 bits. */
const MPLS_LABEL: Field = {
  size: 3,
  write: (packet, from, end, into, at) => {
    const size = copy(packet, find(packet, from, end, MPLS), 0, 3, into, at);
    // The rest of the third byte is the traffic class and the bottom of the stack: with it, packets with one label would have several keys.
    if (size > 0) into[at + 2]! &= 0xf0;
    return size;
  },
  text: (value) => `${number(value) >> 4}`,
};

/** The EtherType after the VLAN tags. */
const ETHERNET_PROTOCOL: Field = {
  size: 2,
  write: (packet, from, end, into, at) => {
    let i = find(packet, from, end, ETHERNET);
    if (i < 0) return NOWHERE;
    let offset = 12;
    while (i + 1 < end && packet.kinds[i + 1] === VLAN) {
      i++;
      offset = 2;
    }
    return copy(packet, i, offset, 2, into, at);
  },
  text: (value) => `0x${number(value).toString(16).padStart(4, "0")}`,
};

/** The kinds of the headers, one byte each. */
const STACK: Field = {
  size: 15,
  write: (packet, from, end, into, at) => {
    for (let i = from; i < end; i++) into[at + i - from] = packet.kinds[i]!;
    return end === from ? NOWHERE : end - from;
  },
  text: (value) => [...value].map(headerName).join("."),
};

const SOURCE = address(12, 8, 14);
const DESTINATION = address(16, 24, 24);

const FIELDS: Readonly<Record<string, Field>> = {
  macsource: fixed(ETHERNET, 6, 6, macText),
  macdestination: fixed(ETHERNET, 0, 6, macText),
  ethernetprotocol: ETHERNET_PROTOCOL,
  vlan: bits(VLAN, 0, 0, 0xfff),
  priority: bits(VLAN, 0, 13, 7),
  mplslabel: MPLS_LABEL,
  ipsource: SOURCE,
  ipdestination: DESTINATION,
  ip4source: fixed(IPV4, 12, 4, ipv4Text),
  ip4destination: fixed(IPV4, 16, 4, ipv4Text),
  ip6source: fixed(IPV6, 8, 16, ipv6Text),
  ip6destination: fixed(IPV6, 24, 16, ipv6Text),
  ipprotocol: IP_PROTOCOL,
  ip6nexthdr: {
    ...IP_PROTOCOL,
    write: (packet, from, end, into, at) => find(packet, from, end, IPV6) < 0 ? NOWHERE : IP_PROTOCOL.write(packet, from, end, into, at),
  },
  iptos: trafficClass(0),
  ip6tos: trafficClass(0, IPV6),
  ipdscp: trafficClass(2),
  ipttl: {
    size: 1,
    write: (packet, from, end, into, at) => {
      const i = find(packet, from, end, IPV4, IPV6);
      return i < 0 ? NOWHERE : copy(packet, i, packet.kinds[i] === IPV4 ? 8 : 7, 1, into, at);
    },
    text: decimal,
  },
  sourceport: port(0),
  destinationport: port(2),
  tcpsourceport: port(0, TCP),
  tcpdestinationport: port(2, TCP),
  udpsourceport: port(0, UDP),
  udpdestinationport: port(2, UDP),
  sctpsourceport: port(0, SCTP),
  sctpdestinationport: port(2, SCTP),
  tcpflags: bits(TCP, 12, 0, 0x1ff, (value) => tcpFlagsText(number(value))),
  icmptype: fixed(ICMP, 0, 1, decimal, ICMPV6),
  icmpcode: fixed(ICMP, 1, 1, decimal, ICMPV6),
  vni: VNI,
  gtpteid: fixed(GTPU, 4, 4, decimal),
  stack: STACK,
};

/**
 * The names of all keys of packets, without `.1` and `subnet:`.
 *
 * @category Packets
 */
export const PACKET_KEYS: readonly string[] = Object.keys(FIELDS);

/**
 * The key of this name; `undefined` if there is none. Besides {@linkcode PACKET_KEYS} there is `subnet:/24`, the source and destination
 * networks with prefixes of this length (of IPv6 with four times as many bits), and every name followed by `.1`, `.2` and so on.
 *
 * @category Packets
 */
export function packetKey(name: string): PacketKey | undefined {
  const [, base, level] = /^(.*?)(?:\.(\d))?$/.exec(name)!;
  const field = Object.hasOwn(FIELDS, base!) ? FIELDS[base!] : subnet(base!);
  if (!field) return undefined;
  const depth = Number(level ?? 0);
  return {
    name,
    size: field.size,
    text: field.text,
    write: (packet, into, at) => {
      // The whole stack is that of all levels.
      if (depth === 0 && field === STACK) return field.write(packet, 0, packet.count, into, at);
      const from = levelStart(packet, depth);
      return from < 0 ? NOWHERE : field.write(packet, from, nextLevel(packet, from), into, at);
    },
    place: (packet) => {
      if (!field.place) return undefined;
      const from = levelStart(packet, depth);
      return from < 0 ? NO_PLACE : field.place(packet, from, nextLevel(packet, from));
    },
  };
}

/** Index of the first header of the packet inside this many tunnels; -1 if there are fewer. */
function levelStart(packet: Headers, depth: number): number {
  let from = 0;
  for (let i = 0; i < depth; i++) {
    from = nextLevel(packet, from);
    if (from >= packet.count) return NOWHERE;
  }
  return from;
}

/** `subnet:/24`: the source and the destination network, in this order. */
function subnet(name: string): Field | undefined {
  const [, digits] = /^subnet:\/(\d{1,2})$/.exec(name) ?? [];
  const bits4 = Number(digits);
  if (digits === undefined || bits4 > 32) return undefined;
  const bitsOf = (size: number): number => size === 4 ? bits4 : 4 * bits4;
  const mask = (into: Uint8Array, at: number, size: number): void => {
    const kept = bitsOf(size);
    for (let i = 0; i < size; i++) into[at + i]! &= 0xff00 >> Math.min(8, Math.max(0, kept - 8 * i));
  };
  const text = (value: Uint8Array): string => `${addressText(value)}/${bitsOf(value.length)}`;
  return {
    size: 32,
    write: (packet, from, end, into, at) => {
      const size = SOURCE.write(packet, from, end, into, at);
      if (size < 0 || DESTINATION.write(packet, from, end, into, at + size) !== size) return NOWHERE;
      mask(into, at, size);
      mask(into, at + size, size);
      return 2 * size;
    },
    text: (value) => `${text(value.subarray(0, value.length / 2))} > ${text(value.subarray(value.length / 2))}`,
  };
}
