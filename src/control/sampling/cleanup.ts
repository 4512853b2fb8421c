/** Finds and removes what killed processes left behind. */
import type { LinkTable } from "../../link/link.ts";
import { type NetnsOptions, open } from "../../socket/open.ts";
import type { Sys } from "../../sys/sys.ts";
import type { Filter } from "../../tc/filter.ts";
import { TcWatch } from "../tc_watch.ts";
import { TrafficControl } from "../traffic_control.ts";
import { containsOnly, inspect } from "./clsact.ts";
import { Instance } from "./instance.ts";
import { isOurs, madeClsact, numberOf } from "./mark.ts";
import { removeAdditions, type Tools } from "./removal.ts";
import { type FilterSampling, samplingsOf } from "./sampling.ts";

/**
 * How to clean up, for {@linkcode cleanUpSampling}.
 *
 * @category Sampling
 */
export interface CleanUpOptions extends NetnsOptions {
  /**
   * Remove everything that carries our mark, also filters whose process runs or may run. A running process does not set up again sampling
   * that is removed from it.
   */
  force?: boolean | undefined;
  /** Remove nothing; return what would be removed and kept. Needs no privileges. */
  dryRun?: boolean | undefined;
  /** Receives messages about things that may surprise but do not stop the clean-up, such as a lock that could not be taken. */
  onWarning?: ((message: string) => void) | undefined;
}

/**
 * What {@linkcode cleanUpSampling} did.
 *
 * @category Sampling
 */
export interface CleanUp {
  /** The sampling that was removed. */
  readonly removed: readonly FilterSampling[];
  /** What has our mark and was kept, and what may be ours but has no mark. */
  readonly kept: readonly Kept[];
}

/**
 * Something that was kept, and why. {@linkcode CleanUpOptions.force} changes nothing about clsact qdiscs.
 *
 * @category Sampling
 */
export interface Kept {
  /** Name of the device. */
  readonly device: string | undefined;
  /** Index of the device. */
  readonly ifindex: number;
  /** The sampling that was kept; `undefined` if that is the device's clsact qdisc. */
  readonly sampling: FilterSampling | undefined;
  /**
   * - `"running"`: the process that installed it runs, so it is not left over.
   * - `"unverified"`: somebody holds the netlink port that the process would hold, and this kernel (without netlink_diag)
   *   cannot say who: see {@linkcode CleanUpOptions.force}.
   * - `"in use"`: the clsact qdisc was made for sampling, but now has other filters or chains on it.
   * - `"unmarked"`: an empty clsact qdisc. Nothing shows whose it is: it may belong to a program that is going to use it, or it was left by
   *   a process of ours that was killed while the kernel was adding its first filter.
   */
  readonly reason: "running" | "unverified" | "in use" | "unmarked";
}

/**
 * Sampling left behind by processes that were killed, for {@linkcode cleanUpSampling}. No privileges needed.
 *
 * @category Sampling
 */
export async function listLeftovers(options: NetnsOptions = {}): Promise<readonly FilterSampling[]> {
  return (await findLeftoversWith(await open(options))).removed;
}

/**
 * Removes what processes that were killed left behind: filters that carry our mark and whose process no longer runs, and the clsact qdiscs
 * that were made for them and have nothing else on them.
 *
 * @throws {NetlinkError} if the kernel refuses something; the rest is cleaned up all the same.
 * @category Sampling
 */
export async function cleanUpSampling(options: CleanUpOptions = {}): Promise<CleanUp> {
  return await cleanUpSamplingWith(await open(options), options);
}

/** {@linkcode cleanUpSampling} on a given seam. */
export async function cleanUpSamplingWith(sys: Sys, options: CleanUpOptions = {}): Promise<CleanUp> {
  return await visit(sys, options, true);
}

/**
 * What {@linkcode cleanUpSampling} would remove, and what it would keep of what carries our mark. Does not look for clsact qdiscs without a
 * mark: that takes requests for every clsact of the network namespace, and the callers do not need them.
 */
export async function findLeftoversWith(sys: Sys): Promise<CleanUp> {
  return await visit(sys, { dryRun: true }, false);
}

async function visit(sys: Sys, options: CleanUpOptions, unmarked: boolean): Promise<CleanUp> {
  const tc = new TrafficControl(sys);
  let instance: Instance | undefined;
  let watch: TcWatch | undefined;
  try {
    const visitor = instance = Instance.visit(sys);
    watch = options.dryRun ? undefined : TcWatch.prepare(sys);
    const work = (): Promise<CleanUp> => cleanUp({ tc, watch, onWarning: options.onWarning }, visitor, options, unmarked);
    return await (options.dryRun ? work() : visitor.exclusively(work, options));
  } finally {
    watch?.close();
    instance?.close();
    tc.close();
  }
}

async function cleanUp(
  tools: Tools,
  visitor: Instance,
  { force = false, dryRun = false }: CleanUpOptions,
  unmarked: boolean,
): Promise<CleanUp> {
  const { tc } = tools;
  const links = await tc.links();
  // Filters before instances: an instance that starts after this has none among them.
  const filters = (await tc.allFilters()).filter(isOurs);
  const liveness = await visitor.runningInstances();
  const leftovers = new Map<number, Filter[]>();
  // Devices with a clsact that a running instance is going to remove.
  const inherited = new Set<number>();
  const kept: Kept[] = [];
  for (const filter of filters) {
    const { ifindex } = filter;
    const device = links.nameOf(ifindex);
    const reason = liveness(numberOf(filter.handle));
    if (reason === "gone" || force) {
      leftovers.set(ifindex, [...leftovers.get(ifindex) ?? [], filter]);
    } else {
      kept.push(...samplingsOf(filter, device).map((sampling) => ({ device, ifindex, sampling, reason })));
      if (madeClsact(filter)) inherited.add(ifindex);
    }
  }
  const removed: FilterSampling[] = [];
  const errors: unknown[] = [];
  for (const [ifindex, filters] of leftovers) {
    const device = links.nameOf(ifindex);
    try {
      const clsact = filters.some(madeClsact) && !inherited.has(ifindex);
      const additions = { ifindex, device: device ?? `interface ${ifindex}`, filters, clsact };
      if (!dryRun && await removeAdditions(tools, additions)) kept.push({ device, ifindex, sampling: undefined, reason: "in use" });
      removed.push(...filters.flatMap((filter) => samplingsOf(filter, device)));
    } catch (error) {
      // A failure on one device must not keep the others from being cleaned up.
      errors.push(error);
    }
  }
  if (unmarked) kept.push(...await unmarkedClsacts(tc, links));
  if (errors.length > 0) throw errors[0];
  return { removed, kept };
}

/** The clsact qdiscs that have nothing on them. */
async function unmarkedClsacts(tc: TrafficControl, links: LinkTable): Promise<Kept[]> {
  const kept: Kept[] = [];
  const qdiscs = await tc.qdiscs();
  for (const { ifindex, kind } of qdiscs) {
    // This only reports: a qdisc that has gone meanwhile existed a moment ago.
    const attached = kind === "clsact" ? await inspect(tc, ifindex, qdiscs) : undefined;
    if (attached && containsOnly(attached, [])) {
      kept.push({ device: links.nameOf(ifindex), ifindex, sampling: undefined, reason: "unmarked" });
    }
  }
  return kept;
}
