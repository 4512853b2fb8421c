/** Listeners to samples in this network namespace. */
import type { Family } from "../genl/ctrl.ts";
import { PSAMPLE_ATTR_SAMPLE_PROBABILITY, PSAMPLE_NL_MCGRP_SAMPLE_NAME } from "../psample/constants.ts";
import { type ListedSocket, SocketLister } from "../socket/netlink_sockets.ts";
import { NETLINK_GENERIC, type Sys } from "../sys/sys.ts";

/** The sockets of this network namespace that have joined psample's samples; `undefined` if the kernel does not say. */
export async function listListeners(sys: Sys, family: Family): Promise<ListedSocket[] | undefined> {
  const group = family.groups.get(PSAMPLE_NL_MCGRP_SAMPLE_NAME);
  if (group === undefined) return undefined;
  const lister = SocketLister.open(sys);
  try {
    return (await lister?.list(NETLINK_GENERIC))?.filter(({ groups }) => groups.includes(group));
  } finally {
    lister?.close();
  }
}

/**
 * Whether this kernel generates samples even if nobody listens, as before Linux 6.11: its known attributes show that, because the change
 * came with the last of them (`psample_sample_packet` in net/psample/psample.c). `undefined` if it does not report which it knows.
 */
export function generatesUnheard({ maxAttribute }: Family): boolean | undefined {
  return maxAttribute === undefined ? undefined : maxAttribute < PSAMPLE_ATTR_SAMPLE_PROBABILITY;
}
