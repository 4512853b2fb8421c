/**
 * Compiles the command into one file: `deno task build`, or with further options of `bun build`, such as `--target=bun-linux-arm64`.
 * The file of another machine gets another name, so that it does not replace the one for this machine.
 */
import { spawnSync } from "node:child_process";
import process from "node:process";
import { BUN_PROGRAM, ROOT } from "./project.ts";

/** The words that compile it; nothing that it finds in the directory where it is started may change what the file does. */
export const BUILD: readonly string[] = [
  ..."bun build --compile --bytecode --format=esm --no-compile-autoload-bunfig --no-compile-autoload-dotenv".split(" "),
  "--outfile=dist/psample",
  "cli/main.ts",
];

/** The words with these further ones. */
export function buildWords(more: readonly string[]): string[] {
  const after = (name: string): string | undefined =>
    more.find((word) => word.startsWith(`${name}=`))?.slice(name.length + 1) ??
      (more.includes(name) ? more[more.indexOf(name) + 1] : undefined);
  const target = after("--target");
  const file = after("--outfile") === undefined && target !== undefined ? [`--outfile=dist/psample-${target.replace(/^bun-/, "")}`] : [];
  // Of an option that is given twice, Bun takes the last.
  return [...BUILD, ...file, ...more];
}

if (import.meta.main) {
  const { status, error } = spawnSync(BUN_PROGRAM, buildWords(process.argv.slice(2)).slice(1), { cwd: ROOT, stdio: "inherit" });
  if (error) process.stderr.write(`Cannot start Bun: ${error.message}\n`);
  process.exit(status ?? 1);
}
