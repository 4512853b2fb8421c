/** The options of the commands that listen to the kernel. */
import { RECEIVE_BUFFER_BYTES } from "../../mod.ts";
import { choice, NETNS, number, text } from "../options.ts";

/** How to listen. */
export const LISTEN_OPTIONS = {
  buffer: number({
    value: "BYTES",
    least: 1,
    most: 0x3fffffff,
    default: RECEIVE_BUFFER_BYTES,
    help: "receive buffer size",
    details: "How much the kernel may queue while psample is busy; what does not fit is dropped, and counted. Memory is only used for " +
      "what is queued. Without CAP_NET_ADMIN the kernel grants no more than the sysctl net.core.rmem_max.",
  }),
  latency: choice(["batch", "low"], {
    value: "WHEN",
    default: "batch",
    help: "how soon to look at a sample: batch or low",
    details: "batch looks for samples every millisecond while they keep coming, or every ten at low rates, which is cheapest. " +
      "low wakes up for each one at once.",
  }),
  netns: NETNS,
  user: text({
    letter: "Z",
    value: "NAME",
    help: "drop privileges to user NAME after setup",
    details:
      "Requires root. Files are opened as NAME. Commands that sample keep CAP_NET_ADMIN, and nothing else, to be able to remove what " +
      "they have added; so does --wait, to join again when the module is back.",
  }),
};
