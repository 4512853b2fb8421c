/** Reads pcapng: sections, interfaces and packets. Source: draft-ietf-opsawg-pcapng. */
import { DecodeError } from "../../errors.ts";
import { align4, LITTLE } from "../../wire/native.ts";
import { CapturedPacket, type CaptureHandler, type FormatReader, mostBytes, TimeUnit } from "../capture.ts";
import {
  BLOCK_ENHANCED,
  BLOCK_FRAME,
  BLOCK_HEAD,
  BLOCK_INTERFACE,
  BLOCK_PACKET,
  BLOCK_SECTION,
  BLOCK_SIMPLE,
  BYTE_ORDER_MAGIC,
  OPTION_EUI,
  OPTION_MAC,
  OPTION_NAME,
  OPTION_TSOFFSET,
  OPTION_TSRESOL,
} from "./block.ts";
import { OptionReader } from "./options.ts";

/** Microseconds: the default time unit of an interface. */
const MICROSECONDS = 6;
/** The longest block of a packet: with options a little more than the longest packet. */
const MOST_BLOCK = mostBytes(0) + (1 << 20);
/** Maximum number of interfaces in a section: each is remembered as long as the section lasts. */
const MOST_INTERFACES = 1 << 17;
/** Maximum length of an interface name; longer ones are ignored. */
const MOST_NAME = 255;

/** Blocks that are read, and their minimum sizes. Others are skipped, or passed on if the handler asked for them. */
const LEAST: ReadonlyMap<number, number> = new Map([
  [BLOCK_SECTION, 28],
  [BLOCK_INTERFACE, 20],
  [BLOCK_PACKET, 32],
  [BLOCK_SIMPLE, 16],
  [BLOCK_ENHANCED, 32],
]);

const utf8 = new TextDecoder();

/** An interface of a section. */
interface Interface<Source> {
  readonly source: Source;
  readonly most: number;
  readonly time: TimeUnit;
}

/** Reads a file, which may have several sections, of either byte order. */
export class PcapngReader<Source> implements FormatReader {
  need = BLOCK_FRAME;
  offset = 0;
  readonly #handler: CaptureHandler<Source>;
  readonly #wanted: ReadonlyMap<number, number>;
  readonly #packet = new CapturedPacket();
  readonly #options = new OptionReader();
  #little = LITTLE;
  #interfaces: Interface<Source>[] = [];
  /** How many bytes of the current block are still to be skipped, the length that must follow them, and where the block began. */
  #skip = 0;
  #skipped = 0;
  #skippedFrom = 0;
  /** File offset of offset 0 of the memory being read. */
  #origin = 0;

  /**
   * @param wanted Blocks that are passed to {@linkcode CaptureHandler.block}, and their maximum sizes: longer ones are skipped.
   */
  constructor(handler: CaptureHandler<Source>, wanted: ReadonlyMap<number, number>) {
    this.#handler = handler;
    this.#wanted = wanted;
  }

  get isComplete(): boolean {
    return this.#skipped === 0;
  }

  read(view: DataView<ArrayBuffer>, at: number, end: number): number {
    const start = at;
    this.#origin = this.offset - start;
    this.#packet.view = view;
    while (!this.#handler.paused) {
      const next = this.#skipped > 0 ? this.#readSkipped(view, at, end) : this.#readBlock(view, at, end);
      if (next === at) break;
      at = next;
    }
    this.offset += at - start;
    return at;
  }

  /** Each step returns the offset that it reached, or the one where it began if it needs more data. */
  #readBlock(view: DataView<ArrayBuffer>, at: number, end: number): number {
    this.need = BLOCK_FRAME;
    if (end - at < BLOCK_FRAME) return at;
    // The type of a section header block is the same in both byte orders; what follows shows which it is.
    if (view.getUint32(at, true) === BLOCK_SECTION) this.#readOrder(view, at);
    const little = this.#little;
    const type = view.getUint32(at, little);
    const size = view.getUint32(at + 4, little);
    const least = LEAST.get(type);
    const most = least === undefined ? this.#wanted.get(type) : MOST_BLOCK;
    if (size < (least ?? BLOCK_FRAME) || size % 4 !== 0 || (least !== undefined && size > MOST_BLOCK)) {
      throw this.#damage(at, `a pcapng block of type ${type} and ${size} bytes`);
    }
    if (most === undefined || size > most) {
      this.#skip = size - BLOCK_FRAME;
      this.#skipped = size;
      this.#skippedFrom = this.#origin + at;
      return at + BLOCK_HEAD;
    }
    this.need = size;
    if (end - at < size) return at;
    if (view.getUint32(at + size - 4, little) !== size) throw this.#damage(at, "a pcapng block whose two lengths differ");
    const bodyEnd = at + size - 4;
    switch (type) {
      case BLOCK_ENHANCED:
        this.#readEnhanced(view, at, bodyEnd);
        break;
      case BLOCK_SECTION:
        this.#readSection(view, at);
        break;
      case BLOCK_INTERFACE:
        this.#readInterface(view, at, bodyEnd);
        break;
      case BLOCK_PACKET:
        this.#readPacket(view, at, bodyEnd);
        break;
      case BLOCK_SIMPLE:
        this.#readSimple(view, at, bodyEnd);
        break;
      default:
        this.#handler.block(type, view, at + BLOCK_HEAD, bodyEnd, little, (id) => this.#interfaces[id]?.source);
    }
    return at + size;
  }

  /** Skipped blocks may be long: they are not kept, only their end is checked. */
  #readSkipped(view: DataView, at: number, end: number): number {
    const step = Math.min(this.#skip, end - at);
    this.#skip -= step;
    at += step;
    this.need = this.#skip > 0 ? 1 : 4;
    if (this.#skip > 0 || end - at < 4) return at;
    if (view.getUint32(at, this.#little) !== this.#skipped) {
      throw this.#damage(this.#skippedFrom - this.#origin, "a pcapng block whose two lengths differ");
    }
    this.#skipped = 0;
    return at + 4;
  }

  #readOrder(view: DataView, at: number): void {
    this.#little = view.getUint32(at + 8, true) === BYTE_ORDER_MAGIC;
    if (!this.#little && view.getUint32(at + 8, false) !== BYTE_ORDER_MAGIC) {
      throw this.#damage(at, "a pcapng section without a valid byte-order magic");
    }
  }

  #readSection(view: DataView, at: number): void {
    const major = view.getUint16(at + 12, this.#little);
    const minor = view.getUint16(at + 14, this.#little);
    // Some tools have numbered it 1.2.
    if (major !== 1 || (minor !== 0 && minor !== 2)) {
      throw this.#damage(at, `pcapng of version ${major}.${minor}: 1.0 and 1.2 are supported`);
    }
    this.#interfaces = [];
    this.#handler.section();
  }

  #readInterface(view: DataView<ArrayBuffer>, at: number, end: number): void {
    const little = this.#little;
    const optionsStart = at + 16;
    let resolution = MICROSECONDS;
    let offset = 0n;
    let name: string | undefined;
    let address: Uint8Array | undefined;
    const options = this.#options;
    options.reset(view, optionsStart, end, little);
    while (options.next()) {
      const { code, start, length } = options;
      if (code === OPTION_TSRESOL && length === 1) resolution = view.getUint8(start);
      else if (code === OPTION_TSOFFSET && length === 8) offset = view.getBigInt64(start, little);
      else if (code === OPTION_NAME && length <= MOST_NAME) name = utf8.decode(options.bytes());
      else if ((code === OPTION_MAC && length === 6) || (code === OPTION_EUI && length === 8)) address = options.bytes().slice();
    }
    if (options.isBroken) throw this.#damage(at, "a pcapng option that is longer than its block");
    if (this.#interfaces.length === MOST_INTERFACES) throw this.#damage(at, `a pcapng section of more than ${MOST_INTERFACES} interfaces`);
    this.#interfaces.push({
      source: this.#handler.interface({
        linkType: view.getUint16(at + 8, little),
        little,
        name,
        address,
        view,
        optionsStart,
        optionsEnd: end,
      }),
      most: mostBytes(view.getUint32(at + 12, little)),
      time: new TimeUnit(resolution, offset),
    });
  }

  #readEnhanced(view: DataView, at: number, end: number): void {
    const little = this.#little;
    this.#take(
      at,
      view.getUint32(at + 8, little),
      view.getUint32(at + 12, little),
      view.getUint32(at + 16, little),
      view.getUint32(at + 20, little),
      view.getUint32(at + 24, little),
      end,
    );
  }

  /** Like an enhanced packet, but with a shorter interface number beside a count of drops. */
  #readPacket(view: DataView, at: number, end: number): void {
    const little = this.#little;
    this.#take(
      at,
      view.getUint16(at + 8, little),
      view.getUint32(at + 12, little),
      view.getUint32(at + 16, little),
      view.getUint32(at + 20, little),
      view.getUint32(at + 24, little),
      end,
    );
  }

  #take(at: number, id: number, high: number, low: number, captured: number, originalBytes: number, end: number): void {
    const start = at + 28;
    if (captured > end - start) throw this.#damage(at, `a packet of ${captured} bytes in a block of ${end + 4 - at}`);
    const from = this.#interface(at, id);
    if (captured > from.most) throw this.#damage(at, `a record of ${captured} bytes; the maximum is ${from.most}`);
    const packet = this.#packet;
    from.time.read(high, low, packet);
    packet.start = start;
    packet.end = start + captured;
    packet.originalBytes = originalBytes;
    packet.optionsStart = start + align4(captured);
    packet.optionsEnd = end;
    this.#handler.packet(from.source, packet);
  }

  /** A packet of the first interface, without a time. */
  #readSimple(view: DataView, at: number, end: number): void {
    const from = this.#interface(at, 0);
    const packet = this.#packet;
    packet.seconds = NaN;
    packet.nanoseconds = 0;
    packet.originalBytes = view.getUint32(at + 8, this.#little);
    packet.start = at + 12;
    packet.end = packet.start + Math.min(packet.originalBytes, end - packet.start, from.most);
    packet.optionsStart = packet.optionsEnd = end;
    this.#handler.packet(from.source, packet);
  }

  #interface(at: number, id: number): Interface<Source> {
    const found = this.#interfaces[id];
    if (found === undefined) throw this.#damage(at, `a packet of interface ${id}, which is not described`);
    return found;
  }

  #damage(at: number, why: string): DecodeError {
    return new DecodeError("recording", this.#origin + at, why);
  }
}
