/** Datagrams that an encoder completes, on their way to a socket. */
import type { Batch } from "../stream/batch.ts";

/**
 * Consecutive datagrams in one block of memory, so that one system call sends many.
 *
 * @category Export
 */
export class Datagrams {
  /** The block. Datagram `i` is in it from `i === 0 ? 0 : ends[i - 1]` to `ends[i]`. */
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** Where each datagram ends. */
  readonly ends: Uint32Array<ArrayBuffer>;
  /** How many samples are in each datagram, or went into it: what is missing if it cannot be sent. */
  readonly samples: Uint32Array<ArrayBuffer>;
  /** How many data records are in each datagram, from which protocols with numbered records (IPFIX) derive what is missing; otherwise 0. */
  readonly records: Uint32Array<ArrayBuffer>;
  /** How many samples of counters are in each datagram. */
  readonly counterSamples: Uint32Array<ArrayBuffer>;
  /** Number of datagrams. */
  count = 0;

  /**
   * Makes room for datagrams.
   *
   * @param block Memory, which the socket may want to choose.
   * @param most How many datagrams one system call takes.
   */
  constructor(block: Uint8Array<ArrayBuffer>, most: number) {
    this.bytes = block;
    this.ends = new Uint32Array(most);
    this.samples = new Uint32Array(most);
    this.records = new Uint32Array(most);
    this.counterSamples = new Uint32Array(most);
  }

  /** Where the next datagram begins. */
  get used(): number {
    return this.count === 0 ? 0 : this.ends[this.count - 1]!;
  }

  /** Whether there is no room for another datagram of at most this many bytes. */
  lacks(bytes: number): boolean {
    return this.count === this.ends.length || this.used + bytes > this.bytes.length;
  }

  /**
   * Completes the datagram of `length` bytes that was written at {@linkcode Datagrams.used}, and notes what it contains: the number of
   * samples that it accounts for, of records, and of counter samples.
   */
  complete(length: number, samples: number, records = 0, counterSamples = 0): void {
    this.ends[this.count] = this.used + length;
    this.samples[this.count] = samples;
    this.records[this.count] = records;
    this.counterSamples[this.count] = counterSamples;
    this.count++;
  }

  /** Forgets all datagrams: they have been sent, or dropped and counted. */
  clear(): void {
    this.count = 0;
  }
}

/**
 * Sends the datagrams gathered so far, or drops and counts them, and clears them. It never throws and never waits.
 *
 * @category Export
 */
export type SendDatagrams = (datagrams: Datagrams) => void;

/**
 * Makes datagrams of samples, in the {@linkcode Datagrams} that it is made with. It never awaits and never reads a clock: the caller passes
 * the time.
 *
 * Whenever its {@linkcode Datagrams} are full, and at each flush, it passes them to its {@linkcode SendDatagrams}.
 *
 * @category Export
 */
export interface DatagramEncoder {
  /** Number of samples so far that it has left out on purpose, such as those of packets that another sample stands for. Defaults to 0. */
  readonly leftOut?: number;
  /**
   * Sets which interfaces have their arriving packets sampled too. A packet that came in by one of them was considered there, so its
   * samples on the way out are left out: each would count it twice.
   *
   * @param nsid Their network namespace; `undefined` for the listener's own.
   */
  setSampledInputs?(ifindexes: Iterable<number>, nsid?: number): void;
  /**
   * Sets how many packets have reached the samplers of an interface in a direction since they were set up, for protocols that report it.
   * Without it, the number is estimated.
   */
  setObserved?(ifindex: number, direction: "ingress" | "egress", total: bigint, nsid?: number): void;
  /** Adds the samples of a batch. */
  take(batch: Batch): void;
  /**
   * Completes the datagram that has begun and sends everything; adds what is due by now, such as templates. Called at least once a second,
   * whether or not there were samples.
   *
   * @param nowNs This machine's clock, in nanoseconds since 1970.
   */
  flush(nowNs: bigint): void;
  /** {@linkcode DatagramEncoder.flush} for the last time: what is still being gathered, such as flows, is exported too. */
  end(nowNs: bigint): void;
  /** From now on the receiver may be a different one: what it must know first, such as templates, is sent before anything else. */
  announce(): void;
}
