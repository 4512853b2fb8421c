import { DecodeError, SystemError } from "../errors.ts";
import { decodeLinkSpeed, encodeLinkModesDump, ETHTOOL_GENL_NAME } from "../link/link_speed.ts";
import { findFamily, withGenericNetlink } from "../socket/family.ts";
import type { Sys } from "../sys/sys.ts";

/**
 * The speeds of the links in bit/s, by device name. Missing if the link does not know it, the kernel does not report it, or the network
 * namespace cannot be entered any more: it is nice to know, and nothing depends on it. No privileges needed.
 */
export async function linkSpeeds(sys: Sys): Promise<ReadonlyMap<string, number>> {
  const speeds = new Map<string, number>();
  try {
    await withGenericNetlink(sys, async (requests) => {
      const family = await findFamily(requests, ETHTOOL_GENL_NAME);
      if (!family) return;
      for (const reply of await requests.request(encodeLinkModesDump(family.id), "ask for the speeds of links")) {
        const link = reply.type === family.id ? decodeLinkSpeed(reply) : undefined;
        if (link) speeds.set(link.name, link.bitsPerSecond);
      }
    });
  } catch (error) {
    if (!(error instanceof SystemError || error instanceof DecodeError)) throw error;
  }
  return speeds;
}
