/**
 * What all messages of traffic control share: `struct tcmsg`, the numbers of messages and attributes, and
 * handles. This room converts between bytes and objects; it opens no sockets.
 *
 * Sources: include/uapi/linux/rtnetlink.h, include/uapi/linux/pkt_sched.h, include/uapi/linux/pkt_cls.h.
 */
import { DecodeError } from "../errors.ts";
import type { AttrReader, UnknownAttribute } from "../wire/attr_reader.ts";
import type { AttrWriter } from "../wire/attr_writer.ts";
import { type Message, NLM_F_ACK, NLM_F_CREATE, NLM_F_EXCL, NLM_F_REPLACE, NLM_F_REQUEST } from "../wire/message.ts";
import { htons, LITTLE, memory, viewOf } from "../wire/native.ts";

// include/uapi/linux/rtnetlink.h: message types.
export const RTM_NEWQDISC = 36;
export const RTM_DELQDISC = 37;
export const RTM_GETQDISC = 38;
export const RTM_NEWTFILTER = 44;
export const RTM_DELTFILTER = 45;
export const RTM_GETTFILTER = 46;
export const RTM_NEWACTION = 48;
export const RTM_DELACTION = 49;
export const RTM_GETACTION = 50;
export const RTM_NEWCHAIN = 100;
export const RTM_DELCHAIN = 101;
export const RTM_GETCHAIN = 102;

// include/uapi/linux/rtnetlink.h: attributes after struct tcmsg.
export const TCA_KIND = 1;
export const TCA_OPTIONS = 2;
export const TCA_STATS2 = 7;
export const TCA_CHAIN = 11;
export const TCA_HW_OFFLOAD = 12;
export const TCA_INGRESS_BLOCK = 13;
export const TCA_EGRESS_BLOCK = 14;

// include/uapi/linux/pkt_sched.h: handles are two 16-bit halves, written in hexadecimal as major:minor.
/** No handle: the kernel chooses, or all are meant. */
export const TC_H_UNSPEC = 0;
/** The root of the egress tree. */
export const TC_H_ROOT = 0xffffffff;
/** The parent of the ingress qdisc, and of clsact: there is room for one of the two. */
export const TC_H_INGRESS = 0xfffffff1;
/** The same number as {@linkcode TC_H_INGRESS}, under its newer name. */
export const TC_H_CLSACT = 0xfffffff1;
/** The handle `ffff:` that ingress and clsact have. */
export const TC_H_FFFF = 0xffff0000;
/** The parent of filters on arriving packets; an ingress qdisc takes it too. */
export const TC_H_CLSACT_INGRESS = 0xfffffff2;
/** The parent of filters on leaving packets: clsact only. */
export const TC_H_CLSACT_EGRESS = 0xfffffff3;

/** `TCM_IFINDEX_MAGIC_BLOCK` as tcm_ifindex says that tcm_parent is the number of a shared block. */
export const TCM_IFINDEX_MAGIC_BLOCK = 0xffffffff;

// include/uapi/linux/pkt_cls.h: flags of a classifier towards hardware.
export const TCA_CLS_FLAGS_SKIP_HW = 1;
export const TCA_CLS_FLAGS_SKIP_SW = 2;
export const TCA_CLS_FLAGS_IN_HW = 4;
export const TCA_CLS_FLAGS_NOT_IN_HW = 8;
export const TCA_CLS_FLAGS_VERBOSE = 16;

/** The size of `struct tcmsg`: u8 family, 3 bytes of padding, i32 ifindex, u32 handle, u32 parent, u32 info. */
export const TCMSG_SIZE = 20;

/** `struct tcmsg`. */
export interface TcHeader {
  /** `tcm_ifindex`: the device; 0 for all. */
  readonly ifindex: number;
  /** `tcm_handle`. */
  readonly handle: number;
  /** `tcm_parent`. */
  readonly parent: number;
  /** `tcm_info`: preference and protocol of a filter, or reference count of a qdisc. */
  readonly info: number;
}

/** The bytes of `struct tcmsg`. */
export function encodeTcHeader(header: TcHeader): Uint8Array<ArrayBuffer> {
  const bytes = memory(TCMSG_SIZE);
  const view = viewOf(bytes);
  view.setInt32(4, header.ifindex, LITTLE);
  view.setUint32(8, header.handle, LITTLE);
  view.setUint32(12, header.parent, LITTLE);
  view.setUint32(16, header.info, LITTLE);
  return bytes;
}

/** Reads `struct tcmsg`, the first bytes of `message`; `what` says in an error what was read. */
export function decodeTcHeader(message: Message, what: string): TcHeader {
  const { payload } = message;
  if (payload.length < TCMSG_SIZE) throw new DecodeError(what, 0, `${payload.length} bytes, expected at least ${TCMSG_SIZE}`);
  const view = viewOf(payload);
  return {
    ifindex: view.getUint32(4, LITTLE),
    handle: view.getUint32(8, LITTLE),
    parent: view.getUint32(12, LITTLE),
    info: view.getUint32(16, LITTLE),
  };
}

/** `tcm_info` of a filter: the preference above the EtherType, which is in network byte order. */
export function filterInfo(preference: number, protocol: number): number {
  return ((preference << 16) | htons(protocol)) >>> 0;
}

/** Reads {@linkcode filterInfo}. */
export function splitFilterInfo(info: number): { preference: number; protocol: number } {
  return { preference: info >>> 16, protocol: htons(info & 0xffff) };
}

/** The change to make. `replace` creates the object if there is none, `change` does not. */
export type TcChange = "add" | "replace" | "change" | "delete";

/** The flags of a request that changes a filter. */
export const FILTER_FLAGS: Readonly<Record<TcChange, number>> = {
  add: NLM_F_REQUEST | NLM_F_ACK | NLM_F_EXCL | NLM_F_CREATE,
  // NLM_F_REPLACE is not for filters: cls_api checks only CREATE and EXCL.
  replace: NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE,
  change: NLM_F_REQUEST | NLM_F_ACK,
  delete: NLM_F_REQUEST | NLM_F_ACK,
};

/** The flags of a request that changes a qdisc. */
export const QDISC_FLAGS: Readonly<Record<TcChange, number>> = {
  ...FILTER_FLAGS,
  replace: NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE | NLM_F_REPLACE,
};

export type { UnknownAttribute } from "../wire/attr_reader.ts";

/** The attribute at the cursor, to be kept. */
export function keepUnknown(attr: AttrReader): UnknownAttribute {
  return { type: attr.type, value: attr.bytes() };
}

/**
 * `struct nla_bitfield32`: bits, and which of them count.
 *
 * @category Sampling
 */
export interface Bitfield32 {
  /** The bits. */
  readonly value: number;
  /** The bits that `value` is about. */
  readonly selector: number;
}

/** Reads `struct nla_bitfield32`. */
export function readBitfield32(attr: AttrReader): Bitfield32 {
  const view = attr.atLeast(8);
  return { value: view.getUint32(0, LITTLE), selector: view.getUint32(4, LITTLE) };
}

/** Writes `struct nla_bitfield32`; nothing for `undefined`. */
export function writeBitfield32(writer: AttrWriter, type: number, field: Bitfield32 | undefined): void {
  if (field === undefined) return;
  const bytes = memory(8);
  const view = viewOf(bytes);
  view.setUint32(0, field.value, LITTLE);
  view.setUint32(4, field.selector, LITTLE);
  writer.bytes(type, bytes);
}
