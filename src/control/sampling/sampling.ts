/** Active sampling as the kernel reports it: one object for each sample action of a filter. */
import type { Action } from "../../tc/action.ts";
import type { Control } from "../../tc/control.ts";
import { actionsOf, type Filter } from "../../tc/filter.ts";
import type { ActionAges } from "../../tc/sample_action.ts";
import { TCA_CLS_FLAGS_IN_HW, TCA_CLS_FLAGS_NOT_IN_HW } from "../../tc/tcmsg.ts";
import { directionOf } from "../reached.ts";
import type { Direction } from "../traffic_control.ts";
import { isOurs } from "./mark.ts";

/** One sample action of a filter, as the kernel reports it. */
export interface Sampling {
  /** Name of the device; `undefined` for a block that several devices share. */
  readonly device: string | undefined;
  /** Index of the device. */
  readonly ifindex: number;
  /** Which packets; `undefined` for a filter of another qdisc, see {@linkcode Sampling.parent}. */
  readonly direction: Direction | undefined;
  /** The qdisc or class that the filter is attached to, `tcm_parent`. */
  readonly parent: number;
  /** Preference of the filter: lower ones are tried first. */
  readonly preference: number;
  /** The filter's own number. */
  readonly handle: number;
  /** The chain that the filter is in. */
  readonly chain: number;
  /** The kind of classifier, such as `"matchall"`. */
  readonly kind: string;
  /** EtherType that the filter looks at; 3 for every one. */
  readonly protocol: number;
  /** Position of the action among those of the filter, from 1. */
  readonly order: number;
  /** 1 in `rate` packets is sampled. */
  readonly rate: number | undefined;
  /** The psample group. */
  readonly group: number | undefined;
  /** Packets are truncated to this many bytes; `undefined` if they are not. */
  readonly truncateBytes: number | undefined;
  /** The index of the action. */
  readonly index: number;
  /** How many references the action has. */
  readonly refcount: number;
  /** How many filters use the action. */
  readonly bindings: number;
  /** The action's cookie. */
  readonly cookie: Uint8Array | undefined;
  /** What happens to the packet afterwards. */
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
  /** Whether the filter carries the mark of {@linkcode addSampling}. */
  readonly ours: boolean;
}

/** The sample actions of a filter; `device` is the name of its device. */
export function samplingsOf(filter: Filter, device: string | undefined): Sampling[] {
  return actionsOf(filter).flatMap((action) => samplingOf(filter, action, device));
}

function samplingOf(filter: Filter, action: Action, device: string | undefined): Sampling[] {
  const { sample } = action;
  if (!sample) return [];
  return [{
    device,
    ifindex: filter.ifindex,
    direction: directionOf(filter.parent),
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
    hits: filter.classifier && "hits" in filter.classifier ? filter.classifier.hits : undefined,
    packets: action.stats?.packets,
    bytes: action.stats?.bytes,
    ages: sample.ages,
    where: whereOf(filter),
    ours: isOurs(filter),
  }];
}

function whereOf({ classifier }: Filter): Sampling["where"] {
  const flags = classifier && "flags" in classifier ? classifier.flags ?? 0 : 0;
  return flags & TCA_CLS_FLAGS_IN_HW ? "hardware" : flags & TCA_CLS_FLAGS_NOT_IN_HW ? "software" : undefined;
}
