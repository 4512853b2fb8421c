/** Programs that check what this package writes, and that not every machine has. */
import { spawnSync } from "node:child_process";
import process from "node:process";
import { has } from "../run/install.ts";

/** They start slowly, and bun gives a test 5 seconds. */
const TIMEOUT_MS = 60_000;

/**
 * For the options of `node:test`: skips a test where one of the programs is missing. With PSAMPLE_REQUIRE=1 nothing is
 * skipped, and the test fails.
 */
export function programs(...names: string[]): { skip: string | false; timeout: number } {
  const missing = names.filter((name) => !has(name));
  if (missing.length === 0 || process.env.PSAMPLE_REQUIRE === "1") return { skip: false, timeout: TIMEOUT_MS };
  return { skip: `missing: ${missing.join(", ")} (deno task tools gets what the tests need)`, timeout: TIMEOUT_MS };
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
