import { readFileSync } from "node:fs";

/** The commands of the README: the lines of its `sh` blocks, a list a block, without remarks. */
export function readmeCommands(): string[][] {
  const readme = readFileSync(new URL("../../README.md", import.meta.url), "utf8");
  return [...readme.matchAll(/^```sh\n(.*?)^```$/gms)].map((block) =>
    block[1]!.split("\n").map((line) => line.replace(/\s+#.*$/, "").trim()).filter((line) => line !== "")
  );
}

/** Whether a command of the README is about a kernel that samples: those are run in test/kernel/readme_test.ts. */
export function needsKernel(command: string): boolean {
  return /^(psample|tc) ?/.test(command);
}
