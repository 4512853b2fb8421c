/**
 * Starting sampling: tc filters with the action `sample`, in addition to whatever else is on a device.
 * Source: tc-sample(8), net/sched/act_sample.c, net/sched/cls_api.c.
 *
 * @module
 */
import { type Advice, NetlinkError } from "../../errors.ts";
import type { Match } from "../../filter/match.ts";
import type { Link } from "../../link/link.ts";
import { open } from "../../socket/open.ts";
import { EBUSY, EEXIST, EINVAL, ENOENT, EOPNOTSUPP, type Sys } from "../../sys/sys.ts";
import { type ActionSpec, encodeActions, encodeActionsByIndex } from "../../tc/action.ts";
import { encodeFilter, type Filter } from "../../tc/filter.ts";
import { FIRST_FREE_GROUP } from "../../tc/sample_action.ts";
import { RTM_DELQDISC, RTM_NEWQDISC } from "../../tc/tcmsg.ts";
import { commandsIn, printable } from "../../wire/text.ts";
import { listGroupsWith } from "../groups.ts";
import { type TcEvent, TcWatch } from "../tc_watch.ts";
import { type Change, type Direction, PARENTS, type TrafficControl } from "../traffic_control.ts";
import { SamplingBase } from "./base.ts";
import { type Attached, filtersOf, hasBareChains, inspect, isSame, type OwnFilter } from "./clsact.ts";
import { withFailedUndo } from "./failed_undo.ts";
import { Installation, type Resources, type SamplingHandle } from "./handle.ts";
import { madeClsact, markCookie, markedHandle, NUMBER_MASK } from "./mark.ts";
import { planSampling, type SamplingOptions, type SamplingPlan } from "./options.ts";
import { clsactChange } from "./removal.ts";
import { samplingsOf } from "./sampling.ts";

/** The first preference that is tried: filters of ours come before others. */
const PREFERENCE = 28787;
/** The first index of the actions that exist for a moment, one for each instance: far from those that the kernel chooses, from 1 on. */
const MOMENTARY_INDEX = 0x7fff_0000;
/** How often the installation is retried after another program has changed the device at the same moment. */
const MOST_ATTEMPTS = 20;
/** What to do about a refusal, in the words of the options; a command has others. */
export const OPTION_CURES = {
  software: { cure: "software", words: "leave out hardware" },
  share: { cure: "share", words: "pass only the index to share it" },
  create: { cure: "create", words: "give a rate and a group to create one" },
} as const;
const NO_HARDWARE: Advice = { before: "The device cannot do this in hardware: ", ...OPTION_CURES.software };
/** Drivers accept only eBPF programs with direct action: `nfp_bpf_setup_tc_block_cb`, `nsim_bpf_setup_tc_block_cb`. */
const noProgram = (whyNotFlower: string): Advice => ({
  before: `No hardware runs this match, which requires a program: flower ${whyNotFlower}. Choose a match that flower can express, or `,
  ...OPTION_CURES.software,
});

/**
 * Adds sampling to a device. Call `remove()` on the result to undo exactly this, or let `await using` do it. A program that is ended by a
 * signal does neither: pass the signal of {@linkcode endOnSignals}.
 *
 * @example Sample one packet in a hundred until the end of the program
 * ```ts ignore
 * import { addSampling, endOnSignals } from "@psample/psample";
 *
 * await using sampling = await addSampling({ device: "eth0", rate: 100, signal: await endOnSignals() });
 * for (const { direction, preference, rate, group } of sampling.installed) console.log(direction, preference, rate, group);
 * ```
 *
 * @throws {ArgumentError} if the options are invalid; nothing was changed then.
 * @throws {NetlinkError} if the kernel refuses; what was done until then is undone. If that fails too, {@linkcode
 * SamplingOptions.onWarning} receives the reasons; without it the error says so, and its `cause` contains all errors.
 * @throws {AggregateError} if the signal aborted, what was done until then cannot be undone, and there is no `onWarning`: the signal's
 * reason and the other errors.
 * @category Sampling
 */
export async function addSampling(options: SamplingOptions): Promise<SamplingHandle> {
  return await addSamplingWith(await open(options), options);
}

/** {@linkcode addSampling} on a given seam. */
export async function addSamplingWith(sys: Sys, options: SamplingOptions): Promise<SamplingHandle> {
  const plan = planSampling(options);
  options.signal?.throwIfAborted();
  return await addPlanned(SamplingBase.open(sys), options, plan);
}

/**
 * {@linkcode addSampling} with sockets that are open. Without the right to enter their network namespace a group must be given, and that
 * another program changes the device at the same moment goes unnoticed.
 */
export async function addSamplingOn(base: SamplingBase, options: SamplingOptions): Promise<SamplingHandle> {
  const plan = planSampling(options);
  options.signal?.throwIfAborted();
  return await addPlanned(base, options, plan);
}

async function addPlanned(base: SamplingBase, options: SamplingOptions, plan: SamplingPlan): Promise<SamplingHandle> {
  const { signal, onWarning } = options;
  const { sys, tc, instance } = base;
  const release = base.hold();
  let watch: TcWatch | undefined;
  try {
    watch = TcWatch.prepare(sys);
    const { number } = instance;
    const link = await tc.link(options.device);
    const match = plan.matchOn(link);
    if (match.kind === "bpf" && match.never) onWarning?.(`No packet of ${printable(link.name)} matches`);
    const installation = new Installation({ sys, tc, watch, instance, release }, link, options);
    installation.group = options.group ?? (plan.shares ? undefined : await freeGroup(sys, number));
    try {
      await instance.exclusively(() => install({ sys, tc }, installation, { link, number, options, plan, match }), { signal, onWarning });
      signal?.throwIfAborted();
    } catch (error) {
      // The first failure is the error.
      await installation.remove().catch((failure) => installation.failedUndos.push(failure));
      throw withFailedUndo(error, installation.failedUndos, onWarning);
    }
    installation.removeOnAbort();
    return installation;
  } catch (error) {
    watch?.close();
    release();
    throw error;
  }
}

/**
 * The group for sampling that is added later, when there is a device: this one, or one that nobody uses. Loads the module, and finds out
 * whether sampling is possible and permitted, by an action that exists for a moment.
 *
 * @throws {NetlinkError} if the kernel refuses.
 */
export async function prepareSampling({ sys, tc, instance: { number } }: SamplingBase, given: number | undefined): Promise<number> {
  const group = given ?? await freeGroup(sys, number);
  const index = MOMENTARY_INDEX + number;
  const op = "sample devices that come later";
  try {
    await tc.change(encodeActions("add", [{ sample: { rate: 1, group, index } }]), op);
  } catch (error) {
    // The right is checked before. Whose action that is, is not known: it stays.
    if (error instanceof NetlinkError && error.errno === EEXIST) return group;
    throw error;
  }
  await tc.change(encodeActionsByIndex("delete", [index]), op);
  return group;
}

/** A group that nobody uses: the number of the instance keeps two of our processes from taking the same. */
async function freeGroup(sys: Sys, instance: number): Promise<number> {
  let used: Set<number>;
  try {
    used = new Set((await listGroupsWith(sys)).map((group) => group.group));
  } catch (error) {
    // psample is not loaded yet: adding the filter will load it.
    if (!(error instanceof NetlinkError && error.errno === ENOENT)) throw error;
    used = new Set();
  }
  let group = FIRST_FREE_GROUP + instance;
  while (used.has(group)) group += NUMBER_MASK + 1;
  return group;
}

/** What is to be installed, and where. */
interface Order {
  readonly link: Link;
  /** The number of the instance. */
  readonly number: number;
  readonly options: SamplingOptions;
  readonly plan: SamplingPlan;
  readonly match: Match;
}

/** Installs the filters; retries if another program changed the device between the inspection and the change. */
async function install({ sys, tc }: Pick<Resources, "sys" | "tc">, installation: Installation, order: Order): Promise<void> {
  const { link, options, plan } = order;
  const watch = TcWatch.open(sys, link.index);
  try {
    for (let attempt = 1;; attempt++) {
      watch?.events();
      const attached = await inspect(tc, link.index);
      checkQdisc(attached, order, tc.netns);
      if (options.index !== undefined) await checkIndex(tc, options.index, plan.shares);
      options.signal?.throwIfAborted();
      const refusal = await tryInstall(tc, installation, attached, order);
      // A filter is refused as soon as its qdisc is being deleted. The notification is sent before the kernel's lock is released, for which
      // this request waits.
      if (refusal) await tc.qdiscs();
      const events = watch?.events() ?? [];
      const replaced = isReplaced(events, tc.portId);
      if (!refusal && !replaced) break;
      // Then our filters may be in another program's clsact, whatever their mark says.
      if (replaced) installation.clsact = false;
      try {
        await installation.undo();
      } catch (failure) {
        if (!refusal) throw failure;
        installation.failedUndos.push(failure);
        throw refusal;
      }
      const raced = refusal?.errno === EEXIST || events.some(({ by }) => by !== tc.portId && by !== 0);
      if (!raced || attempt === MOST_ATTEMPTS) throw replaced || !refusal ? busy(link.name) : refusal;
      // Sometimes longer, so as not to stay in step with the other program.
      await new Promise((resolve) => setTimeout(resolve, attempt * 2 * Math.random()));
    }
  } finally {
    installation.watchClaims(watch);
  }
  const attached = await inspect(tc, link.index);
  installation.installed = (attached ? filtersOf(attached) : []).filter((filter) => installation.filters.some((own) => isSame(filter, own)))
    .flatMap((filter) => samplingsOf(filter, link.name));
  installation.group ??= installation.installed[0]?.group;
}

/** Whether another program added or deleted the clsact, after us if we did so too. */
function isReplaced(events: readonly TcEvent[], own: number): boolean {
  const ours = events.findIndex(({ type, by }) => type === RTM_NEWQDISC && by === own);
  return events.slice(ours + 1).some(({ type, by }) => by !== own && (type === RTM_NEWQDISC || type === RTM_DELQDISC));
}

function busy(device: string): NetlinkError {
  return new NetlinkError(`sample on ${device}`, EBUSY, { hint: "Another program keeps replacing its clsact qdisc" });
}

/** Sends all changes in one datagram, and records which succeeded; returns the first refusal. */
async function tryInstall(
  tc: TrafficControl,
  installation: Installation,
  attached: Attached | undefined,
  { link, number, options, plan, match }: Order,
): Promise<NetlinkError | undefined> {
  // A clsact made by another of our processes is removed by the last of them; but if somebody created chains in it, it is theirs too.
  const inherits = attached !== undefined && filtersOf(attached).some(madeClsact) && !hasBareChains(attached);
  const handle = markedHandle(number, !attached || inherits);
  const cures = options.hardware === "only" ? { [EOPNOTSUPP]: match.kind === "bpf" ? noProgram(match.whyNotFlower) : NO_HARDWARE } : {};
  const additions = plan.directions.map((direction, i) => {
    const classifier = plan.classifier(match, [actionOf(options, plan, installation.group, handle, i)]);
    const place = placeOf(direction, attached);
    const filter: OwnFilter = { ...place, ifindex: link.index, protocol: match.protocol, handle, kind: classifier.kind };
    const change: Change = { message: encodeFilter("add", filter, classifier), op: `sample ${direction} traffic on ${link.name}`, cures };
    return { filter, change };
  });
  const clsact = attached ? [] : [clsactChange("add", link.index, link.name)];
  const refusals = await tc.changeAll([...clsact, ...additions.map(({ change }) => change)]);
  installation.clsact = attached ? inherits : !refusals[0];
  installation.filters = additions.filter((_, i) => !refusals[clsact.length + i]).map(({ filter }) => filter);
  return refusals.find((refusal) => refusal !== undefined);
}

function actionOf(options: SamplingOptions, plan: SamplingPlan, group: number | undefined, handle: number, position: number): ActionSpec {
  const { rate, truncateBytes, index, cookie, control = "continue" } = options;
  // With two directions, the second shares the action only if the user chose its index.
  if (plan.shares || index !== undefined && position > 0) return { sample: { index, control } };
  return { sample: { rate, group, truncateBytes, index, control }, cookie: cookie ?? markCookie(handle) };
}

/** Where a filter of ours goes. */
function placeOf(direction: Direction, attached: Attached | undefined): { parent: number; preference: number } {
  const filters = attached?.sides[direction].entries ?? [];
  // An ingress qdisc has two names for its only side, and reports all filters' parent under the name used last.
  const parent = attached?.qdisc.kind === "ingress" ? filters[0]?.parent : undefined;
  return { parent: parent ?? PARENTS[direction], preference: freePreference(filters) };
}

function checkQdisc(attached: Attached | undefined, { link: { name }, plan }: Order, netns: string | undefined): void {
  if (!attached || attached.qdisc.kind === "clsact" || !plan.directions.includes("egress")) return;
  throw new NetlinkError(`sample egress traffic on ${name}`, EOPNOTSUPP, {
    hint: "It has an ingress qdisc, which cannot hold egress filters: sample ingress only, or replace it with a clsact qdisc (" +
      commandsIn(netns, `tc qdisc del dev ${name} ingress; tc qdisc add dev ${name} clsact`) + "), which removes the filters that it has",
  });
}

/** The kernel would share an existing action, whatever else is asked for, and give it our cookie. */
async function checkIndex(tc: TrafficControl, index: number, shares: boolean): Promise<void> {
  const op = `${shares ? "share" : "create"} the sample action ${index}`;
  const [action] = await tc.sampleActions(encodeActionsByIndex("get", [index]), op).catch((error) => {
    if (error instanceof NetlinkError && error.errno === ENOENT) return [];
    throw error;
  });
  if (shares && !action) throw new NetlinkError(op, ENOENT, { hint: { before: "No such action; ", ...OPTION_CURES.create } });
  if (!shares && action) {
    const { rate, group } = action.sample!;
    const before = `It already exists (rate ${rate}, group ${group}). Choose another index, or `;
    throw new NetlinkError(op, EEXIST, { hint: { before, ...OPTION_CURES.share } });
  }
}

/** The preference before all others: a filter that ends classification would hide packets from ours. */
function freePreference(filters: readonly Filter[]): number {
  const taken = new Set(filters.filter((filter) => (filter.chain ?? 0) === 0).map((filter) => filter.preference));
  const first = Math.min(PREFERENCE + 1, ...taken) - 1;
  if (first >= 1) return first;
  for (let preference = 1; preference <= 0xffff; preference++) if (!taken.has(preference)) return preference;
  throw new NetlinkError("sample on this device", EINVAL, { hint: "Every filter preference from 1 to 65535 is taken" });
}
