/** Running test runners side by side: most tests wait most of the time, so that a processor has room for more than one. */

/** Lets work begin in order, as long as there are seats for it. */
export class Pool {
  /** The number of seats. */
  readonly seats: number;
  #free: number;
  readonly #waiting: { readonly seats: number; readonly begin: () => void }[] = [];

  constructor(seats: number) {
    this.seats = seats;
    this.#free = seats;
  }

  /** Does `work` as soon as everything before it has begun and `seats` are free; if there are fewer, when nothing else runs. */
  async run<Result>(seats: number, work: () => Promise<Result>): Promise<Result> {
    const taken = Math.min(seats, this.seats);
    await new Promise<void>((begin) => {
      this.#waiting.push({ seats: taken, begin });
      this.#seat();
    });
    try {
      return await work();
    } finally {
      this.#free += taken;
      this.#seat();
    }
  }

  #seat(): void {
    // What is large is not overtaken: it would never begin.
    for (let next = this.#waiting[0]; next !== undefined && next.seats <= this.#free; next = this.#waiting[0]) {
      this.#waiting.shift();
      this.#free -= next.seats;
      next.begin();
    }
  }
}

/** The number of seats on a machine with so many processors and bytes of memory: a runner and what it starts take up to 2 GiB. */
export function seatsOf(processors: number, bytes: number): number {
  return Math.max(1, Math.min(processors === 1 ? 1 : processors + 2, Math.floor(bytes / 2 ** 31)));
}

/** Divides files among `count` runners. In turn, because neighbours are often equally slow; none gets nothing. */
export function shares<Item>(items: readonly Item[], count: number): Item[][] {
  const all: Item[][] = Array.from({ length: Math.min(count, items.length) }, () => []);
  for (const [i, item] of items.entries()) all[i % all.length]!.push(item);
  return all;
}
