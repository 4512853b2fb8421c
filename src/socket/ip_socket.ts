/** What sockets of UDP and of TCP have in common. Source: ip(7), ipv6(7), socket(7), connect(2). */
import { SystemError } from "../errors.ts";
import { AF_INET, AF_UNSPEC, EACCES, EAFNOSUPPORT, EPERM, SO_ERROR, SOL_SOCKET, type Sys } from "../sys/sys.ts";
import { LITTLE, memory, viewOf } from "../wire/native.ts";
import type { Family } from "./socket_address.ts";

/** Options and their values: [level, name, value]. */
export type SocketOptions = readonly (readonly [number, number, number])[];

const SANDBOX = "A sandbox forbids it (seccomp, an LSM, a systemd unit's RestrictAddressFamilies=): allow AF_INET and AF_INET6";

/** What helps if there is no socket. */
const HINTS: Readonly<Record<number, string>> = {
  [EPERM]: SANDBOX,
  [EACCES]: SANDBOX,
  [EAFNOSUPPORT]: "This kernel has no such addresses (ipv6.disable=1), or a systemd unit's RestrictAddressFamilies= forbids them",
};

/** The error that there can be no socket. */
export function noSocket(protocol: "UDP" | "TCP", family: Family, errno: number): SystemError {
  return new SystemError(`open a ${protocol} socket for ${family === AF_INET ? "IPv4" : "IPv6"}`, errno, { hint: HINTS[errno] });
}

/** Dissolves the association with an address, or ends the connection. Returns 0, or the negative error number. */
export function dissolve(sys: Sys, fd: number): number {
  const nobody = memory(16);
  viewOf(nobody).setUint16(0, AF_UNSPEC, LITTLE);
  return sys.connect(fd, nobody);
}

/** Takes the error that waits in a socket: 0 if there is none. */
export function takeError(sys: Sys, fd: number): number {
  const value = memory(4);
  return sys.getsockopt(fd, SOL_SOCKET, SO_ERROR, value) < 4 ? 0 : viewOf(value).getInt32(0, LITTLE);
}
