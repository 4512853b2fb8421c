/**
 * Recordings of the sampled packets themselves: pcapng that Wireshark, tshark and tcpdump show as Ethernet or IP,
 * and that psample reads back into the same samples. Source: draft-ietf-opsawg-pcapng. (tcpdump and all of libpcap
 * stop at the first interface whose link type is another than the first one's; Wireshark takes them all.)
 *
 * | in psample                | in the file                                                                          |
 * | ------------------------- | ------------------------------------------------------------------------------------ |
 * | device it was sampled on  | an interface block per network namespace, device and link type: name, MAC address,    |
 * |                           | and of its first sample "1 in N, group G"                                             |
 * | packet, its original size | packet, original length; without data a packet of 0 bytes                            |
 * | time                      | time stamp in nanoseconds: the kernel's, else the clock's                             |
 * | in or out                 | direction in the flags: out where the sample names a device that it leaves by         |
 * | group and sequence        | packet id: group << 32 or sequence                                                    |
 * | samples lost before it    | drop count, absent where nobody knows; the sum is what the {@linkcode Ledger} has     |
 * | traffic class             | queue                                                                                 |
 * | everything else           | comment, in the words of psample's text: `group 5 sample-rate 100 cookie 0102`        |
 * | the message, byte by byte | a custom option beside the packet, see pcapng_block.ts; group events a block of their own |
 * | received and lost         | interface statistics at the end: received, dropped by sequence, delivered; what the   |
 * |                           | socket dropped has no interface, it stands at the first one                           |
 */
import { Ledger } from "../receive/ledger.ts";
import { linkTypeOf } from "../link/link.ts";
import type { GroupEvent } from "../psample/group.ts";
import {
  PSAMPLE_ATTR_LATENCY,
  PSAMPLE_ATTR_OUT_TC_OCC,
  PSAMPLE_ATTR_SAMPLE_PROBABILITY,
  PSAMPLE_ATTR_USER_COOKIE,
} from "../psample/constants.ts";
import type { Sample } from "../psample/sample.ts";
import { GENL_HDRLEN } from "../genl/ctrl.ts";
import { NLMSG_HDRLEN } from "../wire/message.ts";
import { NLA_TYPE_MASK } from "../wire/attr_reader.ts";
import { align4, LITTLE } from "../wire/native.ts";
import { ascii, type Output } from "./output.ts";
import {
  BLOCK_ENHANCED,
  BLOCK_EVENT,
  BLOCK_INTERFACE,
  BLOCK_SECTION,
  BLOCK_STATISTICS,
  BYTE_ORDER_MAGIC,
  CARRIED_HEADER,
  KIND_EVENT,
  KIND_INTERFACE,
  KIND_REST,
  KIND_SAMPLE,
  LINKTYPE_ETHERNET,
  LINKTYPE_RAW,
  OPTION_APPLICATION,
  OPTION_COMMENT,
  OPTION_CUSTOM,
  OPTION_DESCRIPTION,
  OPTION_DROPCOUNT,
  OPTION_END,
  OPTION_ENDTIME,
  OPTION_EUI,
  OPTION_FLAGS,
  OPTION_HARDWARE,
  OPTION_IFDROP,
  OPTION_IFRECV,
  OPTION_MAC,
  OPTION_MOST,
  OPTION_NAME,
  OPTION_OS,
  OPTION_OSDROP,
  OPTION_PACKETID,
  OPTION_QUEUE,
  OPTION_STARTTIME,
  OPTION_TSRESOL,
  OPTION_USRDELIV,
  writeCarried,
} from "./pcapng_block.ts";
import { printable } from "../wire/text.ts";
import { writeDetails } from "./text_details.ts";

/** What is known of a device beside its index. */
export interface PcapngDevice {
  /** Its name; `if` and its index unless known. */
  readonly name: string | undefined;
  /** Its type, ARPHRD_*, which says what its packets begin with. */
  readonly type: number | undefined;
  /** Its hardware address. */
  readonly address: Uint8Array | undefined;
}

/** What a {@linkcode PcapngWriter} is told. */
export interface PcapngOptions {
  /** The program that writes, such as `"psample 0.1.0"`. */
  application?: string | undefined;
  /** The machine that sampled. */
  hardware?: string | undefined;
  /** The operating system that sampled. */
  os?: string | undefined;
  /** Asked once a file for each device: `nsid` is `undefined` for the listener's own namespace. */
  device?: ((ifindex: number, nsid: number | undefined) => PcapngDevice | undefined) | undefined;
  /** Byte order of the file; this machine's unless given. */
  littleEndian?: boolean | undefined;
}

const DIRECTION_IN = 1;
const DIRECTION_OUT = 2;
const NANOSECONDS = 9;
/** What tcpdump and Wireshark take as the most. */
const SNAPLEN = 262144;
/** How much of a message fits beside the header into one option. */
const MESSAGE_PART = OPTION_MOST - CARRIED_HEADER;
/** A packet's block without packet, message and comment: its head, 4 short options, heads of the long ones, padding, end. */
const PACKET_BLOCK = 256;
/** An interface with the longest name and description; its statistics without a comment. */
const INTERFACE_BLOCK = 512;
const STATISTICS_BLOCK = 160;
/** So many group events are kept until there is an interface. */
const MOST_WAITING = 64;
/** Groups and rates of one interface that are remembered; nobody has so many. */
const MOST_STREAMS = 64;
/** What one of them takes in the comment of the statistics. */
const STREAM_TEXT = 96;
const BLANK = 0x20;
const text = new TextDecoder();

/** One group at one rate on one interface. */
interface Stream {
  readonly group: number | undefined;
  readonly rate: number | undefined;
  readonly isProbability: boolean;
  /** How the comments of its samples begin. */
  readonly comment: Uint8Array;
  received: number;
}

/** An interface of the file. */
interface Interface {
  readonly id: number;
  readonly streams: Stream[];
  received: number;
  /** Missing by sequence, as it was told. */
  lost: number;
  firstNs: bigint;
  lastNs: bigint;
}

/** A device, which is one interface for each link type that its packets have. */
interface Device {
  readonly known: PcapngDevice | undefined;
  ethernet: Interface | undefined;
  raw: Interface | undefined;
  inWords: Uint8Array | undefined;
}

/**
 * Writes files of packets, one after the other: {@linkcode PcapngWriter.begin}, any number of
 * {@linkcode PcapngWriter.write}, {@linkcode PcapngWriter.end}. What is lost between two files is told in the second.
 */
export class PcapngWriter {
  readonly #options: PcapngOptions;
  readonly #little: boolean;
  readonly #ledger = new Ledger();
  #interfaces: Interface[] = [];
  #devices = new Map<number | undefined, Map<number | undefined, Device>>();
  /** What the socket dropped so far, before this file, and before the last packet that told of it. */
  #socketDrops: number | undefined;
  #socketDropsBefore = 0;
  #socketDropsTold = 0;
  #numbered = false;
  /** How many more were told as dropped than are missing: some came late. */
  #owed = 0;
  #statistics = 0;
  /** Events before the first interface. */
  #waiting: GroupEvent[] = [];
  readonly #halves = new DataView(new ArrayBuffer(8));

  /** A writer of files. */
  constructor(options: PcapngOptions = {}) {
    this.#options = options;
    this.#little = options.littleEndian ?? LITTLE;
  }

  /** How many bytes {@linkcode PcapngWriter.end} would write, at most. */
  get statisticsBytes(): number {
    return this.#statistics + PACKET_BLOCK * this.#waiting.length;
  }

  /** How many bytes {@linkcode PcapngWriter.write} would write, at most. */
  mostBytes(item: Sample | GroupEvent): number {
    const most = INTERFACE_BLOCK + PACKET_BLOCK * (1 + this.#waiting.length);
    const message = item.message?.length ?? 0;
    if (item.type !== "sample") return most + message;
    // Of what is not data some is in the comment, in hexadecimal and with a name.
    return most + message + 8 * (message - item.dataBytes);
  }

  /** Whether the devices of a sample were asked for already, so that nothing more needs to be known of them. */
  knows({ nsid, inIfindex, outIfindex }: Sample): boolean {
    const devices = this.#devices.get(nsid);
    if (devices === undefined) return false;
    return devices.has(outIfindex ?? inIfindex) && (outIfindex === undefined || inIfindex === undefined || devices.has(inIfindex));
  }

  /** Enters how many messages the socket has dropped so far: a number that only grows. */
  drops(total: number): void {
    this.#socketDrops = total;
  }

  /** Writes what a file begins with, and forgets the interfaces of the file before. */
  begin(output: Output): void {
    const { hardware, os, application } = this.#options;
    this.#interfaces = [];
    this.#devices = new Map();
    this.#socketDropsBefore = this.#socketDrops ?? 0;
    this.#statistics = STATISTICS_BLOCK + INTERFACE_BLOCK;
    const start = this.#block(output, BLOCK_SECTION, 24);
    const { view } = output;
    view.setUint32(start + 8, BYTE_ORDER_MAGIC, this.#little);
    view.setUint16(start + 12, 1, this.#little);
    view.setUint16(start + 14, 0, this.#little);
    // A length of -1: whoever writes as it comes does not know it.
    view.setUint32(start + 16, 0xffffffff);
    view.setUint32(start + 20, 0xffffffff);
    if (hardware !== undefined) this.#textOption(output, OPTION_HARDWARE, hardware);
    if (os !== undefined) this.#textOption(output, OPTION_OS, os);
    if (application !== undefined) this.#textOption(output, OPTION_APPLICATION, application);
    this.#endBlock(output, start);
  }

  /** Writes a sample or a group event; `clockNs` is the time of a sample that does not say its own. */
  write(output: Output, item: Sample | GroupEvent, clockNs: bigint): void {
    if (item.type === "sample") this.#sample(output, item, clockNs);
    else this.#event(output, item);
  }

  /** Writes what a file ends with; of a file of packets that were recorded before, the time is that of the packets. */
  end(output: Output, time?: { readonly startNs: bigint; readonly endNs: bigint }): void {
    if (this.#interfaces.length === 0) {
      // A file without an interface is none to libpcap.
      this.#addNoInterface(output);
    }
    for (const from of this.#interfaces) {
      // Here it can be taken back.
      const late = Math.min(this.#owed, from.lost);
      this.#owed -= late;
      from.lost -= late;
      this.#endInterface(output, from, time);
    }
  }

  #endInterface(output: Output, from: Interface, time: { readonly startNs: bigint; readonly endNs: bigint } | undefined): void {
    const little = this.#little;
    const startNs = time?.startNs ?? from.firstNs;
    const endNs = time?.endNs ?? from.lastNs;
    const start = this.#block(output, BLOCK_STATISTICS, 20);
    output.reserve(STATISTICS_BLOCK);
    output.view.setUint32(start + 8, from.id, little);
    this.#time(output, start + 12, endNs);
    if (time !== undefined || from.received > 0) {
      this.#time(output, this.#option(output, OPTION_STARTTIME, 8), startNs);
      this.#time(output, this.#option(output, OPTION_ENDTIME, 8), endNs);
    }
    this.#u64Option(output, OPTION_IFRECV, from.received);
    this.#u64Option(output, OPTION_IFDROP, from.lost);
    if (this.#socketDrops !== undefined && from.id === 0) {
      this.#u64Option(output, OPTION_OSDROP, this.#socketDrops - this.#socketDropsBefore);
    }
    this.#u64Option(output, OPTION_USRDELIV, from.received);
    const streams = from.streams.map(({ comment, received }) => `${text.decode(comment)}received ${received}`).join("; ");
    if (streams !== "") this.#textOption(output, OPTION_COMMENT, streams);
    this.#endBlock(output, start);
  }

  #sample(output: Output, sample: Sample, clockNs: bigint): void {
    const little = this.#little;
    const { message, data } = sample;
    const missing = this.#ledger.sample(sample);
    const from = this.#interface(output, sample, data);
    const stream = this.#stream(from, sample);
    const timestampNs = sample.timestampNs ?? clockNs;
    const captured = data === undefined ? 0 : data.length;
    stream.received++;
    if (from.received === 0 || timestampNs < from.firstNs) from.firstNs = timestampNs;
    if (from.received === 0 || timestampNs > from.lastNs) from.lastNs = timestampNs;
    from.received++;

    output.reserve(PACKET_BLOCK + message.length + 32 * Math.ceil(message.length / MESSAGE_PART));
    const start = output.length;
    const { view, bytes } = output;
    view.setUint32(start, BLOCK_ENHANCED, little);
    view.setUint32(start + 8, from.id, little);
    this.#time(output, start + 12, timestampNs);
    view.setUint32(start + 20, captured, little);
    view.setUint32(start + 24, Math.max(sample.originalBytes ?? 0, captured), little);
    output.length = start + 28 + captured;
    if (data !== undefined) bytes.set(data, start + 28);
    this.#pad(output, start);

    const direction = sample.outIfindex !== undefined ? DIRECTION_OUT : sample.inIfindex !== undefined ? DIRECTION_IN : 0;
    if (direction !== 0) view.setUint32(this.#option(output, OPTION_FLAGS, 4), direction, little);
    const dropped = this.#dropped(from, missing);
    if (dropped !== undefined) this.#u64Option(output, OPTION_DROPCOUNT, dropped);
    if (sample.group !== undefined && sample.sequence !== undefined) {
      const at = this.#option(output, OPTION_PACKETID, 8);
      view.setUint32(little ? at + 4 : at, sample.group, little);
      view.setUint32(little ? at : at + 4, sample.sequence, little);
    }
    if (sample.outTc !== undefined) view.setUint32(this.#option(output, OPTION_QUEUE, 4), sample.outTc, little);

    const messageLittle = isLittle(message);
    this.#carry(output, sample, messageLittle, message, data === undefined ? undefined : data.byteOffset - message.byteOffset, captured);
    this.#comment(output, stream, sample, hasRare(message, messageLittle));
    this.#endBlock(output, start);
  }

  /** The options that give the message back: all of it but the packet, which is there already. */
  #carry(output: Output, sample: Sample, messageLittle: boolean, message: Uint8Array, dataAt: number | undefined, captured: number): void {
    const little = this.#little;
    let kind = KIND_SAMPLE;
    let left = message.length - captured;
    let from = 0;
    do {
      const size = Math.min(left, MESSAGE_PART);
      const at = this.#option(output, OPTION_CUSTOM, CARRIED_HEADER + size);
      writeCarried(output.view, at, little, kind, messageLittle, sample.nsid, dataAt);
      const { bytes } = output;
      let to = at + CARRIED_HEADER;
      const end = to + size;
      while (to < end) {
        if (from === dataAt) from += captured;
        bytes[to++] = message[from++]!;
      }
      left -= size;
      kind = KIND_REST;
    } while (left > 0);
  }

  #comment(output: Output, stream: Stream, sample: Sample, rare: boolean): void {
    const start = output.length;
    output.length += 4;
    output.put(stream.comment);
    const { inIfindex, outIfindex, nsid } = sample;
    if (inIfindex !== undefined && outIfindex !== undefined) output.append(this.#inWords(inIfindex, nsid));
    if (rare || sample.rateIsProbability || sample.tunnel !== undefined || nsid !== undefined || sample.portId !== 0) {
      const occupancy = sample.outTcOccupancyBytes;
      const latency = sample.latencyNs;
      if (occupancy !== undefined) output.text(`out-tc-occ ${occupancy} `);
      if (latency !== undefined) output.text(`latency ${latency} `);
      writeDetails(output, sample);
    }
    this.#endText(output, start, OPTION_COMMENT);
  }

  /** The words about the device that a packet came in by, beside the one that its interface is. */
  #inWords(ifindex: number, nsid: number | undefined): Uint8Array {
    const device = this.#device(ifindex, nsid);
    const name = device.known?.name;
    return device.inWords ??= ascii(`in-ifindex ${ifindex} ${name === undefined ? "" : `in-name ${printable(name)} `}`);
  }

  #event(output: Output, event: GroupEvent): void {
    this.#ledger.event(event);
    if (this.#interfaces.length > 0) {
      this.#eventBlock(output, event);
      return;
    }
    this.#waiting.push(event);
    if (this.#waiting.length === MOST_WAITING) this.#addNoInterface(output);
  }

  #eventBlock(output: Output, { message, nsid }: GroupEvent): void {
    if (!message) return;
    const start = this.#block(output, BLOCK_EVENT, 8 + CARRIED_HEADER);
    writeCarried(output.view, start + 8, this.#little, KIND_EVENT, isLittle(message), nsid, undefined);
    output.append(message);
    this.#endBlock(output, start, false);
  }

  /** How many to tell as dropped before a packet, of which `missing` are by its number; `undefined` where nobody knows. */
  #dropped(from: Interface, missing: number | undefined): number | undefined {
    if (missing === undefined) {
      // Beside numbered groups nobody knows whose the drops of the socket were: the gaps in the numbers tell of them.
      if (this.#numbered || this.#socketDrops === undefined) return undefined;
      const dropped = this.#socketDrops - this.#socketDropsTold;
      this.#socketDropsTold = this.#socketDrops;
      return dropped;
    }
    this.#numbered = true;
    // What was told cannot be taken back from a packet that is written: the next gap is told as smaller.
    const dropped = Math.max(missing - this.#owed, 0);
    this.#owed += dropped - missing;
    from.lost += dropped;
    return dropped;
  }

  #device(ifindex: number | undefined, nsid: number | undefined): Device {
    let devices = this.#devices.get(nsid);
    if (devices === undefined) this.#devices.set(nsid, devices = new Map());
    let device = devices.get(ifindex);
    if (device === undefined) {
      const known = ifindex === undefined ? undefined : this.#options.device?.(ifindex, nsid);
      devices.set(ifindex, device = { known, ethernet: undefined, raw: undefined, inWords: undefined });
    }
    return device;
  }

  #interface(output: Output, sample: Sample, data: Uint8Array | undefined): Interface {
    // On egress the packet is already as the device that it leaves by has it.
    const ifindex = sample.outIfindex ?? sample.inIfindex;
    const device = this.#device(ifindex, sample.nsid);
    const { known, ethernet, raw } = device;
    // Without data one link type is as good as the other.
    const isRaw = sample.dataBytes === 0 && (ethernet ?? raw) !== undefined
      ? ethernet === undefined
      : linkTypeOf(known?.type, sample.protocol, data) === "raw-ip";
    const found = isRaw ? raw : ethernet;
    if (found !== undefined) return found;
    const added = this.#addInterface(output, ifindex, sample.nsid, known, isRaw, description(sample));
    if (isRaw) device.raw = added;
    else device.ethernet = added;
    return added;
  }

  #addNoInterface(output: Output): void {
    this.#addInterface(output, undefined, undefined, undefined, false, "no sample");
  }

  #addInterface(
    output: Output,
    ifindex: number | undefined,
    nsid: number | undefined,
    known: PcapngDevice | undefined,
    isRaw: boolean,
    what: string,
  ): Interface {
    const little = this.#little;
    const start = this.#block(output, BLOCK_INTERFACE, 16);
    output.view.setUint16(start + 8, isRaw ? LINKTYPE_RAW : LINKTYPE_ETHERNET, little);
    output.view.setUint16(start + 10, 0, little);
    output.view.setUint32(start + 12, SNAPLEN, little);
    this.#textOption(output, OPTION_NAME, known?.name ?? (ifindex === undefined ? "unknown" : `if${ifindex}`));
    if (what !== "") this.#textOption(output, OPTION_DESCRIPTION, what);
    output.reserve(128);
    const address = known?.address;
    const addressOption = address?.length === 6 ? OPTION_MAC : address?.length === 8 ? OPTION_EUI : undefined;
    if (address && addressOption !== undefined) output.bytes.set(address, this.#option(output, addressOption, address.length));
    output.bytes[this.#option(output, OPTION_TSRESOL, 1)] = NANOSECONDS;
    writeCarried(output.view, this.#option(output, OPTION_CUSTOM, CARRIED_HEADER), little, KIND_INTERFACE, LITTLE, nsid, ifindex);
    this.#endBlock(output, start);
    const added = { id: this.#interfaces.length, streams: [], received: 0, lost: 0, firstNs: 0n, lastNs: 0n };
    this.#interfaces.push(added);
    this.#statistics += STATISTICS_BLOCK;
    for (const event of this.#waiting) this.#eventBlock(output, event);
    this.#waiting = [];
    return added;
  }

  #stream(from: Interface, sample: Sample): Stream {
    const { group, rate, rateIsProbability: isProbability } = sample;
    for (const stream of from.streams) {
      if (stream.group === group && stream.rate === rate && stream.isProbability === isProbability) return stream;
    }
    const words: string[] = [];
    if (group !== undefined) words.push(`group ${group} `);
    if (rate !== undefined) words.push(`sample-rate ${rate} `);
    const stream: Stream = { group, rate, isProbability, comment: ascii(words.join("")), received: 0 };
    if (from.streams.length < MOST_STREAMS) {
      from.streams.push(stream);
      this.#statistics += STREAM_TEXT;
    }
    return stream;
  }

  // The pieces that blocks are made of. Only texts make their own room.

  /** Begins a block of which `size` bytes, its own head included, are not options: they are the caller's to write. */
  #block(output: Output, type: number, size: number): number {
    output.reserve(size + 16);
    const start = output.length;
    output.view.setUint32(start, type, this.#little);
    output.length = start + size;
    return start;
  }

  #endBlock(output: Output, start: number, hasOptions = true): void {
    output.reserve(12);
    this.#pad(output, start);
    if (hasOptions) {
      output.view.setUint32(output.length, OPTION_END);
      output.length += 4;
    }
    const size = output.length + 4 - start;
    output.view.setUint32(start + 4, size, this.#little);
    output.view.setUint32(output.length, size, this.#little);
    output.length += 4;
  }

  /** Begins an option, and gives where its value goes. */
  #option(output: Output, code: number, size: number): number {
    const { view, length: at } = output;
    const end = at + 4 + align4(size);
    // The last four bytes, of which some are padding.
    if (end > at + 4) view.setUint32(end - 4, 0);
    view.setUint16(at, code, this.#little);
    view.setUint16(at + 2, size, this.#little);
    output.length = end;
    return at + 4;
  }

  #u64Option(output: Output, code: number, value: number): void {
    const little = this.#little;
    const at = this.#option(output, code, 8);
    output.view.setUint32(little ? at + 4 : at, Math.floor(value / 0x1_0000_0000), little);
    output.view.setUint32(little ? at : at + 4, value >>> 0, little);
  }

  #textOption(output: Output, code: number, text: string): void {
    output.reserve(4);
    const start = output.length;
    output.length += 4;
    output.text(text);
    this.#endText(output, start, code);
  }

  /** Makes an option of the text that is written behind the four bytes at `start`, without a blank at its end. */
  #endText(output: Output, start: number, code: number): void {
    const { bytes } = output;
    const begin = start + 4;
    let end = output.length;
    if (end - begin > OPTION_MOST) {
      end = begin + OPTION_MOST;
      // Not within a character.
      while ((bytes[end]! & 0xc0) === 0x80) end--;
    }
    if (end > begin && bytes[end - 1] === BLANK) end--;
    if (end === begin) {
      output.length = start;
      return;
    }
    output.length = end;
    output.reserve(4);
    output.view.setUint16(start, code, this.#little);
    output.view.setUint16(start + 2, end - begin, this.#little);
    this.#pad(output, start);
  }

  #pad(output: Output, start: number): void {
    while ((output.length - start) % 4 !== 0) output.byte(0);
  }

  /** A time stamp: its upper half first, in either byte order. */
  #time(output: Output, at: number, ns: bigint): void {
    const halves = this.#halves;
    halves.setBigUint64(0, ns);
    output.view.setUint32(at, halves.getUint32(0), this.#little);
    output.view.setUint32(at + 4, halves.getUint32(4), this.#little);
  }
}

/** "1 in N, group G": what the samples of an interface stand for. */
function description(sample: Sample): string {
  const { oneIn, group, nsid } = sample;
  const parts: string[] = [];
  if (oneIn !== undefined) parts.push(`1 in ${Number(oneIn.toPrecision(9))}`);
  if (group !== undefined) parts.push(`group ${group}`);
  if (nsid !== undefined) parts.push(`nsid ${nsid}`);
  return parts.join(", ");
}

/** Whether a message has an attribute that a comment tells of and that is read only when asked for. */
function hasRare(message: Uint8Array, little: boolean): boolean {
  const low = little ? 0 : 1;
  for (let at = NLMSG_HDRLEN + GENL_HDRLEN; at + 4 <= message.length;) {
    const size = message[at + low]! | message[at + 1 - low]! << 8;
    const type = (message[at + 2 + low]! | message[at + 3 - low]! << 8) & NLA_TYPE_MASK;
    if (
      type === PSAMPLE_ATTR_OUT_TC_OCC || type === PSAMPLE_ATTR_LATENCY || type === PSAMPLE_ATTR_USER_COOKIE ||
      type > PSAMPLE_ATTR_SAMPLE_PROBABILITY
    ) {
      return true;
    }
    if (size < 4) return false;
    at += align4(size);
  }
  return false;
}

/** The byte order of a message: its length reads right in one of them. */
function isLittle(message: Uint8Array): boolean {
  if (message.length < 4) return LITTLE;
  const little = (message[0]! | message[1]! << 8 | message[2]! << 16 | message[3]! << 24) >>> 0;
  const big = (message[3]! | message[2]! << 8 | message[1]! << 16 | message[0]! << 24) >>> 0;
  return little === message.length ? true : big === message.length ? false : LITTLE;
}
