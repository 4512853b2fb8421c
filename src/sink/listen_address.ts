/** Where a server listens: an address and a port, as people write them; and by which names it may be asked. */
import { ArgumentError } from "../errors.ts";
import { addressAndPort, ipv4Bytes, ipv6Bytes } from "../wire/text.ts";

const LOOPBACK = "127.0.0.1";

/** An address and a port. */
export interface ListenAddress {
  readonly address: string;
  readonly port: number;
}

/**
 * Reads `PORT` or `ADDRESS:PORT`. Without an address it is that of IPv4's loopback.
 *
 * @throws {ArgumentError} if it is anything else.
 */
export function parseListenAddress(text: string): ListenAddress {
  const wrong = (why: string): ArgumentError => new ArgumentError(`Cannot listen on ${JSON.stringify(text)}: ${why}`, { why });
  if (ipv6Bytes(text)) throw wrong("an IPv6 address must be in brackets and have a port, as in [::1]:9410");
  const [, inBrackets, plain, portText] = /^(?:(?:\[([^\]]*)\]|([^:[\]]*)):)?([^:[\]]*)$/.exec(text) ?? [];
  if (portText === undefined) throw wrong("expected a port, or an address and a port: 9410, 192.0.2.1:9410 or [::1]:9410");
  const port = /^(0|[1-9]\d{0,4})$/.test(portText) ? Number(portText) : NaN;
  if (!(port <= 0xffff)) throw wrong(`the port ${JSON.stringify(portText)} is not a number from 0 to 65535`);
  if (inBrackets !== undefined && !ipv6Bytes(inBrackets)) throw wrong(`${JSON.stringify(inBrackets)} is not an IPv6 address`);
  if (plain === "") throw wrong(`there is no address before the colon: ${portText} alone is ${LOOPBACK}, [::]:${portText} every address`);
  if (plain !== undefined && !ipv4Bytes(plain)) {
    throw wrong(`${JSON.stringify(plain)} is not an IPv4 address, and names are not looked up: ${portText} alone is ${LOOPBACK}`);
  }
  return { address: inBrackets ?? plain ?? LOOPBACK, port };
}

/** The address in a URL. */
export function urlOf({ address, port }: ListenAddress): string {
  return `http://${addressAndPort(address, port)}/`;
}

/**
 * Whether a request with this `Host` header may be answered. A page of another site can make a browser ask here, under a name of its own
 * that it lets point here (DNS rebinding), but not under an address, nor under names that are not its own.
 */
export function isAllowedHost(header: string | undefined, names: readonly string[]): boolean {
  const [, inBrackets, plain] = /^(?:\[([^\]]*)\]|([^:[\]]*))(?::\d*)?$/.exec(header ?? "") ?? [];
  if (inBrackets !== undefined) return ipv6Bytes(inBrackets) !== undefined;
  if (plain === undefined || plain === "") return false;
  if (ipv4Bytes(plain)) return true;
  const name = canonical(plain);
  return name === "localhost" || names.some((other) => canonical(other) === name);
}

/** Names of hosts are the same in capitals, and with the dot of the root. */
function canonical(name: string): string {
  return name.toLowerCase().replace(/\.$/, "");
}
