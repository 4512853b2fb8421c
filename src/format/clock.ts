/** Nanoseconds since 1970 as seconds and nanoseconds, without arithmetic on big integers in nearly every case. */

const SECOND = 1_000_000_000;

/**
 * Splits timestamps. Samples come in the order of time, so nearly always the second is that of the sample
 * before; then two 32-bit halves and a subtraction, exact in a double, replace a division of big integers.
 */
export class Clock {
  /** Whole seconds since 1970 of what was split last. */
  seconds = 0;
  /** Nanoseconds of that second. */
  nanoseconds = 0;
  // The second that is remembered begins at these two halves of its nanoseconds.
  #high = 0;
  #low = 0;
  #halves = new DataView(new ArrayBuffer(8));

  /** Sets {@linkcode Clock.seconds} and {@linkcode Clock.nanoseconds}. */
  split(timestampNs: bigint): void {
    const halves = this.#halves;
    halves.setBigUint64(0, timestampNs);
    const since = (halves.getUint32(0) - this.#high) * 0x1_0000_0000 + (halves.getUint32(4) - this.#low);
    if (since >= 0 && since < SECOND) {
      this.nanoseconds = since;
      return;
    }
    const seconds = BigInt.asUintN(64, timestampNs) / BigInt(SECOND);
    const start = seconds * BigInt(SECOND);
    this.seconds = Number(seconds);
    this.nanoseconds = Number(BigInt.asUintN(64, timestampNs) - start);
    halves.setBigUint64(0, start);
    this.#high = halves.getUint32(0);
    this.#low = halves.getUint32(4);
  }
}
