/** An encoder that is as simple as one can be: a datagram has the numbers of up to so many samples, as bytes. */
import type { DatagramEncoder, Datagrams, SendDatagrams } from "../../src/export/datagrams.ts";
import type { Batch } from "../../src/stream/batch.ts";

export class NumbersEncoder implements DatagramEncoder {
  /** Times at which it was flushed, and how often it was told of a new receiver and of the end. */
  readonly flushes: bigint[] = [];
  announced = 0;
  ended = 0;
  leftOut = 0;
  /** What the next call throws. */
  failure: Error | undefined;
  readonly #datagrams: Datagrams;
  readonly #send: SendDatagrams;
  readonly #most: number;
  readonly #begun: number[] = [];

  constructor(datagrams: Datagrams, send: SendDatagrams, most = 3) {
    this.#datagrams = datagrams;
    this.#send = send;
    this.#most = most;
  }

  take({ entries, count }: Batch): void {
    for (let i = 0; i < count; i++) {
      const { sequence } = entries[i]!;
      // The number 99 is of no interest.
      if (sequence === 99) this.leftOut++;
      else this.#begun.push(sequence!);
      if (this.#begun.length === this.#most) this.#complete();
    }
  }

  flush(nowNs: bigint): void {
    if (this.failure) throw this.failure;
    this.flushes.push(nowNs);
    if (this.#begun.length > 0) this.#complete();
    this.#send(this.#datagrams);
  }

  end(nowNs: bigint): void {
    this.ended++;
    this.flush(nowNs);
  }

  announce(): void {
    this.announced++;
  }

  #complete(): void {
    const datagrams = this.#datagrams;
    if (datagrams.lacks(this.#most)) this.#send(datagrams);
    datagrams.bytes.set(this.#begun, datagrams.used);
    datagrams.complete(this.#begun.length, this.#begun.length);
    this.#begun.length = 0;
  }
}
