/**
 * Runs every test in both runtimes, on this machine and in the kernels that `test/kernel/boot` boots, and ends
 * with one line that counts them: `deno task test`.
 *
 * Environment: PSAMPLE_REQUIRE=1 makes a kernel that cannot be booted a failure instead of a skip;
 * PSAMPLE_KERNELS="new old" chooses kernels, none for "".
 */
import { spawn, spawnSync } from "node:child_process";
import { existsSync, readdirSync } from "node:fs";
import { homedir } from "node:os";
import { dirname, join } from "node:path";
import process from "node:process";
import { BUN_PROGRAM as BUN, ROOT } from "./run/bun.ts";
import { installBun } from "./run/install.ts";

const REQUIRE = process.env.PSAMPLE_REQUIRE === "1";
const KERNELS = (process.env.PSAMPLE_KERNELS ?? "new old").split(" ").filter(Boolean);
const DENO = process.execPath;
const BINARY = join(ROOT, "dist/psample");

interface Count {
  passed: number;
  failed: number;
  skipped: number;
}

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}

const total: Count = { passed: 0, failed: 0, skipped: 0 };

/** Runs a program, shows what it prints, and resolves to its status and its output. */
function run(
  command: string,
  args: readonly string[],
  environment: Record<string, string> = {},
): Promise<{ status: number; output: string }> {
  return new Promise((resolve) => {
    const child = spawn(command, args, { cwd: ROOT, env: { ...process.env, ...environment }, stdio: ["ignore", "pipe", "pipe"] });
    let output = "";
    const take = (chunk: Uint8Array): void => {
      output += chunk.toString();
      process.stdout.write(chunk);
    };
    child.stdout.on("data", take);
    child.stderr.on("data", take);
    child.on("error", (error) => resolve({ status: 127, output: `${output}${error.message}\n` }));
    child.on("close", (status) => resolve({ status: status ?? 128, output }));
  });
}

/** What a test runner's last lines count; `undefined` where there are none. */
function count(text: string): Count | undefined {
  // deno-lint-ignore no-control-regex
  const plain = text.replace(/\x1b\[[0-9;]*m/g, "");
  const deno = [...plain.matchAll(/(?:ok|FAILED) \| (\d+) passed.*? \| (\d+) failed(?: \| (\d+) ignored)?/g)].at(-1);
  if (deno) return { passed: Number(deno[1]), failed: Number(deno[2]), skipped: Number(deno[3] ?? 0) };
  const number = (word: string): number | undefined => {
    const match = [...plain.matchAll(new RegExp(`^ *(\\d+) ${word}$`, "gm"))].at(-1);
    return match && Number(match[1]);
  };
  const passed = number("pass");
  return passed === undefined ? undefined : { passed, failed: number("fail") ?? 0, skipped: number("skip") ?? 0 };
}

/** Runs a suite and adds its count; a runner that fails without counting a failure is one. */
async function suite(name: string, command: string, args: readonly string[], environment?: Record<string, string>): Promise<void> {
  say(`\n=== ${name}`);
  const { status, output } = await run(command, args, environment);
  const counted = count(output) ?? { passed: 0, failed: 0, skipped: 0 };
  if (counted.passed + counted.failed === 0 || (status !== 0 && counted.failed === 0)) counted.failed++;
  total.passed += counted.passed;
  total.failed += counted.failed;
  total.skipped += counted.skipped;
  say(`=== ${name}: ${counted.passed} passed, ${counted.failed} failed, ${counted.skipped} skipped (status ${status})`);
}

function absent(name: string, why: string): void {
  if (REQUIRE) total.failed++;
  else total.skipped++;
  say(`\n=== ${name}: ${REQUIRE ? "failed" : "skipped"}: ${why}`);
}

installBun();

/** Every test but those that need a kernel with psample. */
const here = readdirSync(join(ROOT, "test"), { recursive: true, encoding: "utf8" })
  .filter((path) => path.endsWith("_test.ts") && !/^kernel\/|node_modules/.test(path))
  .map((path) => `./test/${path}`)
  .sort();
const denoTest = ["test", "-A", "--no-check", "--quiet"];
await suite("deno, this machine", DENO, [...denoTest, ...here]);
// Bun's own limit is 5 seconds a test: a busy machine is no failure.
const bunTest = ["test", "--timeout", "120000"];
await suite("bun, this machine", BUN, [...bunTest, ...here]);

const compiled = await run(DENO, ["task", "build"]);
if (compiled.status !== 0) absent("the compiled file", "deno task build failed");

const RUNTIMES: readonly (readonly [string, readonly string[]])[] = [
  ["deno", [DENO, ...denoTest, "test/kernel"]],
  ["bun", [BUN, ...bunTest, "./test/kernel/"]],
];
const environment = { PSAMPLE_REQUIRE: "1", PSAMPLE_BINARY: BINARY };

if (spawnSync(DENO, ["run", "--allow-ffi", "cli/main.ts", "doctor"], { cwd: ROOT }).status === 0) {
  for (const [runtime, command] of RUNTIMES) await suite(`${runtime}, this kernel`, "unshare", ["-n", ...command], environment);
}
/** A guest has a /tmp, /var/tmp and /run of its own: what the tests need of the host's is handed in. */
const handedIn = [ROOT, dirname(DENO), process.env.DENO_DIR ?? join(homedir(), ".cache/deno")]
  .filter((path) => /^\/(tmp|var\/tmp|run)\//.test(path) && existsSync(path))
  .flatMap((path) => ["-w", path]);
for (const kernel of KERNELS) {
  if (process.getuid?.() !== 0) {
    absent(`kernel ${kernel}`, "booting it takes root");
    continue;
  }
  const installed = await run("test/kernel/boot", [kernel, "--install"]);
  if (installed.status !== 0) {
    absent(`kernel ${kernel}`, "it cannot be fetched from Debian");
    continue;
  }
  for (const [runtime, command] of RUNTIMES) {
    await suite(`${runtime}, kernel ${kernel}`, "test/kernel/boot", [kernel, "-t", "1800", ...handedIn, "--", ...command], environment);
  }
}

say(`\n${total.passed} passed, ${total.failed} failed, ${total.skipped} skipped`);
process.exit(total.failed > 0 ? 1 : 0);
