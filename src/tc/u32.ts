/**
 * The classifier `u32`: masked 32-bit words at offsets in the packet. Source: include/uapi/linux/pkt_cls.h,
 * net/sched/cls_u32.c.
 */
import { ArgumentError, DecodeError } from "../errors.ts";
import type { AttrReader } from "../wire/attr_reader.ts";
import type { AttrWriter } from "../wire/attr_writer.ts";
import { LITTLE, memory, viewOf } from "../wire/native.ts";
import { type Action, type ActionSpec, readActions, writeActions } from "./action.ts";
import { keepUnknown, type UnknownAttribute } from "./tcmsg.ts";

// include/uapi/linux/pkt_cls.h
const TCA_U32_CLASSID = 1;
const TCA_U32_HASH = 2;
const TCA_U32_LINK = 3;
const TCA_U32_DIVISOR = 4;
const TCA_U32_SEL = 5;
export const TCA_U32_POLICE = 6;
const TCA_U32_ACT = 7;
const TCA_U32_INDEV = 8;
const TCA_U32_PCNT = 9;
const TCA_U32_MARK = 10;
const TCA_U32_FLAGS = 11;
const TCA_U32_PAD = 12;

// Flags of a selector.
export const TC_U32_TERMINAL = 1;
export const TC_U32_OFFSET = 2;
export const TC_U32_VAROFFSET = 4;
export const TC_U32_EAT = 8;

/** Maximum number of keys that iproute2 packs into a selector. */
const U32_MAX_KEYS = 128;

const SEL_SIZE = 16;
const KEY_SIZE = 16;

/** `struct tc_u32_key`: `(word at offset & mask) === value`. */
export interface U32Key {
  /** The bits that are compared, as a number in network byte order. */
  readonly mask: number;
  /** Their value. */
  readonly value: number;
  /** Where the word begins, in bytes from the network header. */
  readonly offset: number;
  /** -1 to count from the next header instead of the network header. */
  readonly offsetMask: number;
}

/** `struct tc_u32_sel`. */
export interface U32Selector {
  /** TC_U32_*. */
  readonly flags: number;
  /** The keys, which must all match. */
  readonly keys: readonly U32Key[];
  /** The bits of the header's length field, for the next header's offset. */
  readonly headerMask: number;
  /** Number of bits by which that field is shifted. */
  readonly headerShift: number;
  /** Where that field is. */
  readonly headerOffset: number;
  /** What is added to the offset. */
  readonly plus: number;
  /** Where the hashed word is. */
  readonly hashOffset: number;
  /** The bits of it that are hashed. */
  readonly hashMask: number;
}

/** A u32 filter, or one of its hash tables, as the kernel describes it. */
export interface U32 {
  /** The kind of classifier. */
  readonly kind: "u32";
  /** The class that packets are put into. */
  readonly classId: number | undefined;
  /** The hash table that the filter is in, and its bucket. */
  readonly hash: number | undefined;
  /** The hash table in which classification continues. */
  readonly link: number | undefined;
  /** Number of buckets; only of a hash table. */
  readonly divisor: number | undefined;
  /** What is matched. */
  readonly selector: U32Selector | undefined;
  /** `struct tc_u32_mark`: the packet's mark, and how often it matched. */
  readonly mark: { readonly value: number; readonly mask: number; readonly success: number } | undefined;
  /** The device that packets must come from. */
  readonly inputDevice: string | undefined;
  /** TCA_CLS_FLAGS_*. */
  readonly flags: number | undefined;
  /** How many packets reached the filter. */
  readonly tries: bigint | undefined;
  /** How many matched. */
  readonly hits: bigint | undefined;
  /** How many each key matched, in the order of the keys. */
  readonly keyHits: readonly bigint[];
  /** What is done with the packets, in order. */
  readonly actions: readonly Action[] | undefined;
  /** What else the kernel sent. */
  readonly unknown: readonly UnknownAttribute[];
}

/** A u32 filter to create. */
export interface U32Spec {
  /** The kind of classifier. */
  kind: "u32";
  /** The class to put packets into. */
  classId?: number | undefined;
  /** The keys, which must all match; the kernel requires at least one, even if its mask is empty. */
  keys?: readonly U32Key[] | undefined;
  /** TCA_CLS_FLAGS_SKIP_HW or TCA_CLS_FLAGS_SKIP_SW. */
  flags?: number | undefined;
  /** What to do with the packets, in order. */
  actions?: readonly ActionSpec[] | undefined;
}

/** Reads the attributes inside TCA_OPTIONS. */
export function readU32(attr: AttrReader): U32 {
  let classId: number | undefined;
  let hash: number | undefined;
  let link: number | undefined;
  let divisor: number | undefined;
  let selector: U32Selector | undefined;
  let mark: U32["mark"];
  let inputDevice: string | undefined;
  let flags: number | undefined;
  let counters: DataView | undefined;
  let actions: Action[] | undefined;
  const unknown: UnknownAttribute[] = [];
  while (attr.next()) {
    switch (attr.type) {
      case TCA_U32_CLASSID:
        classId = attr.u32();
        break;
      case TCA_U32_HASH:
        hash = attr.u32();
        break;
      case TCA_U32_LINK:
        link = attr.u32();
        break;
      case TCA_U32_DIVISOR:
        divisor = attr.u32();
        break;
      case TCA_U32_SEL:
        selector = readSelector(attr);
        break;
      case TCA_U32_ACT:
        actions = readActions(attr.nested());
        break;
      case TCA_U32_INDEV:
        inputDevice = attr.string();
        break;
      case TCA_U32_PCNT:
        counters = attr.atLeast(16);
        break;
      case TCA_U32_MARK: {
        const view = attr.atLeast(12);
        mark = { value: view.getUint32(0, LITTLE), mask: view.getUint32(4, LITTLE), success: view.getUint32(8, LITTLE) };
        break;
      }
      case TCA_U32_FLAGS:
        flags = attr.u32();
        break;
      case TCA_U32_PAD:
        break;
      default:
        unknown.push(keepUnknown(attr));
    }
  }
  // struct tc_u32_pcnt: u64 rcnt, u64 rhit, u64 kcnts[].
  const tries = counters?.getBigUint64(0, LITTLE);
  const hits = counters?.getBigUint64(8, LITTLE);
  const keyHits: bigint[] = [];
  for (let at = 16; counters && at + 8 <= counters.byteLength; at += 8) keyHits.push(counters.getBigUint64(at, LITTLE));
  return {
    kind: "u32",
    classId,
    hash,
    link,
    divisor,
    selector,
    mark,
    inputDevice,
    flags,
    tries,
    hits,
    keyHits,
    actions,
    unknown,
  };
}

function readSelector(attr: AttrReader): U32Selector {
  const view = attr.atLeast(SEL_SIZE);
  const count = view.getUint8(2);
  if (attr.size < SEL_SIZE + count * KEY_SIZE) {
    throw new DecodeError("u32 selector", attr.offset, `${attr.size} bytes, ${count} keys take ${SEL_SIZE + count * KEY_SIZE}`);
  }
  const keys: U32Key[] = [];
  for (let at = SEL_SIZE; keys.length < count; at += KEY_SIZE) {
    keys.push({
      mask: view.getUint32(at, false),
      value: view.getUint32(at + 4, false),
      offset: view.getInt32(at + 8, LITTLE),
      offsetMask: view.getInt32(at + 12, LITTLE),
    });
  }
  return {
    flags: view.getUint8(0),
    headerShift: view.getUint8(1),
    headerMask: view.getUint16(4, false),
    plus: view.getUint16(6, LITTLE),
    headerOffset: view.getInt16(8, LITTLE),
    hashOffset: view.getInt16(10, LITTLE),
    hashMask: view.getUint32(12, false),
    keys,
  };
}

/** Writes the attributes inside TCA_OPTIONS. */
export function writeU32(writer: AttrWriter, spec: U32Spec): void {
  const { classId, keys, actions, flags } = spec;
  writer.u32(TCA_U32_CLASSID, classId);
  writeActions(writer, TCA_U32_ACT, actions);
  if (keys) {
    if (keys.length > U32_MAX_KEYS) throw new ArgumentError(`Cannot encode ${keys.length} u32 keys: the maximum is ${U32_MAX_KEYS}`);
    const bytes = memory(SEL_SIZE + keys.length * KEY_SIZE);
    const view = viewOf(bytes);
    // A filter that is not terminal only leads on to others.
    view.setUint8(0, actions || classId !== undefined ? TC_U32_TERMINAL : 0);
    view.setUint8(2, keys.length);
    keys.forEach((key, i) => {
      const at = SEL_SIZE + i * KEY_SIZE;
      view.setUint32(at, key.mask, false);
      view.setUint32(at + 4, key.value, false);
      view.setInt32(at + 8, key.offset, LITTLE);
      view.setInt32(at + 12, key.offsetMask, LITTLE);
    });
    writer.bytes(TCA_U32_SEL, bytes);
  }
  writer.u32(TCA_U32_FLAGS, flags || undefined);
}

/**
 * The keys with one more. A word that exists already takes the bits in, as in iproute2; `undefined` if the two
 * contradict each other, or the offset is not a multiple of 4.
 */
export function withKey(keys: readonly U32Key[], key: U32Key): U32Key[] | undefined {
  const mask = key.mask >>> 0;
  const value = (key.value & mask) >>> 0;
  const at = keys.findIndex((other) => other.offset === key.offset && other.offsetMask === key.offsetMask);
  if (at >= 0) {
    const other = keys[at]!;
    if ((value ^ other.value) & mask & other.mask) return undefined;
    const merged = { ...other, value: (other.value | value) >>> 0, mask: (other.mask | mask) >>> 0 };
    return keys.map((old, i) => i === at ? merged : old);
  }
  if (keys.length >= U32_MAX_KEYS || key.offset % 4 !== 0) return undefined;
  return [...keys, { ...key, mask, value }];
}
