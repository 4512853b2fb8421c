/** Writes the manual pages: `deno task man`, or with another directory, `deno task man DIRECTORY`. `man -M dist/man psample` shows them. */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { manualPages } from "./pages.ts";

/** Writes all pages below a directory as man(1) looks for them; returns their files. */
export function writePages(directory: string): string[] {
  return manualPages().map(({ name, section, text }) => {
    const folder = join(directory, `man${section}`);
    mkdirSync(folder, { recursive: true });
    const file = join(folder, `${name}.${section}`);
    writeFileSync(file, text);
    return file;
  });
}

if (import.meta.main) {
  const directory = process.argv[2] ?? "dist/man";
  process.stdout.write(`${writePages(directory).length} pages: man -M ${directory} psample\n`);
}
