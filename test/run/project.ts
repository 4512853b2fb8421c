/** Where the project is, which files are its tests, and the programs that run them. */
import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";

/** The directory of the project. */
export const ROOT: string = fileURLToPath(new URL("../..", import.meta.url));
/** The directory whose package.json names Bun. In the root, every user of a clone would download it. */
export const TOOLS: string = join(ROOT, "test/tools");
/** What only a run with foreign daemons needs from npm (daemons.ts). */
export const DAEMON_TOOLS: string = join(TOOLS, "daemons");
/** Bun, once `deno task tools` has installed it. */
export const BUN_PROGRAM: string = join(TOOLS, "node_modules/.bin/bun");

/** The tests of a directory below `test/`, as arguments for a test runner. */
function testsIn(directory: string): string[] {
  return readdirSync(join(ROOT, "test", directory), { recursive: true, encoding: "utf8" })
    .filter((path) => path.endsWith("_test.ts") && !path.includes("node_modules"))
    .map((path) => `./${join("test", directory, path)}`)
    .sort();
}

/** Those that need a kernel with psample. */
export const kernelTests = (): string[] => testsIn("kernel");
/** All others. */
export const unitTests = (): string[] => testsIn(".").filter((path) => !path.startsWith("./test/kernel/"));

/**
 * What starts another program or thread, or inspects everything that this process has open: not for tests that run in parallel. It does not
 * match itself: tests import this file.
 */
const STARTS = /from "node:child[_]process"|\bnew Worker\(|readdirSync\("\/proc\/self\/fd"\)/;
/** What a file imports of this project; not what a text in it says. */
const IMPORTS = /^(?:import|export)\b[^;"']* from "(\.[^"]+)"/gm;
/** What waits for a time to pass; a turn of the event loop does not. */
const SLEEPS = /\bset(Timeout|Interval)\((?!.*, 0\))/;
/** What lets a lot of simulated time pass, which takes a while. */
const SIMULATES = /\bnew FakeTime\(/;

/**
 * Those of the unit tests that are done in no time on any machine, and may run side by side: they start no program and
 * no thread and simulate no time, neither by themselves nor with the help of another file of `test/`, and wait for nothing by the clock.
 */
export function quickTests(): string[] {
  const read = (path: string): string => readFileSync(join(ROOT, path), "utf8");
  const isSlow = (path: string, seen: Set<string>): boolean => {
    if (seen.has(path)) return false;
    seen.add(path);
    const code = read(path);
    const helpers = [...code.matchAll(IMPORTS)]
      .map(([, specifier]) => relative(ROOT, join(ROOT, dirname(path), specifier!)))
      .filter((helper) => helper.startsWith("test/"));
    return STARTS.test(code) || SIMULATES.test(code) || helpers.some((helper) => isSlow(helper, seen));
  };
  return unitTests().filter((path) => !SLEEPS.test(read(path)) && !isSlow(path, new Set()));
}

/** Settings of a run of tests. */
export interface TestOptions {
  /** Only tests whose name contains this. */
  filter?: string | undefined;
  /** Shuffles the tests, the same way for the same number. */
  seed?: number | undefined;
  /** Runs files in parallel, in Deno. */
  parallel?: boolean | undefined;
}

/** Both test runners: the words that run test files. */
export const RUNTIMES: Record<"deno" | "bun", (files: readonly string[], options?: TestOptions) => string[]> = {
  // Not --quiet: that hides what a file prints before its tests run, such as the reasons of its skips.
  deno: (files, { filter, seed, parallel } = {}) => [
    ...[process.execPath, "test", "-A", "--no-check"],
    ...parallel ? ["--parallel"] : [],
    ...filter === undefined ? [] : [`--filter=${filter}`],
    ...seed === undefined ? [] : [`--shuffle=${seed}`],
    ...files,
  ],
  // Bun's own limit is 5 seconds a test: a busy machine is no failure.
  bun: (files, { filter, seed } = {}) => [
    ...[BUN_PROGRAM, "test", "--timeout", "120000"],
    ...filter === undefined ? [] : ["--test-name-pattern", filter.replace(/[.*+?^${}()|[\]\\]/g, "\\$&")],
    ...seed === undefined ? [] : ["--randomize", `--seed=${seed}`],
    ...files,
  ],
};
/** A runtime that the tests run in. */
export type Runtime = keyof typeof RUNTIMES;
