/** The syntax tree of an expression: the parser makes it, and everything else is made from it. */
import type { Span } from "../filter_error.ts";

/** At which end of the packet. */
export type Direction = "src" | "dst" | "src or dst" | "src and dst";

/** How numbers are compared. */
export type Relation = "=" | "!=" | "<" | "<=" | ">" | ">=";

/** Arithmetic operators. */
export type ArithmeticSign = "+" | "-" | "*" | "/" | "%" | "&" | "|" | "^" | "<<" | ">>";

/** The headers whose bytes an expression may name. */
export const BYTE_PROTOCOLS = [
  "ether",
  "link",
  "ip",
  "ip6",
  "arp",
  "rarp",
  "tcp",
  "udp",
  "sctp",
  "icmp",
  "icmp6",
  "igmp",
  "igrp",
  "pim",
  "vrrp",
  "carp",
] as const;

/** One of them. */
export type ByteProtocol = typeof BYTE_PROTOCOLS[number];

/** The words that name a protocol on their own. */
export const PROTOCOLS = [
  "ip",
  "ip6",
  "arp",
  "rarp",
  "tcp",
  "udp",
  "sctp",
  "icmp",
  "icmp6",
  "igmp",
  "igrp",
  "pim",
  "vrrp",
  "carp",
  "ah",
  "esp",
  "stp",
] as const;

/** One of them. */
export type Protocol = typeof PROTOCOLS[number];

/** A number, or an expression that yields one for a packet. */
export type Arithmetic =
  | { readonly kind: "number"; readonly value: number }
  | { readonly kind: "length" }
  | { readonly kind: "negation"; readonly of: Arithmetic }
  | { readonly kind: "bytes"; readonly protocol: ByteProtocol; readonly index: Arithmetic; readonly size: 1 | 2 | 4 }
  | {
    readonly kind: "calculation";
    readonly sign: ArithmeticSign;
    readonly left: Arithmetic;
    readonly right: Arithmetic;
    readonly at: Span;
  };

/** A condition about a sample rather than its packet. */
export type SampleTest =
  | { readonly about: "device" | "in" | "out"; readonly name: string }
  | { readonly about: "direction"; readonly egress: boolean }
  | { readonly about: "group" | "rate" | "queue" | "latency"; readonly relation: Relation; readonly value: number }
  | { readonly about: "cookie"; readonly bytes: Uint8Array };

/** An expression. */
export type Tree =
  | {
    readonly kind: "and" | "or";
    readonly terms: Tree[];
    /** Where each of the terms is. */
    readonly spans: Span[];
  }
  | { readonly kind: "not"; readonly term: Tree }
  | { readonly kind: "protocol"; readonly protocol: Protocol }
  | {
    readonly kind: "net";
    readonly over: "any" | "ip" | "arp" | "rarp" | "ip6";
    readonly direction: Direction;
    readonly address: Uint8Array;
    readonly mask: Uint8Array;
  }
  | { readonly kind: "mac"; readonly direction: Direction; readonly address: Uint8Array }
  | {
    readonly kind: "ports";
    readonly over: "any" | "tcp" | "udp" | "sctp";
    readonly direction: Direction;
    readonly from: number;
    readonly to: number;
  }
  | { readonly kind: "number"; readonly over: "any" | "ip" | "ip6" | "ether"; readonly value: number; readonly at: Span }
  | { readonly kind: "broadcast" }
  | { readonly kind: "multicast"; readonly over: "ether" | "ip" | "ip6" }
  | { readonly kind: "vlan"; readonly id: number | undefined; readonly at: Span }
  | { readonly kind: "mpls"; readonly label: number | undefined }
  | { readonly kind: "compare"; readonly relation: Relation; readonly left: Arithmetic; readonly right: Arithmetic }
  /** It went through a tunnel with this identifier. */
  | { readonly kind: "vni"; readonly value: number; readonly at: Span }
  /** The packet inside a tunnel. */
  | { readonly kind: "inner"; readonly term: Tree; readonly at: Span }
  | { readonly kind: "sample"; readonly test: SampleTest; readonly at: Span };
