import { DecodeError, SystemError } from "../errors.ts";
import { decodeLinkSpeed, encodeLinkModesDump, ETHTOOL_GENL_NAME } from "../link/link_speed.ts";
import { findFamily } from "../socket/family.ts";
import { Requests } from "../socket/requests.ts";
import { NETLINK_GENERIC, type Sys } from "../sys/sys.ts";

/** Asks for the speeds of links, with a socket that stays open: the right to enter its network namespace may be gone later. */
export class LinkSpeeds {
  readonly #requests: Requests | undefined;

  /** Opens the socket; if there can be none, no speed is known. */
  constructor(sys: Sys) {
    this.#requests = openedOrNot(sys);
  }

  /** {@linkcode linkSpeeds} */
  async read(): Promise<ReadonlyMap<string, number>> {
    const speeds = new Map<string, number>();
    try {
      const family = this.#requests && await findFamily(this.#requests, ETHTOOL_GENL_NAME);
      if (!family) return speeds;
      for (const reply of await this.#requests!.request(encodeLinkModesDump(family.id), "ask for the speeds of links")) {
        const link = reply.type === family.id ? decodeLinkSpeed(reply) : undefined;
        if (link) speeds.set(link.name, link.bitsPerSecond);
      }
    } catch (error) {
      if (!(error instanceof SystemError || error instanceof DecodeError)) throw error;
    }
    return speeds;
  }

  /** Closes the socket. */
  close(): void {
    this.#requests?.close();
  }
}

function openedOrNot(sys: Sys): Requests | undefined {
  try {
    return new Requests(sys, NETLINK_GENERIC);
  } catch (error) {
    if (error instanceof SystemError) return undefined;
    throw error;
  }
}

/**
 * The speeds of the links in bit/s, by device name. Missing if the link does not know it, the kernel does not report it, or the network
 * namespace cannot be entered any more: it is nice to know, and nothing depends on it. No privileges needed.
 */
export async function linkSpeeds(sys: Sys): Promise<ReadonlyMap<string, number>> {
  const speeds = new LinkSpeeds(sys);
  try {
    return await speeds.read();
  } finally {
    speeds.close();
  }
}
