/**
 * What Bun takes from the directory that it starts in, before any code of ours runs: a bunfig.toml there names code
 * that it runs, as root if we run as root. The flags of `deno task build` turn that off in the compiled file, and
 * SECURITY.md has those for `bun cli/main.ts`.
 */
import { spawnSync } from "node:child_process";
import { linkSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import process from "node:process";
import { after, before, describe, test } from "node:test";
import { assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { BUILD } from "./run/build.ts";
import { BUN_PROGRAM, ROOT } from "./run/project.ts";
import { programs } from "./support/programs.ts";

const SECURITY = readFileSync(join(ROOT, "SECURITY.md"), "utf8");
const [, ...WORDS] = BUILD;

/** Files that the runtime might look for, each naming `planted.cjs` in its own way. */
const PLANTED: Record<string, string> = {
  "planted.cjs": `globalThis.planted = "yes"; require("node:fs").writeFileSync(__dirname + "/ran", "");\n`,
  ...sameIn(["bunfig.toml", ".bunfig.toml"], `preload = ["./planted.cjs"]\n[run]\npreload = ["./planted.cjs"]\n`),
  ...sameIn([".env", ".env.local", ".env.production", ".env.development", ".env.test"], "PLANTED=yes\n"),
  ...sameIn(
    ["tsconfig.json", "jsconfig.json"],
    JSON.stringify({ compilerOptions: { paths: { "*": ["./planted.cjs"], "@std/text/closest-string": ["./planted.cjs"] } } }),
  ),
  "package.json": JSON.stringify({ main: "./planted.cjs", imports: { "#*": "./planted.cjs" }, browser: { "node:fs": "./planted.cjs" } }),
  ...sameIn(["node_modules/bun/index.js", "node_modules/deno-std/text/closest_string.js"], `require("${"../".repeat(3)}planted.cjs");\n`),
};

function sameIn(names: readonly string[], text: string): Record<string, string> {
  return Object.fromEntries(names.map((name) => [name, text]));
}

describe("planted files", () => {
  let directory: string;
  before(() => {
    // Not in /tmp: the compiled file has 110 MB, and here it can be linked.
    mkdirSync(join(ROOT, "dist"), { recursive: true });
    directory = mkdtempSync(join(ROOT, "dist/test-"));
  });
  after(() => rmSync(directory, { recursive: true, force: true }));

  /** Builds a program as the task does, without the flags that match. */
  function build(entry: string, without = /^$/): string {
    const file = join(mkdtempSync(join(directory, "built-")), "program");
    const words = WORDS.filter((word) => !without.test(word))
      .map((word) => word.startsWith("--outfile=") ? `--outfile=${file}` : word === "cli/main.ts" ? entry : word);
    const { status, stderr } = spawnSync(BUN_PROGRAM, words, { cwd: ROOT, encoding: "utf8" });
    assertEquals(status, 0, stderr);
    return file;
  }

  /**
   * Starts a program where everything is planted: in the current directory, which is the user's home as well, and
   * beside the program if that is `./program`, which is `file`.
   */
  function start(words: readonly string[], environment: Record<string, string> = {}, file?: string): { out: string; ran: boolean } {
    const planted = mkdtempSync(join(directory, "planted-"));
    for (const [name, text] of Object.entries(PLANTED)) {
      mkdirSync(dirname(join(planted, name)), { recursive: true });
      writeFileSync(join(planted, name), text);
    }
    if (file) linkSync(file, join(planted, "program"));
    const { stdout } = spawnSync(words[0]!, words.slice(1), {
      cwd: planted,
      env: { ...process.env, HOME: planted, XDG_CONFIG_HOME: planted, ...environment },
      encoding: "utf8",
    });
    return { out: stdout, ran: readdirSync(planted).includes("ran") };
  }

  const needs = programs(BUN_PROGRAM);

  test("the compiled file runs none of them", needs, () => {
    const { out, ran } = start(["./program", "demo", "--count", "1"], {}, build("cli/main.ts"));
    assertMatch(out, /^group /m);
    assertEquals(ran, false);
  });

  test("that is because of the flags of the build", needs, () => {
    const probe = join(directory, "probe.ts");
    writeFileSync(probe, `console.log(globalThis.planted, process.env.PLANTED);\n`);
    assertEquals(start(["./program"], {}, build(probe)), { out: "undefined undefined\n", ran: false });
    // If this changes, the test above proves nothing.
    assertEquals(start(["./program"], {}, build(probe, /^--no-compile-autoload-/)), { out: "yes yes\n", ran: true });
  });

  test("it obeys the variables that SECURITY.md warns of, and no others that name code", needs, () => {
    const file = build("cli/main.ts");
    const ran = (environment: Record<string, string>, ...args: string[]): boolean => start(["./program", ...args], environment, file).ran;
    assertEquals(ran({ BUN_OPTIONS: "--preload=./planted.cjs" }, "--version"), true);
    assertEquals(ran({ BUN_BE_BUN: "1" }, "./planted.cjs"), true);
    for (const name of ["BUN_OPTIONS", "BUN_BE_BUN"]) assertStringIncludes(SECURITY, `\`${name}\``);
    for (const name of ["NODE_OPTIONS", "BUN_INSPECT_PRELOAD", "BUN_PRELOAD"]) {
      for (const value of ["--require=./planted.cjs", "--import=./planted.cjs", "./planted.cjs"]) {
        assertEquals(ran({ [name]: value }, "--version"), false, `${name}=${value}`);
      }
    }
  });

  test("bun with the flags that SECURITY.md gives runs none of them", needs, () => {
    const [, flags] = /^bun (--\S.*) CLONE\/cli\/main\.ts/m.exec(SECURITY)!;
    const words = flags!.split(" ").map((word) => word.replace("CLONE/", ROOT));
    const main = [join(ROOT, "cli/main.ts"), "--version"];
    const { out, ran } = start([BUN_PROGRAM, ...words, ...main]);
    assertMatch(out, /^psample /);
    assertEquals(ran, false);
    assertEquals(start([BUN_PROGRAM, ...main]).ran, true, "without them it runs them");
  });
});
