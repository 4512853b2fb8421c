/** Control groups, in a kernel that `boot` started: nobody else uses them there. */
import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmdirSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

let mounted: string | undefined;

/** Where the second version of control groups is mounted; `undefined` where this kernel has none. */
function mount(): string | undefined {
  if (mounted) return mounted;
  const path = mkdtempSync(join(tmpdir(), "cgroup-"));
  if (spawnSync("mount", ["-t", "cgroup2", "none", path]).status !== 0) return undefined;
  return mounted = path;
}

/** The controllers that this kernel has. */
export function controllers(): string[] {
  const path = mount();
  return path === undefined ? [] : readFileSync(join(path, "cgroup.controllers"), "utf8").trim().split(" ");
}

/** A group of processes that have so much memory in all. */
export class MemoryGroup implements Disposable {
  readonly #path: string;

  constructor(bytes: number) {
    const root = mount()!;
    writeFileSync(join(root, "cgroup.subtree_control"), "+memory");
    this.#path = join(root, `psample-${bytes}`);
    mkdirSync(this.#path);
    writeFileSync(join(this.#path, "memory.max"), String(bytes));
  }

  /** Words that run a program in it. It keeps the process id. */
  inside(words: readonly string[]): string[] {
    return ["sh", "-c", 'echo $$ >"$0"; exec "$@"', join(this.#path, "cgroup.procs"), ...words];
  }

  /** How many of its processes the kernel has killed because the memory did not suffice. */
  killed(): number {
    return Number(/^oom_kill (\d+)$/m.exec(readFileSync(join(this.#path, "memory.events"), "utf8"))![1]);
  }

  /** How much they hold now. */
  usedBytes(): number {
    return Number(readFileSync(join(this.#path, "memory.current"), "utf8"));
  }

  [Symbol.dispose](): void {
    rmdirSync(this.#path);
  }
}
