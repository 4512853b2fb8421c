/** Active sampling as the kernel reports it: one object for each sample action. */
import type { Action } from "../../tc/action.ts";
import type { Control } from "../../tc/control.ts";
import { actionsOf, classifierFlags, type Filter } from "../../tc/filter.ts";
import type { ActionAges, SampleAction } from "../../tc/sample_action.ts";
import { TCA_CLS_FLAGS_IN_HW, TCA_CLS_FLAGS_NOT_IN_HW } from "../../tc/tcmsg.ts";
import { type Direction, directionOf } from "../traffic_control.ts";
import { isOurs } from "./mark.ts";

/**
 * One sample action, as the kernel reports it: once for each filter that uses it, or on its own if none does. Then the fields about a
 * filter are `undefined`.
 *
 * @category Sampling
 */
export interface Sampling {
  /** Name of the device; `undefined` for a block that several devices share. */
  readonly device: string | undefined;
  /** Index of the device. */
  readonly ifindex: number | undefined;
  /** Which packets; `undefined` for a filter of another qdisc, see {@linkcode Sampling.parent}. */
  readonly direction: Direction | undefined;
  /** The qdisc or class that the filter is attached to, `tcm_parent`. */
  readonly parent: number | undefined;
  /** Preference of the filter: lower ones are tried first. */
  readonly preference: number | undefined;
  /** The filter's own number. */
  readonly handle: number | undefined;
  /** The chain that the filter is in. */
  readonly chain: number | undefined;
  /** The kind of classifier, such as `"matchall"`. */
  readonly kind: string | undefined;
  /** EtherType that the filter looks at; 3 for every one. */
  readonly protocol: number | undefined;
  /** Position of the action among those of the filter, from 1. */
  readonly order: number | undefined;
  /** 1 in `rate` packets is sampled. */
  readonly rate: number | undefined;
  /** The psample group. */
  readonly group: number | undefined;
  /** Packets are truncated to this many bytes; `undefined` if they are not. */
  readonly truncateBytes: number | undefined;
  /** The index of the action. */
  readonly index: number;
  /** How many references the action has. */
  readonly referenceCount: number;
  /** How many filters use the action. */
  readonly bindCount: number;
  /** The action's cookie. */
  readonly cookie: Uint8Array | undefined;
  /** What happens to the packet after sampling. */
  readonly control: Control;
  /**
   * Packets that the filter matched; a GSO packet counts as one, as it does for the sampler. Of matchall filters only, and of
   * u32 filters in a kernel with CONFIG_CLS_U32_PERF; see {@linkcode Sampling.packets}.
   */
  readonly hits: bigint | undefined;
  /** Packets that reached the action; a GSO packet counts as the segments it stands for. */
  readonly packets: bigint | undefined;
  /** Bytes that reached the action. */
  readonly bytes: bigint | undefined;
  /** When the action was installed, and when it was last used. */
  readonly ages: ActionAges | undefined;
  /** Where the sampling is done: `"hardware"`, `"software"`, or `undefined` if the kernel does not say. */
  readonly where: "hardware" | "software" | undefined;
  /** Whether the filter has the mark of {@linkcode addSampling}. */
  readonly ours: boolean;
}

/**
 * The sample action of a filter.
 *
 * @category Sampling
 */
export interface FilterSampling extends Sampling {
  /** {@linkcode Sampling.ifindex} */
  readonly ifindex: number;
  /** {@linkcode Sampling.parent} */
  readonly parent: number;
  /** {@linkcode Sampling.preference} */
  readonly preference: number;
  /** {@linkcode Sampling.handle} */
  readonly handle: number;
  /** {@linkcode Sampling.chain} */
  readonly chain: number;
  /** {@linkcode Sampling.kind} */
  readonly kind: string;
  /** {@linkcode Sampling.protocol} */
  readonly protocol: number;
  /** {@linkcode Sampling.order} */
  readonly order: number;
}

/** The sample actions of a filter; `device` is the name of its device. */
export function samplingsOf(filter: Filter, device: string | undefined): FilterSampling[] {
  const { ifindex, parent, preference, handle, chain = 0, kind, protocol } = filter;
  const place = {
    device,
    ifindex,
    direction: directionOf(parent),
    parent,
    preference,
    handle,
    chain,
    kind,
    protocol,
  };
  return actionsOf(filter).flatMap((action) => {
    if (!action.sample) return [];
    const use = useOf(action, action.sample, hitsOf(filter));
    return [{ ...place, order: action.order, ...use, where: whereOf(filter), ours: isOurs(filter) }];
  });
}

/** A sample action that no filter uses. */
export function unusedSampling(action: Action, sample: SampleAction): Sampling {
  return { ...NOWHERE, ...useOf(action, sample, undefined), where: undefined, ours: false };
}

/** The fields about the action, and its use. */
type Use = Pick<
  Sampling,
  | "rate"
  | "group"
  | "truncateBytes"
  | "index"
  | "referenceCount"
  | "bindCount"
  | "cookie"
  | "control"
  | "hits"
  | "packets"
  | "bytes"
  | "ages"
>;

const NOWHERE: Omit<Sampling, keyof Use | "where" | "ours"> = {
  device: undefined,
  ifindex: undefined,
  direction: undefined,
  parent: undefined,
  preference: undefined,
  handle: undefined,
  chain: undefined,
  kind: undefined,
  protocol: undefined,
  order: undefined,
};

function useOf(action: Action, sample: SampleAction, hits: bigint | undefined): Use {
  return {
    rate: sample.rate,
    group: sample.group,
    truncateBytes: sample.truncateBytes,
    index: sample.index,
    referenceCount: sample.referenceCount,
    bindCount: sample.bindCount,
    cookie: action.cookie,
    control: sample.control,
    hits,
    packets: action.stats?.packets,
    bytes: action.stats?.bytes,
    ages: sample.ages,
  };
}

function hitsOf({ classifier }: Filter): bigint | undefined {
  return classifier && "hits" in classifier ? classifier.hits : undefined;
}

function whereOf(filter: Filter): Sampling["where"] {
  const flags = classifierFlags(filter);
  return flags & TCA_CLS_FLAGS_IN_HW ? "hardware" : flags & TCA_CLS_FLAGS_NOT_IN_HW ? "software" : undefined;
}
