import { DecodeError } from "../errors.ts";
import type { Message } from "../wire/message.ts";
import { align4, LITTLE, viewOf } from "../wire/native.ts";
import {
  PSAMPLE_ATTR_GROUP_REFCOUNT,
  PSAMPLE_ATTR_PAD,
  PSAMPLE_ATTR_SAMPLE_PROBABILITY,
  PSAMPLE_ATTR_TUNNEL,
  PSAMPLE_ATTR_USER_COOKIE,
} from "./constants.ts";
import { HAS_PROBABILITY, HAS_TUNNEL, HAS_UNKNOWN, headerSize, headerType, isExpected, Layout } from "./layout.ts";
import { Sample } from "./sample.ts";
import { SampleView } from "./sample_view.ts";

/**
 * How {@linkcode SampleDecoder} reads a message.
 *
 * @category Samples
 */
export interface DecodeOptions {
  /** Byte order of the machine that the message is from. Defaults to this machine's. */
  littleEndian?: boolean | undefined;
  /** The network namespace that the message came from (`nsid`), unless it is the listener's own. */
  nsid?: number | undefined;
}

/** Maximum number of layouts kept: a machine has a few producers, each with one or two. */
const MOST_KEPT = 8;
/** A quarter of this many searches among the kept layouts must succeed; otherwise this many messages are walked without a search. */
const SEARCHES = 64;
const WALKS = 512;
/** After this many messages of other layouts, kept layouts that are no longer used are found. */
const MISSES_PER_SWEEP = 1024;
/** A power of two. */
const SIGNATURES = 64;

/**
 * Decodes samples, and remembers the layouts of their messages: it is faster if each stream of messages has its own decoder.
 *
 * A message whose layout is not remembered is walked, which allocates nothing; a layout is remembered when it is seen again.
 *
 * @category Samples
 */
export class SampleDecoder {
  readonly #kept: Layout[] = [];
  /** The layout of the previous message. */
  #recent = new Layout();
  /** For messages whose layout is not remembered. */
  #spare = new Layout();
  /** Signatures of layouts that were seen once. */
  readonly #seen = new Int32Array(SIGNATURES);
  #misses = 0;
  #searches = 0;
  #finds = 0;
  #walks = 0;
  // Of the message being decoded:
  #has = 0;
  #cookie = -1;

  /**
   * Decodes the message between two offsets of `view`. Whether it is a sample at all is not checked: see
   * {@linkcode decodeMessage}.
   *
   * @throws {DecodeError} If it is not a psample message.
   */
  decode(view: DataView, start: number, end: number, options?: DecodeOptions): Sample {
    const layout = this.#layoutOf(view, start, end, options?.littleEndian ?? LITTLE, -1, 0);
    return new Sample(view, start, end, layout, this.#has, this.#cookie, options?.nsid);
  }

  /**
   * Points `sample` at the message between two offsets of `view`: a sample is reused, and nothing is allocated.
   *
   * @returns `sample`
   * @throws {DecodeError} If it is not a psample message; `sample` is unchanged then.
   */
  view(view: DataView, start: number, end: number, sample: SampleView, options?: DecodeOptions): SampleView {
    const layout = this.#layoutOf(view, start, end, options?.littleEndian ?? LITTLE, -1, 0);
    // A layout of this message only goes to the sample, which gives back the one that it had.
    if (layout === this.#spare) this.#spare = sample.takeLayout(layout);
    sample.point(view, start, end, layout, this.#has, this.#cookie, options?.nsid);
    return sample;
  }

  /**
   * {@linkcode SampleDecoder.view} of a message whose packet was taken out of it, as in a recording of packets: it is at
   * `packetAt` of `packet`.
   *
   * @param dataAt Offset in the message at which its data belongs.
   * @param dataBytes The size of the packet, which the header of the data contains too.
   */
  viewApart(
    view: DataView,
    start: number,
    end: number,
    packet: DataView,
    packetAt: number,
    dataAt: number,
    dataBytes: number,
    sample: SampleView,
    options?: DecodeOptions,
  ): SampleView {
    const layout = this.#layoutOf(view, start, end, options?.littleEndian ?? LITTLE, dataAt, dataBytes);
    if (layout.data !== dataAt) throw new DecodeError("sample", dataAt, "no data where the packet belongs");
    if (layout === this.#spare) this.#spare = sample.takeLayout(layout);
    sample.point(view, start, end, layout, this.#has, this.#cookie, options?.nsid);
    sample.takeApart(packet, packetAt);
    return sample;
  }

  #layoutOf(view: DataView, start: number, end: number, little: boolean, apartAt: number, apart: number): Layout {
    if (this.#walks > 0) {
      this.#walks--;
      return this.#miss(view, start, end, little, apartAt, apart);
    }
    const recent = this.#recent;
    if (this.#fits(recent, view, start, end, little, apartAt, apart)) return recent;
    return this.#search(recent, view, start, end, little, apartAt, apart) ?? this.#miss(view, start, end, little, apartAt, apart);
  }

  #search(
    recent: Layout,
    view: DataView,
    start: number,
    end: number,
    little: boolean,
    apartAt: number,
    apart: number,
  ): Layout | undefined {
    if (++this.#searches === SEARCHES) {
      if (this.#finds < SEARCHES / 4) this.#walks = WALKS;
      this.#searches = this.#finds = 0;
    }
    for (const layout of this.#kept) {
      if (layout === recent || !this.#fits(layout, view, start, end, little, apartAt, apart)) continue;
      layout.uses++;
      this.#finds++;
      return this.#recent = layout;
    }
    return undefined;
  }

  /** Whether a message has a layout, and what follows its data. */
  #fits(layout: Layout, view: DataView, start: number, end: number, little: boolean, apartAt: number, apart: number): boolean {
    if (apart > 0 && layout.data !== apartAt) return false;
    if (!layout.fits(view, start, end, little, apart)) return false;
    let { has, cookie } = layout;
    if (layout.data >= 0) {
      let at = start + layout.data;
      at += align4(view.getUint16(at - 4, little)) - 4 - apart;
      while (at < end) {
        const left = end - at;
        const word = left < 4 ? 0 : view.getInt32(at, little);
        const size = headerSize(word, little);
        if (size < 4 || size > left) return false;
        switch (headerType(word, little)) {
          case PSAMPLE_ATTR_USER_COOKIE:
            cookie = at + 4 - start;
            break;
          case PSAMPLE_ATTR_TUNNEL:
          case PSAMPLE_ATTR_GROUP_REFCOUNT:
            has |= HAS_TUNNEL;
            break;
          case PSAMPLE_ATTR_SAMPLE_PROBABILITY:
            has |= HAS_PROBABILITY;
            break;
          case PSAMPLE_ATTR_PAD:
            break;
          default:
            // A value whose place depends on the size of the data.
            if (isExpected(headerType(word, little), size)) return false;
            has |= HAS_UNKNOWN;
        }
        at += align4(size);
      }
    }
    this.#has = has;
    this.#cookie = cookie;
    return true;
  }

  #miss(view: DataView, start: number, end: number, little: boolean, apartAt: number, apart: number): Layout {
    const layout = this.#spare;
    layout.walk(view, start, end, little, apartAt, apart);
    this.#has = layout.has;
    this.#cookie = layout.cookie;
    this.#misses++;
    if (!layout.isGeneral) return layout;
    const { signature } = layout;
    const slot = (signature ^ signature >>> 16) & SIGNATURES - 1;
    if (this.#seen[slot] !== signature) this.#seen[slot] = signature;
    else this.#keep(layout, view, start);
    return layout;
  }

  /** Remembers a layout, if there is room or one that is no longer used. */
  #keep(layout: Layout, view: DataView, start: number): void {
    const kept = this.#kept;
    if (kept.length < MOST_KEPT) {
      kept.push(layout.learn(view, start));
    } else if (this.#misses > MISSES_PER_SWEEP) {
      this.#misses = 0;
      const idle = kept.findIndex((one) => one.uses === 0 && one !== this.#recent);
      for (const one of kept) one.uses = 0;
      if (idle >= 0) kept[idle] = layout.learn(view, start);
    }
  }
}

/** For occasional decoding. */
const DEFAULT = new SampleDecoder();

/**
 * Decodes one sample. Its bytes are views of the message.
 *
 * @param nsid The network namespace that the message came from, unless it is the listener's own.
 * @throws {DecodeError} If it is not a psample message.
 * @category Samples
 */
export function decodeSample({ bytes, littleEndian }: Message, nsid?: number): Sample {
  return DEFAULT.decode(viewOf(bytes), 0, bytes.length, { littleEndian, nsid });
}

/**
 * A view of one sample.
 *
 * @param nsid The network namespace that the message came from, unless it is the listener's own.
 * @throws {DecodeError} If it is not a psample message.
 * @category Samples
 */
export function viewSample({ bytes, littleEndian }: Message, nsid?: number): SampleView {
  return DEFAULT.view(viewOf(bytes), 0, bytes.length, new SampleView(), { littleEndian, nsid });
}
