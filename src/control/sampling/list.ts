/** Lists all sampling in a network namespace, including that of other programs. */
import { type NetnsOptions, open } from "../../socket/open.ts";
import type { Sys } from "../../sys/sys.ts";
import { type TrafficControl, withTrafficControl } from "../traffic_control.ts";
import { type Sampling, samplingsOf, unusedSampling } from "./sampling.ts";

/**
 * Every sample action of a network namespace, including those of other programs: those of filters, then those that no filter uses. No
 * privileges needed.
 *
 * @example Who samples what
 * ```ts ignore
 * import { listSampling } from "@psample/psample";
 *
 * for (const { device, direction, rate, group, ours } of await listSampling()) console.log(device, direction, rate, group, ours);
 * ```
 *
 * @category Sampling
 */
export async function listSampling(options: NetnsOptions = {}): Promise<Sampling[]> {
  return await listSamplingWith(await open(options));
}

/** {@linkcode listSampling} on a given seam. */
export async function listSamplingWith(sys: Sys): Promise<Sampling[]> {
  return await withTrafficControl(sys, async (tc) => {
    const links = await tc.links();
    const used = (await tc.allFilters()).flatMap((filter) => samplingsOf(filter, links.nameOf(filter.ifindex)));
    return [...used, ...await unusedSamplings(tc)];
  });
}

/** The sample actions that no filter uses. An action whose filter was removed a moment ago still counts as used, and is not listed here. */
export async function unusedSamplings(tc: TrafficControl): Promise<Sampling[]> {
  return (await tc.allSampleActions()).flatMap((action) => action.sample?.bindCount === 0 ? [unusedSampling(action, action.sample)] : []);
}
