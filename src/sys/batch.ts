import { align4, LITTLE, memory, viewOf } from "../wire/native.ts";
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
// struct iovec: u64 address, u64 size; a datagram has two of them.
const IOVEC = 16;
const IOVECS = 2 * IOVEC;
const LOW = LITTLE ? 0 : 1;
const SOCKADDR_NL = 16;
const CONTROL = 64;
// struct cmsghdr: u64 length, int level, int type, then the value.
const CMSG_VALUE = 16;

const FIRST_SLOT = 256;
/** Datagrams that are larger than this are copied: an arena of such slots would keep too much memory alive. */
const LARGEST_SLOT = 2048;

/** What a {@linkcode Batch} is to know beside the datagrams themselves. */
export interface BatchOptions {
  /** Who sent each: {@linkcode Batch.portId}. */
  senders?: boolean | undefined;
  /** The namespace each came from: {@linkcode Batch.nsid}. */
  namespaces?: boolean | undefined;
}

/**
 * Room for what one recvmmsg(2) receives, and the headers that tell the kernel where it is.
 *
 * The kernel writes right into memory that then goes with the datagrams, an arena of slots as large as
 * datagrams have been lately, so that nothing is copied in the usual case. What exceeds its slot goes on in a
 * reserve, and is copied. An arena that has been given away is never written again: it may be gone by then.
 *
 * The kernel writes to the addresses in the headers, so the arrays stay in fields for as long as this lives.
 */
export class Batch {
  /** How many datagrams fit. */
  readonly count: number;
  /** Address of the headers, for recvmmsg. */
  readonly address: bigint;
  readonly #sys: Sys;
  readonly #headers: Memory;
  readonly #words: Uint32Array<ArrayBuffer>;
  readonly #iovecs: Memory;
  readonly #iovecWords: Uint32Array<ArrayBuffer>;
  /** Pages of it that no datagram reached are never resident. */
  readonly #reserve: Memory;
  readonly #reserveBytes: number;
  readonly #names: Memory | undefined;
  readonly #controls: Memory | undefined;
  readonly #controlView: DataView | undefined;
  /** Where each datagram begins in what {@linkcode Batch.own} gave last. */
  readonly #starts: Uint32Array<ArrayBuffer>;
  #arena!: Memory;
  #slotBytes = 0;

  /** Room for `count` datagrams of up to `largest` bytes. */
  constructor(sys: Sys, count: number, largest: number, options: BatchOptions = {}) {
    this.#sys = sys;
    this.count = count;
    this.#headers = memory(count * MMSGHDR);
    this.#words = new Uint32Array(this.#headers.buffer);
    this.#iovecs = memory(count * IOVECS);
    this.#iovecWords = new Uint32Array(this.#iovecs.buffer);
    this.#reserve = memory(count * largest);
    this.#reserveBytes = largest;
    this.#names = options.senders ? memory(count * SOCKADDR_NL) : undefined;
    this.#controls = options.namespaces ? memory(count * CONTROL) : undefined;
    this.#controlView = this.#controls && viewOf(this.#controls);
    this.#starts = new Uint32Array(count);
    const headers = viewOf(this.#headers);
    const iovecs = viewOf(this.#iovecs);
    const reserve = sys.addressOf(this.#reserve);
    const vectors = sys.addressOf(this.#iovecs);
    const names = this.#names && sys.addressOf(this.#names);
    const controls = this.#controls && sys.addressOf(this.#controls);
    for (let i = 0; i < count; i++) {
      const header = i * MMSGHDR;
      iovecs.setBigUint64(i * IOVECS + IOVEC, reserve + BigInt(i * largest), LITTLE);
      iovecs.setBigUint64(i * IOVECS + IOVEC + 8, BigInt(largest), LITTLE);
      headers.setBigUint64(header + MSG_IOV, vectors + BigInt(i * IOVECS), LITTLE);
      headers.setBigUint64(header + MSG_IOVLEN, 2n, LITTLE);
      if (names !== undefined) headers.setBigUint64(header + MSG_NAME, names + BigInt(i * SOCKADDR_NL), LITTLE);
      if (names !== undefined) headers.setUint32(header + MSG_NAMELEN, SOCKADDR_NL, LITTLE);
      if (controls !== undefined) headers.setBigUint64(header + MSG_CONTROL, controls + BigInt(i * CONTROL), LITTLE);
    }
    this.address = sys.addressOf(this.#headers);
    this.#renew(FIRST_SLOT);
    this.reset(count);
  }

  /** Gives the kernel back the room that the last `used` datagrams took in the headers. */
  reset(used: number): void {
    if (!this.#controls) return;
    for (let i = 0; i < used; i++) this.#words[(i * MMSGHDR + MSG_CONTROLLEN) >> 2] = CONTROL;
  }

  /** Size of datagram `i`; never more than there is room for, see {@linkcode Batch.truncated}. */
  length(i: number): number {
    return this.#words[(i * MMSGHDR + MSG_LEN) >> 2]!;
  }

  /** True where datagram `i` was larger than there is room for. */
  truncated(i: number): boolean {
    return (this.#words[(i * MMSGHDR + MSG_FLAGS) >> 2]! & MSG_TRUNC) !== 0;
  }

  /**
   * The first `count` datagrams, as they were received last, in memory that is the caller's from now on. They
   * begin at {@linkcode Batch.start}. To be called once for each receive.
   */
  own(count: number): Memory {
    const slotBytes = this.#slotBytes;
    let size = 0;
    let longest = 0;
    for (let i = 0; i < count; i++) {
      const length = this.length(i);
      if (length > longest) longest = length;
      size += align4(length);
      this.#starts[i] = i * slotBytes;
    }
    const wanted = Math.min((longest + 63) & ~63, LARGEST_SLOT);
    const arena = this.#arena;
    // A copy too where much of the arena is empty: what is given away may be kept for long.
    if (longest <= slotBytes && size >= arena.length / 2) {
      this.#renew(wanted);
      return arena;
    }
    const owned = this.#gather(count, size);
    if (wanted > slotBytes || (count === this.count && wanted < slotBytes)) this.#renew(wanted);
    return owned;
  }

  /** Where datagram `i` begins in what {@linkcode Batch.own} gave. */
  start(i: number): number {
    return this.#starts[i]!;
  }

  /** Port id of the socket that sent datagram `i`; 0 is the kernel. */
  portId(i: number): number {
    return viewOf(this.#names!).getUint32(i * SOCKADDR_NL + 4, LITTLE);
  }

  /** The namespace that datagram `i` came from, where it is another than the socket's own (NETLINK_LISTEN_ALL_NSID). */
  nsid(i: number): number | undefined {
    const view = this.#controlView;
    if (!view || this.#words[(i * MMSGHDR + MSG_CONTROLLEN) >> 2]! < CMSG_VALUE + 4) return undefined;
    const at = i * CONTROL;
    if (view.getInt32(at + 8, LITTLE) !== SOL_NETLINK || view.getInt32(at + 12, LITTLE) !== NETLINK_LISTEN_ALL_NSID) return undefined;
    return view.getInt32(at + CMSG_VALUE, LITTLE);
  }

  /** Copies datagrams together from the arena and the reserve. */
  #gather(count: number, size: number): Memory {
    const slotBytes = this.#slotBytes;
    const owned = memory(size);
    let at = 0;
    for (let i = 0; i < count; i++) {
      const length = this.length(i);
      const slot = i * slotBytes;
      const reserve = i * this.#reserveBytes;
      owned.set(this.#arena.subarray(slot, slot + Math.min(length, slotBytes)), at);
      if (length > slotBytes) owned.set(this.#reserve.subarray(reserve, reserve + length - slotBytes), at + slotBytes);
      this.#starts[i] = at;
      at += align4(length);
    }
    return owned;
  }

  /** Takes an arena of slots of `slotBytes` for the next receive. */
  #renew(slotBytes: number): void {
    const words = this.#iovecWords;
    this.#slotBytes = slotBytes;
    this.#arena = memory(this.count * slotBytes);
    // Addresses have 47 bits, which a number holds: 64 big integers would take longer than the rest.
    let address = Number(this.#sys.addressOf(this.#arena));
    for (let word = 0; word < words.length; word += IOVECS / 4) {
      words[word + LOW] = address >>> 0;
      words[word + 1 - LOW] = address / 0x1_0000_0000;
      words[word + 2 + LOW] = slotBytes;
      address += slotBytes;
    }
  }
}
