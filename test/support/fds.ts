import { readdirSync, readlinkSync } from "node:fs";

/** The open descriptors of this process, each with what it stands for; not those that are closed before one can look. */
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
