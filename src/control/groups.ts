import { NetlinkError } from "../errors.ts";
import { findFamily, NO_FAMILY_HINT } from "../socket/family.ts";
import { type NetnsOptions, open } from "../socket/open.ts";
import { Requests } from "../socket/requests.ts";
import { PSAMPLE_GENL_NAME } from "../psample/constants.ts";
import { decodeGroup, encodeGetGroups, type Group } from "../psample/group.ts";
import { ENOENT, NETLINK_GENERIC, type Sys } from "../sys/sys.ts";

/**
 * The psample groups of a network namespace, in the kernel's order; empty if there are none. No privileges needed. Groups of Open vSwitch
 * and mlx5 are never listed, because the kernel creates them again for each sample.
 *
 * @throws {NetlinkError} `ENOENT` if the kernel has no psample family.
 * @category Receiving
 */
export async function listGroups(options: NetnsOptions = {}): Promise<Group[]> {
  return await listGroupsWith(await open(options));
}

/** {@linkcode listGroups} on a given seam. */
export async function listGroupsWith(sys: Sys): Promise<Group[]> {
  const requests = new Requests(sys, NETLINK_GENERIC);
  try {
    const family = await findFamily(requests, PSAMPLE_GENL_NAME);
    if (!family) throw new NetlinkError("list psample groups", ENOENT, { hint: NO_FAMILY_HINT });
    const replies = await requests.request(encodeGetGroups(family.id), "list psample groups");
    return replies.filter((reply) => reply.type === family.id).map((reply) => decodeGroup(reply));
  } finally {
    requests.close();
  }
}
