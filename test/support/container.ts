/** What a container file says, and a root directory of its own to run its steps in: no container engine, no image to download. */
import { spawnSync } from "node:child_process";
import process from "node:process";

/** An instruction: `RUN`, and what comes after it. */
export interface Instruction {
  word: string;
  text: string;
}

/** The instructions of a container file, without comments; lines that a backslash continues are one. */
export function instructions(file: string): Instruction[] {
  const lines = file.replace(/^\s*#.*\n/gm, "").replace(/\\\n\s*/g, "").split("\n").filter((line) => line.trim() !== "");
  return lines.map((line) => {
    const [, word, text] = /^(\S+)\s+(.*)$/.exec(line)!;
    return { word: word!, text: text! };
  });
}

/**
 * A script for sh(1) in a mount namespace of its own: `$1` is a directory on which it mounts a tmpfs, `$2` one that is seen read-only at
 * `$3` while `$4` runs, `$5` runs after that. All of it has a copy of this machine's root directory: what is written ends with it.
 */
const SCRIPT = `set -e
mount -t tmpfs tmpfs "$1"
mkdir "$1/upper" "$1/work" "$1/root"
mount -t overlay overlay -o "lowerdir=/,upperdir=$1/upper,workdir=$1/work" "$1/root"
mount --bind /proc "$1/root/proc"
mount --bind /dev "$1/root/dev"
[ "$#" -gt 1 ] || exit 0
mkdir "$1/root$3"
mount --bind -o ro "$2" "$1/root$3"
chroot "$1/root" /bin/sh -c "$4" >&2
umount "$1/root$3"
exec chroot "$1/root" /bin/sh -c "$5"
`;

/** What ran there: the output is that of `after`, the rest is in `err`. */
export interface Ran {
  status: number | null;
  out: string;
  err: string;
}

function inNamespace(words: readonly string[]): Ran {
  const { status, stdout, stderr, error } = spawnSync("unshare", ["--mount", "sh", "-c", SCRIPT, "sh", ...words], {
    encoding: "utf8",
    // dpkg insists on programs that only root has in PATH.
    env: { PATH: `/usr/sbin:/sbin:${process.env.PATH}`, LC_ALL: "C" },
  });
  return { status, out: stdout ?? "", err: error ? error.message : stderr };
}

/** Why no root directory can be made here; `false` if it can, in this empty directory. */
export function noRoot(directory: string): string | false {
  const { status, err } = inNamespace([directory]);
  return status === 0 ? false : `it takes root, and a kernel with overlayfs: ${err.trim()}`;
}

/** Runs `step` with `files` at `place`, as a container's build does, and then `after` without them. */
export function runStep(directory: string, files: string, place: string, step: string, after: string): Ran {
  return inNamespace([directory, files, place, step, after]);
}
