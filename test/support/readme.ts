import { readFileSync } from "node:fs";

/** The commands of a page: the lines of its `sh` blocks, a list a block, without remarks. */
export function commandsIn(page: string): string[][] {
  const text = readFileSync(new URL(`../../${page}`, import.meta.url), "utf8");
  return [...text.matchAll(/^```sh\n(.*?)^```$/gms)].map((block) =>
    block[1]!.split("\n").map((line) => line.replace(/\s+#.*$/, "").trim()).filter((line) => line !== "")
  );
}

/** The commands of the README. */
export function readmeCommands(): string[][] {
  return commandsIn("README.md");
}

/** Whether a command of the README is about a kernel that samples: those are run in test/kernel/readme_test.ts. */
export function needsKernel(command: string): boolean {
  return /^(psample|tc) ?/.test(command);
}
