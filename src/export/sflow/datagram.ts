/** A datagram of sFlow version 5 while samples are added. Source: sflow.org, "sFlow Version 5" (July 2004), section 5. */
import { align4, memory, viewOf } from "../../wire/native.ts";

const VERSION = 5;
const IP_V4 = 1;
const IP_V6 = 2;

/** Size of a datagram's header without the agent's address. */
export const HEADER_BYTES = 24;
/** Size of the longer of the two kinds of address. */
export const ADDRESS_BYTES = 16;

/** Memory for one datagram, and for one more sample than fits into it. */
export class Datagram {
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly view: DataView<ArrayBuffer>;
  /** The same memory in units of the machine: everything in XDR begins at a multiple of 4. */
  readonly words: Int32Array<ArrayBuffer>;
  /** Where the next sample begins. */
  end: number;
  /** Number of samples. */
  count = 0;
  readonly #start: number;
  readonly #most: number;
  #written: Uint8Array<ArrayBuffer>;

  /**
   * @param address The agent's.
   * @param most Maximum size of the datagram in bytes.
   * @param sampleBytes Maximum size of a sample in bytes.
   */
  constructor(address: Uint8Array, subAgent: number, most: number, sampleBytes: number) {
    const size = align4(most + sampleBytes);
    this.bytes = memory(size);
    this.view = viewOf(this.bytes);
    this.words = new Int32Array(this.bytes.buffer);
    this.#start = HEADER_BYTES + address.length;
    this.#most = most;
    this.end = this.#start;
    this.#written = this.bytes.subarray(0, this.end);
    const { view } = this;
    view.setUint32(0, VERSION);
    view.setUint32(4, address.length === 4 ? IP_V4 : IP_V6);
    this.bytes.set(address, 8);
    view.setUint32(8 + address.length, subAgent);
  }

  /** Whether a sample that was written at {@linkcode Datagram.end} and ends before `end` fits beside the others. */
  fits(end: number): boolean {
    return end <= this.#most;
  }

  /** Takes a sample that was written at {@linkcode Datagram.end} and ends before `end`. */
  add(end: number): void {
    this.end = end;
    this.count++;
  }

  /** Fills in the rest of the header. */
  finish(sequence: number, uptimeMs: number): void {
    const { view } = this;
    const at = this.#start - 12;
    view.setUint32(at, sequence);
    view.setUint32(at + 4, uptimeMs);
    view.setUint32(at + 8, this.count);
  }

  /** What is in it: a view that is valid until the next datagram begins. Many datagrams have the same size, and share it. */
  get written(): Uint8Array<ArrayBuffer> {
    if (this.#written.length !== this.end) this.#written = this.bytes.subarray(0, this.end);
    return this.#written;
  }

  /** Begins the next datagram. */
  clear(): void {
    this.end = this.#start;
    this.count = 0;
  }

  /** Begins the next datagram with the sample between {@linkcode Datagram.end} and `end`, which did not fit into this one. */
  clearBefore(end: number): void {
    const from = this.end;
    this.clear();
    this.bytes.copyWithin(this.end, from, end);
    this.add(this.end + end - from);
  }
}
