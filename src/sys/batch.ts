import { LITTLE, memory, viewOf } from "../wire/native.ts";
import { type Memory, MSG_TRUNC, NETLINK_LISTEN_ALL_NSID, SOL_NETLINK, type Sys } from "./sys.ts";

// struct mmsghdr on the 64-bit machines that both runtimes are made for: struct msghdr (56 bytes), u32 msg_len, padding.
const MMSGHDR = 64;
const MSG_NAME = 0;
const MSG_NAMELEN = 8;
const MSG_IOV = 16;
const MSG_IOVLEN = 24;
const MSG_CONTROL = 32;
const MSG_CONTROLLEN = 40;
const MSG_FLAGS = 48;
const MSG_LEN = 56;
const IOVEC = 16;
const SOCKADDR_NL = 16;
const CONTROL = 64;
// struct cmsghdr: u64 length, int level, int type, then the value.
const CMSG_VALUE = 16;

/**
 * Room for what one recvmmsg(2) receives: a slot for each datagram, and the headers that tell the kernel
 * where the slots are. Made once and reused; pages that no datagram reached are never resident.
 *
 * The kernel writes to the addresses in the headers, so the arrays stay in fields for as long as this lives.
 */
export class Batch {
  /** How many datagrams fit. */
  readonly count: number;
  /** Address of the headers, for recvmmsg. */
  readonly address: bigint;
  readonly #slots: Memory;
  readonly #slotBytes: number;
  readonly #headers: Memory;
  readonly #words: Uint32Array<ArrayBuffer>;
  readonly #iovecs: Memory;
  readonly #names: Memory;
  readonly #controls: Memory | undefined;
  readonly #controlView: DataView | undefined;
  readonly #nameWords: Uint32Array<ArrayBuffer>;
  /** A view of each slot as long as its last datagram: sizes seldom change, views are dear. */
  readonly #views: Uint8Array<ArrayBuffer>[];

  /** Room for `count` datagrams of `slotBytes` bytes, and for their control messages if `control`. */
  constructor(sys: Sys, count: number, slotBytes: number, control = false) {
    this.count = count;
    this.#slotBytes = slotBytes;
    this.#slots = memory(count * slotBytes);
    this.#headers = memory(count * MMSGHDR);
    this.#words = new Uint32Array(this.#headers.buffer);
    this.#iovecs = memory(count * IOVEC);
    this.#names = memory(count * SOCKADDR_NL);
    this.#nameWords = new Uint32Array(this.#names.buffer);
    this.#controls = control ? memory(count * CONTROL) : undefined;
    this.#controlView = this.#controls && viewOf(this.#controls);
    this.#views = [];
    const headers = viewOf(this.#headers);
    const iovecs = viewOf(this.#iovecs);
    const slots = sys.addressOf(this.#slots);
    const vectors = sys.addressOf(this.#iovecs);
    const names = sys.addressOf(this.#names);
    const controls = this.#controls && sys.addressOf(this.#controls);
    for (let i = 0; i < count; i++) {
      iovecs.setBigUint64(i * IOVEC, slots + BigInt(i * slotBytes), LITTLE);
      iovecs.setBigUint64(i * IOVEC + 8, BigInt(slotBytes), LITTLE);
      headers.setBigUint64(i * MMSGHDR + MSG_NAME, names + BigInt(i * SOCKADDR_NL), LITTLE);
      headers.setUint32(i * MMSGHDR + MSG_NAMELEN, SOCKADDR_NL, LITTLE);
      headers.setBigUint64(i * MMSGHDR + MSG_IOV, vectors + BigInt(i * IOVEC), LITTLE);
      headers.setBigUint64(i * MMSGHDR + MSG_IOVLEN, 1n, LITTLE);
      if (controls !== undefined) headers.setBigUint64(i * MMSGHDR + MSG_CONTROL, controls + BigInt(i * CONTROL), LITTLE);
      this.#views.push(this.#slots.subarray(i * slotBytes, i * slotBytes));
    }
    this.address = sys.addressOf(this.#headers);
    this.reset(count);
  }

  /** Gives the kernel back the room that the last `used` datagrams took in the headers. */
  reset(used: number): void {
    if (!this.#controls) return;
    for (let i = 0; i < used; i++) this.#words[(i * MMSGHDR + MSG_CONTROLLEN) >> 2] = CONTROL;
  }

  /** Size of datagram `i`; never more than a slot, see {@linkcode Batch.truncated}. */
  length(i: number): number {
    return this.#words[(i * MMSGHDR + MSG_LEN) >> 2]!;
  }

  /** True where datagram `i` was larger than its slot. */
  truncated(i: number): boolean {
    return (this.#words[(i * MMSGHDR + MSG_FLAGS) >> 2]! & MSG_TRUNC) !== 0;
  }

  /** The bytes of datagram `i`: valid until the next receive. */
  bytes(i: number): Uint8Array<ArrayBuffer> {
    const length = this.length(i);
    let view = this.#views[i]!;
    if (view.length !== length) {
      const at = i * this.#slotBytes;
      this.#views[i] = view = this.#slots.subarray(at, at + length);
    }
    return view;
  }

  /** Port id of the socket that sent datagram `i`; 0 is the kernel. */
  portId(i: number): number {
    return this.#nameWords[(i * SOCKADDR_NL + 4) >> 2]!;
  }

  /** The namespace that datagram `i` came from, where it is another than the socket's own (NETLINK_LISTEN_ALL_NSID). */
  nsid(i: number): number | undefined {
    const view = this.#controlView;
    if (!view || this.#words[(i * MMSGHDR + MSG_CONTROLLEN) >> 2]! < CMSG_VALUE + 4) return undefined;
    const at = i * CONTROL;
    if (view.getInt32(at + 8, LITTLE) !== SOL_NETLINK || view.getInt32(at + 12, LITTLE) !== NETLINK_LISTEN_ALL_NSID) return undefined;
    return view.getInt32(at + CMSG_VALUE, LITTLE);
  }
}
