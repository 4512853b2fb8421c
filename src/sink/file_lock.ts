/** Locks of files that are written to, so that no two programs write to one: each would overwrite what the other has written. */
import { SystemError } from "../errors.ts";
import { EAGAIN, EBUSY, type FileStatus, LOCK_EX, LOCK_NB, type Sys } from "../sys/sys.ts";
import { memory } from "../wire/native.ts";

/** Standard input, output and error. */
const STANDARD = [0, 1, 2];

/**
 * Locks an open file, for as long as it is open: flock(2). Does nothing if it is no regular file, since pipes and devices may have many
 * writers, or on a file system without locks (NFS, FUSE).
 *
 * @throws {SystemError} `EBUSY` if another program, or this one, has it locked. `op` is what was attempted.
 */
export function lockFile(sys: Sys, fd: number, status: FileStatus, op: string): void {
  // The program that has opened standard output for us may have locked it itself.
  if (status.kind !== "file" || STANDARD.some((standard) => sameFile(sys, standard, status))) return;
  // Any other failure means that there are no locks here: that is no reason not to write.
  if (sys.flock(fd, LOCK_EX | LOCK_NB) !== -EAGAIN) return;
  const pid = holderOf(sys, status.identity);
  const holder = pid === undefined ? "Another process" : `Process ${pid}`;
  const hint = pid === sys.getpid()
    ? "This program already writes to it: end that first, or choose another file"
    : `${holder} has it locked, as psample does with a file that it writes: end that first, or choose another file`;
  throw new SystemError(op, EBUSY, { hint });
}

function sameFile(sys: Sys, fd: number, { identity }: FileStatus): boolean {
  const status = sys.stat(fd);
  return typeof status !== "number" && status.identity === identity;
}

/** Who has locked a file with flock(2); `undefined` if that cannot be seen, as from within a container. */
function holderOf(sys: Sys, identity: string): number | undefined {
  const fd = sys.openHostFile("locks");
  if (fd < 0) return undefined;
  let text = "";
  const decoder = new TextDecoder();
  const part = memory(1 << 14);
  for (let size = sys.read(fd, part); size > 0; size = sys.read(fd, part)) text += decoder.decode(part.subarray(0, size), { stream: true });
  sys.close(fd);
  return flockHolder(text, identity);
}

/**
 * The process that has locked the file `identity` ({@linkcode FileStatus.identity}), from the text of /proc/locks. Source: proc_locks(5); the
 * device is in hexadecimal, and the process is 0 if it is in another PID namespace.
 */
export function flockHolder(text: string, identity: string): number | undefined {
  for (const line of text.split("\n")) {
    const [, pid, major, minor, inode] = /^\d+: FLOCK +ADVISORY +WRITE (\d+) ([0-9a-f]+):([0-9a-f]+):(\d+) /.exec(line) ?? [];
    if (Number(pid) > 0 && `${parseInt(major!, 16)}:${parseInt(minor!, 16)}:${inode}` === identity) return Number(pid);
  }
  return undefined;
}
