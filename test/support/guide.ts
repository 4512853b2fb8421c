/** The pages of docs/ of which every block of code is run: `sh` as commands, `ts` as programs, `text` as what the commands before it show. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { assert } from "@std/assert";
import { ROOT } from "../run/project.ts";

const read = (path: string): string => readFileSync(join(ROOT, path), "utf8");

function filesBelow(directory: string, extension: string): string[] {
  return readdirSync(join(ROOT, directory), { recursive: true, encoding: "utf8" })
    .filter((path) => path.endsWith(extension) && !path.includes("node_modules"))
    .map((path) => `${directory}/${path}`)
    .sort();
}

/** All pages of docs/. */
export const PAGES: readonly string[] = filesBelow("docs", ".md");

/** A block of code on a page. */
export interface Block {
  readonly page: string;
  /** The line that it begins in. */
  readonly line: number;
  /** What stands behind the backticks: `sh`, `ts ignore`. */
  readonly language: string;
  readonly code: string;
}

/** The blocks of a page. */
export function blocksOn(page: string): Block[] {
  const text = read(page);
  return [...text.matchAll(/^```([^\n]*)\n(.*?)^```$/gms)].map(({ index, 1: language, 2: code }) => ({
    page,
    line: text.slice(0, index).split("\n").length,
    language: language!,
    code: code!,
  }));
}

/** Pages with tests of their own, which name them: those know what their blocks mean. */
function pagesWithTests(): Set<string> {
  const tests = filesBelow("test", "_test.ts").map(read).join("\n");
  return new Set(PAGES.filter((page) => tests.includes(`"${page}"`) || tests.includes(`/${page}"`)));
}

/** Pages that are run as a whole: those of the guide, whatever else is tested about them, and all others without a test of their own. */
export const GUIDE: readonly string[] = PAGES.filter((page) => page.startsWith("docs/guide/") || !pagesWithTests().has(page));

/** A command of a page, and what the page shows of its output, if it does. */
export interface Typed {
  readonly command: string;
  readonly shown: string | undefined;
}

/** The commands of a page in their order. The last one of a block may have its output in a `text` block after it. */
export function commandsOn(page: string): Typed[] {
  const blocks = blocksOn(page);
  return blocks.flatMap(({ language, code }, i) => {
    if (language !== "sh") return [];
    const lines = code.replace(/\\\n\s*/g, "").split("\n").map((line) => line.replace(/\s+#.*$/, "").trim()).filter((line) => line !== "");
    const next = blocks[i + 1];
    const shown = next?.language === "text" ? next.code : undefined;
    return lines.map((command, i) => ({ command, shown: i === lines.length - 1 ? shown : undefined }));
  });
}

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
