/** A pipe that nobody reads, and the processes that wait because of it. */
import { closeSync, constants, openSync, readdirSync, readFileSync, writeSync } from "node:fs";
import { assertThrows } from "@std/assert";
import { pause } from "../support/waiting.ts";
import { fifo } from "./running.ts";

/** How long a signal may take if something is not read, on a busy machine. */
export const BOUND_MS = 20_000;

/** The fields of proc_pid_stat(5) after the name, which may contain blanks; none if it is gone. */
function statOf(path: string): string[] {
  try {
    return readFileSync(path, "utf8").replace(/^.*\) /s, "").split(" ");
  } catch {
    return [];
  }
}

/** Whether a thread of a process runs, or would if it got a processor. */
function wantsToRun(pid: number): boolean {
  try {
    return readdirSync(`/proc/${pid}/task`).some((thread) => statOf(`/proc/${pid}/task/${thread}/stat`)[0] === "R");
  } catch {
    // It is gone.
    return false;
  }
}

/** Whether a process waits, and has used hardly any processor time for a while; after it has started, which takes some. */
export async function isIdle(pid: number): Promise<boolean> {
  // In hundredths of a second.
  const spent = (): number => {
    const [user = 0, system = 0] = statOf(`/proc/${pid}/stat`).slice(11, 13).map(Number);
    return user + system;
  };
  const before = spent();
  for (let i = 0; i < 10; i++) {
    // On a busy machine it may use little and yet not wait.
    if (wantsToRun(pid)) return false;
    await pause(50);
  }
  return before > 3 && spent() - before <= 5;
}

/** A pipe that nobody reads, and into which nothing more fits. */
export class FullPipe implements Disposable {
  readonly path: string;
  readonly #descriptor: number;

  constructor(path: string) {
    this.path = fifo(path);
    this.#descriptor = openSync(path, constants.O_RDWR | constants.O_NONBLOCK);
    assertThrows(() => {
      for (;;) writeSync(this.#descriptor, new Uint8Array(4096));
    });
  }

  [Symbol.dispose](): void {
    closeSync(this.#descriptor);
  }
}
