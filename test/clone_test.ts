/** What the README's first command downloads in a fresh clone, not counting Deno itself. */
import { spawnSync } from "node:child_process";
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { test } from "node:test";
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { ROOT } from "./run/project.ts";
import { registry } from "./support/programs.ts";
import { readmeCommands } from "./support/readme.ts";

const MB = 1_000_000;
/** The Deno that runs this, or the one in PATH. */
const DENO = "Bun" in globalThis ? "deno" : process.execPath;
/** A proxy that does not exist. */
const OFFLINE = Object.fromEntries(["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"].map((name) => [name, "http://127.0.0.1:9/"]));

function bytesIn(directory: string): number {
  return readdirSync(directory, { recursive: true, encoding: "utf8" })
    .map((name) => statSync(join(directory, name)))
    .reduce((sum, file) => sum + (file.isFile() ? file.size : 0), 0);
}

test("the first command downloads what the command imports and nothing else, and then works offline", registry(DENO, "deno-std"), () => {
  const directory = mkdtempSync(join(tmpdir(), "psample-clone-"));
  try {
    const clone = join(directory, "clone");
    for (
      const name of ["deno.json", "deno.lock", "package.json", "package-lock.json", "tsconfig.json", "bunfig.toml", "mod.ts", "src", "cli"]
    ) {
      cpSync(join(ROOT, name), join(clone, name), { recursive: true });
    }
    const cache = join(directory, "cache");
    const [first] = readmeCommands()[0]!;
    const args = first!.split(" ").slice(3);
    const run = (environment: Record<string, string>): { status: number | null; stderr: string } =>
      spawnSync(DENO, args, { cwd: clone, env: { ...process.env, DENO_DIR: cache, ...environment }, encoding: "utf8" });

    const online = run({});
    assertEquals(online.status, 0, online.stderr);
    // Beside what it downloads Deno keeps what it has compiled, and databases.
    const places = readdirSync(cache).filter((name) => name !== "gen" && !name.includes("_cache_"));
    assertEquals(places, ["npm"]);
    const bytes = bytesIn(join(cache, "npm"));
    assert(bytes < 3 * MB, `${bytes} bytes were downloaded`);
    assertEquals(readdirSync(clone).filter((name) => /node_modules|vendor/.test(name)), []);

    const offline = run({ ...OFFLINE, NO_PROXY: "" });
    assertEquals(offline.status, 0, offline.stderr);
    assertStringIncludes(offline.stderr, "lost 0");
  } finally {
    rmSync(directory, { recursive: true });
  }
});

test("the root names no runtime", () => {
  for (const name of ["package.json", "package-lock.json", "deno.lock"]) {
    assert(!/"(npm:)?(bun|deno)[@"]|oven/.test(readFileSync(join(ROOT, name), "utf8")), name);
  }
});
