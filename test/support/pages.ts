/** The files on a page of documentation. */
import { readFileSync } from "node:fs";

/**
 * The blocks of code that are files, by their names: the paragraph before such a block begins with the name, in a line such as
 * "`/etc/example.conf`:" or "`top.sql`, what it is for:".
 */
export function filesOn(page: string): Map<string, string> {
  const text = readFileSync(new URL(`../../${page}`, import.meta.url), "utf8");
  const blocks = text.matchAll(/^`([^`\n]+)`[^\n]*:\n\n```[a-z]*\n(.*?)^```$/gms);
  return new Map([...blocks].map(([, name, code]) => [name!, code!]));
}
