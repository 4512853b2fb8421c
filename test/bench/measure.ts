/** How a subject of the bench measures itself and reports: lines "NAME VALUE" on standard error, with the CPU time of the whole process. */
import { readSync, writeSync } from "node:fs";
import process from "node:process";

/** Messages, and minimum number of rounds, until the compilers are done. */
export const WARM_UP = 400_000;
const WARM_UP_ROUNDS = 3;

/** Reports a result. */
export function report(name: string, value: number): void {
  writeSync(2, `${name} ${value.toFixed(1)}\n`);
}

/** CPU time of this process so far, in nanoseconds. */
export function cpuNs(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) * 1000;
}

/**
 * Repeats fast work, `count` messages per round: until it is warm, and then as often as requested.
 *
 * @param found The result of the work, if the other side must have found the same.
 */
export async function inRounds(count: number, round: () => Promise<number> | number, found = 1): Promise<void> {
  for (let i = 0; i < Math.max(WARM_UP_ROUNDS, WARM_UP / count); i++) await round();
  report("ready", found);
  const word = new Uint8Array(1);
  while (readSync(0, word) === 1) report("cpu", await round());
}
