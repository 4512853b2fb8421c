/**
 * Makes what is published on JSR, `dist/release`, and checks it: `deno task release`.
 *
 *   --tag v1.2.3   for the release of this tag: it names the version, CHANGELOG.md dates it, and all is committed
 *   --jsr          check with JSR itself; otherwise a stand-in on this machine has the one package that this one imports
 *
 * Then `deno publish` in that directory publishes it.
 */
import { spawn, spawnSync } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import process from "node:process";
import { parseArgs } from "node:util";
import { startJsrRegistry, stdText } from "../support/jsr_registry.ts";
import { ROOT } from "./project.ts";
import { parsed, say } from "./suite.ts";

/** Where the release is made. */
export const RELEASE: string = join(ROOT, "dist/release");

/** What is published, besides a deno.json. In the clone's own, `publish` is false: published from there, the package would import npm's mirror. */
export const PUBLISHED: readonly string[] = ["mod.ts", "src", "cli", "README.md", "LICENSE", "CHANGELOG.md", "SECURITY.md"];

/** The packages that the sources import: in a clone they are npm's, where JSR cannot be reached, and on JSR those. */
const JSR_IMPORTS: Record<string, string> = { "@std/text": "jsr:@std/text@^1.0.0" };

/** What deno.json says about the package, as far as it is used here. */
export interface Config {
  name: string;
  version: string;
  license: string;
  /** The entry points: from their names, such as `./decode`, to their files. */
  exports: Record<string, string>;
  imports: Record<string, string>;
  compilerOptions: Record<string, unknown>;
}

/** The package's configuration in a clone. */
export const CONFIG: Config = JSON.parse(readFileSync(join(ROOT, "deno.json"), "utf8"));

/** What makes this version one that cannot be published, as sentences; with a tag, also what does not belong to that. */
export function versionProblems(
  config: Pick<Config, "version"> = CONFIG,
  read: (path: string) => string = (path) => readFileSync(join(ROOT, path), "utf8"),
  tag?: string,
): string[] {
  const { version } = config;
  const problems: string[] = [];
  const [, command] = /VERSION = "([^"]*)"/.exec(read("cli/version.ts")) ?? [];
  if (command !== version) problems.push(`deno.json has version ${version}, but cli/version.ts has ${command}: set both`);
  const [, changed, date] = /^## (\S+) \(([^)]*)\)$/m.exec(read("CHANGELOG.md")) ?? [];
  if (changed !== version) problems.push(`deno.json has version ${version}, but CHANGELOG.md begins with ${changed}: add a section for it`);
  if (tag === undefined) return problems;
  if (tag !== `v${version}`) problems.push(`the tag is ${tag}, but deno.json has version ${version}: the tag of that is v${version}`);
  if (!/^\d{4}-\d\d-\d\d$/.test(date ?? "")) {
    problems.push(`CHANGELOG.md says "${date}" of version ${version}: write the date of the release there, such as 2026-01-31`);
  }
  return problems;
}

/** What is not committed, one line each. */
function uncommitted(): string[] {
  const { status, stdout, stderr } = spawnSync("git", ["status", "--porcelain"], { cwd: ROOT, encoding: "utf8" });
  if (status !== 0) return [`git status failed: ${stderr.trim()}`];
  return stdout.split("\n").filter((line) => line !== "").map((line) => `not committed: ${line.slice(3)}`);
}

/** The packages of `@std` that the published sources import. */
function stdImports(directory: string): string[] {
  const names = readdirSync(directory, { recursive: true, encoding: "utf8" }).filter((name) => name.endsWith(".ts"));
  const found = names.flatMap((name) => [...readFileSync(join(directory, name), "utf8").matchAll(/\bfrom "(@[^/"]+\/[^/"]+)/g)]);
  // Those of the examples in the documentation are this package itself.
  return [...new Set(found.map(([, name]) => name!))].filter((name) => name !== CONFIG.name).sort();
}

/** Makes the release in a directory, which is emptied first: the published files, and a deno.json that has only what they need. */
export function makeRelease(directory: string): void {
  rmSync(directory, { recursive: true, force: true });
  for (const name of PUBLISHED) {
    mkdirSync(dirname(join(directory, name)), { recursive: true });
    cpSync(join(ROOT, name), join(directory, name), { recursive: true });
  }
  const imports = stdImports(directory).map((name) => {
    const specifier = JSR_IMPORTS[name];
    if (specifier === undefined) {
      throw new Error(`The sources import ${name}: name its version on JSR in JSR_IMPORTS (test/run/release.ts)`);
    }
    return [name, specifier];
  });
  const { name, version, license, exports, compilerOptions } = CONFIG;
  const config = { name, version, license, exports, imports: Object.fromEntries(imports), compilerOptions };
  writeFileSync(join(directory, "deno.json"), `${JSON.stringify(config, null, 2)}\n`);
}

/** Runs a command of Deno in a directory; with `jsr`, an address, that takes JSR's place. What Deno caches is then kept apart. */
export async function deno(
  program: string,
  directory: string,
  words: readonly string[],
  { jsr, cache, environment }: { jsr?: string; cache?: string; environment?: Record<string, string> } = {},
): Promise<{ status: number | null; out: string; err: string }> {
  const own = { NO_COLOR: "1", ...jsr === undefined ? {} : { JSR_URL: jsr }, ...cache === undefined ? {} : { DENO_DIR: cache } };
  const child = spawn(program, words, {
    cwd: directory,
    env: { ...process.env, ...own, ...environment },
    stdio: ["ignore", "pipe", "pipe"],
  });
  const texts = [child.stdout, child.stderr].map(async (stream) => {
    let text = "";
    for await (const part of stream.setEncoding("utf8")) text += part;
    return text;
  });
  const status = await new Promise<number | null>((resolve, reject) => {
    child.once("error", reject);
    child.once("close", resolve);
  });
  const [out = "", err = ""] = await Promise.all(texts);
  return { status, out, err };
}

/** Checks a release as `deno publish` does before it uploads, against JSR itself or a stand-in. */
async function dryRun(directory: string, withJsr: boolean): Promise<{ status: number | null; err: string }> {
  // Uncommitted changes are another matter, and dist/ is ignored anyway.
  const words = ["publish", "--dry-run", "--allow-dirty"];
  if (withJsr) return await deno(process.execPath, directory, words);
  await using registry = await startJsrRegistry([stdText()]);
  const cache = mkdtempSync(join(tmpdir(), "psample-release-"));
  try {
    return await deno(process.execPath, directory, words, { jsr: registry.url, cache });
  } finally {
    rmSync(cache, { recursive: true });
  }
}

if (import.meta.main) {
  const { values } = parsed(
    () => parseArgs({ options: { tag: { type: "string" }, jsr: { type: "boolean", default: false } } }),
    "deno task release [--tag v1.2.3] [--jsr]",
  );
  const problems = [...versionProblems(CONFIG, undefined, values.tag), ...values.tag === undefined ? [] : uncommitted()];
  if (problems.length > 0) {
    for (const problem of problems) say(`release: ${problem}`);
    process.exit(1);
  }
  makeRelease(RELEASE);
  const { status, err } = await dryRun(RELEASE, values.jsr);
  if (status !== 0) {
    say(err.trim());
    say(`release: deno publish would refuse dist/release${values.jsr ? ", or cannot reach JSR" : ""}; its reasons are above`);
    process.exit(1);
  }
  const files = err.split("\n").filter((line) => line.startsWith("   file://")).length;
  const against = values.jsr ? "JSR" : "a stand-in for JSR that has @std/text; --jsr checks with JSR itself";
  say(`dist/release: ${CONFIG.name}@${CONFIG.version}, ${files} files, accepted by deno publish --dry-run (against ${against})`);
}
