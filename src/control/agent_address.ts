import { decodeDeviceAddress, type DeviceAddress, encodeAddressDump, RTM_NEWADDR } from "../link/address.ts";
import { withRequests } from "../socket/requests.ts";
import { NETLINK_ROUTE, type Sys } from "../sys/sys.ts";
import { addressText } from "../wire/text.ts";

/**
 * The default address that a collector should know this machine by: the most public one, because others may exist on many machines, and of
 * several the one of the device with the lowest index, which was there first. `undefined` if the network namespace has none. No privileges
 * needed.
 */
export async function agentAddress(sys: Sys): Promise<string | undefined> {
  const op = "list the addresses of this machine";
  const messages = await withRequests(sys, NETLINK_ROUTE, (requests) => requests.request(encodeAddressDump(), op));
  return mostPublic(messages.filter(({ type }) => type === RTM_NEWADDR).flatMap((message) => decodeDeviceAddress(message) ?? []));
}

/** The most public of these addresses. */
export function mostPublic(addresses: readonly DeviceAddress[]): string | undefined {
  // Stable: of equals the kernel's first.
  const [first] = addresses.filter(({ usable }) => usable).sort((one, other) =>
    rank(one.address) - rank(other.address) || Number(one.secondary) - Number(other.secondary) || one.ifindex - other.ifindex
  );
  return first && addressText(first.address);
}

/** How few machines an address can mean, 0 for one. */
function rank(address: Uint8Array): number {
  const [a = 0, b = 0] = address;
  if (address.length === 4) {
    if (a === 127) return 6;
    if (a === 169 && b === 254) return 4;
    // RFC 1918, and what providers share among their customers (RFC 6598).
    const isPrivate = a === 10 || (a === 172 && (b & 0xf0) === 16) || (a === 192 && b === 168) || (a === 100 && (b & 0xc0) === 64);
    return isPrivate ? 1 : 0;
  }
  if (a === 0xfe && (b & 0xc0) === 0x80) return 5;
  // RFC 4193
  if ((a & 0xfe) === 0xfc) return 3;
  return address.every((byte, i) => byte === (i === 15 ? 1 : 0)) ? 7 : 2;
}
