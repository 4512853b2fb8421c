/**
 * Turns tests into filters of the classifier flower, if they are one conjunction of comparisons that its keys can make.
 * Source: net/sched/cls_flower.c, and `__skb_flow_dissect` in net/core/flow_dissector.c for how flower sees a packet.
 */
import type { FirstHeader } from "../packet/packet_view.ts";
import { type MaskedAddress, prefixLength } from "../tc/address.ts";
import type { FlowerKeys, MaskedNumber } from "../tc/flower.ts";
import { ETH_P_8021Q, ETH_P_ALL, ETH_P_ARP, ETH_P_IP, ETH_P_IPV6, ETH_P_RARP } from "../wire/ether_types.ts";
import { IPPROTO_FRAGMENT, IPPROTO_ICMP, IPPROTO_ICMPV6, IPPROTO_SCTP, IPPROTO_TCP, IPPROTO_UDP } from "../wire/ip_protocols.ts";
import type { Test } from "./condition.ts";
import { behindIpv4, type ByteFacts, conjunction, FRAME } from "./conjunction.ts";
import { VLAN_TYPES } from "./lower.ts";

/** A flower filter. */
export interface FlowerMatch {
  /** The filter's protocol: an EtherType, or {@linkcode ETH_P_ALL} for all. */
  readonly protocol: number;
  readonly keys: Readonly<FlowerKeys>;
  /** Packets that flower judges differently from the expression; empty if both mean the same. */
  readonly differences: readonly string[];
}

const FRAGMENTS = "the first fragment of a packet never matches: flower sees no ports in fragments";
const EXTENSIONS = "an IPv6 packet also matches if extension headers come before the protocol";
/** In packets sent by a packet socket, the network header is after the tag (`packet_parse_headers`), where flower looks for the tag. */
const OTHER_TAGS = "vlan is 802.1Q only: other tags do not match, nor those in frames that a program builds itself";
const OTHER_ARP = "ARP matches only if it is a request or a reply, for Ethernet and IPv4";

const HAS_PORTS: ReadonlySet<number> = new Set([IPPROTO_TCP, IPPROTO_UDP, IPPROTO_SCTP]);
/** Headers that flower skips: it never sees them as a protocol. */
const IPV6_EXTENSIONS: ReadonlySet<number> = new Set([0, 43, IPPROTO_FRAGMENT, 60]);

/** Offsets of the EtherType of an Ethernet frame, and of what follows a tag. */
const ETHER_TYPE = 12;
const TAG_SIZE = 4;

/**
 * A test as a flower filter.
 *
 * @param exact Accept no filter that judges any packet differently.
 * @returns The filter; or why there is none, as a clause about flower.
 */
export function flowerMatch(test: Test, first: FirstHeader, exact: boolean): FlowerMatch | string {
  const differences = new Set<string>();
  const facts = conjunction(test, (alternatives) => {
    if (exact) return undefined;
    const vlan = vlanChoice(alternatives);
    if (vlan) differences.add(OTHER_TAGS);
    const choice = vlan ?? behindFragment(alternatives, first);
    if (choice && !vlan) differences.add(EXTENSIONS);
    return choice;
  });
  if (typeof facts === "string") return facts;
  const keys = new KeyReader(facts, differences).read(first);
  if (typeof keys === "string") return keys;
  if (exact && differences.size > 0) return `differs: ${[...differences].join("; ")}`;
  return { ...keys, differences: [...differences] };
}

/** Any of the EtherTypes of tags: flower can match only one of them, so it is the usual one. */
function vlanChoice(alternatives: readonly Test[]): Test | undefined {
  const types = alternatives.map((test) => {
    const same = test.kind === "compare" && test.comparison === "=" ? test : undefined;
    const isType = same?.left.kind === "load" && same.left.size === 2 && !same.left.index && same.left.offset % 4 === 0;
    return isType && same.right.kind === "number"
      ? { test, offset: (same.left as { offset: number }).offset, type: same.right.value }
      : undefined;
  });
  if (
    types.length !== VLAN_TYPES.length || types.some((one) => !one || one.offset !== types[0]!.offset || !VLAN_TYPES.includes(one.type))
  ) {
    return undefined;
  }
  return types.find((one) => one!.type === ETH_P_8021Q)?.test;
}

/** An IPv6 protocol, right after the header or after a fragment header: flower finds it after all extension headers. */
function behindFragment(alternatives: readonly Test[], first: FirstHeader): Test | undefined {
  const [direct, behind, ...more] = alternatives;
  if (more.length > 0 || direct?.kind !== "compare" || behind?.kind !== "and") return undefined;
  const next = direct.left.kind === "load" && !direct.left.index ? direct.left : undefined;
  const [fragment, protocol, ...others] = behind.terms;
  const isFragment = fragment?.kind === "compare" && JSON.stringify(fragment.left) === JSON.stringify(next) &&
    fragment.right.kind === "number" && fragment.right.value === IPPROTO_FRAGMENT;
  const isProtocol = protocol?.kind === "compare" && protocol.left.kind === "load" && protocol.left.size === 1 && !protocol.left.index &&
    protocol.left.offset === (next?.offset ?? 0) + 34 && JSON.stringify(protocol.right) === JSON.stringify(direct.right);
  const start = first === "ethernet" ? ETHER_TYPE + 2 : 0;
  return isFragment && isProtocol && others.length === 0 && next!.offset >= start + 6 ? direct : undefined;
}

/** Turns facts about bytes into keys, until none is left. */
class KeyReader {
  readonly #facts: ByteFacts;
  readonly #differences: Set<string>;
  readonly #keys: FlowerKeys = {};

  constructor(facts: ByteFacts, differences: Set<string>) {
    this.#facts = facts;
    this.#differences = differences;
  }

  read(first: FirstHeader): Pick<FlowerMatch, "protocol" | "keys"> | string {
    const keys = this.#keys;
    let protocol: number | undefined;
    let network: number | undefined;
    let networkType: number | undefined;
    if (first === "ethernet") {
      keys.destinationMac = this.#address(0, 6);
      keys.sourceMac = this.#address(6, 6);
      protocol = networkType = this.#type(ETHER_TYPE);
      network = ETHER_TYPE + 2;
      if (protocol === ETH_P_8021Q) {
        this.#tag(network);
        networkType = keys.vlanEtherType = this.#type(network + 2);
        network += TAG_SIZE;
        // A second tag has its own keys, which are not made here.
        if (networkType !== undefined && VLAN_TYPES.includes(networkType)) return "has no key here for a tag after a tag";
      }
    } else {
      const version = this.#facts.take(FRAME, 0, 0xf0);
      protocol = networkType = version === 0x40 ? ETH_P_IP : version === 0x60 ? ETH_P_IPV6 : undefined;
      network = 0;
    }
    const why = this.#network(network, networkType);
    if (why !== undefined) return why;
    if (this.#facts.size > 0 || this.#facts.limits.size > 0) return "has no key for some of these bytes";
    const given = Object.fromEntries(Object.entries(keys).filter(([, value]) => value !== undefined)) as FlowerKeys;
    return { protocol: protocol ?? ETH_P_ALL, keys: protocol === undefined ? given : { ...given, etherType: protocol } };
  }

  #network(at: number, type: number | undefined): string | undefined {
    const keys = this.#keys;
    switch (type) {
      case ETH_P_IP:
        keys.tos = this.#masked(FRAME, at + 1, 1);
        keys.ttl = this.#masked(FRAME, at + 8, 1);
        keys.ipProtocol = this.#facts.take(FRAME, at + 9, 0xff);
        keys.source = this.#address(at + 12, 4);
        keys.destination = this.#address(at + 16, 4);
        return this.#transport(behindIpv4(at), 0, IPPROTO_ICMP, at);
      case ETH_P_IPV6:
        keys.ttl = this.#masked(FRAME, at + 7, 1);
        keys.ipProtocol = this.#facts.take(FRAME, at + 6, 0xff);
        keys.source = this.#address(at + 8, 16);
        keys.destination = this.#address(at + 24, 16);
        if (keys.ipProtocol !== undefined) {
          if (IPV6_EXTENSIONS.has(keys.ipProtocol)) return "sees no extension headers of IPv6";
          this.#differences.add(EXTENSIONS);
        }
        return this.#transport(FRAME, at + 40, IPPROTO_ICMPV6, undefined);
      case ETH_P_ARP:
      case ETH_P_RARP:
        // The key is the lower byte of the operation; the upper one is 0 in all operations that exist.
        if (this.#facts.has(FRAME, at + 7) && this.#facts.take(FRAME, at + 6, 0xff) === 0) {
          keys.arpOperation = this.#masked(FRAME, at + 7, 1);
        }
        keys.arpSource = this.#address(at + 14, 4);
        keys.arpTarget = this.#address(at + 24, 4);
        if (keys.arpOperation ?? keys.arpSource ?? keys.arpTarget) this.#differences.add(OTHER_ARP);
        return undefined;
      default:
        return undefined;
    }
  }

  /**
   * What follows the IP header: `region` and `start` say where. The IPv4 header at `ipv4` says that fragments other than the first have no
   * ports.
   */
  #transport(region: number, start: number, icmp: number, ipv4: number | undefined): string | undefined {
    const keys = this.#keys;
    const protocol = keys.ipProtocol;
    const facts = this.#facts;
    const before = facts.size + facts.limits.size;
    if (protocol !== undefined && HAS_PORTS.has(protocol)) {
      for (const [single, several, offset] of [["sourcePort", "sourcePorts", 0], ["destinationPort", "destinationPorts", 2]] as const) {
        const limits = facts.takeLimits(region, start + offset, 2);
        const port = this.#masked(region, start + offset, 2);
        // Flower takes 0 for "no port", and rejects a range that ends where it begins.
        if (limits && (port || limits.from === 0 || limits.from >= limits.to)) return "has no key for this range of ports";
        if (port && port.value === 0 && port.mask === undefined) return "takes port 0 for none";
        keys[several] = limits;
        keys[single] = port;
      }
      if (protocol === IPPROTO_TCP) keys.tcpFlags = this.#masked(region, start + 13, 1);
    } else if (protocol === icmp) {
      keys.icmpType = this.#masked(region, start, 1);
      keys.icmpCode = this.#masked(region, start + 1, 1);
    }
    const looksBehind = facts.size + facts.limits.size < before;
    if (looksBehind && ipv4 !== undefined) {
      this.#differences.add(FRAGMENTS);
      if (facts.take(FRAME, ipv4 + 6, 0x1f) !== 0 || facts.take(FRAME, ipv4 + 7, 0xff) !== 0) {
        return "sees nothing after the IP header of fragments";
      }
    }
    return undefined;
  }

  #type(at: number): number | undefined {
    if (this.#facts.maskOf(FRAME, at) !== 0xff || this.#facts.maskOf(FRAME, at + 1) !== 0xff) return undefined;
    return this.#facts.take(FRAME, at, 0xff)! << 8 | this.#facts.take(FRAME, at + 1, 0xff)!;
  }

  /** The number and the priority of a VLAN: flower compares each as a whole, or not at all. */
  #tag(at: number): void {
    const facts = this.#facts;
    this.#keys.vlanPriority = shifted(facts.take(FRAME, at, 0xe0), 5);
    if ((facts.maskOf(FRAME, at) & 0x0f) !== 0x0f || facts.maskOf(FRAME, at + 1) !== 0xff) return;
    this.#keys.vlanId = facts.take(FRAME, at, 0x0f)! << 8 | facts.take(FRAME, at + 1, 0xff)!;
  }

  /** A number, and the mask of its bits that count. */
  #masked(region: number, at: number, size: 1 | 2): MaskedNumber | undefined {
    let value = 0;
    let mask = 0;
    for (let i = 0; i < size; i++) {
      const bits = this.#facts.maskOf(region, at + i);
      mask = mask << 8 | bits;
      value = value << 8 | (bits === 0 ? 0 : this.#facts.take(region, at + i, bits)!);
    }
    if (mask === 0) return undefined;
    // As tc sends it: the mask of a port is left out if it covers the whole port.
    return { value, mask: mask === 0xffff ? undefined : mask };
  }

  /** An address, if its bits are a prefix: tc has no form for other masks. */
  #address(at: number, size: 4 | 6 | 16): MaskedAddress | undefined {
    const mask = Uint8Array.from({ length: size }, (_, i) => this.#facts.maskOf(FRAME, at + i));
    if (prefixLength(mask) === undefined) return undefined;
    const address = Uint8Array.from(mask, (bits, i) => bits === 0 ? 0 : this.#facts.take(FRAME, at + i, bits)!);
    return { address, mask };
  }
}

function shifted(bits: number | undefined, by: number): number | undefined {
  return bits === undefined ? undefined : bits >> by;
}
