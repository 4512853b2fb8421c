import { NetlinkError } from "../errors.ts";
import {
  CTRL_CMD_NEWFAMILY,
  decodeFamily,
  encodeFamilyDump,
  encodeGetFamily,
  type Family,
  GENL_ID_CTRL,
  genlCommand,
} from "../genl/ctrl.ts";
import { type Requests, withRequests } from "./requests.ts";
import { ENOENT, NETLINK_GENERIC, type Sys } from "../sys/sys.ts";

/** What to do if the psample family is missing. */
export const NO_FAMILY_HINT = "Load the kernel module: modprobe psample (adding a tc sample action loads it too)";

/** Asks the controller for a generic netlink family; `undefined` if this kernel does not have it now. */
export async function findFamily(requests: Requests, name: string): Promise<Family | undefined> {
  const op = `look up the generic netlink family ${name}`;
  try {
    for (const reply of await requests.request(encodeGetFamily(name), op)) {
      if (reply.type === GENL_ID_CTRL && genlCommand(reply) === CTRL_CMD_NEWFAMILY) return decodeFamily(reply);
    }
  } catch (error) {
    if (!(error instanceof NetlinkError && error.errno === ENOENT)) throw error;
  }
  return undefined;
}

/** Runs `work` with a socket for requests about generic netlink, and closes it. */
export async function withGenericNetlink<Result>(sys: Sys, work: (requests: Requests) => Promise<Result>): Promise<Result> {
  return await withRequests(sys, NETLINK_GENERIC, work);
}

/** All generic netlink families that this kernel has now. */
export async function listFamilies(requests: Requests): Promise<Family[]> {
  return (await requests.request(encodeFamilyDump(), "list the generic netlink families"))
    .filter((reply) => reply.type === GENL_ID_CTRL && genlCommand(reply) === CTRL_CMD_NEWFAMILY)
    .map(decodeFamily);
}
