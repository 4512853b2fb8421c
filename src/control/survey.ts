/** All sampling of a network namespace: who set it up, whether packets reach it, and whether samples flow. */
import { NetlinkError } from "../errors.ts";
import type { Link, LinkTable } from "../link/link.ts";
import { PSAMPLE_GENL_NAME } from "../psample/constants.ts";
import { findFamily, withGenericNetlink } from "../socket/family.ts";
import { type NetnsOptions, open } from "../socket/open.ts";
import type { Sys } from "../sys/sys.ts";
import type { Filter } from "../tc/filter.ts";
import type { Qdisc } from "../tc/qdisc.ts";
import { TC_H_CLSACT, TCM_IFINDEX_MAGIC_BLOCK } from "../tc/tcmsg.ts";
import { findingIn } from "./finding.ts";
import { type Flow, flowOf, type Reading } from "./flow.ts";
import { groupsOf } from "./groups.ts";
import { generatesUnheard, listListeners } from "./listeners.ts";
import { type Hook, type Place, type Reach, reach } from "./reached.ts";
import { listSamplingWith, unusedSamplings } from "./sampling/list.ts";
import { type FilterSampling, type Sampling, samplingsOf } from "./sampling/sampling.ts";
import { tcxPrograms } from "./tcx.ts";
import { type Direction, directionOf, PARENTS, withTrafficControl } from "./traffic_control.ts";

/**
 * A sample action and its present state.
 *
 * @category Diagnosis
 */
export interface Observed {
  /** The action, as the kernel lists it. */
  readonly sampling: Sampling;
  /** Whether samples flow; `undefined` for an action that no filter uses. */
  readonly flow: Flow | undefined;
  /** Whether packets reach it; `undefined` for an action that no filter uses. */
  readonly reach: Reach | undefined;
  /** The devices that it is on: several if its filter is in a block that they share, none if no filter uses it. */
  readonly places: readonly ObservedPlace[];
}

/**
 * A device that packets are sampled on.
 *
 * @category Diagnosis
 */
export interface ObservedPlace {
  /** Index of the device. */
  readonly ifindex: number;
  /** Name of the device. */
  readonly device: string | undefined;
  /** Which packets; `undefined` for a filter of another qdisc. */
  readonly direction: Direction | undefined;
  /** How many packets the device received, or sent, meanwhile; `undefined` unless asked for. */
  readonly passed: bigint | undefined;
}

/**
 * For {@linkcode observeSampling}.
 *
 * @category Diagnosis
 */
export interface ObserveOptions extends NetnsOptions {
  /** How long to watch the counters, in milliseconds. Defaults to 300. */
  milliseconds?: number | undefined;
  /** Watch the counters of the devices too. Defaults to `false`. */
  countDevices?: boolean | undefined;
}

const WATCH_MS = 300;
/** Delay between reading a device's counters and those of its hooks: no packet takes this long from one to the other. */
const MARGIN_MS = 20;

/**
 * Watches all sampling of a network namespace for a moment. No privileges needed.
 *
 * @category Diagnosis
 */
export async function observeSampling(options: ObserveOptions = {}): Promise<Observed[]> {
  return await observeSamplingWith(await open(options), options);
}

/** {@linkcode observeSampling} on a given seam. */
export async function observeSamplingWith(sys: Sys, options: ObserveOptions = {}): Promise<Observed[]> {
  const { milliseconds = WATCH_MS, countDevices = false } = options;
  // Packets that pass a device between its two readings must reach the hooks between theirs, and be numbered in a group between the
  // group's: so the readings go from the outside in, and out again.
  const groups = await readGroups(sys);
  const samplings = await listSamplingWith(sys);
  if (samplings.length === 0) return [];
  const devices = countDevices ? await deviceCounters(sys) : undefined;
  await pause(milliseconds);
  const later = countDevices ? await deviceCounters(sys) : undefined;
  if (countDevices) await pause(MARGIN_MS);
  const surveyed = await survey(sys);
  const before: Reading = { samplings, ...groups };
  const now: Reading = { samplings: surveyed.map(({ sampling }) => sampling), ...await readGroups(sys) };
  return surveyed.map(({ sampling, reach, hooks }) => ({
    sampling,
    flow: reach && flowOf(sampling, before, now),
    reach,
    places: hooks.map(({ ifindex, device, parent }) => {
      const direction = directionOf(parent);
      return { ifindex, device, direction, passed: passedDevice(devices?.get(ifindex), later?.get(ifindex), direction) };
    }),
  }));
}

function pause(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}

async function deviceCounters(sys: Sys): Promise<LinkTable> {
  return await withTrafficControl(sys, (tc) => tc.links(true));
}

function passedDevice(before: Link | undefined, now: Link | undefined, direction: Direction | undefined): bigint | undefined {
  if (!before?.packets || !now?.packets || direction === undefined) return undefined;
  const which = direction === "ingress" ? "received" : "sent";
  const passed = now.packets[which] - before.packets[which];
  return passed < 0n ? undefined : passed;
}

const NO_GROUPS: Omit<Reading, "samplings"> = { groups: undefined, listeners: undefined, generatesUnheard: false };

/** The part from generic netlink; a sandbox may block it and allow tc's. */
async function readGroups(sys: Sys): Promise<Omit<Reading, "samplings">> {
  try {
    return await withGenericNetlink(sys, async (requests) => {
      const family = await findFamily(requests, PSAMPLE_GENL_NAME);
      if (!family) return NO_GROUPS;
      const groups = new Map((await groupsOf(requests, family)).map((group) => [group.group, group]));
      const listeners = (await listListeners(sys, family))?.length;
      return { groups, listeners, generatesUnheard: generatesUnheard(family) ?? false };
    });
  } catch (error) {
    if (!(error instanceof NetlinkError)) throw error;
    return NO_GROUPS;
  }
}

/** A sample action, the hooks that it is, and whether packets reach one of them. */
type Surveyed = Pick<Observed, "sampling" | "reach"> & { readonly hooks: readonly Hook[] };

/** All sample actions, and whether packets reach them. */
async function survey(sys: Sys): Promise<Surveyed[]> {
  return await withTrafficControl(sys, async (tc) => {
    const links = await tc.links();
    const qdiscs = await tc.qdiscs();
    const filters = await tc.allFilters();
    const parents = Map.groupBy(filters, placeKey);
    const tcx = tcxOf(sys);
    const used = filters.flatMap((filter) =>
      samplingsOf(filter, links.nameOf(filter.ifindex)).map((sampling) => {
        const hooks = hooksOf(sampling, qdiscs, links);
        const answers = hooks.map((hook) =>
          reach(hook, {
            link: links.get(hook.ifindex),
            qdisc: qdiscs.find(({ ifindex, parent }) => ifindex === hook.ifindex && parent === TC_H_CLSACT),
            filters: parents.get(placeKey(filter))!,
            tcx: tcx(hook),
          })
        );
        return { sampling, reach: together(answers, tc.netns), hooks };
      })
    );
    const unused = (await unusedSamplings(tc)).map((sampling) => ({ sampling, reach: undefined, hooks: [] }));
    return [...used, ...unused];
  });
}

function placeKey({ ifindex, parent }: Filter): string {
  return `${ifindex}/${parent}`;
}

/** The hooks of a filter: one, or in a block one for each of its devices. */
function hooksOf(sampling: FilterSampling, qdiscs: readonly Qdisc[], links: LinkTable): Hook[] {
  if (sampling.ifindex !== TCM_IFINDEX_MAGIC_BLOCK) return [sampling];
  return qdiscs.flatMap(({ ifindex, ingressBlock, egressBlock }) => {
    const hook = { ...sampling, ifindex, device: links.nameOf(ifindex) };
    return [
      ...(ingressBlock === sampling.parent ? [{ ...hook, parent: PARENTS.ingress }] : []),
      ...(egressBlock === sampling.parent ? [{ ...hook, parent: PARENTS.egress }] : []),
    ];
  });
}

/** Asks for the programs of each place once. */
function tcxOf(sys: Sys): (hook: Hook) => Place["tcx"] {
  const known = new Map<string, Place["tcx"]>();
  return ({ ifindex, parent }) => {
    const direction = directionOf(parent);
    const key = `${ifindex}/${parent}`;
    if (direction && !known.has(key)) known.set(key, tcxPrograms(sys, ifindex, direction));
    return known.get(key);
  };
}

const BEST: readonly Reach["state"][] = ["reached", "possibly-hidden", "hidden", "gone"];

/** Packets reach a block if they reach it at one of its devices. */
function together(answers: readonly Reach[], netns: string | undefined): Reach {
  const state = BEST.find((state) => answers.some((answer) => answer.state === state)) ?? "hidden";
  const findings = answers.flatMap(({ findings }) => findings).map((finding) => findingIn(netns, finding));
  return { state, findings, tcxUnknown: answers.some(({ tcxUnknown }) => tcxUnknown) };
}
