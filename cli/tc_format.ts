/**
 * `psample tc`: what the kernel answered, as iproute2 6.1 prints it. Nothing here asks or writes.
 *
 * What this package does not decode is said to be there, where iproute2 would print it: a list never looks complete
 * when it is not.
 */
import type { Action, ActionMessage } from "../src/tc/action.ts";
import {
  TCA_ACT_FLAGS_NO_PERCPU_STATS,
  TCA_ACT_FLAGS_SKIP_HW,
  TCA_ACT_FLAGS_SKIP_SW,
  TCA_ACT_HW_STATS_DELAYED,
  TCA_ACT_HW_STATS_IMMEDIATE,
  TCA_ACT_MAX_PRIO,
} from "../src/tc/action.ts";
import { type MaskedAddress, prefixLength } from "../src/tc/address.ts";
import { type Control, encodeControl } from "../src/tc/control.ts";
import { ETH_P_ARP, ETH_P_IP, ETH_P_IPV6, ETH_P_RARP, etherTypeName } from "../src/tc/ether_types.ts";
import type { Filter } from "../src/tc/filter.ts";
import {
  type Flower,
  IPPROTO_ICMP,
  IPPROTO_ICMPV6,
  IPPROTO_SCTP,
  IPPROTO_TCP,
  IPPROTO_UDP,
  type MaskedNumber,
  type PortRange,
} from "../src/tc/flower.ts";
import type { GactAction } from "../src/tc/gact_action.ts";
import type { Matchall } from "../src/tc/matchall.ts";
import type { Qdisc } from "../src/tc/qdisc.ts";
import type { ActionAges, ActionParameters, SampleAction } from "../src/tc/sample_action.ts";
import type { Stats } from "../src/tc/stats.ts";
import {
  type Bitfield32,
  TC_H_CLSACT_EGRESS,
  TC_H_CLSACT_INGRESS,
  TC_H_ROOT,
  TC_H_UNSPEC,
  TCA_CLS_FLAGS_IN_HW,
  TCA_CLS_FLAGS_NOT_IN_HW,
  TCA_CLS_FLAGS_SKIP_HW,
  TCA_CLS_FLAGS_SKIP_SW,
  TCM_IFINDEX_MAGIC_BLOCK,
} from "../src/tc/tcmsg.ts";
import { TC_U32_EAT, TC_U32_OFFSET, TC_U32_TERMINAL, TC_U32_VAROFFSET, type U32, type U32Key } from "../src/tc/u32.ts";
import { ipv4Text, ipv6Text, toHex } from "../src/wire/text.ts";
import { jsonOutput, type TcOutput, textOutput } from "./tc_output.ts";
import type { TcOptions, TcView } from "./tc_parse.ts";

/** The name of a device. */
export type NameOf = (ifindex: number) => string | undefined;

/** Qdiscs as `tc qdisc show` prints them, those that the view leaves out left out. */
export function formatQdiscs(qdiscs: readonly Qdisc[], options: TcOptions, view: TcView, nameOf: NameOf): string {
  const out = output(options);
  for (const qdisc of qdiscs) {
    if (view.ifindex && view.ifindex !== qdisc.ifindex) continue;
    if (view.handle && view.handle !== qdisc.handle) continue;
    if (view.parent && view.parent !== qdisc.parent) continue;
    writeQdisc(out, qdisc, options, view, nameOf);
  }
  return out.finish();
}

/** Filters as `tc filter show` prints them. */
export function formatFilters(filters: readonly Filter[], options: TcOptions, view: TcView, nameOf: NameOf): string {
  const out = output(options);
  for (const filter of filters) writeFilter(out, filter, options, view, nameOf);
  return out.finish();
}

/** Actions as `tc actions list` and `tc actions get` print them. */
export function formatActions(messages: readonly ActionMessage[], options: TcOptions): string {
  const out = output(options);
  for (const message of messages) {
    out.open();
    out.field("total acts", message.count ?? 0, `total acts ${message.count ?? 0}`);
    out.line();
    out.close();
    if (message.actions.length === 0) continue;
    out.open();
    writeActions(out, message.actions, message.count || TCA_ACT_MAX_PRIO, options, false);
    out.close();
  }
  return out.finish();
}

function output(options: TcOptions): TcOutput {
  return options.json ? jsonOutput(options.pretty) : textOutput(options.oneline ? "\\" : "\n");
}

function hex(value: number): string {
  return value.toString(16);
}

function hex8(value: number): string {
  return hex(value).padStart(8, "0");
}

/** A handle as major:minor. */
function classText(handle: number): string {
  if (handle === TC_H_ROOT) return "root";
  if (handle === TC_H_UNSPEC) return "none";
  const major = handle >>> 16;
  const minor = handle & 0xffff;
  return `${major === 0 ? "" : hex(major)}:${minor === 0 ? "" : hex(minor)}`;
}

function protocolText(protocol: number): string {
  return etherTypeName(protocol) ?? `[${protocol}]`;
}

// qdisc

/** Kinds without options of their own to print. */
const BARE_QDISCS: ReadonlySet<string> = new Set(["clsact", "ingress", "noqueue", "mq"]);

function writeQdisc(out: TcOutput, qdisc: Qdisc, options: TcOptions, view: TcView, nameOf: NameOf): void {
  const { kind, handle, parent, referenceCount } = qdisc;
  out.open();
  out.field("kind", kind, `qdisc ${kind}`);
  const number = `${hex(handle >>> 16)}:`;
  out.field("handle", number, ` ${number}`);
  if (options.raw) out.text(`[${hex8(handle)}]`);
  out.text(" ");
  if (!view.ifindex) writeDevice(out, qdisc.ifindex, nameOf);
  if (parent === TC_H_ROOT) out.field("root", true, "root ");
  else if (parent) out.field("parent", classText(parent), `parent ${classText(parent)} `);
  if (referenceCount !== 1) out.field("refcnt", referenceCount, `refcnt ${referenceCount} `);
  if (qdisc.offloaded) out.field("offloaded", true, "offloaded ");
  if (qdisc.ingressBlock) out.field("ingress_block", qdisc.ingressBlock, `ingress_block ${qdisc.ingressBlock} `);
  if (qdisc.egressBlock) out.field("egress_block", qdisc.egressBlock, `egress_block ${qdisc.egressBlock} `);
  out.open("options");
  if (qdisc.options) {
    if (kind === "ingress") out.text("---------------- ");
    else if (qdisc.options.length > 0 && !BARE_QDISCS.has(kind)) out.field("bytes", toHex(qdisc.options), "[options: see tc] ");
  }
  out.close();
  out.line();
  if (options.stats && qdisc.stats) {
    writeStats(out, qdisc.stats, " ");
    out.line();
  }
  out.close();
}

function writeDevice(out: TcOutput, ifindex: number, nameOf: NameOf): void {
  const name = ifindex === 0 ? "*" : nameOf(ifindex) ?? `if${ifindex}`;
  out.field("dev", name, `dev ${name} `);
}

// counters

/** A number of bytes, as iproute2 shortens it: only where next to nothing is lost. */
function sizeText(bytes: number): string {
  for (const [unit, name, slack] of [[1024 * 1024, "Mb", 1024], [1024, "Kb", 16]] as const) {
    const rounded = Math.round(bytes / unit);
    if (bytes >= unit && Math.abs(rounded * unit - bytes) < slack) return `${rounded}${name}`;
  }
  return `${bytes}b`;
}

function writeStats(out: TcOutput, stats: Stats, prefix: string): void {
  const { bytes, packets, hardwareBytes, hardwarePackets, drops, overlimits, requeues, backlogBytes, queueLength } = stats;
  if (bytes !== undefined && packets !== undefined) {
    out.text(prefix);
    out.field("bytes", bytes, `Sent ${bytes} bytes`);
    out.field("packets", packets, ` ${packets} pkt`);
  }
  const queue = drops !== undefined && overlimits !== undefined && requeues !== undefined;
  if (queue) {
    out.field("drops", drops, ` (dropped ${drops}`);
    out.field("overlimits", overlimits, `, overlimits ${overlimits}`);
    out.field("requeues", requeues, ` requeues ${requeues}) `);
  }
  if (hardwareBytes || hardwarePackets) {
    const inHardware = { bytes: hardwareBytes ?? 0n, packets: hardwarePackets ?? 0n };
    if (bytes !== undefined && packets !== undefined && bytes >= inHardware.bytes && packets >= inHardware.packets) {
      out.line();
      out.text(prefix);
      out.field("sw_bytes", bytes - inHardware.bytes, `Sent software ${bytes - inHardware.bytes} bytes`);
      out.field("sw_packets", packets - inHardware.packets, ` ${packets - inHardware.packets} pkt`);
    }
    out.line();
    out.text(prefix);
    out.field("hw_bytes", inHardware.bytes, `Sent hardware ${inHardware.bytes} bytes`);
    out.field("hw_packets", inHardware.packets, ` ${inHardware.packets} pkt`);
  }
  if (queue && backlogBytes !== undefined && queueLength !== undefined) {
    out.line();
    out.text(prefix);
    out.field("backlog", backlogBytes, `backlog ${sizeText(backlogBytes)}`);
    out.field("qlen", queueLength, ` ${queueLength}p`);
    out.text(` requeues ${requeues}`);
  }
}

// filter

function writeFilter(out: TcOutput, filter: Filter, options: TcOptions, view: TcView, nameOf: NameOf): void {
  const { ifindex, parent, preference, protocol, kind, chain, classifier } = filter;
  out.open();
  out.text("filter ");
  if (ifindex === TCM_IFINDEX_MAGIC_BLOCK) {
    out.field("block", parent, `block ${parent} `);
  } else {
    if (!view.ifindex || view.ifindex !== ifindex) writeDevice(out, ifindex, nameOf);
    if (!view.parent || view.parent !== parent) {
      if (parent === TC_H_ROOT) out.field("root", true, "root ");
      else if (parent === TC_H_CLSACT_INGRESS) out.field("ingress", true, "ingress ");
      else if (parent === TC_H_CLSACT_EGRESS) out.field("egress", true, "egress ");
      else out.field("parent", classText(parent), `parent ${classText(parent)} `);
    }
  }
  if (protocol && view.protocol !== protocol) {
    out.field("protocol", protocolText(protocol), `protocol ${protocolText(protocol)} `);
  }
  if (preference && view.preference !== preference) out.field("pref", preference, `pref ${preference} `);
  out.field("kind", kind, `${kind} `);
  if (chain !== undefined && view.chain !== chain) out.field("chain", chain, `chain ${chain} `);
  if (classifier) {
    out.open("options");
    if (classifier.kind === "matchall") writeMatchall(out, classifier, filter.handle, options);
    else if (classifier.kind === "flower") writeFlower(out, classifier, filter.handle, options);
    else if (classifier.kind === "u32") writeU32(out, classifier, filter, options);
    else {
      writeHandle(out, filter.handle);
      out.field("bytes", toHex(classifier.bytes), "[options: see tc] ");
    }
    out.close();
  }
  out.line();
  out.close();
}

function writeHandle(out: TcOutput, handle: number): void {
  if (handle) out.field("handle", handle, `handle 0x${hex(handle)} `);
}

function writeMatchall(out: TcOutput, matchall: Matchall, handle: number, options: TcOptions): void {
  const { classId, flags = 0, hits, actions } = matchall;
  writeHandle(out, handle);
  if (classId !== undefined) out.field("flowid", classText(classId), `flowid ${classText(classId)} `);
  // These lines end in a newline whatever -oneline says.
  if (flags & TCA_CLS_FLAGS_SKIP_HW) out.field("skip_hw", true, "\n  skip_hw");
  if (flags & TCA_CLS_FLAGS_SKIP_SW) out.field("skip_sw", true, "\n  skip_sw");
  if (flags & TCA_CLS_FLAGS_IN_HW) out.field("in_hw", true, "\n  in_hw");
  else if (flags & TCA_CLS_FLAGS_NOT_IN_HW) out.field("not_in_hw", true, "\n  not_in_hw");
  if (options.stats && hits !== undefined) out.field("rule_hit", hits, ` (rule hit ${hits})`);
  if (actions) writeActions(out, actions, TCA_ACT_MAX_PRIO, options, true);
}

// flower

/** TC_H_MIN_PRIORITY and the 16 hardware queues behind it: a class that stands for a traffic class of the device. */
const FIRST_HARDWARE_TC = 0xffe0;

const PROTOCOL_NAMES: ReadonlyMap<number, string> = new Map([
  [IPPROTO_TCP, "tcp"],
  [IPPROTO_UDP, "udp"],
  [IPPROTO_SCTP, "sctp"],
  [IPPROTO_ICMP, "icmp"],
  [IPPROTO_ICMPV6, "icmpv6"],
]);

const ETH_TYPE_NAMES: ReadonlyMap<number, string> = new Map([
  [ETH_P_IP, "ipv4"],
  [ETH_P_IPV6, "ipv6"],
  [ETH_P_ARP, "arp"],
  [ETH_P_RARP, "rarp"],
]);

function writeFlower(out: TcOutput, flower: Flower, handle: number, options: TcOptions): void {
  const { keys, flags = 0, classId, inHardwareCount, actions } = flower;
  const line = (name: string, value: string | number, text = `${value}`): void => {
    out.line();
    out.field(name, value, `  ${name} ${text}`);
  };
  const number = (name: string, value: number | undefined): void => {
    if (value !== undefined) line(name, value);
  };
  const type = (name: string, value: number | undefined): void => {
    if (value !== undefined) line(name, protocolText(value));
  };
  const maskedNumber = (name: string, field: MaskedNumber | undefined, full: number): void => {
    if (!field) return;
    number(name, field.value);
    if (field.mask === undefined || field.mask === full) return;
    out.field(`${name}_mask`, hex(field.mask), `/0x${hex(field.mask)}`);
  };
  // ICMP and ARP fields have another form than the rest: value and mask in one piece of text, in decimal.
  const maskedText = (name: string, field: MaskedNumber | undefined, names?: ReadonlyMap<number, string>): void => {
    if (!field) return;
    const full = field.mask === undefined || field.mask === 0xff;
    const value = (full ? names?.get(field.value) : undefined) ?? `${field.value}`;
    line(name, full ? value : `${value}/${field.mask}`);
  };
  const address = (name: string, field: MaskedAddress | undefined): void => {
    if (field) line(name, maskedAddressText(field));
  };
  const range = (name: string, field: PortRange | undefined): void => {
    if (!field) return;
    out.line();
    out.text(`  ${name} ${field.from}-${field.to}`);
    out.open(name);
    out.json("start", field.from);
    out.json("end", field.to);
    out.close();
  };

  writeHandle(out, handle);
  if (classId !== undefined) {
    const queue = (classId & 0xffff) - FIRST_HARDWARE_TC;
    if (queue >= 0 && queue < 16) out.field("hw_tc", queue, `hw_tc ${queue} `);
    else out.field("classid", classText(classId), `classid ${classText(classId)} `);
  }
  if (keys.inputDevice !== undefined) line("indev", keys.inputDevice);

  out.open("keys");
  number("num_of_vlans", keys.vlanCount);
  number("vlan_id", keys.vlanId);
  number("vlan_prio", keys.vlanPriority);
  type("vlan_ethtype", keys.vlanEtherType);
  number("cvlan_id", keys.cvlanId);
  number("cvlan_prio", keys.cvlanPriority);
  type("cvlan_ethtype", keys.cvlanEtherType);
  address("dst_mac", keys.destinationMac);
  address("src_mac", keys.sourceMac);
  if (keys.etherType !== undefined) line("eth_type", ETH_TYPE_NAMES.get(keys.etherType) ?? hex(keys.etherType).padStart(4, "0"));
  if (keys.ipProtocol !== undefined) line("ip_proto", PROTOCOL_NAMES.get(keys.ipProtocol) ?? hex(keys.ipProtocol).padStart(2, "0"));
  maskedNumber("ip_tos", keys.tos, 0xff);
  maskedNumber("ip_ttl", keys.ttl, 0xff);
  address("dst_ip", keys.destination);
  address("src_ip", keys.source);
  maskedNumber("dst_port", keys.destinationPort, 0xffff);
  maskedNumber("src_port", keys.sourcePort, 0xffff);
  range("dst_port", keys.destinationPorts);
  range("src_port", keys.sourcePorts);
  if (keys.tcpFlags) {
    const mask = keys.tcpFlags.mask === undefined ? "" : `/${hex(keys.tcpFlags.mask)}`;
    line("tcp_flags", `0x${hex(keys.tcpFlags.value)}${mask}`);
  }
  maskedText("icmp_type", keys.icmpType);
  maskedText("icmp_code", keys.icmpCode);
  address("arp_sip", keys.arpSource);
  address("arp_tip", keys.arpTarget);
  maskedText("arp_op", keys.arpOperation, ARP_OPERATIONS);
  address("arp_sha", keys.arpSourceMac);
  address("arp_tha", keys.arpTargetMac);
  writeFragments(out, keys.ipFlags);
  for (const { type, value } of flower.unknown) line(`key_${type}`, toHex(value), `${toHex(value)} [see tc]`);
  out.close();

  for (const [bit, name] of [[TCA_CLS_FLAGS_SKIP_HW, "skip_hw"], [TCA_CLS_FLAGS_SKIP_SW, "skip_sw"]] as const) {
    if (!(flags & bit)) continue;
    out.line();
    out.field(name, true, `  ${name}`);
  }
  if (flags & TCA_CLS_FLAGS_IN_HW) {
    out.line();
    out.field("in_hw", true, "  in_hw");
    if (inHardwareCount !== undefined) out.field("in_hw_count", inHardwareCount, ` in_hw_count ${inHardwareCount}`);
  } else if (flags & TCA_CLS_FLAGS_NOT_IN_HW) {
    out.line();
    out.field("not_in_hw", true, "  not_in_hw");
  }
  if (actions) writeActions(out, actions, TCA_ACT_MAX_PRIO, options, true);
}

const ARP_OPERATIONS: ReadonlyMap<number, string> = new Map([[1, "request"], [2, "reply"]]);

const FRAGMENTS = [[1, "frag"], [2, "firstfrag"]] as const;

function writeFragments(out: TcOutput, flags: MaskedNumber | undefined): void {
  if (!flags) return;
  const meant = FRAGMENTS.filter(([bit]) => (flags.mask ?? 0xffffffff) & bit);
  if (meant.length === 0) return;
  out.line();
  out.text(`  ip_flags ${meant.map(([bit, name]) => flags.value & bit ? name : `no${name}`).join("/")}`);
  out.open("ip_flags");
  for (const [bit, name] of meant) out.json(name, (flags.value & bit) !== 0);
  out.close();
}

function addressText(bytes: Uint8Array): string {
  if (bytes.length === 4) return ipv4Text(bytes);
  return bytes.length === 16 ? ipv6Text(bytes) : toHex(bytes).replace(/..(?=.)/g, "$&:");
}

function maskedAddressText({ address, mask }: MaskedAddress): string {
  const bits = prefixLength(mask);
  if (bits === undefined) return `${addressText(address)}/${addressText(mask)}`;
  return bits === 8 * mask.length ? addressText(address) : `${addressText(address)}/${bits}`;
}

// u32

function u32HandleText(handle: number, raw: boolean): string {
  if (handle === 0) return "none";
  const table = handle >>> 20;
  const bucket = (handle >>> 12) & 0xff;
  const node = handle & 0xfff;
  return `${table ? `${hex(table)}:` : ""}${bucket ? hex(bucket) : ""}${node ? `:${hex(node)}` : ""}${raw ? `[${hex8(handle)}]` : ""}`;
}

function writeU32(out: TcOutput, u32: U32, filter: Filter, options: TcOptions): void {
  const { handle } = filter;
  const { selector, flags = 0, tries, hits } = u32;
  const terminal = selector !== undefined && (selector.flags & TC_U32_TERMINAL) !== 0;
  const counted = options.stats && tries !== undefined && hits !== undefined;
  if (handle) out.field("fh", u32HandleText(handle, options.raw), `fh ${u32HandleText(handle, options.raw)} `);
  if (handle & 0xfff) out.field("order", handle & 0xfff, `order ${handle & 0xfff} `);
  if (u32.divisor !== undefined) {
    out.field("ht_divisor", u32.divisor, `ht divisor ${u32.divisor} `);
  } else if (u32.hash !== undefined) {
    const table = hex(u32.hash >>> 20);
    const bucket = hex((u32.hash >>> 12) & 0xff);
    out.field("key_ht", table, `key ht ${table} `);
    out.field("bkt", bucket, `bkt ${bucket} `);
  }
  if (u32.classId !== undefined) {
    if (terminal) out.text("*");
    out.field("flowid", classText(u32.classId), `flowid ${classText(u32.classId)} `);
  } else if (terminal) {
    out.text("terminal flowid ");
  }
  if (u32.link !== undefined) out.field("link", u32HandleText(u32.link, options.raw), `link ${u32HandleText(u32.link, options.raw)} `);
  if (flags & TCA_CLS_FLAGS_SKIP_HW) out.field("skip_hw", true, "skip_hw ");
  if (flags & TCA_CLS_FLAGS_SKIP_SW) out.field("skip_sw", true, "skip_sw ");
  if (flags & TCA_CLS_FLAGS_IN_HW) out.field("in_hw", true, "in_hw ");
  else if (flags & TCA_CLS_FLAGS_NOT_IN_HW) out.field("not_in_hw", true, "not_in_hw ");
  if (selector && counted) {
    out.field("rule_hit", tries, `(rule hit ${tries} `);
    out.field("success", hits, `success ${hits})`);
  }
  if (u32.mark) {
    const { value, mask, success } = u32.mark;
    out.line();
    out.field("fwmark_value", alternateHex(value), `  mark 0x${hex(value).padStart(4, "0")} `);
    out.field("fwmark_mask", alternateHex(mask), `0x${hex(mask).padStart(4, "0")} `);
    out.field("fwmark_success", success, `(success ${success})`);
  }
  selector?.keys.forEach((key, i) => {
    writeU32Key(out, key, filter.protocol, options);
    const keyHits = u32.keyHits[i];
    if (counted && keyHits !== undefined) out.field("success", keyHits, ` (success ${keyHits} ) `);
  });
  if (selector) writeU32Offsets(out, selector);
  for (const { type, value } of u32.unknown) {
    out.line();
    out.field(`key_${type}`, toHex(value), `  key_${type} ${toHex(value)} [see tc]`);
  }
  if (u32.inputDevice !== undefined) {
    out.line();
    out.field("input_dev", u32.inputDevice, `  input dev ${u32.inputDevice}`);
    out.line();
  }
  if (u32.actions) writeActions(out, u32.actions, TCA_ACT_MAX_PRIO, options, true);
}

/** printf's %#x, which leaves 0 bare. */
function alternateHex(value: number): string {
  return value === 0 ? "0" : `0x${hex(value)}`;
}

function writeU32Offsets(out: TcOutput, selector: NonNullable<U32["selector"]>): void {
  const { flags, headerMask, headerShift, headerOffset, plus, hashMask, hashOffset } = selector;
  if (flags & (TC_U32_VAROFFSET | TC_U32_OFFSET)) {
    out.line();
    out.text("    offset ");
    if (flags & TC_U32_VAROFFSET) {
      out.field("offset_mask", hex(headerMask), hex(headerMask).padStart(4, "0"));
      out.field("offset_shift", headerShift, `>>${headerShift} `);
      out.field("offset_off", headerOffset, `at ${headerOffset} `);
    }
    if (plus) out.field("plus", plus, `plus ${plus} `);
  }
  if (flags & TC_U32_EAT) out.text(" eat ");
  if (hashMask) {
    out.line();
    out.field("hash_mask", hex(hashMask), `    hash mask ${hex8(hashMask)} `);
    out.field("hash_off", hashOffset, `at ${hashOffset} `);
  }
}

/**
 * A key as numbers, or with -pretty in words. The words are iproute2's, oddities included: what it has no word for it
 * leaves out, and it reads IPv6 as IPv4. Its JSON in words, which it does not finish, is finished here.
 */
function writeU32Key(out: TcOutput, key: U32Key, protocol: number, options: TcOptions): void {
  out.open("match");
  if (options.pretty && (protocol === ETH_P_IP || protocol === ETH_P_IPV6)) writeU32Words(out, key, protocol);
  else writeU32Numbers(out, key);
  out.close();
}

function writeU32Numbers(out: TcOutput, key: U32Key): void {
  const next = key.offsetMask ? "nexthdr+" : "";
  out.line();
  out.field("value", hex(key.value), `  match ${hex8(key.value)}`);
  out.field("mask", hex(key.mask), `/${hex8(key.mask)} `);
  out.field("offmask", next, `at ${next}`);
  out.field("off", key.offset, `${key.offset}`);
}

function writeU32Words(out: TcOutput, key: U32Key, protocol: number): void {
  const { mask, value, offset } = key;
  if (offset === 0 && mask === 0x0f000000) {
    out.line();
    out.field("ip_ihl", value >>> 24, `  match IP ihl ${value >>> 24}`);
  } else if (offset === 0 && mask === 0x00ff0000) {
    out.line();
    out.field("ip_dsfield", alternateHex(value >>> 16), `  match IP dsfield ${alternateHex(value >>> 16)}`);
  } else if (offset === 8 && mask === 0x00ff0000) {
    out.line();
    out.field("ip_protocol", value >>> 16, `  match IP protocol ${value >>> 16}`);
  } else if (offset === 12 || offset === 16) {
    const bits = leadingBits(mask);
    if (bits === undefined) return;
    const end = offset === 12 ? "src" : "dst";
    const text = ipv4Text(new Uint8Array([value >>> 24, value >>> 16, value >>> 8, value]));
    out.line();
    out.text(`  match IP ${end} `);
    out.open(end);
    out.field("address", text, text);
    out.field("prefixlen", bits, `/${bits}`);
    out.close();
  } else if (offset === 20) {
    writeU32Ports(out, value, mask, protocol === ETH_P_IP);
  }
}

/** iproute2 takes the two ports for each other in IPv6. */
function writeU32Ports(out: TcOutput, value: number, mask: number, ipv4: boolean): void {
  const [low, high] = ipv4 ? ["dport", "sport"] : ["sport", "dport"];
  const lowPort = value & 0xffff;
  const highPort = value >>> 16;
  if (mask === 0x0000ffff) {
    if (!ipv4) out.line();
    out.field(low!, lowPort, `${ipv4 ? "" : "  "}match ${low} ${lowPort}`);
  } else if (mask === 0xffff0000) {
    if (ipv4) out.line();
    out.field(high!, highPort, `${ipv4 ? "  " : ""}match ${high} ${highPort}`);
  } else if (mask === 0xffffffff) {
    out.line();
    out.field(low!, lowPort, `  match ${low} ${lowPort}, `);
    out.field(high!, highPort, `match ${high} ${highPort}`);
  }
}

/** How many leading bits a word has; 0 for none, `undefined` where there is a hole. */
function leadingBits(mask: number): number | undefined {
  const bits = Math.clz32(~mask);
  return bits === 32 || mask << bits === 0 ? bits : undefined;
}

// actions

function writeActions(out: TcOutput, actions: readonly Action[], most: number, options: TcOptions, bound: boolean): void {
  out.openArray("actions");
  const inOrder = [...new Map(actions.map((action) => [action.order, action])).values()].sort((a, b) => a.order - b.order);
  for (const action of inOrder) {
    if (action.order > most) break;
    out.open();
    out.line();
    out.field("order", action.order, `\taction order ${action.order}: `);
    writeAction(out, action, options, bound);
    out.close();
  }
  out.closeArray();
}

function writeAction(out: TcOutput, action: Action, options: TcOptions, bound: boolean): void {
  const { kind, sample, gact, cookie, stats, flags, hardwareStats, usedHardwareStats, inHardwareCount } = action;
  out.field("kind", kind, `${kind} `);
  if (sample) writeSample(out, sample, options);
  else if (gact) writeGact(out, gact, options);
  else if (action.options) {
    out.field("bytes", toHex(action.options), "[options: see tc]");
    out.line();
  }
  if (options.stats && stats) {
    out.text("\tAction statistics:");
    out.line();
    out.open("stats");
    writeStats(out, stats, "\t");
    out.close();
    out.line();
  }
  if (cookie) {
    out.field("cookie", toHex(cookie), `\tcookie ${toHex(cookie)}`);
    out.line();
  }
  if (writeFlags(out, flags, inHardwareCount, bound)) out.line();
  if (hardwareStats) writeHardwareStats(out, "hw_stats", hardwareStats);
  if (usedHardwareStats) writeHardwareStats(out, "used_hw_stats", usedHardwareStats);
}

function writeFlags(out: TcOutput, flags: Bitfield32 | undefined, inHardwareCount: number | undefined, bound: boolean): boolean {
  let written = false;
  const flag = (bit: number, name: string): void => {
    if (!flags || !(flags.selector & bit)) return;
    out.field(name, (flags.value & bit) !== 0, `\t${name}`);
    written = true;
  };
  flag(TCA_ACT_FLAGS_NO_PERCPU_STATS, "no_percpu");
  if (bound) return written;
  flag(TCA_ACT_FLAGS_SKIP_HW, "skip_hw");
  flag(TCA_ACT_FLAGS_SKIP_SW, "skip_sw");
  const skipped = flags && flags.selector & flags.value & TCA_ACT_FLAGS_SKIP_HW;
  if (inHardwareCount === undefined || skipped) return written;
  if (inHardwareCount) {
    out.field("in_hw", true, "\tin_hw");
    out.field("in_hw_count", inHardwareCount, ` in_hw_count ${inHardwareCount}`);
  } else {
    out.field("not_in_hw", true, "\tnot_in_hw");
  }
  return true;
}

function writeHardwareStats(out: TcOutput, name: string, field: Bitfield32): void {
  const bits = field.value & field.selector;
  out.text(`\t${name}`);
  out.openArray(name);
  if (bits & TCA_ACT_HW_STATS_IMMEDIATE) out.field(undefined, "immediate", " immediate");
  if (bits & TCA_ACT_HW_STATS_DELAYED) out.field(undefined, "delayed", " delayed");
  if (bits === 0) out.field(undefined, "disabled", " disabled");
  out.closeArray();
  out.line();
}

function writeSample(out: TcOutput, sample: SampleAction, options: TcOptions): void {
  const { rate, group, truncateBytes } = sample;
  if (rate !== undefined) out.field("rate", rate, `rate 1/${rate} `);
  if (group !== undefined) out.field("group", group, `group ${group}`);
  if (truncateBytes !== undefined) out.field("trunc_size", truncateBytes, ` trunc_size ${truncateBytes}`);
  writeControl(out, " ", sample.control, "");
  out.line();
  writeParameters(out, sample, options);
}

const RANDOM_TYPES = ["none", "netrand", "determ"] as const;

function writeGact(out: TcOutput, gact: GactAction, options: TcOptions): void {
  const probability = gact.probability ?? { type: 0, value: 0, control: "pass" as const };
  const random = RANDOM_TYPES[probability.type] ?? `${probability.type}`;
  writeControl(out, "action ", gact.control, "");
  out.open("prob");
  out.line();
  out.field("random_type", random, `\t random type ${random}`);
  writeControl(out, " ", probability.control, " ");
  out.field("val", probability.value, `val ${probability.value}`);
  out.close();
  out.line();
  writeParameters(out, gact, options);
}

function writeParameters(out: TcOutput, action: ActionParameters & { readonly ages: ActionAges | undefined }, options: TcOptions): void {
  const { index, referenceCount, bindCount, ages } = action;
  out.field("index", index, `\t index ${index}`);
  out.field("ref", referenceCount, ` ref ${referenceCount}`);
  out.field("bind", bindCount, ` bind ${bindCount}`);
  if (options.stats && ages) {
    const age = (name: string, ms: bigint, text: string): void => {
      if (ms !== 0n) out.field(name, ms / 1000n, ` ${text} ${ms / 1000n} sec`);
    };
    age("installed", ages.installedMs, "installed");
    age("last_used", ages.lastUsedMs, "used");
    age("first_used", ages.firstUsedMs, "firstused");
    age("expires", ages.expiresMs, "expires");
  }
  out.line();
}

/** The controls for which iproute2 has no word. */
const UNNAMED: ReadonlySet<string> = new Set(["queued", "repeat", "redirect"]);

function writeControl(out: TcOutput, prefix: string, control: Control, suffix: string): void {
  out.text(prefix);
  out.open("control_action");
  if (typeof control === "string") {
    const name = UNNAMED.has(control) ? `${encodeControl(control)}` : control;
    out.field("type", name, name);
  } else if ("jump" in control) {
    out.field("type", "jump", "jump");
    out.field("jump", control.jump, ` ${control.jump}`);
  } else if ("gotoChain" in control) {
    out.field("type", "goto", "goto");
    out.field("chain", control.gotoChain, ` chain ${control.gotoChain}`);
  } else {
    out.field("type", `${control.value}`, `${control.value}`);
  }
  out.close();
  out.text(suffix);
}
