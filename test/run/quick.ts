/**
 * Format, lint, types, and in Deno the fast tests: `deno task quick`. Prints problems, and one
 * line.
 */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { pathToFileURL } from "node:url";
import { quickTests, ROOT, RUNTIMES } from "./project.ts";
import { count, failures, run, say } from "./suite.ts";

const DENO = process.execPath;
/** How many groups of files run at once: most of a test's time it waits, so this is more than two processors. */
const GROUPS = 12;

const began = Date.now();
const tests = quickTests();
// Deno loads the sources for each file again, which takes longer than its tests: the files of a group share them.
const directory = mkdtempSync(join(tmpdir(), "psample-quick-"));
process.on("exit", () => rmSync(directory, { recursive: true }));
const groups = Array.from({ length: GROUPS }, (_, group) => {
  const path = join(directory, `group${group}_test.ts`);
  const files = tests.filter((_, i) => i % GROUPS === group);
  writeFileSync(path, files.map((file) => `import ${JSON.stringify(pathToFileURL(join(ROOT, file)).href)};\n`).join(""));
  return path;
});
const steps: readonly (readonly [name: string, words: readonly string[]])[] = [
  ["format", [DENO, "fmt", "--check", "--quiet"]],
  ["lint", [DENO, "lint", "--quiet"]],
  ["types", [DENO, "check", "--quiet", "mod.ts", "cli/main.ts", "src", "test", "examples"]],
  ["tests", RUNTIMES.deno([`--config=${join(ROOT, "deno.json")}`, ...groups], { parallel: true })],
];
const environment = { DENO_JOBS: String(GROUPS) };
const results = await Promise.all(steps.map(async ([name, words]) => ({ name, ...await run(words, { environment }) })));
const wrong = results.filter(({ status }) => status !== 0);
for (const { name, output } of wrong) say(`${name}:\n${failures(output).trim()}\n`);
const counted = count(results.at(-1)!.output);
const took = `${((Date.now() - began) / 1000).toFixed(1)} s`;
const summary = `${counted?.passed ?? 0} tests of ${tests.length} files passed in ${took}`;
say(wrong.length === 0 ? `ok: format, lint, types, ${summary}` : `failed: ${wrong.map(({ name }) => name).join(", ")}; ${summary}`);
process.exit(wrong.length === 0 ? 0 : 1);
