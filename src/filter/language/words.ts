/** The words of the language, and the signs. */
import { BYTE_NAMES } from "./names.ts";
import type { Token } from "./tokens.ts";
import { BYTE_PROTOCOLS, PROTOCOLS, type Relation } from "./tree.ts";

/** What a value can be. */
export const TYPES: ReadonlySet<string> = new Set(["host", "net", "port", "portrange", "proto"]);
/** Signs of a comparison. */
export const RELATIONS: ReadonlyMap<string, Relation> = new Map([
  ["=", "="],
  ["==", "="],
  ["!=", "!="],
  ["<", "<"],
  ["<=", "<="],
  [">", ">"],
  [">=", ">="],
]);
/**
 * How tightly operators bind. Those that are not here have no precedence in libpcap's grammar: everything after them is their right side.
 */
export const RANKS: ReadonlyMap<string, number> = new Map([
  ["|", 1],
  ["&", 1],
  ["<<", 2],
  [">>", 2],
  ["+", 3],
  ["-", 3],
  ["*", 4],
  ["/", 4],
]);
/** How tightly the others bind to what precedes them. */
export const UNRANKED = 9;
/** Words of pcap-filter(7) that this language does not have. */
export const REFUSED: ReadonlyMap<string, string> = new Map([
  ["gateway", "gateway needs the addresses of names, and names are not looked up"],
  ["protochain", "protochain needs a loop, which filters in the kernel cannot have; use proto"],
  ["inbound", "use ingress"],
  ["outbound", "use egress"],
  ["ifname", "use device"],
  ["pppoed", "use ether proto 0x8863"],
  ["pppoes", "use ether proto 0x8864; the headers after it are not examined"],
  ["geneve", "use udp port 6081, vni N or inner (...)"],
]);
/** Words of other languages for the same things, such as those of tc's flower and of Wireshark. */
export const SAID_OTHERWISE: ReadonlyMap<string, string> = new Map([
  ["dport", "dst port"],
  ["dst_port", "dst port"],
  ["sport", "src port"],
  ["src_port", "src port"],
  ["dst_ip", "dst host, or dst net for a prefix"],
  ["src_ip", "src host, or src net for a prefix"],
  ["dst_mac", "ether dst"],
  ["src_mac", "ether src"],
  ["ip_proto", "ip proto"],
  ["protocol", "proto, or ether proto"],
  ["eth_type", "ether proto"],
  ["ipv4", "ip"],
  ["ipv6", "ip6"],
  ["icmpv6", "icmp6"],
  ["vlan_id", "vlan"],
  ["tcp_flags", "tcp[tcpflags]"],
]);
/** Words about a sample that compare a number. */
export const SAMPLE_NUMBERS: ReadonlySet<string> = new Set(["group", "rate", "queue", "latency"]);
/** Words about a sample that name a device. */
export const NAMES_A_DEVICE: ReadonlySet<string> = new Set(["in", "out", "device"]);
const SINGLE: ReadonlySet<string> = new Set([
  "len",
  "less",
  "greater",
  "broadcast",
  "multicast",
  "vlan",
  "mpls",
  "src",
  "dst",
  "ingress",
  "egress",
  "cookie",
  "vni",
  "inner",
]);
export const JOINS: ReadonlyMap<string, "and" | "or"> = new Map([["and", "and"], ["&&", "and"], ["or", "or"], ["||", "or"]]);

export const PROTOCOL_WORDS: ReadonlySet<string> = new Set(PROTOCOLS);
export const BYTE_WORDS: ReadonlySet<string> = new Set(BYTE_PROTOCOLS);

/** Whether a word is a keyword, and so not a value. */
export function isKeyword({ kind, text, escaped }: Token): boolean {
  if (kind !== "word" || escaped) return false;
  return PROTOCOL_WORDS.has(text) || BYTE_WORDS.has(text) || TYPES.has(text) || REFUSED.has(text) || SAMPLE_NUMBERS.has(text) ||
    NAMES_A_DEVICE.has(text) || SINGLE.has(text) || BYTE_NAMES.has(text) || JOINS.has(text) || text === "not";
}
