import type { Memory, Sys } from "../sys/sys.ts";
import { LITTLE, memory, viewOf } from "../wire/native.ts";

// struct mmsghdr and struct iovec on 64-bit machines: see datagrams.ts.
const MMSGHDR = 64;
const MSG_IOV = 16;
const MSG_IOVLEN = 24;
const IOVEC = 16;
const LOW = LITTLE ? 0 : 1;

/**
 * A block of memory with consecutive datagrams, and the headers that say to sendmmsg(2) where each of them is.
 *
 * The kernel reads at the addresses in the headers, so the arrays stay in fields for as long as this lives.
 */
export class SendHeaders {
  /** The block. */
  readonly block: Memory;
  /** Maximum number of datagrams. */
  readonly most: number;
  readonly #headers: Memory;
  readonly #iovecs: Memory;
  readonly #words: Uint32Array<ArrayBuffer>;
  readonly #blockAddress: number;
  readonly #address: bigint;

  /** A block of `bytes` for at most `most` datagrams. */
  constructor(sys: Sys, bytes: number, most: number) {
    this.block = memory(bytes);
    this.most = most;
    this.#headers = memory(most * MMSGHDR);
    this.#iovecs = memory(most * IOVEC);
    this.#words = new Uint32Array(this.#iovecs.buffer);
    // Addresses have 47 bits, which a number can hold.
    this.#blockAddress = Number(sys.addressOf(this.block));
    this.#address = sys.addressOf(this.#headers);
    const vectors = sys.addressOf(this.#iovecs);
    const headers = viewOf(this.#headers);
    for (let i = 0; i < most; i++) {
      headers.setBigUint64(i * MMSGHDR + MSG_IOV, vectors + BigInt(i * IOVEC), LITTLE);
      headers.setBigUint64(i * MMSGHDR + MSG_IOVLEN, 1n, LITTLE);
    }
  }

  /** Makes the headers say where the datagrams are: each begins where the one before it ends. */
  prepare(ends: Uint32Array, count: number): void {
    const words = this.#words;
    let start = 0;
    for (let i = 0; i < count; i++) {
      const end = ends[i]!;
      const address = this.#blockAddress + start;
      const word = i * (IOVEC / 4);
      words[word + LOW] = address >>> 0;
      words[word + 1 - LOW] = address / 0x1_0000_0000;
      words[word + 2 + LOW] = end - start;
      start = end;
    }
  }

  /** Address of the header of datagram `i`, for sendmmsg. */
  addressOf(i: number): bigint {
    return i === 0 ? this.#address : this.#address + BigInt(i * MMSGHDR);
  }
}
