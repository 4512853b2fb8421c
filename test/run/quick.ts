/**
 * Format, lint, types, and in Deno the fast tests: `deno task quick`. Prints problems, and one
 * line.
 */
import process from "node:process";
import { quickTests, RUNTIMES } from "./project.ts";
import { count, failures, run, say } from "./suite.ts";

const DENO = process.execPath;
const began = Date.now();
const tests = quickTests();
const steps: readonly (readonly [name: string, words: readonly string[]])[] = [
  ["format", [DENO, "fmt", "--check", "--quiet"]],
  ["lint", [DENO, "lint", "--quiet"]],
  ["types", [DENO, "check", "--quiet", "mod.ts", "cli/main.ts", "src", "test", "examples"]],
  ["tests", RUNTIMES.deno(tests, { parallel: true })],
];
const results = await Promise.all(steps.map(async ([name, words]) => ({ name, ...await run(words) })));
const wrong = results.filter(({ status }) => status !== 0);
for (const { name, output } of wrong) say(`${name}:\n${failures(output).trim()}\n`);
const counted = count(results.at(-1)!.output);
const took = `${((Date.now() - began) / 1000).toFixed(1)} s`;
const summary = `${counted?.passed ?? 0} tests of ${tests.length} files passed in ${took}`;
say(wrong.length === 0 ? `ok: format, lint, types, ${summary}` : `failed: ${wrong.map(({ name }) => name).join(", ")}; ${summary}`);
process.exit(wrong.length === 0 ? 0 : 1);
