/** What processes that were killed left behind, and its removal. */
import { loadSys } from "../../sys/load.ts";
import type { Sys } from "../../sys/sys.ts";
import { TrafficControl } from "../traffic_control.ts";
import { exclusively, Instance } from "./instance.ts";
import { listSamplingWith } from "./list.ts";
import { isOurs, madeClsact } from "./mark.ts";
import { type Sampling, samplingsOf } from "./sampling.ts";

/** Sampling left behind by processes that were killed, for {@linkcode cleanUpSampling}. No privileges needed. */
export async function listLeftovers(): Promise<Sampling[]> {
  const sys = await loadSys();
  return (await listSamplingWith(sys)).filter((sampling) => sampling.ours && !Instance.runs(sys, sampling.handle));
}

/** Removes what {@linkcode listLeftovers} lists, and the clsact qdiscs that were made for it and are unused. */
export async function cleanUpSampling(): Promise<Sampling[]> {
  return await cleanUpSamplingWith(await loadSys());
}

/** {@linkcode cleanUpSampling} on a given seam. */
export async function cleanUpSamplingWith(sys: Sys): Promise<Sampling[]> {
  const tc = new TrafficControl(sys);
  try {
    const links = await tc.links();
    return await exclusively(sys, async () => {
      const removed: Sampling[] = [];
      for (const filter of await tc.allFilters()) {
        if (!isOurs(filter) || Instance.runs(sys, filter.handle)) continue;
        await tc.removeFilter(filter);
        removed.push(...samplingsOf(filter, links.nameOf(filter.ifindex)));
        if (madeClsact(filter)) await tc.removeUnusedClsact(filter.ifindex);
      }
      return removed;
    });
  } finally {
    tc.close();
  }
}
