/** Signals that another process hears. */
import { readFileSync } from "node:fs";

/** SIGPROF: one of the last that the command gets a handler for. */
const LATE_SIGNAL = 27;

/** Whether a process has a handler for a signal; false if it is gone. By default, whether the command hears signals, and so may sample. */
export function hears(pid: number, signal: number = LATE_SIGNAL): boolean {
  let caught: string | undefined;
  try {
    caught = /^SigCgt:\s*([0-9a-f]+)$/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1];
  } catch {
    // It is gone.
  }
  return (BigInt(`0x${caught ?? "0"}`) >> BigInt(signal - 1) & 1n) === 1n;
}
