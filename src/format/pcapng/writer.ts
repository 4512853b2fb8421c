/**
 * Writes the sampled packets and everything that is known about them as pcapng, which Wireshark, tshark and tcpdump show as
 * Ethernet or IP, and which psample reads back into the same samples. Source: draft-ietf-opsawg-pcapng. (tcpdump and everything
 * else that uses libpcap stop at the first interface whose link type is another than the first one's; Wireshark does not.)
 *
 * | in psample                | in the file                                                                          |
 * | ------------------------- | ------------------------------------------------------------------------------------ |
 * | device it was sampled on  | an interface block per machine, network namespace, device and link type: name, MAC    |
 * |                           | address, and of its first sample "1 in N, group G"; another one if it is renamed      |
 * | packet, its original size | packet, original length; without data a packet of 0 bytes                            |
 * | time                      | time stamp in nanoseconds: the kernel's, else when it was received or recorded        |
 * | in or out                 | direction in the flags: out if the sample names a device that it leaves by            |
 * | group and sequence        | packet id: group << 32 or sequence                                                    |
 * | samples lost before it    | drop count, absent if its producer numbers nothing                                   |
 * | traffic class             | queue                                                                                 |
 * | everything else           | comment, in the words of psample's text: `group 5 sample-rate 100 cookie 0102`        |
 * | the message, byte by byte | a custom option beside the packet, see carried.ts; group events a block of their own   |
 * | received and lost         | interface statistics at the end: received, dropped by sequence, delivered; what the   |
 * |                           | socket dropped has no interface, it is said of the first one                          |
 */
import type { Device, Devices } from "../../link/device.ts";
import { linkTypeOfSample } from "../../link/link_type.ts";
import type { GroupEvent } from "../../psample/group.ts";
import type { SampleView } from "../../psample/sample_view.ts";
import { type Batch, type EntryView, sampledIfindex } from "../../stream/batch.ts";
import { Clock } from "../../stream/clock.ts";
import { isLittleEndian } from "../../wire/message.ts";
import { LITTLE } from "../../wire/native.ts";
import { printable } from "../../wire/text.ts";
import { LINKTYPE_ETHERNET, LINKTYPE_RAW } from "../link_types.ts";
import { ascii, type Output } from "../output.ts";
import { SNAPLEN } from "../pcap/header.ts";
import type { Ending, Recorder } from "../recorder.ts";
import { writeDetails } from "../text_details.ts";
import {
  BLOCK_ENHANCED,
  BLOCK_INTERFACE,
  BLOCK_SECTION,
  BLOCK_STATISTICS,
  BlockWriter,
  BYTE_ORDER_MAGIC,
  OPTION_APPLICATION,
  OPTION_COMMENT,
  OPTION_CUSTOM,
  OPTION_DESCRIPTION,
  OPTION_DROPCOUNT,
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
} from "./block.ts";
import { BLOCK_EVENT, CARRIED_HEADER, KIND_EVENT, KIND_INTERFACE, KIND_REST, KIND_SAMPLE, markTimeless, writeCarried } from "./carried.ts";

/**
 * A file's description of itself.
 *
 * @category Recordings
 */
export interface PcapngOptions {
  /** The program that writes it, such as `"psample 0.1.0"`. */
  application?: string | undefined;
  /** The machine that writes it, such as `"x86_64"`. */
  hardware?: string | undefined;
  /** The operating system that writes it. */
  os?: string | undefined;
  /** The byte order of the file. Defaults to this machine's. */
  littleEndian?: boolean | undefined;
}

const DIRECTION_IN = 1;
const DIRECTION_OUT = 2;
const NANOSECONDS = 9;
/** How much of a message fits into one option, after the header. */
const MESSAGE_PART = OPTION_MOST - CARRIED_HEADER;
/** The longest name of a device that is written. Linux has names of up to 15 bytes, other recordings have what they like. */
const MOST_NAME = 64;
/** A packet's block without packet, message and comment: its head, 4 short options, heads of the long ones, padding, end. */
const PACKET_BLOCK = 512;
/** An interface with the longest name and description; its statistics without a comment. */
const INTERFACE_BLOCK = 512;
const STATISTICS_BLOCK = 160;
/** Maximum number of group events kept until there is an interface. */
const MOST_WAITING = 64;
/** Maximum number of groups and rates remembered for one interface. */
const MOST_STREAMS = 64;
/** The size of one of them in the comment of the statistics. */
const STREAM_TEXT = 96;
/**
 * Maximum number of devices that a file distinguishes. The kernel names at most 65,536, but a producer in user space may make up any number
 * for each sample, and each costs memory here and in every reader.
 */
const MOST_DEVICES = 16_384;

const text = new TextDecoder();

/** One group at one rate on one interface. */
interface Stream {
  readonly group: number | undefined;
  readonly rate: number | undefined;
  readonly isProbability: boolean;
  /** The beginning of the comments of its samples. */
  readonly comment: Uint8Array;
  received: number;
}

/** An interface of the file. */
interface Interface {
  readonly id: number;
  readonly streams: Stream[];
  received: number;
  /** Losses recorded as drop counts of its packets. */
  lost: number;
  // Times of the first and the last sample, in halves.
  firstHigh: number;
  firstLow: number;
  lastHigh: number;
  lastLow: number;
}

/** A device, which is one interface for each link type that its packets have. */
interface Place {
  readonly ifindex: number | undefined;
  readonly nsid: number | undefined;
  readonly device: Device | undefined;
  readonly devices: Devices | undefined;
  ethernet: Interface | undefined;
  raw: Interface | undefined;
}

/** Writes files of packets. */
export class PcapngWriter implements Recorder {
  readonly #options: PcapngOptions;
  readonly #blocks: BlockWriter;
  readonly #clock = new Clock();
  #interfaces: Interface[] = [];
  #places = new Map<number | undefined, Map<number | undefined, Place[]>>();
  #placeCount = 0;
  /** The place of all samples whose devices are too many to be distinguished. */
  #elsewhere: Place | undefined;
  /** Samples come in runs of one device: checking the last one first saves a lookup. */
  #lastPlace: Place | undefined;
  /** The numbers that distinguish machines. */
  #machines = new Map<Devices, number>();
  /** What the socket dropped so far, and before this file. */
  #dropped = 0;
  #droppedBefore = 0;
  /** Losses not recorded yet; negative if samples arrived late that had been recorded as lost. */
  #untold = 0;
  /** The most that {@linkcode PcapngWriter.end} would write. */
  #ending = 0;
  /** Events before the first interface. */
  #waiting: GroupEvent[] = [];

  /** A writer of files. */
  constructor(options: PcapngOptions = {}) {
    this.#options = options;
    this.#blocks = new BlockWriter(options.littleEndian);
  }

  mostBytes(entry: EntryView): number {
    const most = INTERFACE_BLOCK + PACKET_BLOCK * (1 + this.#waiting.length) + this.#ending + PACKET_BLOCK;
    if (entry.type !== "sample") return most + (entry.message?.length ?? 0);
    const message = entry.messageBytes;
    // Everything except the data is in the comment too, in hexadecimal, with a name.
    return most + message + 8 * (message - entry.dataBytes);
  }

  begin(output: Output): void {
    const { hardware, os, application } = this.#options;
    const blocks = this.#blocks;
    this.#interfaces = [];
    this.#places = new Map();
    this.#placeCount = 0;
    this.#elsewhere = this.#lastPlace = undefined;
    this.#machines = new Map();
    this.#droppedBefore = this.#dropped;
    this.#ending = STATISTICS_BLOCK + INTERFACE_BLOCK;
    const start = blocks.begin(output, BLOCK_SECTION, 24);
    const { view } = output;
    view.setUint32(start + 8, BYTE_ORDER_MAGIC, blocks.little);
    view.setUint16(start + 12, 1, blocks.little);
    view.setUint16(start + 14, 0, blocks.little);
    // A length of -1: it is not known yet.
    view.setUint32(start + 16, 0xffff_ffff);
    view.setUint32(start + 20, 0xffff_ffff);
    if (hardware !== undefined) blocks.textOption(output, OPTION_HARDWARE, hardware);
    if (os !== undefined) blocks.textOption(output, OPTION_OS, os);
    if (application !== undefined) blocks.textOption(output, OPTION_APPLICATION, application);
    blocks.end(output, start);
  }

  enter(batch: Batch): void {
    this.#dropped += batch.dropped;
  }

  write(output: Output, batch: Batch, i: number): void {
    const entry = batch.entries[i]!;
    if (entry.type === "sample") this.#sample(output, batch, i, entry);
    else this.#event(output, entry);
  }

  end(output: Output, { period, stats }: Ending): void {
    // libpcap rejects a file without an interface.
    if (this.#interfaces.length === 0) this.#addNoInterface(output);
    const dropped = Math.max(this.#dropped, stats?.dropped ?? 0) - this.#droppedBefore;
    for (const from of this.#interfaces) {
      // Over-reported drops can be corrected here.
      const late = Math.min(Math.max(-this.#untold, 0), from.lost);
      this.#untold += late;
      from.lost -= late;
      this.#endInterface(output, from, period, from.id === 0 && (period !== undefined || dropped > 0) ? dropped : undefined);
    }
  }

  #endInterface(output: Output, from: Interface, period: Ending["period"], dropped: number | undefined): void {
    const blocks = this.#blocks;
    const start = blocks.begin(output, BLOCK_STATISTICS, 20);
    output.reserve(STATISTICS_BLOCK);
    output.view.setUint32(start + 8, from.id, blocks.little);
    if (period !== undefined) {
      const clock = this.#clock;
      clock.split(period.endNs);
      const { high, low } = clock;
      blocks.time(output, start + 12, high, low);
      clock.split(period.startNs);
      blocks.timeOption(output, OPTION_STARTTIME, clock.high, clock.low);
      blocks.timeOption(output, OPTION_ENDTIME, high, low);
    } else {
      blocks.time(output, start + 12, from.lastHigh, from.lastLow);
      if (from.firstHigh !== Infinity) {
        blocks.timeOption(output, OPTION_STARTTIME, from.firstHigh, from.firstLow);
        blocks.timeOption(output, OPTION_ENDTIME, from.lastHigh, from.lastLow);
      }
    }
    blocks.numberOption(output, OPTION_IFRECV, from.received);
    blocks.numberOption(output, OPTION_IFDROP, from.lost);
    if (dropped !== undefined) blocks.numberOption(output, OPTION_OSDROP, dropped);
    blocks.numberOption(output, OPTION_USRDELIV, from.received);
    const streams = from.streams.map(({ comment, received }) => `${text.decode(comment)}received ${received}`).join("; ");
    if (streams !== "") blocks.textOption(output, OPTION_COMMENT, streams);
    blocks.end(output, start);
  }

  #sample(output: Output, batch: Batch, i: number, sample: SampleView): void {
    const blocks = this.#blocks;
    const { little } = blocks;
    const clock = this.#clock;
    const message = sample.messageBytes;
    batch.readTime(i, clock);
    const { high, low } = clock;
    const from = this.#interface(output, batch, i, sample);
    const stream = this.#stream(from, sample);
    const captured = sample.dataBytes;
    stream.received++;
    const hasTime = batch.hasTime(i);
    if (hasTime && (high < from.firstHigh || (high === from.firstHigh && low < from.firstLow))) {
      from.firstHigh = high;
      from.firstLow = low;
    }
    if (hasTime && (high > from.lastHigh || (high === from.lastHigh && low > from.lastLow))) {
      from.lastHigh = high;
      from.lastLow = low;
    }
    from.received++;

    output.reserve(PACKET_BLOCK + message + 32 * Math.ceil(message / MESSAGE_PART));
    const start = output.length;
    const { view } = output;
    view.setUint32(start, BLOCK_ENHANCED, little);
    view.setUint32(start + 8, from.id, little);
    blocks.time(output, start + 12, high, low);
    view.setUint32(start + 20, captured, little);
    view.setUint32(start + 24, Math.max(sample.originalBytes ?? 0, captured), little);
    if (captured > 0) sample.writeData(output.bytes, view, start + 28);
    output.length = start + 28 + captured;
    blocks.pad(output, start);

    const { group, sequence, outTc } = sample;
    const direction = sample.outIfindex !== undefined ? DIRECTION_OUT : sample.inIfindex !== undefined ? DIRECTION_IN : 0;
    if (direction !== 0) blocks.u32Option(output, OPTION_FLAGS, direction);
    const lost = batch.lostBefore(i);
    if (lost !== undefined) blocks.numberOption(output, OPTION_DROPCOUNT, this.#lost(from, lost));
    if (group !== undefined && sequence !== undefined) blocks.halvesOption(output, OPTION_PACKETID, group, sequence);
    if (outTc !== undefined) blocks.u32Option(output, OPTION_QUEUE, outTc);

    this.#carry(output, sample, message - captured, hasTime);
    this.#comment(output, batch, i, stream, sample);
    blocks.end(output, start);
  }

  /**
   * The drop count to write with a packet. Counts already written cannot be corrected, so a late sample is subtracted from the next loss.
   */
  #lost(from: Interface, lost: number): number {
    this.#untold += lost;
    const told = Math.max(0, this.#untold);
    this.#untold -= told;
    from.lost += told;
    return told;
  }

  /** The options that restore the message: all of it except the packet, which is there already. */
  #carry(output: Output, sample: SampleView, size: number, hasTime: boolean): void {
    const blocks = this.#blocks;
    const { littleEndian, nsid, dataOffset } = sample;
    const dataAt = dataOffset < 0 ? undefined : dataOffset;
    let kind = KIND_SAMPLE;
    let from = 0;
    do {
      const part = Math.min(size - from, MESSAGE_PART);
      const at = blocks.option(output, OPTION_CUSTOM, CARRIED_HEADER + part);
      writeCarried(output.view, at, blocks.little, kind, littleEndian, nsid, dataAt);
      if (!hasTime) markTimeless(output.view, at);
      sample.writeWithoutData(from, part, output.bytes, output.view, at + CARRIED_HEADER);
      from += part;
      kind = KIND_REST;
    } while (from < size);
  }

  #comment(output: Output, batch: Batch, i: number, stream: Stream, sample: SampleView): void {
    const start = output.length;
    output.length += 4;
    output.put(stream.comment);
    const { inIfindex, outIfindex, nsid } = sample;
    if (inIfindex !== undefined && outIfindex !== undefined) {
      output.text(`in-ifindex ${inIfindex} `);
      const name = batch.devicesOf(i).find(inIfindex, nsid)?.name;
      if (name !== undefined) output.text(`in-name ${printable(name.slice(0, MOST_NAME))} `);
    }
    if (sample.isRare || nsid !== undefined || sample.portId !== 0) {
      const occupancy = sample.outTcOccupancyBytes;
      const latency = sample.latencyNs;
      if (occupancy !== undefined) output.text(`out-tc-occ ${occupancy} `);
      if (latency !== undefined) output.text(`latency ${latency} `);
      writeDetails(output, sample);
    }
    this.#blocks.endText(output, start, OPTION_COMMENT);
  }

  #event(output: Output, event: GroupEvent): void {
    if (this.#interfaces.length > 0) {
      this.#eventBlock(output, event);
      return;
    }
    this.#waiting.push(event);
    if (this.#waiting.length === MOST_WAITING) this.#addNoInterface(output);
  }

  #eventBlock(output: Output, { message, nsid }: GroupEvent): void {
    if (!message) return;
    const blocks = this.#blocks;
    const start = blocks.begin(output, BLOCK_EVENT, 8 + CARRIED_HEADER);
    writeCarried(output.view, start + 8, blocks.little, KIND_EVENT, isLittleEndian(message), nsid, undefined);
    output.append(message);
    blocks.end(output, start, false);
  }

  #interface(output: Output, batch: Batch, i: number, sample: SampleView): Interface {
    const place = this.#place(batch, i, sample);
    const { device, ethernet, raw } = place;
    // Without data any link type will do.
    const isRaw = sample.dataBytes === 0 && (ethernet ?? raw) !== undefined
      ? ethernet === undefined
      : linkTypeOfSample(device?.type, sample) === "raw-ip";
    const found = isRaw ? raw : ethernet;
    if (found !== undefined) return found;
    const what = place === this.#elsewhere ? `more than ${MOST_DEVICES} devices` : description(sample);
    const added = this.#addInterface(output, place, isRaw, what);
    if (isRaw) place.raw = added;
    else place.ethernet = added;
    return added;
  }

  /** The device of a sample. A device that was renamed, or about which more is known, counts as another one. */
  #place(batch: Batch, i: number, sample: SampleView): Place {
    const ifindex = sampledIfindex(sample);
    const { nsid } = sample;
    const device = batch.device(i);
    const devices = batch.devicesOf(i);
    const last = this.#lastPlace;
    if (last !== undefined && isPlace(last, ifindex, nsid, device, devices)) return last;
    let ofNamespace = this.#places.get(nsid);
    let places = ofNamespace?.get(ifindex);
    let place = places?.find((place) => isPlace(place, ifindex, nsid, device, devices));
    if (place === undefined) {
      if (this.#placeCount === MOST_DEVICES) return this.#elsewhere ??= newPlace(undefined, undefined, undefined, undefined);
      this.#placeCount++;
      place = newPlace(ifindex, nsid, device, devices);
      if (ofNamespace === undefined) this.#places.set(nsid, ofNamespace = new Map());
      if (places === undefined) ofNamespace.set(ifindex, places = []);
      places.push(place);
    }
    return this.#lastPlace = place;
  }

  #addNoInterface(output: Output): void {
    this.#addInterface(output, newPlace(undefined, undefined, undefined, undefined), false, "no sample");
  }

  #addInterface(output: Output, { ifindex, nsid, device, devices }: Place, isRaw: boolean, what: string): Interface {
    const blocks = this.#blocks;
    const { little } = blocks;
    const start = blocks.begin(output, BLOCK_INTERFACE, 16);
    output.view.setUint16(start + 8, isRaw ? LINKTYPE_RAW : LINKTYPE_ETHERNET, little);
    output.view.setUint16(start + 10, 0, little);
    output.view.setUint32(start + 12, SNAPLEN, little);
    blocks.textOption(output, OPTION_NAME, device?.name?.slice(0, MOST_NAME) ?? (ifindex === undefined ? "unknown" : `if${ifindex}`));
    if (what !== "") blocks.textOption(output, OPTION_DESCRIPTION, what);
    output.reserve(128);
    const address = device?.address;
    const addressOption = address?.length === 6 ? OPTION_MAC : address?.length === 8 ? OPTION_EUI : undefined;
    if (address && addressOption !== undefined) output.bytes.set(address, blocks.option(output, addressOption, address.length));
    output.bytes[blocks.option(output, OPTION_TSRESOL, 1)] = NANOSECONDS;
    const at = blocks.option(output, OPTION_CUSTOM, CARRIED_HEADER);
    writeCarried(output.view, at, little, KIND_INTERFACE, LITTLE, nsid, ifindex, devices && this.#machine(devices));
    blocks.end(output, start);
    const id = this.#interfaces.length;
    const added = { id, streams: [], received: 0, lost: 0, firstHigh: Infinity, firstLow: 0, lastHigh: 0, lastLow: 0 };
    this.#interfaces.push(added);
    this.#ending += STATISTICS_BLOCK;
    for (const event of this.#waiting) this.#eventBlock(output, event);
    this.#waiting = [];
    return added;
  }

  /** The number of a machine: different in each recording, as far as the time of its first sample ensures that. */
  #machine(devices: Devices): number {
    let machine = this.#machines.get(devices);
    if (machine === undefined) {
      const first: number = this.#machines.values().next().value ?? this.#clock.low ^ this.#clock.low >>> 16;
      machine = (first + this.#machines.size & 0xffff) || 1;
      this.#machines.set(devices, machine);
    }
    return machine;
  }

  #stream(from: Interface, sample: SampleView): Stream {
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
      this.#ending += STREAM_TEXT;
    }
    return stream;
  }
}

function newPlace(
  ifindex: number | undefined,
  nsid: number | undefined,
  device: Device | undefined,
  devices: Devices | undefined,
): Place {
  return { ifindex, nsid, device, devices, ethernet: undefined, raw: undefined };
}

function isPlace(
  place: Place,
  ifindex: number | undefined,
  nsid: number | undefined,
  device: Device | undefined,
  devices: Devices,
): boolean {
  return place.ifindex === ifindex && place.nsid === nsid && place.devices === devices &&
    (place.device === device || isSame(place.device, device));
}

/** Whether a file would describe two devices alike. */
function isSame(a: Device | undefined, b: Device | undefined): boolean {
  return a?.name === b?.name && a?.type === b?.type && (a?.address === b?.address || a?.address?.join() === b?.address?.join());
}

/** "1 in N, group G": what the samples of an interface stand for. */
function description(sample: SampleView): string {
  const { oneIn, group, nsid } = sample;
  const parts: string[] = [];
  if (oneIn !== undefined) parts.push(`1 in ${Number(oneIn.toPrecision(9))}`);
  if (group !== undefined) parts.push(`group ${group}`);
  if (nsid !== undefined) parts.push(`nsid ${nsid}`);
  return parts.join(", ");
}
