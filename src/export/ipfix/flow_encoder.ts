import type { Headers } from "../../packet/headers.ts";
import type { SampleView } from "../../psample/sample_view.ts";
import type { Batch } from "../../stream/batch.ts";
import { Clock } from "../../stream/clock.ts";
import type { DatagramEncoder, Datagrams, SendDatagrams } from "../datagrams.ts";
import { setUint64 } from "./announcements.ts";
import {
  DESTINATION_IPV4_ADDRESS,
  DESTINATION_IPV6_ADDRESS,
  DESTINATION_MAC_ADDRESS,
  DESTINATION_PORT,
  EGRESS_INTERFACE,
  type Element,
  ETHERNET_TYPE,
  FLOW_DIRECTION,
  FLOW_END_MILLISECONDS,
  FLOW_END_REASON,
  FLOW_START_MILLISECONDS,
  INGRESS_INTERFACE,
  IP_CLASS_OF_SERVICE,
  LAYER2_SEGMENT_ID,
  OCTET_DELTA_COUNT,
  PACKET_DELTA_COUNT,
  PROTOCOL_IDENTIFIER,
  SELECTOR_ID,
  SOURCE_IPV4_ADDRESS,
  SOURCE_IPV6_ADDRESS,
  SOURCE_MAC_ADDRESS,
  SOURCE_PORT,
  TCP_CONTROL_BITS,
  VLAN_ID,
} from "./elements.ts";
import { FlowTable } from "./flow_table.ts";
import { Lifetimes } from "./lifetimes.ts";
import { completeFlowOptions, completeOptions, type IpfixFlowOptions } from "./options.ts";
import { Outgoing } from "./outgoing.ts";
import { PacketFields, Segment } from "./packet_fields.ts";
import { Selectors } from "./selectors.ts";
import { Template } from "./template.ts";

/** What flows are told apart by, in two bits: words of the key mean what they do there. */
const KIND = 3;
const IPV4 = 0;
const IPV6 = 1;
/** A frame with something else. */
const FRAME = 2;
/** Nothing but the protocol is known. */
const UNKNOWN = 3;
const HAS_VLAN = 4;
const HAS_SEGMENT = 8;
/** Templates of flow records have numbers of their own, beside those of packet reports; even, as those. */
const FIRST_ID = 0x4000;

/** Words of a key. */
const TYPE = 0; // the kind and features, and the IP protocol or the EtherType
const PORTS = 1;
const SOURCE = 2;
const DESTINATION = 6;
const VLAN = 10;
const SEGMENT = 11;
const SEQUENCE = 12;

/** Values of flowEndReason (RFC 5102, section 5.11.3). */
const IDLE = 1;
const ACTIVE = 2;
const FORCED_END = 4;
const LACK_OF_RESOURCES = 5;

/** The template of flows with these features. */
function flowTemplate(features: number): Template {
  const kind = features & KIND;
  const fields: Element[] = [SELECTOR_ID, FLOW_START_MILLISECONDS, FLOW_END_MILLISECONDS, INGRESS_INTERFACE, EGRESS_INTERFACE];
  fields.push(FLOW_DIRECTION, FLOW_END_REASON);
  if (features & HAS_VLAN) fields.push(VLAN_ID);
  if (features & HAS_SEGMENT) fields.push(LAYER2_SEGMENT_ID);
  if (kind === IPV4) fields.push(SOURCE_IPV4_ADDRESS, DESTINATION_IPV4_ADDRESS);
  if (kind === IPV6) fields.push(SOURCE_IPV6_ADDRESS, DESTINATION_IPV6_ADDRESS);
  if (kind === IPV4 || kind === IPV6) {
    fields.push(SOURCE_PORT, DESTINATION_PORT, PROTOCOL_IDENTIFIER, IP_CLASS_OF_SERVICE, TCP_CONTROL_BITS);
  } else {
    fields.push(ETHERNET_TYPE);
  }
  if (kind === FRAME) fields.push(SOURCE_MAC_ADDRESS, DESTINATION_MAC_ADDRESS);
  fields.push(OCTET_DELTA_COUNT, PACKET_DELTA_COUNT);
  return new Template(FIRST_ID + 2 * features, fields);
}

/**
 * Aggregates sampled packets to flows and reports these in IPFIX messages, for collectors that do not look into packets. A flow is what has
 * the same addresses, ports and protocol, the same VLAN and overlay, and comes by the same interfaces in the same direction.
 *
 * @category Export
 */
export class IpfixFlowEncoder implements DatagramEncoder {
  /** {@linkcode DatagramEncoder.leftOut} */
  leftOut = 0;
  readonly #out: Outgoing;
  readonly #selectors: Selectors;
  readonly #flows: FlowTable;
  readonly #activeMs: number;
  readonly #lifetimes: Lifetimes;
  readonly #idleMs: number;
  readonly #scale: boolean;
  readonly #templates = new Map<number, Template>();
  readonly #clock = new Clock();
  readonly #fields = new PacketFields();
  readonly #segment = new Segment();
  /** The time that flows end by: this machine's, or that of the recording. */
  #nowMs = 0;
  #isRecorded = false;

  /**
   * Makes an encoder that has sent nothing yet.
   *
   * @param datagrams Memory for at least one message.
   * @param send Sends what is in it.
   * @throws {ArgumentError} if an option is out of range, or there is too little memory.
   */
  constructor(datagrams: Datagrams, send: SendDatagrams, options: IpfixFlowOptions = {}) {
    const complete = completeOptions(options);
    const { activeMs, idleMs, flows, scale } = completeFlowOptions(options);
    this.#out = new Outgoing(datagrams, send, complete.maxDatagramBytes);
    this.#selectors = new Selectors(complete, this.#out, scale, () => this.#exportAll(LACK_OF_RESOURCES));
    this.#flows = new FlowTable(flows);
    this.#activeMs = activeMs;
    this.#lifetimes = new Lifetimes(activeMs, complete.random);
    this.#idleMs = idleMs;
    this.#scale = scale;
  }

  /** Number of flows in memory. */
  get flows(): number {
    return this.#flows.size;
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
    this.#isRecorded = batch.recorded;
    if (!batch.recorded) {
      this.#nowMs = this.#out.nowMs;
      this.#expire();
    }
    this.#selectors.enter(batch);
    const { entries, count } = batch;
    for (let i = 0; i < count; i++) {
      const entry = entries[i]!;
      if (entry.type === "sample") this.#add(batch, i, entry);
    }
    this.#selectors.leave();
  }

  /** {@linkcode DatagramEncoder.flush} */
  flush(nowNs: bigint): void {
    this.#selectors.tick(nowNs);
    // A recording has its own time, known only from its packets.
    if (!this.#isRecorded) {
      this.#nowMs = this.#out.nowMs;
      this.#expire();
    }
    this.#selectors.flush();
  }

  /** {@linkcode DatagramEncoder.end} */
  end(nowNs: bigint): void {
    this.#out.tick(nowNs);
    this.#exportAll(FORCED_END);
    this.flush(nowNs);
  }

  /** {@linkcode DatagramEncoder.announce} */
  announce(): void {
    this.#selectors.announce();
  }

  #add(batch: Batch, i: number, sample: SampleView): void {
    const clock = this.#clock;
    batch.readTime(i, clock);
    // Before 1970 there are no milliseconds.
    const timeMs = Math.max(0, clock.seconds * 1000 + Math.floor(clock.nanoseconds / 1e6));
    if (batch.recorded) {
      this.#nowMs = timeMs;
      this.#expire();
    }
    const sequence = this.#selectors.find(batch, i, sample);
    if (this.#selectors.isLeftOut(sequence, sample.nsid)) {
      this.leftOut++;
      return;
    }
    const packet = batch.packet(i);
    const fields = this.#fields;
    fields.read(packet);
    this.#segment.read(sample, packet);
    const flows = this.#flows;
    this.#fillKey(sample, packet, sequence.number);
    let slot = flows.find();
    if (slot < 0) {
      if (flows.isFull) this.#export(flows.idlest, LACK_OF_RESOURCES);
      slot = flows.add(sequence, timeMs);
      flows.classOfService[slot] = fields.classOfService;
    }
    const times = this.#scale ? sequence.selector.oneIn : 1;
    flows.packets[slot]! += times;
    flows.bytes[slot]! += times * fields.ipBytes;
    flows.samples[slot]!++;
    flows.tcpFlags[slot]! |= fields.tcpFlags;
    if (timeMs > flows.lastMs[slot]!) flows.lastMs[slot] = timeMs;
    else if (timeMs < flows.firstMs[slot]!) flows.firstMs[slot] = timeMs;
  }

  #fillKey(sample: SampleView, { bytes }: Headers, sequence: number): void {
    const fields = this.#fields;
    const { version, frameAt, vlan } = fields;
    const segment = this.#segment;
    const { key } = this.#flows;
    const u32 = (at: number): number => bytes[at]! << 24 | bytes[at + 1]! << 16 | bytes[at + 2]! << 8 | bytes[at + 3]!;
    key.fill(0);
    let type = (vlan >= 0 ? HAS_VLAN : 0) | (segment.id >= 0 ? HAS_SEGMENT : 0);
    if (version !== 0) {
      type |= (version === 4 ? IPV4 : IPV6) | fields.protocol << 16;
      key[PORTS] = fields.sourcePort << 16 | fields.destinationPort;
      const words = version === 4 ? 1 : 4;
      for (let i = 0; i < words; i++) {
        key[SOURCE + i] = u32(fields.sourceAt + 4 * i);
        key[DESTINATION + i] = u32(fields.destinationAt + 4 * i);
      }
    } else if (frameAt >= 0) {
      type |= FRAME | fields.etherType << 16;
      key[DESTINATION] = u32(frameAt);
      key[DESTINATION + 1] = u32(frameAt + 4) >>> 16;
      key[SOURCE] = u32(frameAt + 6);
      key[SOURCE + 1] = u32(frameAt + 10) >>> 16;
    } else {
      type |= UNKNOWN | (sample.protocol ?? 0) << 16;
    }
    key[TYPE] = type;
    if (vlan >= 0) key[VLAN] = vlan;
    if (segment.id >= 0) key[SEGMENT] = segment.kind << 24 | segment.id;
    key[SEQUENCE] = sequence;
  }

  /** Reports the flows that are due. Both differences are negative after a clock was set back, which ends flows too. */
  #expire(): void {
    const flows = this.#flows;
    const now = this.#nowMs;
    for (let slot = flows.idlest; slot >= 0 && Math.abs(now - flows.lastMs[slot]!) >= this.#idleMs; slot = flows.idlest) {
      this.#export(slot, IDLE);
    }
    for (let slot = flows.oldest; slot >= 0 && Math.abs(now - flows.firstMs[slot]!) >= this.#activeFor(slot); slot = flows.oldest) {
      this.#export(slot, ACTIVE);
    }
  }

  /** How long a flow may be active. A recording is always cut into the same flows. */
  #activeFor(slot: number): number {
    return this.#isRecorded ? this.#activeMs : this.#lifetimes.of(this.#flows.firstMs[slot]!);
  }

  #exportAll(reason: number): void {
    for (let slot = this.#flows.oldest; slot >= 0; slot = this.#flows.oldest) this.#export(slot, reason);
  }

  /** Reports a flow and forgets it: its next packet begins another. */
  #export(slot: number, reason: number): void {
    const flows = this.#flows;
    const sequence = flows.sequences[slot]!;
    const { selector } = sequence;
    const { domain } = selector;
    const type = flows.word(slot, TYPE);
    const features = type & 0xffff;
    let template = this.#templates.get(features);
    if (!template) this.#templates.set(features, template = flowTemplate(features));
    let at = domain.begin(template, template.fixedBytes);
    const { view } = domain;
    setUint64(view, at, selector.id);
    setUint64(view, at + 8, flows.firstMs[slot]!);
    setUint64(view, at + 16, flows.lastMs[slot]!);
    view.setUint32(at + 24, sequence.inIndex);
    view.setUint32(at + 28, sequence.outIndex);
    view.setUint8(at + 32, sequence.isEgress ? 1 : 0);
    view.setUint8(at + 33, reason);
    at += 34;
    if (features & HAS_VLAN) {
      view.setUint16(at, flows.word(slot, VLAN));
      at += 2;
    }
    if (features & HAS_SEGMENT) {
      const segment = flows.word(slot, SEGMENT);
      view.setUint32(at, segment & 0xff00_0000);
      view.setUint32(at + 4, segment & 0x00ff_ffff);
      at += 8;
    }
    const kind = features & KIND;
    if (kind === IPV4 || kind === IPV6) {
      const words = kind === IPV4 ? 1 : 4;
      for (let i = 0; i < words; i++) {
        view.setUint32(at + 4 * i, flows.word(slot, SOURCE + i));
        view.setUint32(at + 4 * (words + i), flows.word(slot, DESTINATION + i));
      }
      at += 8 * words;
      view.setUint32(at, flows.word(slot, PORTS));
      view.setUint8(at + 4, type >>> 16);
      view.setUint8(at + 5, flows.classOfService[slot]!);
      view.setUint16(at + 6, flows.tcpFlags[slot]!);
      at += 8;
    } else {
      view.setUint16(at, type >>> 16);
      at += 2;
    }
    if (kind === FRAME) {
      for (const word of [SOURCE, DESTINATION]) {
        view.setUint32(at, flows.word(slot, word));
        view.setUint16(at + 4, flows.word(slot, word + 1));
        at += 6;
      }
    }
    setUint64(view, at, Math.round(flows.bytes[slot]!));
    setUint64(view, at + 8, Math.round(flows.packets[slot]!));
    domain.end(at + 16, flows.samples[slot]!);
    flows.remove(slot);
  }
}
