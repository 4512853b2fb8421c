import { NetlinkError } from "../errors.ts";
import { decodeForwards, encodeSettingsDump, RTM_NEWNETCONF } from "../link/forwarding.ts";
import { withRequests } from "../socket/requests.ts";
import { AF_INET, AF_INET6, NETLINK_ROUTE, type Sys } from "../sys/sys.ts";
import { listLinksWith } from "./links.ts";

/**
 * Whether this machine passes packets on from one device to another: as a router, by IPv4 or IPv6, or as a bridge. What the kernel does not
 * tell counts as no. No privileges needed.
 */
export async function forwardsPackets(sys: Sys): Promise<boolean> {
  const routes = await withRequests(sys, NETLINK_ROUTE, async (requests) => {
    for (const family of [AF_INET, AF_INET6]) {
      try {
        const replies = await requests.request(encodeSettingsDump(family), "ask whether packets are forwarded");
        if (replies.some((reply) => reply.type === RTM_NEWNETCONF && decodeForwards(reply))) return true;
      } catch (error) {
        // A kernel without IPv6.
        if (!(error instanceof NetlinkError)) throw error;
      }
    }
    return false;
  });
  return routes || [...(await listLinksWith(sys)).links()].some(({ masterIndex }) => masterIndex !== undefined);
}
