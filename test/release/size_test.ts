/** How large the executable is beside the runtime that it contains: BENCH.md says why it has bytecode. */
import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { assert, assertEquals } from "@std/assert";
import { BUILD } from "../run/build.ts";
import { BUN_PROGRAM, ROOT } from "../run/project.ts";
import { programs } from "../support/programs.ts";

const MB = 1e6;

test(
  "the executable is at most 3 MB larger than that of an empty program, and 8 MB with bytecode",
  { ...programs(BUN_PROGRAM), timeout: 120_000 },
  () => {
    // Not in /tmp: each has more than 100 MB.
    mkdirSync(join(ROOT, "dist"), { recursive: true });
    const directory = mkdtempSync(join(ROOT, "dist/test-"));
    try {
      const empty = join(directory, "empty.ts");
      writeFileSync(empty, "export {};\n");
      const size = (entry: string, words: readonly string[]): number => {
        const file = join(directory, "program");
        const own = words.slice(1, -1).filter((word) => !word.startsWith("--outfile="));
        const { status, stderr } = spawnSync(BUN_PROGRAM, [...own, `--outfile=${file}`, entry], { cwd: ROOT, encoding: "utf8" });
        assertEquals(status, 0, stderr);
        return statSync(file).size;
      };
      const withoutBytecode = BUILD.filter((word) => word !== "--bytecode");
      const least = size(empty, withoutBytecode);
      const entry = BUILD.at(-1)!;
      const [plain, complete] = [size(entry, withoutBytecode) - least, size(entry, BUILD) - least];
      assert(plain <= 3 * MB, `${plain} bytes`);
      assert(complete <= 8 * MB, `${complete} bytes with bytecode`);
    } finally {
      rmSync(directory, { recursive: true });
    }
  },
);
