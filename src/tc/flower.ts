/**
 * The classifier `flower`: header fields by name. It has more keys than these; others are kept undecoded.
 * Source: include/uapi/linux/pkt_cls.h, net/sched/cls_flower.c.
 */
import { ArgumentError } from "../errors.ts";
import { IPPROTO_ICMP, IPPROTO_ICMPV6, IPPROTO_SCTP, IPPROTO_TCP, IPPROTO_UDP } from "../wire/ip_protocols.ts";
import type { AttrReader } from "../wire/attr_reader.ts";
import type { AttrWriter } from "../wire/attr_writer.ts";
import { type Action, type ActionSpec, readActions, writeActions } from "./action.ts";
import type { MaskedAddress } from "./address.ts";
import { keepUnknown, type UnknownAttribute } from "./tcmsg.ts";

// include/uapi/linux/pkt_cls.h
const TCA_FLOWER_CLASSID = 1;
const TCA_FLOWER_INDEV = 2;
const TCA_FLOWER_ACT = 3;
const TCA_FLOWER_KEY_ETH_DST = 4;
const TCA_FLOWER_KEY_ETH_DST_MASK = 5;
const TCA_FLOWER_KEY_ETH_SRC = 6;
const TCA_FLOWER_KEY_ETH_SRC_MASK = 7;
const TCA_FLOWER_KEY_ETH_TYPE = 8;
const TCA_FLOWER_KEY_IP_PROTO = 9;
const TCA_FLOWER_KEY_IPV4_SRC = 10;
const TCA_FLOWER_KEY_IPV4_SRC_MASK = 11;
const TCA_FLOWER_KEY_IPV4_DST = 12;
const TCA_FLOWER_KEY_IPV4_DST_MASK = 13;
const TCA_FLOWER_KEY_IPV6_SRC = 14;
const TCA_FLOWER_KEY_IPV6_SRC_MASK = 15;
const TCA_FLOWER_KEY_IPV6_DST = 16;
const TCA_FLOWER_KEY_IPV6_DST_MASK = 17;
const TCA_FLOWER_KEY_TCP_SRC = 18;
const TCA_FLOWER_KEY_TCP_DST = 19;
const TCA_FLOWER_KEY_UDP_SRC = 20;
const TCA_FLOWER_KEY_UDP_DST = 21;
const TCA_FLOWER_FLAGS = 22;
const TCA_FLOWER_KEY_VLAN_ID = 23;
const TCA_FLOWER_KEY_VLAN_PRIO = 24;
const TCA_FLOWER_KEY_VLAN_ETH_TYPE = 25;
const TCA_FLOWER_KEY_TCP_SRC_MASK = 35;
const TCA_FLOWER_KEY_TCP_DST_MASK = 36;
const TCA_FLOWER_KEY_UDP_SRC_MASK = 37;
const TCA_FLOWER_KEY_UDP_DST_MASK = 38;
const TCA_FLOWER_KEY_SCTP_SRC_MASK = 39;
const TCA_FLOWER_KEY_SCTP_DST_MASK = 40;
const TCA_FLOWER_KEY_SCTP_SRC = 41;
const TCA_FLOWER_KEY_SCTP_DST = 42;
const TCA_FLOWER_KEY_FLAGS = 47;
const TCA_FLOWER_KEY_FLAGS_MASK = 48;
const TCA_FLOWER_KEY_ICMPV4_CODE = 49;
const TCA_FLOWER_KEY_ICMPV4_CODE_MASK = 50;
const TCA_FLOWER_KEY_ICMPV4_TYPE = 51;
const TCA_FLOWER_KEY_ICMPV4_TYPE_MASK = 52;
const TCA_FLOWER_KEY_ICMPV6_CODE = 53;
const TCA_FLOWER_KEY_ICMPV6_CODE_MASK = 54;
const TCA_FLOWER_KEY_ICMPV6_TYPE = 55;
const TCA_FLOWER_KEY_ICMPV6_TYPE_MASK = 56;
const TCA_FLOWER_KEY_ARP_SIP = 57;
const TCA_FLOWER_KEY_ARP_SIP_MASK = 58;
const TCA_FLOWER_KEY_ARP_TIP = 59;
const TCA_FLOWER_KEY_ARP_TIP_MASK = 60;
const TCA_FLOWER_KEY_ARP_OP = 61;
const TCA_FLOWER_KEY_ARP_OP_MASK = 62;
const TCA_FLOWER_KEY_ARP_SHA = 63;
const TCA_FLOWER_KEY_ARP_SHA_MASK = 64;
const TCA_FLOWER_KEY_ARP_THA = 65;
const TCA_FLOWER_KEY_ARP_THA_MASK = 66;
const TCA_FLOWER_KEY_TCP_FLAGS = 71;
const TCA_FLOWER_KEY_TCP_FLAGS_MASK = 72;
const TCA_FLOWER_KEY_IP_TOS = 73;
const TCA_FLOWER_KEY_IP_TOS_MASK = 74;
const TCA_FLOWER_KEY_IP_TTL = 75;
const TCA_FLOWER_KEY_IP_TTL_MASK = 76;
const TCA_FLOWER_KEY_CVLAN_ID = 77;
const TCA_FLOWER_KEY_CVLAN_PRIO = 78;
const TCA_FLOWER_KEY_CVLAN_ETH_TYPE = 79;
const TCA_FLOWER_IN_HW_COUNT = 86;
const TCA_FLOWER_KEY_PORT_SRC_MIN = 87;
const TCA_FLOWER_KEY_PORT_SRC_MAX = 88;
const TCA_FLOWER_KEY_PORT_DST_MIN = 89;
const TCA_FLOWER_KEY_PORT_DST_MAX = 90;
const TCA_FLOWER_KEY_NUM_OF_VLANS = 102;

/** A number, and the mask of its bits that count. */
export interface MaskedNumber {
  /** The number. */
  readonly value: number;
  /** The bits that are compared; all of them if `undefined`. */
  readonly mask: number | undefined;
}

/** A range of ports, both ends included. */
export interface PortRange {
  /** The first port. */
  readonly from: number;
  /** The last port, greater than the first. */
  readonly to: number;
}

/** The header fields that must all match. An absent field matches anything. */
export interface FlowerKeys {
  /** The device that packets must come from. */
  inputDevice?: string | undefined;
  /** Number of VLAN tags. */
  vlanCount?: number | undefined;
  /** The outer VLAN's number. */
  vlanId?: number | undefined;
  /** The outer VLAN's priority. */
  vlanPriority?: number | undefined;
  /** The EtherType after the outer VLAN tag. */
  vlanEtherType?: number | undefined;
  /** The inner VLAN's number. */
  cvlanId?: number | undefined;
  /** The inner VLAN's priority. */
  cvlanPriority?: number | undefined;
  /** The EtherType after the inner VLAN tag. */
  cvlanEtherType?: number | undefined;
  /** The Ethernet destination. */
  destinationMac?: MaskedAddress | undefined;
  /** The Ethernet source. */
  sourceMac?: MaskedAddress | undefined;
  /** The EtherType: in a request the filter's protocol, in an answer the innermost EtherType. */
  etherType?: number | undefined;
  /** The IP protocol, IPPROTO_*. */
  ipProtocol?: number | undefined;
  /** The traffic class or type of service. */
  tos?: MaskedNumber | undefined;
  /** The hop limit or time to live. */
  ttl?: MaskedNumber | undefined;
  /** The IP destination, 4 or 16 bytes. */
  destination?: MaskedAddress | undefined;
  /** The IP source, 4 or 16 bytes. */
  source?: MaskedAddress | undefined;
  /** The destination port. */
  destinationPort?: MaskedNumber | undefined;
  /** The source port. */
  sourcePort?: MaskedNumber | undefined;
  /** Destination ports. */
  destinationPorts?: PortRange | undefined;
  /** Source ports. */
  sourcePorts?: PortRange | undefined;
  /** The flags of the TCP header. */
  tcpFlags?: MaskedNumber | undefined;
  /** The ICMP or ICMPv6 type. */
  icmpType?: MaskedNumber | undefined;
  /** The ICMP or ICMPv6 code. */
  icmpCode?: MaskedNumber | undefined;
  /** Fragments: 1 is a fragment, 2 is the first. */
  ipFlags?: MaskedNumber | undefined;
  /** The sender's IPv4 address in ARP. */
  arpSource?: MaskedAddress | undefined;
  /** The target's IPv4 address in ARP. */
  arpTarget?: MaskedAddress | undefined;
  /** 1 request, 2 reply. */
  arpOperation?: MaskedNumber | undefined;
  /** The sender's Ethernet address in ARP. */
  arpSourceMac?: MaskedAddress | undefined;
  /** The target's Ethernet address in ARP. */
  arpTargetMac?: MaskedAddress | undefined;
}

/** A flower filter as the kernel describes it. */
export interface Flower {
  /** The kind of classifier. */
  readonly kind: "flower";
  /** The class that packets are put into. */
  readonly classId: number | undefined;
  /** What is matched. */
  readonly keys: Readonly<FlowerKeys>;
  /** TCA_CLS_FLAGS_*. */
  readonly flags: number | undefined;
  /** On how many devices hardware performs the matching. */
  readonly inHardwareCount: number | undefined;
  /** What is done with the packets, in order. */
  readonly actions: readonly Action[] | undefined;
  /** What else the kernel sent, including keys that are not in {@linkcode FlowerKeys}. */
  readonly unknown: readonly UnknownAttribute[];
}

/** A flower filter to create. */
export interface FlowerSpec {
  /** The kind of classifier. */
  kind: "flower";
  /** The class to put packets into. */
  classId?: number | undefined;
  /** What to match; empty matches everything. */
  keys?: Readonly<FlowerKeys> | undefined;
  /** TCA_CLS_FLAGS_SKIP_HW, TCA_CLS_FLAGS_SKIP_SW, TCA_CLS_FLAGS_VERBOSE. */
  flags?: number | undefined;
  /** What to do with the packets, in order. */
  actions?: readonly ActionSpec[] | undefined;
}

/** Reads the attributes inside TCA_OPTIONS. */
export function readFlower(attr: AttrReader): Flower {
  let classId: number | undefined;
  let flags: number | undefined;
  let inHardwareCount: number | undefined;
  let actions: Action[] | undefined;
  const keys: FlowerKeys = {};
  const values = new Map<number, Uint8Array>();
  const numbers = new Map<number, number>();
  const unknown: UnknownAttribute[] = [];
  while (attr.next()) {
    const { type } = attr;
    switch (type) {
      case TCA_FLOWER_CLASSID:
        classId = attr.u32();
        break;
      case TCA_FLOWER_INDEV:
        keys.inputDevice = attr.string();
        break;
      case TCA_FLOWER_ACT:
        actions = readActions(attr.nested());
        break;
      case TCA_FLOWER_FLAGS:
        flags = attr.u32();
        break;
      case TCA_FLOWER_IN_HW_COUNT:
        inHardwareCount = attr.u32();
        break;
      default: {
        const width = WIDTHS.get(type);
        if (width === undefined) unknown.push(keepUnknown(attr));
        else if (width === "address") values.set(type, attr.bytes());
        else numbers.set(type, READ[width](attr));
      }
    }
  }
  for (const key of KEYS) {
    switch (key.shape) {
      case "number":
        if (numbers.has(key.type)) keys[key.name] = numbers.get(key.type);
        break;
      case "masked": {
        const value = numbers.get(key.type);
        if (value !== undefined) keys[key.name] = { value, mask: numbers.get(key.mask) };
        break;
      }
      case "address": {
        const address = values.get(key.type);
        if (!address) break;
        // A key and its mask come together; without a mask the whole address counts.
        const mask = values.get(key.mask) ?? new Uint8Array(address.length).fill(0xff);
        if (address.length !== key.size || mask.length !== key.size) {
          unknown.push({ type: key.type, value: address }, { type: key.mask, value: mask });
        } else {
          keys[key.name] = { address, mask };
        }
        break;
      }
      case "range": {
        const from = numbers.get(key.type);
        const to = numbers.get(key.mask);
        if (from !== undefined && to !== undefined) keys[key.name] = { from, to };
        break;
      }
    }
  }
  return { kind: "flower", classId, keys, flags, inHardwareCount, actions, unknown };
}

/**
 * Writes the attributes inside TCA_OPTIONS, in the order in which iproute2's manual names them.
 *
 * @throws {ArgumentError} if a key needs another one that is missing: ports an IP protocol, ICMP types their protocol.
 */
export function writeFlower(writer: AttrWriter, spec: FlowerSpec): void {
  const keys = spec.keys ?? {};
  writer.u32(TCA_FLOWER_CLASSID, spec.classId);
  writer.string(TCA_FLOWER_INDEV, keys.inputDevice);
  const written = new Set<keyof FlowerKeys>();
  for (const key of KEYS) {
    // Several attributes may stand for one key: ports by protocol, addresses by family.
    const value = keys[key.name];
    if (value === undefined || key.type === TCA_FLOWER_KEY_FLAGS || key.type === TCA_FLOWER_KEY_ETH_TYPE) continue;
    if (key.protocol !== undefined && key.protocol !== keys.ipProtocol) continue;
    if (key.shape === "number") {
      WRITE[key.width](writer, key.type, value as number);
    } else if (key.shape === "masked") {
      const masked = value as MaskedNumber;
      WRITE[key.width](writer, key.type, masked.value);
      if (masked.mask !== undefined) WRITE[key.width](writer, key.mask, masked.mask);
    } else if (key.shape === "address") {
      const { address, mask } = value as MaskedAddress;
      if (address.length !== key.size) continue;
      writer.bytes(key.type, address).bytes(key.mask, mask);
    } else {
      const range = value as PortRange;
      WRITE[key.width](writer, key.type, range.from);
      WRITE[key.width](writer, key.mask, range.to);
    }
    written.add(key.name);
  }
  for (const [name, value] of Object.entries(keys)) {
    const key = name as keyof FlowerKeys;
    if (value === undefined || written.has(key) || key === "inputDevice" || key === "etherType" || key === "ipFlags") continue;
    throw new ArgumentError(
      `Cannot encode the flower key ${name}: ${
        keys.ipProtocol === undefined ? "it needs an IP protocol" : "it does not go with the IP protocol or address family"
      }`,
    );
  }
  writeActions(writer, TCA_FLOWER_ACT, spec.actions);
  // iproute2 always sends the flags, and the protocol last.
  writer.u32(TCA_FLOWER_FLAGS, spec.flags ?? 0);
  if (keys.ipFlags) writer.be32(TCA_FLOWER_KEY_FLAGS, keys.ipFlags.value).be32(TCA_FLOWER_KEY_FLAGS_MASK, keys.ipFlags.mask ?? 0xffffffff);
  writer.be16(TCA_FLOWER_KEY_ETH_TYPE, keys.etherType);
}

type Width = "u8" | "u16" | "be16" | "be32";

const READ: Readonly<Record<Width, (attr: AttrReader) => number>> = {
  u8: (attr) => attr.u8(),
  u16: (attr) => attr.u16(),
  be16: (attr) => attr.be16(),
  be32: (attr) => attr.be32(),
};

const WRITE: Readonly<Record<Width, (writer: AttrWriter, type: number, value: number) => void>> = {
  u8: (writer, type, value) => void writer.u8(type, value),
  u16: (writer, type, value) => void writer.u16(type, value),
  be16: (writer, type, value) => void writer.be16(type, value),
  be32: (writer, type, value) => void writer.be32(type, value),
};

/** The keys of {@linkcode FlowerKeys} whose value is a T. */
type KeysOf<T> = {
  [K in keyof FlowerKeys]-?: NonNullable<FlowerKeys[K]> extends T ? T extends NonNullable<FlowerKeys[K]> ? K : never : never;
}[
  keyof FlowerKeys
];

interface KeyBase {
  /** The attribute of the value, or of the first of a range. */
  readonly type: number;
  /** The IP protocol for which the key is this attribute. */
  readonly protocol?: number;
}

type Key =
  | KeyBase & { readonly shape: "number"; readonly name: KeysOf<number>; readonly width: Width }
  | KeyBase & { readonly shape: "masked"; readonly name: KeysOf<MaskedNumber>; readonly width: Width; readonly mask: number }
  | KeyBase & { readonly shape: "address"; readonly name: KeysOf<MaskedAddress>; readonly size: number; readonly mask: number }
  | KeyBase & { readonly shape: "range"; readonly name: KeysOf<PortRange>; readonly width: Width; readonly mask: number };

function number(name: KeysOf<number>, type: number, width: Width): Key {
  return { shape: "number", name, type, width };
}

function masked(name: KeysOf<MaskedNumber>, type: number, mask: number, width: Width, protocol?: number): Key {
  return { shape: "masked", name, type, mask, width, ...(protocol === undefined ? {} : { protocol }) };
}

function address(name: KeysOf<MaskedAddress>, type: number, mask: number, size: number): Key {
  return { shape: "address", name, type, mask, size };
}

function range(name: KeysOf<PortRange>, type: number, mask: number): Key {
  return { shape: "range", name, type, mask, width: "be16" };
}

/** All keys, in the order in which they are written. */
const KEYS: readonly Key[] = [
  number("vlanCount", TCA_FLOWER_KEY_NUM_OF_VLANS, "u8"),
  // The VLAN's number alone is in host byte order.
  number("vlanId", TCA_FLOWER_KEY_VLAN_ID, "u16"),
  number("vlanPriority", TCA_FLOWER_KEY_VLAN_PRIO, "u8"),
  number("vlanEtherType", TCA_FLOWER_KEY_VLAN_ETH_TYPE, "be16"),
  number("cvlanId", TCA_FLOWER_KEY_CVLAN_ID, "u16"),
  number("cvlanPriority", TCA_FLOWER_KEY_CVLAN_PRIO, "u8"),
  number("cvlanEtherType", TCA_FLOWER_KEY_CVLAN_ETH_TYPE, "be16"),
  address("destinationMac", TCA_FLOWER_KEY_ETH_DST, TCA_FLOWER_KEY_ETH_DST_MASK, 6),
  address("sourceMac", TCA_FLOWER_KEY_ETH_SRC, TCA_FLOWER_KEY_ETH_SRC_MASK, 6),
  number("ipProtocol", TCA_FLOWER_KEY_IP_PROTO, "u8"),
  masked("tos", TCA_FLOWER_KEY_IP_TOS, TCA_FLOWER_KEY_IP_TOS_MASK, "u8"),
  masked("ttl", TCA_FLOWER_KEY_IP_TTL, TCA_FLOWER_KEY_IP_TTL_MASK, "u8"),
  address("destination", TCA_FLOWER_KEY_IPV4_DST, TCA_FLOWER_KEY_IPV4_DST_MASK, 4),
  address("destination", TCA_FLOWER_KEY_IPV6_DST, TCA_FLOWER_KEY_IPV6_DST_MASK, 16),
  address("source", TCA_FLOWER_KEY_IPV4_SRC, TCA_FLOWER_KEY_IPV4_SRC_MASK, 4),
  address("source", TCA_FLOWER_KEY_IPV6_SRC, TCA_FLOWER_KEY_IPV6_SRC_MASK, 16),
  masked("destinationPort", TCA_FLOWER_KEY_TCP_DST, TCA_FLOWER_KEY_TCP_DST_MASK, "be16", IPPROTO_TCP),
  masked("destinationPort", TCA_FLOWER_KEY_UDP_DST, TCA_FLOWER_KEY_UDP_DST_MASK, "be16", IPPROTO_UDP),
  masked("destinationPort", TCA_FLOWER_KEY_SCTP_DST, TCA_FLOWER_KEY_SCTP_DST_MASK, "be16", IPPROTO_SCTP),
  range("destinationPorts", TCA_FLOWER_KEY_PORT_DST_MIN, TCA_FLOWER_KEY_PORT_DST_MAX),
  masked("sourcePort", TCA_FLOWER_KEY_TCP_SRC, TCA_FLOWER_KEY_TCP_SRC_MASK, "be16", IPPROTO_TCP),
  masked("sourcePort", TCA_FLOWER_KEY_UDP_SRC, TCA_FLOWER_KEY_UDP_SRC_MASK, "be16", IPPROTO_UDP),
  masked("sourcePort", TCA_FLOWER_KEY_SCTP_SRC, TCA_FLOWER_KEY_SCTP_SRC_MASK, "be16", IPPROTO_SCTP),
  range("sourcePorts", TCA_FLOWER_KEY_PORT_SRC_MIN, TCA_FLOWER_KEY_PORT_SRC_MAX),
  masked("tcpFlags", TCA_FLOWER_KEY_TCP_FLAGS, TCA_FLOWER_KEY_TCP_FLAGS_MASK, "be16"),
  masked("icmpType", TCA_FLOWER_KEY_ICMPV4_TYPE, TCA_FLOWER_KEY_ICMPV4_TYPE_MASK, "u8", IPPROTO_ICMP),
  masked("icmpType", TCA_FLOWER_KEY_ICMPV6_TYPE, TCA_FLOWER_KEY_ICMPV6_TYPE_MASK, "u8", IPPROTO_ICMPV6),
  masked("icmpCode", TCA_FLOWER_KEY_ICMPV4_CODE, TCA_FLOWER_KEY_ICMPV4_CODE_MASK, "u8", IPPROTO_ICMP),
  masked("icmpCode", TCA_FLOWER_KEY_ICMPV6_CODE, TCA_FLOWER_KEY_ICMPV6_CODE_MASK, "u8", IPPROTO_ICMPV6),
  address("arpSource", TCA_FLOWER_KEY_ARP_SIP, TCA_FLOWER_KEY_ARP_SIP_MASK, 4),
  address("arpTarget", TCA_FLOWER_KEY_ARP_TIP, TCA_FLOWER_KEY_ARP_TIP_MASK, 4),
  masked("arpOperation", TCA_FLOWER_KEY_ARP_OP, TCA_FLOWER_KEY_ARP_OP_MASK, "u8"),
  address("arpSourceMac", TCA_FLOWER_KEY_ARP_SHA, TCA_FLOWER_KEY_ARP_SHA_MASK, 6),
  address("arpTargetMac", TCA_FLOWER_KEY_ARP_THA, TCA_FLOWER_KEY_ARP_THA_MASK, 6),
  masked("ipFlags", TCA_FLOWER_KEY_FLAGS, TCA_FLOWER_KEY_FLAGS_MASK, "be32"),
  number("etherType", TCA_FLOWER_KEY_ETH_TYPE, "be16"),
];

/** How the value of each attribute is read. */
const WIDTHS: ReadonlyMap<number, Width | "address"> = new Map(
  KEYS.flatMap((key): [number, Width | "address"][] => {
    const width = key.shape === "address" ? "address" : key.width;
    return key.shape === "number" ? [[key.type, width]] : [[key.type, width], [key.mask, width]];
  }),
);
