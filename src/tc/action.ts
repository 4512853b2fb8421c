/**
 * Actions of any kind: the list inside a filter, and the messages about actions that exist on their own.
 * Source: include/uapi/linux/pkt_cls.h, include/uapi/linux/rtnetlink.h (struct tcamsg), net/sched/act_api.c.
 */
import { ArgumentError, DecodeError } from "../errors.ts";
import { AttrReader } from "../wire/attr_reader.ts";
import { type AttrWriter, NLA_F_NESTED } from "../wire/attr_writer.ts";
import {
  encodeMessage,
  type Message,
  NLM_F_ACK,
  NLM_F_CREATE,
  NLM_F_DUMP,
  NLM_F_EXCL,
  NLM_F_REPLACE,
  NLM_F_REQUEST,
  NLM_F_ROOT,
} from "../wire/message.ts";
import { memory } from "../wire/native.ts";
import { type GactAction, readGactAction } from "./gact_action.ts";
import { readSampleAction, type SampleAction, type SampleActionSpec, writeSampleAction } from "./sample_action.ts";
import { readStats, type Stats } from "./stats.ts";
import {
  type Bitfield32,
  keepUnknown,
  readBitfield32,
  RTM_DELACTION,
  RTM_GETACTION,
  RTM_NEWACTION,
  type UnknownAttribute,
  writeBitfield32,
} from "./tcmsg.ts";

// include/uapi/linux/pkt_cls.h: the attributes of one action.
const TCA_ACT_KIND = 1;
const TCA_ACT_OPTIONS = 2;
const TCA_ACT_INDEX = 3;
const TCA_ACT_STATS = 4;
const TCA_ACT_PAD = 5;
const TCA_ACT_COOKIE = 6;
const TCA_ACT_FLAGS = 7;
const TCA_ACT_HW_STATS = 8;
const TCA_ACT_USED_HW_STATS = 9;
const TCA_ACT_IN_HW_COUNT = 10;

// Bits of TCA_ACT_FLAGS.
export const TCA_ACT_FLAGS_NO_PERCPU_STATS = 1;
export const TCA_ACT_FLAGS_SKIP_HW = 2;
export const TCA_ACT_FLAGS_SKIP_SW = 4;

// Bits of TCA_ACT_HW_STATS.
export const TCA_ACT_HW_STATS_IMMEDIATE = 1;
export const TCA_ACT_HW_STATS_DELAYED = 2;

// include/uapi/linux/rtnetlink.h: the attributes after struct tcamsg.
const TCA_ROOT_TAB = 1;
const TCA_ROOT_FLAGS = 2;
const TCA_ROOT_COUNT = 3;
const TCA_ROOT_TIME_DELTA = 4;

/** Asks a dump for as many actions per message as fit, instead of 32 in total. */
const TCA_ACT_FLAG_LARGE_DUMP_ON = 1;

/** The size of `struct tcamsg`: u8 family, and padding. */
export const TCAMSG_SIZE = 4;
/** The longest cookie, `TC_COOKIE_MAX_SIZE`. */
export const TC_COOKIE_MAX_SIZE = 16;
/** Maximum number of actions in a filter or a request. */
export const TCA_ACT_MAX_PRIO = 32;

/**
 * An action as the kernel describes it.
 *
 * @category Sampling
 */
export interface Action {
  /** Its position in the list: from 1 in filters and replies, from 0 in dumps. */
  readonly order: number;
  /** Such as `"sample"`. */
  readonly kind: string;
  /** The action, if its kind is `"sample"`. */
  readonly sample: SampleAction | undefined;
  /** The action, if its kind is `"gact"`. */
  readonly gact: GactAction | undefined;
  /** The attributes of any other kind, not decoded. */
  readonly options: Uint8Array | undefined;
  /** The index of the action, in dumps that leave out the options. */
  readonly index: number | undefined;
  /** Up to 16 bytes set by its creator; part of every sample since Linux 6.11. */
  readonly cookie: Uint8Array | undefined;
  /** Counters. */
  readonly stats: Stats | undefined;
  /** TCA_ACT_FLAGS_*. */
  readonly flags: Bitfield32 | undefined;
  /** TCA_ACT_HW_STATS_*: the counters requested from hardware. */
  readonly hardwareStats: Bitfield32 | undefined;
  /** TCA_ACT_HW_STATS_*: the counters that hardware provides. */
  readonly usedHardwareStats: Bitfield32 | undefined;
  /** On how many devices hardware performs the action. */
  readonly inHardwareCount: number | undefined;
  /** What else the kernel sent. */
  readonly unknown: readonly UnknownAttribute[];
}

/**
 * A sample action to create, or to share by its index.
 *
 * @category Sampling
 */
export interface ActionSpec {
  /** The action itself. */
  sample: SampleActionSpec;
  /** Up to 16 bytes of identification. A replace without a cookie keeps the old one. */
  cookie?: Uint8Array | undefined;
  /** The counters to request from hardware. */
  hardwareStats?: "immediate" | "delayed" | "disabled" | undefined;
  /** Count in one place instead of on each CPU. */
  noPerCpuStats?: boolean | undefined;
  /** Not in hardware. Only for an action that is made on its own. */
  skipHardware?: boolean | undefined;
  /** Only in hardware. Only for an action that is made on its own. */
  skipSoftware?: boolean | undefined;
}

/** A message about actions. */
export interface ActionMessage {
  /** Number of actions in the message of a dump; `undefined` in the answer to a get. */
  readonly count: number | undefined;
  /** The actions, or in the answer to a flush the kind that was removed. */
  readonly actions: readonly Action[];
  /** What else the kernel sent. */
  readonly unknown: readonly UnknownAttribute[];
}

/** Reads a list of actions: an attribute for each, whose type is its order. */
export function readActions(list: AttrReader): Action[] {
  const actions: Action[] = [];
  while (list.next()) actions.push(readAction(list.type, list.nested()));
  return actions;
}

function readAction(order: number, attr: AttrReader): Action {
  let kind = "";
  let body: AttrReader | undefined;
  let options: Uint8Array | undefined;
  let index: number | undefined;
  let cookie: Uint8Array | undefined;
  let stats: Stats | undefined;
  let flags: Bitfield32 | undefined;
  let hardwareStats: Bitfield32 | undefined;
  let usedHardwareStats: Bitfield32 | undefined;
  let inHardwareCount: number | undefined;
  const unknown: UnknownAttribute[] = [];
  while (attr.next()) {
    switch (attr.type) {
      case TCA_ACT_KIND:
        kind = attr.string();
        break;
      case TCA_ACT_OPTIONS:
        // Nothing guarantees that the kind comes first.
        body = attr.nested();
        options = attr.bytes();
        break;
      case TCA_ACT_INDEX:
        index = attr.u32();
        break;
      case TCA_ACT_STATS:
        stats = readStats(attr.nested());
        break;
      case TCA_ACT_PAD:
        break;
      case TCA_ACT_COOKIE:
        cookie = attr.bytes();
        break;
      case TCA_ACT_FLAGS:
        flags = readBitfield32(attr);
        break;
      case TCA_ACT_HW_STATS:
        hardwareStats = readBitfield32(attr);
        break;
      case TCA_ACT_USED_HW_STATS:
        usedHardwareStats = readBitfield32(attr);
        break;
      case TCA_ACT_IN_HW_COUNT:
        inHardwareCount = attr.u32();
        break;
      default:
        unknown.push(keepUnknown(attr));
    }
  }
  const sample = kind === "sample" && body ? readSampleAction(body) : undefined;
  const gact = kind === "gact" && body ? readGactAction(body) : undefined;
  return {
    order,
    kind,
    sample,
    gact,
    options: sample || gact ? undefined : options,
    index: index ?? sample?.index ?? gact?.index,
    cookie,
    stats,
    flags,
    hardwareStats,
    usedHardwareStats,
    inHardwareCount,
    unknown,
  };
}

/**
 * Writes a list of sample actions as the attribute `type`; nothing for `undefined`.
 *
 * @throws {ArgumentError} if there are more than 32, or a cookie is longer than 16 bytes.
 */
export function writeActions(writer: AttrWriter, type: number, actions: readonly ActionSpec[] | undefined): void {
  if (actions === undefined) return;
  if (actions.length > TCA_ACT_MAX_PRIO) {
    throw new ArgumentError(`Cannot encode ${actions.length} actions: the kernel accepts at most ${TCA_ACT_MAX_PRIO}`);
  }
  writer.nest(type, () => {
    actions.forEach((action, i) => writer.nest(i + 1, () => writeAction(writer, action)));
  });
}

const HARDWARE_STATS = {
  immediate: TCA_ACT_HW_STATS_IMMEDIATE,
  delayed: TCA_ACT_HW_STATS_DELAYED,
  disabled: 0,
} as const;

function writeAction(writer: AttrWriter, action: ActionSpec): void {
  const { cookie, hardwareStats } = action;
  if (cookie && cookie.length > TC_COOKIE_MAX_SIZE) {
    throw new ArgumentError(`Cannot encode a cookie: ${cookie.length} bytes; the kernel accepts at most ${TC_COOKIE_MAX_SIZE}`);
  }
  writer.string(TCA_ACT_KIND, "sample");
  writer.nest(TCA_ACT_OPTIONS | NLA_F_NESTED, () => writeSampleAction(writer, action.sample));
  if (cookie && cookie.length > 0) writer.bytes(TCA_ACT_COOKIE, cookie);
  if (hardwareStats !== undefined) {
    const bits = HARDWARE_STATS[hardwareStats];
    writeBitfield32(writer, TCA_ACT_HW_STATS, { value: bits, selector: bits });
  }
  const flags = (action.noPerCpuStats ? TCA_ACT_FLAGS_NO_PERCPU_STATS : 0) |
    (action.skipHardware ? TCA_ACT_FLAGS_SKIP_HW : 0) | (action.skipSoftware ? TCA_ACT_FLAGS_SKIP_SW : 0);
  if (flags) writeBitfield32(writer, TCA_ACT_FLAGS, { value: flags, selector: flags });
}

const CHANGE_FLAGS = {
  add: NLM_F_REQUEST | NLM_F_ACK | NLM_F_EXCL | NLM_F_CREATE,
  replace: NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE | NLM_F_REPLACE,
} as const;

/** A request that creates actions which no filter uses yet, or changes those with the same index. */
export function encodeActions(change: "add" | "replace", actions: readonly ActionSpec[]): Uint8Array<ArrayBuffer> {
  return encodeMessage({ type: RTM_NEWACTION, flags: CHANGE_FLAGS[change] }, memory(TCAMSG_SIZE), (writer) => {
    writeActions(writer, TCA_ROOT_TAB, actions);
  });
}

/** A request for sample actions, or for their removal, by index. A removal of several is all or nothing. */
export function encodeActionsByIndex(what: "get" | "delete", indexes: readonly number[]): Uint8Array<ArrayBuffer> {
  const header = what === "get" ? { type: RTM_GETACTION, flags: NLM_F_REQUEST } : { type: RTM_DELACTION, flags: NLM_F_REQUEST | NLM_F_ACK };
  return encodeMessage(header, memory(TCAMSG_SIZE), (writer) => {
    writer.nest(TCA_ROOT_TAB, () => {
      indexes.forEach((index, i) => {
        writer.nest(i + 1, () => {
          writer.string(TCA_ACT_KIND, "sample");
          // Without an index the kernel answers with its own message about it.
          writer.u32(TCA_ACT_INDEX, index === 0 ? undefined : index);
        });
      });
    });
  });
}

/** A request for all sample actions, more than 32 too; `usedWithinMs` leaves out those that no packet has reached for longer. */
export function encodeActionDump(usedWithinMs?: number): Uint8Array<ArrayBuffer> {
  return encodeWholeKind({ type: RTM_GETACTION, flags: NLM_F_REQUEST | NLM_F_DUMP }, usedWithinMs);
}

/** A request for the removal of all sample actions that no filter uses. */
export function encodeActionFlush(): Uint8Array<ArrayBuffer> {
  return encodeWholeKind({ type: RTM_DELACTION, flags: NLM_F_REQUEST | NLM_F_ACK | NLM_F_ROOT });
}

function encodeWholeKind(header: { type: number; flags: number }, usedWithinMs?: number): Uint8Array<ArrayBuffer> {
  return encodeMessage(header, memory(TCAMSG_SIZE), (writer) => {
    writer.nest(TCA_ROOT_TAB, () => {
      writer.nest(1, () => writer.string(TCA_ACT_KIND, "sample"));
    });
    writeBitfield32(writer, TCA_ROOT_FLAGS, { value: TCA_ACT_FLAG_LARGE_DUMP_ON, selector: TCA_ACT_FLAG_LARGE_DUMP_ON });
    writer.u32(TCA_ROOT_TIME_DELTA, usedWithinMs || undefined);
  });
}

/** Reads RTM_NEWACTION, RTM_GETACTION or RTM_DELACTION: the answer to a get, a message of a dump, a notification. */
export function decodeActions(message: Message): ActionMessage {
  const { payload } = message;
  if (payload.length < TCAMSG_SIZE) {
    throw new DecodeError("action message", 0, `${payload.length} bytes, expected at least ${TCAMSG_SIZE}`);
  }
  let count: number | undefined;
  let actions: Action[] = [];
  const unknown: UnknownAttribute[] = [];
  const attr = AttrReader.of(payload.subarray(TCAMSG_SIZE));
  while (attr.next()) {
    switch (attr.type) {
      case TCA_ROOT_TAB:
        actions = readActions(attr.nested());
        break;
      case TCA_ROOT_COUNT:
        count = attr.u32();
        break;
      default:
        unknown.push(keepUnknown(attr));
    }
  }
  return { count, actions, unknown };
}
