/**
 * The action `sample`: the attributes inside TCA_ACT_OPTIONS of an action of that kind.
 * Source: include/uapi/linux/tc_act/tc_sample.h, net/sched/act_sample.c.
 */
import { ArgumentError } from "../errors.ts";
import type { AttrReader } from "../wire/attr_reader.ts";
import type { AttrWriter } from "../wire/attr_writer.ts";
import { LITTLE, memory, viewOf } from "../wire/native.ts";
import { type Control, decodeControl, encodeControl } from "./control.ts";
import { keepUnknown, type UnknownAttribute } from "./tcmsg.ts";

// include/uapi/linux/tc_act/tc_sample.h
const TCA_SAMPLE_TM = 1;
const TCA_SAMPLE_PARMS = 2;
const TCA_SAMPLE_RATE = 3;
const TCA_SAMPLE_TRUNC_SIZE = 4;
const TCA_SAMPLE_PSAMPLE_GROUP = 5;
const TCA_SAMPLE_PAD = 6;

/** The first of the psample groups that are chosen where none is given: far above those that people choose, from 1 on. */
export const FIRST_FREE_GROUP = 0x10000;

/** The size of `tc_gen`, the five numbers with which every action begins. */
const TC_GEN_SIZE = 20;

/** USER_HZ is 100 on every architecture that Linux offers to user space. */
const MS_PER_TICK = 10n;

/**
 * `tc_gen`: the fields that every kind of action has.
 *
 * @category Sampling
 */
export interface ActionParameters {
  /** The number of the action among those of its kind; filters may share it. */
  readonly index: number;
  /** `capab`; the kernel does not use it. */
  readonly capabilities: number;
  /** What happens to the packet afterwards. */
  readonly control: Control;
  /** Number of references to the action: the filters that use it, and one more if it was created on its own. */
  readonly referenceCount: number;
  /** How many filters use the action. */
  readonly bindCount: number;
}

/**
 * `struct tcf_t`: ages at the time of the message.
 *
 * @category Sampling
 */
export interface ActionAges {
  /** Since it was installed. */
  readonly installedMs: bigint;
  /** Since the last packet reached it; since it was installed, if none has. */
  readonly lastUsedMs: bigint;
  /** Since the first packet reached it; 0 if none has. */
  readonly firstUsedMs: bigint;
  /** Until it expires; 0 for never. */
  readonly expiresMs: bigint;
}

/**
 * A sample action as the kernel describes it.
 *
 * @category Sampling
 */
export interface SampleAction extends ActionParameters {
  /** N of "1 in N packets". */
  readonly rate: number | undefined;
  /** The psample group that the samples go to. */
  readonly group: number | undefined;
  /** Size that packets are cut to, in bytes; `undefined` if they are not, 0 for samples without data. */
  readonly truncateBytes: number | undefined;
  /** Its ages. */
  readonly ages: ActionAges | undefined;
  /** What else the kernel sent. */
  readonly unknown: readonly UnknownAttribute[];
}

/**
 * What {@linkcode writeSampleAction} encodes. A new action needs `rate` and `group`; the `index` of an existing
 * one alone shares that one. A replace needs `rate` and `group` too, and keeps `truncateBytes` if absent:
 * a truncation goes away only with the action.
 *
 * @category Sampling
 */
export interface SampleActionSpec {
  /** Sample 1 in `rate` packets. */
  rate?: number | undefined;
  /** The psample group to send samples to. */
  group?: number | undefined;
  /** Cut packets to this size. Absent is not 0: 0 cuts everything. */
  truncateBytes?: number | undefined;
  /** The number of the action; defaults to one that the kernel chooses. */
  index?: number | undefined;
  /** What happens to the packet; defaults to `"pipe"`. */
  control?: Control | undefined;
}

/** Reads `tc_gen`. */
export function readParameters(attr: AttrReader): ActionParameters {
  const view = attr.atLeast(TC_GEN_SIZE);
  return {
    index: view.getUint32(0, LITTLE),
    capabilities: view.getUint32(4, LITTLE),
    control: decodeControl(view.getInt32(8, LITTLE)),
    referenceCount: view.getInt32(12, LITTLE),
    bindCount: view.getInt32(16, LITTLE),
  };
}

/** Reads `struct tcf_t`: install, lastuse, expires, and since Linux 4.7 firstuse. */
export function readAges(attr: AttrReader): ActionAges {
  const view = attr.atLeast(24);
  const ms = (at: number): bigint => view.getBigUint64(at, LITTLE) * MS_PER_TICK;
  return { installedMs: ms(0), lastUsedMs: ms(8), expiresMs: ms(16), firstUsedMs: attr.size < 32 ? 0n : ms(24) };
}

/** Reads the attributes of a sample action; `undefined` if the one that every action has is missing. */
export function readSampleAction(attr: AttrReader): SampleAction | undefined {
  let parameters: ActionParameters | undefined;
  let rate: number | undefined;
  let group: number | undefined;
  let truncateBytes: number | undefined;
  let ages: ActionAges | undefined;
  const unknown: UnknownAttribute[] = [];
  while (attr.next()) {
    switch (attr.type) {
      case TCA_SAMPLE_TM:
        ages = readAges(attr);
        break;
      case TCA_SAMPLE_PARMS:
        parameters = readParameters(attr);
        break;
      case TCA_SAMPLE_RATE:
        rate = attr.u32();
        break;
      case TCA_SAMPLE_TRUNC_SIZE:
        truncateBytes = attr.u32();
        break;
      case TCA_SAMPLE_PSAMPLE_GROUP:
        group = attr.u32();
        break;
      case TCA_SAMPLE_PAD:
        break;
      default:
        unknown.push(keepUnknown(attr));
    }
  }
  return parameters && { ...parameters, rate, group, truncateBytes, ages, unknown };
}

/** Writes the attributes of a sample action. */
export function writeSampleAction(writer: AttrWriter, spec: SampleActionSpec): void {
  const parameters = memory(TC_GEN_SIZE);
  const view = viewOf(parameters);
  view.setUint32(0, u32("index", spec.index) ?? 0, LITTLE);
  view.setInt32(8, encodeControl(spec.control ?? "pipe"), LITTLE);
  writer.bytes(TCA_SAMPLE_PARMS, parameters);
  writer.u32(TCA_SAMPLE_RATE, u32("rate", spec.rate));
  writer.u32(TCA_SAMPLE_PSAMPLE_GROUP, u32("group", spec.group));
  writer.u32(TCA_SAMPLE_TRUNC_SIZE, u32("truncateBytes", spec.truncateBytes));
}

/** A DataView would wrap numbers that do not fit: 4294967296 must not become a rate of 0. */
function u32(name: string, value: number | undefined): number | undefined {
  if (value !== undefined && (!Number.isInteger(value) || value < 0 || value > 0xffffffff)) {
    throw new ArgumentError(`Cannot encode a sample action: ${name} ${value} is not between 0 and 4294967295`);
  }
  return value;
}
