/** The examples in the documentation of the library, and the blocks of code on its pages. */
import { readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

/** One example. */
export interface Example {
  /** Where it is, and what it is called. */
  readonly name: string;
  readonly code: string;
  /** Whether it cannot run everywhere, because it needs a kernel with psample, or a file. */
  readonly needsKernel: boolean;
}

const root = fileURLToPath(new URL("../../", import.meta.url));

/** Every example: of the documentation comments, of the README, and of the pages of docs/. */
export function examples(): Example[] {
  const files = [
    "mod.ts",
    "cli/main.ts",
    "README.md",
    ...["src", "docs"].flatMap((directory) =>
      readdirSync(root + directory, { recursive: true, encoding: "utf8" }).map((path) => `${directory}/${path}`)
    ),
  ];
  return files.filter((path) => /\.(ts|md)$/.test(path)).sort().flatMap((path) => {
    const text = readFileSync(root + path, "utf8").replace(/^ \* ?/gm, "");
    return [...text.matchAll(/^```ts( ignore)?\n(.*?)^```$/gms)].map(([, ignored, code], i) => ({
      name: `${path}, ${i + 1}`,
      code: code!,
      needsKernel: ignored !== undefined,
    }));
  });
}

/** The code with the package's entry points as files, so that it runs anywhere. */
export function withFiles(code: string): string {
  const { exports } = JSON.parse(readFileSync(`${root}deno.json`, "utf8")) as { exports: Record<string, string> };
  return code.replace(
    /"@psample\/psample(\/[a-z]+)?"/g,
    (_, entry: string | undefined) => JSON.stringify(root + exports[`.${entry ?? ""}`]!),
  );
}
