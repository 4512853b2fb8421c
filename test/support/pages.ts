/** What is on a page of documentation: files, blocks of code, commands. */
import { readFileSync } from "node:fs";

function textOf(page: string): string {
  return readFileSync(new URL(`../../${page}`, import.meta.url), "utf8");
}

/**
 * The blocks of code that are files, by their names: the paragraph before such a block begins with the name, in a line such as
 * "`/etc/example.conf`:" or "`top.sql`, what it is for:".
 */
export function filesOn(page: string): Map<string, string> {
  const blocks = textOf(page).matchAll(/^`([^`\n]+)`[^\n]*:\n\n```[a-z]*\n(.*?)^```$/gms);
  return new Map([...blocks].map(([, name, code]) => [name!, code!]));
}

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
  const text = textOf(page);
  return [...text.matchAll(/^```([^\n]*)\n(.*?)^```$/gms)].map(({ index, 1: language, 2: code }) => ({
    page,
    line: text.slice(0, index).split("\n").length,
    language: language!,
    code: code!,
  }));
}

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
