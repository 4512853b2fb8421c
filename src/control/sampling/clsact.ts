/**
 * What is on a device's clsact or ingress qdisc, and what can be proven about it.
 *
 * A qdisc has no mark and no number of its own: a clsact that another program deleted and added again looks like the one that we made. Only
 * filters can be told apart, by their handles. So a clsact is known to be ours by a filter of ours in it, and known to be unused if there
 * is nothing else.
 */
import type { Chain } from "../../tc/chain.ts";
import type { Filter, FilterKey } from "../../tc/filter.ts";
import type { Qdisc } from "../../tc/qdisc.ts";
import { TC_H_CLSACT } from "../../tc/tcmsg.ts";
import { type Direction, directionOf, PARENTS, type TrafficControl } from "../traffic_control.ts";

/** What is on one side of the qdisc. */
export interface Side {
  /** Filters, and the entries that stand for a whole preference. */
  readonly entries: readonly Filter[];
  readonly chains: readonly Chain[];
}

/** A device's clsact or ingress qdisc, and everything on it. */
export interface Attached {
  readonly qdisc: Qdisc;
  /** An ingress qdisc has nothing on the egress side. */
  readonly sides: Readonly<Record<Direction, Side>>;
}

/** A filter of ours: the fields needed to delete it. */
export type OwnFilter = Required<Pick<FilterKey, "ifindex" | "parent" | "preference" | "protocol" | "handle" | "kind">>;

const EMPTY: Side = { entries: [], chains: [] };

/**
 * Looks at a device; `undefined` if it has neither a clsact nor an ingress qdisc.
 *
 * @param qdiscs All qdiscs, if it does not matter that the device's own may have gone or been replaced since: then nothing appears to be on
 * it.
 */
export async function inspect(tc: TrafficControl, ifindex: number, qdiscs?: readonly Qdisc[]): Promise<Attached | undefined> {
  const qdisc = (qdiscs ?? await tc.qdiscs()).find((qdisc) => qdisc.ifindex === ifindex && qdisc.parent === TC_H_CLSACT);
  if (!qdisc) return undefined;
  const side = async (parent: number): Promise<Side> => ({
    entries: await tc.filterEntries(ifindex, parent),
    chains: await tc.chains(ifindex, parent),
  });
  return {
    qdisc,
    sides: { ingress: await side(PARENTS.ingress), egress: qdisc.kind === "ingress" ? EMPTY : await side(PARENTS.egress) },
  };
}

/** The filters of both sides. */
export function filtersOf({ sides }: Attached): Filter[] {
  return [...sides.ingress.entries, ...sides.egress.entries].filter(({ classifier }) => classifier !== undefined);
}

/** Whether a filter is there. */
export function contains(attached: Attached, own: OwnFilter): boolean {
  return filtersOf(attached).some((filter) => isSame(filter, own));
}

/** Whether chains were created explicitly on either side: these have no filters. */
export function hasBareChains({ sides }: Attached): boolean {
  return [sides.ingress, sides.egress].some(({ chains, entries }) =>
    chains.some(({ index }) => !entries.some((entry) => (entry.chain ?? 0) === index))
  );
}

/** Whether this is a clsact with nothing but these filters on it: no other filter, chain, template or shared block. */
export function containsOnly({ qdisc, sides }: Attached, own: readonly OwnFilter[]): boolean {
  if (qdisc.kind !== "clsact" || qdisc.ingressBlock !== undefined || qdisc.egressBlock !== undefined) return false;
  return [sides.ingress, sides.egress].every(({ entries, chains }) => {
    const isOurs = (entry: Filter): boolean =>
      own.some((filter) => entry.classifier ? isSame(entry, filter) : isPreferenceOf(entry, filter));
    // Ours are in chain 0. It exists because of them: while it has filters nobody can create it.
    const isImplied = ({ index, template }: Chain): boolean => index === 0 && template === undefined && entries.length > 0;
    return entries.every(isOurs) && chains.every(isImplied);
  });
}

/** Whether a filter is the one of ours. */
export function isSame(filter: Filter, own: OwnFilter): boolean {
  return filter.handle === own.handle && filter.kind === own.kind && isPreferenceOf(filter, own);
}

/** Whether an entry is of the same side, preference and protocol, which together are a list of filters. */
function isPreferenceOf(entry: Filter, own: OwnFilter): boolean {
  // An ingress qdisc has two names for its only side.
  const sameSide = directionOf(entry.parent) === directionOf(own.parent);
  return sameSide && entry.preference === own.preference && entry.protocol === own.protocol && (entry.chain ?? 0) === 0;
}
