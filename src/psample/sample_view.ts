import { LITTLE, memory, viewOf } from "../wire/native.ts";
import type { UnknownAttribute } from "../wire/attr_reader.ts";
import { findTunnel, findTunnelKey, findUnknown, NONE, sizeAt, type TunnelKey, valueAt } from "./attributes.ts";
import { HAS_PROBABILITY, HAS_TUNNEL, HAS_UNKNOWN, Layout } from "./layout.ts";
import { oneInOf, Sample, type SampleFields } from "./sample.ts";
import type { Tunnel } from "./tunnel.ts";

const NOTHING = new DataView(new ArrayBuffer(20));
const EMPTY = new Layout();
EMPTY.little = LITTLE;

/**
 * A sample that is given or lent.
 *
 * @category Samples
 */
export type AnySample = Sample | SampleView;

/**
 * A sample that is lent: its fields are decoded lazily from the underlying message, and both are reused for another sample as soon as
 * the next batch is requested. {@linkcode SampleView.copy} what you keep.
 *
 * @category Samples
 */
export class SampleView implements SampleFields {
  #view: DataView = NOTHING;
  #start = 0;
  #end = 0;
  #layout: Layout = EMPTY;
  /** HAS_* */
  #has = 0;
  #cookie = -1;
  #nsid: number | undefined = undefined;
  /** A layout that no other sample has. */
  #own: Layout | undefined = undefined;
  /** The tunnel, once it has been asked for. */
  #tunnel: Tunnel | undefined = undefined;
  #tunnelIsDecoded = false;
  /** Memory of its data, if that was taken out of the message. */
  #packet: DataView | undefined = undefined;
  #packetAt = 0;

  /** @ignore Points this at a message whose layout is known. */
  point(view: DataView, start: number, end: number, layout: Layout, has: number, cookie: number, nsid: number | undefined): void {
    this.#view = view;
    this.#start = start;
    this.#end = end;
    this.#layout = layout;
    this.#has = has;
    this.#cookie = cookie;
    this.#nsid = nsid;
    this.#tunnelIsDecoded = false;
    this.#packet = undefined;
  }

  /** @ignore Sets the place of its data, which is not in the message. */
  takeApart(packet: DataView, packetAt: number): void {
    this.#packet = packet;
    this.#packetAt = packetAt;
  }

  /** @ignore Takes over a layout, and returns the one that it had. */
  takeLayout(layout: Layout): Layout {
    const before = this.#own ?? new Layout();
    this.#own = layout;
    return before;
  }

  /** {@linkcode SampleFields.type} */
  get type(): "sample" {
    return "sample";
  }

  /** {@linkcode SampleFields.group} */
  get group(): number | undefined {
    const layout = this.#layout;
    return layout.group < 0 ? undefined : this.#view.getUint32(this.#start + layout.group, layout.little);
  }

  /** {@linkcode SampleFields.sequence} */
  get sequence(): number | undefined {
    const layout = this.#layout;
    return layout.sequence < 0 ? undefined : this.#view.getUint32(this.#start + layout.sequence, layout.little);
  }

  /** {@linkcode SampleFields.rate} */
  get rate(): number | undefined {
    const layout = this.#layout;
    return layout.rate < 0 ? undefined : this.#view.getUint32(this.#start + layout.rate, layout.little);
  }

  /** {@linkcode SampleFields.rateIsProbability} */
  get rateIsProbability(): boolean {
    return (this.#has & HAS_PROBABILITY) !== 0;
  }

  /** {@linkcode SampleFields.oneIn} */
  get oneIn(): number | undefined {
    return this.rateIsProbability ? oneInOf(this.rate) : this.rate;
  }

  /** {@linkcode SampleFields.inIfindex} */
  get inIfindex(): number | undefined {
    const { inIfindex, inIfindexIsWide } = this.#layout;
    return inIfindexIsWide ? this.#u32(inIfindex) : this.#u16(inIfindex);
  }

  /** {@linkcode SampleFields.outIfindex} */
  get outIfindex(): number | undefined {
    const { outIfindex, outIfindexIsWide } = this.#layout;
    return outIfindexIsWide ? this.#u32(outIfindex) : this.#u16(outIfindex);
  }

  /** {@linkcode SampleFields.originalBytes} */
  get originalBytes(): number | undefined {
    const layout = this.#layout;
    return layout.originalBytes < 0 ? undefined : this.#view.getUint32(this.#start + layout.originalBytes, layout.little);
  }

  /** {@linkcode SampleFields.protocol} */
  get protocol(): number | undefined {
    const layout = this.#layout;
    return layout.protocol < 0 ? undefined : this.#view.getUint16(this.#start + layout.protocol, layout.little);
  }

  /** {@linkcode SampleFields.timestampNs} */
  get timestampNs(): bigint | undefined {
    const layout = this.#layout;
    return layout.timestamp < 0 ? undefined : this.#view.getBigUint64(this.#start + layout.timestamp, layout.little);
  }

  /** {@linkcode SampleFields.latencyNs} */
  get latencyNs(): bigint | undefined {
    const layout = this.#layout;
    return layout.latency < 0 ? undefined : this.#view.getBigUint64(this.#start + layout.latency, layout.little);
  }

  /** {@linkcode SampleFields.outTc} */
  get outTc(): number | undefined {
    const layout = this.#layout;
    return layout.outTc < 0 ? undefined : this.#view.getUint16(this.#start + layout.outTc, layout.little);
  }

  /** {@linkcode SampleFields.outTcOccupancyBytes} */
  get outTcOccupancyBytes(): bigint | undefined {
    const layout = this.#layout;
    return layout.outTcOccupancy < 0 ? undefined : this.#view.getBigUint64(this.#start + layout.outTcOccupancy, layout.little);
  }

  /** {@linkcode SampleFields.cookie} */
  get cookie(): Uint8Array | undefined {
    return this.#cookie < 0 ? undefined : valueAt(this.#view, this.#start + this.#cookie, this.#layout.little);
  }

  /** {@linkcode SampleFields.tunnel} */
  get tunnel(): Tunnel | undefined {
    if ((this.#has & HAS_TUNNEL) === 0) return undefined;
    if (!this.#tunnelIsDecoded) {
      const { little } = this.#layout;
      const message = this.#packet && viewOf(this.message);
      this.#tunnel = message ? findTunnel(message, 0, message.byteLength, little) : findTunnel(this.#view, this.#start, this.#end, little);
    }
    this.#tunnelIsDecoded = true;
    return this.#tunnel;
  }

  /** @ignore Reads what tells its tunnel apart, without decoding the rest; returns false if it has no {@linkcode SampleView.tunnel}. */
  readTunnelKey(into: TunnelKey): boolean {
    if ((this.#has & HAS_TUNNEL) === 0) return false;
    const { little } = this.#layout;
    if (!this.#packet) return findTunnelKey(this.#view, this.#start, this.#end, little, into);
    const message = viewOf(this.message);
    return findTunnelKey(message, 0, message.byteLength, little, into);
  }

  /** {@linkcode SampleFields.unknown} */
  get unknown(): readonly UnknownAttribute[] {
    if ((this.#has & (HAS_UNKNOWN | HAS_TUNNEL)) === 0) return NONE;
    const { little } = this.#layout;
    const { tunnel } = this;
    const message = this.#packet && viewOf(this.message);
    if (message) return findUnknown(message, 0, message.byteLength, little, tunnel);
    return findUnknown(this.#view, this.#start, this.#end, little, tunnel);
  }

  /** {@linkcode SampleFields.nsid} */
  get nsid(): number | undefined {
    return this.#nsid;
  }

  /** {@linkcode SampleFields.portId} */
  get portId(): number {
    return this.#view.getUint32(this.#start + 12, this.#layout.little);
  }

  /** {@linkcode SampleFields.data} */
  get data(): Uint8Array | undefined {
    const { data, little } = this.#layout;
    if (data < 0) return undefined;
    const packet = this.#packet;
    if (packet) return new Uint8Array(packet.buffer, packet.byteOffset + this.#packetAt, this.dataBytes);
    return valueAt(this.#view, this.#start + data, little);
  }

  /** @ignore The memory that {@linkcode SampleView.data} is in, for readers of many: it saves making a view of each. */
  get dataMemory(): ArrayBufferLike {
    return (this.#packet ?? this.#view).buffer;
  }

  /** @ignore Where in that memory it begins. */
  get dataAt(): number {
    const packet = this.#packet;
    return packet ? packet.byteOffset + this.#packetAt : this.#view.byteOffset + this.#start + this.#layout.data;
  }

  /** Size of {@linkcode SampleView.data}; 0 if there is none. */
  get dataBytes(): number {
    const { data, little } = this.#layout;
    return data < 0 ? 0 : sizeAt(this.#view, this.#start + data, little);
  }

  /** The whole netlink message, headers included. */
  get message(): Uint8Array {
    if (this.#packet) {
      const bytes = memory(this.messageBytes);
      this.writeMessage(bytes, viewOf(bytes), 0);
      return bytes;
    }
    return new Uint8Array(this.#view.buffer, this.#view.byteOffset + this.#start, this.#end - this.#start);
  }

  /** Size of {@linkcode SampleView.message}. */
  get messageBytes(): number {
    return this.#end - this.#start + (this.#packet ? this.dataBytes : 0);
  }

  /** `nlmsg_type` of {@linkcode SampleView.message}: the number of the psample family. */
  get messageType(): number {
    return this.#view.getUint16(this.#start + 4, this.#layout.little);
  }

  /** The byte order of {@linkcode SampleView.message}. */
  get littleEndian(): boolean {
    return this.#layout.little;
  }

  /** Where in {@linkcode SampleView.message} its data begins; -1 if it has none. */
  get dataOffset(): number {
    return this.#layout.data;
  }

  /** Whether it has anything that few samples have: a cookie, a tunnel, a latency, a queue occupancy, a probability, unknown attributes. */
  get isRare(): boolean {
    const { latency, outTcOccupancy } = this.#layout;
    return this.#has !== 0 || this.#cookie >= 0 || latency >= 0 || outTcOccupancy >= 0;
  }

  /** @ignore Copies {@linkcode SampleView.message} to offset `at` of memory, which is given twice. */
  writeMessage(bytes: Uint8Array, view: DataView, at: number): void {
    if (!this.#packet) return copyBytes(this.#view, this.#start, this.#end - this.#start, bytes, view, at);
    const { data } = this.#layout;
    const size = this.dataBytes;
    copyBytes(this.#view, this.#start, data, bytes, view, at);
    copyBytes(this.#packet, this.#packetAt, size, bytes, view, at + data);
    copyBytes(this.#view, this.#start + data, this.#end - this.#start - data, bytes, view, at + data + size);
  }

  /** @ignore Copies {@linkcode SampleView.data}. */
  writeData(bytes: Uint8Array, view: DataView, at: number): void {
    if (this.#packet) copyBytes(this.#packet, this.#packetAt, this.dataBytes, bytes, view, at);
    else copyBytes(this.#view, this.#start + this.#layout.data, this.dataBytes, bytes, view, at);
  }

  /** @ignore Copies {@linkcode SampleView.message} without its data: `size` bytes of it, from the offset `from` on. */
  writeWithoutData(from: number, size: number, bytes: Uint8Array, view: DataView, at: number): void {
    const { data } = this.#layout;
    if (this.#packet || data < 0) return copyBytes(this.#view, this.#start + from, size, bytes, view, at);
    const before = Math.max(0, Math.min(size, data - from));
    copyBytes(this.#view, this.#start + from, before, bytes, view, at);
    copyBytes(this.#view, this.#start + from + before + this.dataBytes, size - before, bytes, view, at + before);
  }

  /** Reads {@linkcode SampleView.timestampNs} as two 32-bit halves, without a big integer; returns false if there is none. */
  readTimestamp(halves: { high: number; low: number }): boolean {
    const { timestamp, little } = this.#layout;
    if (timestamp < 0) return false;
    const at = this.#start + timestamp;
    halves.high = this.#view.getUint32(little ? at + 4 : at, little);
    halves.low = this.#view.getUint32(little ? at : at + 4, little);
    return true;
  }

  /** The sample as a plain object with its own bytes, which does not change any more. */
  copy(): Sample {
    const message = memory(this.messageBytes);
    const view = message.length === 0 ? NOTHING : viewOf(message);
    this.writeMessage(message, view, 0);
    // Attributes after data that was taken out are farther away now.
    if (this.#packet && !(this.#layout.isGeneral && this.#cookie < this.#layout.data)) {
      const layout = new Layout();
      layout.walk(view, 0, message.length, this.#layout.little, -1, 0);
      return new Sample(view, 0, message.length, layout, layout.has, layout.cookie, this.#nsid);
    }
    return new Sample(view, 0, message.length, this.#layout, this.#has, this.#cookie, this.#nsid);
  }

  /** For `JSON.stringify`: 64-bit numbers as decimal text, bytes as hexadecimal. */
  toJSON(): Record<string, unknown> {
    return this.copy().toJSON();
  }

  /** For `console.log`, in both runtimes. */
  [Symbol.for("nodejs.util.inspect.custom")](): SampleFields {
    return { ...this.copy() };
  }

  #u16(at: number): number | undefined {
    return at < 0 ? undefined : this.#view.getUint16(this.#start + at, this.#layout.little);
  }

  #u32(at: number): number | undefined {
    return at < 0 ? undefined : this.#view.getUint32(this.#start + at, this.#layout.little);
  }
}

/** Up to this size a loop is cheaper than a view and a call of `set`. */
const SHORT = 256;

function copyBytes(from: DataView, fromAt: number, size: number, bytes: Uint8Array, view: DataView, at: number): void {
  if (size > SHORT) {
    bytes.set(new Uint8Array(from.buffer, from.byteOffset + fromAt, size), at);
    return;
  }
  let i = 0;
  for (; i + 4 <= size; i += 4) view.setInt32(at + i, from.getInt32(fromAt + i));
  for (; i < size; i++) view.setUint8(at + i, from.getUint8(fromAt + i));
}
