/**
 * The two qdiscs that queue nothing and exist only to carry filters: `clsact` and `ingress`.
 * Source: net/sched/sch_ingress.c, net/sched/sch_api.c.
 */
import { AttrReader } from "../wire/attr_reader.ts";
import { encodeMessage, type Message, NLM_F_DUMP, NLM_F_REQUEST } from "../wire/message.ts";
import { readStats, type Stats } from "./stats.ts";
import {
  decodeTcHeader,
  encodeTcHeader,
  keepUnknown,
  QDISC_FLAGS,
  RTM_DELQDISC,
  RTM_GETQDISC,
  RTM_NEWQDISC,
  TC_H_CLSACT,
  TC_H_FFFF,
  TCA_EGRESS_BLOCK,
  TCA_HW_OFFLOAD,
  TCA_INGRESS_BLOCK,
  TCA_KIND,
  TCA_OPTIONS,
  TCA_STATS2,
  type TcChange,
  TCMSG_SIZE,
  type UnknownAttribute,
} from "./tcmsg.ts";

/** A qdisc as the kernel describes it. */
export interface Qdisc {
  /** The device. */
  readonly ifindex: number;
  /** The qdisc's own number; `ffff:` (0xffff0000) for clsact and ingress. */
  readonly handle: number;
  /** Where it is attached; {@linkcode TC_H_CLSACT} for clsact and ingress. */
  readonly parent: number;
  /** Number of references to it. */
  readonly referenceCount: number;
  /** Such as `"clsact"`. */
  readonly kind: string;
  /** The kind's own attributes, not decoded: clsact and ingress have none. */
  readonly options: Uint8Array | undefined;
  /** The block that shares its ingress filters. */
  readonly ingressBlock: number | undefined;
  /** The block that shares its egress filters. */
  readonly egressBlock: number | undefined;
  /** Whether hardware does its work. */
  readonly offloaded: boolean | undefined;
  /** Counters. */
  readonly stats: Stats | undefined;
  /** What else the kernel sent. */
  readonly unknown: readonly UnknownAttribute[];
}

/** A qdisc for {@linkcode encodeQdisc}. */
export interface QdiscSpec {
  /** The device. */
  ifindex: number;
  /** The kind; without it a delete takes whichever qdisc the parent has. */
  kind?: string | undefined;
  /** Defaults to {@linkcode TC_H_FFFF}. */
  handle?: number | undefined;
  /** Defaults to {@linkcode TC_H_CLSACT}. */
  parent?: number | undefined;
}

/** A request that changes a qdisc: by default clsact. */
export function encodeQdisc(change: TcChange, spec: QdiscSpec): Uint8Array<ArrayBuffer> {
  const header = encodeTcHeader({
    ifindex: spec.ifindex,
    handle: spec.handle ?? TC_H_FFFF,
    parent: spec.parent ?? TC_H_CLSACT,
    info: 0,
  });
  const type = change === "delete" ? RTM_DELQDISC : RTM_NEWQDISC;
  return encodeMessage({ type, flags: QDISC_FLAGS[change] }, header, (writer) => {
    writer.string(TCA_KIND, spec.kind);
  });
}

/** A request for all qdiscs; not all kernels respect `ifindex`, so filter the answer. */
export function encodeQdiscDump(ifindex = 0): Uint8Array<ArrayBuffer> {
  const header = encodeTcHeader({ ifindex, handle: 0, parent: 0, info: 0 });
  return encodeMessage({ type: RTM_GETQDISC, flags: NLM_F_REQUEST | NLM_F_DUMP }, header);
}

/** Reads RTM_NEWQDISC or RTM_DELQDISC. */
export function decodeQdisc(message: Message): Qdisc {
  const header = decodeTcHeader(message, "qdisc");
  let kind = "";
  let options: Uint8Array | undefined;
  let ingressBlock: number | undefined;
  let egressBlock: number | undefined;
  let offloaded: boolean | undefined;
  let stats: Stats | undefined;
  const unknown: UnknownAttribute[] = [];
  const attr = AttrReader.of(message.payload.subarray(TCMSG_SIZE));
  while (attr.next()) {
    switch (attr.type) {
      case TCA_KIND:
        kind = attr.string();
        break;
      case TCA_OPTIONS:
        options = attr.bytes();
        break;
      case TCA_INGRESS_BLOCK:
        ingressBlock = attr.u32();
        break;
      case TCA_EGRESS_BLOCK:
        egressBlock = attr.u32();
        break;
      case TCA_HW_OFFLOAD:
        offloaded = attr.u8() !== 0;
        break;
      case TCA_STATS2:
        stats = readStats(attr.nested());
        break;
      default:
        unknown.push(keepUnknown(attr));
    }
  }
  const { ifindex, handle, parent, info } = header;
  return { ifindex, handle, parent, referenceCount: info, kind, options, ingressBlock, egressBlock, offloaded, stats, unknown };
}
