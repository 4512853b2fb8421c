/** The IP protocols that flower knows by name, in the order in which iproute2 compares prefixes with them. */
import { IPPROTO_ICMP, IPPROTO_ICMPV6, IPPROTO_SCTP, IPPROTO_TCP, IPPROTO_UDP } from "../../src/tc/flower.ts";

/** Name and number of each. */
export const IP_PROTOCOLS = [
  ["tcp", IPPROTO_TCP],
  ["udp", IPPROTO_UDP],
  ["sctp", IPPROTO_SCTP],
  ["icmp", IPPROTO_ICMP],
  ["icmpv6", IPPROTO_ICMPV6],
] as const;

/** The name of a protocol. */
export function ipProtocolName(number: number): string | undefined {
  return IP_PROTOCOLS.find(([, known]) => known === number)?.[0];
}
