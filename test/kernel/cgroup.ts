/** Control groups, in a kernel that `boot` started: nobody else uses them there. */
import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmdirSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

let mounted: string | undefined;

/** Where control groups version 2 are mounted; `undefined` if this kernel has none. */
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

/** A group of processes that share a limited amount of memory. */
export class MemoryGroup implements Disposable {
  readonly #path: string;

  constructor(bytes: number) {
    const root = mount()!;
    writeFileSync(join(root, "cgroup.subtree_control"), "+memory");
    this.#path = join(root, `psample-${bytes}`);
    mkdirSync(this.#path);
    writeFileSync(join(this.#path, "memory.max"), String(bytes));
  }

  /** The words that run a program in it, with the same process ID. */
  inside(words: readonly string[]): string[] {
    return ["sh", "-c", 'echo $$ >"$0"; exec "$@"', join(this.#path, "cgroup.procs"), ...words];
  }

  /** How many of its processes the kernel has killed for lack of memory. */
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
