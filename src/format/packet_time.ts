/** The time of a sample, at the beginning of its line, in the forms known from tcpdump. */
import type { Clock } from "../stream/clock.ts";
import { LocalCalendar } from "./calendar.ts";
import { type Output, Word } from "./output.ts";

/**
 * How a line begins, each time to the microsecond: `"time"` of day, `"date"` and time of day, seconds since the `"epoch"` (1970),
 * time since the `"previous"` line or since the `"first"` line, or `"none"`.
 *
 * @category Pump
 */
export type PacketTimeForm = "time" | "date" | "epoch" | "previous" | "first" | "none";

const BLANK = 0x20;
const DASH = 0x2d;
const COLON = 0x3a;
const DOT = 0x2e;

/** In place of a time that is not known, as wide as most times are. */
const UNKNOWN = {
  time: new Word("--:--:--.------ "),
  date: new Word("---------- --:--:--.------ "),
  epoch: new Word("----------.------ "),
  previous: new Word(" --:--:--.------ "),
  first: new Word(" --:--:--.------ "),
} as const;

/** Writes times, one per line. */
export class PacketTime {
  readonly #form: PacketTimeForm;
  readonly #calendar: LocalCalendar;
  /** The time of the previous line, or of the first one, to count from. */
  #from: { seconds: number; nanoseconds: number } | undefined;
  /** The time to write, set by {@linkcode PacketTime.set}. */
  #seconds = 0;
  #microseconds = 0;
  #isNegative = false;
  #isKnown = true;

  constructor(form: PacketTimeForm, utcOffset: ((seconds: number) => number) | undefined) {
    this.#form = form;
    this.#calendar = new LocalCalendar(utcOffset);
  }

  /** Sets the time of the next line. */
  set({ seconds, nanoseconds }: Clock): void {
    const form = this.#form;
    this.#isKnown = true;
    if (form !== "previous" && form !== "first") {
      this.#seconds = seconds;
      this.#microseconds = nanoseconds / 1000 >>> 0;
      return;
    }
    const from = this.#from ??= { seconds, nanoseconds };
    let [wholes, rest] = [seconds - from.seconds, nanoseconds - from.nanoseconds];
    // Samples of several processors may come out of order.
    this.#isNegative = wholes < 0 || (wholes === 0 && rest < 0);
    if (this.#isNegative) [wholes, rest] = [-wholes, -rest];
    if (rest < 0) [wholes, rest] = [wholes - 1, rest + 1_000_000_000];
    this.#seconds = wholes;
    this.#microseconds = rest / 1000 >>> 0;
    if (form === "previous") this.#from = { seconds, nanoseconds };
  }

  /** Sets that the time of the next line is not known: it gets dashes, so that what follows is in its column. */
  setUnknown(): void {
    this.#isKnown = false;
  }

  /** Whether there is a date, which can be left out. */
  get hasDate(): boolean {
    return this.#form === "date";
  }

  /** Writes the time and a blank; there is room for it. */
  write(output: Output, withDate: boolean): void {
    const seconds = this.#seconds;
    if (!this.#isKnown && this.#form !== "none") return output.word(UNKNOWN[this.#form === "date" && !withDate ? "time" : this.#form]);
    switch (this.#form) {
      case "none":
        return;
      case "epoch":
        output.number(seconds);
        break;
      case "previous":
      case "first":
        output.byte(this.#isNegative ? DASH : BLANK);
        writeHours(output, seconds);
        break;
      default: {
        const calendar = this.#calendar;
        calendar.setUtc(seconds);
        if (withDate && this.#form === "date") writeDate(output, calendar);
        calendar.writeTimeOfDay(output);
      }
    }
    output.byte(DOT);
    output.digits(this.#microseconds, 6);
    output.byte(BLANK);
  }
}

function writeDate(output: Output, { year, month, day }: LocalCalendar): void {
  output.number(year);
  output.byte(DASH);
  output.digits(month + 1, 2);
  output.byte(DASH);
  output.digits(day, 2);
  output.byte(BLANK);
}

function writeHours(output: Output, seconds: number): void {
  const hours = Math.floor(seconds / 3600);
  if (hours < 100) output.digits(hours, 2);
  else output.number(hours);
  output.byte(COLON);
  output.digits(Math.floor(seconds / 60) % 60, 2);
  output.byte(COLON);
  output.digits(seconds % 60, 2);
}
