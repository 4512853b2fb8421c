import { AttrReader, type UnknownAttribute } from "../wire/attr_reader.ts";
import { LITTLE, viewOf } from "../wire/native.ts";
import { toHex } from "../wire/text.ts";
import {
  PSAMPLE_ATTR_GROUP_REFCOUNT,
  PSAMPLE_ATTR_SAMPLE_PROBABILITY,
  PSAMPLE_ATTR_TUNNEL,
  PSAMPLE_ATTR_USER_COOKIE,
} from "./constants.ts";
import { ATTRIBUTES, Layout, layoutOf, UNKNOWN } from "./layout.ts";
import { decodeTunnel, type Tunnel, tunnelToJson, unknownToJson } from "./tunnel.ts";

/** Where a probability of 1 stands in the attribute SAMPLE_RATE when SAMPLE_PROBABILITY is there: the whole u32. */
const PROBABILITY_ONE = 0xffffffff;

const NOTHING = new DataView(new ArrayBuffer(0));

/** How {@linkcode decodeSample} reads a message. */
export interface DecodeOptions {
  /** Byte order of the machine that the message is from; this machine's unless given. */
  littleEndian?: boolean | undefined;
  /** The network namespace the message came from, where it is not the listener's own (`nsid`). */
  nsid?: number | undefined;
}

/** A {@linkcode Sample} as an object of plain own properties. */
export interface SampleFields {
  /** {@linkcode Sample.type} */
  type: "sample";
  /** {@linkcode Sample.group} */
  group: number | undefined;
  /** {@linkcode Sample.sequence} */
  sequence: number | undefined;
  /** {@linkcode Sample.rate} */
  rate: number | undefined;
  /** {@linkcode Sample.rateIsProbability} */
  rateIsProbability: boolean;
  /** {@linkcode Sample.oneIn} */
  oneIn: number | undefined;
  /** {@linkcode Sample.inIfindex} */
  inIfindex: number | undefined;
  /** {@linkcode Sample.outIfindex} */
  outIfindex: number | undefined;
  /** {@linkcode Sample.originalBytes} */
  originalBytes: number | undefined;
  /** {@linkcode Sample.protocol} */
  protocol: number | undefined;
  /** {@linkcode Sample.timestampNs} */
  timestampNs: bigint | undefined;
  /** {@linkcode Sample.latencyNs} */
  latencyNs: bigint | undefined;
  /** {@linkcode Sample.outTc} */
  outTc: number | undefined;
  /** {@linkcode Sample.outTcOccupancyBytes} */
  outTcOccupancyBytes: bigint | undefined;
  /** {@linkcode Sample.cookie} */
  cookie: Uint8Array | undefined;
  /** {@linkcode Sample.tunnel} */
  tunnel: Tunnel | undefined;
  /** {@linkcode Sample.unknown} */
  unknown: UnknownAttribute[];
  /** {@linkcode Sample.nsid} */
  nsid: number | undefined;
  /** {@linkcode Sample.portId} */
  portId: number;
  /** {@linkcode Sample.data} */
  data: Uint8Array | undefined;
}

const EMPTY = new Layout(LITTLE);

let fill: (sample: Sample, view: DataView, start: number, end: number, little: boolean, nsid: number | undefined) => void;

/** The two halves of {@linkcode Sample.timestampNs}, without a big integer; false where there is none. */
export let readTimestamp: (sample: Sample, halves: { high: number; low: number }) => boolean;

/**
 * One sampled packet and what the kernel says about it.
 *
 * What a message does not have is `undefined`, never 0. Everything is read from the memory that the message
 * was decoded from when it is asked for, and byte arrays are views of that memory. A sample that a listener
 * yields owns it, unless it is lent: it is never written again, but shared between the samples of one batch, so
 * `slice()` what you keep for long if memory matters.
 *
 * Source of the fields: `psample_sample_packet` in net/psample/psample.c.
 */
export class Sample {
  #view: DataView = NOTHING;
  #start = 0;
  #end = 0;
  #layout: Layout = EMPTY;
  #tunnel: Tunnel | undefined = undefined;
  #nsid: number | undefined = undefined;

  static {
    fill = (sample, view, start, end, little, nsid) => {
      const layout = layoutOf(view, start, end, little);
      const tunnel = layout.hasTunnel ? findTunnel(view, start, end, little) : undefined;
      sample.#view = view;
      sample.#start = start;
      sample.#end = end;
      sample.#layout = layout;
      sample.#tunnel = tunnel;
      sample.#nsid = nsid;
    };
    readTimestamp = (sample, halves) => {
      const { timestamp, little } = sample.#layout;
      if (timestamp < 0) return false;
      const at = sample.#start + timestamp;
      halves.high = sample.#view.getUint32(little ? at + 4 : at, little);
      halves.low = sample.#view.getUint32(little ? at : at + 4, little);
      return true;
    };
  }

  /** Tells samples from group events. */
  get type(): "sample" {
    return "sample";
  }

  /** The psample group, u32. */
  get group(): number | undefined {
    const layout = this.#layout;
    return layout.group < 0 ? undefined : this.#view.getUint32(this.#start + layout.group, layout.little);
  }

  /**
   * Number of the sample in its group, u32, wraps. A gap is a loss. Open vSwitch and mlx5 send 0 in every
   * sample.
   */
  get sequence(): number | undefined {
    const layout = this.#layout;
    return layout.sequence < 0 ? undefined : this.#view.getUint32(this.#start + layout.sequence, layout.little);
  }

  /**
   * What the kernel sent as rate, u32: N of "1 in N"; or, where {@linkcode Sample.rateIsProbability} is
   * true, the probability in units of 1/4294967295.
   */
  get rate(): number | undefined {
    const layout = this.#layout;
    return layout.rate < 0 ? undefined : this.#view.getUint32(this.#start + layout.rate, layout.little);
  }

  /** The flag SAMPLE_PROBABILITY (kernels since 6.11, Open vSwitch). */
  get rateIsProbability(): boolean {
    return (this.#layout.present & 1 << PSAMPLE_ATTR_SAMPLE_PROBABILITY) !== 0;
  }

  /**
   * N of "1 in N", a fraction where the rate is a probability; `undefined` where no rate was sent or the
   * probability is 0.
   */
  get oneIn(): number | undefined {
    const { rate } = this;
    if (rate === undefined) return undefined;
    if (!this.rateIsProbability) return rate;
    return rate === 0 ? undefined : PROBABILITY_ONE / rate;
  }

  /** Interface the packet came in by. The kernel sends the lower 16 bits of the number. */
  get inIfindex(): number | undefined {
    const { inIfindex, inIfindexIsWide } = this.#layout;
    return inIfindexIsWide ? this.#u32(inIfindex) : this.#u16(inIfindex);
  }

  /** Interface the packet goes out by; there for sampling on egress. */
  get outIfindex(): number | undefined {
    const { outIfindex, outIfindexIsWide } = this.#layout;
    return outIfindexIsWide ? this.#u32(outIfindex) : this.#u16(outIfindex);
  }

  /** Size of the packet in bytes before truncation, without VLAN tag and frame check sequence. */
  get originalBytes(): number | undefined {
    const layout = this.#layout;
    return layout.originalBytes < 0 ? undefined : this.#view.getUint32(this.#start + layout.originalBytes, layout.little);
  }

  /** EtherType of the packet; producers in user space put other codes there. */
  get protocol(): number | undefined {
    const layout = this.#layout;
    return layout.protocol < 0 ? undefined : this.#view.getUint16(this.#start + layout.protocol, layout.little);
  }

  /** When the packet was sampled: nanoseconds since 1970 of the realtime clock. Kernels since 5.13. */
  get timestampNs(): bigint | undefined {
    const layout = this.#layout;
    return layout.timestamp < 0 ? undefined : this.#view.getBigUint64(this.#start + layout.timestamp, layout.little);
  }

  /** How long the packet was in the device, in nanoseconds, from hardware that says so. */
  get latencyNs(): bigint | undefined {
    const layout = this.#layout;
    return layout.latency < 0 ? undefined : this.#view.getBigUint64(this.#start + layout.latency, layout.little);
  }

  /** Traffic class (queue) on the way out, from hardware that says so. */
  get outTc(): number | undefined {
    const layout = this.#layout;
    return layout.outTc < 0 ? undefined : this.#view.getUint16(this.#start + layout.outTc, layout.little);
  }

  /** How full the queue {@linkcode Sample.outTc} was, in bytes, from hardware that says so. */
  get outTcOccupancyBytes(): bigint | undefined {
    const layout = this.#layout;
    return layout.outTcOccupancy < 0 ? undefined : this.#view.getBigUint64(this.#start + layout.outTcOccupancy, layout.little);
  }

  /** The cookie of the tc action or of the Open vSwitch action, up to 16 bytes. Kernels since 6.11. */
  get cookie(): Uint8Array | undefined {
    if ((this.#layout.present & 1 << PSAMPLE_ATTR_USER_COOKIE) === 0) return undefined;
    let cookie: Uint8Array | undefined;
    const attr = this.#attributes();
    while (attr.next()) if (attr.type === PSAMPLE_ATTR_USER_COOKIE) cookie ??= attr.bytes();
    return cookie;
  }

  /** The tunnel the packet came through or goes into. */
  get tunnel(): Tunnel | undefined {
    return this.#tunnel;
  }

  /** Attributes that this package has no name for: a newer kernel's. */
  get unknown(): UnknownAttribute[] {
    const unknown: UnknownAttribute[] = [];
    if ((this.#layout.present & 1 << UNKNOWN) === 0) return unknown;
    const attr = this.#attributes();
    while (attr.next()) {
      if (attr.type >= UNKNOWN) unknown.push({ type: attr.type, value: attr.bytes() });
    }
    return unknown;
  }

  /** `nsid` of the network namespace that the sample is from; `undefined` for the listener's own. */
  get nsid(): number | undefined {
    return this.#nsid;
  }

  /** `nlmsg_pid`, the netlink port id that the message names as its sender: 0 is the kernel. */
  get portId(): number {
    return this.#end === 0 ? 0 : this.#view.getUint32(this.#start + 12, this.#layout.little);
  }

  /** The packet's first bytes, as many as the sampler left; `undefined` where it was truncated to nothing. */
  get data(): Uint8Array | undefined {
    const { data } = this.#layout;
    if (data < 0) return undefined;
    return new Uint8Array(this.#view.buffer, this.#view.byteOffset + this.#start + data, this.dataBytes);
  }

  /** How many bytes {@linkcode Sample.data} has: 0 where there is none. */
  get dataBytes(): number {
    const { data, little } = this.#layout;
    return data < 0 ? 0 : this.#view.getUint16(this.#start + data - 4, little) - 4;
  }

  /** The whole netlink message that this was decoded from, headers included. */
  get message(): Uint8Array {
    return new Uint8Array(this.#view.buffer, this.#view.byteOffset + this.#start, this.#end - this.#start);
  }

  /** Everything as an object of plain own properties. */
  toObject(): SampleFields {
    return {
      type: "sample",
      group: this.group,
      sequence: this.sequence,
      rate: this.rate,
      rateIsProbability: this.rateIsProbability,
      oneIn: this.oneIn,
      inIfindex: this.inIfindex,
      outIfindex: this.outIfindex,
      originalBytes: this.originalBytes,
      protocol: this.protocol,
      timestampNs: this.timestampNs,
      latencyNs: this.latencyNs,
      outTc: this.outTc,
      outTcOccupancyBytes: this.outTcOccupancyBytes,
      cookie: this.cookie,
      tunnel: this.tunnel,
      unknown: this.unknown,
      nsid: this.nsid,
      portId: this.portId,
      data: this.data,
    };
  }

  /** What `JSON.stringify` takes: 64-bit numbers as decimal text, bytes as hexadecimal. */
  toJSON(): Record<string, unknown> {
    const { cookie, data } = this;
    return {
      ...this.toObject(),
      timestampNs: this.timestampNs?.toString(),
      latencyNs: this.latencyNs?.toString(),
      outTcOccupancyBytes: this.outTcOccupancyBytes?.toString(),
      cookie: cookie && toHex(cookie),
      tunnel: this.tunnel && tunnelToJson(this.tunnel),
      unknown: this.unknown.map(unknownToJson),
      data: data && toHex(data),
    };
  }

  /** What `console.log` shows, in both runtimes. */
  [Symbol.for("nodejs.util.inspect.custom")](): SampleFields {
    return this.toObject();
  }

  #u16(at: number): number | undefined {
    return at < 0 ? undefined : this.#view.getUint16(this.#start + at, this.#layout.little);
  }

  #u32(at: number): number | undefined {
    return at < 0 ? undefined : this.#view.getUint32(this.#start + at, this.#layout.little);
  }

  #attributes(): AttrReader {
    return new AttrReader(this.#view, this.#start + ATTRIBUTES, this.#end, this.#layout.little);
  }
}

/** The tunnel of a message that has one. Decoded at once: what is wrong inside is an error now, a getter must not throw later. */
function findTunnel(view: DataView, start: number, end: number, little: boolean): Tunnel | undefined {
  let tunnel: Tunnel | undefined;
  const attr = new AttrReader(view, start + ATTRIBUTES, end, little);
  while (attr.next()) {
    if (attr.type === PSAMPLE_ATTR_TUNNEL || attr.type === PSAMPLE_ATTR_GROUP_REFCOUNT) tunnel = decodeTunnel(attr.nested());
  }
  return tunnel;
}

/**
 * Decodes the message between the offsets `start` and `end` of `view` into `sample`, which is returned.
 * Reusing one sample for every message allocates nothing. Whether the message is a sample at all is the
 * caller's to know: see {@linkcode decodeMessage}.
 *
 * @throws {DecodeError} where the bytes are no psample message; `sample` is unchanged then.
 */
export function decodeSampleAt(
  view: DataView,
  start: number,
  end: number,
  sample: Sample,
  options: DecodeOptions | undefined = undefined,
): Sample {
  fill(sample, view, start, end, options?.littleEndian ?? LITTLE, options?.nsid);
  return sample;
}

/**
 * Decodes one sample from a whole netlink message, headers included. The sample's bytes are views of
 * `message`.
 *
 * @throws {DecodeError} where the bytes are no psample message.
 */
export function decodeSample(message: Uint8Array, options: DecodeOptions = {}): Sample {
  return decodeSampleAt(viewOf(message), 0, message.length, new Sample(), options);
}
