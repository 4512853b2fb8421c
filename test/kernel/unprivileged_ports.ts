/** What an unprivileged user can do to the instance protocol: holds ports of NETLINK_USERSOCK, and joins groups if allowed. */
import process from "node:process";
import { NetlinkSocket } from "../../src/socket/netlink_socket.ts";
import { loadSys } from "../../src/sys/load.ts";
import { NETLINK_ADD_MEMBERSHIP, NETLINK_USERSOCK, SOL_NETLINK } from "../../src/sys/sys.ts";

const sys = await loadSys();
const joined = process.argv.slice(2).map((port) => {
  const socket = new NetlinkSocket(sys, NETLINK_USERSOCK, Number(port));
  return [27, 28].filter((group) => socket.option(SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, group));
});
process.stdout.write(`${JSON.stringify(joined)}\n`);
setInterval(() => {}, 1000);
