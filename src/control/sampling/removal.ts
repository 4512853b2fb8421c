/**
 * Removes our filters from a device, and the clsact qdisc that was made for them; nothing that belongs to anybody else.
 *
 * An inspection decides whether the qdisc may be deleted. It must contain a filter of ours, which proves that it is the qdisc that we made
 * and not one that took its place; and nothing else. The inspection is repeated until nobody has changed anything during it. Filters and
 * qdisc are then deleted in one datagram: a killed process leaves both or neither, and not an empty qdisc, which nobody could recognise.
 *
 * The kernel has no "delete if unchanged", so there remains the moment between the end of the inspection and the deletion. A change in it
 * is noticed afterwards: it is reported, and the device gets a clsact qdisc again, but its contents are lost. SECURITY.md says so too.
 */
import { NetlinkError } from "../../errors.ts";
import { EBUSY, EEXIST, EINVAL, EOPNOTSUPP } from "../../sys/sys.ts";
import { decodeFilter, encodeFilter, type Filter } from "../../tc/filter.ts";
import { encodeQdisc } from "../../tc/qdisc.ts";
import { RTM_DELQDISC, RTM_DELTFILTER } from "../../tc/tcmsg.ts";
import { addFlags, NLM_F_ECHO } from "../../wire/message.ts";
import type { TcEvent, TcWatch } from "../tc_watch.ts";
import { type Change, isGone, PARENTS, type TrafficControl } from "../traffic_control.ts";
import { fateOfClsact } from "./claims.ts";
import { type Attached, contains, containsOnly, inspect, type OwnFilter } from "./clsact.ts";

/** What was added to a device. */
export interface Additions {
  readonly ifindex: number;
  /** The device's name in errors. */
  readonly device: string;
  readonly filters: readonly OwnFilter[];
  /** Whether one of our processes made the clsact qdisc; if there are no filters, it was a moment ago, and the kernel refused them all. */
  readonly clsact: boolean;
}

/** What removal works with. */
export interface Tools {
  readonly tc: TrafficControl;
  /** Hears of changes by others; `undefined` if there was no descriptor for it. */
  readonly watch: TcWatch | undefined;
  /** Receives messages about damage that cannot be undone. */
  readonly onWarning?: ((message: string) => void) | undefined;
  /** Receives each filter as it was when it was deleted, with its last counts. */
  readonly onRemoved?: ((filter: Filter) => void) | undefined;
}

/** Maximum number of changes sent at once: their acknowledgements must fit into the socket's buffer. */
const MOST_CHANGES = 32;
/** How often an inspection that others disturb is repeated; then the clsact qdisc is left to them. */
const MOST_LOOKS = 8;

/**
 * Removes what was added to a device. What is gone already counts as removed.
 *
 * @returns Whether a clsact qdisc that one of us made stays, because it is in use or not provably ours.
 * @throws {NetlinkError} if the kernel refuses something; the error names what is left.
 */
export async function removeAdditions(tools: Tools, additions: Additions): Promise<boolean> {
  const { tc } = tools;
  const { ifindex, device, filters } = additions;
  const deletions = filters.map((filter) => deletion(filter, device, tools.onRemoved));
  if (!additions.clsact) {
    throwRefusal(additions, await deleteFilters(tools, additions, deletions));
    return false;
  }
  // Prepared before the inspection, so that nothing delays the deletion afterwards.
  const all = [...deletions, clsactChange("delete", ifindex, device)];
  const watch = tools.watch?.begin(ifindex) ? tools.watch : undefined;
  try {
    const verdict = await look(tc, watch, additions);
    if (verdict !== "unused") {
      // The filters can be removed without inspection, and are.
      throwRefusal(additions, await deleteFilters(tools, additions, deletions));
      if (verdict instanceof NetlinkError) throw blindness(verdict, device);
      return verdict === "stays";
    }
    const results = await send(tc, all);
    const refusal = results.pop();
    if (!refusal) {
      // Filters whose deletion was refused were deleted with it.
      if (wasOfOthers(results, watch?.events(), tc.portId)) await makeGood(tools, ifindex, device);
      return false;
    }
    throwRefusal(additions, results);
    // Busy: another program is adding a filter right now (qdisc_graft in net/sched/sch_api.c).
    if (!isGone(refusal) && refusal.errno !== EBUSY) throw refusal;
    return !isGone(refusal);
  } finally {
    watch?.end();
  }
}

/**
 * The result of inspecting the clsact qdisc: it may be deleted, it stays for others, it is gone already; or why it could not be inspected.
 */
type Verdict = "unused" | "stays" | "gone" | NetlinkError;

/** Inspects until nobody has changed anything meanwhile. */
async function look(tc: TrafficControl, watch: TcWatch | undefined, { ifindex, filters }: Additions): Promise<Verdict> {
  try {
    for (let i = 0; i < MOST_LOOKS; i++) {
      const attached = await inspect(tc, ifindex);
      if (!attached) return "gone";
      if (!isUnused(attached, filters)) return "stays";
      const events = watch ? watch.events() : [];
      if (events?.length === 0) return "unused";
      if (events && fateOfClsact(events, tc.portId) === "claimed") return "stays";
    }
    return "stays";
  } catch (error) {
    if (!(error instanceof NetlinkError)) throw error;
    return isGone(error) ? "gone" : error;
  }
}

/** Whether the clsact is one that we made, and would be empty without our filters. */
function isUnused(attached: Attached, filters: readonly OwnFilter[]): boolean {
  const proven = filters.length === 0 || filters.some((filter) => contains(attached, filter));
  return proven && containsOnly(attached, filters);
}

/** The deletion of a filter. The kernel describes it first, for `onRemoved`: no count is later. */
function deletion(filter: OwnFilter, device: string, onRemoved?: (filter: Filter) => void): Change {
  const message = encodeFilter("delete", filter);
  if (onRemoved) addFlags(message, NLM_F_ECHO);
  return {
    message,
    op: `remove ${nameOf(filter)} from ${device}`,
    onAnswer: (answer) => answer.type === RTM_DELTFILTER && onRemoved?.(decodeFilter(answer)),
  };
}

/**
 * Deletes the filters only. Some kernels refuse with EINVAL to delete a filter whose description does not fit into a notification
 * (tfilter_del_notify in net/sched/cls_api.c), and describe it only if somebody listens: those are deleted without an echo.
 */
async function deleteFilters(
  { tc }: Tools,
  { filters, device }: Additions,
  deletions: readonly Change[],
): Promise<(NetlinkError | undefined)[]> {
  const results = await send(tc, deletions);
  const again = filters.flatMap((filter, i) => results[i]?.errno === EINVAL ? [[i, deletion(filter, device)] as const] : []);
  const more = await send(tc, again.map(([, change]) => change));
  again.forEach(([i], at) => results[i] = more[at]);
  return results;
}

/** Adds or deletes the clsact qdisc of a device. */
export function clsactChange(change: "add" | "delete", ifindex: number, device: string): Change {
  const op = change === "add" ? `add a clsact qdisc to ${device}` : `remove the clsact qdisc from ${device}`;
  return { message: encodeQdisc(change, { ifindex, kind: "clsact" }), op };
}

/** Sends changes in as few datagrams as possible: the last is full, so that the clsact is deleted together with filters. */
async function send(tc: TrafficControl, changes: readonly Change[]): Promise<(NetlinkError | undefined)[]> {
  const results: (NetlinkError | undefined)[] = [];
  let end = changes.length % MOST_CHANGES || MOST_CHANGES;
  for (let at = 0; at < changes.length; at = end, end += MOST_CHANGES) results.push(...await tc.changeAll(changes.slice(at, end)));
  return results;
}

/**
 * Whether another program lost something with the clsact: it added something before the deletion, or a clsact of its own.
 * Without a watch, the sign of that is that none of our filters existed any more.
 */
function wasOfOthers(results: readonly (NetlinkError | undefined)[], events: readonly TcEvent[] | undefined, own: number): boolean {
  if (!events) return results.length > 0 && results.every(isAbsent);
  const deletion = events.findIndex(({ type, by }) => type === RTM_DELQDISC && by === own);
  return events.slice(0, Math.max(deletion, 0)).some(({ type, by }) => by !== own && type !== RTM_DELQDISC && type !== RTM_DELTFILTER);
}

/** Gives the device a clsact qdisc again, unless somebody else did so first. */
async function makeGood({ tc, onWarning }: Tools, ifindex: number, device: string): Promise<void> {
  const [refusal] = await tc.changeAll([clsactChange("add", ifindex, device)]);
  const now = !refusal ? "an empty one again" : refusal.errno === EEXIST ? "another program's by now" : "none now";
  onWarning?.(
    `Another program changed the clsact qdisc of ${device} at the very moment it was removed: it has ${now}, ` +
      `${refusal && refusal.errno !== EEXIST ? "and" : "but"} what was added to the old one is gone`,
  );
  if (refusal && !isGone(refusal) && refusal.errno !== EEXIST) throw refusal;
}

function throwRefusal({ filters, device }: Additions, results: readonly (NetlinkError | undefined)[]): void {
  const refused = results.map((result) => isAbsent(result) ? undefined : result);
  const first = refused.find((result) => result !== undefined);
  if (!first) return;
  const names = filters.filter((_, i) => refused[i]).map(nameOf).join(" and ");
  const { errno, extack, extackOffset, hint } = first;
  throw new NetlinkError(`remove ${names} from ${device}`, errno, { extack, extackOffset, hint, cause: first });
}

/** Whether a filter did not exist when it was to be deleted: not at all, or because the clsact now uses a shared block. */
function isAbsent(result: NetlinkError | undefined): boolean {
  return isGone(result) || result?.errno === EOPNOTSUPP;
}

function blindness(cause: NetlinkError, device: string): NetlinkError {
  const { errno, extack, hint } = cause;
  return new NetlinkError(`see whether the clsact qdisc of ${device} is unused, so it stays`, errno, { extack, hint, cause });
}

function nameOf({ parent, preference }: OwnFilter): string {
  return `the ${parent === PARENTS.egress ? "egress" : "ingress"} filter with preference ${preference}`;
}
