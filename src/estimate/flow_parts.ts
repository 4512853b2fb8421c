/**
 * Of which device and direction the packets of each flow were: what a device's counters show can then be passed on to its flows.
 *
 * @module
 */
import type { Decay, Estimate, Increment } from "./sums.ts";
import { Sums } from "./sums.ts";

/**
 * What a flow has of one device and direction.
 *
 * @category Estimates
 */
export interface FlowPart {
  /** Its index in the snapshot's devices; `undefined` for the rest of a flow that is on more of them than are told apart. */
  readonly device: number | undefined;
  /** Estimated packets, each GSO packet counted once. */
  readonly trials: number;
  /** Estimated packets on the wire. */
  readonly packets: Estimate;
  /** Estimated bytes. */
  readonly bytes: Estimate;
}

/** How many devices and directions of a flow are told apart: of most flows there is one, or there are two. */
const MOST_PARTS = 4;
const [FREE, REST] = [-1, -2] as const;

/** The parts of each flow, in slots as the flows have. All memory is allocated at the start. */
export class FlowParts {
  readonly #devices: Int16Array;
  readonly #sums: Sums;

  /** Parts of up to `flows` flows. */
  constructor(flows: number, decay: Decay) {
    this.#devices = new Int16Array(flows * MOST_PARTS).fill(FREE);
    this.#sums = new Sums(flows * MOST_PARTS, decay);
  }

  /** Empties the slot of a flow. */
  clearSlot(slot: number): void {
    for (let at = slot * MOST_PARTS; at < (slot + 1) * MOST_PARTS; at++) {
      if (this.#devices[at] === FREE) return;
      this.#devices[at] = FREE;
      this.#sums.clearRow(at);
    }
  }

  /** Adds a sample of a device and direction to the flow of a slot. */
  add(slot: number, device: number, increment: Increment): void {
    const devices = this.#devices;
    const last = (slot + 1) * MOST_PARTS - 1;
    let at = slot * MOST_PARTS;
    while (at < last && devices[at] !== device && devices[at] !== FREE) at++;
    if (devices[at] === FREE) devices[at] = at === last ? REST : device;
    this.#sums.add(at, increment);
  }

  /** The parts of the flow of a slot, in one horizon. */
  of(slot: number, horizon: number): FlowPart[] {
    const sums = this.#sums;
    const parts: FlowPart[] = [];
    for (let at = slot * MOST_PARTS; at < (slot + 1) * MOST_PARTS && this.#devices[at] !== FREE; at++) {
      const device = this.#devices[at]!;
      parts.push({
        device: device === REST ? undefined : device,
        trials: sums.sum(at, horizon, "trials"),
        packets: sums.packets(at, horizon),
        bytes: sums.bytes(at, horizon),
      });
    }
    return parts;
  }

  /** Empties all slots. */
  clear(): void {
    this.#devices.fill(FREE);
    this.#sums.clear();
  }

  /** Multiplies all sums, each horizon's by its factor. */
  scale(factors: Float64Array): void {
    this.#sums.scale(factors);
  }
}
