/** Installs what the tests and the build need from npm, unless it is there: `deno task tools`. */
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { BUN_PROGRAM, ROOT, TOOLS } from "./bun.ts";

/** Runs a program in a directory; its output is shown. */
function run(directory: string, program: string, ...args: string[]): void {
  spawnSync(program, args, { cwd: directory, stdio: ["ignore", "inherit", "inherit"] });
}

/** Whether this is a Bun that runs, and not only the file that stands in for it until its install script has run. */
const bunWorks = (): boolean => spawnSync(BUN_PROGRAM, ["--version"]).status === 0;

/** Installs Bun, and with it what it resolves in the root. */
export function installBun(): void {
  if (!bunWorks()) run(TOOLS, "npm", "ci", "--no-audit", "--no-fund", "--loglevel=error");
  // Newer versions of npm run no install scripts unless told to. Bun's moves its binary into place.
  if (!bunWorks()) run(TOOLS, "node", "node_modules/bun/install.js");
  if (!bunWorks()) throw new Error(`Cannot install Bun: npm ci in ${TOOLS} left no Bun that runs`);
  if (!existsSync(join(ROOT, "node_modules/deno-std"))) run(ROOT, BUN_PROGRAM, "install", "--frozen-lockfile");
}

if (import.meta.main) installBun();
