/** Programs that check what this package writes, and that not every machine has. */
import { spawnSync } from "node:child_process";
import process from "node:process";
import { has } from "../run/install.ts";

/** They start slowly, and bun gives a test 5 seconds. */
const TIMEOUT_MS = 60_000;

const told = new Set<string>();

/**
 * For the options of `node:test`: skips a test where one of the programs is missing, and says so, because runtimes keep
 * the reason of a skip to themselves. With PSAMPLE_REQUIRE=1 nothing is skipped, and the test fails.
 */
export function programs(...names: string[]): { skip: string | false; timeout: number } {
  const missing = names.filter((name) => !has(name));
  if (missing.length === 0 || process.env.PSAMPLE_REQUIRE === "1") return { skip: false, timeout: TIMEOUT_MS };
  const skip = `skipping what needs ${missing.join(", ")}: it is missing here (deno task tools may get it)`;
  if (!told.has(skip)) process.stderr.write(`test: ${skip}\n`);
  told.add(skip);
  return { skip, timeout: TIMEOUT_MS };
}

/** What a program prints, and how it ends; what it says on standard error is kept apart. */
export function output(program: string, ...args: string[]): { out: string; err: string; status: number | null } {
  const { stdout, stderr, status, error } = spawnSync(program, args, {
    encoding: "utf8",
    maxBuffer: 1 << 28,
    env: { ...process.env, TZ: "UTC" },
  });
  if (error) throw error;
  return { out: stdout, err: stderr, status };
}
