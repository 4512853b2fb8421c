import { ETHERNET, VLAN } from "../../packet/header.ts";
import type { Headers } from "../../packet/headers.ts";
import type { SampleView } from "../../psample/sample_view.ts";
import type { Batch } from "../../stream/batch.ts";
import { Clock } from "../../stream/clock.ts";
import { LITTLE, viewOf } from "../../wire/native.ts";
import type { DatagramEncoder, Datagrams, SendDatagrams } from "../datagrams.ts";
import { setUint64 } from "./announcements.ts";
import { type EnterpriseElements, enterpriseElements } from "./elements.ts";
import { completeOptions, completeReportOptions, type IpfixPacketOptions } from "./options.ts";
import { Outgoing } from "./outgoing.ts";
import { PacketFields, Segment } from "./packet_fields.ts";
import {
  BROKEN_SECTION,
  FRAME_SECTION,
  HAS_COOKIE,
  HAS_LATENCY,
  HAS_MILLISECONDS,
  HAS_OCCUPANCY,
  HAS_POINT,
  HAS_QUEUE,
  HAS_SEGMENT,
  HAS_VLAN,
  IPV4_SECTION,
  IPV6_SECTION,
  IS_BIG,
  NO_SECTION,
  reportTemplate,
  SECTION,
} from "./report_templates.ts";
import { pointCookie, Selectors } from "./selectors.ts";
import type { Template } from "./template.ts";

/** From 1900, where NTP counts from, to 1970. */
const NTP_SECONDS = 2_208_988_800;
/** Fractions of a second in NTP's time stamps are 2^-32. */
const NTP_FRACTION = 0x1_0000_0000 / 1e9;
const FRAME_IS_ETHERNET = 1;
const INGRESS = 0;
const EGRESS = 1;
/** Up to this length of a field its length takes one byte, and above three (RFC 7011, section 7). */
const SHORT_LENGTH = 254;
const LONG_LENGTH = 255;
const LENGTH_BYTES = 3;
const U16 = 0xffff;

/**
 * Reports each sampled packet in IPFIX messages, as PSAMP does (RFC 5476): its first bytes, and what is known about it.
 *
 * @category Export
 */
export class IpfixPacketEncoder implements DatagramEncoder {
  /** {@linkcode DatagramEncoder.leftOut} */
  leftOut = 0;
  readonly #selectors: Selectors;
  readonly #headerBytes: number;
  readonly #always: number;
  readonly #hasCookieDomains: boolean;
  readonly #own: EnterpriseElements | undefined;
  readonly #templates = new Map<number, Template>();
  readonly #clock = new Clock();
  readonly #fields = new PacketFields();
  readonly #segment = new Segment();
  /** The whole memory of the packet reported last. */
  #memory: DataView<ArrayBufferLike> = viewOf(new Uint8Array(0));

  /**
   * Makes an encoder that has sent nothing yet.
   *
   * @param datagrams Memory for at least one message.
   * @param send Sends what is in it.
   * @throws {ArgumentError} if an option is out of range, or there is too little memory.
   */
  constructor(datagrams: Datagrams, send: SendDatagrams, options: IpfixPacketOptions = {}) {
    const complete = completeOptions(options);
    const { headerBytes, milliseconds, enterprise } = completeReportOptions(options);
    const out = new Outgoing(datagrams, send, complete.maxDatagramBytes);
    this.#selectors = new Selectors(complete, out, false, () => {});
    this.#headerBytes = headerBytes;
    this.#always = milliseconds ? HAS_MILLISECONDS : 0;
    this.#hasCookieDomains = complete.domains === "cookie";
    this.#own = enterprise === undefined ? undefined : enterpriseElements(enterprise);
  }

  /** {@linkcode DatagramEncoder.setSampledInputs} */
  setSampledInputs(ifindexes: Iterable<number>, nsid?: number): void {
    this.#selectors.setSampledInputs(ifindexes, nsid);
  }

  /** {@linkcode DatagramEncoder.setObserved} */
  setObserved(ifindex: number, direction: "ingress" | "egress", total: bigint, nsid?: number): void {
    this.#selectors.setObserved(ifindex, direction, total, nsid);
  }

  /** {@linkcode DatagramEncoder.take} */
  take(batch: Batch): void {
    this.#selectors.tick(batch.readAtNs);
    this.#selectors.enter(batch);
    const { entries, count } = batch;
    for (let i = 0; i < count; i++) {
      const entry = entries[i]!;
      if (entry.type === "sample") this.#report(batch, i, entry);
    }
    this.#selectors.leave();
  }

  /** {@linkcode DatagramEncoder.flush} */
  flush(nowNs: bigint): void {
    this.#selectors.tick(nowNs);
    this.#selectors.flush();
  }

  /** {@linkcode DatagramEncoder.end} */
  end(nowNs: bigint): void {
    this.flush(nowNs);
  }

  /** {@linkcode DatagramEncoder.announce} */
  announce(): void {
    this.#selectors.announce();
  }

  #report(batch: Batch, i: number, sample: SampleView): void {
    const sequence = this.#selectors.find(batch, i, sample);
    if (this.#selectors.isLeftOut(sequence, sample.nsid)) {
      this.leftOut++;
      return;
    }
    const packet = batch.packet(i);
    const segment = this.#segment;
    segment.read(sample, packet);
    const section = this.#readSection(sample, packet);
    const size = sample.originalBytes ?? sample.dataBytes;
    let features = this.#always | section;
    if (this.#fields.vlan >= 0) features |= HAS_VLAN;
    if (segment.id >= 0) features |= HAS_SEGMENT;
    if (size > U16) features |= IS_BIG;
    if (sample.isRare) features |= this.#rareFeatures(sample);
    if (this.#own && sample.outTc !== undefined) features |= HAS_QUEUE;
    let template = this.#templates.get(features);
    if (!template) this.#templates.set(features, template = reportTemplate(features, this.#own));

    const { selector } = sequence;
    const { domain } = selector;
    const cookie = features & HAS_COOKIE ? sample.cookie : undefined;
    const withoutSection = template.fixedBytes + (cookie ? 1 + cookie.length : 0);
    // The bytes of the packet are what gives way where messages are small.
    const room = domain.maxRecordBytes - withoutSection - LENGTH_BYTES;
    const captured = section === NO_SECTION ? 0 : Math.min(sample.dataBytes, this.#headerBytes, room);
    let at = domain.begin(template, withoutSection + LENGTH_BYTES + captured);
    const { view } = domain;
    setUint64(view, at, sequence.id);
    setUint64(view, at + 8, selector.id);
    at = this.#writeTimes(view, at + 16, batch, i);
    view.setUint32(at, sequence.inIndex);
    view.setUint32(at + 4, sequence.outIndex);
    view.setUint8(at + 8, sequence.isEgress ? EGRESS : INGRESS);
    view.setUint16(at + 9, Math.min(size, U16));
    at += 11;
    if (features & ~(HAS_MILLISECONDS | SECTION)) at = this.#writeFeatures(view, at, features, sample, size, cookie);
    if (section === FRAME_SECTION) {
      view.setUint16(at, FRAME_IS_ETHERNET);
      at += 2;
    } else if (section === IPV4_SECTION || section === IPV6_SECTION) {
      at = this.#writeIp(view, at, packet);
    }
    if (section !== NO_SECTION) at = this.#writeBytes(view, at, sample, captured);
    domain.end(at, 1);
  }

  /** What the packet begins with; reads its fields, as far as reports have them. */
  #readSection(sample: SampleView, packet: Headers): number {
    const fields = this.#fields;
    if (sample.dataBytes === 0) {
      fields.vlan = -1;
      return NO_SECTION;
    }
    if (packet.kinds[0] === ETHERNET) {
      // Collectors look into frames; the VLAN is only for those that do not.
      if (packet.count > 1 && packet.kinds[1] === VLAN) fields.read(packet);
      else fields.vlan = -1;
      return FRAME_SECTION;
    }
    fields.read(packet);
    return fields.version === 4 ? IPV4_SECTION : fields.version === 6 ? IPV6_SECTION : BROKEN_SECTION;
  }

  #rareFeatures(sample: SampleView): number {
    let features = pointCookie(sample) ? HAS_POINT : 0;
    if (!this.#own) return features;
    if (sample.cookie) features |= HAS_COOKIE;
    if (sample.outTcOccupancyBytes !== undefined) features |= HAS_OCCUPANCY;
    if (sample.latencyNs !== undefined) features |= HAS_LATENCY;
    return features;
  }

  #writeTimes(view: DataView, at: number, batch: Batch, i: number): number {
    const clock = this.#clock;
    batch.readTime(i, clock);
    const { seconds, nanoseconds } = clock;
    view.setUint32(at, seconds + NTP_SECONDS);
    view.setUint32(at + 4, Math.round(nanoseconds * NTP_FRACTION));
    if (this.#always === 0) return at + 8;
    // Before 1970 there are no milliseconds.
    const milliseconds = Math.max(0, seconds * 1000 + Math.floor(nanoseconds / 1e6));
    setUint64(view, at + 8, milliseconds);
    setUint64(view, at + 16, milliseconds);
    return at + 24;
  }

  #writeFeatures(
    view: DataView,
    at: number,
    features: number,
    sample: SampleView,
    size: number,
    cookie: Uint8Array | undefined,
  ): number {
    if (features & IS_BIG) {
      setUint64(view, at, size);
      at += 8;
    }
    if (features & HAS_POINT) {
      const point = sample.cookie!;
      for (let k = 0; k < point.length; k++) view.setUint8(at + k, point[k]!);
      // Of a cookie that named the domain only the rest is the point.
      if (this.#hasCookieDomains) view.setUint32(at, 0);
      at += 8;
    }
    if (features & HAS_SEGMENT) {
      view.setUint32(at, this.#segment.kind << 24);
      view.setUint32(at + 4, this.#segment.id);
      at += 8;
    }
    if (features & HAS_VLAN) {
      view.setUint16(at, this.#fields.vlan);
      view.setUint16(at + 2, this.#fields.vlan);
      at += 4;
    }
    if (features & HAS_QUEUE) {
      view.setUint16(at, sample.outTc!);
      at += 2;
    }
    if (features & HAS_OCCUPANCY) {
      view.setBigUint64(at, sample.outTcOccupancyBytes!);
      at += 8;
    }
    if (features & HAS_LATENCY) {
      view.setBigUint64(at, sample.latencyNs!);
      at += 8;
    }
    if (cookie) {
      view.setUint8(at++, cookie.length);
      for (let k = 0; k < cookie.length; k++) view.setUint8(at++, cookie[k]!);
    }
    return at;
  }

  #writeIp(view: DataView, at: number, { bytes }: Headers): number {
    const fields = this.#fields;
    view.setUint8(at++, fields.version);
    const addressBytes = fields.version === 4 ? 4 : 16;
    for (let k = 0; k < addressBytes; k++) view.setUint8(at++, bytes[fields.sourceAt + k]!);
    for (let k = 0; k < addressBytes; k++) view.setUint8(at++, bytes[fields.destinationAt + k]!);
    view.setUint16(at, fields.sourcePort);
    view.setUint16(at + 2, fields.destinationPort);
    view.setUint8(at + 4, fields.protocol);
    view.setUint8(at + 5, fields.classOfService);
    setUint64(view, at + 6, fields.ipBytes);
    setUint64(view, at + 14, 1);
    return at + 22;
  }

  #writeBytes(view: DataView, at: number, sample: SampleView, size: number): number {
    if (size <= SHORT_LENGTH) {
      view.setUint8(at++, size);
    } else {
      view.setUint8(at, LONG_LENGTH);
      view.setUint16(at + 1, size);
      at += LENGTH_BYTES;
    }
    const { dataMemory, dataAt } = sample;
    if (dataMemory !== this.#memory.buffer) this.#memory = new DataView(dataMemory);
    const memory = this.#memory;
    let k = 0;
    for (; k + 16 <= size; k += 16) {
      const from = dataAt + k;
      const to = at + k;
      // In the order of the machine, which does not turn them round.
      view.setInt32(to, memory.getInt32(from, LITTLE), LITTLE);
      view.setInt32(to + 4, memory.getInt32(from + 4, LITTLE), LITTLE);
      view.setInt32(to + 8, memory.getInt32(from + 8, LITTLE), LITTLE);
      view.setInt32(to + 12, memory.getInt32(from + 12, LITTLE), LITTLE);
    }
    for (; k < size; k++) view.setUint8(at + k, memory.getUint8(dataAt + k));
    return at + size;
  }
}
