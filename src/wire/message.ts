import { DecodeError, NetlinkError } from "../errors.ts";
import { AttrReader } from "./attr_reader.ts";
import { AttrWriter } from "./attr_writer.ts";
import { align4, bytesOf, LITTLE, memory, viewOf } from "./native.ts";

// include/uapi/linux/netlink.h
export const NLMSG_HDRLEN = 16;
export const NLMSG_NOOP = 1;
export const NLMSG_ERROR = 2;
export const NLMSG_DONE = 3;

export const NLM_F_REQUEST = 0x1;
export const NLM_F_MULTI = 0x2;
export const NLM_F_ACK = 0x4;
export const NLM_F_ECHO = 0x8;
export const NLM_F_DUMP_INTR = 0x10;
export const NLM_F_DUMP = 0x300;
// Flags of a NEW request.
export const NLM_F_REPLACE = 0x100;
export const NLM_F_EXCL = 0x200;
export const NLM_F_CREATE = 0x400;
// Flags of a DELETE request: all objects that match.
export const NLM_F_ROOT = 0x100;
// Flags of an acknowledgement: the request is not echoed completely, and attributes follow.
const NLM_F_CAPPED = 0x100;
const NLM_F_ACK_TLVS = 0x200;

const NLMSGERR_ATTR_MSG = 1;
const NLMSGERR_ATTR_OFFS = 2;

/**
 * One netlink message: its decoded header, and views of the datagram that it came in. Every decoder takes one.
 *
 * @category Samples
 */
export interface Message {
  /** `nlmsg_type`. */
  readonly type: number;
  /** `nlmsg_flags`, NLM_F_*. */
  readonly flags: number;
  /** `nlmsg_seq`: the number of the request that this answers. */
  readonly sequence: number;
  /** `nlmsg_pid`: the port id of the message's receiver (answers) or sender (multicasts; 0 is the kernel). */
  readonly portId: number;
  /** The byte order of the machine that the message is from. */
  readonly littleEndian: boolean;
  /** The whole message, header included. */
  readonly bytes: Uint8Array;
  /** What follows the header. */
  readonly payload: Uint8Array;
}

/**
 * `bytes` as a message, whatever its own length field says.
 *
 * @param littleEndian The byte order of the machine that the message is from; defaults to this machine's.
 * @throws {DecodeError} if `bytes` are shorter than a header.
 * @category Samples
 */
export function messageOf(bytes: Uint8Array, littleEndian: boolean = LITTLE): Message {
  if (bytes.length < NLMSG_HDRLEN) throw new DecodeError("netlink message", 0, `${bytes.length} bytes, expected at least ${NLMSG_HDRLEN}`);
  const view = viewOf(bytes);
  return {
    type: view.getUint16(4, littleEndian),
    flags: view.getUint16(6, littleEndian),
    sequence: view.getUint32(8, littleEndian),
    portId: view.getUint32(12, littleEndian),
    littleEndian,
    bytes,
    payload: bytes.subarray(NLMSG_HDRLEN),
  };
}

/** `nlmsg_type` of a whole message. Read by the byte: a view of each message would cost more than writing it to a file. */
export function messageType(message: Uint8Array, littleEndian: boolean = LITTLE): number {
  return littleEndian ? message[4]! | message[5]! << 8 : message[4]! << 8 | message[5]!;
}

/** The byte order of a whole message: its length is right in one of them. This machine's if it is right in neither. */
export function isLittleEndian(message: Uint8Array): boolean {
  if (message.length < 4) return LITTLE;
  const little = (message[0]! | message[1]! << 8 | message[2]! << 16 | message[3]! << 24) >>> 0;
  if (little === message.length) return true;
  const big = (message[3]! | message[2]! << 8 | message[1]! << 16 | message[0]! << 24) >>> 0;
  return big === message.length ? false : LITTLE;
}

/** `nlmsg_flags` of a request. */
export function messageFlags(request: Uint8Array): number {
  return viewOf(request).getUint16(6, LITTLE);
}

/** Adds to `nlmsg_flags` of a request. */
export function addFlags(request: Uint8Array, flags: number): void {
  viewOf(request).setUint16(6, messageFlags(request) | flags, LITTLE);
}

/** Sets `nlmsg_seq` of a request. */
export function setSequence(request: Uint8Array, sequence: number): void {
  viewOf(request).setUint32(8, sequence, LITTLE);
}

/**
 * A cursor over the messages of one datagram. It allocates nothing: the hot path uses it directly, everything else {@linkcode
 * splitMessages}.
 */
export class MessageReader {
  /** `nlmsg_type` of the message at the cursor. */
  type = 0;
  /** Offset of the message's header. */
  start = 0;
  /** Offset after the message's last byte, padding not counted. */
  end = 0;
  #view: DataView;
  /** Where the datagram begins: offsets in errors are counted from there. */
  #base = 0;
  #at = 0;
  #limit = 0;
  #little: boolean;

  /** Reads the messages between the offsets `start` and `end` of `view`. */
  constructor(view: DataView, start = 0, end: number = view.byteLength, little: boolean = LITTLE) {
    this.#view = view;
    this.#base = this.#at = start;
    this.#limit = end;
    this.#little = little;
  }

  /** Points the cursor at other bytes. */
  reset(view: DataView, start: number, end: number): void {
    this.#view = view;
    this.#base = this.#at = start;
    this.#limit = end;
  }

  /** The message at the cursor. */
  message(): Message {
    return messageOf(bytesOf(this.#view, this.start, this.end), this.#little);
  }

  /** Steps to the next message; false at the end. */
  next(): boolean {
    const left = this.#limit - this.#at;
    if (left <= 0) return false;
    const view = this.#view;
    const at = this.#at;
    if (left < NLMSG_HDRLEN) {
      throw new DecodeError("netlink message", at - this.#base, `${left} bytes left, expected at least ${NLMSG_HDRLEN}`);
    }
    const length = view.getUint32(at, this.#little);
    if (length < NLMSG_HDRLEN || length > left) {
      throw new DecodeError("netlink message", at - this.#base, `length ${length}, ${left} bytes left`);
    }
    this.type = view.getUint16(at + 4, this.#little);
    this.start = at;
    this.end = at + length;
    // The last message may lack its padding.
    this.#at = at + align4(length);
    return true;
  }
}

/**
 * The messages of one datagram.
 *
 * @category Samples
 */
export function splitMessages(datagram: Uint8Array, little: boolean = LITTLE): Message[] {
  const messages: Message[] = [];
  const reader = new MessageReader(viewOf(datagram), 0, datagram.length, little);
  while (reader.next()) messages.push(reader.message());
  return messages;
}

/** Several messages in one datagram, each aligned to 4 bytes. */
export function joinMessages(messages: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const datagram = memory(messages.reduce((size, message) => size + align4(message.length), 0));
  let at = 0;
  for (const message of messages) {
    datagram.set(message, at);
    at += align4(message.length);
  }
  return datagram;
}

/** What {@linkcode encodeMessage} puts into the header. */
export interface MessageHeader {
  /** `nlmsg_type`. */
  type: number;
  /** `nlmsg_flags`, NLM_F_*. */
  flags: number;
  /** `nlmsg_seq`; defaults to 0. */
  sequence?: number;
  /** `nlmsg_pid`; defaults to 0. */
  portId?: number;
}

/**
 * One message: the header, the family's fixed struct, and the attributes that `fill` writes.
 *
 * @param littleEndian The byte order of the machine that it is for; defaults to this machine's.
 */
export function encodeMessage(
  header: MessageHeader,
  fixed: Uint8Array,
  fill?: (writer: AttrWriter) => void,
  littleEndian: boolean = LITTLE,
): Uint8Array<ArrayBuffer> {
  const writer = new AttrWriter(littleEndian).raw(memory(NLMSG_HDRLEN)).raw(fixed);
  fill?.(writer);
  const bytes = writer.finish();
  const view = viewOf(bytes);
  view.setUint32(0, bytes.length, littleEndian);
  view.setUint16(4, header.type, littleEndian);
  view.setUint16(6, header.flags, littleEndian);
  view.setUint32(8, header.sequence ?? 0, littleEndian);
  view.setUint32(12, header.portId ?? 0, littleEndian);
  return bytes;
}

/** An acknowledgement. */
export interface Ack {
  /** 0 for success, else the positive error number. */
  readonly errno: number;
  /** The kernel's message: the reason for a refusal, or a warning with a success. */
  readonly extack: string | undefined;
  /** Offset of the refused attribute in the request. */
  readonly extackOffset: number | undefined;
}

/**
 * Reads `NLMSG_ERROR`, which is also the acknowledgement of success, and `NLMSG_DONE`, in which a dump
 * reports the error that ended it. Malformed extended attributes never hide the error number.
 */
export function decodeAck(message: Message): Ack {
  const { payload } = message;
  if (payload.length < 4) {
    // Some kernels send a DONE without a status for an empty dump.
    if (message.type === NLMSG_DONE) return { errno: 0, extack: undefined, extackOffset: undefined };
    throw new DecodeError("acknowledgement", 0, `${payload.length} bytes, expected at least 4`);
  }
  const view = viewOf(payload);
  const errno = Math.abs(view.getInt32(0, LITTLE));
  let extack: string | undefined;
  let extackOffset: number | undefined;
  if (message.flags & NLM_F_ACK_TLVS) {
    try {
      let at = 4;
      if (message.type === NLMSG_ERROR) {
        // The request's header follows, and unless capped its payload too, if its length is correct.
        const echoed = message.flags & NLM_F_CAPPED || payload.length < 8 ? NLMSG_HDRLEN : view.getUint32(4, LITTLE);
        at += align4(Math.min(echoed, payload.length));
      }
      const attr = new AttrReader(view, at);
      while (attr.next()) {
        if (attr.type === NLMSGERR_ATTR_MSG) extack = attr.string();
        else if (attr.type === NLMSGERR_ATTR_OFFS) extackOffset = attr.u32();
      }
    } catch (error) {
      if (!(error instanceof DecodeError)) throw error;
    }
  }
  return { errno, extack, extackOffset };
}

/** The error that an acknowledgement of `op` reports; `undefined` for success. */
export function ackError(op: string, ack: Ack, hint?: string): NetlinkError | undefined {
  if (ack.errno === 0) return undefined;
  return new NetlinkError(op, ack.errno, { extack: ack.extack, extackOffset: ack.extackOffset, hint });
}
