import { readdirSync, readlinkSync } from "node:fs";

/** The open descriptors of this process, and what each refers to, except those that are closed during the listing. */
export function openFds(): string[] {
  return readdirSync("/proc/self/fd").flatMap((fd) => {
    try {
      // The number of a socket is another for each; its kind is what counts here.
      return [readlinkSync(`/proc/self/fd/${fd}`).replace(/\d+/g, "N")];
    } catch {
      // The one that lists them, or one that a test before this one had not quite closed.
      return [];
    }
  }).sort();
}

/** How long nothing may change before what earlier tests left, such as the threads of their Workers, counts as closed. */
const QUIET_MS = 300;

/** {@linkcode openFds}, once none is closed or opened any more. */
export async function settledFds(): Promise<string[]> {
  let fds = openFds();
  for (let since = performance.now(); performance.now() - since < QUIET_MS;) {
    await new Promise((resolve) => setTimeout(resolve, 20));
    const now = openFds();
    if (now.join() !== fds.join()) since = performance.now();
    fds = now;
  }
  return fds;
}
