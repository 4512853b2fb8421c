/**
 * The headers of a packet in tcpdump's words: `192.0.2.7.443 > 10.0.0.1.51514: Flags [S.]`. We have our own words for what tcpdump prints
 * only on request, or on a separate line: VLAN tags and MPLS labels come first, and the contents of a tunnel follow `vxlan 42 | `. Nothing
 * is copied from a packet as text, so that no packet can control a terminal.
 */
import { macText, nextLevel, tunnelId } from "../packet/fields.ts";
import {
  AH,
  ARP,
  ERSPAN,
  ESP,
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
  NONE,
  SCTP,
  TCP,
  UDP,
  UDP_LITE,
  VLAN,
  VXLAN,
  VXLAN_GPE,
} from "../packet/header.ts";
import type { Headers } from "../packet/headers.ts";
import { protocolName } from "../packet/protocol_names.ts";
import { tcpFlagsText } from "../packet/transport.ts";
import { ETH_P_802_3_MIN } from "../wire/ether_types.ts";
import { etherTypeWords } from "./ethertype_words.ts";
import { IPPROTO_FRAGMENT } from "../wire/ip_protocols.ts";
import { hexByte, ipv4Text, ipv6Text, printable } from "../wire/text.ts";
import { type Output, Word } from "./output.ts";

/** Addresses, ports, types and flags. */
export const LEAST = 0;
/** Payload lengths too. */
export const LENGTHS = 1;
/** TCP's sequence numbers and options too. */
export const ALL = 2;

/** More than is written between two reservations. */
const ROOM = 512;

const DOT = 0x2e;
const COLON_BYTE = 0x3a;
const FROM_TO = new Word(" > ");
const COLON = new Word(": ");
const VLAN_WORD = new Word("vlan ");
const MPLS_WORD = new Word("mpls ");
const BLANK = 0x20;
const BAR = new Word("| ");
const UDP_WORD = new Word("UDP");
const LENGTH = new Word(", length ");
const SEQ = new Word(", seq ");
const ACK = new Word(", ack ");
const WIN = new Word(", win ");

/** Every combination of TCP's flags, made when first seen. */
const flagWords: (Word | undefined)[] = [];

/** Names of VLANs by their identifiers. */
type VlanNames = ReadonlyMap<number, string> | undefined;

/** Writes the headers of a packet in words; the amount is {@linkcode LEAST}, {@linkcode LENGTHS} or {@linkcode ALL}. */
export function writePacket(output: Output, packet: Headers, much: number, vlans?: VlanNames): void {
  output.reserve(ROOM);
  const start = output.length;
  for (let from = 0;;) {
    const end = nextLevel(packet, from);
    const isLast = end >= packet.count;
    const told = writeLevel(output, packet, from, end, isLast, much, vlans);
    if (isLast) return tellRest(output, packet, told);
    output.reserve(ROOM);
    if (output.length > start && output.bytes[output.length - 1] !== BLANK) output.byte(BLANK);
    output.word(BAR);
    from = end;
  }
}

/** Writes the link-layer addresses of a packet and its EtherType, if it is an Ethernet frame. */
export function writeLinkLevel(output: Output, packet: Headers): void {
  if (packet.kinds[0] !== ETHERNET || packet.count === 0 || packet.available(0) < 14) return;
  const { bytes } = packet;
  const at = packet.offsets[0]!;
  const type = u16(bytes, at + 12);
  const [target, source] = [macText(bytes.subarray(at, at + 6)), macText(bytes.subarray(at + 6, at + 12))];
  // Smaller numbers are lengths.
  const what = type < ETH_P_802_3_MIN ? "802.3" : `ethertype ${etherTypeWords(type)}`;
  output.text(`${source} > ${target}, ${what}: `);
}

/** Writes what was cut off, what contradicts itself, and what there is no word for. */
function tellRest(output: Output, packet: Headers, told: boolean): void {
  if (packet.cut !== NONE) output.text(`${told ? " " : ""}[|${headerName(packet.cut)}]`);
  else if (packet.broken !== NONE) output.text(`${told ? " " : ""}[bad ${headerName(packet.broken)}]`);
  else if (!told) output.text(packet.count === 0 ? "no data" : packet.stack);
}

/** Writes one level; returns whether it wrote anything. */
function writeLevel(
  output: Output,
  packet: Headers,
  from: number,
  end: number,
  isLast: boolean,
  much: number,
  vlans: VlanNames,
): boolean {
  const { bytes, kinds, offsets } = packet;
  // A tunnel without a header of its own, such as IP in IP, needs no word.
  const tunnel = isLast ? "" : tunnelWord(packet, from, end);
  let told = tunnel !== "";
  for (let i = from; i < end; i++) {
    const kind = kinds[i]!;
    const header = offsets[i]!;
    const available = packet.end - header;
    switch (kind) {
      case VLAN:
      case MPLS: {
        if (available < 4) break;
        output.word(kind === VLAN ? VLAN_WORD : MPLS_WORD);
        output.u32(kind === VLAN ? u16(bytes, header) & 0xfff : u16(bytes, header) << 4 | bytes[header + 2]! >> 4);
        output.byte(BLANK);
        if (vlans !== undefined && kind === VLAN) writeVlanName(output, vlans.get(u16(bytes, header) & 0xfff));
        break;
      }
      case ARP:
        told = writeArp(output, bytes, header, available) || told;
        break;
      case IPV4:
      case IPV6: {
        if (available < (kind === IPV4 ? 20 : 40)) break;
        // If the transport header has its ports, they are written with the addresses.
        const next = i + 1 < end ? portsAt(packet, i + 1, end) : -1;
        writeAddress(output, bytes, kind, header, false);
        if (next >= 0) writePort(output, u16(bytes, next));
        output.word(FROM_TO);
        writeAddress(output, bytes, kind, header, true);
        if (next >= 0) writePort(output, u16(bytes, next + 2));
        if (isLast || told) output.word(COLON);
        if (writeProtocol(output, packet, i, end, isLast, much)) told = true;
        if (!told && packet.cut === NONE && packet.broken === NONE && isLast) {
          output.text("no next header");
          told = true;
        }
        break;
      }
    }
  }
  output.text(tunnel);
  return told;
}

function writeVlanName(output: Output, name: string | undefined): void {
  if (name === undefined) return;
  output.text(`(${printable(name)}) `);
  output.reserve(ROOM);
}

/** Where the ports of a level's transport header are, if both were captured; else -1. */
function portsAt(packet: Headers, from: number, end: number): number {
  for (let i = from; i < end; i++) {
    const kind = packet.kinds[i]!;
    if (kind === TCP || kind === UDP || kind === UDP_LITE || kind === SCTP) return packet.available(i) >= 4 ? packet.offsets[i]! : -1;
  }
  return -1;
}

/** Writes what the IP packet with header `i` carries; false if there is nothing to write, because a tunnel or a cut follows. */
function writeProtocol(output: Output, packet: Headers, i: number, end: number, isLast: boolean, much: number): boolean {
  const { bytes, kinds, offsets } = packet;
  const ip = offsets[i]!;
  const isIpv4 = kinds[i] === IPV4;
  let protocol = bytes[ip + (isIpv4 ? 9 : 6)]!;
  let fragment = isIpv4 ? (u16(bytes, ip + 6) & 0x1fff) << 3 : 0;
  const packetEnd = endOf(packet, ip, isIpv4);
  let payload = ip + (isIpv4 ? (bytes[ip]! & 15) << 2 : 40);
  for (let next = i + 1; next < end; next++) {
    const at = offsets[next]!;
    const available = packet.available(next);
    switch (kinds[next]) {
      case IPV6_EXTENSION:
        if (available < 8) return false;
        if (protocol === IPPROTO_FRAGMENT) fragment = u16(bytes, at + 2) & 0xfff8;
        payload = at + (protocol === IPPROTO_FRAGMENT ? 8 : (bytes[at + 1]! + 1) << 3);
        protocol = bytes[at]!;
        break;
      case AH:
        if (available < 12) return false;
        payload = at + ((bytes[at + 1]! + 2) << 2);
        protocol = bytes[at]!;
        break;
      case TCP:
        return writeTcp(output, packet, at, available, packetEnd, much);
      case UDP:
        if (!isLast || available < 8) return false;
        output.word(UDP_WORD);
        writeLength(output, (u16(bytes, at + 4) || packetEnd - at) - 8, much);
        return true;
      case ICMP:
      case ICMPV6:
        if (available < 2) return false;
        output.text(kinds[next] === ICMP ? icmpWords(bytes, at, available) : icmp6Words(bytes, at, available));
        output.reserve(ROOM);
        writeLength(output, packetEnd - at, much);
        return true;
      case ESP:
        if (available < 8) return false;
        output.text(`ESP(spi=0x${hex32(bytes, at)},seq=0x${u32(bytes, at + 4).toString(16)})`);
        output.reserve(ROOM);
        writeLength(output, packetEnd - at, much);
        return true;
      default:
        if (!isLast) return false;
    }
  }
  if (!isLast) return false;
  if (fragment > 0) output.text(`frag ${fragment}, ${nameOf(protocol)}`);
  else if (packet.cut !== NONE || packet.broken !== NONE) return false;
  else if (protocol === IPPROTO_NONE) return false;
  else output.text(nameOf(protocol));
  output.reserve(ROOM);
  writeLength(output, packetEnd - payload, much);
  return true;
}

const IPPROTO_NONE = 59;

/** Where the IP packet ends, captured or not. If its length is 0, that is where the whole packet ends. */
function endOf(packet: Headers, ip: number, isIpv4: boolean): number {
  const length = u16(packet.bytes, ip + (isIpv4 ? 2 : 4));
  return length === 0 ? packet.start + packet.originalBytes : ip + length + (isIpv4 ? 0 : 40);
}

function writeTcp(output: Output, packet: Headers, at: number, available: number, packetEnd: number, much: number): boolean {
  const { bytes } = packet;
  // If it is cut before the flags, only the ports are written.
  if (available < 14) return false;
  const bits = u16(bytes, at + 12) & 0x1ff;
  output.word(flagWords[bits] ??= new Word(`Flags [${tcpFlagsText(bits)}]`));
  const size = bytes[at + 12]! >> 4 << 2;
  if (available < 20 || size < 20) return true;
  const length = packetEnd - at - size;
  if (much >= ALL) {
    const sequence = u32(bytes, at + 4);
    // As in tcpdump: only if it means something.
    if (length > 0 || bits & 0x07) {
      output.word(SEQ);
      output.u32(sequence);
      if (length > 0) {
        output.byte(COLON_BYTE);
        output.u32((sequence + length) >>> 0);
      }
    }
    if (bits & 0x10) {
      output.word(ACK);
      output.u32(u32(bytes, at + 8));
    }
    output.word(WIN);
    output.u32(u16(bytes, at + 14));
    if (bits & 0x20) output.text(`, urg ${u16(bytes, at + 18)}`);
    if (size > 20 && available >= size) output.text(`, options [${tcpOptions(bytes, at + 20, at + size)}]`);
    output.reserve(ROOM);
  }
  if (available >= size) writeLength(output, length, much);
  return true;
}

/** TCP's options (RFC 9293, 7323, 2018) as in tcpdump: the common ones of those that it names. */
function tcpOptions(bytes: Uint8Array, from: number, end: number): string {
  const words: string[] = [];
  for (let at = from; at < end;) {
    const kind = bytes[at]!;
    if (kind === 0) {
      words.push("eol");
      break;
    }
    if (kind === 1) {
      words.push("nop");
      at++;
      continue;
    }
    const size = at + 1 < end ? bytes[at + 1]! : 0;
    if (size < 2 || at + size > end) {
      words.push("[bad opt]");
      break;
    }
    if (kind === 2 && size === 4) words.push(`mss ${u16(bytes, at + 2)}`);
    else if (kind === 3 && size === 3) words.push(`wscale ${bytes[at + 2]}`);
    else if (kind === 4 && size === 2) words.push("sackOK");
    else if (kind === 5 && size >= 10 && (size - 2) % 8 === 0) {
      let blocks = "";
      for (let block = at + 2; block < at + size; block += 8) blocks += `{${u32(bytes, block)}:${u32(bytes, block + 4)}}`;
      words.push(`sack ${(size - 2) / 8} ${blocks}`);
    } else if (kind === 8 && size === 10) words.push(`TS val ${u32(bytes, at + 2)} ecr ${u32(bytes, at + 6)}`);
    else words.push(`unknown-${kind}`);
    at += size;
  }
  return words.join(",");
}

const ICMP_UNREACHABLE = ["net", "host", "protocol", "port"];

/** ICMP (RFC 792). */
function icmpWords(bytes: Uint8Array, at: number, available: number): string {
  const type = bytes[at]!;
  const code = bytes[at + 1]!;
  switch (type) {
    case 0:
    case 8:
      return `ICMP echo ${type === 8 ? "request" : "reply"}${echo(bytes, at, available)}`;
    case 3:
      return code === 4 ? "ICMP unreachable - need to frag" : `ICMP ${ICMP_UNREACHABLE[code] ?? `#${code}`} unreachable`;
    case 5:
      return "ICMP redirect";
    case 11:
      return code === 0 ? "ICMP time exceeded in-transit" : "ICMP ip reassembly time exceeded";
    default:
      return `ICMP type-#${type}`;
  }
}

const ICMP6_UNREACHABLE = ["route", "admin prohibited", "beyond scope", "address", "port"];
const ICMP6_TYPES: Readonly<Record<number, string>> = {
  2: "packet too big",
  3: "time exceeded in-transit",
  4: "parameter problem",
  130: "multicast listener query",
  131: "multicast listener report",
  132: "multicast listener done",
  133: "router solicitation",
  134: "router advertisement",
  137: "redirect",
  143: "multicast listener report v2",
};

/** ICMPv6 (RFC 4443, 4861). */
function icmp6Words(bytes: Uint8Array, at: number, available: number): string {
  const type = bytes[at]!;
  const code = bytes[at + 1]!;
  const target = (word: string): string => available < 24 ? "" : `, ${word} ${ipv6Text(bytes.subarray(at + 8, at + 24))}`;
  switch (type) {
    case 1:
      return `ICMP6, destination unreachable, unreachable ${ICMP6_UNREACHABLE[code] ?? `code-#${code}`}`;
    case 128:
    case 129:
      return `ICMP6, echo ${type === 128 ? "request" : "reply"}${echo(bytes, at, available)}`;
    case 135:
      return `ICMP6, neighbor solicitation${target("who has")}`;
    case 136:
      return `ICMP6, neighbor advertisement${target("tgt is")}`;
    default:
      return `ICMP6, ${ICMP6_TYPES[type] ?? `type-#${type}`}`;
  }
}

function echo(bytes: Uint8Array, at: number, available: number): string {
  return available < 8 ? "" : `, id ${u16(bytes, at + 4)}, seq ${u16(bytes, at + 6)}`;
}

/** ARP (RFC 826); false if it is cut. */
function writeArp(output: Output, bytes: Uint8Array, at: number, available: number): boolean {
  if (available < 8) return false;
  const operation = u16(bytes, at + 6);
  if (bytes[at + 4] !== 6 || bytes[at + 5] !== 4) {
    output.text(`ARP, operation ${operation}`);
    output.reserve(ROOM);
    return true;
  }
  if (available < 28) return false;
  const [sender, target] = [ipv4Text(bytes.subarray(at + 14, at + 18)), ipv4Text(bytes.subarray(at + 24, at + 28))];
  output.text(
    operation === 1
      ? `ARP, Request who-has ${target} tell ${sender}`
      : operation === 2
      ? `ARP, Reply ${sender} is-at ${macText(bytes.subarray(at + 8, at + 14))}`
      : `ARP, operation ${operation}, ${sender} > ${target}`,
  );
  output.reserve(ROOM);
  return true;
}

/** The tunnel at the end of a level, with its identifier: `vxlan 42`; empty for IP in IP. */
function tunnelWord(packet: Headers, from: number, end: number): string {
  for (let i = end - 1; i >= from; i--) {
    const kind = packet.kinds[i]!;
    switch (kind) {
      case VXLAN:
      case VXLAN_GPE:
      case GENEVE:
      case GTPU:
      case ERSPAN:
      case GRE: {
        const id = tunnelId(packet, i);
        return id === undefined ? headerName(kind) : `${headerName(kind)} ${id}`;
      }
    }
  }
  return "";
}

/** The name of an IP protocol, or its number as in tcpdump. */
function nameOf(protocol: number): string {
  return protocolName(protocol) ?? `ip-proto-${protocol}`;
}

function writeAddress(output: Output, bytes: Uint8Array, kind: number, ip: number, isDestination: boolean): void {
  if (kind === IPV6) {
    writeIpv6(output, bytes, ip + (isDestination ? 24 : 8));
    return;
  }
  output.ipv4(bytes, ip + (isDestination ? 16 : 12));
}

/** Writes an IPv6 address as `ipv6Text()` does, without making a string. */
export function writeIpv6(output: Output, bytes: Uint8Array, at: number): void {
  // The longest run of two or more zero words becomes "::", the first of them if two are equal.
  let best = 8;
  let bestLength = 1;
  let length = 0;
  for (let i = 0; i < 8; i++) {
    length = u16(bytes, at + 2 * i) === 0 ? length + 1 : 0;
    if (length > bestLength) {
      bestLength = length;
      best = i - length + 1;
    }
  }
  output.reserve(ROOM);
  if (best === 0 && bestLength === 5 && u16(bytes, at + 10) === 0xffff) {
    // It ends as an IPv4 address: rare enough for the slow way.
    output.text(ipv6Text(bytes.subarray(at, at + 16)));
    output.reserve(ROOM);
    return;
  }
  for (let i = 0; i < 8; i++) {
    if (i === best) {
      output.byte(COLON_BYTE);
      output.byte(COLON_BYTE);
      i += bestLength - 1;
      continue;
    }
    if (i > 0 && i !== best + bestLength) output.byte(COLON_BYTE);
    output.hexNumber(u16(bytes, at + 2 * i));
  }
}

function writePort(output: Output, port: number): void {
  output.byte(DOT);
  output.u32(port);
}

function writeLength(output: Output, length: number, much: number): void {
  if (much < LENGTHS) return;
  output.word(LENGTH);
  output.u32(Math.max(0, length));
}

function u16(bytes: Uint8Array, at: number): number {
  return bytes[at]! << 8 | bytes[at + 1]!;
}

function u32(bytes: Uint8Array, at: number): number {
  return (u16(bytes, at) << 16 | u16(bytes, at + 2)) >>> 0;
}

function hex32(bytes: Uint8Array, at: number): string {
  let text = "";
  for (let i = 0; i < 4; i++) text += hexByte(bytes[at + i]!);
  return text;
}
