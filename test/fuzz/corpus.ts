/** The input that is damaged: all recordings, piece by piece, and the command lines of the tests. */
import { readdirSync, readFileSync } from "node:fs";
import { DecodeError } from "../../src/errors.ts";
import { Output } from "../../src/format/output.ts";
import { PcapngWriter } from "../../src/format/pcapng/writer.ts";
import type { Devices } from "../../src/link/device.ts";
import { MessageReader, messageType } from "../../src/wire/message.ts";
import { viewOf } from "../../src/wire/native.ts";
import { toHex } from "../../src/wire/text.ts";
import { MADE } from "../packet/made.ts";
import { type Recording, recordings } from "../psample/recordings.ts";
import { record } from "../support/recorded.ts";
import { allSessions, readSessions } from "../tc/sessions.ts";

/** Where the messages of a record of an nlmon device begin. */
const COOKED_HEADER = 16;

/** Each of them once. */
function unique(list: readonly Uint8Array[]): Uint8Array[] {
  return [...new Map(list.map((bytes) => [toHex(bytes), bytes])).values()];
}

/** The messages of a datagram, complete with their headers, up to the first invalid one. */
function whole(datagram: Uint8Array): Uint8Array[] {
  const messages: Uint8Array[] = [];
  const reader = new MessageReader(viewOf(datagram));
  try {
    while (reader.next()) messages.push(datagram.slice(reader.start, reader.end));
  } catch (error) {
    if (!(error instanceof DecodeError)) throw error;
  }
  return messages;
}

const golden: readonly Recording[] = recordings();
const tcDatagrams = [...allSessions(), ...readSessions("links")].flatMap(({ frames }) => frames.map(({ bytes }) => bytes));
const tcMessages = unique(tcDatagrams.flatMap(whole));

function ofType(from: number, to: number): Uint8Array[] {
  return tcMessages.filter((message) => {
    const type = messageType(message);
    return type >= from && type <= to;
  });
}

/** Datagrams of all kinds. */
export const datagrams: readonly Uint8Array[] = unique([
  ...golden.flatMap(({ records }) => records.map(({ bytes }) => bytes.subarray(COOKED_HEADER))),
  ...tcDatagrams,
]);

const psampleMessages = golden.flatMap(({ items }) => items.flatMap(({ message }) => message ? [message.slice()] : []));

/** Samples and group events, one message each, in both byte orders. */
export const samples: readonly Uint8Array[] = unique([...psampleMessages, ...psampleMessages.map(swapped)]);

/** Packets: sampled ones, and those made by hand. */
export const sampledPackets: readonly Uint8Array[] = unique([
  ...golden.flatMap(({ items }) => items.flatMap((item) => item.type === "sample" && item.data ? [item.data.slice()] : [])),
  ...Object.values(MADE),
]);

/** The controller's answers. */
export const families: readonly Uint8Array[] = unique(
  datagrams.flatMap((bytes) => whole(bytes)).filter((message) => messageType(message) === 0x10 && message[16] === 1),
);

/** Devices. */
export const links: readonly Uint8Array[] = ofType(16, 18);
/** Qdiscs. */
export const qdiscs: readonly Uint8Array[] = ofType(36, 38);
/** Filters. */
export const filters: readonly Uint8Array[] = ofType(44, 46);
/** Actions. */
export const actions: readonly Uint8Array[] = ofType(48, 50);
/** Acknowledgements and ends of dumps. */
export const acks: readonly Uint8Array[] = ofType(2, 3);

/** Files of other programs, see test/golden/odd. */
function oddFiles(): Uint8Array[] {
  const folder = new URL("../golden/odd/", import.meta.url);
  return readdirSync(folder).map((name) => new Uint8Array(readFileSync(new URL(name, folder))));
}

/** Files: pcap, pcapng of packets in both byte orders, and pcapng of netlink messages as dumpcap makes it. */
export const files: readonly Uint8Array[] = [
  ...golden.map(({ file }) => file),
  ...oddFiles(),
  ...golden.flatMap((recording) => [packets(recording, true), packets(recording, false), captured(recording)]),
];

/** Command lines of tc, without the first word. */
export const tcLines: readonly (readonly string[])[] = allSessions().map(({ words }) => words);

/** A file with at least one sample of each kind that is there, small. */
export const smallFile: Uint8Array = golden.find(({ name }) => name === "cookie.new.pcap")!.file;

/** A psample message in the other byte order. */
function swapped(message: Uint8Array): Uint8Array {
  const bytes = message.slice();
  const reverse = (at: number, size: number): void => void bytes.subarray(at, at + size).reverse();
  const attributes = (start: number, end: number, top: boolean): void => {
    for (let at = start; at + 4 <= end;) {
      const view = viewOf(message);
      const size = view.getUint16(at, true);
      const type = view.getUint16(at + 2, true) & 0x3fff;
      reverse(at, 2);
      reverse(at + 2, 2);
      // The numbers of a tunnel are in network byte order in any case; data and cookie are bytes.
      if (top && type === 8) attributes(at + 4, at + size, false);
      else if (top && type !== 6 && type !== 15 && size - 4 <= 8) reverse(at + 4, size - 4);
      at += (size + 3) & ~3;
    }
  };
  for (const [at, size] of [[0, 4], [4, 2], [6, 2], [8, 4], [12, 4]] as const) reverse(at, size);
  attributes(20, message.length, true);
  return bytes;
}

/** The recording as pcapng of packets. */
function packets({ items }: Recording, littleEndian: boolean): Uint8Array {
  const devices: Devices = { find: (index) => ({ name: `d${index}`, type: 1, address: undefined }) };
  return record(new PcapngWriter({ application: "fuzz", littleEndian }), items, { devices, timeNs: 0n });
}

/** The recording as pcapng of netlink messages, with what dumpcap says of the interface, and one simple packet. */
function captured({ records }: Recording): Uint8Array {
  const output = new Output(4096);
  const u32 = (...values: number[]): void => {
    for (const value of values) {
      output.reserve(4);
      output.view.setUint32(output.length, value, true);
      output.length += 4;
    }
  };
  const block = (type: number, fill: () => void): void => {
    const start = output.length;
    u32(type, 0);
    fill();
    while (output.length % 4 !== 0) output.append(new Uint8Array(1));
    u32(output.length + 4 - start);
    output.view.setUint32(start + 4, output.length - start, true);
  };
  block(0x0a0d0d0a, () => u32(0x1a2b3c4d, 1, 0xffffffff, 0xffffffff));
  // if_tsresol 9, if_tsoffset 1.
  block(1, () => u32(253, 262144, 9 | 1 << 16, 9, 14 | 8 << 16, 1, 0, 0));
  records.forEach(({ bytes, originalBytes }, i) => {
    block(6, () => {
      u32(0, i, i, bytes.length, originalBytes);
      output.append(bytes);
    });
  });
  block(3, () => {
    u32(records[0]!.originalBytes);
    output.append(records[0]!.bytes);
  });
  return output.written.slice();
}
