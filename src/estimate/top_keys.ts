/**
 * The keys with the largest sums, in bounded memory: Space-Saving (Metwally, Agrawal, El Abbadi, ICDT 2005).
 *
 * Up to its capacity it is exact. Beyond, a new key takes the place of the one with the smallest sum and inherits that sum as its error: no
 * sum is too small, each is too large by at most its error, and every key whose true sum is above the smallest sum is kept. With weights
 * the bounds hold as they do for counts (Berinde, Indyk, Cormode, Strauss, TODS 35(4), 2010).
 *
 * @module
 */
import { SlotTable } from "./slot_table.ts";

/**
 * Sums by key. All memory is allocated at the start.
 *
 * @category Estimates
 */
export class TopKeys {
  /** How many keys are kept at most. */
  readonly capacity: number;
  /** Whether the slot that {@linkcode TopKeys.add} returned last has just been given to its key. */
  isNew = false;
  /** How often a key has left its slot so far: as long as it does not change, each slot belongs to the same key. */
  departures = 0;
  readonly #keyBytes: number;
  readonly #keys: Uint8Array;
  readonly #lengths: Uint8Array;
  readonly #sums: Float64Array;
  readonly #errors: Float64Array;
  readonly #table: SlotTable;
  /** A heap of slots with the smallest sum on top, and the position of each slot in it. Made the first time a key has to make room. */
  readonly #heap: Uint32Array;
  readonly #places: Uint32Array;
  /** Slots whose keys were forgotten. */
  readonly #free: number[] = [];
  #size = 0;
  #evicted = false;
  /** The largest sum that a key can have had that had to make room, as far as the heap does not show it. */
  #floor = 0;

  /** Keeps up to `capacity` keys of up to `keyBytes` bytes, 255 at most. */
  constructor(capacity: number, keyBytes: number) {
    this.capacity = capacity;
    this.#keyBytes = keyBytes;
    this.#keys = new Uint8Array(capacity * keyBytes);
    this.#lengths = new Uint8Array(capacity);
    this.#sums = new Float64Array(capacity);
    this.#errors = new Float64Array(capacity);
    this.#table = new SlotTable(capacity);
    this.#heap = new Uint32Array(capacity);
    this.#places = new Uint32Array(capacity);
  }

  /** Number of keys that are kept. Unless some were {@linkcode TopKeys.forget forgotten}, their slots are the numbers below. */
  get size(): number {
    return this.#size - this.#free.length;
  }

  /** Whether every sum is exact: no key had to make room for another. */
  get isExact(): boolean {
    return !this.#evicted;
  }

  /** The largest sum that a key which is not kept can have. */
  get bound(): number {
    return this.#evicted ? Math.max(this.#floor, this.#sums[this.#heap[0]!]!) : 0;
  }

  /** The sum of a slot's key: at most {@linkcode TopKeys.error} more than the truth, and never less. */
  sum(slot: number): number {
    return this.#sums[slot]!;
  }

  /** How much of the sum may belong to other keys. */
  error(slot: number): number {
    return this.#errors[slot]!;
  }

  /** The key of a slot: a view that is valid until the next {@linkcode TopKeys.add}. */
  key(slot: number): Uint8Array {
    const start = slot * this.#keyBytes;
    return this.#keys.subarray(start, start + this.#lengths[slot]!);
  }

  /** Adds to the sum of the key in the first `length` bytes of `key`, and returns its slot. */
  add(key: Uint8Array, length: number, weight: number): number {
    const hash = hashOf(key, length);
    const table = this.#table;
    for (let slot = table.first(hash); slot >= 0; slot = table.next(slot)) {
      if (!this.#isKey(slot, key, length)) continue;
      this.addTo(slot, weight);
      return slot;
    }
    this.isNew = true;
    const freed = this.#free.pop();
    if (freed !== undefined) {
      // Its key may have been kept before.
      this.#errors[freed] = this.bound;
      this.#sums[freed] = this.bound + weight;
      this.#put(freed, key, length, hash);
      if (this.#evicted) this.#siftDown(this.#places[freed]!);
      return freed;
    }
    let slot = this.#size;
    if (slot < this.capacity) {
      this.#size++;
      this.#sums[slot] = weight;
      this.#errors[slot] = 0;
      this.#put(slot, key, length, hash);
      return slot;
    }
    if (!this.#evicted) this.#heapify();
    slot = this.#heap[0]!;
    this.departures++;
    this.#table.remove(slot);
    // Never less than what is known of keys that are not kept.
    this.#errors[slot] = this.bound;
    this.#sums[slot] = this.bound + weight;
    this.#put(slot, key, length, hash);
    this.#siftDown(0);
    return slot;
  }

  /** Adds to the sum of the key in a slot. */
  addTo(slot: number, weight: number): void {
    this.#sums[slot]! += weight;
    if (this.#evicted) this.#siftDown(this.#places[slot]!);
    this.isNew = false;
  }

  /** Forgets the key of a slot, whose place the next new key takes. */
  forget(slot: number): void {
    this.departures++;
    this.#table.remove(slot);
    if (this.#evicted) this.#floor = this.bound;
    this.#lengths[slot] = this.#sums[slot] = this.#errors[slot] = 0;
    this.#free.push(slot);
    if (this.#evicted) this.#siftUp(this.#places[slot]!);
  }

  /** Multiplies all sums and errors, as decay does. Keeps their order. */
  scale(factor: number): void {
    this.#floor *= factor;
    for (let slot = 0; slot < this.#size; slot++) {
      this.#sums[slot]! *= factor;
      this.#errors[slot]! *= factor;
    }
  }

  /** Forgets all keys. */
  clear(): void {
    this.departures++;
    this.#table.clear();
    this.#free.length = this.#size = this.#floor = 0;
    this.#evicted = false;
  }

  /** The slots, the largest sum first. */
  ranked(): number[] {
    const sums = this.#sums;
    const free = new Set(this.#free);
    const slots = Array.from({ length: this.#size }, (_, slot) => slot);
    return (free.size > 0 ? slots.filter((slot) => !free.has(slot)) : slots).sort((a, b) => sums[b]! - sums[a]! || a - b);
  }

  #isKey(slot: number, key: Uint8Array, length: number): boolean {
    if (this.#lengths[slot] !== length) return false;
    const keys = this.#keys;
    const start = slot * this.#keyBytes;
    for (let i = 0; i < length; i++) if (keys[start + i] !== key[i]) return false;
    return true;
  }

  #put(slot: number, key: Uint8Array, length: number, hash: number): void {
    const keys = this.#keys;
    const start = slot * this.#keyBytes;
    for (let i = 0; i < length; i++) keys[start + i] = key[i]!;
    this.#lengths[slot] = length;
    this.#table.add(slot, hash);
  }

  /** The smallest is not needed until a key has to make room. */
  #heapify(): void {
    this.#evicted = true;
    for (let slot = 0; slot < this.#size; slot++) this.#move(slot, slot);
    for (let place = (this.#size >> 1) - 1; place >= 0; place--) this.#siftDown(place);
  }

  #siftDown(place: number): void {
    const heap = this.#heap;
    const sums = this.#sums;
    const slot = heap[place]!;
    const size = this.#size;
    for (;;) {
      let child = 2 * place + 1;
      if (child >= size) break;
      if (child + 1 < size && sums[heap[child + 1]!]! < sums[heap[child]!]!) child++;
      if (sums[heap[child]!]! >= sums[slot]!) break;
      this.#move(heap[child]!, place);
      place = child;
    }
    this.#move(slot, place);
  }

  #siftUp(place: number): void {
    const sums = this.#sums;
    const slot = this.#heap[place]!;
    for (; place > 0; place = place - 1 >> 1) {
      const parent = this.#heap[place - 1 >> 1]!;
      if (sums[parent]! <= sums[slot]!) break;
      this.#move(parent, place);
    }
    this.#move(slot, place);
  }

  #move(slot: number, place: number): void {
    this.#heap[place] = slot;
    this.#places[slot] = place;
  }
}

/** FNV-1a, with a finalizer that spreads keys that differ only in their last bytes. */
export function hashOf(key: Uint8Array, length: number): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < length; i++) hash = Math.imul(hash ^ key[i]!, 0x01000193);
  hash = Math.imul(hash ^ hash >>> 16, 0x85ebca6b);
  hash = Math.imul(hash ^ hash >>> 13, 0xc2b2ae35);
  return (hash ^ hash >>> 16) >>> 0;
}
