/** Starting the command as a process. */
import { writeFileSync } from "node:fs";
import process from "node:process";
import { fileURLToPath } from "node:url";

const MAIN = fileURLToPath(new URL("../../cli/main.ts", import.meta.url));

/** The words that start the command in the runtime that the tests run in, with the permissions that it requires. */
export const COMMAND: readonly string[] = "Bun" in globalThis
  ? [process.execPath, MAIN]
  : [process.execPath, "run", "--no-check", "--allow-ffi", "--allow-read", "--allow-write", MAIN];

/** Makes a file that runs these words, and finds what Deno has cached even if the environment was cleared. */
export function installCommand(file: string, words: readonly string[]): void {
  const { DENO_DIR } = process.env;
  const cache = DENO_DIR === undefined ? "" : `export DENO_DIR='${DENO_DIR}'\n`;
  writeFileSync(file, `#!/bin/sh\n${cache}exec ${words.map((word) => `'${word}'`).join(" ")} "$@"\n`, { mode: 0o755 });
}
