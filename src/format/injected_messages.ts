/** Messages of recorded samples as a program in user space sends them to listeners: like the kernel's, from this machine. */
import { type LinkType, linkTypeOfSample } from "../link/link_type.ts";
import { ETHERNET_BYTES } from "../packet/ethernet.ts";
import {
  PSAMPLE_ATTR_GROUP_SEQ,
  PSAMPLE_ATTR_PROTO,
  PSAMPLE_ATTR_SAMPLE_GROUP,
  PSAMPLE_ATTR_SAMPLE_RATE,
  PSAMPLE_ATTR_TIMESTAMP,
} from "../psample/constants.ts";
import { ATTRIBUTES } from "../psample/layout.ts";
import { toNativeOrder } from "../psample/native_order.ts";
import type { SampleView } from "../psample/sample_view.ts";
import type { Batch } from "../stream/batch.ts";
import { AttrReader } from "../wire/attr_reader.ts";
import { AttrWriter } from "../wire/attr_writer.ts";
import { ETH_P_802_3_MIN, ETH_P_IP, ETH_P_IPV6 } from "../wire/ether_types.ts";
import { NLM_F_ACK, NLM_F_REQUEST } from "../wire/message.ts";
import { align4, LITTLE } from "../wire/native.ts";

/**
 * How packets that psample did not record are sent: a recording made by another program does not contain a group or a rate.
 *
 * @category Injecting
 */
export interface InjectedPacketOptions {
  /** Their group, u32. Defaults to 1. */
  readonly packetGroup?: number | undefined;
  /** Their rate, N of 1 in N, u32. Defaults to 1: all packets were recorded. */
  readonly packetRate?: number | undefined;
}

/** More than the attributes that are added to a packet. */
const ADDED_BYTES = 64;
/** Maximum number of producers whose numbers are known: a recording has a few, but a file may contain anything. */
const MOST_PRODUCERS = 4096;

/** How one producer numbers the samples of a group. */
interface Numbering {
  /** The round that it was seen in last. */
  round: number;
  /** Whether any number was not 0: some producers send only 0. */
  counts: boolean;
  /** The number that was sent last. */
  last: number;
  /** What is added to the recorded number. */
  offset: number;
}

/** Writes such messages, and knows their numbers. The sender fills in the number of the family and its own port. */
export class InjectedMessages {
  readonly #group: number;
  readonly #rate: number;
  /** The number of the next packet that psample did not record. */
  #packets = 0;
  #round = 0;
  readonly #numberings = new Map<string, Numbering>();

  constructor({ packetGroup = 1, packetRate = 1 }: InjectedPacketOptions = {}) {
    this.#group = packetGroup;
    this.#rate = packetRate;
  }

  /** The same samples follow again: their numbers continue from where they are now instead of starting over. */
  nextRound(): void {
    this.#round++;
  }

  /** Maximum size of the message of a sample. */
  mostBytes(sample: SampleView): number {
    return align4(sample.messageBytes) + ADDED_BYTES;
  }

  /** Writes the message of sample `i` to offset `at` of memory, which is given twice. Returns its size. */
  write(batch: Batch, i: number, bytes: Uint8Array, view: DataView, at: number): number {
    const sample = batch.entries[i] as SampleView;
    let size = sample.messageBytes;
    sample.writeMessage(bytes, view, at);
    if (sample.littleEndian !== LITTLE) toNativeOrder(view, at, at + size);
    if (sample.group === undefined) {
      const added = this.#added(batch, i, sample);
      bytes.fill(0, at + size, at + align4(size));
      bytes.set(added, at + align4(size));
      size = align4(size) + added.length;
    } else if (sample.sequence !== undefined) {
      this.#number(sample, sample.sequence, view, at, at + size);
    }
    view.setUint32(at, size, LITTLE);
    // The kernel would take a request for one to itself.
    view.setUint16(at + 6, view.getUint16(at + 6, LITTLE) & ~(NLM_F_REQUEST | NLM_F_ACK), LITTLE);
    return size;
  }

  /** What every sample has and a recorded packet has not. */
  #added(batch: Batch, i: number, sample: SampleView): Uint8Array {
    const attr = new AttrWriter();
    attr.u32(PSAMPLE_ATTR_SAMPLE_RATE, sample.rate ?? this.#rate);
    attr.u32(PSAMPLE_ATTR_SAMPLE_GROUP, this.#group);
    attr.u32(PSAMPLE_ATTR_GROUP_SEQ, this.#packets++ >>> 0);
    if (sample.timestampNs === undefined) {
      const timeNs = batch.timeNs(i);
      attr.u64(PSAMPLE_ATTR_TIMESTAMP, timeNs < 0n ? undefined : timeNs);
    }
    if (sample.protocol === undefined) {
      attr.u16(PSAMPLE_ATTR_PROTO, protocolOf(linkTypeOfSample(batch.device(i)?.type, sample), sample.data));
    }
    return attr.finish();
  }

  /** Continues the numbers of the round before. */
  #number({ group, nsid, portId }: SampleView, sequence: number, view: DataView, start: number, end: number): void {
    const key = `${nsid}/${portId}/${group}`;
    let numbering = this.#numberings.get(key);
    if (numbering === undefined) {
      if (this.#numberings.size === MOST_PRODUCERS) this.#numberings.clear();
      this.#numberings.set(key, numbering = { round: this.#round, counts: false, last: 0, offset: 0 });
    }
    if (numbering.round !== this.#round) {
      numbering.round = this.#round;
      if (numbering.counts) numbering.offset = numbering.last + 1 - sequence;
    }
    numbering.counts ||= sequence !== 0;
    numbering.last = (sequence + numbering.offset) >>> 0;
    if (numbering.offset === 0) return;
    const attr = new AttrReader(view, start + ATTRIBUTES, end, LITTLE);
    while (attr.next()) if (attr.type === PSAMPLE_ATTR_GROUP_SEQ) view.setUint32(attr.offset, numbering.last, LITTLE);
  }
}

// include/uapi/linux/if_ether.h: frames of IEEE 802.3, which have a length in place of an EtherType.
const ETH_P_802_2 = 0x0004;

/** The protocol that the kernel would give for a packet (`eth_type_trans` in net/ethernet/eth.c). */
function protocolOf(first: LinkType, data: Uint8Array | undefined): number | undefined {
  if (data === undefined) return undefined;
  if (first === "raw-ip") return data.length === 0 ? undefined : data[0]! >> 4 === 6 ? ETH_P_IPV6 : ETH_P_IP;
  if (data.length < ETHERNET_BYTES) return undefined;
  const type = data[12]! << 8 | data[13]!;
  return type < ETH_P_802_3_MIN ? ETH_P_802_2 : type;
}
