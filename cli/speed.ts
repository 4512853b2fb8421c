/** `--speed`: how fast recordings are sent that have their own times. */
import { type Option, value, wrongValue } from "./options.ts";

/** How fast: `undefined` is as it was recorded. */
export type Speed = number | "max" | undefined;

/** The option for the speed; `max` is as fast as what follows it says. */
export function speedOption(help: string, details: string): Option<Speed> {
  return value({ value: "X|max", fallback: "1", offers: { words: ["max"] }, help, details }, parseSpeed);
}

function parseSpeed(text: string, option: string): number | "max" {
  if (text === "max") return text;
  const speed = /^(\d+(\.\d*)?|\.\d+)$/.test(text) ? Number(text) : 0;
  if (!(speed > 0 && speed < Infinity)) throw wrongValue(option, text, "a number above 0 such as 1, 0.5 or 10, or max");
  return speed;
}
