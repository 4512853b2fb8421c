/**
 * Flows in bounded memory, all of it allocated at the start: a hash table, and two queues that tell which flow is due next, by when it began
 * and by when it was seen last.
 *
 * @module
 */
import { SlotTable } from "../../estimate/slot_table.ts";
import type { SelectionSequence } from "./announcements.ts";

/** Size of a key, in words of 32 bits. */
export const KEY_WORDS = 13;
/** No flow. */
const NONE = -1;

/** A queue of slots, from which any can be taken out. */
class Queue {
  first = NONE;
  #last = NONE;
  readonly #before: Int32Array;
  readonly #after: Int32Array;

  constructor(capacity: number) {
    this.#before = new Int32Array(capacity);
    this.#after = new Int32Array(capacity);
  }

  append(slot: number): void {
    this.#before[slot] = this.#last;
    this.#after[slot] = NONE;
    if (this.#last === NONE) this.first = slot;
    else this.#after[this.#last] = slot;
    this.#last = slot;
  }

  remove(slot: number): void {
    const before = this.#before[slot]!;
    const after = this.#after[slot]!;
    if (before === NONE) this.first = after;
    else this.#after[before] = after;
    if (after === NONE) this.#last = before;
    else this.#before[after] = before;
  }

  moveToEnd(slot: number): void {
    if (slot === this.#last) return;
    this.remove(slot);
    this.append(slot);
  }
}

/** Flows by key. A flow is a slot, an index into the arrays. */
export class FlowTable {
  readonly capacity: number;
  /** The key to look for, to be filled before {@linkcode FlowTable.find}. */
  readonly key: Uint32Array = new Uint32Array(KEY_WORDS);
  readonly sequences: (SelectionSequence | undefined)[];
  /** Times of the first and the last packet, in milliseconds since 1970. */
  readonly firstMs: Float64Array;
  readonly lastMs: Float64Array;
  readonly packets: Float64Array;
  readonly bytes: Float64Array;
  readonly samples: Uint32Array;
  readonly tcpFlags: Uint16Array;
  readonly classOfService: Uint8Array;
  readonly #keys: Uint32Array;
  readonly #table: SlotTable;
  readonly #free: Int32Array;
  readonly #begun: Queue;
  readonly #seen: Queue;
  #size = 0;
  #hash = 0;

  constructor(capacity: number) {
    this.capacity = capacity;
    this.sequences = new Array(capacity).fill(undefined);
    this.firstMs = new Float64Array(capacity);
    this.lastMs = new Float64Array(capacity);
    this.packets = new Float64Array(capacity);
    this.bytes = new Float64Array(capacity);
    this.samples = new Uint32Array(capacity);
    this.tcpFlags = new Uint16Array(capacity);
    this.classOfService = new Uint8Array(capacity);
    this.#keys = new Uint32Array(capacity * KEY_WORDS);
    this.#table = new SlotTable(capacity);
    this.#free = Int32Array.from({ length: capacity }, (_, i) => capacity - 1 - i);
    this.#begun = new Queue(capacity);
    this.#seen = new Queue(capacity);
  }

  get size(): number {
    return this.#size;
  }

  get isFull(): boolean {
    return this.#size === this.capacity;
  }

  /** The flow that began first; -1 if there are none. */
  get oldest(): number {
    return this.#begun.first;
  }

  /** The flow that was seen before all others; -1 if there are none. */
  get idlest(): number {
    return this.#seen.first;
  }

  /** A word of a flow's key. */
  word(slot: number, i: number): number {
    return this.#keys[slot * KEY_WORDS + i]!;
  }

  /** The flow with {@linkcode FlowTable.key}, which is the one seen last then; -1 if there is none. */
  find(): number {
    const { key } = this;
    const hash = this.#hash = hashOf(key);
    const table = this.#table;
    const keys = this.#keys;
    for (let slot = table.first(hash); slot >= 0; slot = table.next(slot)) {
      const start = slot * KEY_WORDS;
      let i = 0;
      while (i < KEY_WORDS && keys[start + i] === key[i]) i++;
      if (i < KEY_WORDS) continue;
      this.#seen.moveToEnd(slot);
      return slot;
    }
    return NONE;
  }

  /** Adds a flow with the key that {@linkcode FlowTable.find} has just not found: there must be room. */
  add(sequence: SelectionSequence, firstMs: number): number {
    const slot = this.#free[this.capacity - 1 - this.#size++]!;
    this.#keys.set(this.key, slot * KEY_WORDS);
    this.#table.add(slot, this.#hash);
    this.sequences[slot] = sequence;
    this.firstMs[slot] = this.lastMs[slot] = firstMs;
    this.packets[slot] = this.bytes[slot] = 0;
    this.samples[slot] = this.tcpFlags[slot] = this.classOfService[slot] = 0;
    this.#begun.append(slot);
    this.#seen.append(slot);
    return slot;
  }

  /** Forgets a flow. */
  remove(slot: number): void {
    this.#table.remove(slot);
    this.sequences[slot] = undefined;
    this.#begun.remove(slot);
    this.#seen.remove(slot);
    this.#free[this.capacity - this.#size--] = slot;
  }
}

/** FNV-1a over words, with a finalizer that spreads what differs only in the last ones. */
function hashOf(key: Uint32Array): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < KEY_WORDS; i++) {
    hash = Math.imul(hash ^ key[i]!, 0x01000193);
    hash ^= hash >>> 15;
  }
  hash = Math.imul(hash ^ hash >>> 16, 0x85ebca6b);
  return (hash ^ hash >>> 13) >>> 0;
}
