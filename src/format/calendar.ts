/** Seconds since 1970 as a date and a time of day, without `Date`: of any zone, by adding its offset first. */
import type { Output } from "./output.ts";

const COLON = 0x3a;

const DAY = 86400;
/** Days from 1 March of the year 0 to 1 January 1970, and in 400, 100 and 4 years and one year of the calendar. */
const TO_1970 = 719468;
const [DAYS_400, DAYS_100, DAYS_4, DAYS_1] = [146097, 36524, 1461, 365];

/**
 * The proleptic Gregorian calendar. Successive times nearly always belong to the same day, and then only the time of day is
 * computed.
 */
export class Calendar {
  /** The year. */
  year = 1970;
  /** The month, from 0. */
  month = 0;
  /** The day of the month, from 1. */
  day = 1;
  /** The day of the week, from 0 for Sunday. */
  weekday = 4;
  /** The hour. */
  hour = 0;
  /** The minute. */
  minute = 0;
  /** The second. */
  second = 0;
  /** The day that the fields describe, counted from 1970. */
  #days = 0;

  /** Sets all fields to the time `seconds` after 1970 began. */
  set(seconds: number): void {
    const days = Math.floor(seconds / DAY);
    if (days !== this.#days) this.#setDay(days);
    const rest = seconds - days * DAY;
    this.hour = (rest / 3600) | 0;
    this.minute = ((rest / 60) | 0) % 60;
    this.second = rest % 60;
  }

  /** Writes the time of day, such as `09:05:03`. */
  writeTimeOfDay(output: Output): void {
    output.digits(this.hour, 2);
    output.byte(COLON);
    output.digits(this.minute, 2);
    output.byte(COLON);
    output.digits(this.second, 2);
  }

  /** Years that begin in March have the leap day as their last: then months and years follow from divisions. */
  #setDay(days: number): void {
    this.#days = days;
    this.weekday = ((days + 4) % 7 + 7) % 7;
    const since = days + TO_1970;
    const era = Math.floor(since / DAYS_400);
    const dayOfEra = since - era * DAYS_400;
    // Without the earlier leap days, so that every year has 365 days.
    const leapDays = Math.floor(dayOfEra / (DAYS_4 - 1)) - Math.floor(dayOfEra / DAYS_100) + Math.floor(dayOfEra / (DAYS_400 - 1));
    const year = Math.floor((dayOfEra - leapDays) / DAYS_1);
    const dayOfYear = dayOfEra - (DAYS_1 * year + Math.floor(year / 4) - Math.floor(year / 100));
    // From March on, five months have 153 days.
    const month = Math.floor((5 * dayOfYear + 2) / 153);
    this.day = dayOfYear - Math.floor((153 * month + 2) / 5) + 1;
    this.month = (month + 2) % 12;
    this.year = year + era * 400 + (month >= 10 ? 1 : 0);
  }
}

/** The calendar of local time. Its offset is computed only when the second changes, because that may be a call into libc. */
export class LocalCalendar extends Calendar {
  readonly #utcOffset: (seconds: number) => number;
  /** The second that is shown. */
  #second = NaN;

  /** `utcOffset` returns the seconds that local time is ahead of UTC. */
  constructor(utcOffset: (seconds: number) => number = () => 0) {
    super();
    this.#utcOffset = utcOffset;
  }

  /** Sets all fields to the local time `seconds` after 1970 began in UTC. */
  setUtc(seconds: number): void {
    if (seconds === this.#second) return;
    this.#second = seconds;
    this.set(seconds + this.#utcOffset(seconds));
  }
}
