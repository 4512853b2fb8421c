import type { UnknownAttribute } from "../wire/attr_reader.ts";
import { toHex } from "../wire/text.ts";
import { findTunnel, findUnknown, NONE, valueAt } from "./attributes.ts";
import { HAS_PROBABILITY, HAS_TUNNEL, HAS_UNKNOWN, type Layout } from "./layout.ts";
import { copyTunnel, copyUnknown, type Tunnel, tunnelToJson, unknownToJson } from "./tunnel.ts";

/** The rate attribute's value for a probability of 1. */
const PROBABILITY_ONE = 0xffffffff;

/**
 * The fields of {@linkcode Sample} and {@linkcode SampleView}. A field that a message does not contain is `undefined`, never 0.
 *
 * @category Samples
 */
export interface SampleFields {
  /** Distinguishes samples from group events. */
  readonly type: "sample";
  /** The psample group, u32. */
  readonly group: number | undefined;
  /** Number of the sample in its group, u32, wraps. A gap is a loss. Open vSwitch and mlx5 send 0 in every sample. */
  readonly sequence: number | undefined;
  /** The rate as sent, u32: N of "1 in N"; or a probability in units of 1/4294967295 if {@linkcode SampleFields.rateIsProbability}. */
  readonly rate: number | undefined;
  /** The flag SAMPLE_PROBABILITY (kernels since 6.11, Open vSwitch). */
  readonly rateIsProbability: boolean;
  /** N of "1 in N", a fraction if the rate is a probability; `undefined` if no rate was sent or the probability is 0. */
  readonly oneIn: number | undefined;
  /** Index of the interface that the packet came in by. The kernel sends its low 16 bits. */
  readonly inIfindex: number | undefined;
  /** Index of the interface that the packet leaves by; present if it was sampled on egress. */
  readonly outIfindex: number | undefined;
  /** Size of the packet in bytes before truncation, without VLAN tag and frame check sequence. */
  readonly originalBytes: number | undefined;
  /** EtherType of the packet; producers in user space send other codes. */
  readonly protocol: number | undefined;
  /** When the packet was sampled: nanoseconds since 1970 of the realtime clock. Kernels since 5.13. */
  readonly timestampNs: bigint | undefined;
  /** How long the packet was in the device, in nanoseconds, if the hardware reports it. */
  readonly latencyNs: bigint | undefined;
  /** Egress traffic class (queue), if the hardware reports it. */
  readonly outTc: number | undefined;
  /** Occupancy of the queue {@linkcode SampleFields.outTc} in bytes, if the hardware reports it. */
  readonly outTcOccupancyBytes: bigint | undefined;
  /** The cookie of the tc action or of the Open vSwitch action, up to 16 bytes. Kernels since 6.11. */
  readonly cookie: Uint8Array | undefined;
  /** The tunnel that the packet came through or goes into. */
  readonly tunnel: Tunnel | undefined;
  /** Attributes that this version does not know, or whose size is not the expected one. */
  readonly unknown: readonly UnknownAttribute[];
  /** `nsid` of the network namespace that the sample is from; `undefined` for the listener's own. */
  readonly nsid: number | undefined;
  /** `nlmsg_pid`, the netlink port id that the message names as its sender: 0 is the kernel. */
  readonly portId: number;
  /** The captured bytes of the packet, possibly truncated; `undefined` if there are none. */
  readonly data: Uint8Array | undefined;
}

/**
 * One sampled packet and what the kernel reports about it: a plain object of own fields, which compares, spreads, clones and logs as
 * what it is.
 *
 * Its bytes ({@linkcode Sample.data} and others) are never written again, but they are views of memory that all samples of one
 * batch share: {@linkcode Sample.copy} what you keep for long, or send elsewhere.
 *
 * Source of the fields: `psample_sample_packet` in net/psample/psample.c.
 *
 * @category Samples
 */
export class Sample implements SampleFields {
  /** {@linkcode SampleFields.type} */
  readonly type = "sample";
  /** {@linkcode SampleFields.group} */
  readonly group: number | undefined;
  /** {@linkcode SampleFields.sequence} */
  readonly sequence: number | undefined;
  /** {@linkcode SampleFields.rate} */
  readonly rate: number | undefined;
  /** {@linkcode SampleFields.rateIsProbability} */
  readonly rateIsProbability: boolean;
  /** {@linkcode SampleFields.oneIn} */
  readonly oneIn: number | undefined;
  /** {@linkcode SampleFields.inIfindex} */
  readonly inIfindex: number | undefined;
  /** {@linkcode SampleFields.outIfindex} */
  readonly outIfindex: number | undefined;
  /** {@linkcode SampleFields.originalBytes} */
  readonly originalBytes: number | undefined;
  /** {@linkcode SampleFields.protocol} */
  readonly protocol: number | undefined;
  /** {@linkcode SampleFields.timestampNs} */
  readonly timestampNs: bigint | undefined;
  /** {@linkcode SampleFields.latencyNs} */
  readonly latencyNs: bigint | undefined;
  /** {@linkcode SampleFields.outTc} */
  readonly outTc: number | undefined;
  /** {@linkcode SampleFields.outTcOccupancyBytes} */
  readonly outTcOccupancyBytes: bigint | undefined;
  /** {@linkcode SampleFields.cookie} */
  readonly cookie: Uint8Array | undefined;
  /** {@linkcode SampleFields.tunnel} */
  readonly tunnel: Tunnel | undefined;
  /** {@linkcode SampleFields.unknown} */
  readonly unknown: readonly UnknownAttribute[];
  /** {@linkcode SampleFields.nsid} */
  readonly nsid: number | undefined;
  /** {@linkcode SampleFields.portId} */
  readonly portId: number;
  /** {@linkcode SampleFields.data} */
  readonly data: Uint8Array | undefined;
  /** For the compiler only: a lent sample is not a given one. */
  declare protected readonly given: true;

  /** @ignore Reads a message whose layout is known. */
  constructor(view: DataView, start: number, end: number, layout: Layout, has: number, cookie: number, nsid: number | undefined) {
    const { little, group, sequence, rate, inIfindex, outIfindex, originalBytes, protocol, timestamp, latency, outTc, data } = layout;
    const { outTcOccupancy } = layout;
    // Conditions instead of functions, since this is most of the cost of receiving.
    this.group = group < 0 ? undefined : view.getUint32(start + group, little);
    this.sequence = sequence < 0 ? undefined : view.getUint32(start + sequence, little);
    this.rate = rate < 0 ? undefined : view.getUint32(start + rate, little);
    this.rateIsProbability = (has & HAS_PROBABILITY) !== 0;
    this.oneIn = this.rateIsProbability ? oneInOf(this.rate) : this.rate;
    this.inIfindex = inIfindex < 0
      ? undefined
      : layout.inIfindexIsWide
      ? view.getUint32(start + inIfindex, little)
      : view.getUint16(start + inIfindex, little);
    this.outIfindex = outIfindex < 0
      ? undefined
      : layout.outIfindexIsWide
      ? view.getUint32(start + outIfindex, little)
      : view.getUint16(start + outIfindex, little);
    this.originalBytes = originalBytes < 0 ? undefined : view.getUint32(start + originalBytes, little);
    this.protocol = protocol < 0 ? undefined : view.getUint16(start + protocol, little);
    this.timestampNs = timestamp < 0 ? undefined : view.getBigUint64(start + timestamp, little);
    this.latencyNs = latency < 0 ? undefined : view.getBigUint64(start + latency, little);
    this.outTc = outTc < 0 ? undefined : view.getUint16(start + outTc, little);
    this.outTcOccupancyBytes = outTcOccupancy < 0 ? undefined : view.getBigUint64(start + outTcOccupancy, little);
    this.cookie = cookie < 0 ? undefined : valueAt(view, start + cookie, little);
    this.tunnel = has & HAS_TUNNEL ? findTunnel(view, start, end, little) : undefined;
    this.unknown = has & (HAS_UNKNOWN | HAS_TUNNEL) ? findUnknown(view, start, end, little, this.tunnel) : NONE;
    this.nsid = nsid;
    this.portId = view.getUint32(start + 12, little);
    this.data = data < 0 ? undefined : valueAt(view, start + data, little);
  }

  /** Size of {@linkcode Sample.data}; 0 if there is none. */
  get dataBytes(): number {
    return this.data === undefined ? 0 : this.data.length;
  }

  /** Reads {@linkcode Sample.timestampNs} as two 32-bit halves; returns false if there is none. */
  readTimestamp(halves: { high: number; low: number }): boolean {
    const { timestampNs } = this;
    if (timestampNs === undefined) return false;
    halves.high = Number(timestampNs >> 32n);
    halves.low = Number(timestampNs & 0xffffffffn);
    return true;
  }

  /** The same sample with its own bytes, which share memory with nothing. */
  copy(): Sample {
    return Object.assign(Object.create(Sample.prototype), {
      ...this,
      cookie: this.cookie?.slice(),
      tunnel: this.tunnel && copyTunnel(this.tunnel),
      unknown: this.unknown.length === 0 ? NONE : this.unknown.map(copyUnknown),
      data: this.data?.slice(),
    });
  }

  /** For `JSON.stringify`: 64-bit numbers as decimal text, bytes as hexadecimal. */
  toJSON(): Record<string, unknown> {
    return sampleToJson(this);
  }
}

/** N of "1 in N" of a probability. */
export function oneInOf(probability: number | undefined): number | undefined {
  return probability === undefined || probability === 0 ? undefined : PROBABILITY_ONE / probability;
}

/** A sample as JSON can hold it. */
function sampleToJson(sample: Sample): Record<string, unknown> {
  const { timestampNs, latencyNs, outTcOccupancyBytes, cookie, tunnel, unknown, data } = sample;
  return {
    ...sample,
    timestampNs: timestampNs?.toString(),
    latencyNs: latencyNs?.toString(),
    outTcOccupancyBytes: outTcOccupancyBytes?.toString(),
    cookie: cookie && toHex(cookie),
    tunnel: tunnel && tunnelToJson(tunnel),
    unknown: unknown.map(unknownToJson),
    data: data && toHex(data),
  };
}
