/**
 * Where the attributes of a sample stand. A kernel lays its samples out alike, so what one message has taught
 * is known of the next one after a comparison of its attribute headers, and a sample need only remember which
 * layout it has.
 *
 * @module
 */
import { DecodeError } from "../errors.ts";
import { GENL_HDRLEN } from "../genl/ctrl.ts";
import { NLA_TYPE_MASK } from "../wire/attr_reader.ts";
import { NLMSG_HDRLEN } from "../wire/message.ts";
import { align4, LITTLE } from "../wire/native.ts";
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

/** The first attribute number that this package has no name for. */
export const UNKNOWN = PSAMPLE_ATTR_SAMPLE_PROBABILITY + 1;

/** Attributes that are looked up when they are asked for: they may stand behind the data, whose size differs. */
const LOOKED_UP = 1 << PSAMPLE_ATTR_TUNNEL | 1 << PSAMPLE_ATTR_GROUP_REFCOUNT | 1 << PSAMPLE_ATTR_USER_COOKIE |
  1 << PSAMPLE_ATTR_SAMPLE_PROBABILITY | 1 << UNKNOWN;

/** Either number may be a tunnel's: kernels 5.8 to 5.11 had the two swapped, and a sample never carries a reference count. */
const TUNNEL = 1 << PSAMPLE_ATTR_TUNNEL | 1 << PSAMPLE_ATTR_GROUP_REFCOUNT;

const NO_HEADERS = new Int32Array(0);

/** Which attributes a message has, in which order and of which size; values by their offset from its start, -1 where absent. */
export class Layout {
  /** Byte order of the machine that the message is from. */
  readonly little: boolean;
  /** A bit for each attribute that the message has; {@linkcode UNKNOWN} for those without a name. */
  present = 0;
  /** u32 */
  group = -1;
  /** u32 */
  sequence = -1;
  /** u32 */
  rate = -1;
  /** u32 */
  originalBytes = -1;
  /** u16, or u32 where {@linkcode Layout.inIfindexIsWide} */
  inIfindex = -1;
  inIfindexIsWide = false;
  /** u16, or u32 where {@linkcode Layout.outIfindexIsWide} */
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
  /** The packet's bytes; their number stands in the attribute's header. */
  data = -1;
  /** False where the offsets hold for nothing but data of the same size. */
  isGeneral = true;

  /** Of each attribute before the data where its header stands, from the message's start, and the header, as a 32-bit word. */
  #head: Int32Array = NO_HEADERS;
  /** Of each attribute behind the data how far it is to the next one, and its header. */
  #tail: Int32Array = NO_HEADERS;
  /** Where the data's header stands, or the message ends. */
  #headEnd = ATTRIBUTES;

  constructor(little: boolean) {
    this.little = little;
  }

  /** True where there is something that has to be decoded as a tunnel. */
  get hasTunnel(): boolean {
    return (this.present & TUNNEL) !== 0;
  }

  /**
   * Walks a message.
   *
   * @throws {DecodeError} where it is no psample message.
   */
  static learn(view: DataView, start: number, end: number, little: boolean): Layout {
    if (end - start < ATTRIBUTES) throw new DecodeError("sample", start, `${end - start} bytes, the headers are ${ATTRIBUTES}`);
    const layout = new Layout(little);
    const head: number[] = [];
    const tail: number[] = [];
    let at = start + ATTRIBUTES;
    while (at < end) {
      const left = end - at;
      const size = left < 4 ? 0 : view.getUint16(at, little);
      if (size < 4 || size > left) throw new DecodeError("sample attribute", at, `length ${size}, ${left} bytes left`);
      const type = view.getUint16(at + 2, little) & NLA_TYPE_MASK;
      const step = align4(size);
      if (layout.data >= 0) tail.push(step, view.getInt32(at, little));
      else if (type !== PSAMPLE_ATTR_DATA) head.push(at - start, view.getInt32(at, little));
      layout.#enter(type, at + 4, size, start);
      at += step;
    }
    layout.#head = Int32Array.from(head);
    layout.#tail = Int32Array.from(tail);
    layout.#headEnd = layout.data < 0 ? at - start : layout.data - 4;
    return layout;
  }

  /** Whether a message of a machine of this byte order has this layout. */
  fits(view: DataView, start: number, end: number, little: boolean): boolean {
    let at = start + this.#headEnd;
    if (little !== this.little || at + (this.data < 0 ? 0 : 4) > end) return false;
    const head = this.#head;
    for (let i = 0; i < head.length; i += 2) {
      if (view.getInt32(start + head[i]!, little) !== head[i + 1]) return false;
    }
    if (this.data < 0) return at === end;
    const size = view.getUint16(at, little);
    if (view.getUint16(at + 2, little) !== PSAMPLE_ATTR_DATA || size < 4 || size > end - at) return false;
    at += align4(size);
    const tail = this.#tail;
    for (let i = 0; i < tail.length; i += 2) {
      if (at + tail[i]! > end || view.getInt32(at, little) !== tail[i + 1]) return false;
      at += tail[i]!;
    }
    // The last attribute may lack its padding.
    return at >= end;
  }

  #enter(type: number, value: number, size: number, start: number): void {
    const bit = 1 << (type < UNKNOWN ? type : UNKNOWN);
    if (this.data >= 0 && (bit & LOOKED_UP) === 0) this.isGeneral = false;
    this.present |= bit;
    switch (type) {
      case PSAMPLE_ATTR_IIFINDEX:
        this.inIfindexIsWide = size === 8;
        if (size !== 6) expect(4, type, value, size);
        this.inIfindex = value - start;
        break;
      case PSAMPLE_ATTR_OIFINDEX:
        this.outIfindexIsWide = size === 8;
        if (size !== 6) expect(4, type, value, size);
        this.outIfindex = value - start;
        break;
      case PSAMPLE_ATTR_ORIGSIZE:
        this.originalBytes = expect(4, type, value, size) - start;
        break;
      case PSAMPLE_ATTR_SAMPLE_GROUP:
        this.group = expect(4, type, value, size) - start;
        break;
      case PSAMPLE_ATTR_GROUP_SEQ:
        this.sequence = expect(4, type, value, size) - start;
        break;
      case PSAMPLE_ATTR_SAMPLE_RATE:
        this.rate = expect(4, type, value, size) - start;
        break;
      case PSAMPLE_ATTR_DATA:
        this.data = value - start;
        break;
      case PSAMPLE_ATTR_OUT_TC:
        this.outTc = expect(2, type, value, size) - start;
        break;
      case PSAMPLE_ATTR_PROTO:
        this.protocol = expect(2, type, value, size) - start;
        break;
      case PSAMPLE_ATTR_TIMESTAMP:
        this.timestamp = expect(8, type, value, size) - start;
        break;
      case PSAMPLE_ATTR_OUT_TC_OCC:
        this.outTcOccupancy = expect(8, type, value, size) - start;
        break;
      case PSAMPLE_ATTR_LATENCY:
        this.latency = expect(8, type, value, size) - start;
        break;
    }
  }
}

/** How many layouts are kept: a machine has a few producers, each of them with one or two. */
const KEPT = 8;
const kept: Layout[] = [];
/** The one of the message before. */
let recent = new Layout(LITTLE);
let oldest = 0;

/**
 * The layout of a message: one that is kept, or learnt from this message.
 *
 * @throws {DecodeError} where it is no psample message.
 */
export function layoutOf(view: DataView, start: number, end: number, little: boolean): Layout {
  if (recent.fits(view, start, end, little)) return recent;
  for (const layout of kept) if (layout.fits(view, start, end, little)) return recent = layout;
  const layout = Layout.learn(view, start, end, little);
  // What holds only for this size of data is not worth a place.
  if (layout.isGeneral) recent = kept[oldest++ % KEPT] = layout;
  return layout;
}

function expect(bytes: number, type: number, value: number, size: number): number {
  if (size !== bytes + 4) throw new DecodeError(`sample attribute ${type}`, value, `${size - 4} bytes, not ${bytes}`);
  return value;
}
