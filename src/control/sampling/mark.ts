/**
 * How our filters are distinguished from others: by their handle, the one number of a filter that its owner chooses.
 *
 * | bits   | meaning                                                                                      |
 * | ------ | -------------------------------------------------------------------------------------------- |
 * | 31..16 | `"ps"`, 0x7073                                                                               |
 * | 15     | this filter's clsact qdisc was made by us, for the last of us to remove                      |
 * | 14..0  | the instance that installed it, see {@linkcode import("./instance.ts").Instance}             |
 */
import { actionsOf, type Filter } from "../../tc/filter.ts";
import { TCM_IFINDEX_MAGIC_BLOCK } from "../../tc/tcmsg.ts";
import { memory } from "../../wire/native.ts";
import { directionOf } from "../traffic_control.ts";

/** `"ps"`, in the upper half. */
export const MARK = 0x70730000;
export const MARK_MASK = 0xffff0000;
const MADE_CLSACT = 0x8000;
/** The bits that number an instance. */
export const NUMBER_MASK = 0x7fff;
const COOKIE_TEXT = "psample";

/** The handle of the filters of an instance. */
export function markedHandle(instance: number, madeClsact: boolean): number {
  return (MARK | (madeClsact ? MADE_CLSACT : 0) | instance) >>> 0;
}

/** The number of the instance that installed a filter with this handle. */
export function numberOf(handle: number): number {
  return handle & NUMBER_MASK;
}

/** Whether a filter is one of ours: by its handle and one action, which is `sample`, in a place where we put filters. */
export function isOurs(filter: Filter): boolean {
  const actions = actionsOf(filter);
  return (filter.handle & MARK_MASK) === MARK && actions.length === 1 && actions[0]!.kind === "sample" &&
    directionOf(filter.parent) !== undefined && filter.ifindex !== TCM_IFINDEX_MAGIC_BLOCK && (filter.chain ?? 0) === 0;
}

/** Whether a filter of ours is in a clsact qdisc that one of us made. */
export function madeClsact(filter: Filter): boolean {
  return isOurs(filter) && (filter.handle & MADE_CLSACT) !== 0;
}

/** The default cookie: our name and the filter's handle, in network byte order. */
export function markCookie(handle: number): Uint8Array<ArrayBuffer> {
  const cookie = memory(COOKIE_TEXT.length + 4);
  new TextEncoder().encodeInto(COOKIE_TEXT, cookie);
  new DataView(cookie.buffer).setUint32(COOKIE_TEXT.length, handle);
  return cookie;
}
