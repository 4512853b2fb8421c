import { readdirSync, readlinkSync } from "node:fs";

/** The open descriptors of this process, each with what it stands for. */
export function openFds(): string[] {
  return readdirSync("/proc/self/fd").map((fd) => {
    try {
      // The number of a socket is another for each; its kind is what counts here.
      return readlinkSync(`/proc/self/fd/${fd}`).replace(/\d+/g, "N");
    } catch {
      return "the one that lists them";
    }
  }).sort();
}
