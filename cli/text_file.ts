/** Reads text files, and finds out who could have written them. */
import { SystemError } from "../mod.ts";
import { EINVAL, EISDIR, O_CLOEXEC, O_NOCTTY, O_NONBLOCK, O_RDONLY, type Sys } from "../src/sys/sys.ts";
import { memory } from "../src/wire/native.ts";
import { printableText } from "../src/wire/text.ts";
import { UsageError } from "./options.ts";

/** Maximum size of a text file; a longer one is a mistake. */
const MOST_BYTES = 1 << 20;

/**
 * A text file.
 *
 * @category Command
 */
export interface TextFile {
  /** What it says. */
  readonly text: string;
  /** The user who owns it. */
  readonly owner: number;
  /** Who may do what with it: the lowest twelve bits of its mode, inode(7). */
  readonly mode: number;
  /** The user that this process acts as. */
  readonly reader: number;
}

/**
 * Reads a whole file. It is regular, so that reading it again starts at its beginning, and never waits.
 *
 * @throws {SystemError} if it cannot be read.
 * @throws {UsageError} if it is not text.
 */
export function readTextFile(sys: Sys, path: string): TextFile {
  const op = `read ${printableText(path)}`;
  const fd = sys.open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0);
  if (fd < 0) throw new SystemError(op, -fd);
  try {
    const status = sys.stat(fd);
    if (typeof status === "number") throw new SystemError(op, -status);
    const { kind, owner, mode } = status;
    if (kind === "directory") throw new SystemError(op, EISDIR);
    if (kind !== "file") throw new SystemError(op, EINVAL, { hint: `It is a ${kind}, not a regular file` });
    const bytes = memory(MOST_BYTES + 1);
    let size = 0;
    for (;;) {
      const count = sys.read(fd, bytes.subarray(size));
      if (count < 0) throw new SystemError(op, -count);
      if (count === 0) break;
      size += count;
    }
    if (size > MOST_BYTES) throw new UsageError(`cannot ${op}: it has more than ${MOST_BYTES} bytes`);
    return { text: textOf(bytes.subarray(0, size), op), owner, mode, reader: sys.geteuid() };
  } finally {
    sys.close(fd);
  }
}

function textOf(bytes: Uint8Array, op: string): string {
  let text: string | undefined;
  try {
    text = new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    // Below.
  }
  if (text === undefined || text.includes("\0")) throw new UsageError(`cannot ${op}: it is not text in UTF-8`);
  return text;
}
