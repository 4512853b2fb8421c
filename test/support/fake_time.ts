/** Time that passes only when it is told to: timers, the steady clock and that of the day. */

interface Timer {
  readonly atMs: number;
  readonly order: number;
  readonly run: () => void;
}

/** How many turns of the event loop without a timer are enough for whatever else is going on in a scripted kernel. */
const TURNS = 8;
/** If there is still no timer after this many turns, there will be none. */
const MOST_TURNS = 100_000;

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

type Replaced = Pick<typeof globalThis, "setTimeout" | "clearTimeout">;

/** In the place of the runtime's timers and clocks, from when it is made until {@linkcode FakeTime.restore}. */
export class FakeTime {
  /** Milliseconds since it was made. */
  nowMs = 0;
  /** A heap: each timer is due no later than the two at twice its place. */
  readonly #timers: Timer[] = [];
  /** Those that are set, by their order; the heap also has cancelled ones, until their time. */
  readonly #set = new Set<number>();
  readonly #before: Replaced = { setTimeout: globalThis.setTimeout, clearTimeout: globalThis.clearTimeout };
  readonly #dateNow = Date.now;
  /** Deno has it in the prototype, Bun in the object. */
  readonly #performanceNow = Object.getOwnPropertyDescriptor(performance, "now");
  readonly #startMs: number;
  #order = 0;

  /** @param startMs What the day's clock shows at the beginning, in milliseconds since 1970. */
  constructor(startMs = 1_784_000_000_000) {
    this.#startMs = startMs;
    const setTimeout = (run: () => void, ms = 0): number => this.#add(run, ms);
    Object.assign(globalThis, { setTimeout, clearTimeout: (order: number) => void this.#set.delete(order) });
    Date.now = () => Math.floor(this.#startMs + this.nowMs);
    Object.defineProperty(performance, "now", { value: () => this.nowMs, configurable: true, writable: true });
  }

  /** The day's clock in nanoseconds since 1970. */
  get nowNs(): bigint {
    return BigInt(Math.floor((this.#startMs + this.nowMs) * 1000)) * 1000n;
  }

  /** Number of timers that are set. */
  get pending(): number {
    return this.#set.size;
  }

  /** Lets time pass until then; timers that become due run at their time. */
  runUntil(ms: number): void {
    while (this.#runNext(ms));
    this.nowMs = ms;
  }

  /**
   * {@linkcode FakeTime.runUntil} for timers that start what takes turns of the event loop, but no time: after each, turns pass until
   * `isSettled`, which gets the number of timers that have run.
   */
  async settleUntil(ms: number, isSettled: (timers: number) => boolean): Promise<void> {
    for (let timers = 1; this.#runNext(ms); timers++) {
      for (let turns = 0; !isSettled(timers); turns++) {
        if (turns > MOST_TURNS) throw new Error("A timer brought about nothing: another test may have left one behind");
        await turn();
      }
    }
    this.nowMs = ms;
  }

  /** Runs `work` to its end. When it does nothing but wait for a timer, that is due at once. */
  async skipWaitsOf(work: () => Promise<void>): Promise<void> {
    let isOver = false;
    const ended = work().finally(() => isOver = true);
    // It is awaited below.
    ended.catch(() => {});
    for (let turns = 0; !isOver; turns++) {
      await turn();
      if (turns >= TURNS && this.#runNext(Infinity)) turns = 0;
      if (turns > MOST_TURNS) throw new Error("The test waits for something that no timer brings about");
    }
    await ended;
  }

  /** Runs the next timer, if it is due by then. */
  #runNext(ms: number): boolean {
    for (let timer = this.#timers[0]; timer && timer.atMs <= ms; timer = this.#timers[0]) {
      this.#removeFirst();
      if (!this.#set.delete(timer.order)) continue;
      this.nowMs = timer.atMs;
      timer.run();
      return true;
    }
    return false;
  }

  restore(): void {
    Object.assign(globalThis, this.#before);
    Date.now = this.#dateNow;
    if (this.#performanceNow) Object.defineProperty(performance, "now", this.#performanceNow);
    else Reflect.deleteProperty(performance, "now");
  }

  #add(run: () => void, ms: number): number {
    const timer = { atMs: this.nowMs + Math.max(0, ms), order: ++this.#order, run };
    const heap = this.#timers;
    let at = heap.length;
    for (; at > 0 && isEarlier(timer, heap[(at - 1) >> 1]!); at = (at - 1) >> 1) heap[at] = heap[(at - 1) >> 1]!;
    heap[at] = timer;
    this.#set.add(timer.order);
    return timer.order;
  }

  #removeFirst(): void {
    const heap = this.#timers;
    const last = heap.pop()!;
    if (heap.length === 0) return;
    let at = 0;
    for (;;) {
      let next = 2 * at + 1;
      if (next + 1 < heap.length && isEarlier(heap[next + 1]!, heap[next]!)) next++;
      if (next >= heap.length || isEarlier(last, heap[next]!)) break;
      heap[at] = heap[next]!;
      at = next;
    }
    heap[at] = last;
  }
}

function isEarlier(one: Timer, other: Timer): boolean {
  return one.atMs < other.atMs || (one.atMs === other.atMs && one.order < other.order);
}

/**
 * A test in which waiting takes no time, however long intervals are: for scripted kernels only, because what a real one does is not known
 * to these clocks.
 */
export function skippingWaits(work: () => Promise<void>): () => Promise<void> {
  return async () => {
    const time = new FakeTime();
    try {
      await time.skipWaitsOf(work);
    } finally {
      time.restore();
    }
  };
}
