/**
 * Where the attributes of a sample are. A kernel emits them in a fixed order, so the layout of one message applies to the next
 * if the attribute headers before the data match.
 *
 * @module
 */
import { DecodeError } from "../errors.ts";
import { GENL_HDRLEN } from "../genl/ctrl.ts";
import { NLA_TYPE_MASK } from "../wire/attr_reader.ts";
import { NLMSG_HDRLEN } from "../wire/message.ts";
import { align4 } from "../wire/native.ts";
import {
  PSAMPLE_ATTR_DATA,
  PSAMPLE_ATTR_GROUP_REFCOUNT,
  PSAMPLE_ATTR_GROUP_SEQ,
  PSAMPLE_ATTR_IIFINDEX,
  PSAMPLE_ATTR_LATENCY,
  PSAMPLE_ATTR_OIFINDEX,
  PSAMPLE_ATTR_ORIGSIZE,
  PSAMPLE_ATTR_OUT_TC,
  PSAMPLE_ATTR_OUT_TC_OCC,
  PSAMPLE_ATTR_PROTO,
  PSAMPLE_ATTR_SAMPLE_GROUP,
  PSAMPLE_ATTR_SAMPLE_PROBABILITY,
  PSAMPLE_ATTR_SAMPLE_RATE,
  PSAMPLE_ATTR_TIMESTAMP,
  PSAMPLE_ATTR_TUNNEL,
  PSAMPLE_ATTR_USER_COOKIE,
} from "./constants.ts";

/** Where the first attribute of a psample message begins. */
export const ATTRIBUTES = NLMSG_HDRLEN + GENL_HDRLEN;

/** The first attribute number that this package does not know. */
const UNKNOWN = PSAMPLE_ATTR_SAMPLE_PROBABILITY + 1;

/** Whether a message has an attribute of which only that, or its place, is remembered. */
export const HAS_PROBABILITY = 1;
export const HAS_TUNNEL = 2;
/** Attributes with an unknown number, or with a size that does not match their number. */
export const HAS_UNKNOWN = 4;

/** Sizes of attributes, header included, by their number: 0 for any size; for an interface index the smaller of its two sizes. */
const SIZES = new Uint8Array(UNKNOWN);
SIZES[PSAMPLE_ATTR_IIFINDEX] = 6;
SIZES[PSAMPLE_ATTR_OIFINDEX] = 6;
SIZES[PSAMPLE_ATTR_ORIGSIZE] = 8;
SIZES[PSAMPLE_ATTR_SAMPLE_GROUP] = 8;
SIZES[PSAMPLE_ATTR_GROUP_SEQ] = 8;
SIZES[PSAMPLE_ATTR_SAMPLE_RATE] = 8;
SIZES[PSAMPLE_ATTR_OUT_TC] = 6;
SIZES[PSAMPLE_ATTR_OUT_TC_OCC] = 12;
SIZES[PSAMPLE_ATTR_LATENCY] = 12;
SIZES[PSAMPLE_ATTR_TIMESTAMP] = 12;
SIZES[PSAMPLE_ATTR_PROTO] = 6;

/** Whether an attribute has a known number, and the size that belongs to it. */
export function isExpected(type: number, size: number): boolean {
  if (type >= UNKNOWN) return false;
  const expected = SIZES[type]!;
  return expected === 0 || size === expected || (size === 8 && type <= PSAMPLE_ATTR_OIFINDEX);
}

/** Attribute header, as a 32-bit word in the byte order of the message: its size, and its type without flags. */
export function headerSize(word: number, little: boolean): number {
  return little ? word & 0xffff : word >>> 16;
}
export function headerType(word: number, little: boolean): number {
  return (little ? word >>> 16 : word) & NLA_TYPE_MASK;
}

const NO_WORDS = new Int32Array(0);

/** Which attributes a message has, in which order and size; values by offset from its start, -1 if absent. */
export class Layout {
  /** Byte order of the machine that the message is from. */
  little = true;
  /** HAS_* */
  has = 0;
  /** u32 */
  group = -1;
  /** u32 */
  sequence = -1;
  /** u32 */
  rate = -1;
  /** u32 */
  originalBytes = -1;
  /** u16, or u32 if {@linkcode Layout.inIfindexIsWide} */
  inIfindex = -1;
  inIfindexIsWide = false;
  /** u16, or u32 if {@linkcode Layout.outIfindexIsWide} */
  outIfindex = -1;
  outIfindexIsWide = false;
  /** u16 */
  outTc = -1;
  /** u16 */
  protocol = -1;
  /** u64 */
  timestamp = -1;
  /** u64 */
  latency = -1;
  /** u64 */
  outTcOccupancy = -1;
  /** The cookie; its size is in its header, before it. */
  cookie = -1;
  /** The packet; its size is in its header, before it. */
  data = -1;
  /** Whether everything after the data can be found again for each message, so that the layout applies whatever the size of the data. */
  isGeneral = true;
  /** A hash of the attribute headers before the data: equal for messages of one layout. */
  signature = 0;
  /** How many messages had this layout. */
  uses = 0;

  /** For each attribute before the data: the offset of its header from the message's start, and the header. */
  #head: Int32Array = NO_WORDS;
  /** Offset of the data's header, or of the message's end. */
  #headEnd = ATTRIBUTES;

  /**
   * Whether the message between two offsets has this layout up to its data, or to its end.
   *
   * @param apart How many bytes of its data are elsewhere, see {@linkcode SampleDecoder.viewApart}.
   */
  fits(view: DataView, start: number, end: number, little: boolean, apart: number): boolean {
    const at = start + this.#headEnd;
    if (little !== this.little || at > end) return false;
    const head = this.#head;
    for (let i = 0; i < head.length; i += 2) {
      if (view.getInt32(start + head[i]!, little) !== head[i + 1]) return false;
    }
    if (this.data < 0) return at === end;
    if (at + 4 > end) return false;
    const word = view.getInt32(at, little);
    const size = headerSize(word, little);
    return headerType(word, little) === PSAMPLE_ATTR_DATA && size >= 4 && size - apart <= end - at;
  }

  /**
   * Makes this the layout of a message. It allocates nothing.
   *
   * @param apart How many bytes of the data that belongs at offset `apartAt` are elsewhere.
   * @throws {DecodeError} If it is not a psample message: then this is the layout of no message.
   */
  walk(view: DataView, start: number, end: number, little: boolean, apartAt: number, apart: number): void {
    if (end - start < ATTRIBUTES) throw new DecodeError("sample", 0, `${end - start} bytes, expected at least ${ATTRIBUTES}`);
    this.little = little;
    this.has = 0;
    this.group =
      this.sequence =
      this.rate =
      this.originalBytes =
      this.inIfindex =
      this.outIfindex =
      this.outTc =
        -1;
    this.protocol =
      this.timestamp =
      this.latency =
      this.outTcOccupancy =
      this.cookie =
      this.data =
        -1;
    this.isGeneral = true;
    let signature = 0;
    let at = start + ATTRIBUTES;
    while (at < end) {
      const left = end - at;
      const word = left < 4 ? 0 : view.getInt32(at, little);
      const size = headerSize(word, little);
      const elsewhere = at + 4 - start === apartAt ? apart : 0;
      if (size < 4 || size - elsewhere > left) {
        throw new DecodeError("sample attribute", at - start, `length ${size}, ${left + elsewhere} bytes left`);
      }
      const type = headerType(word, little);
      if (this.data < 0 && type !== PSAMPLE_ATTR_DATA) signature = Math.imul(signature ^ word, 0x01000193);
      this.#enter(type, at + 4 - start, size);
      at += align4(size) - elsewhere;
    }
    this.signature = signature;
    this.#headEnd = this.data < 0 ? end - start : this.data - 4;
  }

  /** A copy of the layout of this message, which {@linkcode Layout.fits} later ones. */
  learn(view: DataView, start: number): Layout {
    const learnt = new Layout();
    const { little } = this;
    const head: number[] = [];
    for (let at = ATTRIBUTES; at < this.#headEnd;) {
      const word = view.getInt32(start + at, little);
      head.push(at, word);
      learnt.#enter(headerType(word, little), at + 4, headerSize(word, little));
      at += align4(headerSize(word, little));
    }
    learnt.little = little;
    learnt.data = this.data;
    learnt.#head = Int32Array.from(head);
    learnt.#headEnd = this.#headEnd;
    return learnt;
  }

  #enter(type: number, value: number, size: number): void {
    // isExpected(), inlined: the call would take a third of the time of the walk on Bun.
    if ((type >= UNKNOWN || size !== (SIZES[type]! || size)) && (size !== 8 || type > PSAMPLE_ATTR_OIFINDEX)) {
      this.has |= HAS_UNKNOWN;
      return;
    }
    switch (type) {
      case PSAMPLE_ATTR_IIFINDEX:
        this.inIfindex = value;
        this.inIfindexIsWide = size === 8;
        break;
      case PSAMPLE_ATTR_OIFINDEX:
        this.outIfindex = value;
        this.outIfindexIsWide = size === 8;
        break;
      case PSAMPLE_ATTR_ORIGSIZE:
        this.originalBytes = value;
        break;
      case PSAMPLE_ATTR_SAMPLE_GROUP:
        this.group = value;
        break;
      case PSAMPLE_ATTR_GROUP_SEQ:
        this.sequence = value;
        break;
      case PSAMPLE_ATTR_SAMPLE_RATE:
        this.rate = value;
        break;
      case PSAMPLE_ATTR_DATA:
        if (this.data >= 0) this.isGeneral = false;
        this.data = value;
        return;
      case PSAMPLE_ATTR_OUT_TC:
        this.outTc = value;
        break;
      case PSAMPLE_ATTR_PROTO:
        this.protocol = value;
        break;
      case PSAMPLE_ATTR_TIMESTAMP:
        this.timestamp = value;
        break;
      case PSAMPLE_ATTR_OUT_TC_OCC:
        this.outTcOccupancy = value;
        break;
      case PSAMPLE_ATTR_LATENCY:
        this.latency = value;
        break;
      case PSAMPLE_ATTR_USER_COOKIE:
        this.cookie = value;
        return;
      case PSAMPLE_ATTR_TUNNEL:
      case PSAMPLE_ATTR_GROUP_REFCOUNT:
        // Either number: kernels 5.8 to 5.11 had the two swapped, and a sample never carries a reference count.
        this.has |= HAS_TUNNEL;
        return;
      case PSAMPLE_ATTR_SAMPLE_PROBABILITY:
        this.has |= HAS_PROBABILITY;
        return;
    }
    if (this.data >= 0) this.isGeneral = false;
  }
}
