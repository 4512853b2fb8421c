/** The keys that tell flows apart: the values of `--by`. */
import { ArgumentError } from "../mod.ts";
import { FlowKey } from "../src/estimate/keys.ts";
import { KEY_NAMES, keyOf } from "../src/estimate/mod.ts";
import { type Offers, UsageError } from "./options.ts";
import type { Problem } from "./top/view.ts";
import { unknownWord } from "./words.ts";

const NAMES: readonly string[] = [...KEY_NAMES, "subnet:/24"];

/** What a shell offers for keys. */
export const KEY_OFFERS: Offers = { words: NAMES, list: true };

/** Names of keys in lines, as the help shows them. */
export function keyColumns(): string {
  const lines: string[] = [];
  for (const name of NAMES) {
    const last = lines.at(-1);
    if (last !== undefined && last.length + 1 + name.length < 72) lines[lines.length - 1] = `${last} ${name}`;
    else lines.push(`  ${name}`);
  }
  return lines.join("\n");
}

/** Checks the keys, so that a wrong one is a usage error. */
export function parseKeys(text: string, option: string): string {
  const problem = checkKeys(text);
  if (problem) throw new UsageError(`${option}: ${problem.text} (psample help by lists the keys)`);
  return text;
}

/** The problem with keys of flows. */
export function checkKeys(text: string): Problem | undefined {
  const known = new Set<string>();
  for (const name of text.split(",").map((name) => name.trim()).filter(Boolean)) {
    if (known.has(name)) return { text: `${name} was given twice`, at: text.lastIndexOf(name) };
    known.add(name);
    if (keyOf(name)) continue;
    const base = name.replace(/\.\d$/, "");
    return { text: unknownWord(base, "key", NAMES), at: text.indexOf(name) };
  }
  try {
    new FlowKey(text);
    return undefined;
  } catch (error) {
    if (error instanceof ArgumentError) return { text: error.message, at: undefined };
    throw error;
  }
}
