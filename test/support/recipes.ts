/** The recipes of docs/recipes.md. */
import { readFileSync } from "node:fs";

/** The blocks of commands in a section of the page, as they stand there. */
export function blocksOf(section: string): string[] {
  const text = readFileSync(new URL("../../docs/recipes.md", import.meta.url), "utf8");
  const found = text.split(/^## /m).find((part) => part.startsWith(`${section}\n`));
  if (found === undefined) throw new Error(`docs/recipes.md has no section "${section}"`);
  return [...found.matchAll(/^```sh\n(.*?)^```$/gms)].map(([, block]) => block!);
}
