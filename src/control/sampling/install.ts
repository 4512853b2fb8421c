/**
 * Starting sampling: tc filters with the action `sample`, beside whatever else is on a device.
 * Source: tc-sample(8), net/sched/act_sample.c, net/sched/cls_api.c.
 *
 * @module
 */
import { NetlinkError } from "../../errors.ts";
import type { Link } from "../../link/link.ts";
import { loadSys } from "../../sys/load.ts";
import { EEXIST, EINVAL, ENOENT, EOPNOTSUPP, type Sys } from "../../sys/sys.ts";
import { type ActionSpec, encodeActionsByIndex } from "../../tc/action.ts";
import { encodeFilter, type Filter } from "../../tc/filter.ts";
import { encodeQdisc, type Qdisc } from "../../tc/qdisc.ts";
import { TC_H_CLSACT } from "../../tc/tcmsg.ts";
import { listGroupsWith } from "../groups.ts";
import { PARENTS, TrafficControl } from "../traffic_control.ts";
import { Installation, type SamplingHandle } from "./handle.ts";
import { exclusively, Instance } from "./instance.ts";
import { INSTANCE_MASK, madeClsact, markCookie, markedHandle } from "./mark.ts";
import { planSampling, type SamplingOptions, type SamplingPlan } from "./options.ts";
import { samplingsOf } from "./sampling.ts";

/** Filters of ours come before others: the first preference that is tried. */
const PREFERENCE = 28787;
/** The first of the groups that are chosen for the user. */
const FIRST_GROUP = 0x10000;
const NO_HARDWARE = "The device has no hardware that samples so: leave out hardware";

/**
 * Adds sampling to a device. Call `remove()` on the result to undo exactly this.
 *
 * @throws {ArgumentError} if the options make no sense; nothing was touched then.
 * @throws {NetlinkError} if the kernel refuses; what was done until then is undone.
 */
export async function addSampling(options: SamplingOptions): Promise<SamplingHandle> {
  return await addSamplingWith(await loadSys(), options);
}

/** {@linkcode addSampling} on a given seam. */
export async function addSamplingWith(sys: Sys, options: SamplingOptions): Promise<SamplingHandle> {
  const plan = planSampling(options);
  const tc = new TrafficControl(sys);
  let instance: Instance | undefined;
  try {
    instance = new Instance(sys);
    const link = await tc.link(options.device);
    const group = options.group ?? (plan.shares ? undefined : await freeGroup(sys, instance.number));
    const installation = new Installation({ sys, tc, instance }, link.index, group);
    const { number } = instance;
    try {
      await exclusively(sys, () => install(installation, tc, link, number, options, plan));
    } catch (error) {
      // Undo what is done; what went wrong first is what the user wants to know.
      await installation.remove().catch(() => {});
      throw error;
    }
    return installation;
  } catch (error) {
    instance?.close();
    tc.close();
    throw error;
  }
}

/** A group that nobody uses: the number of the instance keeps two of us from taking the same. */
async function freeGroup(sys: Sys, instance: number): Promise<number> {
  let used: Set<number>;
  try {
    used = new Set((await listGroupsWith(sys)).map((group) => group.group));
  } catch (error) {
    // No psample yet: the filter will load it.
    if (!(error instanceof NetlinkError && error.errno === ENOENT)) throw error;
    used = new Set();
  }
  let group = FIRST_GROUP + instance;
  while (used.has(group)) group += INSTANCE_MASK + 1;
  return group;
}

async function install(
  installation: Installation,
  tc: TrafficControl,
  { index: ifindex, name }: Link,
  instance: number,
  options: SamplingOptions,
  plan: SamplingPlan,
): Promise<void> {
  const { made } = installation;
  const qdisc = (await tc.qdiscs()).find((qdisc) => qdisc.ifindex === ifindex && qdisc.parent === TC_H_CLSACT);
  checkQdisc(qdisc, name, plan);
  if (options.index !== undefined) await checkIndex(tc, options.index, plan.shares);
  if (!qdisc) {
    await tc.change(encodeQdisc("add", { ifindex, kind: "clsact" }), `add the clsact qdisc to ${name}`);
    made.clsact = true;
  }
  const filters = {
    ingress: await tc.filters(ifindex, PARENTS.ingress),
    egress: qdisc?.kind === "ingress" ? [] : await tc.filters(ifindex, PARENTS.egress),
  };
  // The clsact that another instance made is for the last of us to remove.
  if ([...filters.ingress, ...filters.egress].some(madeClsact)) made.clsact = true;
  const handle = markedHandle(instance, made.clsact);
  const action: ActionSpec = {
    sample: {
      rate: options.rate,
      group: plan.shares ? undefined : installation.group,
      truncateBytes: options.truncateBytes,
      index: options.index,
      control: options.control ?? "continue",
    },
    cookie: plan.shares ? undefined : options.cookie ?? markCookie(handle),
  };
  for (const direction of plan.directions) {
    const preference = freePreference(filters[direction]);
    // An ingress qdisc has two names for its only side, and from then on calls all filters' parent by that of the last one.
    const parent = (qdisc?.kind === "ingress" ? filters[direction][0]?.parent : undefined) ?? PARENTS[direction];
    const key = { ifindex, parent, preference, protocol: plan.protocol, handle };
    const classifier = plan.classifier([action]);
    const cures = options.hardware === "only" ? { [EOPNOTSUPP]: NO_HARDWARE } : {};
    await tc.change(encodeFilter("add", key, classifier), `sample ${direction} packets of ${name}`, cures);
    made.filters.push({ ...key, kind: classifier.kind });
    // Of two directions the second shares the action only if the user chose its index.
    if (options.index !== undefined) action.sample = { index: options.index, control: action.sample.control };
  }
  const installed = (await Promise.all(plan.directions.map((direction) => tc.filters(ifindex, PARENTS[direction])))).flat()
    .filter((filter) => filter.handle === handle);
  installation.installed = installed.flatMap((filter) => samplingsOf(filter, name));
  installation.group ??= installation.installed[0]?.group;
}

function checkQdisc(qdisc: Qdisc | undefined, name: string, plan: SamplingPlan): void {
  if (!qdisc || qdisc.kind === "clsact" || !plan.directions.includes("egress")) return;
  throw new NetlinkError(`sample egress traffic on ${name}`, EOPNOTSUPP, {
    hint: `It has an ingress qdisc, which cannot hold egress filters: sample ingress only, or replace it with a clsact qdisc ` +
      `(tc qdisc del dev ${name} ingress; tc qdisc add dev ${name} clsact), which removes the filters that it has`,
  });
}

/** The kernel would share an action that exists, whatever else is asked for, and give it our cookie. */
async function checkIndex(tc: TrafficControl, index: number, shares: boolean): Promise<void> {
  const op = `${shares ? "share" : "create"} the sample action ${index}`;
  const [action] = await tc.sampleActions(encodeActionsByIndex("get", [index]), op).catch((error) => {
    if (error instanceof NetlinkError && error.errno === ENOENT) return [];
    throw error;
  });
  if (shares && !action) throw new NetlinkError(op, ENOENT, { hint: "No such action; give a rate and a group to create one" });
  if (!shares && action) {
    const { rate, group } = action.sample!;
    const hint = `It already exists (rate ${rate}, group ${group}). Choose another index, or pass only the index to share it`;
    throw new NetlinkError(op, EEXIST, { hint });
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
