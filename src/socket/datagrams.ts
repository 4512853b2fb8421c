import { align4, LITTLE, memory, viewOf } from "../wire/native.ts";
import { type Memory, MSG_TRUNC, NETLINK_LISTEN_ALL_NSID, SOL_NETLINK, type Sys } from "../sys/sys.ts";

// struct mmsghdr on the 64-bit machines that both runtimes support: struct msghdr (56 bytes), u32 msg_len, padding.
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

/** Target of {@linkcode Datagrams.together}, in bytes. */
const TOGETHER_BYTES = 1 << 16;
/** Its minimum number of datagrams while they are smaller than a page: with few, recvmmsg gains little. */
const FEWEST = 32;
const PAGE = 4096;
/** Its minimum while they are larger and the copy dominates: what is read next should still be in the processor's cache. */
const FEWEST_LARGE = 4;
/** Slots shrink only after being twice too large for this many full receives: traffic comes and goes. */
const PATIENCE = 64;

/** What a {@linkcode Datagrams} records besides the datagrams themselves. */
export interface DatagramOptions {
  /** Who sent each: {@linkcode Datagrams.portId}. */
  senders?: boolean | undefined;
  /** The namespace each came from: {@linkcode Datagrams.nsid}. */
  namespaces?: boolean | undefined;
}

/**
 * Room for what one recvmmsg(2) receives, and the headers that tell the kernel where it is.
 *
 * The kernel writes into slots side by side that are as large as the largest datagram lately: what is used again and again stays in
 * the processor's cache, and one copy takes all of them away. A datagram that exceeds its slot continues in an overflow area, and is put
 * together afterwards.
 *
 * The kernel writes to the addresses in the headers, so the arrays stay in fields for as long as this lives.
 */
export class Datagrams {
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
  /** Where each datagram begins in the memory returned last. */
  readonly #starts: Uint32Array<ArrayBuffer>;
  #slots!: Memory;
  #slotBytes = 0;
  #view!: DataView<ArrayBuffer>;
  /** How large the slots of the next receive are to be. */
  #wanted = 0;
  /** How large datagrams have been lately, on average. */
  #mean = 0;
  /** Consecutive full receives for which half the slot size would have been enough. */
  #oversized = 0;
  /** How many headers the last receive filled. */
  #used: number;

  /** Room for `count` datagrams of up to `largest` bytes. */
  constructor(sys: Sys, count: number, largest: number, options: DatagramOptions = {}) {
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
    this.#used = count;
    this.#mean = FIRST_SLOT;
    this.#renew(FIRST_SLOT);
  }

  /**
   * How many datagrams to receive at once: as many as fill a few pages of slots. If they are lent, more would not stay in the processor's
   * cache; if they are given away, each one kept would keep more memory alive.
   */
  get together(): number {
    const fewest = this.#mean < PAGE ? FEWEST : FEWEST_LARGE;
    return Math.min(Math.max(TOGETHER_BYTES / this.#mean | 0, fewest), this.count);
  }

  /** Makes room for the next receive: memory that was lent is reused from here on. */
  prepare(): void {
    if (this.#wanted !== this.#slotBytes) this.#renew(this.#wanted);
    if (this.#controls) { for (let i = 0; i < this.#used; i++) this.#words[(i * MMSGHDR + MSG_CONTROLLEN) >> 2] = CONTROL; }
    this.#used = 0;
  }

  /** Size of datagram `i`, at most the room that there is: see {@linkcode Datagrams.truncated}. */
  length(i: number): number {
    return this.#words[(i * MMSGHDR + MSG_LEN) >> 2]!;
  }

  /** Whether datagram `i` was larger than the room that there is. */
  truncated(i: number): boolean {
    return (this.#words[(i * MMSGHDR + MSG_FLAGS) >> 2]! & MSG_TRUNC) !== 0;
  }

  /**
   * The first `count` datagrams of the last receive, in memory that the caller owns from now on. They begin at {@linkcode Datagrams.start}.
   */
  own(count: number): DataView<ArrayBuffer> {
    const size = this.#locate(count);
    const used = count * this.#slotBytes;
    // Copy all slots at once unless more than half would be padding; slice() avoids zeroing.
    if (size > 0 && size >= used / 2) return new DataView(this.#slots.buffer.slice(0, used));
    return this.#gather(count, Math.abs(size));
  }

  /** As {@linkcode Datagrams.own}, but in memory that the next receive into this batch writes to. */
  lend(count: number): DataView<ArrayBuffer> {
    const size = this.#locate(count);
    return size > 0 ? this.#view : this.#gather(count, Math.abs(size));
  }

  /** Where datagram `i` begins in the memory returned last. */
  start(i: number): number {
    return this.#starts[i]!;
  }

  /** Port id of the socket that sent datagram `i`; 0 is the kernel. */
  portId(i: number): number {
    return viewOf(this.#names!).getUint32(i * SOCKADDR_NL + 4, LITTLE);
  }

  /** The namespace that datagram `i` came from, if it is not the socket's own (NETLINK_LISTEN_ALL_NSID). */
  nsid(i: number): number | undefined {
    const view = this.#controlView;
    if (!view || this.#words[(i * MMSGHDR + MSG_CONTROLLEN) >> 2]! < CMSG_VALUE + 4) return undefined;
    const at = i * CONTROL;
    if (view.getInt32(at + 8, LITTLE) !== SOL_NETLINK || view.getInt32(at + 12, LITTLE) !== NETLINK_LISTEN_ALL_NSID) return undefined;
    return view.getInt32(at + CMSG_VALUE, LITTLE);
  }

  /** Finds the datagrams in their slots and returns their total size in bytes; negative if one exceeds its slot. */
  #locate(count: number): number {
    const words = this.#words;
    const slotBytes = this.#slotBytes;
    let size = 0;
    let longest = 0;
    this.#used = count;
    for (let i = 0; i < count; i++) {
      const length = words[(i * MMSGHDR + MSG_LEN) >> 2]!;
      if (length > longest) longest = length;
      size += align4(length);
      this.#starts[i] = i * slotBytes;
    }
    if (count > 0) {
      this.#mean = Math.max(64, size / count);
      const wanted = slotFor(longest);
      if (wanted > slotBytes) this.#wanted = wanted;
      else if (wanted > slotBytes / 2) this.#oversized = 0;
      else if (count >= FEWEST && ++this.#oversized === PATIENCE) this.#wanted = wanted;
    }
    return longest <= slotBytes ? size : -size;
  }

  /** Copies datagrams together from their slots and the overflow area. */
  #gather(count: number, size: number): DataView<ArrayBuffer> {
    const slotBytes = this.#slotBytes;
    const gathered = memory(size);
    let at = 0;
    for (let i = 0; i < count; i++) {
      const length = this.length(i);
      const slot = i * slotBytes;
      const reserve = i * this.#reserveBytes;
      gathered.set(this.#slots.subarray(slot, slot + Math.min(length, slotBytes)), at);
      if (length > slotBytes) gathered.set(this.#reserve.subarray(reserve, reserve + length - slotBytes), at + slotBytes);
      this.#starts[i] = at;
      at += align4(length);
    }
    return viewOf(gathered);
  }

  /** Replaces the slots by ones of `slotBytes`. */
  #renew(slotBytes: number): void {
    const words = this.#iovecWords;
    this.#slotBytes = slotBytes;
    this.#wanted = slotBytes;
    this.#oversized = 0;
    this.#slots = memory(this.count * slotBytes);
    this.#view = viewOf(this.#slots);
    // Addresses have 47 bits, which a number can hold: big integers would take longer than everything else here.
    let address = Number(this.#sys.addressOf(this.#slots));
    for (let word = 0; word < words.length; word += IOVECS / 4) {
      words[word + LOW] = address >>> 0;
      words[word + 1 - LOW] = address / 0x1_0000_0000;
      words[word + 2 + LOW] = slotBytes;
      address += slotBytes;
    }
  }
}

/** The size of slots for datagrams of `bytes`: an odd number of cache lines, so that slots do not all begin in the same set of the cache. */
function slotFor(bytes: number): number {
  return ((bytes + 127) & ~127) | 64;
}
