/**
 * The headers of a packet as JSON: the same as `JSON.stringify` of `packetFields()`. Nearly all packets are plain TCP or UDP over IP, and
 * are written without making the object and its strings, which would cost more than the whole rest of a line.
 */
import { packetFields } from "../packet/fields.ts";
import { ETHERNET, IPV4, IPV6, NONE, TCP, UDP, VLAN } from "../packet/header.ts";
import type { Headers } from "../packet/headers.ts";
import { tcpFlagsText } from "../packet/transport.ts";
import { type Output, Word } from "./output.ts";
import { writeIpv6 } from "./packet_words.ts";

/** More than such a packet takes; each VLAN tag takes at most as much again. */
const ROOM = 512;

const BRACE = 0x7d;
const COMMA = 0x2c;
const BRACKET = 0x5d;
const ETHER_SOURCE = new Word('{"etherSource":"');
const ETHER_DESTINATION = new Word('","etherDestination":"');
const ETHER_TYPE = new Word('","etherType":');
const VLANS = new Word(',"vlans":[');
const VLAN_ID = new Word('{"id":');
const VLAN_PRIORITY = new Word(',"priority":');
const VLAN_TPID = new Word(',"tpid":');
const FIRST_SOURCE = new Word('{"source":"');
const SOURCE = new Word(',"source":"');
const DESTINATION = new Word('","destination":"');
const IS_TCP = new Word('","protocol":6,"protocolName":"tcp","sourcePort":');
const IS_UDP = new Word('","protocol":17,"protocolName":"udp","sourcePort":');
const DESTINATION_PORT = new Word(',"destinationPort":');
const TTL = new Word(',"ttl":');
const DSCP = new Word(',"dscp":');
const IP_LENGTH = new Word(',"ipLength":');

/** Every combination of TCP's flags, made when first seen. */
const flagWords: (Word | undefined)[] = [];

/** Writes the headers of a packet; makes its own room. */
export function writePacketJson(output: Output, packet: Headers): void {
  // Nothing in it needs further escaping: addresses, numbers, and our own names.
  if (!writePlain(output, packet)) output.text(JSON.stringify(packetFields(packet)));
}

/** Writes TCP or UDP over IP; false, and nothing is written, if there is anything else. */
function writePlain(output: Output, packet: Headers): boolean {
  const { bytes, kinds, offsets, count } = packet;
  if (count < 2 || packet.cut !== NONE || packet.broken !== NONE) return false;
  const transport = kinds[count - 1]!;
  const network = kinds[count - 2]!;
  if (transport !== TCP && transport !== UDP || network !== IPV4 && network !== IPV6) return false;
  const isEthernet = kinds[0] === ETHERNET;
  for (let i = isEthernet ? 1 : 0; i < count - 2; i++) if (!isEthernet || kinds[i] !== VLAN) return false;
  const ip = offsets[count - 2]!;
  const isIpv4 = network === IPV4;
  const length = u16(bytes, ip + (isIpv4 ? 2 : 4));
  // A fragment, or a length that is not known.
  if (length === 0 || isIpv4 && (u16(bytes, ip + 6) & 0x3fff) !== 0) return false;
  const at = offsets[count - 1]!;
  if (packet.end - at < (transport === TCP ? 14 : 4)) return false;

  output.reserve(ROOM * count);
  if (isEthernet) writeEthernet(output, packet);
  output.word(isEthernet ? SOURCE : FIRST_SOURCE);
  writeAddress(output, bytes, ip, isIpv4, false);
  output.word(DESTINATION);
  writeAddress(output, bytes, ip, isIpv4, true);
  output.word(transport === TCP ? IS_TCP : IS_UDP);
  output.u32(u16(bytes, at));
  output.word(DESTINATION_PORT);
  output.u32(u16(bytes, at + 2));
  if (transport === TCP) {
    const flags = u16(bytes, at + 12) & 0x1ff;
    output.word(flagWords[flags] ??= new Word(`,"tcpFlags":"${tcpFlagsText(flags)}"`));
  }
  output.word(TTL);
  output.u32(bytes[ip + (isIpv4 ? 8 : 7)]!);
  output.word(DSCP);
  output.u32(isIpv4 ? bytes[ip + 1]! >> 2 : u16(bytes, ip) >> 6 & 0x3f);
  output.word(IP_LENGTH);
  output.u32(isIpv4 ? length : length + 40);
  output.byte(BRACE);
  return true;
}

/** The frame's header and its VLAN tags. */
function writeEthernet(output: Output, { bytes, kinds, offsets }: Headers): void {
  const ether = offsets[0]!;
  output.word(ETHER_SOURCE);
  output.mac(bytes, ether + 6);
  output.word(ETHER_DESTINATION);
  output.mac(bytes, ether);
  output.word(ETHER_TYPE);
  let tags = 0;
  while (kinds[tags + 1] === VLAN) tags++;
  output.u32(u16(bytes, tags === 0 ? ether + 12 : offsets[tags]! + 2));
  if (tags === 0) return;
  output.word(VLANS);
  for (let i = 1; i <= tags; i++) {
    const at = offsets[i]!;
    const control = u16(bytes, at);
    if (i > 1) output.byte(COMMA);
    output.word(VLAN_ID);
    output.u32(control & 0xfff);
    output.word(VLAN_PRIORITY);
    output.u32(control >> 13);
    output.word(VLAN_TPID);
    output.u32(u16(bytes, at - 2));
    output.byte(BRACE);
  }
  output.byte(BRACKET);
}

function writeAddress(output: Output, bytes: Uint8Array, ip: number, isIpv4: boolean, isDestination: boolean): void {
  if (isIpv4) output.ipv4(bytes, ip + (isDestination ? 16 : 12));
  else writeIpv6(output, bytes, ip + (isDestination ? 24 : 8));
}

function u16(bytes: Uint8Array, at: number): number {
  return bytes[at]! << 8 | bytes[at + 1]!;
}
