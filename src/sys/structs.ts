/** C structs that both backends hand to libc, or get from it. */
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

/** As much of `struct passwd` as is read: two pointers, u32 user id, u32 group id. */
export const PASSWD_BYTES = 24;

/** The ids in `struct passwd`. */
export function passwdIds(entry: Memory): { uid: number; gid: number } {
  const view = viewOf(entry);
  return { uid: view.getUint32(16, LITTLE), gid: view.getUint32(20, LITTLE) };
}
