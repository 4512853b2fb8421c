/** IP protocol numbers: include/uapi/linux/in.h, include/uapi/linux/in6.h. */

export const IPPROTO_ICMP = 1;
export const IPPROTO_TCP = 6;
export const IPPROTO_UDP = 17;
/** The fragment header of IPv6. */
export const IPPROTO_FRAGMENT = 44;
export const IPPROTO_ICMPV6 = 58;
export const IPPROTO_SCTP = 132;

/** The IP protocols that flower knows by name, in the order in which iproute2 compares prefixes with them. */
export const IP_PROTOCOLS = [
  ["tcp", IPPROTO_TCP],
  ["udp", IPPROTO_UDP],
  ["sctp", IPPROTO_SCTP],
  ["icmp", IPPROTO_ICMP],
  ["icmpv6", IPPROTO_ICMPV6],
] as const;

/** The number of a protocol; `undefined` for a name that is not in the table. */
export function ipProtocolOf(name: string): number | undefined {
  return IP_PROTOCOLS.find(([known]) => known === name)?.[1];
}

/** The name of a protocol; `undefined` for a number that is not in the table. */
export function ipProtocolName(number: number): string | undefined {
  return IP_PROTOCOLS.find(([, known]) => known === number)?.[0];
}
