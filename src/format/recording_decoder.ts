/**
 * Decodes the packets of a recording: netlink messages, samples that psample recorded as packets, or packets captured by something else.
 * Samples are decoded in place, so they are valid only until the memory is refilled.
 */
import { DecodeError } from "../errors.ts";
import { GENL_HDRLEN } from "../genl/ctrl.ts";
import { type Device, NO_DEVICES } from "../link/device.ts";
import { ARPHRD_ETHER, ARPHRD_NONE } from "../link/link.ts";
import { PSAMPLE_CMD_DEL_GROUP, PSAMPLE_CMD_NEW_GROUP, PSAMPLE_CMD_SAMPLE } from "../psample/constants.ts";
import { decodeEvent, type GroupEvent } from "../psample/group.ts";
import { type DecodeOptions, SampleDecoder } from "../psample/sample_decoder.ts";
import { SampleView } from "../psample/sample_view.ts";
import type { RecordedPlace } from "../stream/batch.ts";
import { messageOf, NLMSG_HDRLEN, NLMSG_NOOP } from "../wire/message.ts";
import { align4, bytesOf, LITTLE, viewOf } from "../wire/native.ts";
import type { CapturedPacket, CaptureHandler, InterfaceDescription } from "./capture.ts";
import { CONTENTS, DecodedInterface, NOWHERE } from "./decoded_interface.ts";
import { LINKTYPE_ETHERNET, linkTypeText } from "./link_types.ts";
import { NetlinkMessages, type Room } from "./netlink_messages.ts";
import { NO_RECORDS, type RecordCounts } from "./record_counts.ts";
import { ARPHRD_NETLINK, COOKED2_HEADER, COOKED_HEADER, LOSSES_SIGNATURE, NETLINK_GENERIC } from "./pcap/cooked.ts";
import { BLOCK_STATISTICS, OPTION_CUSTOM, OPTION_DROPCOUNT, OPTION_IFDROP, OPTION_OSDROP } from "./pcapng/block.ts";
import {
  BLOCK_EVENT,
  type Carried,
  CARRIED_HEADER,
  carriedFlags,
  carriedNsid,
  carriedNumber,
  FLAG_LITTLE,
  FLAG_NSID,
  FLAG_NUMBER,
  FLAG_TIMELESS,
  isCarried,
  KIND_EVENT,
  KIND_INTERFACE,
  KIND_REST,
  KIND_SAMPLE,
  readCarried,
  restoreMessage,
} from "./pcapng/carried.ts";
import { OptionReader } from "./pcapng/options.ts";
import { MOST_DATA, PLAIN_HEADERS, PlainHeaders } from "./plain_headers.ts";
import { RecordedDevices } from "./recorded_devices.ts";
import type { RecordingSink, Told } from "./recording_sink.ts";
import { UnknownFamilies } from "./unknown_families.ts";

/** How a recording is decoded. */
export interface RecordingDecoderOptions {
  /** The number of the psample family, if it is known; the controller's messages are ignored then. */
  familyId?: number | undefined;
  /** How many bytes of messages are kept until the family's number is known. Defaults to 64 MiB. */
  pendingBytes?: number | undefined;
}

/** The pcapng blocks that a {@linkcode RecordingDecoder} asks for, and their maximum sizes. */
export const WANTED_BLOCKS: ReadonlyMap<number, number> = new Map([[BLOCK_STATISTICS, 1 << 20], [BLOCK_EVENT, 1 << 17]]);

/** Decodes one recording. What it hands on is valid until {@linkcode RecordingDecoder.begin}. */
export class RecordingDecoder implements CaptureHandler<DecodedInterface> {
  /** Set if entries must be passed on before the next description of a device contradicts them. */
  paused = false;
  /** The counts so far. */
  readonly counts: RecordCounts = { ...NO_RECORDS };
  /** Why the last malformed packet or message was. */
  lastMalformed: string | undefined;
  readonly #sink: RecordingSink;
  readonly #familyId: number | undefined;
  readonly #room: Room;
  readonly #options = new OptionReader();
  /** Samples that are lent, and used again for the next batch. */
  readonly #samples = new SampleDecoder();
  readonly #views: SampleView[] = [];
  #lent = 0;
  readonly #headers = new PlainHeaders();
  /** The devices of the current section, by the number of their machine. */
  #machines = new Map<number, RecordedDevices>();
  #decodeOptions: DecodeOptions = {};
  /** Whether there is anything but packets that somebody else captured. */
  #hasSamples = false;
  /** The first interface that is of no use. */
  #otherLinkType: number | undefined;
  #hasOthers = false;
  /** The netlink interfaces of the current section. */
  #messages: NetlinkMessages[] = [];
  readonly #families = new UnknownFamilies();

  /** Passes what it finds to `sink`. */
  constructor(sink: RecordingSink, options: RecordingDecoderOptions = {}) {
    this.#sink = sink;
    this.#familyId = options.familyId;
    this.#room = { bytes: options.pendingBytes ?? 64 * 1024 * 1024, families: 0x1_0000 };
  }

  /** Ends the use of everything passed on so far. */
  begin(): void {
    this.#lent = 0;
    this.#headers.clear();
    this.paused = false;
    for (const devices of this.#machines.values()) devices.settle();
  }

  section(): void {
    this.#closeMessages();
    this.#machines = new Map();
  }

  interface(description: InterfaceDescription): DecodedInterface {
    const { linkType } = description;
    const content = CONTENTS.get(linkType);
    if (content === "netlink" || content === "cooked" || content === "cooked 2") {
      if (content === "netlink") this.#hasSamples = true;
      const messages = new NetlinkMessages(this.#familyId, this.counts, this.#room, this.#takeMessage);
      this.#messages.push(messages);
      return new DecodedInterface(description, undefined, messages);
    }
    if (content === undefined) this.#otherLinkType ??= linkType;
    const place = content === undefined ? undefined : this.#place(description);
    return new DecodedInterface(description, place, undefined);
  }

  /** The description of an interface that packets were sampled or captured on. */
  #place(description: InterfaceDescription): RecordedPlace {
    const { linkType, little, view, name, address } = description;
    const type = linkType === LINKTYPE_ETHERNET ? ARPHRD_ETHER : ARPHRD_NONE;
    const options = this.#options;
    options.reset(view, description.optionsStart, description.optionsEnd, little);
    while (options.next()) {
      if (options.code !== OPTION_CUSTOM) continue;
      const carried = readCarried(view, options.start, options.length, little);
      if (carried?.kind !== KIND_INTERFACE) continue;
      this.#hasSamples = true;
      const { number: index, nsid, machine } = carried;
      // This is the name that is written for a device whose name was not known.
      const isNamed = name !== undefined && name !== (index === undefined ? "unknown" : `if${index}`);
      const device: Device = { index, name: isNamed ? name : undefined, type, address };
      let devices = this.#machines.get(machine);
      if (devices === undefined) this.#machines.set(machine, devices = new RecordedDevices(machine !== 0));
      if (index !== undefined && devices.add(index, nsid, device)) this.paused = true;
      return { device, devices };
    }
    return { device: { name, type, address }, devices: NO_DEVICES };
  }

  packet(origin: DecodedInterface, packet: CapturedPacket): void {
    const { counts } = this;
    counts.records++;
    switch (origin.content) {
      case "netlink":
        return this.#netlinkRecord(origin, packet);
      case "cooked":
        return this.#cookedRecord(origin, packet, COOKED_HEADER, 2, 14);
      case "cooked 2":
        return this.#cookedRecord(origin, packet, COOKED2_HEADER, 8, 0);
      case "packets":
        return this.#packet(origin, packet);
      case "other":
        counts.otherPackets++;
    }
  }

  block(
    type: number,
    view: DataView<ArrayBuffer>,
    start: number,
    end: number,
    little: boolean,
    interfaceAt: (id: number) => DecodedInterface | undefined,
  ): void {
    if (type === BLOCK_EVENT) this.#event(view, start, end, little);
    else if (end - start >= 12) this.#statistics(view, start, end, little, interfaceAt(view.getUint32(start, little)));
  }

  /**
   * To be called at the end.
   *
   * @throws {DecodeError} if the recording contains nothing usable, or does not show which of its messages are psample's.
   */
  end(): void {
    this.#closeMessages();
    const { records, otherPackets } = this.counts;
    if (!this.#hasSamples && !this.#hasOthers && this.#otherLinkType !== undefined && records === otherPackets) {
      throw new DecodeError(
        "recording",
        0,
        `${linkTypeText(this.#otherLinkType)}: neither netlink messages nor packets that begin with Ethernet or IP`,
      );
    }
    this.#families.check();
  }

  #closeMessages(): void {
    for (const messages of this.#messages) this.counts.otherMessages += this.#families.close(messages);
    this.#messages = [];
  }

  // ---- netlink messages

  #netlinkRecord(origin: DecodedInterface, packet: CapturedPacket): void {
    const { view, start, end } = packet;
    if (end - start >= COOKED_HEADER && view.getUint16(start + 2) === ARPHRD_NETLINK) {
      return this.#messagesOf(origin, packet, start + COOKED_HEADER, view.getUint16(start + 14));
    }
    // netsniff-ng keeps the protocol in the header of its records, and writes no cooked header.
    if (packet.protocol >= 0) return this.#messagesOf(origin, packet, start, packet.protocol);
    if (!this.#cut(packet)) this.#malformed("a record of netlink without its head");
  }

  /** Of all interfaces together, of which netlink devices are some. */
  #cookedRecord(origin: DecodedInterface, packet: CapturedPacket, header: number, hardware: number, protocol: number): void {
    const { view, start, end } = packet;
    if (end - start >= header && view.getUint16(start + hardware) === ARPHRD_NETLINK) {
      this.#hasSamples = true;
      return this.#messagesOf(origin, packet, start + header, view.getUint16(start + protocol));
    }
    this.counts.otherPackets++;
    this.#otherLinkType ??= origin.linkType;
  }

  #cut(packet: CapturedPacket): boolean {
    if (packet.end - packet.start >= packet.originalBytes) return false;
    this.counts.truncated++;
    return true;
  }

  #messagesOf(origin: DecodedInterface, packet: CapturedPacket, at: number, protocol: number): void {
    const { counts } = this;
    const isCut = this.#cut(packet);
    if (protocol !== NETLINK_GENERIC) {
      counts.otherProtocols++;
      return;
    }
    const { view, end, seconds, nanoseconds } = packet;
    this.#origin = origin;
    for (let isFirst = true; at < end; isFirst = false) {
      // A tool may have rewritten the file in a byte order other than that of the messages.
      let { little } = origin;
      const left = end - at;
      if (left >= NLMSG_HDRLEN && !fits(view.getUint32(at, little), left) && fits(view.getUint32(at, !little), left)) little = !little;
      const length = left < NLMSG_HDRLEN ? 0 : view.getUint32(at, little);
      if (!fits(length, left)) {
        if (isCut) return;
        if (isFirst) this.#malformed(`a netlink message of ${length} bytes, ${left} are left`);
        else counts.trailing++;
        return;
      }
      const type = view.getUint16(at + 4, little);
      if (type !== NLMSG_NOOP || !this.#isLosses(origin, view, at, length)) {
        origin.messages!.message(view, at, at + length, little, type, seconds, nanoseconds);
      }
      at += align4(length);
    }
  }

  /** The interface whose messages are being decoded. */
  #origin: DecodedInterface | undefined;

  /** Whether a message is one of our own that records losses. */
  #isLosses(origin: DecodedInterface, view: DataView, at: number, length: number): boolean {
    if (length !== NLMSG_HDRLEN + 8 || view.getUint32(at + NLMSG_HDRLEN) !== LOSSES_SIGNATURE) return false;
    origin.tells = true;
    origin.lost += view.getUint32(at + NLMSG_HDRLEN + 4);
    return true;
  }

  /** A message of psample. */
  readonly #takeMessage = (
    view: DataView,
    start: number,
    end: number,
    little: boolean,
    seconds: number,
    nanoseconds: number,
  ): void => {
    const origin = this.#origin!;
    const command = end - start < NLMSG_HDRLEN + GENL_HDRLEN ? -1 : view.getUint8(start + NLMSG_HDRLEN);
    if (command === PSAMPLE_CMD_SAMPLE) {
      let told: Told = "gap";
      if (origin.tells) {
        told = origin.lost;
        origin.lost = 0;
      }
      this.#sample(origin, view, start, end, little, undefined, told, seconds, nanoseconds);
    } else if (command === PSAMPLE_CMD_NEW_GROUP || command === PSAMPLE_CMD_DEL_GROUP) {
      this.#groupEvent(origin, bytesOf(view, start, end).slice(), little, undefined, true, seconds, nanoseconds);
    } else if (command < 0) {
      this.#malformed(`a psample message of ${end - start} bytes`);
    } else {
      this.counts.otherMessages++;
    }
  };

  #sample(
    origin: DecodedInterface,
    view: DataView,
    start: number,
    end: number,
    little: boolean,
    nsid: number | undefined,
    told: Told,
    seconds: number,
    nanoseconds: number,
  ): void {
    const sample = this.#views[this.#lent] ??= new SampleView();
    try {
      this.#samples.view(view, start, end, sample, this.#optionsOf(little, nsid));
    } catch (error) {
      if (!(error instanceof DecodeError)) throw error;
      this.#malformed(error.message);
      return;
    }
    this.#hand(sample, told, seconds, nanoseconds, origin);
  }

  #hand(sample: SampleView, told: Told, seconds: number, nanoseconds: number, origin: DecodedInterface): void {
    this.#lent++;
    this.counts.samples++;
    this.#sink.entry(sample, told, seconds, nanoseconds, origin);
  }

  #optionsOf(littleEndian: boolean, nsid: number | undefined): DecodeOptions {
    const options = this.#decodeOptions;
    if (options.littleEndian === littleEndian && options.nsid === nsid) return options;
    return this.#decodeOptions = { littleEndian, nsid };
  }

  /** They are few: each gets its own memory. */
  #groupEvent(
    origin: DecodedInterface,
    message: Uint8Array,
    little: boolean,
    nsid: number | undefined,
    isFromKernel: boolean,
    seconds: number,
    nanoseconds: number,
  ): void {
    let event: GroupEvent | undefined;
    try {
      event = decodeEvent(messageOf(message, little), nsid);
    } catch (error) {
      if (!(error instanceof DecodeError)) throw error;
      this.#malformed(error.message);
      return;
    }
    // An entry of a list of groups has the command of a creation, but somebody's port id: it answers a request.
    if (event === undefined || (isFromKernel && event.portId !== 0)) {
      this.counts.otherMessages++;
      return;
    }
    this.counts.events++;
    this.#sink.entry(event, undefined, seconds, nanoseconds, origin);
  }

  // ---- packets

  #packet(origin: DecodedInterface, packet: CapturedPacket): void {
    const { view } = packet;
    const { little } = origin;
    let at = -1;
    let size = 0;
    let told: number | undefined;
    let parts: Carried[] | undefined;
    const options = this.#options;
    options.reset(view, packet.optionsStart, packet.optionsEnd, little);
    while (options.next()) {
      const { code, start, length } = options;
      if (code === OPTION_DROPCOUNT && length === 8) {
        told = options.number();
      } else if (code === OPTION_CUSTOM && isCarried(view, start, length, little)) {
        const kind = view.getUint8(start + 8);
        if (kind === KIND_SAMPLE) {
          at = start;
          size = length;
        } else if (kind === KIND_REST && at >= 0) {
          parts ??= [readCarried(view, at, size, little)!];
          parts.push(readCarried(view, start, length, little)!);
        }
      }
    }
    if (at < 0) return this.#plainPacket(origin, packet);
    this.#hasSamples = true;
    // What it has is made up then.
    if (carriedFlags(view, at) & FLAG_TIMELESS) packet.seconds = NaN;
    if (told !== undefined) origin.told += told;
    if (parts === undefined && this.#samplePacket(origin, packet, at, size, told)) return;
    parts ??= [readCarried(view, at, size, little)!];
    const { littleEndian, nsid } = parts[0]!;
    const data = bytesOf(view, packet.start, packet.end);
    let message: Uint8Array;
    try {
      const restored = restoreMessage(parts, data);
      message = restored.bytes;
      if (restored.originalBytes > message.length) this.counts.truncated++;
    } catch (error) {
      if (!(error instanceof DecodeError)) throw error;
      this.#malformed(error.message);
      return;
    }
    this.#sample(origin, viewOf(message), 0, message.length, littleEndian, nsid, told, packet.seconds, packet.nanoseconds);
  }

  /**
   * Decodes in place a sample whose message is in one option at `at`, with a packet of the length that the message gives. False if it must
   * be reassembled first.
   */
  #samplePacket(origin: DecodedInterface, packet: CapturedPacket, at: number, size: number, told: Told): boolean {
    const { view, start, end, seconds, nanoseconds } = packet;
    const flags = carriedFlags(view, at);
    const isLittle = (flags & FLAG_LITTLE) !== 0;
    const nsid = flags & FLAG_NSID ? carriedNsid(view, at) : undefined;
    const messageAt = at + CARRIED_HEADER;
    const messageEnd = at + size;
    if ((flags & FLAG_NUMBER) === 0) {
      this.#sample(origin, view, messageAt, messageEnd, isLittle, nsid, told, seconds, nanoseconds);
      return true;
    }
    const dataAt = carriedNumber(view, at);
    if (dataAt < 4 || dataAt > size - CARRIED_HEADER || view.getUint16(messageAt + dataAt - 4, isLittle) - 4 !== end - start) return false;
    const sample = this.#views[this.#lent] ??= new SampleView();
    try {
      this.#samples.viewApart(view, messageAt, messageEnd, view, start, dataAt, end - start, sample, this.#optionsOf(isLittle, nsid));
    } catch (error) {
      if (!(error instanceof DecodeError)) throw error;
      this.#malformed(error.message);
      return true;
    }
    this.#hand(sample, told, seconds, nanoseconds, origin);
    return true;
  }

  /** A packet captured by something else is a sample of which only the bytes, size and time are known. */
  #plainPacket(origin: DecodedInterface, packet: CapturedPacket): void {
    if (this.#hasSamples) {
      this.counts.otherPackets++;
      return;
    }
    this.#hasOthers = true;
    this.#cut(packet);
    const size = Math.min(packet.end - packet.start, MOST_DATA);
    const headers = this.#headers;
    const start = headers.make(packet.originalBytes, size);
    const sample = this.#views[this.#lent] ??= new SampleView();
    const { view } = headers;
    const end = start + PLAIN_HEADERS;
    this.#samples.viewApart(view, start, end, packet.view, packet.start, PLAIN_HEADERS, size, sample, this.#optionsOf(LITTLE, undefined));
    this.#hand(sample, undefined, packet.seconds, packet.nanoseconds, origin);
  }

  // ---- other blocks

  #event(view: DataView<ArrayBuffer>, start: number, end: number, little: boolean): void {
    const carried = readCarried(view, start, end - start, little);
    if (carried?.kind !== KIND_EVENT) return;
    const { littleEndian, nsid, bytes: padded } = carried;
    // The block has only its own, padded length; the message contains the exact one.
    const length = padded.length < 4 ? 0 : viewOf(padded).getUint32(0, littleEndian);
    if (length < 4 || length > padded.length) return this.#malformed(`a group event of ${length} bytes in ${padded.length}`);
    // The block has no time.
    this.#groupEvent(NOWHERE, padded.slice(0, length), littleEndian, nsid, false, NaN, 0);
  }

  #statistics(view: DataView, start: number, end: number, little: boolean, origin: DecodedInterface | undefined): void {
    if (!origin?.isOwn) return;
    let lost: number | undefined;
    let dropped = 0;
    const options = this.#options;
    options.reset(view, start + 12, end, little);
    while (options.next()) {
      if (options.code === OPTION_IFDROP) lost = options.number();
      else if (options.code === OPTION_OSDROP) dropped = options.number();
    }
    // Drop counts written with packets could not be corrected there. Anything beyond that is not about the packets of this file.
    const late = lost === undefined ? 0 : Math.max(0, origin.told - lost);
    origin.told -= late;
    if (late > 0 || dropped > 0) this.#sink.correct(late, dropped);
  }

  #malformed(why: string): void {
    this.counts.malformed++;
    this.lastMalformed = why;
  }
}

/** Whether a netlink message can have this length. */
function fits(length: number, left: number): boolean {
  return length >= NLMSG_HDRLEN && length <= left;
}
