/** C structs that both backends pass to libc, or get from it. */
import { LITTLE, memory, viewOf } from "../wire/native.ts";
import type { FileStatus, Memory, SignalAction, WindowSize } from "./sys.ts";

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

/** The events that poll(2) found on the first descriptor of a set. */
export function polledEvents(set: Memory): number {
  return viewOf(set).getInt16(6, LITTLE);
}

/** Whether a text can be a path at all: for C it would end at the first NUL. */
export function isPath(path: string): boolean {
  return path !== "" && !path.includes("\0");
}

/** A path as C takes it. */
export function cPath(path: string): Memory {
  const bytes = new TextEncoder().encode(path);
  const ended = memory(bytes.length + 1);
  ended.set(bytes);
  return ended;
}

// struct ifreq, include/uapi/linux/if.h: a name of up to 15 bytes, then a union of which the index is one form.
const IFNAMSIZ = 16;
const IFREQ_BYTES = 40;

/** A request about an interface; `undefined` if the name is too long for one, or empty. */
export function interfaceRequest(name: string): Memory | undefined {
  const bytes = new TextEncoder().encode(name);
  if (bytes.length === 0 || bytes.length >= IFNAMSIZ) return undefined;
  const request = memory(IFREQ_BYTES);
  request.set(bytes);
  return request;
}

/** The index that the kernel has written into the request. */
export function requestedIndex(request: Memory): number {
  return viewOf(request).getInt32(IFNAMSIZ, LITTLE);
}

/** The network namespace of the thread that opens it: /proc/self is that of the process's first thread, which a Worker is not. */
export const OWN_NETNS = "/proc/thread-self/ns/net";

// include/uapi/linux/time.h; struct timespec has two longs.
export const CLOCK_MONOTONIC = 1;
export const TIMESPEC_BYTES = 16;

/** A `struct timespec` in microseconds. */
export function microseconds(timespec: Memory): bigint {
  const view = viewOf(timespec);
  return view.getBigInt64(0, LITTLE) * 1_000_000n + view.getBigInt64(8, LITTLE) / 1000n;
}

// include/uapi/linux/stat.h, include/uapi/linux/fcntl.h
export const STATX_BYTES = 256;
export const STATX_BASIC_STATS = 0x7ff;
export const AT_EMPTY_PATH = 0x1000;

const KINDS: Readonly<Record<number, FileStatus["kind"]>> = {
  0o01: "fifo",
  0o02: "character device",
  0o04: "directory",
  0o06: "block device",
  0o10: "file",
  0o14: "socket",
};

/** Reads `struct statx`, which is the same on every architecture. */
export function fileStatus(statx: Memory): FileStatus {
  const view = viewOf(statx);
  const device = `${view.getUint32(136, LITTLE)}:${view.getUint32(140, LITTLE)}`;
  return {
    kind: KINDS[view.getUint16(28, LITTLE) >> 12] ?? "other",
    identity: `${device}:${view.getBigUint64(32, LITTLE)}`,
    size: Number(view.getBigUint64(40, LITTLE)),
    owner: view.getUint32(20, LITTLE),
    mode: view.getUint16(28, LITTLE) & 0o7777,
  };
}

/** The names in the result of getdents64(2), except for the directory itself and its parent: `struct linux_dirent64`. */
export function directoryNames(entries: Uint8Array): string[] {
  const view = viewOf(entries);
  const decoder = new TextDecoder();
  const names: string[] = [];
  // u64 inode, s64 offset, u16 size of the entry, u8 type, name with NUL.
  for (let at = 0; at < entries.length; at += view.getUint16(at + 16, LITTLE)) {
    const name = decoder.decode(entries.subarray(at + 19, entries.indexOf(0, at + 19)));
    if (name !== "." && name !== "..") names.push(name);
  }
  return names;
}

/** `struct winsize` (include/uapi/asm-generic/termios.h): u16 rows, u16 columns, and the size in pixels. */
export const WINSIZE_BYTES = 8;

/** The size in `struct winsize`; a terminal that does not know it reports 0. */
export function windowSize(winsize: Memory): WindowSize | undefined {
  const view = viewOf(winsize);
  const [rows, columns] = [view.getUint16(0, LITTLE), view.getUint16(2, LITTLE)];
  return rows > 0 && columns > 0 ? { columns, rows } : undefined;
}

/** `struct termios` of the kernel (include/uapi/asm-generic/termbits.h): four u32 of flags, u8 line discipline, 19 control characters. */
export const TERMIOS_BYTES = 36;

/** The part of `struct passwd` that is read: two pointers, u32 user id, u32 group id. */
export const PASSWD_BYTES = 24;

/** The ids in `struct passwd`. */
export function passwdIds(entry: Memory): { uid: number; gid: number } {
  const view = viewOf(entry);
  return { uid: view.getUint32(16, LITTLE), gid: view.getUint32(20, LITTLE) };
}

/** `struct tm` of a 64-bit machine, in glibc and musl: nine ints, then where the offset from UTC is, a long, and a pointer. */
export const TM_BYTES = 56;

/** `tm_gmtoff` of a `struct tm`. */
export function tmOffset(tm: Memory): number {
  return Number(viewOf(tm).getBigInt64(40, LITTLE));
}

/** More than the size of `struct sigaction` in any libc. */
export const SIGACTION_BYTES = 256;
// include/uapi/asm-generic/signal-defs.h
export const SIG_DFL = 0n;
export const SIG_IGN = 1n;

/** Reads `struct sigaction`, which begins with the handler. */
export function signalAction(sigaction: Memory): SignalAction {
  const handler = viewOf(sigaction).getBigUint64(0, LITTLE);
  return handler === SIG_DFL ? "default" : handler === SIG_IGN ? "ignored" : "caught";
}
