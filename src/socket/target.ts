/** Where collectors are: a host and a port, and the way there, as people write them. */
import { ArgumentError } from "../errors.ts";
import { addressAndPort, addressText, ipv4Bytes, ipv6Bytes } from "../wire/text.ts";

/** A host and a port, checked. */
export interface Target {
  /** An address, 4 or 16 bytes in network byte order, or a host name. */
  readonly host: Uint8Array | string;
  /** The interface of a link-local IPv6 address, by name or index. */
  readonly scope: string | undefined;
  /** 1 to 65535. */
  readonly port: number;
}

/** The ways to a collector. */
export type Transport = "udp" | "tcp";

const forms = (port: number): string =>
  `expected an address or a host name with an optional port: 192.0.2.9, 192.0.2.9:${port}, [2001:db8::9], [2001:db8::9]:${port}, ` +
  `[fe80::9%eth0] or collector.example.net:${port}`;
/** RFC 1123 section 2.1, and the underscore that names in use have all the same. */
const LABEL = /^(?!-)[A-Za-z0-9_-]{1,63}(?<!-)$/;
const MOST_NAME = 253;

/** Takes a transport off a target: of `tcp:HOST`, `udp:HOST`, in capitals too, as in every URL; `HOST` alone is UDP. */
export function splitTransport(text: string): { readonly transport: Transport; readonly host: string } {
  const [, transport, host] = /^(udp|tcp):(.*)$/is.exec(text) ?? [];
  return { transport: transport?.toLowerCase() === "tcp" ? "tcp" : "udp", host: host ?? text };
}

/**
 * Reads `HOST` or `HOST:PORT`. IPv6 addresses are in brackets, so that no group of theirs is taken for a port.
 *
 * @throws {ArgumentError} if it is anything else, or not an address that a collector can have.
 */
export function parseTarget(text: string, defaultPort: number): Target {
  const wrong = (why: string): ArgumentError => new ArgumentError(`Cannot send to ${JSON.stringify(text)}: ${why}`, { why });
  const match = /^(?:\[([^\]%]*)(?:%([^\]]*))?\]|([^:[\]%]*))(?::(.*))?$/s.exec(text);
  // A last group could be meant as a port, and often is a group.
  if (ipv6Bytes(text.replace(/%.*$/s, ""))) throw wrong("an IPv6 address must be in brackets, as in [2001:db8::9] and [2001:db8::9]:6343");
  if (!match) throw wrong(forms(defaultPort));
  const [, inBrackets, scope, plain = "", portText] = match;
  const port = portText === undefined ? defaultPort : /^[1-9]\d{0,4}$/.test(portText) ? Number(portText) : NaN;
  if (!(port <= 0xffff)) {
    // A host after the colon: what precedes it is meant to be a transport.
    const cure = /[.[/]/.test(portText!) ? "; only udp: and tcp: can be in front of a host" : "";
    throw wrong(`the port ${JSON.stringify(portText)} is not a number from 1 to 65535${cure}`);
  }
  if (inBrackets !== undefined) {
    const address = ipv6Bytes(inBrackets);
    if (!address) throw wrong(`${JSON.stringify(inBrackets)} is not an IPv6 address`);
    const isLinkLocal = isLocalToLink(address);
    if (scope === "") throw wrong("the interface after % is missing");
    if (scope === undefined && isLinkLocal) {
      throw wrong(`a link-local address needs its interface: [${inBrackets}%eth0]`);
    }
    if (scope !== undefined && !isLinkLocal) throw wrong("only a link-local address has an interface after %");
    const why = whyNot(address);
    if (why) throw wrong(why);
    return { host: address, scope, port };
  }
  const labels = plain.split(".");
  // As in every URL (WHATWG): if the last part is a number, this is meant to be an address.
  if (/^\d+$/.test(labels.at(-1)!)) {
    const address = labels.some((label) => /^0\d/.test(label)) ? undefined : ipv4Bytes(plain);
    if (!address) throw wrong(`${JSON.stringify(plain)} is not an IPv4 address: it has four numbers from 0 to 255, without leading zeros`);
    const why = whyNot(address);
    if (why) throw wrong(why);
    return { host: address, scope: undefined, port };
  }
  // A name may end with the dot of the root.
  const named = labels.length > 1 && labels.at(-1) === "" ? labels.slice(0, -1) : labels;
  if (plain.length > MOST_NAME || !named.every((label) => LABEL.test(label))) throw wrong(forms(defaultPort));
  return { host: plain, scope: undefined, port };
}

/** Whether an IPv6 address means a different host on each link (RFC 4291 section 2.5.6, RFC 4007): fe80::/10, ff02::/16. */
export function isLocalToLink(address: Uint8Array): boolean {
  return (address[0] === 0xfe && (address[1]! & 0xc0) === 0x80) || (address[0] === 0xff && (address[1]! & 0x0f) === 2);
}

/** Why nobody can be reached at an address. */
function whyNot(address: Uint8Array): string | undefined {
  if (address.every((byte) => byte === 0)) return `${addressText(address)} is not the address of a host`;
  if (address.length === 4 && address.every((byte) => byte === 255)) return "a broadcast reaches no collector: use its own address";
  return undefined;
}

/** A target as people write it, always with its port: `"[2001:db8::9]:6343"`. */
export function targetText({ host, scope, port }: Target): string {
  if (typeof host === "string") return `${host}:${port}`;
  return addressAndPort(`${addressText(host)}${scope === undefined ? "" : `%${scope}`}`, port);
}
