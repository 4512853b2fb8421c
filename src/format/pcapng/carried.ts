/**
 * What this package adds to pcapng so that samples can be restored exactly.
 *
 * - Beside each packet a custom option (2989, "may be copied") contains its netlink message without the packet, and beside
 *   each interface one contains its index. Readers that do not know these options skip them; tools that filter or merge files
 *   preserve them.
 * - A group event is a block of its own. Wireshark counts custom blocks (0x0bad) as packets, so it is one of the types
 *   that are for local use; tools that rewrite a file drop it. It never comes before the first interface: editcap takes the
 *   link type of a file from its first blocks.
 *
 * Custom content is told apart by a Private Enterprise Number. This package has none: 32473 is the one that RFC 5612
 * sets aside for examples, which nobody owns, so a signature follows it. What follows that is in network byte order
 * whatever the order of the file, because tools that rewrite a file in their own order copy it as it is:
 *
 * ```
 * u32 32473 in the byte order of the file
 * be32 "psmp"
 * u8 kind: 1 sample, 2 group event, 3 what did not fit into the sample's option, 4 interface
 * u8 flags: 1 the message is little-endian, 2 there is an nsid, 4 there is a number, 8 it is not known when the packet was captured
 * be16 of an interface: a number that all interfaces of one machine have, and others do not; 0 if that is not known
 * be32 nsid
 * be32 number: of a sample where in the message its data was, of an interface its index
 * ... the netlink message, of a sample without its data
 * ```
 */
import { DecodeError } from "../../errors.ts";
import { align4, bytesOf, memory, viewOf } from "../../wire/native.ts";

/** For local use, with "ps" in it. */
export const BLOCK_EVENT = 0x80007073;

const ENTERPRISE = 32473;
const SIGNATURE = 0x70736d70;
/** Size of what precedes the message: the enterprise number and the fields above. */
export const CARRIED_HEADER = 20;

export const KIND_SAMPLE = 1;
export const KIND_EVENT = 2;
export const KIND_REST = 3;
export const KIND_INTERFACE = 4;

export const FLAG_LITTLE = 1;
export const FLAG_NSID = 2;
export const FLAG_NUMBER = 4;
export const FLAG_TIMELESS = 8;

/** The contents of our custom options and blocks. */
export interface Carried {
  /** What it is about, KIND_*. */
  readonly kind: number;
  /** The byte order of the message. */
  readonly littleEndian: boolean;
  /** The network namespace. */
  readonly nsid: number | undefined;
  /** Where a sample's data was in its message, or the index of an interface. */
  readonly number: number | undefined;
  /** Distinguishes the machine of an interface from others; 0 if it is not known. */
  readonly machine: number;
  /** The message, or the carried part of it: a view. */
  readonly bytes: Uint8Array;
}

/** Writes the header of a custom option or block at `at`, where {@linkcode CARRIED_HEADER} bytes are. */
export function writeCarried(
  view: DataView,
  at: number,
  little: boolean,
  kind: number,
  messageLittle: boolean,
  nsid: number | undefined,
  number: number | undefined,
  machine = 0,
): void {
  view.setUint32(at, ENTERPRISE, little);
  view.setUint32(at + 4, SIGNATURE);
  view.setUint8(at + 8, kind);
  view.setUint8(
    at + 9,
    (messageLittle ? FLAG_LITTLE : 0) | (nsid === undefined ? 0 : FLAG_NSID) | (number === undefined ? 0 : FLAG_NUMBER),
  );
  view.setUint16(at + 10, machine);
  view.setUint32(at + 12, nsid ?? 0);
  view.setUint32(at + 16, number ?? 0);
}

/** Marks the one at `at`: the time of its packet is not known, and the one that pcapng requires is made up. */
export function markTimeless(view: DataView, at: number): void {
  view.setUint8(at + 9, carriedFlags(view, at) | FLAG_TIMELESS);
}

/** Whether a custom option or block, of which `size` bytes begin at `at`, is ours. */
export function isCarried(view: DataView, at: number, size: number, little: boolean): boolean {
  return size >= CARRIED_HEADER && view.getUint32(at, little) === ENTERPRISE && view.getUint32(at + 4) === SIGNATURE;
}

/** FLAG_* of one of ours at `at`. */
export function carriedFlags(view: DataView, at: number): number {
  return view.getUint8(at + 9);
}

/** Its namespace, if the flags indicate one. */
export function carriedNsid(view: DataView, at: number): number {
  return view.getUint32(at + 12);
}

/** Its number, if the flags indicate one. */
export function carriedNumber(view: DataView, at: number): number {
  return view.getUint32(at + 16);
}

/** The contents of the custom option or block of `size` bytes at `at`; `undefined` if it is somebody else's. */
export function readCarried(view: DataView, at: number, size: number, little: boolean): Carried | undefined {
  if (!isCarried(view, at, size, little)) return undefined;
  const flags = carriedFlags(view, at);
  return {
    kind: view.getUint8(at + 8),
    littleEndian: (flags & FLAG_LITTLE) !== 0,
    nsid: flags & FLAG_NSID ? carriedNsid(view, at) : undefined,
    number: flags & FLAG_NUMBER ? carriedNumber(view, at) : undefined,
    machine: view.getUint16(at + 10),
    bytes: bytesOf(view, at + CARRIED_HEADER, at + size),
  };
}

/** A sample's message as it was, or as it would be with the cut packet. */
export interface Restored {
  /** The message. */
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** Its size when it was recorded, in bytes. */
  readonly originalBytes: number;
}

/**
 * Reassembles a sample's message from the carried parts and the packet. A tool may have cut the packet, or changed its length otherwise:
 * the message is adjusted then.
 *
 * @throws {DecodeError} if the two do not fit together.
 */
export function restoreMessage(parts: readonly Carried[], data: Uint8Array): Restored {
  const { littleEndian, number: dataAt } = parts[0]!;
  const size = parts.reduce((sum, part) => sum + part.bytes.length, 0);
  let carried = parts[0]!.bytes;
  if (parts.length > 1) {
    carried = memory(size);
    let at = 0;
    for (const part of parts) {
      carried.set(part.bytes, at);
      at += part.bytes.length;
    }
  }
  if (dataAt === undefined) return { bytes: carried.slice() as Uint8Array<ArrayBuffer>, originalBytes: size };
  // The attribute's header comes before the data, and padding may follow it.
  if (dataAt < 4 || dataAt > size) throw new DecodeError("recording", 0, `a message of ${size} bytes with a packet at ${dataAt}`);
  const view = viewOf(carried);
  const before = view.getUint16(dataAt - 4, littleEndian) - 4;
  if (before < 0) throw new DecodeError("recording", 0, `a message with an attribute of ${before + 4} bytes`);
  const originalBytes = size + before;
  if (before === data.length) {
    const bytes = memory(originalBytes);
    bytes.set(carried.subarray(0, dataAt));
    bytes.set(data, dataAt);
    bytes.set(carried.subarray(dataAt), dataAt + data.length);
    return { bytes, originalBytes };
  }
  if (data.length + 4 > 0xffff) {
    throw new DecodeError("recording", 0, `a packet of ${data.length} bytes; a message holds at most ${0xffff - 4}`);
  }
  const behind = carried.subarray(Math.min(size, dataAt + align4(before) - before));
  const bytes = memory(dataAt + (behind.length > 0 ? align4(data.length) : data.length) + behind.length);
  bytes.set(carried.subarray(0, dataAt));
  bytes.set(data, dataAt);
  bytes.set(behind, bytes.length - behind.length);
  const restored = viewOf(bytes);
  restored.setUint16(dataAt - 4, data.length + 4, littleEndian);
  if (bytes.length >= 4) restored.setUint32(0, bytes.length, littleEndian);
  return { bytes, originalBytes };
}
