/** IP addresses with ports, as the kernel takes them: of a text, or of a host name. Source: ip(7), ipv6(7). */
import { LookupError } from "../errors.ts";
import { hostAddresses } from "../sys/host_addresses.ts";
import { AF_INET, AF_INET6, ENODEV, type Memory, type Sys } from "../sys/sys.ts";
import { LITTLE, memory, viewOf } from "../wire/native.ts";
import { addressBytes, addressText } from "../wire/text.ts";
import { isLocalToLink, type Target } from "./target.ts";

/** The families that can be sent with. */
export type Family = typeof AF_INET | typeof AF_INET6;

/** An IP address with a port, as the kernel takes it. */
export interface SocketAddress {
  /** 4 or 16 bytes in network byte order. */
  readonly address: Uint8Array;
  /** The interface of a link-local IPv6 address, by name or index. */
  readonly scope: string | undefined;
  readonly port: number;
}

/** The family of an address. */
export function familyOf({ address }: SocketAddress): Family {
  return address.length === 4 ? AF_INET : AF_INET6;
}

/** `struct sockaddr_in`, or `struct sockaddr_in6`. */
export function encodeAddress({ address, port }: Omit<SocketAddress, "scope">, scopeId = 0): Memory {
  const isIpv4 = address.length === 4;
  const bytes = memory(isIpv4 ? 16 : 28);
  const view = viewOf(bytes);
  view.setUint16(0, isIpv4 ? AF_INET : AF_INET6, LITTLE);
  view.setUint16(2, port);
  bytes.set(address, isIpv4 ? 4 : 8);
  if (!isIpv4) view.setUint32(24, scopeId, LITTLE);
  return bytes;
}

/** The value of an option that is an int. */
export function int(value: number): Memory {
  const bytes = memory(4);
  viewOf(bytes).setInt32(0, value, LITTLE);
  return bytes;
}

/** The index of the interface that an address belongs to, in the network namespace of a socket; 0 without one, or the negative error number. */
export function scopeIdOf(sys: Sys, fd: number, scope: string | undefined): number {
  if (scope === undefined) return 0;
  const index = sys.interfaceIndex(fd, scope);
  if (index > 0) return index;
  return /^[1-9]\d{0,8}$/.test(scope) ? Number(scope) : index < 0 ? index : -ENODEV;
}

/** Looks a host name up. */
export type Lookup = (name: string) => Promise<readonly string[]>;

/**
 * The addresses of a target. Of a name they are those that it has now; those that mean another host on each link are of no use without the
 * link.
 *
 * @param lookup Looks up a name. Defaults to the runtime's way.
 * @throws {LookupError} if it is a name that has no address.
 */
export async function addressesOf({ host, scope, port }: Target, lookup: Lookup = hostAddresses): Promise<readonly SocketAddress[]> {
  if (typeof host !== "string") return [{ address: host, scope, port }];
  const addresses = (await lookup(host)).flatMap((text) => {
    const address = addressBytes(text);
    return address && !(address.length === 16 && isLocalToLink(address)) ? [{ address, scope: undefined, port }] : [];
  });
  if (addresses.length > 0) return addresses;
  throw new LookupError(host, "ENODATA", "All of its addresses mean another host on each link: write the address with its interface");
}

/** The same addresses, beginning with the one after `last`: so that each has its turn. */
export function startingAfter(addresses: readonly SocketAddress[], last: SocketAddress | undefined): readonly SocketAddress[] {
  const text = last && addressText(last.address);
  const at = addresses.findIndex(({ address }) => addressText(address) === text);
  return [...addresses.slice(at + 1), ...addresses.slice(0, at + 1)];
}
