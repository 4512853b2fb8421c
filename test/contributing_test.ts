/** The pages for people who work on the project: their commands work, and what they refer to exists. */
import { spawnSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { test } from "node:test";
import { assert, assertEquals } from "@std/assert";
import { ROOT } from "./run/project.ts";
import { commandsIn } from "./support/readme.ts";

const read = (path: string): string => readFileSync(join(ROOT, path), "utf8");
const PAGES = readdirSync(ROOT).filter((name) => name.endsWith(".md"));
const TASKS: Record<string, { command: string }> = JSON.parse(read("deno.json")).tasks;
const COMMANDS = commandsIn("CONTRIBUTING.md").flat();

test("every task that a page names exists, and every task is explained", () => {
  for (const page of PAGES) {
    for (const [, name] of read(page).matchAll(/\bdeno(?:@[\d.]+)? task ([a-z:]+)/g)) assert(name! in TASKS, `${page}: deno task ${name}`);
  }
  assertEquals(Object.values(TASKS).filter((task) => !("description" in task)), []);
});

test("every file that a page links to or a command names exists", () => {
  for (const page of PAGES) {
    for (const [, path] of read(page).matchAll(/\]\((?!https?:)([^)#]+)\)/g)) assert(existsSync(join(ROOT, path!)), `${page}: ${path}`);
  }
  for (const command of COMMANDS) {
    for (const [path] of command.matchAll(/(?<!\S)(\.\/)?(test|cli|src)\/\S+/g)) {
      // Bun is there once `deno task bun` has run.
      assert(path.includes("node_modules") || existsSync(join(ROOT, path)), `${command}: ${path}`);
    }
  }
});

test("the options of tasks in CONTRIBUTING.md are theirs", () => {
  for (const [, name, words] of COMMANDS.map((command) => /^deno task (\S+)(.*)/.exec(command)).filter((match) => match !== null)) {
    const script = /test\/\S+\.ts/.exec(TASKS[name!]!.command)?.[0];
    for (const [, option] of words!.matchAll(/--([a-z]+)/g)) {
      assert(new RegExp(`\\b${option}: \\{ type`).test(read(script!)), `deno task ${name} --${option}`);
    }
  }
});

test("one test is run as CONTRIBUTING.md says", { timeout: 60_000 }, () => {
  const inBun = "Bun" in globalThis;
  const [, ...args] = COMMANDS.find((command) => command.startsWith(inBun ? "test/tools/node_modules/.bin/bun test" : "deno test"))!.split(
    " ",
  );
  const { status, stderr, stdout } = spawnSync(process.execPath, args, { cwd: ROOT, encoding: "utf8" });
  assertEquals(status, 0, stderr + stdout);
});

test("CONTRIBUTING.md and CI name the same Deno", () => {
  const [deno] = /npx --yes deno@[\d.]+/.exec(read(".ci/run"))!;
  assertEquals(COMMANDS[0], `alias deno='${deno}'`);
});
