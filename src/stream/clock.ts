/** Nanoseconds since 1970 as seconds and nanoseconds, without big integers. */

import type { AnySample } from "../psample/sample_view.ts";

const SECOND = 1_000_000_000;

/** The longest time that a timer can be set to, in milliseconds. */
export const LONGEST_TIMER_MS = 0x7fff_ffff;

/** This machine's clock: nanoseconds since 1970, to the millisecond. */
export function nowNs(): bigint {
  return BigInt(Date.now()) * 1_000_000n;
}

/**
 * Splits timestamps: using 32-bit halves takes a tenth of the time of dividing big integers.
 *
 * @category Pump
 */
export class Clock {
  /** Whole seconds since 1970 of the last split time. */
  seconds = 0;
  /** Nanoseconds of that second. */
  nanoseconds = 0;
  /** The upper 32 bits of the nanoseconds since 1970. */
  high = 0;
  /** The lower 32 bits. */
  low = 0;
  readonly #halves = new DataView(new ArrayBuffer(8));
  readonly #sampled = { high: 0, low: 0 };
  /** Where the second of the last split time begins, in terms of {@linkcode Clock.low}: it may be below 0. NaN if there is none. */
  #secondLow = NaN;

  /** Sets {@linkcode Clock.seconds} and {@linkcode Clock.nanoseconds}. */
  split(timestampNs: bigint): void {
    const halves = this.#halves;
    halves.setBigUint64(0, timestampNs);
    this.splitHalves(halves.getUint32(0), halves.getUint32(4));
  }

  /** {@linkcode Clock.split} of the upper and the lower 32 bits. */
  splitHalves(high: number, low: number): void {
    const since = low - this.#secondLow;
    if (high === this.high && since >= 0 && since < SECOND) {
      // The same second as last time, which is so for nearly all.
      this.low = low;
      this.nanoseconds = since;
      return;
    }
    this.high = high;
    this.low = low;
    // In doubles the quotient is off by at most one; the remainder then fits into 32 bits, where it is exact.
    const seconds = Math.floor(high * (0x1_0000_0000 / SECOND) + low / SECOND);
    const nanoseconds = (low - Math.imul(seconds, SECOND)) | 0;
    const off = nanoseconds < 0 ? -1 : nanoseconds < SECOND ? 0 : 1;
    this.seconds = seconds + off;
    this.nanoseconds = nanoseconds - off * SECOND;
    this.#secondLow = low - this.nanoseconds;
  }

  /** Sets the time from whole seconds, which may be negative, and nanoseconds. The halves are those of the nearest time not before 1970. */
  set(seconds: number, nanoseconds: number): void {
    this.#secondLow = NaN;
    this.seconds = seconds;
    this.nanoseconds = nanoseconds;
    if (!(seconds >= 0)) {
      this.high = this.low = 0;
      return;
    }
    // In two parts, each exact in a double.
    const upper = Math.floor(seconds / 0x1_0000) * SECOND;
    const lower = (seconds % 0x1_0000) * SECOND + nanoseconds + (upper % 0x1_0000) * 0x1_0000;
    const high = Math.floor(upper / 0x1_0000) + Math.floor(lower / 0x1_0000_0000);
    this.high = Math.min(high, 0xffff_ffff);
    this.low = high > 0xffff_ffff ? 0xffff_ffff : lower >>> 0;
  }

  /** {@linkcode Clock.split} of a sample's time stamp; false if it has none. */
  splitTimestamp(sample: AnySample): boolean {
    if (!sample.readTimestamp(this.#sampled)) return false;
    this.splitHalves(this.#sampled.high, this.#sampled.low);
    return true;
  }
}
