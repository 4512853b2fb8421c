/**
 * The classifier `matchall`: every packet. Source: include/uapi/linux/pkt_cls.h, net/sched/cls_matchall.c.
 */
import type { AttrReader } from "../wire/attr_reader.ts";
import type { AttrWriter } from "../wire/attr_writer.ts";
import { LITTLE } from "../wire/native.ts";
import { type Action, type ActionSpec, readActions, writeActions } from "./action.ts";
import { keepUnknown, type UnknownAttribute } from "./tcmsg.ts";

// include/uapi/linux/pkt_cls.h
const TCA_MATCHALL_CLASSID = 1;
const TCA_MATCHALL_ACT = 2;
const TCA_MATCHALL_FLAGS = 3;
const TCA_MATCHALL_PCNT = 4;
const TCA_MATCHALL_PAD = 5;

/** A matchall filter as the kernel describes it. */
export interface Matchall {
  /** The kind of classifier. */
  readonly kind: "matchall";
  /** The class that packets are put into. */
  readonly classId: number | undefined;
  /** TCA_CLS_FLAGS_*. */
  readonly flags: number | undefined;
  /** How many packets reached the filter. */
  readonly hits: bigint | undefined;
  /** What is done with the packets, in order. */
  readonly actions: readonly Action[] | undefined;
  /** What else the kernel sent. */
  readonly unknown: readonly UnknownAttribute[];
}

/** A matchall filter to create. */
export interface MatchallSpec {
  /** The kind of classifier. */
  kind: "matchall";
  /** The class to put packets into. */
  classId?: number | undefined;
  /** TCA_CLS_FLAGS_SKIP_HW or TCA_CLS_FLAGS_SKIP_SW. */
  flags?: number | undefined;
  /** What to do with the packets, in order. */
  actions?: readonly ActionSpec[] | undefined;
}

/** Reads the attributes inside TCA_OPTIONS. */
export function readMatchall(attr: AttrReader): Matchall {
  let classId: number | undefined;
  let flags: number | undefined;
  let hits: bigint | undefined;
  let actions: Action[] | undefined;
  const unknown: UnknownAttribute[] = [];
  while (attr.next()) {
    switch (attr.type) {
      case TCA_MATCHALL_CLASSID:
        classId = attr.u32();
        break;
      case TCA_MATCHALL_ACT:
        actions = readActions(attr.nested());
        break;
      case TCA_MATCHALL_FLAGS:
        flags = attr.u32();
        break;
      case TCA_MATCHALL_PCNT:
        // struct tc_matchall_pcnt: u64 rhit.
        hits = attr.atLeast(8).getBigUint64(0, LITTLE);
        break;
      case TCA_MATCHALL_PAD:
        break;
      default:
        unknown.push(keepUnknown(attr));
    }
  }
  return { kind: "matchall", classId, flags, hits, actions, unknown };
}

/** Writes the attributes inside TCA_OPTIONS. */
export function writeMatchall(writer: AttrWriter, spec: MatchallSpec): void {
  writer.u32(TCA_MATCHALL_CLASSID, spec.classId);
  writeActions(writer, TCA_MATCHALL_ACT, spec.actions);
  writer.u32(TCA_MATCHALL_FLAGS, spec.flags || undefined);
}
