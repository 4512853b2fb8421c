/**
 * `match`: what people ask to sample by, as words, compiled to keys of the classifier flower.
 *
 * ```text
 * arp                                        an EtherType by name or number
 * ip src 192.0.2.0/24                        addresses with a prefix
 * ip proto tcp dst 10.0.0.0/8 dport 80-90    ports and ranges of ports, with tcp, udp or sctp
 * udp dport 53                               the protocol alone, for ip; with "ipv6" before it for that
 * vlan 5 ip src 192.0.2.1                    behind a tag with that number; "vlan 5" alone is all of the VLAN
 * ```
 *
 * All words have to hold at once: flower has no "or", no "not" and no "either end". A filter without `vlan`
 * takes untagged packets.
 */
import { ArgumentError } from "../errors.ts";
import { ipv4Bytes, ipv6Bytes, type MaskedAddress, prefixMask } from "../tc/address.ts";
import { ETH_P_8021Q, ETH_P_ALL, ETH_P_IP, ETH_P_IPV6, etherTypeOf, etherTypeText } from "../wire/ether_types.ts";
import type { FlowerKeys, PortRange } from "../tc/flower.ts";
import { IPPROTO_ICMP, IPPROTO_ICMPV6, IPPROTO_SCTP, IPPROTO_TCP, IPPROTO_UDP, ipProtocolOf } from "../wire/ip_protocols.ts";

/** What a match compiles to. */
export interface Match {
  /** The filter's protocol: an EtherType, {@linkcode ETH_P_ALL} for every one. */
  readonly protocol: number;
  /** The keys for flower; `undefined` where every packet matches, so that matchall does. */
  readonly keys: Readonly<FlowerKeys> | undefined;
}

/** What pcap filters can say and flower cannot, with the reason. */
const IMPOSSIBLE: ReadonlyMap<string, string> = new Map([
  ["or", "all words have to hold at once; add a second filter"],
  ["||", "all words have to hold at once; add a second filter"],
  ["not", "it only matches what is, not what is not"],
  ["!", "it only matches what is, not what is not"],
  ["host", "it compares one end at a time; say src or dst"],
  ["net", "it compares one end at a time; say src or dst with a prefix"],
  ["port", "it compares one end at a time; say sport or dport"],
  ["portrange", "it compares one end at a time; say sport or dport"],
  ["greater", "it does not see the length"],
  ["less", "it does not see the length"],
  ["len", "it does not see the length"],
  ["broadcast", "it has no word for it"],
  ["multicast", "it has no word for it"],
]);

const HAS_PORTS: ReadonlySet<number | undefined> = new Set([IPPROTO_TCP, IPPROTO_UDP, IPPROTO_SCTP]);

/**
 * Compiles a match.
 *
 * @throws {ArgumentError} where a word makes no sense, or flower cannot say it.
 * @throws {ArgumentError} where a number is too large.
 */
export function compileMatch(text: string): Match {
  const words = text.split(/\s+/).filter((word) => word !== "");
  let etherType: number | undefined;
  let vlanId: number | undefined;
  const keys: FlowerKeys = {};
  let at = 0;

  const refuse = (why: string): ArgumentError => new ArgumentError(`Cannot match "${text}": ${why}`);
  const argument = (word: string): string => {
    const value = words[at++];
    if (value === undefined) throw refuse(`${word} needs a value`);
    return value;
  };
  const once = (word: string, old: unknown): void => {
    if (old !== undefined) throw refuse(`${word} is said twice, and flower compares a field once`);
  };
  const setEtherType = (word: string, number: number): void => {
    if (etherType !== undefined && etherType !== number) throw refuse(`${word} contradicts ${etherTypeText(etherType)}`);
    etherType = number;
  };
  const setProtocol = (word: string, number: number): void => {
    once("the IP protocol", keys.ipProtocol);
    if (number === IPPROTO_ICMPV6) setEtherType(word, ETH_P_IPV6);
    if (number === IPPROTO_ICMP) setEtherType(word, ETH_P_IP);
    keys.ipProtocol = number;
  };

  while (at < words.length) {
    const word = words[at++]!;
    const etherTypeWord = word === "ip6"
      ? ETH_P_IPV6
      : word === "all"
      ? undefined
      : etherTypeOf(word) ?? (word.startsWith("0x") ? numberOf(word) : undefined);
    const impossible = IMPOSSIBLE.get(word);
    const protocol = ipProtocolOf(word);
    if (word === "and" || word === "&&") {
      continue;
    } else if (word === "proto" || word === "protocol" || word === "ip_proto") {
      const value = argument(word);
      const number = ipProtocolOf(value) ?? numberOf(value);
      if (number === undefined) throw refuse(`${value} is no IP protocol: tcp, udp, sctp, icmp, icmpv6 or a number`);
      if (number > 255) throw new ArgumentError(`Cannot match "${text}": the IP protocol ${value} is not between 0 and 255`);
      setProtocol(value, number);
    } else if (word === "src" || word === "src_ip") {
      once(word, keys.source);
      keys.source = prefix(argument(word), refuse);
      setEtherType(word, keys.source.address.length === 4 ? ETH_P_IP : ETH_P_IPV6);
    } else if (word === "dst" || word === "dst_ip") {
      once(word, keys.destination);
      keys.destination = prefix(argument(word), refuse);
      setEtherType(word, keys.destination.address.length === 4 ? ETH_P_IP : ETH_P_IPV6);
    } else if (word === "sport" || word === "src_port") {
      once(word, keys.sourcePort ?? keys.sourcePorts);
      const ports = portsOf(text, argument(word), refuse);
      if (typeof ports === "number") keys.sourcePort = { value: ports, mask: undefined };
      else keys.sourcePorts = ports;
    } else if (word === "dport" || word === "dst_port") {
      once(word, keys.destinationPort ?? keys.destinationPorts);
      const ports = portsOf(text, argument(word), refuse);
      if (typeof ports === "number") keys.destinationPort = { value: ports, mask: undefined };
      else keys.destinationPorts = ports;
    } else if (word === "vlan" || word === "vlan_id") {
      once(word, vlanId);
      const value = argument(word);
      const number = numberOf(value);
      if (number === undefined) throw refuse(`${value} is no VLAN number`);
      if (number > 4095) throw new ArgumentError(`Cannot match "${text}": the VLAN ${value} is not between 0 and 4095`);
      vlanId = number;
    } else if (impossible !== undefined) {
      throw refuse(`flower cannot say "${word}": ${impossible}`);
    } else if (protocol !== undefined) {
      setProtocol(word, protocol);
    } else if (etherTypeWord !== undefined) {
      if (etherTypeWord > 0xffff) throw new ArgumentError(`Cannot match "${text}": the EtherType ${word} is not between 0 and 65535`);
      if (etherTypeWord === ETH_P_8021Q) throw refuse(`${word} says no VLAN; say vlan and its number`);
      setEtherType(word, etherTypeWord);
    } else if (word !== "all") {
      throw refuse(`flower cannot say "${word}"`);
    }
  }

  const ports = keys.sourcePort ?? keys.sourcePorts ?? keys.destinationPort ?? keys.destinationPorts;
  if (ports !== undefined && !HAS_PORTS.has(keys.ipProtocol)) throw refuse("ports need the protocol tcp, udp or sctp");
  if (keys.ipProtocol !== undefined) {
    etherType ??= ETH_P_IP;
    if (etherType !== ETH_P_IP && etherType !== ETH_P_IPV6) {
      throw refuse(`an IP protocol goes with ip or ipv6, not with ${etherTypeText(etherType)}`);
    }
  }

  if (vlanId !== undefined) {
    // Behind a tag the outer EtherType is the tag's; what was asked for is the one inside.
    return { protocol: ETH_P_8021Q, keys: { ...keys, vlanId, vlanEtherType: etherType, etherType: ETH_P_8021Q } };
  }
  if (etherType === undefined) return { protocol: ETH_P_ALL, keys: undefined };
  return { protocol: etherType, keys: { ...keys, etherType } };
}

/** A number in decimal, or in hexadecimal behind 0x; `undefined` for other text. */
function numberOf(text: string): number | undefined {
  return /^(\d{1,10}|0x[0-9a-fA-F]{1,8})$/.test(text) ? Number(text) : undefined;
}

function prefix(text: string, refuse: (why: string) => ArgumentError): MaskedAddress {
  const [head = "", bits, ...rest] = text.split("/");
  const address = head.includes(":") ? ipv6Bytes(head) : ipv4Bytes(head);
  if (!address || rest.length > 0) throw refuse(`${text} is no IP address`);
  const all = 8 * address.length;
  const length = bits === undefined ? all : /^\d{1,3}$/.test(bits) ? Number(bits) : undefined;
  if (length === undefined) throw refuse(`${text} has no prefix length behind the slash`);
  if (length > all) throw new ArgumentError(`Cannot match ${text}: the prefix length ${length} is not between 0 and ${all}`);
  return { address, mask: prefixMask(length, address.length) };
}

function portsOf(match: string, text: string, refuse: (why: string) => ArgumentError): number | PortRange {
  const ends = /^(\d+)(?:-(\d+))?$/.exec(text);
  if (!ends) throw refuse(`${text} is no port and no range of ports`);
  const from = Number(ends[1]);
  const to = ends[2] === undefined ? from : Number(ends[2]);
  if (from > 65535 || to > 65535) throw new ArgumentError(`Cannot match "${match}": the port ${text} is not between 1 and 65535`);
  // Flower takes 0 for "no port given", and no range that ends where it begins.
  if (from === 0) throw new ArgumentError(`Cannot match "${match}": flower cannot say port 0`);
  if (to < from) throw new ArgumentError(`Cannot match "${match}": the ports ${text} end before they begin`);
  return to === from ? from : { from, to };
}
