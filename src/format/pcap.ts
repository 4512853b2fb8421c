/**
 * Recordings of netlink messages: pcap with link type 253 (`DLT_NETLINK`) written and read, pcapng read; also
 * psample's own pcapng of packets, which pcapng.ts writes.
 * What is written here opens in Wireshark, what `dumpcap` and libpsample record is read here.
 * Sources: draft-ietf-opsawg-pcap, draft-ietf-opsawg-pcapng, and for the head of a record
 * `struct sockaddr_ll` as drivers/net/nlmon.c and libpcap's pcap-linux.c make of it.
 */
import { DecodeError } from "../errors.ts";
import { ARPHRD_ETHER, ARPHRD_NONE } from "../link/link.ts";
import { align4, LITTLE, memory, viewOf } from "../wire/native.ts";
import { LINKTYPE_ETHERNET, LINKTYPE_NETLINK as DLT_NETLINK, linkTypeText } from "./link_types.ts";
import { FILE_HEADER, MAGIC_MICROSECONDS, MAGIC_NANOSECONDS, RECORD_HEADER, SNAPLEN } from "./pcap/header.ts";
import {
  BLOCK_ENHANCED,
  BLOCK_INTERFACE,
  BLOCK_SECTION,
  BLOCK_SIMPLE,
  BYTE_ORDER_MAGIC,
  OPTION_CUSTOM,
  OPTION_MAC,
  OPTION_NAME,
  OPTION_TSOFFSET,
  OPTION_TSRESOL,
} from "./pcapng/block.ts";
import {
  BLOCK_EVENT,
  type Carried,
  eachOption,
  KIND_EVENT,
  KIND_INTERFACE,
  readCarried,
  readPacketOptions,
  restoreMessage,
} from "./pcapng/carried.ts";

/** No record is longer, whatever the file says: beyond this it is damage, not data. */
const MOST = 256 * 1024 * 1024;

/** One record of a recording. */
export interface PcapRecord {
  /** What was captured: the cooked head and netlink messages. A view of memory of its own, never written again. */
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** How long it was before the capture cut it. */
  readonly originalBytes: number;
  /** When it was captured, in nanoseconds since 1970; `undefined` where the file does not say. */
  readonly timestampNs: bigint | undefined;
  /** The byte order of the file, which is that of the machine that recorded. */
  readonly littleEndian: boolean;
  /**
   * There where the record is one of psample's own pcapng: its bytes are then one psample message without a cooked
   * head, and this is the network namespace that it came from.
   */
  readonly psample?: { readonly nsid: number | undefined };
}

/** What a recording of packets says of the interface that they were sampled on. */
export interface RecordedInterface {
  /** Its name; `undefined` where it was not known. */
  readonly name: string | undefined;
  /** Its type, ARPHRD_*, as far as the link type tells it; `undefined` where it has two. */
  readonly type: number | undefined;
  /** Its hardware address. */
  readonly address: Uint8Array | undefined;
}

const WRONG_LINK = "not 253 (netlink): record on an nlmon device, or with psample -w";

const utf8 = new TextDecoder();

/** An interface description of a pcapng section. */
interface Interface {
  readonly linkType: number;
  readonly most: number;
  readonly unitsPerSecond: bigint;
  readonly offsetNs: bigint;
}

/**
 * Reads a recording as it comes, in pieces of any size: pcap with microseconds or nanoseconds, or pcapng,
 * of either byte order. Memory is bound by the longest record, however the file lies about it.
 */
export class PcapReader {
  /** Packets of interfaces that are no netlink devices, which pcapng files can have beside them. */
  skipped = 0;
  #chunks: Uint8Array<ArrayBuffer>[] = [];
  // How many bytes the chunks hold, and how many the next step needs.
  #have = 0;
  #need = 4;
  // Where in the file the chunks begin.
  #offset = 0;
  #error: DecodeError | undefined;
  #step: (view: DataView<ArrayBuffer>, at: number, records: PcapRecord[]) => number = this.#readFileHeader;
  #little = LITTLE;
  #nanoseconds = false;
  #most = SNAPLEN;
  #interfaces: Interface[] = [];
  // Netlink messages, or packets with what psample says of them.
  #knownSeen = false;
  #otherSeen: number | undefined;
  #recorded = new Map<string, RecordedInterface>();

  /**
   * Takes the next piece of the file, and gives the records that it completes. The piece is kept and must not
   * be written again.
   *
   * @throws {DecodeError} where the file is damaged or no recording of netlink; the records before the damage
   * are given first, by the call before.
   */
  push(chunk: Uint8Array<ArrayBuffer>): PcapRecord[] {
    if (this.#error) throw this.#error;
    const records: PcapRecord[] = [];
    this.#chunks.push(chunk);
    this.#have += chunk.length;
    if (this.#have < this.#need) return records;
    const bytes = this.#chunks.length === 1 ? chunk : concatenate(this.#chunks, this.#have);
    const view = viewOf(bytes) as DataView<ArrayBuffer>;
    let at = 0;
    try {
      while (bytes.length - at >= this.#need) {
        const used = this.#step(view, at, records);
        at += used;
        this.#offset += used;
      }
    } catch (error) {
      if (!(error instanceof DecodeError)) throw error;
      this.#error = error;
      if (records.length === 0) throw error;
    }
    this.#have = bytes.length - at;
    this.#chunks = this.#have === 0 ? [] : [bytes.subarray(at)];
    return records;
  }

  /**
   * To be called at the end of the file.
   *
   * @throws {DecodeError} where the file ends within a record, or is damaged, or has nothing of netlink.
   */
  end(): void {
    if (this.#error) throw this.#error;
    if (this.#offset === 0 && this.#have === 0) throw new DecodeError("recording", 0, "the file is empty");
    if (this.#offset === 0 || this.#have > 0) {
      throw this.#damage(`the file is cut off here: ${this.#have} bytes left, ${this.#need} expected`);
    }
    if (!this.#knownSeen && this.#otherSeen !== undefined) throw this.#damage(`${linkTypeText(this.#otherSeen)}, ${WRONG_LINK}`);
  }

  /** What a recording of packets says of an interface, as far as it was read. */
  recordedInterface(ifindex: number | undefined, nsid: number | undefined): RecordedInterface | undefined {
    return this.#recorded.get(`${nsid}/${ifindex}`);
  }

  #damage(why: string): DecodeError {
    return new DecodeError("recording", this.#offset, why);
  }

  // A step reads what stands at `at`, where at least #need bytes are, and returns how many it used; 0 where it
  // found out that it needs more.

  #readFileHeader(view: DataView<ArrayBuffer>, at: number): number {
    const magic = view.getUint32(at, true);
    if (magic === BLOCK_SECTION) {
      this.#step = this.#readBlock;
      this.#need = 12;
      return 0;
    }
    const swapped = view.getUint32(at, false);
    this.#little = magic === MAGIC_MICROSECONDS || magic === MAGIC_NANOSECONDS;
    const inOrder = this.#little ? magic : swapped;
    if (inOrder !== MAGIC_MICROSECONDS && inOrder !== MAGIC_NANOSECONDS) {
      const packed = (magic & 0xffff) === 0x8b1f || swapped === 0x28b52ffd;
      throw this.#damage(packed ? "the file is compressed: unpack it first" : "the file is neither pcap nor pcapng");
    }
    this.#nanoseconds = inOrder === MAGIC_NANOSECONDS;
    if (view.byteLength - at < FILE_HEADER) {
      this.#need = FILE_HEADER;
      return 0;
    }
    // The upper bits of the word say how long the frame check sequence is.
    const linkType = view.getUint32(at + 20, this.#little) & 0xffff;
    if (linkType !== DLT_NETLINK) throw this.#damage(`${linkTypeText(linkType)}, ${WRONG_LINK}`);
    this.#knownSeen = true;
    this.#most = mostBytes(view.getUint32(at + 16, this.#little));
    this.#step = this.#readRecord;
    this.#need = RECORD_HEADER;
    return FILE_HEADER;
  }

  #readRecord(view: DataView<ArrayBuffer>, at: number, records: PcapRecord[]): number {
    const little = this.#little;
    const size = view.getUint32(at + 8, little);
    if (size > this.#most) throw this.#damage(`a record of ${size} bytes, the most is ${this.#most}`);
    if (view.byteLength - at < RECORD_HEADER + size) {
      this.#need = RECORD_HEADER + size;
      return 0;
    }
    const fraction = view.getUint32(at + 4, little) * (this.#nanoseconds ? 1 : 1000);
    records.push({
      bytes: new Uint8Array(view.buffer, view.byteOffset + at + RECORD_HEADER, size),
      originalBytes: view.getUint32(at + 12, little),
      timestampNs: BigInt(view.getUint32(at, little)) * 1_000_000_000n + BigInt(fraction),
      littleEndian: little,
    });
    this.#need = RECORD_HEADER;
    return RECORD_HEADER + size;
  }

  #readBlock(view: DataView<ArrayBuffer>, at: number, records: PcapRecord[]): number {
    // The type of a section's block reads the same in both byte orders, and what follows tells which it is.
    const section = view.getUint32(at, true) === BLOCK_SECTION;
    if (section) {
      this.#little = view.getUint32(at + 8, true) === BYTE_ORDER_MAGIC;
      if (!this.#little && view.getUint32(at + 8, false) !== BYTE_ORDER_MAGIC) throw this.#damage("a pcapng section of no byte order");
    }
    const little = this.#little;
    const type = view.getUint32(at, little);
    const size = view.getUint32(at + 4, little);
    const least = section ? 28 : type === BLOCK_INTERFACE ? 20 : type === BLOCK_ENHANCED ? 32 : type === BLOCK_SIMPLE ? 16 : 12;
    if (size < least || size % 4 !== 0 || size > MOST) throw this.#damage(`a pcapng block of type ${type} and ${size} bytes`);
    if (view.byteLength - at < size) {
      this.#need = size;
      return 0;
    }
    if (view.getUint32(at + size - 4, little) !== size) throw this.#damage("a pcapng block whose two lengths differ");
    if (section) this.#interfaces = [];
    else if (type === BLOCK_INTERFACE) this.#addInterface(view, at, size);
    else if (type === BLOCK_ENHANCED) this.#addPacket(view, at, size, records);
    else if (type === BLOCK_SIMPLE) this.#addSimplePacket(view, at, size, records);
    else if (type === BLOCK_EVENT) this.#addEvent(view, at, size, records);
    this.#need = 12;
    return size;
  }

  #addInterface(view: DataView<ArrayBuffer>, at: number, size: number): void {
    const little = this.#little;
    const linkType = view.getUint16(at + 8, little);
    let unitsPerSecond = 1_000_000n;
    let offsetNs = 0n;
    let name: string | undefined;
    let address: Uint8Array | undefined;
    let described: Carried | undefined;
    const whole = eachOption(view, at + 16, at + size - 4, little, (code, option, length) => {
      if (code === OPTION_TSRESOL && length === 1) {
        const resolution = view.getUint8(option);
        // Either a power of 10 or, with the upper bit, of 2.
        unitsPerSecond = (resolution & 0x80 ? 2n : 10n) ** BigInt(resolution & 0x7f);
      } else if (code === OPTION_TSOFFSET && length === 8) {
        offsetNs = view.getBigInt64(option, little) * 1_000_000_000n;
      } else if (code === OPTION_NAME) {
        name = utf8.decode(bytesAt(view, option, length));
      } else if (code === OPTION_MAC && length === 6) {
        address = bytesAt(view, option, length).slice();
      } else if (code === OPTION_CUSTOM) {
        const carried = readCarried(view, option, length, little);
        if (carried?.kind === KIND_INTERFACE) described = carried;
      }
    });
    if (!whole) throw this.#damage("a pcapng option that is longer than its block");
    if (described) this.#describe(described, name, address, linkType === LINKTYPE_ETHERNET ? ARPHRD_ETHER : ARPHRD_NONE);
    this.#interfaces.push({ linkType, most: mostBytes(view.getUint32(at + 12, little)), unitsPerSecond, offsetNs });
    if (linkType === DLT_NETLINK) this.#knownSeen = true;
    else this.#otherSeen ??= linkType;
  }

  #describe({ nsid, number }: Carried, name: string | undefined, address: Uint8Array | undefined, type: number): void {
    this.#knownSeen = true;
    const key = `${nsid}/${number}`;
    const before = this.#recorded.get(key);
    this.#recorded.set(key, {
      // That is what a device is called whose name was not known.
      name: name === `if${number}` ? undefined : name,
      type: before && before.type !== type ? undefined : type,
      address,
    });
  }

  #addPacket(view: DataView<ArrayBuffer>, at: number, size: number, records: PcapRecord[]): void {
    const little = this.#little;
    const captured = view.getUint32(at + 20, little);
    if (captured > size - 32) throw this.#damage(`a packet of ${captured} bytes in a block of ${size}`);
    const from = this.#interface(view.getUint32(at + 8, little), captured);
    const netlink = from.linkType === DLT_NETLINK;
    const carried = netlink ? undefined : readPacketOptions(view, at + 28 + align4(captured), at + size - 4, little);
    if (!netlink && !carried) {
      this.skipped++;
      return;
    }
    const units = BigInt(view.getUint32(at + 12, little)) << 32n | BigInt(view.getUint32(at + 16, little));
    const timestampNs = BigInt.asUintN(64, units * 1_000_000_000n / from.unitsPerSecond + from.offsetNs);
    const bytes = bytesAt(view, at + 28, captured);
    if (!carried) {
      records.push({ bytes, originalBytes: view.getUint32(at + 24, little), timestampNs, littleEndian: little });
      return;
    }
    const message = restoreMessage(carried, bytes, (why) => this.#damage(why));
    this.#knownSeen = true;
    const { originalBytes, littleEndian, nsid } = message;
    records.push({ bytes: message.bytes, originalBytes, timestampNs, littleEndian, psample: { nsid } });
  }

  #addEvent(view: DataView<ArrayBuffer>, at: number, size: number, records: PcapRecord[]): void {
    const carried = readCarried(view, at + 8, size - 12, this.#little);
    if (carried?.kind !== KIND_EVENT) return;
    const { littleEndian, nsid, bytes: padded } = carried;
    // The block has no length but its own, which is padded: the message has one.
    const length = padded.length < 4 ? 0 : viewOf(padded).getUint32(0, littleEndian);
    if (length < 4 || length > padded.length) throw this.#damage(`a group event of ${length} bytes in ${padded.length}`);
    this.#knownSeen = true;
    const bytes = padded.slice(0, length) as Uint8Array<ArrayBuffer>;
    records.push({ bytes, originalBytes: length, timestampNs: undefined, littleEndian, psample: { nsid } });
  }

  #addSimplePacket(view: DataView<ArrayBuffer>, at: number, size: number, records: PcapRecord[]): void {
    const original = view.getUint32(at + 8, this.#little);
    const from = this.#interface(0, 0);
    if (from.linkType !== DLT_NETLINK) {
      this.skipped++;
      return;
    }
    const bytes = bytesAt(view, at + 12, Math.min(original, size - 16, from.most));
    records.push({ bytes, originalBytes: original, timestampNs: undefined, littleEndian: this.#little });
  }

  #interface(index: number, captured: number): Interface {
    const found = this.#interfaces[index];
    if (found === undefined) throw this.#damage(`a packet of interface ${index}, which is not described`);
    if (found.linkType === DLT_NETLINK && captured > found.most) {
      throw this.#damage(`a record of ${captured} bytes, the most is ${found.most}`);
    }
    return found;
  }
}

function bytesAt(view: DataView<ArrayBuffer>, at: number, size: number): Uint8Array<ArrayBuffer> {
  return new Uint8Array(view.buffer, view.byteOffset + at, size);
}

/** Writers get their own limit wrong, so it counts only where it is larger than everybody's; 0 is no limit. */
function mostBytes(snaplen: number): number {
  return snaplen === 0 ? MOST : Math.min(MOST, Math.max(SNAPLEN, snaplen));
}

function concatenate(chunks: readonly Uint8Array[], size: number): Uint8Array<ArrayBuffer> {
  const bytes = memory(size);
  let at = 0;
  for (const chunk of chunks) {
    bytes.set(chunk, at);
    at += chunk.length;
  }
  return bytes;
}
