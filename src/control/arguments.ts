/** Arguments that are invalid whatever the kernel supports. */
import { ArgumentError } from "../errors.ts";

/**
 * Checks a number.
 *
 * @throws {ArgumentError} if it is not a whole number between the limits, which default to those of a u32.
 */
export function checkNumber(name: string, value: number, least = 0, most = 0xffffffff): void {
  if (Number.isInteger(value) && value >= least && value <= most) return;
  throw new ArgumentError(`${name} must be a whole number from ${least} to ${most}, not ${value}`);
}
