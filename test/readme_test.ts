import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import process from "node:process";
import { test } from "node:test";
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { BUILD } from "./run/build.ts";
import { debName, rpmName, tarballName } from "./run/package.ts";
import { needsKernel, readmeCommands } from "./support/readme.ts";

const ROOT = new URL("..", import.meta.url).pathname;
const read = (path: string): string => readFileSync(ROOT + path, "utf8");
const deno = JSON.parse(read("deno.json"));
/** The one version that CI runs and the README names. */
const DENO = /^npx --yes deno@[\d.]+/m.exec(read(".ci/run"))![0];

test("the first block of the README is the first command, which shows samples without a privilege", () => {
  const [[first, ...more] = []] = readmeCommands();
  assertEquals([first, more], [`${DENO} run --allow-ffi cli/main.ts demo`, []]);
  // This runtime is used instead of the one that npx would download.
  const runtime = "Bun" in globalThis ? [] : ["run", "--no-check", "--allow-ffi"];
  const { status, stdout, stderr } = spawnSync(process.execPath, [...runtime, "cli/main.ts", "demo"], { cwd: ROOT, encoding: "utf8" });
  assertEquals(status, 0, stderr);
  assert(stdout.split("\n").filter((line) => /^\d\d:\d\d:\d\d\.\d{6} \S+ +[<>] /.test(line)).length > 10, stdout);
  assertStringIncludes(stderr, "lost 0");
});

test("the second block of the README is the test command, which is what CI runs", () => {
  const [, [second, ...more] = []] = readmeCommands();
  assertEquals([second, more], [`${DENO} task test`, []]);
  assertStringIncludes(deno.tasks.test.command, "test/run.ts");
  assertStringIncludes(read(".ci/run"), `\n${second}\n`);
});

test("the README's other commands are run by the tests too", () => {
  const others = readmeCommands().slice(2).flat().filter((command) => !needsKernel(command));
  const installs = others.splice(0, 7);
  assertEquals(installs, [
    `apt-get install ./${debName("amd64")}`,
    `dnf install ./${rpmName("x86_64")}`,
    `tar -xzf ${tarballName("x64")}`,
    // test/release/package_test.ts looks what the executables for musl are linked with.
    "apk add libstdc++ libgcc",
    "podman build --file examples/Containerfile --tag psample dist/package",
    `bunx jsr add ${deno.name}`,
    `deno add jsr:${deno.name}`,
  ]);
  assertStringIncludes(read("README.md"), tarballName("x64-musl"));
  assertStringIncludes(read("examples/Containerfile"), installs[4]!);
  assertEquals(others, [`${DENO} task build`, "bun install --frozen-lockfile", BUILD.join(" ")]);
  assertEquals(deno.tasks.build.command, "deno run -A test/run/build.ts");
  // It builds the file that the kernel tests start; that installs first.
  assertStringIncludes(read("test/run.ts"), 'run([DENO, "task", "build"])');
  assertStringIncludes(read("test/run/install.ts"), 'BUN_PROGRAM, "install", "--frozen-lockfile"');
});
