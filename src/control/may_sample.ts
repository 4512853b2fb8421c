/** Whether this process may add sampling, asked before anything is done for it. */
import { NetlinkError } from "../errors.ts";
import { NetlinkSocket } from "../socket/netlink_socket.ts";
import { EPERM, NETLINK_ADD_MEMBERSHIP, NETLINK_USERSOCK, SOL_NETLINK, type Sys } from "../sys/sys.ts";
import { PRIVILEGE_HINT } from "./traffic_control.ts";

/** Any group of NETLINK_USERSOCK: nobody notices a member whose port is not ours. */
const ANY_GROUP = 27;

/**
 * Changes nothing: joining a multicast group of NETLINK_USERSOCK takes what changing filters takes, CAP_NET_ADMIN in the user namespace that
 * owns the network namespace. Source: netlink_allowed() in net/netlink/af_netlink.c, netlink_net_capable() in net/core/rtnetlink.c.
 *
 * @throws {NetlinkError} `EPERM` without it.
 */
export function checkMaySample(sys: Sys, devices: readonly string[]): void {
  const socket = new NetlinkSocket(sys, NETLINK_USERSOCK);
  try {
    if (socket.option(SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, ANY_GROUP)) return;
  } finally {
    socket.close();
  }
  throw new NetlinkError(`sample ${devices.join(", ")}`, EPERM, { hint: PRIVILEGE_HINT });
}
