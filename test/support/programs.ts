/** Programs that check what this package writes, and a registry to download from: not every machine has them. */
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { DAEMONS, UNWANTED, unwanted } from "../run/daemons.ts";
import { has, hasPackage } from "../run/install.ts";

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
 * the reason of a skip to themselves. With PSAMPLE_REQUIRE=1 nothing is skipped, and the test fails; only what needs foreign daemons
 * (test/run/daemons.ts) is skipped even then, in a run that does not ask for them.
 */
export function programs(...names: string[]): Needed {
  const left = unwanted(names);
  if (left.length > 0) return skipped(left.join(", "), UNWANTED);
  const missing = names.filter((name) => !has(name));
  if (missing.length === 0) return { skip: false, timeout: TIMEOUT_MS };
  const task = missing.some((name) => name in DAEMONS) ? "deno task tools --daemons" : "deno task tools";
  return unmet(missing.join(", "), `it is missing here (${task} may get it)`);
}

/** As {@linkcode programs}, for a package that `test/tools/package.json` or that of `test/tools/daemons` names. */
export function npmPackage(name: string): Needed {
  if (unwanted([name]).length > 0) return skipped(name, UNWANTED);
  return hasPackage(name) ? { skip: false, timeout: TIMEOUT_MS } : unmet(name, "npm has not installed it here (deno task tools may)");
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

/** For a browser, which is too large to be got for a test: skips the test if it is missing, also with PSAMPLE_REQUIRE=1. */
export function browser(name: string): Needed {
  return has(name) ? { skip: false, timeout: 2 * TIMEOUT_MS } : skipped(name, "it is missing here, and no task gets it");
}

/** As {@linkcode programs}, for something else that is missing here, and why. */
export function unmet(need: string, why: string): Needed {
  return process.env.PSAMPLE_REQUIRE === "1" ? { skip: false, timeout: TIMEOUT_MS } : skipped(need, why);
}

function skipped(need: string, why: string): Needed {
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
