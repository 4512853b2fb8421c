/** Collects from the kernel what {@linkcode reach} needs: one request for each device and each parent of filters. */
import type { Link } from "../link/link.ts";
import type { Sys } from "../sys/sys.ts";
import type { Filter } from "../tc/filter.ts";
import { TC_H_CLSACT } from "../tc/tcmsg.ts";
import { printable } from "../wire/text.ts";
import { type Finding, findingIn, type FindingTopic } from "./finding.ts";
import { type Hook, reach } from "./reached.ts";
import { tcxPrograms } from "./tcx.ts";
import { directionOf, type TrafficControl } from "./traffic_control.ts";

const ABOUT_DEVICE: ReadonlySet<FindingTopic> = new Set(["device-gone", "device-down", "no-carrier"]);

/**
 * Whether packets reach these hooks now: what is in the way, and a good finding for each hook without obstacles. Cheap enough to call every
 * second.
 */
export async function checkHooks(sys: Sys, tc: TrafficControl, hooks: readonly Hook[]): Promise<Finding[]> {
  const findings: Finding[] = [];
  const links = new Map<number, Link | undefined>();
  for (const hook of hooks) {
    const { ifindex, parent, rate, group } = hook;
    if (!links.has(ifindex)) links.set(ifindex, await tc.findLink(ifindex));
    let link = links.get(ifindex);
    const direction = directionOf(parent);
    const filters = link ? await filtersBefore(tc, hook) : [];
    const tcx = link && direction ? tcxPrograms(sys, ifindex, direction) : [];
    let answer = reach(hook, { link, filters, tcx, qdisc: undefined });
    if (answer.state === "gone" && link) {
      // To find the reason: the device may have gone meanwhile, or the qdisc with all its filters.
      link = await tc.findLink(ifindex);
      const qdisc = (await tc.qdiscs()).find((qdisc) => qdisc.ifindex === ifindex && qdisc.parent === TC_H_CLSACT);
      answer = reach(hook, { link, filters, tcx, qdisc });
    }
    const all = [...answer.findings];
    if (answer.findings.length === 0) {
      const device = link?.name;
      const what = `${printable(device ?? "")} ${direction} is sampled, 1 in ${rate} into group ${group}`;
      all.push({ verdict: "good", about: "reached", device, direction, group, what });
    }
    // Findings about the device are the same for both directions.
    for (const finding of all.map((finding) => findingIn(tc.netns, finding))) {
      if (!ABOUT_DEVICE.has(finding.about) || !findings.some(({ what }) => what === finding.what)) findings.push(finding);
    }
  }
  return findings;
}

/** The filters that decide whether packets reach a hook. If it is in a chain other than 0, these may be anywhere. */
async function filtersBefore(tc: TrafficControl, { ifindex, parent, chain, preference }: Hook): Promise<Filter[]> {
  return await (chain === 0 ? tc.filtersUpTo(ifindex, parent, chain, preference) : tc.filters(ifindex, parent));
}
