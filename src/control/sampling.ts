/**
 * Starting and stopping sampling: tc filters with the action `sample`, set up beside whatever else is on a
 * device and taken away without touching it. Source: tc-sample(8), net/sched/act_sample.c, net/sched/cls_api.c.
 *
 * @module
 */
import { ArgumentError, NetlinkError } from "../errors.ts";
import { listGroupsWith } from "./groups.ts";
import { IFNAME_MAX, type Link } from "../link/link.ts";
import { NetlinkSocket } from "../socket/netlink_socket.ts";
import { loadSys } from "../sys/load.ts";
import { EADDRINUSE, ECONNREFUSED, EEXIST, EINVAL, ENOENT, EOPNOTSUPP, NETLINK_USERSOCK, type Sys } from "../sys/sys.ts";
import { type Action, type ActionSpec, encodeActionsByIndex, TC_COOKIE_MAX_SIZE } from "../tc/action.ts";
import type { Control } from "../tc/control.ts";
import { actionsOf, type ClassifierSpec, encodeFilter, type Filter, type FilterKey } from "../tc/filter.ts";
import { compileMatch } from "../filter/match.ts";
import { encodeQdisc } from "../tc/qdisc.ts";
import type { ActionAges } from "../tc/sample_action.ts";
import {
  TC_H_CLSACT,
  TC_H_FFFF,
  TCA_CLS_FLAGS_IN_HW,
  TCA_CLS_FLAGS_NOT_IN_HW,
  TCA_CLS_FLAGS_SKIP_HW,
  TCA_CLS_FLAGS_SKIP_SW,
} from "../tc/tcmsg.ts";
import { type Direction, PARENTS, TrafficControl } from "./traffic_control.ts";
import { encodeMessage, NLMSG_NOOP } from "../wire/message.ts";
import { memory } from "../wire/native.ts";

export type { Direction } from "./traffic_control.ts";

/** What to sample, for {@linkcode addSampling}. */
export interface SamplingOptions {
  /** The device, by name or index. */
  device: string | number;
  /** Arriving packets, leaving packets, or both; `"ingress"` unless given. */
  direction?: Direction | "both" | undefined;
  /** Sample one packet in so many: a u32 above 0. Each packet is decided by chance, not by counting. */
  rate?: number | undefined;
  /** The psample group that the samples go to, u32; one that nobody uses unless given. */
  group?: number | undefined;
  /**
   * Cut packets to so many bytes; the whole packet unless given. Absent is not 0: 0 gives samples without data.
   */
  truncateBytes?: number | undefined;
  /**
   * The number of the action, u32, for a new one. Without `rate` an existing action with this number is shared as it
   * is: leave out `group`, `truncateBytes`, `cookie` and `control` too.
   */
  index?: number | undefined;
  /** Up to 16 bytes that come with every sample since Linux 6.11; our own mark unless given. */
  cookie?: Uint8Array | undefined;
  /**
   * What becomes of the packet afterwards. `"continue"` unless given: filters of others behind this one see it as if this
   * one were not there. (tc's own default is `"pipe"`, after which they do not.)
   */
  control?: Control | undefined;
  /** Which packets, such as `"ip proto tcp dport 80-90"`; all unless given. */
  match?: string | undefined;
  /** Only in hardware, or not in hardware; wherever it works unless given. */
  hardware?: "only" | "never" | undefined;
}

/** One sample action of a filter, as the kernel has it. */
export interface Sampling {
  /** Name of the device; `undefined` for a block that several devices share. */
  readonly device: string | undefined;
  /** Index of the device. */
  readonly ifindex: number;
  /** Which packets; `undefined` for a filter of another qdisc, see {@linkcode Sampling.parent}. */
  readonly direction: Direction | undefined;
  /** Where the filter hangs. */
  readonly parent: number;
  /** Preference of the filter: lower ones come first. */
  readonly preference: number;
  /** The filter's own number. */
  readonly handle: number;
  /** The chain that the filter is in. */
  readonly chain: number;
  /** The kind of classifier, such as `"matchall"`. */
  readonly kind: string;
  /** EtherType that the filter looks at; 3 for every one. */
  readonly protocol: number;
  /** Place of the action among those of the filter, from 1. */
  readonly order: number;
  /** One packet in so many. */
  readonly rate: number | undefined;
  /** The psample group. */
  readonly group: number | undefined;
  /** To how many bytes packets are cut; `undefined` for not at all. */
  readonly truncateBytes: number | undefined;
  /** The number of the action. */
  readonly index: number;
  /** How many hold the action. */
  readonly refcount: number;
  /** How many filters hold the action. */
  readonly bindings: number;
  /** The action's cookie. */
  readonly cookie: Uint8Array | undefined;
  /** What becomes of the packet afterwards. */
  readonly control: Control;
  /** Packets that came to the action; a GSO packet counts as the segments it stands for. */
  readonly packets: bigint | undefined;
  /** Bytes that came to the action. */
  readonly bytes: bigint | undefined;
  /** Since when, and when last. */
  readonly ages: ActionAges | undefined;
  /** Where the sampling is done: `"hardware"`, `"software"`, or `undefined` where the kernel does not say. */
  readonly where: "hardware" | "software" | undefined;
  /** Whether the filter carries the mark of {@linkcode addSampling}. */
  readonly ours: boolean;
}

// Filters of ours are known by their handle: "ps" in the upper half; below it whether we made the clsact, and 15 bits by
// which an instance is told from others. The same number without the flag is the port id of a netlink socket that the
// instance holds: where nobody holds it, the instance is gone. That needs no process id, and works across containers.
const MARK = 0x70730000;
const MARK_MASK = 0xffff0000;
const MADE_CLSACT = 0x8000;
const INSTANCE_MASK = 0x7fff;
/** Filters of ours stand before others: the first preference that is tried. */
const PREFERENCE = 28787;
/** Groups that are chosen for the user. */
const FIRST_GROUP = 0x10000;
const COOKIE_TEXT = "psample";
// The port of whoever of us looks at a device and changes it then: the others wait. No instance has it.
const LOCK = MARK | MADE_CLSACT;
const LOCK_PATIENCE_MS = 5000;
const LOCK_POLL_MS = 2;
const NO_HARDWARE = "The device has no hardware that samples so: leave out hardware";

/** Whether a filter carries our mark: its handle, and one action, which is `sample`. */
function isOurs(filter: Filter): boolean {
  const actions = actionsOf(filter);
  return (filter.handle & MARK_MASK) === MARK && actions.length === 1 && actions[0]!.kind === "sample";
}

/** Adds sampling to a device; `remove()` of what it returns takes it away again, and nothing else. */
export async function addSampling(options: SamplingOptions): Promise<SamplingHandle> {
  return await addSamplingWith(await loadSys(), options);
}

/**
 * {@linkcode addSampling} on a given seam.
 *
 * @throws {ArgumentError} for options that make no sense, before anything is touched.
 * @throws {NetlinkError} where the kernel refuses; what was done until then is undone.
 */
export async function addSamplingWith(sys: Sys, options: SamplingOptions): Promise<SamplingHandle> {
  const plan = checkOptions(options);
  const tc = new TrafficControl(sys);
  let instance: Instance | undefined;
  try {
    instance = new Instance(sys);
    const link = await tc.link(options.device);
    const group = options.group ?? (plan.shares ? undefined : await freeGroup(sys, instance.number));
    const handle = new SamplingHandle(sys, tc, instance, link, group);
    try {
      await exclusively(sys, () => install(handle, options, plan));
    } catch (error) {
      // Undo what is done; what went wrong first is what the user wants to know.
      await handle.remove().catch(() => {});
      throw error;
    }
    return handle;
  } catch (error) {
    instance?.close();
    tc.close();
    throw error;
  }
}

/** What {@linkcode checkOptions} made of the options. */
interface Plan {
  readonly directions: readonly Direction[];
  readonly protocol: number;
  readonly classifier: (actions: readonly ActionSpec[]) => ClassifierSpec;
  /** An existing action is to be shared. */
  readonly shares: boolean;
}

function checkOptions(options: SamplingOptions): Plan {
  const { device, direction = "ingress", rate, group, truncateBytes, index, cookie, control, match, hardware } = options;
  if (typeof device === "string") checkName(device);
  else checkNumber("device", device, 1, 0x7fffffff);
  if (!["ingress", "egress", "both"].includes(direction)) {
    throw new ArgumentError(`Cannot sample the direction ${direction}: it is ingress, egress or both`);
  }
  const shares = rate === undefined && index !== undefined;
  if (rate === undefined && !shares) throw new ArgumentError("Cannot sample without a rate: one packet in how many?");
  for (const [what, value] of Object.entries(shares ? { group, truncateBytes, cookie, control } : {})) {
    if (value !== undefined) {
      throw new ArgumentError(`Cannot share an action and change it: leave out ${what}, or give a rate for a new action`);
    }
  }
  if (rate !== undefined) checkNumber("rate", rate, 1);
  if (group !== undefined) checkNumber("group", group);
  if (truncateBytes !== undefined) checkNumber("truncateBytes", truncateBytes);
  if (index !== undefined) checkNumber("index", index, 1);
  if (cookie && (cookie.length < 1 || cookie.length > TC_COOKIE_MAX_SIZE)) {
    throw new ArgumentError(`Cannot sample with a cookie of ${cookie.length} bytes: 1 to ${TC_COOKIE_MAX_SIZE} are possible`);
  }
  const compiled = match === undefined ? undefined : compileMatch(match);
  const flags = hardware === "only" ? TCA_CLS_FLAGS_SKIP_SW : hardware === "never" ? TCA_CLS_FLAGS_SKIP_HW : undefined;
  const keys = compiled?.keys;
  return {
    directions: direction === "both" ? ["ingress", "egress"] : [direction],
    protocol: compiled?.protocol ?? 3,
    classifier: (actions) => keys ? { kind: "flower", keys, flags, actions } : { kind: "matchall", flags, actions },
    shares,
  };
}

function checkName(name: string): void {
  const size = new TextEncoder().encode(name).length;
  if (size < 1 || size > 127) {
    throw new ArgumentError(`Cannot sample on the device ${JSON.stringify(name)}: a name has 1 to ${IFNAME_MAX} bytes`);
  }
}

function checkNumber(what: string, value: number, least = 0, most = 0xffffffff): void {
  if (!Number.isInteger(value) || value < least || value > most) {
    throw new ArgumentError(`Cannot sample with ${what} ${value}: expected a whole number from ${least} to ${most}`);
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

/** A running instance: holds a netlink port by which others see that it runs. */
class Instance {
  /** 15 bits by which this instance is known. */
  readonly number: number;
  readonly #socket: NetlinkSocket;

  constructor(sys: Sys) {
    const first = crypto.getRandomValues(new Uint16Array(1))[0]! & INSTANCE_MASK;
    for (let i = 0;; i++) {
      const number = (first + i) & INSTANCE_MASK;
      try {
        this.#socket = new NetlinkSocket(sys, NETLINK_USERSOCK, MARK | number);
        this.number = number;
        return;
      } catch (error) {
        if (!(error instanceof NetlinkError && error.errno === EADDRINUSE) || i === INSTANCE_MASK) throw error;
      }
    }
  }

  /**
   * Whether the instance that made a filter still runs in this network namespace. Knocks at its port: taking the port
   * for a moment would make us look like it to another who asks at that moment.
   */
  static runs(sys: Sys, handle: number): boolean {
    const socket = new NetlinkSocket(sys, NETLINK_USERSOCK);
    try {
      // Nobody reads it. Once the buffer is full it is refused, in another way than where nobody is.
      socket.send(encodeMessage({ type: NLMSG_NOOP, flags: 0 }, memory(0)), "ask whether a psample runs", MARK | (handle & INSTANCE_MASK));
      return true;
    } catch (error) {
      if (error instanceof NetlinkError && error.errno === ECONNREFUSED) return false;
      throw error;
    } finally {
      socket.close();
    }
  }

  close(): void {
    this.#socket.close();
  }
}

/**
 * Does something while no other psample of this network namespace does: between the look at a device and the change,
 * another could take the preference, or the clsact away.
 */
async function exclusively<Result>(sys: Sys, work: () => Promise<Result>): Promise<Result> {
  let lock: NetlinkSocket | undefined;
  const deadline = performance.now() + LOCK_PATIENCE_MS;
  // One that somebody stopped in the middle must not stop all others.
  while (!lock && performance.now() < deadline) {
    try {
      lock = new NetlinkSocket(sys, NETLINK_USERSOCK, LOCK);
    } catch (error) {
      if (!(error instanceof NetlinkError && error.errno === EADDRINUSE)) throw error;
      await new Promise((resolve) => setTimeout(resolve, LOCK_POLL_MS));
    }
  }
  try {
    return await work();
  } finally {
    lock?.close();
  }
}

// Of the class, but not of its face: only addSampling installs.
let install: (handle: SamplingHandle, options: SamplingOptions, plan: Plan) => Promise<void>;

/** What {@linkcode addSampling} installed. */
export class SamplingHandle implements AsyncDisposable {
  /** The psample group that the samples go to. */
  get group(): number | undefined {
    return this.#group;
  }
  /** What the kernel has of it, as it was right after the installation: an entry a direction. */
  get installed(): readonly Sampling[] {
    return this.#installed;
  }
  readonly #sys: Sys;
  readonly #tc: TrafficControl;
  readonly #instance: Instance;
  readonly #link: Link;
  #group: number | undefined;
  #installed: readonly Sampling[] = [];
  #made: FilterKey[] = [];
  #madeClsact = false;
  #removed: Promise<void> | undefined;

  /** For {@linkcode addSampling}. */
  constructor(sys: Sys, tc: TrafficControl, instance: Instance, link: Link, group: number | undefined) {
    this.#sys = sys;
    this.#tc = tc;
    this.#instance = instance;
    this.#link = link;
    this.#group = group;
  }

  static {
    install = (handle, options, plan) => handle.#install(options, plan);
  }

  async #install(options: SamplingOptions, plan: Plan): Promise<void> {
    const tc = this.#tc;
    const { index: ifindex, name } = this.#link;
    const qdisc = (await tc.qdiscs()).find((qdisc) => qdisc.ifindex === ifindex && qdisc.parent === TC_H_CLSACT);
    if (qdisc && qdisc.kind !== "clsact" && plan.directions.includes("egress")) {
      throw new NetlinkError(`sample leaving packets of ${name}`, EOPNOTSUPP, {
        hint: `Its ingress qdisc has no egress side: sample on ingress, or make it clsact (tc qdisc del dev ${name} ingress; ` +
          `tc qdisc add dev ${name} clsact), which removes the filters that it has`,
      });
    }
    if (options.index !== undefined) await this.#checkIndex(options.index, plan.shares);
    if (!qdisc) {
      await tc.change(encodeQdisc("add", { ifindex, kind: "clsact" }), `add the clsact qdisc to ${name}`);
      this.#madeClsact = true;
    }
    const filters = {
      ingress: await tc.filters(ifindex, PARENTS.ingress),
      egress: qdisc?.kind === "ingress" ? [] : await tc.filters(ifindex, PARENTS.egress),
    };
    // The clsact that another instance made is for the last of us to remove.
    const inherited = [...filters.ingress, ...filters.egress].some((filter) => isOurs(filter) && (filter.handle & MADE_CLSACT) !== 0);
    if (inherited) this.#madeClsact = true;
    const handle = (MARK | (this.#madeClsact ? MADE_CLSACT : 0) | this.#instance.number) >>> 0;
    const action: ActionSpec = {
      sample: {
        rate: options.rate,
        group: plan.shares ? undefined : this.#group,
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
      this.#made.push({ ...key, kind: classifier.kind });
      // Of two directions the second shares the action only where the user gave it a number.
      if (options.index !== undefined) action.sample = { index: options.index, control: action.sample.control };
    }
    const made = (await Promise.all(plan.directions.map((direction) => tc.filters(ifindex, PARENTS[direction])))).flat()
      .filter((filter) => filter.handle === handle);
    this.#installed = made.flatMap((filter) => samplings(filter, name));
    this.#group ??= this.#installed[0]?.group;
  }

  /** The kernel would share an action that exists, whatever else is asked for, and give it our cookie. */
  async #checkIndex(index: number, shares: boolean): Promise<void> {
    const op = `${shares ? "share" : "make"} the sample action ${index}`;
    const [action] = await this.#tc.sampleActions(encodeActionsByIndex("get", [index]), op).catch((error) => {
      if (error instanceof NetlinkError && error.errno === ENOENT) return [];
      throw error;
    });
    if (shares && !action) {
      throw new NetlinkError(op, ENOENT, { hint: "There is none: give a rate and a group to make it" });
    }
    if (!shares && action) {
      const { rate, group } = action.sample!;
      const hint = `It is there (rate ${rate}, group ${group}): choose another index, or share it by its index alone, without a rate`;
      throw new NetlinkError(op, EEXIST, { hint });
    }
  }

  /**
   * Whether the kernel still has all of it: a device that is removed takes it along, and whoever has the privilege may
   * remove filters.
   */
  async isInstalled(): Promise<boolean> {
    if (this.#removed) return false;
    for (const { ifindex, parent, preference, handle } of this.#made) {
      const filters = await this.#tc.filters(ifindex, parent, preference);
      if (!filters.some((filter) => filter.handle === handle && filter.preference === preference)) return false;
    }
    return true;
  }

  /** Takes away what was installed, and the clsact where it was ours and nobody uses it. Again does nothing. */
  remove(): Promise<void> {
    return this.#removed ??= this.#remove();
  }

  /** {@linkcode SamplingHandle.remove} at the end of an `await using` block. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.remove();
  }

  async #remove(): Promise<void> {
    const tc = this.#tc;
    try {
      await exclusively(this.#sys, async () => {
        const results = await Promise.allSettled(this.#made.map((key) => tc.removeFilter(key)));
        if (this.#madeClsact) await tc.removeUnusedClsact(this.#link.index);
        for (const result of results) if (result.status === "rejected") throw result.reason;
      });
    } finally {
      this.#instance.close();
      tc.close();
    }
  }
}

/** The default cookie: our name, and the filter's handle. */
function markCookie(handle: number): Uint8Array<ArrayBuffer> {
  const cookie = memory(COOKIE_TEXT.length + 4);
  new TextEncoder().encodeInto(COOKIE_TEXT, cookie);
  new DataView(cookie.buffer).setUint32(COOKIE_TEXT.length, handle);
  return cookie;
}

/** The preference before all others: a filter that ends the chain would hide packets from one behind it. */
function freePreference(filters: readonly Filter[]): number {
  const taken = new Set(filters.filter((filter) => (filter.chain ?? 0) === 0).map((filter) => filter.preference));
  const first = Math.min(PREFERENCE + 1, ...taken) - 1;
  if (first >= 1) return first;
  for (let preference = 1; preference <= 0xffff; preference++) if (!taken.has(preference)) return preference;
  throw new NetlinkError("sample on this device", EINVAL, { hint: "Every filter preference from 1 to 65535 is taken" });
}

function samplings(filter: Filter, device: string | undefined): Sampling[] {
  return actionsOf(filter).flatMap((action) => sampling(filter, action, device));
}

function sampling(filter: Filter, action: Action, device: string | undefined): Sampling[] {
  const { sample } = action;
  if (!sample) return [];
  const { classifier } = filter;
  const flags = classifier && "flags" in classifier ? classifier.flags ?? 0 : 0;
  return [{
    device,
    ifindex: filter.ifindex,
    direction: filter.parent === PARENTS.egress
      ? "egress"
      : filter.parent === PARENTS.ingress || filter.parent === TC_H_FFFF
      ? "ingress"
      : undefined,
    parent: filter.parent,
    preference: filter.preference,
    handle: filter.handle,
    chain: filter.chain ?? 0,
    kind: filter.kind,
    protocol: filter.protocol,
    order: action.order,
    rate: sample.rate,
    group: sample.group,
    truncateBytes: sample.truncateBytes,
    index: sample.index,
    refcount: sample.referenceCount,
    bindings: sample.bindCount,
    cookie: action.cookie,
    control: sample.control,
    packets: action.stats?.packets,
    bytes: action.stats?.bytes,
    ages: sample.ages,
    where: flags & TCA_CLS_FLAGS_IN_HW ? "hardware" : flags & TCA_CLS_FLAGS_NOT_IN_HW ? "software" : undefined,
    ours: isOurs(filter),
  }];
}

/** Every sample action of a filter in this network namespace, whoever made it. It takes no privilege. */
export async function listSampling(): Promise<Sampling[]> {
  return await listSamplingWith(await loadSys());
}

/** {@linkcode listSampling} on a given seam. */
export async function listSamplingWith(sys: Sys): Promise<Sampling[]> {
  const tc = new TrafficControl(sys);
  try {
    const links = await tc.links();
    return (await tc.allFilters()).flatMap((filter) => samplings(filter, links.nameOf(filter.ifindex)));
  } finally {
    tc.close();
  }
}

/** What was left behind by an instance that was killed, for {@linkcode cleanUpSampling}: nothing of a running one. */
export async function listLeftovers(): Promise<Sampling[]> {
  const sys = await loadSys();
  return (await listSamplingWith(sys)).filter((sampling) => sampling.ours && !Instance.runs(sys, sampling.handle));
}

/** Removes what {@linkcode listLeftovers} lists, and the clsact qdiscs that were made for it and that nobody uses. */
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
        removed.push(...samplings(filter, links.nameOf(filter.ifindex)));
        if (filter.handle & MADE_CLSACT) await tc.removeUnusedClsact(filter.ifindex);
      }
      return removed;
    });
  } finally {
    tc.close();
  }
}
