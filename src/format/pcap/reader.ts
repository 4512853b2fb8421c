/**
 * Reads pcap, in every variant that libpcap or Wireshark reads. Sources: draft-ietf-opsawg-pcap; sf-pcap.c of libpcap; wiretap/libpcap.c of
 * Wireshark.
 */
import { DecodeError } from "../../errors.ts";
import { CapturedPacket, type CaptureHandler, type FormatReader, mostBytes } from "../capture.ts";
import { LINKTYPE_LINUX_SLL, LINKTYPE_NETLINK } from "../link_types.ts";
import { ARPHRD_NETLINK } from "./cooked.ts";
import {
  FILE_HEADER,
  MAGIC_MICROSECONDS,
  MAGIC_MODIFIED,
  MAGIC_NANOSECONDS,
  RECORD_HEADER,
  RECORD_HEADER_MODIFIED,
  RECORD_HEADER_NOKIA,
  RECORD_HEADER_SUSE,
  VERSION_MAJOR,
  VERSION_MINOR,
  VERSION_PATCHED,
} from "./header.ts";

const SECOND = 1_000_000_000;

const MAGICS: ReadonlySet<number> = new Set([MAGIC_MICROSECONDS, MAGIC_NANOSECONDS, MAGIC_MODIFIED]);

/** Whether a file that begins with these four bytes is pcap, and of which byte order; `undefined` if it is not. */
export function pcapOrder(view: DataView, at: number): boolean | undefined {
  if (MAGICS.has(view.getUint32(at, true))) return true;
  return MAGICS.has(view.getUint32(at, false)) ? false : undefined;
}

/** Reads a file; it has one interface. */
export class PcapReader<Source> implements FormatReader {
  need = FILE_HEADER;
  offset = 0;
  readonly #handler: CaptureHandler<Source>;
  readonly #packet = new CapturedPacket();
  readonly #little: boolean;
  #source: Source | undefined;
  #linkType = 0;
  #most = 0;
  #nanosecondsPerUnit = 1000;
  /** Old versions had the two lengths in the other order, and one version in either. */
  #swapped: "no" | "yes" | "maybe" = "no";
  #isModified = false;
  /** Size of a record's header; 0 until the first record shows it. */
  #headerBytes = 0;
  /** File offset of offset 0 of the memory being read. */
  #origin = 0;

  constructor(little: boolean, handler: CaptureHandler<Source>) {
    this.#little = little;
    this.#handler = handler;
  }

  get isComplete(): boolean {
    return this.#source !== undefined;
  }

  read(view: DataView<ArrayBuffer>, at: number, end: number): number {
    const start = at;
    this.#origin = this.offset - start;
    if (this.#source === undefined) {
      if (end - at < FILE_HEADER) return at;
      this.#readHeader(view, at);
      at += FILE_HEADER;
    }
    at = this.#readRecords(view, at, end);
    this.offset += at - start;
    return at;
  }

  #readHeader(view: DataView<ArrayBuffer>, at: number): void {
    const little = this.#little;
    const magic = view.getUint32(at, little);
    const major = view.getUint16(at + 4, little);
    const minor = view.getUint16(at + 6, little);
    if (major === VERSION_MAJOR && minor <= VERSION_MINOR) this.#swapped = minor < 3 ? "yes" : minor === 3 ? "maybe" : "no";
    else if (major === VERSION_PATCHED && minor === 0) this.#swapped = "yes";
    else throw this.#damage(at, `pcap of version ${major}.${minor}: 2.0 to 2.4 are supported`);
    this.#isModified = magic === MAGIC_MODIFIED;
    if (magic === MAGIC_NANOSECONDS) this.#nanosecondsPerUnit = 1;
    this.#most = mostBytes(view.getUint32(at + 16, little));
    // The upper bits of the word contain the length of the frame check sequence.
    this.#linkType = view.getUint32(at + 20, little) & 0xffff;
    this.#handler.section();
    this.#source = this.#handler.interface({
      linkType: this.#linkType,
      little,
      name: undefined,
      address: undefined,
      view,
      optionsStart: at,
      optionsEnd: at,
    });
    this.need = RECORD_HEADER;
  }

  #readRecords(view: DataView<ArrayBuffer>, at: number, end: number): number {
    const little = this.#little;
    const handler = this.#handler;
    const packet = this.#packet;
    packet.view = view;
    while (!handler.paused) {
      this.need = RECORD_HEADER;
      if (end - at < RECORD_HEADER) return at;
      let captured = view.getUint32(at + 8, little);
      let originalBytes = view.getUint32(at + 12, little);
      if (this.#swapped === "yes" || (this.#swapped === "maybe" && captured > originalBytes)) {
        [captured, originalBytes] = [originalBytes, captured];
      }
      if (captured > this.#most) throw this.#damage(at, `a record of ${captured} bytes; the maximum is ${this.#most}`);
      if (this.#headerBytes === 0) {
        // The largest header and the first bytes of the packet.
        this.need = RECORD_HEADER_SUSE + 4;
        if (captured >= 4 && end - at < this.need && end - at < RECORD_HEADER + captured) return at;
        this.#headerBytes = this.#guessHeader(view, at, end);
      }
      this.need = this.#headerBytes + captured;
      if (end - at < this.need) return at;
      packet.seconds = view.getUint32(at, little);
      packet.nanoseconds = view.getUint32(at + 4, little) * this.#nanosecondsPerUnit;
      if (packet.nanoseconds >= SECOND) {
        packet.seconds += Math.floor(packet.nanoseconds / SECOND);
        packet.nanoseconds %= SECOND;
      }
      packet.protocol = this.#isModified ? view.getUint16(at + 20) : -1;
      packet.start = at + this.#headerBytes;
      at += this.need;
      packet.end = packet.optionsStart = packet.optionsEnd = at;
      packet.originalBytes = originalBytes;
      handler.packet(this.#source!, packet);
    }
    return at;
  }

  /** Distributions have lengthened the header without changing the magic number: the netlink messages show by how much. */
  #guessHeader(view: DataView, at: number, end: number): number {
    const usual = this.#isModified ? RECORD_HEADER_MODIFIED : RECORD_HEADER;
    if (this.#linkType !== LINKTYPE_NETLINK && this.#linkType !== LINKTYPE_LINUX_SLL) return usual;
    const others = this.#isModified ? [RECORD_HEADER_SUSE] : [RECORD_HEADER_MODIFIED, RECORD_HEADER_NOKIA];
    return [usual, ...others].find((size) => at + size + 4 <= end && view.getUint16(at + size + 2) === ARPHRD_NETLINK) ?? usual;
  }

  #damage(at: number, why: string): DecodeError {
    return new DecodeError("recording", this.#origin + at, why);
  }
}
