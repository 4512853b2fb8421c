/** How a subject of the bench measures itself, and how it tells: lines "NAME VALUE" on standard error, CPU of the whole process. */
import { readSync, writeSync } from "node:fs";
import process from "node:process";

/** Messages, and rounds at least, until the compilers are done. */
export const WARM_UP = 400_000;
const WARM_UP_ROUNDS = 3;

/** Tells a result. */
export function report(name: string, value: number): void {
  writeSync(2, `${name} ${value.toFixed(1)}\n`);
}

/** CPU time of this process so far, in nanoseconds. */
export function cpuNs(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) * 1000;
}

/**
 * Does what takes nanoseconds a message, `count` messages a round: until it is warm, and then as often as it is told to.
 *
 * @param found What was made of the messages, where what it is compared with must have made the same.
 */
export async function inRounds(count: number, round: () => Promise<number> | number, found = 1): Promise<void> {
  for (let i = 0; i < Math.max(WARM_UP_ROUNDS, WARM_UP / count); i++) await round();
  report("ready", found);
  const word = new Uint8Array(1);
  while (readSync(0, word) === 1) report("cpu", await round());
}
