/** The words of flower. */
import { type MaskedAddress, prefixMask } from "../../../src/tc/address.ts";
import { ETH_P_8021AD, ETH_P_8021Q, ETH_P_ALL, ETH_P_ARP, ETH_P_IP, ETH_P_IPV6, ETH_P_RARP } from "../../../src/wire/ether_types.ts";
import type { ClassifierSpec } from "../../../src/tc/filter.ts";
import type { FlowerKeys, MaskedNumber, PortRange } from "../../../src/tc/flower.ts";
import { IP_PROTOCOLS, IPPROTO_ICMP, IPPROTO_ICMPV6, IPPROTO_SCTP, IPPROTO_TCP, IPPROTO_UDP } from "../../../src/wire/ip_protocols.ts";
import { TCA_CLS_FLAGS_SKIP_HW, TCA_CLS_FLAGS_SKIP_SW, TCA_CLS_FLAGS_VERBOSE } from "../../../src/tc/tcmsg.ts";
import { noWords, takeActions, takeClassId, takeFlag, unknownWord } from "./classifier.ts";
import { fail, illegal, invalidArgument, outside, STATUS_OUTSIDE, TcRefusal } from "./refusal.ts";
import { etherType, prefixOf, unsigned } from "./values.ts";
import { isPrefix, keywordOf, type Words } from "./words.ts";

/** flower's keywords in the order in which iproute2 compares prefixes with them. */
const FLOWER_WORDS = [
  "classid",
  "flowid",
  "hw_tc",
  "ip_flags",
  "verbose",
  "skip_hw",
  "skip_sw",
  "ct_state",
  "ct_zone",
  "ct_mark",
  "ct_label",
  "indev",
  "vlan_id",
  "vlan_prio",
  "vlan_ethtype",
  "cvlan_id",
  "cvlan_prio",
  "cvlan_ethtype",
  "mpls",
  "mpls_label",
  "mpls_tc",
  "mpls_bos",
  "mpls_ttl",
  "dst_mac",
  "src_mac",
  "ip_proto",
  "ip_tos",
  "ip_ttl",
  "dst_ip",
  "src_ip",
  "dst_port",
  "src_port",
  "tcp_flags",
  "type",
  "code",
  "arp_tip",
  "arp_sip",
  "arp_op",
  "arp_tha",
  "arp_sha",
  "enc_dst_ip",
  "enc_src_ip",
  "enc_key_id",
  "enc_dst_port",
  "enc_tos",
  "enc_ttl",
  "geneve_opts",
  "vxlan_opts",
  "erspan_opts",
  "action",
] as const;
/** Those that it wants whole. */
const FLOWER_WHOLE_WORDS: ReadonlySet<string> = new Set(["num_of_vlans", "pppoe_sid", "ppp_proto", "gtp_opts"]);

/** Reads what follows `flower`. */
export function parseFlower(words: Words, protocol: number): ClassifierSpec {
  const found = noWords();
  let innerType = protocol;
  const keys: FlowerKeys = {};
  const value = <Value>(what: string, parse: (text: string) => Value | undefined): Value => parse(words.value()) ?? fail(illegal(what));
  const tagged = <Value>(what: string, parse: (text: string) => Value | undefined): Value =>
    value(what, (text) => {
      if (protocol !== ETH_P_8021Q && protocol !== ETH_P_8021AD) {
        throw new TcRefusal(`Can't set "${what}" if ethertype isn't 802.1Q or 802.1AD and num_of_vlans is 0`, 1);
      }
      return parse(text);
    });
  while (words.left > 0) {
    const word = words.word!;
    const keyword = FLOWER_WHOLE_WORDS.has(word) ? word : keywordOf(word, FLOWER_WORDS);
    switch (keyword) {
      case "classid":
      case "flowid":
        takeClassId(words, found);
        break;
      case "verbose":
        takeFlag(words, found, TCA_CLS_FLAGS_VERBOSE);
        break;
      case "skip_hw":
        takeFlag(words, found, TCA_CLS_FLAGS_SKIP_HW);
        break;
      case "skip_sw":
        takeFlag(words, found, TCA_CLS_FLAGS_SKIP_SW);
        break;
      case "vlan_id":
        keys.vlanId = tagged(keyword, (text) => unsigned(text, 10, 0xfff));
        break;
      case "vlan_prio":
        keys.vlanPriority = tagged(keyword, (text) => unsigned(text, 10, 7));
        break;
      case "vlan_ethtype":
        innerType = keys.vlanEtherType = tagged(
          keyword,
          (text) => etherType(text) ?? fail(invalidArgument("invalid vlan_ethtype", text)),
        );
        break;
      case "ip_proto": {
        const ipProtocol = value(keyword, (text) => flowerProtocol(text, innerType));
        // iproute2 sends the ports of the protocol it has read by then, which the kernel does not look at with another.
        if (ipProtocol !== keys.ipProtocol && (keys.sourcePort ?? keys.destinationPort)) {
          throw new TcRefusal('"ip_proto" cannot change after the ports that belong to it', STATUS_OUTSIDE);
        }
        keys.ipProtocol = ipProtocol;
        break;
      }
      case "dst_ip":
        keys.destination = value(keyword, (text) => flowerAddress(text, innerType));
        break;
      case "src_ip":
        keys.source = value(keyword, (text) => flowerAddress(text, innerType));
        break;
      case "dst_port": {
        const ports = value(keyword, (text) => flowerPorts(text, keys.ipProtocol));
        if ("from" in ports) keys.destinationPorts = ports;
        else keys.destinationPort = ports;
        break;
      }
      case "src_port": {
        const ports = value(keyword, (text) => flowerPorts(text, keys.ipProtocol));
        if ("from" in ports) keys.sourcePorts = ports;
        else keys.sourcePort = ports;
        break;
      }
      case "dst_mac":
        keys.destinationMac = value(keyword, flowerMac);
        break;
      case "src_mac":
        keys.sourceMac = value(keyword, flowerMac);
        break;
      case "ip_tos":
        keys.tos = value(keyword, maskedByte);
        break;
      case "ip_ttl":
        keys.ttl = value(keyword, maskedByte);
        break;
      case "type":
        keys.icmpType = value("icmp type", (text) => flowerIcmp(text, innerType, keys.ipProtocol));
        break;
      case "code":
        keys.icmpCode = value("icmp code", (text) => flowerIcmp(text, innerType, keys.ipProtocol));
        break;
      case "tcp_flags":
        keys.tcpFlags = value(keyword, (text) => masked(text, 16, 16, 0xffff, 0x0fff));
        break;
      case "arp_op":
        keys.arpOperation = value(keyword, (text) => flowerArpOperation(text, innerType));
        break;
      case "arp_sip":
        keys.arpSource = value(keyword, (text) => flowerArpAddress(text, innerType));
        break;
      case "arp_tip":
        keys.arpTarget = value(keyword, (text) => flowerArpAddress(text, innerType));
        break;
      case "action":
        takeActions(words, found);
        break;
      case undefined:
        throw unknownWord(word);
      default:
        throw outside(`flower ${keyword}`);
    }
  }
  if (protocol !== ETH_P_ALL) keys.etherType = protocol;
  return { kind: "flower", keys, ...found };
}

function flowerProtocol(text: string, type: number): number | undefined {
  const wrong = new TcRefusal('Illegal "eth_type" for ip proto', 1);
  if (type !== ETH_P_IP && type !== ETH_P_IPV6) throw wrong;
  const known = IP_PROTOCOLS.find(([name]) => isPrefix(text, name));
  if (!known) return unsigned(text, 16, 0xff);
  const [name, number] = known;
  if ((name === "icmp" && type !== ETH_P_IP) || (name === "icmpv6" && type !== ETH_P_IPV6)) throw wrong;
  return number;
}

function flowerAddress(text: string, type: number): FlowerKeys["source"] {
  // Protocol 0, in a delete without one, takes either family.
  const families: (4 | 6)[] = type === ETH_P_IP ? [4] : type === ETH_P_IPV6 ? [6] : type === 0 ? [4, 6] : [];
  if (families.length === 0) return undefined;
  for (const family of families) {
    const address = prefixOf(text, family);
    if (address) return address;
  }
  const name = families.length > 1 ? "any valid" : families[0] === 4 ? "inet" : "inet6";
  throw new TcRefusal(`Error: ${name} prefix is expected rather than "${text}".`, 1);
}

/** A number and its mask behind a slash, each in its base; without a mask `whole` is meant. */
function masked(text: string, base: 10 | 16, maskBase: 10 | 16, most: number, whole = most): MaskedNumber | undefined {
  const slash = text.indexOf("/");
  const value = unsigned(slash < 0 ? text : text.slice(0, slash), base, most);
  const mask = slash < 0 ? whole : unsigned(text.slice(slash + 1), maskBase, most);
  return value === undefined || mask === undefined ? undefined : { value, mask };
}

/** One byte of the IPv4 or IPv6 header. */
function maskedByte(text: string): MaskedNumber | undefined {
  return masked(text, 10, 16, 0xff);
}

function flowerIcmp(text: string, type: number, protocol: number | undefined): MaskedNumber | undefined {
  if (protocol !== (type === ETH_P_IP ? IPPROTO_ICMP : type === ETH_P_IPV6 ? IPPROTO_ICMPV6 : undefined)) return undefined;
  return masked(text, 10, 10, 0xff);
}

function flowerArpOperation(text: string, type: number): MaskedNumber | undefined {
  if (type !== ETH_P_ARP && type !== ETH_P_RARP) return undefined;
  const named = ["request", "reply"].indexOf(text) + 1;
  return named > 0 ? { value: named, mask: 0xff } : masked(text, 10, 10, 0xff);
}

function flowerArpAddress(text: string, type: number): MaskedAddress | undefined {
  return type === ETH_P_ARP || type === ETH_P_RARP ? prefixOf(text, 4) : undefined;
}

/** A hardware address, with a mask in the same form or a number of bits behind a slash. */
function flowerMac(text: string): MaskedAddress | undefined {
  const [head = "", tail, ...more] = text.split("/");
  const address = macBytes(head);
  const bits = tail === undefined ? 48 : unsigned(tail, 10, 48);
  const mask = bits === undefined ? macBytes(tail!) : prefixMask(bits, 6);
  return address && mask && more.length === 0 ? { address, mask } : undefined;
}

function macBytes(text: string): Uint8Array | undefined {
  if (!/^[0-9a-fA-F]{1,2}(:[0-9a-fA-F]{1,2}){5}$/.test(text)) return undefined;
  return Uint8Array.from(text.split(":"), (part) => parseInt(part, 16));
}

function flowerPorts(text: string, protocol: number | undefined): MaskedNumber | PortRange | undefined {
  const hasPorts = protocol === IPPROTO_TCP || protocol === IPPROTO_UDP || protocol === IPPROTO_SCTP;
  const dash = text.indexOf("-");
  const from = unsigned(dash < 0 ? text : text.slice(0, dash), 10, 0xffff);
  const to = dash < 0 ? 0 : unsigned(text.slice(dash + 1), 10, 0xffff);
  if (from !== undefined && to !== undefined) {
    if (from && to) {
      if (to <= from) throw new TcRefusal("max value should be greater than min value", 1);
      return hasPorts ? { from, to } : undefined;
    }
    return from && hasPorts ? { value: from, mask: undefined } : undefined;
  }
  const slash = text.indexOf("/");
  if (slash < 0 || !hasPorts) return undefined;
  const value = unsigned(text.slice(0, slash), 0, 0xffff);
  const mask = unsigned(text.slice(slash + 1), 0, 0xffff);
  return value === undefined || mask === undefined ? undefined : { value, mask };
}
