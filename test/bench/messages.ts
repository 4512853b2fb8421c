/**
 * The messages for the measurements: samples as the kernel lays them out (`psample_sample_packet` in net/psample/psample.c), written
 * to a file from which the C peers and this package read the same bytes.
 */
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { ArgumentError } from "../../src/errors.ts";
import { genlHeader } from "../../src/genl/ctrl.ts";
import * as psample from "../../src/psample/constants.ts";
import { AttrReader } from "../../src/wire/attr_reader.ts";
import type { AttrWriter } from "../../src/wire/attr_writer.ts";
import { encodeMessage } from "../../src/wire/message.ts";
import { align4, LITTLE, memory, viewOf } from "../../src/wire/native.ts";
import { recordings } from "../psample/recordings.ts";

/** The message type that stands for psample. */
export const FAMILY = 30;

/** The headers of netlink and of generic netlink. */
const HEADERS = 20;

/** A message, and the offsets of the fields that change each time it is sent. */
export interface BenchMessage {
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** Where the sequence number is; 0 if there is none. */
  readonly sequenceAt: number;
  /** Increment of the sequence number once all messages have been sent: the number of messages in the group. */
  readonly step: number;
  /** Where the time stamp is; 0 if there is none. */
  readonly timestampAt: number;
}

/** Differences from the plain sample. */
interface Fields {
  readonly inIfindex?: number | undefined;
  readonly outIfindex?: number | undefined;
  readonly group?: number;
  readonly protocol?: number;
  readonly originalBytes?: number;
  readonly queue?: boolean;
  readonly cookieBytes?: number | undefined;
  readonly tunnel?: boolean;
  readonly data?: Uint8Array;
}

/** Number of messages of a kind: too many for the processor's first-level cache. */
const COUNT = 1024;

/** Numbers that are the same in every run: POSIX's example of rand(3). */
function random(seed: number): (limit: number) => number {
  return (limit) => {
    seed = (Math.imul(seed, 1103515245) + 12345) >>> 0;
    return (seed >>> 16) % limit;
  };
}

function sample(bytes: number, fields: Fields = {}): Uint8Array<ArrayBuffer> {
  const { inIfindex, outIfindex, group = 5, protocol = 0x0800, originalBytes = Math.max(1514, bytes), queue, cookieBytes, tunnel, data } =
    fields;
  const pattern = (size: number): Uint8Array => Uint8Array.from({ length: size }, (_, i) => i * 7);
  return encodeMessage({ type: FAMILY, flags: 0 }, genlHeader(psample.PSAMPLE_CMD_SAMPLE), (writer) => {
    writer
      .u16(psample.PSAMPLE_ATTR_IIFINDEX, inIfindex)
      .u16(psample.PSAMPLE_ATTR_OIFINDEX, outIfindex)
      .u32(psample.PSAMPLE_ATTR_SAMPLE_RATE, 1000)
      .u32(psample.PSAMPLE_ATTR_ORIGSIZE, originalBytes)
      .u32(psample.PSAMPLE_ATTR_SAMPLE_GROUP, group)
      .u32(psample.PSAMPLE_ATTR_GROUP_SEQ, 0);
    if (queue) {
      writer
        .u16(psample.PSAMPLE_ATTR_OUT_TC, 3)
        .u64(psample.PSAMPLE_ATTR_OUT_TC_OCC, 123_456n)
        .u64(psample.PSAMPLE_ATTR_LATENCY, 7_654_321n);
    }
    writer
      .u64(psample.PSAMPLE_ATTR_TIMESTAMP, BigInt(Date.now()) * 1_000_000n)
      .u16(psample.PSAMPLE_ATTR_PROTO, protocol)
      .bytes(psample.PSAMPLE_ATTR_DATA, data ?? pattern(bytes));
    if (tunnel) writer.nest(psample.PSAMPLE_ATTR_TUNNEL, vxlan);
    writer.bytes(psample.PSAMPLE_ATTR_USER_COOKIE, cookieBytes === undefined ? undefined : pattern(cookieBytes));
  });
}

function vxlan(writer: AttrWriter): void {
  writer
    .bytes(psample.PSAMPLE_TUNNEL_KEY_ATTR_ID, Uint8Array.of(0, 0, 0, 0, 0, 0, 0, 42))
    .bytes(psample.PSAMPLE_TUNNEL_KEY_ATTR_IPV4_SRC, Uint8Array.of(192, 0, 2, 1))
    .bytes(psample.PSAMPLE_TUNNEL_KEY_ATTR_IPV4_DST, Uint8Array.of(192, 0, 2, 2))
    .u8(psample.PSAMPLE_TUNNEL_KEY_ATTR_TTL, 64)
    .be16(psample.PSAMPLE_TUNNEL_KEY_ATTR_TP_SRC, 50000)
    .be16(psample.PSAMPLE_TUNNEL_KEY_ATTR_TP_DST, 4789);
}

/** A frame of 128 bytes: of IPv4 or IPv6, of TCP or UDP, to a port of a host of 10.0.0.0/8 or of another net. */
function frame({ version = 4, protocol = 6, port = 443, net = 10 }, host: number): Uint8Array {
  const bytes = new Uint8Array(128);
  const view = viewOf(bytes);
  bytes.set([2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2]);
  view.setUint16(12, version === 4 ? 0x0800 : 0x86dd);
  if (version === 4) {
    bytes.set([0x45, 0, 5, 0xdc, 0, 1, 0x40, 0, 64, protocol, 0, 0, 192, 0, 2, 7, net, 0, host >> 8, host & 0xff], 14);
  } else {
    bytes.set([0x60, 0, 0, 0, 5, 0xb4, protocol, 64], 14);
    bytes.set([0x20, 1, 0x0d, 0xb8], 22);
    bytes.set([0x20, 1, 0x0d, 0xb8], 38);
    view.setUint16(52, host);
  }
  const ports = version === 4 ? 34 : 54;
  view.setUint16(ports, 50_000 + host % 10_000);
  view.setUint16(ports + 2, port);
  if (protocol === 6) bytes[ports + 12] = 0x50;
  return bytes;
}

/** A frame of 128 bytes: of IPv6 and UDP, with a VLAN tag. */
function taggedFrame(host: number): Uint8Array {
  const bytes = new Uint8Array(128);
  const untagged = frame({ version: 6, protocol: 17 }, host);
  bytes.set(untagged.subarray(0, 12));
  bytes.set([0x81, 0, 0, 42], 12);
  bytes.set(untagged.subarray(12, 124), 16);
  // the length that UDP has, as IPv6 has it
  bytes.set([0x05, 0xb4], 62);
  return bytes;
}

/** Near misses of a filter for TCP to port 443 of 10.0.0.0/8. */
const OTHERS: readonly Parameters<typeof frame>[0][] = [
  { net: 172 },
  { port: 80 },
  { protocol: 17 },
  { version: 6 },
  { version: 6, port: 80 },
  { net: 172, protocol: 17, port: 53 },
];

/** The kinds of messages, by name; what follows a dash is a number. */
const KINDS: Record<string, (number: number) => Uint8Array<ArrayBuffer>[]> = {
  /** All alike, with `bytes` bytes of data. */
  uniform: (bytes) => new Array(bytes > 4096 ? 16 : COUNT).fill(0).map(() => sample(bytes, { inIfindex: 3, outIfindex: 4 })),
  /** As on a router: 8 interfaces, in and out, IPv4 and IPv6, 4 groups; every eighth has a cookie, every sixteenth a tunnel. */
  mixed: (bytes) => {
    const below = random(1);
    return Array.from({ length: COUNT }, (_, i) =>
      sample(bytes, {
        inIfindex: 3 + below(8),
        outIfindex: below(2) === 0 ? undefined : 3 + below(8),
        group: 5 + below(4),
        protocol: below(2) === 0 ? 0x0800 : 0x86dd,
        originalBytes: bytes + below(1515 - Math.min(bytes, 1514)),
        cookieBytes: i % 8 === 3 ? 8 : undefined,
        tunnel: i % 16 === 5,
      }));
  },
  /** `count` layouts in turn, up to 64: interfaces or not, a queue or not, cookies of eight lengths. */
  layouts: (count) =>
    Array.from({ length: COUNT }, (_, i) => {
      const layout = i % count;
      return sample(128, {
        inIfindex: layout & 1 ? 3 : undefined,
        outIfindex: layout & 2 ? 4 : undefined,
        queue: (layout & 4) !== 0,
        cookieBytes: 2 * (layout >> 3) + 1,
      });
    }),
  /** Every `oneIn`th packet matches `tcp port 443 and net 10.0.0.0/8`. */
  packets: (oneIn) =>
    Array.from({ length: Math.ceil(COUNT / oneIn) * oneIn }, (_, i) => {
      const isWanted = (i + 1) % oneIn === 0;
      return sample(128, { inIfindex: 3, data: frame(isWanted ? {} : OTHERS[i % OTHERS.length]!, i) });
    }),
  /** `count` packets of Ethernet, IPv4 and TCP. */
  tcp: (count) => Array.from({ length: count }, (_, i) => sample(128, { inIfindex: 3, data: frame({}, i) })),
  /** `count` packets of Ethernet, a VLAN tag, IPv6 and UDP. */
  vlan: (count) => Array.from({ length: count }, (_, i) => sample(128, { inIfindex: 3, originalBytes: 1518, data: taggedFrame(i) })),
  /** Every second packet goes to one of 16 hosts, the others to `hosts` hosts in turn, which may be more than a table of flows holds. */
  talkers: (hosts) =>
    Array.from(
      { length: 2 * hosts },
      (_, i) => sample(128, { inIfindex: 3, data: i % 2 === 0 ? frame({ net: 172 }, (i / 2) % 16) : frame({}, (i - 1) / 2) }),
    ),
  /** `count` groups in turn. */
  groups: (count) => Array.from({ length: Math.max(count, COUNT) }, (_, i) => sample(128, { inIfindex: 3, group: i % count })),
  /** Every sample that was recorded from a kernel, see test/golden, in random order. */
  recorded: () => {
    const below = random(2);
    const all = recordings().flatMap(({ items }) => items.flatMap((item) => item.type === "sample" ? [item.message.slice()] : []));
    for (let i = all.length - 1; i > 0; i--) {
      const other = below(i + 1);
      [all[i], all[other]] = [all[other]!, all[i]!];
    }
    for (const message of all) viewOf(message).setUint16(4, FAMILY, LITTLE);
    return all as Uint8Array<ArrayBuffer>[];
  },
};

/** The messages of a kind such as `"mixed-128"`, numbered within their groups. */
function build(kind: string): BenchMessage[] {
  const [name = "", number = "0"] = kind.split("-");
  const messages = KINDS[name]?.(Number(number));
  if (!messages) throw new ArgumentError(`Cannot build messages: there is no kind ${kind}`);
  const places = messages.map((bytes) => {
    let [group, sequenceAt, timestampAt] = [-1, 0, 0];
    const attr = new AttrReader(viewOf(bytes), HEADERS);
    while (attr.next()) {
      if (attr.type === psample.PSAMPLE_ATTR_SAMPLE_GROUP) group = attr.u32();
      else if (attr.type === psample.PSAMPLE_ATTR_GROUP_SEQ) sequenceAt = attr.offset;
      else if (attr.type === psample.PSAMPLE_ATTR_TIMESTAMP) timestampAt = attr.offset;
    }
    return { bytes, group, sequenceAt, timestampAt };
  });
  const sizes = new Map<number, number>();
  for (const { bytes, group, sequenceAt } of places) {
    const number = sizes.get(group) ?? 0;
    sizes.set(group, number + 1);
    if (sequenceAt > 0) viewOf(bytes).setUint32(sequenceAt, number, LITTLE);
  }
  return places.map(({ bytes, group, sequenceAt, timestampAt }) => ({ bytes, sequenceAt, step: sizes.get(group)!, timestampAt }));
}

/**
 * The file with the messages of a kind, made if it is not there yet: of each message four u32 in host order (size, where the
 * sequence number is, by how much it grows, where the time stamp is) and its bytes, padded to 4.
 */
export function messageFile(directory: string, kind: string): string {
  const path = join(directory, kind);
  if (existsSync(path)) return path;
  const messages = build(kind);
  const file = memory(messages.reduce((size, { bytes }) => size + 16 + align4(bytes.length), 0));
  const view = viewOf(file);
  let at = 0;
  for (const { bytes, sequenceAt, step, timestampAt } of messages) {
    [bytes.length, sequenceAt, step, timestampAt].forEach((value, i) => view.setUint32(at + 4 * i, value, LITTLE));
    file.set(bytes, at + 16);
    at += 16 + align4(bytes.length);
  }
  writeFileSync(path, file);
  return path;
}

/** Reads what {@linkcode messageFile} wrote: messages as views of one memory. */
export function readMessages(path: string): BenchMessage[] {
  const file = new Uint8Array(readFileSync(path));
  const view = viewOf(file);
  const messages: BenchMessage[] = [];
  for (let at = 0; at < file.length;) {
    const [size, sequenceAt, step, timestampAt] = [0, 4, 8, 12].map((field) => view.getUint32(at + field, LITTLE)) as [
      number,
      number,
      number,
      number,
    ];
    messages.push({ bytes: file.subarray(at + 16, at + 16 + size), sequenceAt, step, timestampAt });
    at += 16 + align4(size);
  }
  return messages;
}
