/** The pages of docs/ of which every block of code is run: `sh` as commands, `ts` as programs, `text` as what the commands before it show. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { assert } from "@std/assert";
import { ROOT } from "../run/project.ts";
import type { Typed } from "./pages.ts";

const read = (path: string): string => readFileSync(join(ROOT, path), "utf8");

function filesBelow(directory: string, extension: string): string[] {
  return readdirSync(join(ROOT, directory), { recursive: true, encoding: "utf8" })
    .filter((path) => path.endsWith(extension) && !path.includes("node_modules"))
    .map((path) => `${directory}/${path}`)
    .sort();
}

/** All pages of docs/. */
export const PAGES: readonly string[] = filesBelow("docs", ".md");

const TESTS = filesBelow("test", "_test.ts").map(read).join("\n");

/** Whether a page has tests of its own, which name it: those know what its blocks mean. */
function hasTests(page: string): boolean {
  return TESTS.includes(`"${page}"`) || TESTS.includes(`/${page}"`);
}

/** Pages that are run as a whole: those of the guide, whatever else is tested about them, and all others without a test of their own. */
export const GUIDE: readonly string[] = PAGES.filter((page) => page.startsWith("docs/guide/") || !hasTests(page));

/** Whether a command works without a kernel that samples, given what is in the directory. */
export function worksAnywhere(command: string, files: readonly string[]): boolean {
  const [, name, rest] = /^psample (demo|read|top)\b(.*)/.exec(command) ?? [];
  return name === "demo" || (name !== undefined && files.some((file) => rest!.includes(` ${file}`)));
}

/**
 * What depends on numbers, on chance, and on how busy the machine is: on one that is, no packet may pass in the half second in which
 * `list` and `doctor` look.
 */
const ALIKE: readonly (readonly [pattern: RegExp, instead: string])[] = [
  [/, \d+ of them printed or recorded/, ""],
  [/>±/, "±"],
  [/\bno listener\b/, "idle"],
  [/\bpackets reach it, and nobody in this network namespace listens$/, "no packets in 500 ms"],
  [/\d[\d.,:]*/g, "N"],
  [/[kMGT]?(bit\/s|pps)/g, "$1"],
  [/\s+/g, " "],
];

function shape(line: string): string {
  return ALIKE.reduce((text, [pattern, instead]) => text.replace(pattern, instead), line).trim();
}

/** Each line that a page shows is in the output, but for the numbers; `...` stands for others. */
export function assertSameShape(output: string, { command, shown }: Typed): void {
  const lines = new Set(output.split("\n").map(shape));
  for (const line of (shown ?? "").split("\n").filter((line) => line.trim() !== "" && !/^(\.\.\.|\^C)$/.test(line))) {
    assert(lines.has(shape(line)), `${command}: the page shows\n${line}\nbut this is what was printed:\n${output}`);
  }
}
