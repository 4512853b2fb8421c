/** Files of packets made by hand, in either byte order. */
import { join, number } from "../psample/build.ts";

type Bytes = Uint8Array<ArrayBuffer>;

/** The parts of a pcapng file. */
export interface PcapngParts {
  n(size: 2 | 4 | 8, value: number | bigint): Bytes;
  block(type: number, ...parts: Uint8Array[]): Bytes;
  option(code: number, value: Uint8Array): Bytes;
  /** A section's header. */
  section(major?: number, minor?: number): Bytes;
  /** An interface of a link type. */
  interface(linkType: number, ...options: Uint8Array[]): Bytes;
  /** A packet; its time in units of the interface. */
  packet(id: number, units: bigint, bytes: Uint8Array, originalBytes?: number, ...options: Uint8Array[]): Bytes;
}

/** Makes parts of this byte order. */
export function pcapngParts(little: boolean): PcapngParts {
  const n = (size: 2 | 4 | 8, value: number | bigint): Bytes => number(size, value, little);
  const padded = (bytes: Uint8Array): Bytes => join(bytes, new Uint8Array((4 - bytes.length % 4) % 4));
  const block = (type: number, ...parts: Uint8Array[]): Bytes => {
    const body = padded(join(...parts));
    return join(n(4, type), n(4, 12 + body.length), body, n(4, 12 + body.length));
  };
  const option = (code: number, value: Uint8Array): Bytes => join(n(2, code), n(2, value.length), padded(value));
  const halves = (value: bigint): Bytes => join(n(4, value >> 32n), n(4, value & 0xffffffffn));
  return {
    n,
    block,
    option,
    section: (major = 1, minor = 0) => block(0x0a0d0d0a, n(4, 0x1a2b3c4d), n(2, major), n(2, minor), n(8, 0xffff_ffff_ffff_ffffn)),
    interface: (linkType, ...options) => block(1, n(2, linkType), n(2, 0), n(4, 262144), ...options),
    packet: (id, units, bytes, originalBytes = bytes.length, ...options) =>
      block(6, n(4, id), halves(units), n(4, bytes.length), n(4, originalBytes), padded(bytes), ...options),
  };
}

/** How a pcap file is made. */
export interface PcapOptions {
  little?: boolean;
  magic?: number;
  version?: readonly [number, number];
  snaplen?: number;
  linkType?: number;
  /** Bytes after the header of each record. */
  more?: Uint8Array;
  /** The two lengths of each record in the other order. */
  swapped?: boolean;
}

/** One record of a pcap file. */
export interface PcapRecordParts {
  seconds?: number;
  fraction?: number;
  bytes: Uint8Array;
  originalBytes?: number;
}

/** A pcap file of these records. */
export function pcapFile(records: readonly PcapRecordParts[], options: PcapOptions = {}): Bytes {
  const { little = true, magic = 0xa1b2c3d4, version = [2, 4], snaplen = 262144, linkType = 253, more, swapped } = options;
  const n = (size: 2 | 4, value: number): Bytes => number(size, value, little);
  return join(
    join(n(4, magic), n(2, version[0]), n(2, version[1]), n(4, 0), n(4, 0), n(4, snaplen), n(4, linkType)),
    ...records.map(({ seconds = 1784000000, fraction = 0, bytes, originalBytes = bytes.length }) => {
      const lengths = swapped ? [originalBytes, bytes.length] : [bytes.length, originalBytes];
      return join(n(4, seconds), n(4, fraction), n(4, lengths[0]!), n(4, lengths[1]!), more ?? new Uint8Array(0), bytes);
    }),
  );
}

/** A record of netlink messages, with its head. */
export function netlinkRecord(messages: Uint8Array, protocol = 16): Bytes {
  return join(number(2, 4, false), number(2, 824, false), new Uint8Array(10), number(2, protocol, false), messages);
}
