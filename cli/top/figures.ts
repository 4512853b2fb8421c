/** Estimates formatted for people: three digits, powers of 1000, and how accurate they are. */
import type { FlowEstimate, Interval } from "../../src/estimate/mod.ts";

/** Units of traffic. */
export const UNITS = ["bits", "bytes", "packets"] as const;
/** One of {@linkcode UNITS}. */
export type Unit = (typeof UNITS)[number];

/** The suffix of a rate, and of an amount, in each unit. */
const RATE_SIGNS: Readonly<Record<Unit, string>> = { bits: "bit/s", bytes: "B/s", packets: "pps" };
const AMOUNT_SIGNS: Readonly<Record<Unit, string>> = { bits: "bit", bytes: "B", packets: "pkts" };
const EPSILON = 1e-9;
const PREFIXES = ["", "k", "M", "G", "T", "P", "E"];

/** A figure: an estimate and its bounds, in one unit. */
export interface Figure {
  /** The estimate. */
  readonly value: number;
  /** Its bounds at 95 %. */
  readonly range: Interval;
}

/** The total of a flow, in a unit. */
export function amountOf(flow: FlowEstimate, unit: Unit): Figure {
  if (unit === "packets") return { value: flow.packets, range: flow.packetsRange };
  return times({ value: flow.bytes, range: flow.bytesRange }, unit === "bits" ? 8 : 1);
}

/** The same per second, if any time has passed. */
export function perSecond(amount: Figure, seconds: number): Figure {
  return seconds > 0 ? times(amount, 1 / seconds) : amount;
}

function times({ value, range: [low, high] }: Figure, factor: number): Figure {
  return { value: value * factor, range: [low * factor, high * factor] };
}

/** The unit to show: without time there are no rates, and amounts are not given in bits. */
export function shownUnit(unit: Unit, isRate: boolean): Unit {
  return unit === "bits" && !isRate ? "bytes" : unit;
}

/** The suffix for {@linkcode scaled} of a figure in this unit; without time there are no rates. */
export function signOf(unit: Unit, isRate: boolean): string {
  return (isRate ? RATE_SIGNS : AMOUNT_SIGNS)[unit];
}

/** A number in three digits: `"12.3 Mbit/s"`. */
export function scaled(value: number, sign: string): string {
  let rest = Math.abs(value);
  let power = 0;
  // A value that would be rounded up to 1000 gets the next prefix.
  while (rest >= 999.5 && power < PREFIXES.length - 1) {
    rest /= 1000;
    power++;
  }
  const digits = power === 0 && Number.isInteger(rest) ? 0 : rest < 9.995 ? 2 : rest < 99.95 ? 1 : 0;
  return `${rest.toFixed(digits)} ${PREFIXES[power]}${sign}`;
}

/** How far a figure may be off: the larger of both distances to its bounds, in percent. */
export function plusMinus({ value, range: [low, high] }: Figure): string {
  if (value <= 0) return "";
  // A difference in the last bit of a double is not rounded up.
  const percent = 100 * Math.max(high - value, value - low) / value - EPSILON;
  if (percent > 999) return ">±999%";
  return `±${percent <= 0 ? "0" : percent < 9.95 ? (Math.ceil(10 * percent) / 10).toFixed(1) : Math.ceil(percent)}%`;
}

/** A share of 0 to 1 and how far it may be off: `"45.1±2.0%"`. */
export function percent({ value, range: [low, high] }: Figure): string {
  const off = Math.max(0, 100 * Math.max(high - value, value - low) - EPSILON);
  const digits = (x: number): string => x > 0 && x < 9.95 ? x.toFixed(1) : x.toFixed(0);
  return `${(100 * value).toFixed(1)}±${digits(Math.ceil(10 * off) / 10)}%`;
}

/** A span of time: `"10.0 s"`, `"2 min 5 s"`. */
export function span(seconds: number): string {
  if (seconds < 59.95) return `${seconds.toFixed(1)} s`;
  const whole = Math.round(seconds);
  const parts = [[Math.floor(whole / 3600), "h"], [Math.floor(whole / 60) % 60, "min"], [whole % 60, "s"]] as const;
  return parts.filter(([count]) => count > 0).map(([count, unit]) => `${count} ${unit}`).join(" ");
}
