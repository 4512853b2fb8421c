import { DecodeError } from "../errors.ts";
import { AttrReader, type UnknownAttribute } from "../wire/attr_reader.ts";
import { NLMSG_HDRLEN } from "../wire/message.ts";
import { LITTLE, viewOf } from "../wire/native.ts";
import { toHex } from "../wire/text.ts";
import { GENL_HDRLEN } from "../genl/ctrl.ts";
import {
  PSAMPLE_ATTR_DATA,
  PSAMPLE_ATTR_GROUP_REFCOUNT,
  PSAMPLE_ATTR_GROUP_SEQ,
  PSAMPLE_ATTR_IIFINDEX,
  PSAMPLE_ATTR_LATENCY,
  PSAMPLE_ATTR_OIFINDEX,
  PSAMPLE_ATTR_ORIGSIZE,
  PSAMPLE_ATTR_OUT_TC,
  PSAMPLE_ATTR_OUT_TC_OCC,
  PSAMPLE_ATTR_PROTO,
  PSAMPLE_ATTR_SAMPLE_GROUP,
  PSAMPLE_ATTR_SAMPLE_PROBABILITY,
  PSAMPLE_ATTR_SAMPLE_RATE,
  PSAMPLE_ATTR_TIMESTAMP,
  PSAMPLE_ATTR_TUNNEL,
  PSAMPLE_ATTR_USER_COOKIE,
} from "./constants.ts";
import { decodeTunnel, type Tunnel, tunnelToJson, unknownToJson } from "./tunnel.ts";

/** Where a probability of 1 stands in the attribute SAMPLE_RATE when SAMPLE_PROBABILITY is there: the whole u32. */
const PROBABILITY_ONE = 0xffffffff;

/** Where the first attribute of a psample message begins. */
const ATTRIBUTES = NLMSG_HDRLEN + GENL_HDRLEN;

/** The first attribute number that this package has no name for. */
const UNKNOWN = PSAMPLE_ATTR_SAMPLE_PROBABILITY + 1;

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

let fill: (sample: Sample, view: DataView, start: number, end: number, little: boolean, nsid: number | undefined) => void;

/**
 * One sampled packet and what the kernel says about it.
 *
 * What a message does not have is `undefined`, never 0. Byte arrays are views of the memory that the
 * message was decoded from: it is yours and never written again, but shared between the samples of one
 * batch, so `slice()` what you keep for long if memory matters.
 *
 * Source of the fields: `psample_sample_packet` in net/psample/psample.c.
 */
export class Sample {
  /** Tells samples from group events. */
  get type(): "sample" {
    return "sample";
  }
  /** The psample group, u32. */
  group: number | undefined = undefined;
  /**
   * Number of the sample in its group, u32, wraps. A gap is a loss. Open vSwitch and mlx5 send 0 in every
   * sample.
   */
  sequence: number | undefined = undefined;
  /**
   * What the kernel sent as rate, u32: N of "1 in N"; or, where {@linkcode Sample.rateIsProbability} is
   * true, the probability in units of 1/4294967295.
   */
  rate: number | undefined = undefined;
  /** The flag SAMPLE_PROBABILITY (kernels since 6.11, Open vSwitch). */
  rateIsProbability = false;
  /** Interface the packet came in by. The kernel sends the lower 16 bits of the number. */
  inIfindex: number | undefined = undefined;
  /** Interface the packet goes out by; there for sampling on egress. */
  outIfindex: number | undefined = undefined;
  /** Size of the packet in bytes before truncation, without VLAN tag and frame check sequence. */
  originalBytes: number | undefined = undefined;
  /** Traffic class (queue) on the way out, from hardware that says so. */
  outTc: number | undefined = undefined;
  /** EtherType of the packet; producers in user space put other codes there. */
  protocol: number | undefined = undefined;
  /** The tunnel the packet came through or goes into. */
  tunnel: Tunnel | undefined = undefined;
  /** `nsid` of the network namespace that the sample is from; `undefined` for the listener's own. */
  nsid: number | undefined = undefined;
  /** `nlmsg_pid`, the netlink port id that the message names as its sender: 0 is the kernel. */
  portId = 0;

  // The rest is read when asked for: most readers want few of them, and each would cost as much as all above.
  #view: DataView = NOTHING;
  #start = 0;
  #end = 0;
  #data = -1;
  #dataSize = 0;
  #timestamp = -1;
  /** A bit for each attribute that the message has; {@linkcode UNKNOWN} for those without a name. */
  #present = 0;
  #little = LITTLE;

  static {
    fill = (sample, view, start, end, little, nsid) => {
      let group: number | undefined;
      let sequence: number | undefined;
      let rate: number | undefined;
      let rateIsProbability = false;
      let inIfindex: number | undefined;
      let outIfindex: number | undefined;
      let originalBytes: number | undefined;
      let outTc: number | undefined;
      let protocol: number | undefined;
      let tunnel: Tunnel | undefined;
      let data = -1;
      let dataSize = 0;
      let timestamp = -1;
      let present = 0;
      if (end - start < ATTRIBUTES) throw new DecodeError("sample", start, `${end - start} bytes, the headers are ${ATTRIBUTES}`);
      let at = start + ATTRIBUTES;
      while (at < end) {
        const left = end - at;
        const size = left < 4 ? 0 : view.getUint16(at, little);
        if (size < 4 || size > left) throw new DecodeError("sample attribute", at, `length ${size}, ${left} bytes left`);
        const type = view.getUint16(at + 2, little) & 0x3fff;
        const value = at + 4;
        present |= 1 << (type < UNKNOWN ? type : UNKNOWN);
        switch (type) {
          case PSAMPLE_ATTR_IIFINDEX:
            inIfindex = size === 6 ? view.getUint16(value, little) : u32(view, value, size, little, type);
            break;
          case PSAMPLE_ATTR_OIFINDEX:
            outIfindex = size === 6 ? view.getUint16(value, little) : u32(view, value, size, little, type);
            break;
          case PSAMPLE_ATTR_ORIGSIZE:
            originalBytes = u32(view, value, size, little, type);
            break;
          case PSAMPLE_ATTR_SAMPLE_GROUP:
            group = u32(view, value, size, little, type);
            break;
          case PSAMPLE_ATTR_GROUP_SEQ:
            sequence = u32(view, value, size, little, type);
            break;
          case PSAMPLE_ATTR_SAMPLE_RATE:
            rate = u32(view, value, size, little, type);
            break;
          case PSAMPLE_ATTR_DATA:
            data = value;
            dataSize = size - 4;
            break;
          case PSAMPLE_ATTR_OUT_TC:
            if (size !== 6) throw wrong(type, value, size, 2);
            outTc = view.getUint16(value, little);
            break;
          case PSAMPLE_ATTR_PROTO:
            if (size !== 6) throw wrong(type, value, size, 2);
            protocol = view.getUint16(value, little);
            break;
          case PSAMPLE_ATTR_TIMESTAMP:
            if (size !== 12) throw wrong(type, value, size, 8);
            timestamp = value;
            break;
          case PSAMPLE_ATTR_OUT_TC_OCC:
          case PSAMPLE_ATTR_LATENCY:
            // Read when asked for, but a wrong width is an error now: a getter must not throw later.
            if (size !== 12) throw wrong(type, value, size, 8);
            break;
          case PSAMPLE_ATTR_GROUP_REFCOUNT:
          case PSAMPLE_ATTR_TUNNEL:
            // Kernels 5.8 to 5.11 had these two numbers swapped; a sample never carries a reference count.
            tunnel = decodeTunnel(new AttrReader(view, value, at + size, little));
            break;
          case PSAMPLE_ATTR_SAMPLE_PROBABILITY:
            rateIsProbability = true;
            break;
        }
        at += (size + 3) & ~3;
      }
      sample.group = group;
      sample.sequence = sequence;
      sample.rate = rate;
      sample.rateIsProbability = rateIsProbability;
      sample.inIfindex = inIfindex;
      sample.outIfindex = outIfindex;
      sample.originalBytes = originalBytes;
      sample.outTc = outTc;
      sample.protocol = protocol;
      sample.tunnel = tunnel;
      sample.nsid = nsid;
      sample.portId = view.getUint32(start + 12, little);
      sample.#view = view;
      sample.#start = start;
      sample.#end = end;
      sample.#data = data;
      sample.#dataSize = dataSize;
      sample.#timestamp = timestamp;
      sample.#present = present;
      sample.#little = little;
    };
  }

  /** The packet's first bytes, as many as the sampler left; `undefined` where it was truncated to nothing. */
  get data(): Uint8Array | undefined {
    if (this.#data < 0) return undefined;
    return new Uint8Array(this.#view.buffer, this.#view.byteOffset + this.#data, this.#dataSize);
  }

  /** How many bytes {@linkcode Sample.data} has: 0 where there is none. */
  get dataBytes(): number {
    return this.#dataSize;
  }

  /** When the packet was sampled: nanoseconds since 1970 of the realtime clock. Kernels since 5.13. */
  get timestampNs(): bigint | undefined {
    return this.#timestamp < 0 ? undefined : this.#view.getBigUint64(this.#timestamp, this.#little);
  }

  /** How long the packet was in the device, in nanoseconds, from hardware that says so. */
  get latencyNs(): bigint | undefined {
    return this.#find(PSAMPLE_ATTR_LATENCY)?.u64();
  }

  /** How full the queue {@linkcode Sample.outTc} was, in bytes, from hardware that says so. */
  get outTcOccupancyBytes(): bigint | undefined {
    return this.#find(PSAMPLE_ATTR_OUT_TC_OCC)?.u64();
  }

  /** The cookie of the tc action or of the Open vSwitch action, up to 16 bytes. Kernels since 6.11. */
  get cookie(): Uint8Array | undefined {
    return this.#find(PSAMPLE_ATTR_USER_COOKIE)?.bytes();
  }

  /** Attributes that this package has no name for: a newer kernel's. */
  get unknown(): UnknownAttribute[] {
    const unknown: UnknownAttribute[] = [];
    if ((this.#present & 1 << UNKNOWN) === 0) return unknown;
    const attr = this.#attributes();
    while (attr.next()) {
      if (attr.type >= UNKNOWN) unknown.push({ type: attr.type, value: attr.bytes() });
    }
    return unknown;
  }

  /**
   * N of "1 in N", a fraction where the rate is a probability; `undefined` where no rate was sent or the
   * probability is 0.
   */
  get oneIn(): number | undefined {
    if (this.rate === undefined) return undefined;
    if (!this.rateIsProbability) return this.rate;
    return this.rate === 0 ? undefined : PROBABILITY_ONE / this.rate;
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

  #attributes(): AttrReader {
    return new AttrReader(this.#view, Math.min(this.#start + ATTRIBUTES, this.#end), this.#end, this.#little);
  }

  #find(type: number): AttrReader | undefined {
    if ((this.#present & 1 << type) === 0) return undefined;
    const attr = this.#attributes();
    while (attr.next()) if (attr.type === type) return attr;
    return undefined;
  }
}

function u32(view: DataView, at: number, size: number, little: boolean, type: number): number {
  if (size !== 8) throw wrong(type, at, size, 4);
  return view.getUint32(at, little);
}

function wrong(type: number, at: number, size: number, expected: number): DecodeError {
  return new DecodeError(`sample attribute ${type}`, at, `${size - 4} bytes, not ${expected}`);
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
