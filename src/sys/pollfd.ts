import { LITTLE, memory, viewOf } from "../wire/native.ts";
import type { Memory } from "./sys.ts";

/** An array of `struct pollfd`: int fd, short events, short revents. */
export function pollfd(fds: readonly number[], events: number): Memory {
  const set = memory(8 * fds.length);
  const view = viewOf(set);
  fds.forEach((fd, i) => {
    view.setInt32(8 * i, fd, LITTLE);
    view.setInt16(8 * i + 4, events, LITTLE);
  });
  return set;
}
