/** When an entry was sampled, for people and programs alike: RFC 3339 in UTC, such as `2026-11-27T00:52:57.123456789Z`. */
import type { Batch } from "../stream/batch.ts";
import { Clock } from "../stream/clock.ts";
import { Calendar } from "./calendar.ts";
import type { Output } from "./output.ts";

const DASH = 0x2d;
const DOT = 0x2e;
const T = 0x54;
const Z = 0x5a;

/** How long such a text is. */
export const INSTANT_BYTES = 30;

/** Writes the times of entries. */
export class InstantWriter {
  readonly #clock = new Clock();
  readonly #calendar = new Calendar();

  /** Reads the time of entry `i`; false if it has none, or RFC 3339 cannot express it: years have four digits. */
  read(batch: Batch, i: number): boolean {
    if (!batch.hasTime(i)) return false;
    batch.readTime(i, this.#clock);
    const calendar = this.#calendar;
    calendar.set(this.#clock.seconds);
    return calendar.year >= 0 && calendar.year <= 9999;
  }

  /** Writes the time that was read last, {@linkcode INSTANT_BYTES} bytes. */
  write(output: Output): void {
    const calendar = this.#calendar;
    output.digits(calendar.year, 4);
    output.byte(DASH);
    output.digits(calendar.month + 1, 2);
    output.byte(DASH);
    output.digits(calendar.day, 2);
    output.byte(T);
    calendar.writeTimeOfDay(output);
    output.byte(DOT);
    output.digits(this.#clock.nanoseconds, 9);
    output.byte(Z);
  }
}
