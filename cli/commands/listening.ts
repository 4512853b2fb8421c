/** The options of the commands that listen to the kernel. */
import { listGroups, NetlinkError, RECEIVE_BUFFER_BYTES } from "../../mod.ts";
import { choice, flag, NETNS, type Option, size, SIZE_UNITS, text } from "../options.ts";
import type { Session } from "../session.ts";

/** How to listen. */
export const LISTEN_OPTIONS = {
  buffer: size({
    value: "SIZE",
    least: 1,
    most: 0x3fffffff,
    default: RECEIVE_BUFFER_BYTES,
    help: "receive buffer size",
    details:
      `In bytes, or with a unit, such as 64M. ${SIZE_UNITS} How much the kernel may queue while psample is busy; what does not fit is ` +
      "dropped, and counted. Memory is only used for what is queued. Without CAP_NET_ADMIN the kernel grants no more than the sysctl " +
      "net.core.rmem_max.",
  }),
  latency: choice(["batch", "low"], {
    value: "WHEN",
    default: "batch",
    help: "how soon to look at a sample: batch or low",
    details: "batch polls every millisecond while samples keep arriving (every 10 ms at low rates), which is cheapest. low wakes up for " +
      "each sample at once.",
  }),
  netns: NETNS,
  user: text({
    letter: "Z",
    value: "NAME",
    offers: { things: ["user"] },
    help: "drop privileges to user NAME after setup",
    details:
      "Requires root. Files are opened as NAME. Commands that sample keep CAP_NET_ADMIN, and nothing else, to remove the filters that " +
      "they added; --wait also keeps it, to rejoin when the module is back.",
  }),
};

/** Receiving from other namespaces; the help begins with `when`. */
export function allNamespacesOption(when = ""): Option<boolean> {
  return flag({
    help: "from every network namespace that has an nsid in this one",
    details: `${when}Requires CAP_NET_BROADCAST. ip netns list-id lists the namespaces that have an nsid.`,
  });
}

/** What a command does that waits for the module. */
export const WAITING = "waiting for the psample module to be loaded";

/** Waiting for the module, for commands that receive what others sample. */
export const WAIT: Option<boolean> = flag({
  help: "wait for the psample module to be loaded",
  details: "Otherwise it is an error if the module is not loaded, or is unloaded later.",
});

/** Reports that the module is not loaded yet. Resolves to whether that is so. */
export async function tellWaiting(session: Session, netns: string | undefined): Promise<boolean> {
  const isMissing = await session.unlessOver(hasFamily(netns)) === false;
  if (isMissing) session.notice(WAITING);
  return isMissing;
}

async function hasFamily(netns: string | undefined): Promise<boolean> {
  try {
    await listGroups({ netns });
    return true;
  } catch (error) {
    if (error instanceof NetlinkError && error.code === "ENOENT") return false;
    throw error;
  }
}
