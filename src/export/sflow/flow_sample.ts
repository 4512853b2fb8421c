/**
 * Flow samples and the records in them. Sources: sflow.org, "sFlow Version 5" (July 2004), section 5.3; "sFlow Version 5: Tunnel
 * Structures", "Transit Delay Structures", "Timestamp Structures".
 *
 * Records that every collector knows come first, and the time last: Wireshark 4.0 does not skip a record that it does not know, and misreads
 * what follows in the same sample. Samples of software have no more than that one.
 */
import type { LinkType } from "../../link/link_type.ts";
import { ofEtherType } from "../../packet/ethernet.ts";
import { VLAN } from "../../packet/header.ts";
import type { SampleView } from "../../psample/sample_view.ts";
import type { Batch } from "../../stream/batch.ts";
import { Clock } from "../../stream/clock.ts";
import { ETH_P_IPV6 } from "../../wire/ether_types.ts";
import { align4 } from "../../wire/native.ts";
import type { Datagram } from "./datagram.ts";
import { IpRecord, IPV6_RECORD_BYTES } from "./ip_record.ts";
import { IF_INDEX, type Source } from "./source.ts";
import { MOST_TUNNEL_BYTES, writeTunnel } from "./tunnel_records.ts";

const FLOW_SAMPLE = 1;
const FLOW_SAMPLE_EXPANDED = 3;
const FLOW_SAMPLE_BYTES = 40;
const FLOW_SAMPLE_EXPANDED_BYTES = 52;

export const SAMPLED_HEADER = 1;
const EXTENDED_SWITCH = 1001;
const EXTENDED_VLAN_TUNNEL = 1012;
const EXTENDED_EGRESS_QUEUE = 1036;
const EXTENDED_TRANSIT_DELAY = 1039;
const EXTENDED_QUEUE_DEPTH = 1040;
const EXTENDED_TIMESTAMP = 1043;

/** Sizes with the record's own header of 8 bytes. */
export const SAMPLED_HEADER_BYTES = 24;
const SWITCH_BYTES = 24;
const VLAN_TUNNEL_BYTES = 16;
const U32_RECORD_BYTES = 12;
const TIMESTAMP_BYTES = 16;

/** header_protocol */
export const ETHERNET_ISO88023 = 1;
export const HEADER_IPV4 = 11;
export const HEADER_IPV6 = 12;

/** Frames have a check sequence, which no sample contains. */
export const FCS_BYTES = 4;
const TAG_BYTES = 4;
const ETHERNET_BYTES = 14;
const MAC_BYTES = 6;

const MOST_U32 = 0xffff_ffff;
const MOST_U32_LONG = 0xffff_ffffn;

/** Maximum size of a sample with this many bytes of a packet. */
export function mostSampleBytes(headerBytes: number): number {
  return FLOW_SAMPLE_EXPANDED_BYTES + SAMPLED_HEADER_BYTES + align4(headerBytes) + IPV6_RECORD_BYTES + SWITCH_BYTES +
    VLAN_TUNNEL_BYTES + 3 * U32_RECORD_BYTES + TIMESTAMP_BYTES + MOST_TUNNEL_BYTES;
}

/** What samples are to contain. */
export interface FlowSampleSettings {
  /** Maximum number of bytes of a packet. */
  readonly headerBytes: number;
  /** Whether to describe tunnels. */
  readonly tunnels: boolean;
  /** The VLAN tag that was removed from a packet, as TPID times 65536 plus TCI. */
  readonly strippedTag: ((sample: SampleView) => number | undefined) | undefined;
}

/** Where a packet passed: ifIndexes, 0 if unknown. */
export interface Passage {
  /** The interface that it was sampled on. */
  source: number;
  input: number;
  output: number;
}

/** Writes flow samples. It allocates nothing for samples that have only what nearly all have. */
export class FlowSamples {
  readonly #headerBytes: number;
  readonly #tunnels: boolean;
  readonly #strippedTag: FlowSampleSettings["strippedTag"];
  readonly #ip = new IpRecord();
  readonly #clock = new Clock();
  readonly #time = { high: 0, low: 0 };
  /** The whole memory that the data of the last sample was in, which is nearly always that of the next one too. */
  #memory: ArrayBufferLike = new ArrayBuffer(0);
  #bytes: Uint8Array = new Uint8Array(this.#memory);
  #words: Int32Array = new Int32Array(this.#memory);
  /** How many records the present sample has so far. */
  #records = 0;

  constructor({ headerBytes, tunnels, strippedTag }: FlowSampleSettings) {
    this.#headerBytes = headerBytes;
    this.#tunnels = tunnels;
    this.#strippedTag = strippedTag;
  }

  /**
   * Writes entry `i`, which is `sample`, at the end of a datagram.
   *
   * @returns Where it ends.
   */
  write(
    datagram: Datagram,
    batch: Batch,
    i: number,
    sample: SampleView,
    linkType: LinkType,
    source: Source,
    passage: Passage,
    expanded: boolean,
  ): number {
    const { view, end: start } = datagram;
    let at = start + (expanded ? FLOW_SAMPLE_EXPANDED_BYTES : FLOW_SAMPLE_BYTES);
    this.#records = 0;
    at = this.#packet(datagram, at, batch, i, sample, linkType);
    const { outTc } = sample;
    if (outTc !== undefined) at = this.#u32(view, at, EXTENDED_EGRESS_QUEUE, outTc);
    const isRare = sample.isRare;
    if (isRare) {
      const { outTcOccupancyBytes, latencyNs } = sample;
      // The depth is that of the queue, which must be named.
      if (outTc !== undefined && outTcOccupancyBytes !== undefined) {
        at = this.#u32(view, at, EXTENDED_QUEUE_DEPTH, saturated(outTcOccupancyBytes));
      }
      if (latencyNs !== undefined) at = this.#u32(view, at, EXTENDED_TRANSIT_DELAY, saturated(latencyNs));
    }
    if (isRare && this.#tunnels) {
      const { tunnel } = sample;
      if (tunnel) {
        const { end, records } = writeTunnel(datagram, at, tunnel, sample);
        at = end;
        this.#records += records;
      }
    }
    at = this.#timestamp(view, at, batch, i, sample);
    // The head comes last, when the number of records is known.
    const n = source.count(sample.oneIn);
    const { flowSequence, pool, drops } = source;
    view.setUint32(start, expanded ? FLOW_SAMPLE_EXPANDED : FLOW_SAMPLE);
    view.setUint32(start + 4, at - start - 8);
    view.setUint32(start + 8, flowSequence);
    if (expanded) {
      view.setUint32(start + 12, IF_INDEX);
      view.setUint32(start + 16, passage.source);
      view.setUint32(start + 20, n);
      view.setUint32(start + 24, pool);
      view.setUint32(start + 28, drops);
      view.setUint32(start + 32, 0);
      view.setUint32(start + 36, passage.input);
      view.setUint32(start + 40, 0);
      view.setUint32(start + 44, passage.output);
      view.setUint32(start + 48, this.#records);
    } else {
      // The type of the source is in the upper 8 bits, the format of input and output in the upper 2: all 0.
      view.setUint32(start + 12, passage.source);
      view.setUint32(start + 16, n);
      view.setUint32(start + 20, pool);
      view.setUint32(start + 24, drops);
      view.setUint32(start + 28, passage.input);
      view.setUint32(start + 32, passage.output);
      view.setUint32(start + 36, this.#records);
    }
    return at;
  }

  /** Whether a frame is addressed to a device with this address, or to a group. */
  isAddressedTo(sample: SampleView, address: Uint8Array | undefined): boolean {
    if (sample.dataBytes < MAC_BYTES) return false;
    this.#look(sample);
    const { dataAt } = sample;
    const bytes = this.#bytes;
    // The lowest bit of the first byte: IEEE 802, 8.2.2.
    if ((bytes[dataAt]! & 1) === 1) return true;
    if (address?.length !== MAC_BYTES) return false;
    for (let k = 0; k < MAC_BYTES; k++) if (bytes[dataAt + k] !== address[k]) return false;
    return true;
  }

  /** Writes what the bytes of the packet show: the sampled header, and records about it. */
  #packet(datagram: Datagram, start: number, batch: Batch, i: number, sample: SampleView, linkType: LinkType): number {
    const { view } = datagram;
    const { dataBytes } = sample;
    const originalBytes = sample.originalBytes ?? dataBytes;
    const size = Math.min(dataBytes, this.#headerBytes);
    let at = start + SAMPLED_HEADER_BYTES;
    if (dataBytes > 0) at = this.#copy(datagram, at, sample, size);
    view.setUint32(start, SAMPLED_HEADER);
    view.setUint32(start + 4, at - start - 8);
    view.setUint32(start + 20, size);
    this.#records++;
    if (linkType === "raw-ip") {
      const isIpv6 = dataBytes > 0 ? this.#bytes[sample.dataAt]! >> 4 === 6 : sample.protocol === ETH_P_IPV6;
      view.setUint32(start + 8, isIpv6 ? HEADER_IPV6 : HEADER_IPV4);
      view.setUint32(start + 12, originalBytes);
      view.setUint32(start + 16, 0);
      if (dataBytes === 0) return at;
      // Some collectors decode no sampled header that begins with IP.
      const end = this.#ip.write(view, at, batch.packet(i), originalBytes);
      if (end > at) this.#records++;
      return end;
    }
    const stripped = this.#strippedTag?.(sample);
    const removed = stripped === undefined ? FCS_BYTES : FCS_BYTES + TAG_BYTES;
    view.setUint32(start + 8, ETHERNET_ISO88023);
    view.setUint32(start + 12, originalBytes + removed);
    view.setUint32(start + 16, removed);
    const tci = stripped === undefined ? this.#tagIn(sample) : stripped & 0xffff;
    if (tci < 0) return at;
    // The sample shows the frame as it came in, or as it leaves: the tag on the other side is not known.
    const side = at + (sample.outIfindex === undefined ? 8 : 16);
    view.setUint32(at, EXTENDED_SWITCH);
    view.setUint32(at + 4, SWITCH_BYTES - 8);
    view.setUint32(at + 8, 0);
    view.setUint32(at + 12, 0);
    view.setUint32(at + 16, 0);
    view.setUint32(at + 20, 0);
    view.setUint32(side, tci & 0x0fff);
    view.setUint32(side + 4, tci >> 13);
    this.#records++;
    at += SWITCH_BYTES;
    if (stripped === undefined) return at;
    view.setUint32(at, EXTENDED_VLAN_TUNNEL);
    view.setUint32(at + 4, VLAN_TUNNEL_BYTES - 8);
    view.setUint32(at + 8, 1);
    view.setUint32(at + 12, stripped);
    this.#records++;
    return at + VLAN_TUNNEL_BYTES;
  }

  /** Copies the first `size` bytes of a packet, and pads them. */
  #copy(datagram: Datagram, at: number, sample: SampleView, size: number): number {
    this.#look(sample);
    const { dataAt } = sample;
    const { bytes } = datagram;
    const from = this.#bytes;
    let k = 0;
    // What netlink delivers is aligned. A view of so few bytes, for set(), would cost as much as copying them.
    if ((dataAt & 3) === 0) {
      const { words } = datagram;
      const fromWords = this.#words;
      const whole = size >> 2;
      const to = at >> 2;
      const first = dataAt >> 2;
      let word = 0;
      for (; word + 4 <= whole; word += 4) {
        words[to + word] = fromWords[first + word]!;
        words[to + word + 1] = fromWords[first + word + 1]!;
        words[to + word + 2] = fromWords[first + word + 2]!;
        words[to + word + 3] = fromWords[first + word + 3]!;
      }
      for (; word < whole; word++) words[to + word] = fromWords[first + word]!;
      k = whole << 2;
    }
    for (; k < size; k++) bytes[at + k] = from[dataAt + k]!;
    for (; (k & 3) !== 0; k++) bytes[at + k] = 0;
    return at + k;
  }

  /** Makes the memory that the data of a sample is in readable. */
  #look({ dataMemory }: SampleView): void {
    if (dataMemory === this.#memory) return;
    this.#memory = dataMemory;
    this.#bytes = new Uint8Array(dataMemory);
    this.#words = new Int32Array(dataMemory, 0, dataMemory.byteLength >> 2);
  }

  /** The outermost VLAN tag in the bytes of a frame; -1 if there is none. */
  #tagIn(sample: SampleView): number {
    if (sample.dataBytes < ETHERNET_BYTES + 2) return -1;
    const { dataAt } = sample;
    const bytes = this.#bytes;
    if (ofEtherType(bytes[dataAt + 12]! << 8 | bytes[dataAt + 13]!) !== VLAN) return -1;
    return bytes[dataAt + 14]! << 8 | bytes[dataAt + 15]!;
  }

  #u32(view: DataView, at: number, record: number, value: number): number {
    view.setUint32(at, record);
    view.setUint32(at + 4, U32_RECORD_BYTES - 8);
    view.setUint32(at + 8, value);
    this.#records++;
    return at + U32_RECORD_BYTES;
  }

  #timestamp(view: DataView, at: number, batch: Batch, i: number, sample: SampleView): number {
    let time: { readonly high: number; readonly low: number } = this.#time;
    if (!sample.readTimestamp(this.#time)) {
      // When a sample was received is not when the packet passed; when it was recorded says more than when the recording is read.
      if (!batch.recorded || !batch.hasTime(i)) return at;
      batch.readTime(i, this.#clock);
      time = this.#clock;
    }
    view.setUint32(at, EXTENDED_TIMESTAMP);
    view.setUint32(at + 4, TIMESTAMP_BYTES - 8);
    view.setUint32(at + 8, time.high);
    view.setUint32(at + 12, time.low);
    this.#records++;
    return at + TIMESTAMP_BYTES;
  }
}

/** A number in 32 bits: all ones means that much or more. */
function saturated(value: bigint): number {
  return value >= MOST_U32_LONG ? MOST_U32 : Number(value);
}
