/** What samples in this network namespace, whoever set it up. */
import { loadSys } from "../../sys/load.ts";
import type { Sys } from "../../sys/sys.ts";
import { TrafficControl } from "../traffic_control.ts";
import { type Sampling, samplingsOf } from "./sampling.ts";

/** Every sample action of a filter in this network namespace, whoever made it. No privileges needed. */
export async function listSampling(): Promise<Sampling[]> {
  return await listSamplingWith(await loadSys());
}

/** {@linkcode listSampling} on a given seam. */
export async function listSamplingWith(sys: Sys): Promise<Sampling[]> {
  const tc = new TrafficControl(sys);
  try {
    const links = await tc.links();
    return (await tc.allFilters()).flatMap((filter) => samplingsOf(filter, links.nameOf(filter.ifindex)));
  } finally {
    tc.close();
  }
}
