/** Messages of a stream that wait for it, in a bounded amount of memory. */
import type { Memory } from "../sys/sys.ts";
import { memory, viewOf } from "../wire/native.ts";

/** Size of a block of messages; a longer message has a block of its own. */
export const BLOCK_BYTES: number = 1 << 16;

/** Writes the number of a message that is sent next, of which `records` and `missing` are said. */
export type NumberMessage = (block: DataView, at: number, records: number, missing: number) => void;

/** Consecutive messages. */
class Block {
  readonly bytes: Memory;
  readonly view: DataView<ArrayBuffer>;
  readonly ends: number[] = [];
  readonly samples: number[] = [];
  readonly records: number[] = [];
  readonly missing: number[] = [];
  used = 0;

  constructor(size: number) {
    this.bytes = memory(size);
    this.view = viewOf(this.bytes);
  }

  get count(): number {
    return this.ends.length;
  }
}

/** A queue of whole messages, with what each stands for. */
export class MessageQueue {
  /** Number of messages that are not sent completely, and of samples in them. */
  messages = 0;
  samples = 0;
  readonly #limit: number;
  /** Size of all blocks. */
  #bytes = 0;
  readonly #blocks: Block[] = [];
  #spare: Block | undefined;
  /** In the first block: how many bytes, and how many messages, have been sent, and how many have their numbers. */
  #sentBytes = 0;
  #sent = 0;
  #numbered = 0;

  /** @param limit How many bytes may wait. */
  constructor(limit: number) {
    this.#limit = limit;
  }

  get isEmpty(): boolean {
    return this.messages === 0;
  }

  /** Whether so much has been sent that it is worth while to add messages again. */
  get isHalfEmpty(): boolean {
    return this.messages === 0 || this.#bytes <= this.#limit / 2;
  }

  /**
   * Adds a copy of a message; false if there is no room for it.
   *
   * @param missing How many records of its domain should have come before it.
   */
  add(message: Uint8Array, samples: number, records: number, missing: number): boolean {
    let block = this.#blocks.at(-1);
    if (!block || block.used + message.length > block.bytes.length) {
      const size = Math.max(BLOCK_BYTES, message.length);
      if (this.#blocks.length > 0 && this.#bytes + size > this.#limit) return false;
      block = this.#spare?.bytes.length === size ? this.#spare : new Block(size);
      this.#spare = undefined;
      this.#blocks.push(block);
      this.#bytes += size;
    }
    block.bytes.set(message, block.used);
    block.used += message.length;
    block.ends.push(block.used);
    block.samples.push(samples);
    block.records.push(records);
    block.missing.push(missing);
    this.messages++;
    this.samples += samples;
    return true;
  }

  /** The next bytes to send, in messages that have their numbers. Empty if there are none. */
  next(number: NumberMessage): Memory {
    const block = this.#blocks[0];
    if (!block) return memory(0);
    for (; this.#numbered < block.count; this.#numbered++) {
      const i = this.#numbered;
      number(block.view, i === 0 ? 0 : block.ends[i - 1]!, block.records[i]!, block.missing[i]!);
    }
    return block.bytes.subarray(this.#sentBytes, block.used);
  }

  /** The first bytes have been sent. `onSent` is called for each message that is complete now. */
  sent(bytes: number, onSent: (bytes: number, samples: number) => void): void {
    const block = this.#blocks[0];
    if (!block) return;
    this.#sentBytes += bytes;
    while (this.#sent < block.count && block.ends[this.#sent]! <= this.#sentBytes) {
      const i = this.#sent++;
      this.messages--;
      this.samples -= block.samples[i]!;
      onSent(block.ends[i]! - (i === 0 ? 0 : block.ends[i - 1]!), block.samples[i]!);
    }
    if (this.#sent === block.count) this.#shift();
  }

  /** A message of which only a part was sent is to be sent from its beginning, and all get their numbers again: another stream begins. */
  rewind(): void {
    this.#sentBytes = this.#sent === 0 ? 0 : this.#blocks[0]!.ends[this.#sent - 1]!;
    this.#numbered = this.#sent;
    for (const { missing } of this.#blocks) missing.fill(0);
  }

  /** Removes the oldest messages, to make room. Only while there is no stream. */
  dropOldest(onDropped: (samples: number) => void): void {
    const block = this.#blocks[0];
    if (!block) return;
    for (let i = this.#sent; i < block.count; i++) {
      this.messages--;
      this.samples -= block.samples[i]!;
      onDropped(block.samples[i]!);
    }
    this.#shift();
  }

  /** Removes everything. */
  clear(onDropped: (samples: number) => void): void {
    while (this.#blocks.length > 0) this.dropOldest(onDropped);
  }

  #shift(): void {
    const block = this.#blocks.shift()!;
    this.#bytes -= block.bytes.length;
    this.#sentBytes = this.#sent = this.#numbered = 0;
    for (const list of [block.ends, block.samples, block.records, block.missing]) list.length = 0;
    block.used = 0;
    this.#spare = block;
  }
}
