/** A hash table of slots, which are indexes into arrays of its owner. The keys are there too: the table only knows their hashes. */

/** Slots by hash: open addressing with linear probing. All memory is allocated at the start. */
export class SlotTable {
  readonly #hashes: Uint32Array;
  /** Slot + 1, or 0. */
  readonly #table: Uint32Array;
  readonly #mask: number;

  /** An empty table for the slots below `capacity`. */
  constructor(capacity: number) {
    const size = 2 ** Math.ceil(Math.log2(2 * capacity));
    this.#hashes = new Uint32Array(capacity);
    this.#table = new Uint32Array(size);
    this.#mask = size - 1;
  }

  /** The first slot with this hash, u32; -1 if there is none. */
  first(hash: number): number {
    return this.#find(hash, hash & this.#mask);
  }

  /** The next slot with the hash of this one, which is in the table; -1 if there is none. */
  next(slot: number): number {
    const hash = this.#hashes[slot]!;
    return this.#find(hash, this.#placeOf(slot) + 1 & this.#mask);
  }

  /** Adds a slot that is not in the table. */
  add(slot: number, hash: number): void {
    const table = this.#table;
    const mask = this.#mask;
    this.#hashes[slot] = hash;
    let at = hash & mask;
    while (table[at] !== 0) at = at + 1 & mask;
    table[at] = slot + 1;
  }

  /** Takes out a slot that is in the table, and moves up the entries after it. */
  remove(slot: number): void {
    const table = this.#table;
    const mask = this.#mask;
    let hole = this.#placeOf(slot);
    for (let at = hole + 1 & mask; table[at] !== 0; at = at + 1 & mask) {
      const home = this.#hashes[table[at]! - 1]! & mask;
      // An entry may move only if its home is not between the hole and its present position.
      if ((at - home & mask) >= (at - hole & mask)) {
        table[hole] = table[at]!;
        hole = at;
      }
    }
    table[hole] = 0;
  }

  /** Takes out all slots. */
  clear(): void {
    this.#table.fill(0);
  }

  /** The first slot with this hash at a place or after it, before the next empty place. */
  #find(hash: number, place: number): number {
    const table = this.#table;
    const hashes = this.#hashes;
    const mask = this.#mask;
    for (;; place = place + 1 & mask) {
      const slot = table[place]! - 1;
      if (slot < 0 || hashes[slot] === hash) return slot;
    }
  }

  #placeOf(slot: number): number {
    const table = this.#table;
    const mask = this.#mask;
    let place = this.#hashes[slot]! & mask;
    while (table[place] !== slot + 1) place = place + 1 & mask;
    return place;
  }
}
