/** The scripts of test/tools, which get programs without installing anything, and the test runners as suites start them. */
import { spawnSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { test } from "node:test";
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { inDirectory } from "../support/directory.ts";
import { ROOT, RUNTIMES, TOOLS } from "./project.ts";

/** Runs test/tools/programs with a cache of its own; `path` in place of PATH. */
function programs(
  pairs: readonly string[],
  path = process.env.PATH!,
): { status: number | null; out: string; err: string; cache: string[] } {
  const cache = mkdtempSync(join(tmpdir(), "psample-tools-"));
  try {
    const env = { ...process.env, PATH: path, XDG_CACHE_HOME: cache };
    const { status, stdout, stderr } = spawnSync("/bin/bash", [join(TOOLS, "programs"), ...pairs], { env, encoding: "utf8" });
    const left = readdirSync(cache, { recursive: true, encoding: "utf8" }).sort();
    return { status, out: stdout.replace(cache, "CACHE"), err: stderr, cache: left };
  } finally {
    rmSync(cache, { recursive: true });
  }
}

test("for existing programs nothing is downloaded or written", () => {
  assertEquals(programs(["sh:dash", "cat:coreutils"]), { status: 0, out: "CACHE/psample-programs/bin\n", err: "", cache: [] });
});

test("without apt-get, it says so", () => {
  const bin = mkdtempSync(join(tmpdir(), "psample-path-"));
  try {
    for (const program of ["bash", "dirname", "env", "flock", "mkdir", "realpath", "sort"]) {
      symlinkSync(spawnSync("sh", ["-c", `command -v ${program}`], { encoding: "utf8" }).stdout.trim(), join(bin, program));
    }
    const { status, err } = programs(["nosuchprogram:nosuchpackage"], bin);
    assertEquals(status, 1);
    assertStringIncludes(err, "no apt-get here");
  } finally {
    rmSync(bin, { recursive: true });
  }
});

test("nothing in the project installs packages", () => {
  const scripts = [...["unpack", "programs"].map((name) => join(TOOLS, name)), join(ROOT, "test/kernel/boot"), join(ROOT, ".ci/run")];
  for (const script of scripts) {
    const text = readFileSync(script, "utf8").replace(/^\s*#.*$/gm, "");
    for (const [line] of text.matchAll(/.*\b(apt|apt-get|aptitude) install\b.*|.*\bdpkg (-i|--install)\b.*/g)) {
      assert(line.includes("--download-only"), `${script}: ${line}`);
    }
  }
});

test(
  "a test runner prints why a file skips its tests",
  inDirectory((at) => {
    const reason = "test: skipping what needs nosuchprogram: it is missing here";
    const file = at("skipped_test.ts");
    writeFileSync(
      file,
      `import process from "node:process";
import { test } from "node:test";
process.stderr.write(${JSON.stringify(`${reason}\n`)});
test("a test", { skip: "a reason" }, () => {});
`,
    );
    const [, ...words] = RUNTIMES["Bun" in globalThis ? "bun" : "deno"]([file]);
    const { status, stdout, stderr } = spawnSync(process.execPath, words, { encoding: "utf8", env: { ...process.env, NO_COLOR: "1" } });
    assertEquals(status, 0, stderr);
    assert(`${stdout}${stderr}`.split("\n").includes(reason), `${stdout}${stderr}`);
  }),
);
