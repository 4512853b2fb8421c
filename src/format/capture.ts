/**
 * What capture files have in common, whatever their format: packets and the interfaces that they were captured on. The bytes of packets are
 * not interpreted here.
 */
import { memory, viewOf } from "../wire/native.ts";
import { SNAPLEN } from "./pcap/header.ts";

/** A packet in memory that belongs to the reader of the file. One object stands for all packets in turn. */
export class CapturedPacket {
  /** The memory. */
  view: DataView<ArrayBuffer> = viewOf(memory(0));
  /** Offset of its first byte. */
  start = 0;
  /** Offset after its last byte. */
  end = 0;
  /** Its size in bytes before the capture cut it. */
  originalBytes = 0;
  /** When it was captured: whole seconds since 1970, which may be negative; NaN if the file does not contain it. */
  seconds = 0;
  /** Nanoseconds of that second. */
  nanoseconds = 0;
  /** The packet's protocol according to its record, in network byte order; nearly always -1, for none. */
  protocol = -1;
  /** Offsets of its options; the same twice if it has none. */
  optionsStart = 0;
  optionsEnd = 0;
}

/** A file's description of an interface. */
export interface InterfaceDescription {
  /** LINKTYPE_*: what its packets begin with. */
  readonly linkType: number;
  /** Byte order of the file or section. */
  readonly little: boolean;
  /** Its name, if the file contains it. */
  readonly name: string | undefined;
  /** Its hardware address, if the file contains it. */
  readonly address: Uint8Array | undefined;
  /** Where all of its options are. */
  readonly view: DataView<ArrayBuffer>;
  readonly optionsStart: number;
  readonly optionsEnd: number;
}

/** Receives the contents of a file, in order. `Source` is the type that it makes of an interface. */
export interface CaptureHandler<Source> {
  /**
   * Whether to stop reading as soon as possible, because the handler must pass on what it has before it can take more. Checked after each
   * interface and packet.
   */
  readonly paused: boolean;
  /** A section begins: earlier descriptions are no longer valid. */
  section(): void;
  /** An interface is described. */
  interface(description: InterfaceDescription): Source;
  /** A packet was captured. It is valid during the call. */
  packet(source: Source, packet: CapturedPacket): void;
  /** A block of another kind; its body is between the offsets `start` and `end`. */
  block(
    type: number,
    view: DataView<ArrayBuffer>,
    start: number,
    end: number,
    little: boolean,
    interfaceAt: (id: number) => Source | undefined,
  ): void;
}

/** Reads a file of one format. */
export interface FormatReader {
  /** How many bytes must be available before {@linkcode FormatReader.read} can continue. */
  readonly need: number;
  /** Total number of bytes used so far. */
  readonly offset: number;
  /** Whether the file could end here. */
  readonly isComplete: boolean;
  /**
   * Reads between the offsets `at` and `end` of `view`, and returns where it stopped: because the rest is not available yet, or because the
   * handler paused.
   *
   * @throws {DecodeError} if the file is damaged; what comes before the damage has been handled.
   */
  read(view: DataView<ArrayBuffer>, at: number, end: number): number;
}

/** Maximum size of a packet, whatever the file says: anything longer is damage, not data. */
const MOST = 256 * 1024 * 1024;

/** Maximum size of a packet. Writers get their own limit wrong, so it counts only if it is larger than the usual one; 0 means none. */
export function mostBytes(snaplen: number): number {
  return snaplen === 0 ? MOST : Math.min(MOST, Math.max(SNAPLEN, snaplen));
}

// Years 1 to 9999: what can be written as a date.
const FIRST_SECOND = -62_135_596_800;
const LAST_SECOND = 253_402_300_799;

/** Times as files have them: units since 1970, or since another second. */
export class TimeUnit {
  readonly #unitsPerSecond: bigint;
  /** Units per second, if the nanoseconds of any number of them can be computed exactly in a double; else 0. */
  readonly #second: number;
  readonly #offset: number;
  // The remembered second begins at these two halves of its units.
  #high = NaN;
  #low = 0;
  #seconds = 0;

  /**
   * @param resolution `if_tsresol`: a power of 10, or with the upper bit of 2.
   * @param offset `if_tsoffset`: seconds to add.
   */
  constructor(resolution: number, offset: bigint) {
    this.#unitsPerSecond = (resolution & 0x80 ? 2n : 10n) ** BigInt(resolution & 0x7f);
    this.#second = this.#unitsPerSecond <= (resolution & 0x80 ? 1n << 22n : 1_000_000_000n) ? Number(this.#unitsPerSecond) : 0;
    this.#offset = Number(offset);
  }

  /** Sets the time of a packet from the upper and the lower 32 bits of its units. */
  read(high: number, low: number, packet: CapturedPacket): void {
    const second = this.#second;
    const since = (high - this.#high) * 0x1_0000_0000 + (low - this.#low);
    if (since >= 0 && since < second) {
      packet.seconds = this.#seconds;
      packet.nanoseconds = second === 1_000_000_000 ? since : Math.floor(since * 1_000_000_000 / second);
      return;
    }
    const units = BigInt(high) << 32n | BigInt(low);
    const rest = units % this.#unitsPerSecond;
    const start = units - rest;
    this.#high = Number(start >> 32n);
    this.#low = Number(start & 0xffff_ffffn);
    this.#seconds = Math.max(FIRST_SECOND, Math.min(LAST_SECOND, Number(units / this.#unitsPerSecond) + this.#offset));
    packet.seconds = this.#seconds;
    packet.nanoseconds = Number(rest * 1_000_000_000n / this.#unitsPerSecond);
  }
}
