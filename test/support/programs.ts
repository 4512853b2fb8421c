/** Programs that check what this package writes, and a registry to download from: not every machine has them. */
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { has } from "../run/install.ts";

/** They start slowly, and bun gives a test 5 seconds. */
const TIMEOUT_MS = 60_000;

/** How long a registry may take to answer. */
const REGISTRY_MS = 30_000;

/** For the options of `node:test`. */
interface Needed {
  skip: string | false;
  timeout: number;
}

const told = new Set<string>();

/**
 * For the options of `node:test`: skips a test if one of the programs is missing, and says so, because runtimes keep
 * the reason of a skip to themselves. With PSAMPLE_REQUIRE=1 nothing is skipped, and the test fails.
 */
export function programs(...names: string[]): Needed {
  const missing = names.filter((name) => !has(name));
  if (missing.length === 0) return { skip: false, timeout: TIMEOUT_MS };
  return unmet(missing.join(", "), "it is missing here (deno task tools may get it)");
}

/**
 * As {@linkcode programs}, for a test in which this Deno downloads `packageName` from the npm registry. Only trying shows whether it can:
 * mirrors and proxies are Deno's business.
 */
export function registry(deno: string, packageName: string): Needed {
  const installed = programs(deno);
  if (installed.skip) return installed;
  const cache = mkdtempSync(join(tmpdir(), "psample-registry-"));
  try {
    const { error, status } = spawnSync(deno, ["info", "--no-config", "--no-lock", `npm:${packageName}`], {
      env: { ...process.env, DENO_DIR: cache },
      timeout: REGISTRY_MS,
      stdio: "ignore",
    });
    if (!error && status === 0) return installed;
  } finally {
    rmSync(cache, { recursive: true });
  }
  return unmet("the npm registry", `Deno cannot download ${packageName} from it`);
}

function unmet(need: string, why: string): Needed {
  if (process.env.PSAMPLE_REQUIRE === "1") return { skip: false, timeout: TIMEOUT_MS };
  const skip = `skipping what needs ${need}: ${why}`;
  if (!told.has(skip)) process.stderr.write(`test: ${skip}\n`);
  told.add(skip);
  return { skip, timeout: TIMEOUT_MS };
}

/** What a program prints on each stream, and how it ends. */
export function output(program: string, ...args: string[]): { out: string; err: string; status: number | null } {
  const { stdout, stderr, status, error } = spawnSync(program, args, {
    encoding: "utf8",
    maxBuffer: 1 << 28,
    env: { ...process.env, TZ: "UTC" },
  });
  if (error) throw error;
  return { out: stdout, err: stderr, status };
}
