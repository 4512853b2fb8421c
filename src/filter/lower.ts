/**
 * Turns expressions into loads and comparisons, as libpcap's gencode.c (1.10) does for packets that begin with an Ethernet header and for
 * those that begin with IP. Two of its rules may surprise: after `vlan` and `mpls`, everything to the right looks 4 bytes further in, and
 * IPv4 fragments other than the first have no ports.
 */
import { ETH_P_8021AD, ETH_P_8021Q, ETH_P_ARP, ETH_P_IP, ETH_P_IPV6, ETH_P_MPLS_UC, ETH_P_QINQ1, ETH_P_RARP } from "../wire/ether_types.ts";
import type { FirstHeader } from "../packet/packet_view.ts";
import { IPPROTO_FRAGMENT, IPPROTO_ICMP, IPPROTO_ICMPV6, IPPROTO_SCTP, IPPROTO_TCP, IPPROTO_UDP } from "../wire/ip_protocols.ts";
import { FilterError, type Span } from "./filter_error.ts";
import type { Arithmetic, Direction, Protocol, Tree } from "./language/tree.ts";
import { all, any, calculate, type Comparison, load, not, number, type Test, type Value, wholeMask } from "./condition.ts";

/** Up to this value an EtherType is a length, and LLC follows. */
const LARGEST_LENGTH = 1500;
/** Access points of LLC that are in both of its first bytes: ISO, IP and NetBEUI. */
const BOTH_SAPS: ReadonlySet<number> = new Set([0xfe, 0x06, 0xf0]);
/** IPX and AppleTalk come in several forms at once. */
const MANY_FORMS: ReadonlySet<number> = new Set([0xe0, 0x809b, 0x80f3]);

const IPV4_HEADER = { protocol: 9, fragment: 6, source: 12, destination: 16 };
const IPV6_HEADER = { protocol: 6, source: 8, destination: 24, size: 40 };
const ARP_HEADER = { source: 14, destination: 24 };

/** EtherTypes of the tags that `vlan` matches. */
export const VLAN_TYPES: readonly number[] = [ETH_P_8021Q, ETH_P_8021AD, ETH_P_QINQ1];

const FALSE: Test = { kind: "constant", value: false };

/** The protocols above IP: their number, and the IP versions that they run over. */
const ABOVE_IP: Readonly<Record<Exclude<Protocol, "ip" | "ip6" | "arp" | "rarp" | "stp">, readonly ["any" | "ip" | "ip6", number]>> = {
  tcp: ["any", IPPROTO_TCP],
  udp: ["any", IPPROTO_UDP],
  sctp: ["any", IPPROTO_SCTP],
  icmp: ["ip", IPPROTO_ICMP],
  icmp6: ["ip6", IPPROTO_ICMPV6],
  igmp: ["ip", 2],
  igrp: ["ip", 9],
  pim: ["any", 103],
  vrrp: ["ip", 112],
  carp: ["ip", 112],
  ah: ["any", 51],
  esp: ["any", 50],
};

/**
 * Lowers an expression for packets of one kind.
 *
 * @throws {FilterError} at anything that makes no sense for them.
 */
export function lower(expression: string, tree: Tree, first: FirstHeader): Test {
  return new Lowering(expression, first).test(tree);
}

/** {@linkcode lower} for each of the conditions that must all hold: the order of the terms matters, since `vlan` moves what follows. */
export function lowerTerms(expression: string, tree: Tree, first: FirstHeader): Test[] {
  const lowering = new Lowering(expression, first);
  return tree.kind === "and" ? tree.terms.map((term) => lowering.test(term)) : [lowering.test(tree)];
}

function compare(comparison: Comparison, left: Value, right: number): Test {
  return { kind: "compare", comparison, left, right: number(right) };
}

/** Whether the bits of the mask equal those of the value. */
function masked(size: 1 | 2 | 4, offset: number, value: number, mask: number): Test | undefined {
  if (mask === 0) return undefined;
  const bytes = load(size, offset);
  return compare("=", mask === wholeMask(size) ? bytes : { kind: "calculation", operation: "&", left: bytes, right: number(mask) }, value);
}

class Lowering {
  readonly #expression: string;
  readonly #ethernet: boolean;
  /** Where the EtherType is. */
  #type: number;
  /** Where the link's payload begins. */
  #payload: number;
  /** Size of the MPLS labels before the network header, in bytes. */
  #labels = 0;

  constructor(expression: string, first: FirstHeader) {
    this.#expression = expression;
    this.#ethernet = first === "ethernet";
    this.#type = 12;
    this.#payload = this.#ethernet ? 14 : 0;
  }

  /** Where the network header begins. */
  get #network(): number {
    return this.#payload + this.#labels;
  }

  test(tree: Tree): Test {
    switch (tree.kind) {
      case "and":
        return all(...tree.terms.map((term) => this.test(term)));
      case "or":
        return any(...tree.terms.map((term) => this.test(term)));
      case "not":
        return not(this.test(tree.term));
      case "protocol":
        return this.#protocol(tree.protocol);
      case "number":
        return tree.over === "ether" ? this.#etherNumber(tree.value, tree.at) : this.#ipProtocol(tree.over, tree.value);
      case "net":
        return this.#net(tree);
      case "mac":
        return this.#mac(tree.direction, tree.address);
      case "ports":
        return this.#ports(tree.over, tree.direction, tree.from, tree.to);
      case "broadcast":
        return this.#mac("dst", new Uint8Array(6).fill(0xff));
      case "multicast":
        return this.#multicast(tree.over);
      case "vlan":
        return this.#vlan(tree.id, tree.at);
      case "mpls":
        return this.#mpls(tree.label);
      case "compare": {
        const needs: Test[] = [];
        const left = this.#value(tree.left, needs);
        const right = this.#value(tree.right, needs);
        return all(...needs, { kind: "compare", comparison: tree.relation, left, right });
      }
      case "sample":
        return { kind: "sample", test: tree.test };
      case "vni":
        return { kind: "vni", value: tree.value };
      case "inner": {
        // This is another packet: nothing said about the outer one moves anything in it.
        const inside = (first: FirstHeader): Test => lower(this.#expression, tree.term, first);
        return { kind: "inner", tests: { ethernet: inside("ethernet"), "raw-ip": inside("raw-ip") } };
      }
    }
  }

  #refuse(at: Span, why: string): FilterError {
    return new FilterError(this.#expression, at, why);
  }

  /** An EtherType, or its counterpart in LLC, that the expression gives by number or name. */
  #etherNumber(type: number, at: Span): Test {
    if (this.#ethernet && this.#labels === 0 && MANY_FORMS.has(type)) {
      const hex = `0x${type.toString(16)}`;
      throw this.#refuse(at, `ether proto ${hex} comes in several forms; use ether[12:2] = ${hex}`);
    }
    return this.#etherType(type);
  }

  #etherType(type: number): Test {
    if (this.#labels > 0) {
      // What follows the last label identifies itself.
      const version = type === ETH_P_IP ? 0x40 : type === ETH_P_IPV6 ? 0x60 : undefined;
      if (version === undefined) return FALSE;
      return all(masked(1, this.#network - 2, 1, 1)!, masked(1, this.#network, version, 0xf0)!);
    }
    if (!this.#ethernet) {
      const version = type === ETH_P_IP ? 0x40 : type === ETH_P_IPV6 ? 0x60 : undefined;
      return version === undefined ? FALSE : masked(1, 0, version, 0xf0)!;
    }
    if (type > LARGEST_LENGTH) return compare("=", load(2, this.#type), type);
    const saps = BOTH_SAPS.has(type) ? compare("=", load(2, this.#payload), type << 8 | type) : compare("=", load(1, this.#payload), type);
    return all(compare("<=", load(2, this.#type), LARGEST_LENGTH), saps);
  }

  #protocol(protocol: Protocol): Test {
    switch (protocol) {
      case "ip":
        return this.#etherType(ETH_P_IP);
      case "ip6":
        return this.#etherType(ETH_P_IPV6);
      case "arp":
        return this.#etherType(ETH_P_ARP);
      case "rarp":
        return this.#etherType(ETH_P_RARP);
      case "stp":
        return this.#etherType(0x42);
      default:
        return this.#ipProtocol(...ABOVE_IP[protocol]);
    }
  }

  #ipProtocol(over: "any" | "ip" | "ip6", protocol: number): Test {
    const at = this.#network;
    const ip = (): Test => all(this.#etherType(ETH_P_IP), compare("=", load(1, at + IPV4_HEADER.protocol), protocol));
    const ip6 = (): Test => {
      const next = load(1, at + IPV6_HEADER.protocol);
      const behindFragment = all(compare("=", next, IPPROTO_FRAGMENT), compare("=", load(1, at + IPV6_HEADER.size), protocol));
      return all(this.#etherType(ETH_P_IPV6), any(compare("=", next, protocol), behindFragment));
    };
    return over === "ip" ? ip() : over === "ip6" ? ip6() : any(ip(), ip6());
  }

  #ends(direction: Direction, end: (isSource: boolean) => Test): Test {
    switch (direction) {
      case "src":
        return end(true);
      case "dst":
        return end(false);
      case "src and dst":
        return all(end(true), end(false));
      case "src or dst":
        return any(end(true), end(false));
    }
  }

  #net({ over, direction, address, mask }: Tree & { kind: "net" }): Test {
    const view = new DataView(address.buffer, address.byteOffset);
    const masks = new DataView(mask.buffer, mask.byteOffset);
    const words = Array.from({ length: address.length / 4 }, (_, i) => [view.getUint32(4 * i), masks.getUint32(4 * i)] as const);
    const within = (type: number, source: number, destination: number): Test => {
      const at = this.#network;
      return all(
        this.#etherType(type),
        this.#ends(direction, (isSource) => {
          const offset = at + (isSource ? source : destination);
          return all(...words.map(([word, bits], i) => masked(4, offset + 4 * i, word, bits)).filter((test) => test !== undefined));
        }),
      );
    };
    const ip = (): Test => within(ETH_P_IP, IPV4_HEADER.source, IPV4_HEADER.destination);
    const arp = (): Test => within(ETH_P_ARP, ARP_HEADER.source, ARP_HEADER.destination);
    const rarp = (): Test => within(ETH_P_RARP, ARP_HEADER.source, ARP_HEADER.destination);
    if (address.length === 16) return within(ETH_P_IPV6, IPV6_HEADER.source, IPV6_HEADER.destination);
    if (over === "any") return any(ip(), arp(), rarp());
    return over === "arp" ? arp() : over === "rarp" ? rarp() : ip();
  }

  #mac(direction: Direction, address: Uint8Array): Test {
    if (!this.#ethernet) return FALSE;
    const view = new DataView(address.buffer, address.byteOffset);
    return this.#ends(direction, (isSource) => {
      const at = isSource ? 6 : 0;
      return all(compare("=", load(4, at + 2), view.getUint32(2)), compare("=", load(2, at), view.getUint16(0)));
    });
  }

  #ports(over: "any" | "tcp" | "udp" | "sctp", direction: Direction, from: number, to: number): Test {
    const protocols = over === "any" ? [IPPROTO_TCP, IPPROTO_UDP, IPPROTO_SCTP] : [ABOVE_IP[over][1]];
    const at = this.#network;
    const among = (port: Value): Test => from === to ? compare("=", port, from) : all(compare(">=", port, from), compare("<=", port, to));
    const carries = (offset: number): Test => any(...protocols.map((protocol) => compare("=", load(1, at + offset), protocol)));
    const size: Value = { kind: "header length", offset: at };
    return any(
      all(
        this.#etherType(ETH_P_IPV6),
        carries(IPV6_HEADER.protocol),
        this.#ends(direction, (isSource) => among(load(2, at + IPV6_HEADER.size + (isSource ? 0 : 2)))),
      ),
      all(
        this.#etherType(ETH_P_IP),
        carries(IPV4_HEADER.protocol),
        this.#firstFragment(),
        this.#ends(direction, (isSource) => among(load(2, at + (isSource ? 0 : 2), size))),
      ),
    );
  }

  #firstFragment(): Test {
    return not(compare("&", load(2, this.#network + IPV4_HEADER.fragment), 0x1fff));
  }

  #multicast(over: "ether" | "ip" | "ip6"): Test {
    const at = this.#network;
    switch (over) {
      case "ether":
        return this.#ethernet ? compare("&", load(1, 0), 1) : FALSE;
      case "ip":
        return all(this.#etherType(ETH_P_IP), compare(">=", load(1, at + IPV4_HEADER.destination), 224));
      case "ip6":
        return all(this.#etherType(ETH_P_IPV6), compare("=", load(1, at + IPV6_HEADER.destination), 255));
    }
  }

  #vlan(id: number | undefined, at: Span): Test {
    if (this.#labels > 0) throw this.#refuse(at, "there is no VLAN tag after MPLS labels");
    if (!this.#ethernet) return FALSE;
    const tagged = any(...VLAN_TYPES.map((type) => this.#etherType(type)));
    const numbered = id === undefined ? [] : [masked(2, this.#payload, id, 0xfff)!];
    this.#type += 4;
    this.#payload += 4;
    return all(tagged, ...numbered);
  }

  #mpls(label: number | undefined): Test {
    if (!this.#ethernet) return FALSE;
    // After another label it is a label if that one was not the last.
    const labelled = this.#labels > 0 ? masked(1, this.#network - 2, 0, 1)! : this.#etherType(ETH_P_MPLS_UC);
    const numbered = label === undefined ? [] : [masked(4, this.#network, label << 12 >>> 0, 0xfffff000)!];
    this.#labels += 4;
    return all(labelled, ...numbered);
  }

  /** The value of an arithmetic expression; conditions for a packet to have these bytes are added to `needs`. */
  #value(arithmetic: Arithmetic, needs: Test[]): Value {
    switch (arithmetic.kind) {
      case "number":
        return number(arithmetic.value);
      case "length":
        return { kind: "length" };
      case "negation": {
        const of = this.#value(arithmetic.of, needs);
        return of.kind === "number" ? number(-of.value) : { kind: "calculation", operation: "-", left: number(0), right: of };
      }
      case "calculation": {
        const { sign, at } = arithmetic;
        const left = this.#value(arithmetic.left, needs);
        // As in libpcap, whose gen_arth() keeps only the conditions of its left side: the protocol of bytes on the right is not tested.
        const right = this.#value(arithmetic.right, []);
        if (right.kind === "number") {
          if ((sign === "/" || sign === "%") && right.value === 0) throw this.#refuse(at, "division by zero");
          if ((sign === "<<" || sign === ">>") && right.value > 31) {
            throw this.#refuse(at, "numbers have 32 bits, so the maximum shift is 31");
          }
          if (left.kind === "number") return number(calculate(sign, left.value, right.value)!);
        }
        return { kind: "calculation", operation: sign, left, right };
      }
      case "bytes":
        return this.#bytes(arithmetic, needs);
    }
  }

  #bytes({ protocol, index, size }: Arithmetic & { kind: "bytes" }, needs: Test[]): Value {
    const offset = this.#value(index, needs);
    return this.#bytesAt(protocol, size, offset, needs);
  }

  #bytesAt(protocol: (Arithmetic & { kind: "bytes" })["protocol"], size: 1 | 2 | 4, offset: Value, needs: Test[]): Value {
    const network = this.#network;
    switch (protocol) {
      case "ether":
      case "link":
        return load(size, 0, offset);
      case "ip":
      case "ip6":
      case "arp":
      case "rarp":
        needs.push(this.#protocol(protocol));
        return load(size, network, offset);
      case "icmp6":
        needs.push(this.#etherType(ETH_P_IPV6), compare("=", load(1, network + IPV6_HEADER.protocol), IPPROTO_ICMPV6));
        return load(size, network + IPV6_HEADER.size, offset);
      default: {
        // Bytes of these protocols are accessible in IPv4 only, as in libpcap.
        needs.push(this.#etherType(ETH_P_IP), this.#protocol(protocol), this.#firstFragment());
        const header: Value = { kind: "header length", offset: network };
        if (offset.kind === "number") return load(size, (network + offset.value) >>> 0, header);
        return load(size, network, { kind: "calculation", operation: "+", left: header, right: offset });
      }
    }
  }
}
