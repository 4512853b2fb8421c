/** No send buffer holds more (net.ipv4.tcp_wmem is 4 MiB by default). */
const MOST_BUFFERED = 8 << 20;

/** Messages that a stream has taken, until the other end has confirmed them. */
export class InFlight {
  /** Samples in messages that are not confirmed. */
  samples = 0;
  /** Where each message ends in the stream, and its samples; those before `#first` are confirmed. */
  #ends: number[] = [];
  #samples: number[] = [];
  #first = 0;
  /** Where the last message ends. */
  #end = 0;

  /** Number of messages that are not confirmed, as far as it is known. */
  get messages(): number {
    return this.#ends.length - this.#first;
  }

  /** A message of this many bytes has been taken. */
  add(bytes: number, samples: number): void {
    this.#end += bytes;
    this.#ends.push(this.#end);
    this.#samples.push(samples);
    this.samples += samples;
  }

  /** The first bytes are confirmed; `undefined` if nobody knows how many. */
  confirm(bytes: number = this.#end - MOST_BUFFERED): void {
    while (this.#first < this.#ends.length && this.#ends[this.#first]! <= bytes) this.samples -= this.#samples[this.#first++]!;
    if (this.#first < this.#ends.length / 2) return;
    this.#ends = this.#ends.slice(this.#first);
    this.#samples = this.#samples.slice(this.#first);
    this.#first = 0;
  }

  /** Another stream begins. */
  restart(): void {
    this.#end = this.samples = this.#first = 0;
    this.#ends = [];
    this.#samples = [];
  }
}
