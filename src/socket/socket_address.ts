/** IP addresses with ports, as the kernel takes them: of a text, or of a host name. Source: ip(7), ipv6(7). */
import { LookupError, SystemError } from "../errors.ts";
import { hostAddresses, late } from "../sys/host_addresses.ts";
import { AF_INET, AF_INET6, EAFNOSUPPORT, ENODEV, type Memory, type Sys } from "../sys/sys.ts";
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

/** The index of the interface that an address belongs to, in the network namespace of a socket; 0 without one, or the negative error number. */
export function scopeIdOf(sys: Sys, fd: number, scope: string | undefined): number {
  if (scope === undefined) return 0;
  const index = sys.interfaceIndex(fd, scope);
  if (index > 0) return index;
  return /^[1-9]\d{0,8}$/.test(scope) ? Number(scope) : index < 0 ? index : -ENODEV;
}

/**
 * How long a name may take at the start, when everything else waits for it: a resolver asks the next name server after 5 seconds
 * (resolv.conf(5)), and that one may answer.
 */
const START_MS = 7000;

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

/** The addresses that a target has at the start; none, and why, if that may pass. */
export interface FirstAddresses {
  readonly addresses: readonly SocketAddress[];
  readonly failure: LookupError | undefined;
}

/**
 * {@linkcode addressesOf} a target at the start. After a boot there may be no name server yet: that must not keep others from beginning.
 *
 * @param startMs How long it may take. Defaults to some seconds.
 * @throws {LookupError} if it is a name that certainly has no address.
 */
export async function firstAddresses(target: Target, lookup: Lookup = hostAddresses, startMs = START_MS): Promise<FirstAddresses> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  try {
    const inTime = (name: string): Promise<readonly string[]> =>
      Promise.race([
        lookup(name),
        new Promise<never>((_, reject) => timer = setTimeout(() => reject(late(name)), startMs)),
      ]);
    return { addresses: await addressesOf(target, inTime), failure: undefined };
  } catch (error) {
    if (!(error instanceof LookupError && error.isTemporary)) throw error;
    return { addresses: [], failure: error };
  } finally {
    clearTimeout(timer);
  }
}

/**
 * Opens a socket for each family that a target may have: a name may get an address of the other family later, when opening a socket may not
 * be possible any more. Machines without IPv6, or without IPv4, are fine as long as the other is enough.
 *
 * @throws {SystemError} if a family that is needed has none; those that were opened are in `sockets`.
 */
export function openFamilies<Socket>(
  sockets: Map<Family, Socket>,
  { host }: Target,
  addresses: readonly SocketAddress[],
  open: (family: Family) => Socket,
): void {
  const families: readonly Family[] = typeof host === "string" ? [AF_INET, AF_INET6] : [familyOf(addresses[0]!)];
  let missing: unknown;
  for (const family of families) {
    try {
      sockets.set(family, open(family));
    } catch (error) {
      const isMissing = error instanceof SystemError && error.errno === EAFNOSUPPORT;
      if (!isMissing || (addresses.length > 0 && addresses.every((address) => familyOf(address) === family))) throw error;
      missing = error;
    }
  }
  if (sockets.size === 0) throw missing;
}

/** The same addresses, beginning with the one after `last`: so that each has its turn. */
export function startingAfter(addresses: readonly SocketAddress[], last: SocketAddress | undefined): readonly SocketAddress[] {
  const text = last && addressText(last.address);
  const at = addresses.findIndex(({ address }) => addressText(address) === text);
  return [...addresses.slice(at + 1), ...addresses.slice(0, at + 1)];
}
