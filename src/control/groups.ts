import { NetlinkError } from "../errors.ts";
import type { Family } from "../genl/ctrl.ts";
import { findFamily, NO_FAMILY_HINT, withGenericNetlink } from "../socket/family.ts";
import { type NetnsOptions, open } from "../socket/open.ts";
import type { Requests } from "../socket/requests.ts";
import { PSAMPLE_GENL_NAME } from "../psample/constants.ts";
import { decodeGroup, encodeGetGroups, type Group } from "../psample/group.ts";
import { ENOENT, type Sys } from "../sys/sys.ts";

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
  return await withGenericNetlink(sys, async (requests) => {
    const family = await findFamily(requests, PSAMPLE_GENL_NAME);
    if (!family) throw new NetlinkError("list psample groups", ENOENT, { hint: NO_FAMILY_HINT });
    return await groupsOf(requests, family);
  });
}

/** The groups of the psample family. */
export async function groupsOf(requests: Requests, { id }: Family): Promise<Group[]> {
  const replies = await requests.request(encodeGetGroups(id), "list psample groups");
  return replies.filter((reply) => reply.type === id).map((reply) => decodeGroup(reply));
}
