/**
 * Runs the tests in both runtimes, on this machine and in kernels that it boots, and ends with what could not be tested and one
 * line that counts: `deno task test`.
 *
 *   --kernels new,old   the kernels, or "none"; defaults to new
 *   --shuffle           the tests of each file in another order
 *   --seed N            the order of an earlier run
 *   --alone             each file of unit tests once more, by itself
 *   --daemons           also the tests that need collectors and databases of other people, which are skipped otherwise
 *
 * Nothing is installed on the machine: what it lacks is unpacked into caches. What cannot be had is skipped with a
 * reason; with PSAMPLE_REQUIRE=1 in the environment that is a failure.
 */
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { cpus } from "node:os";
import process from "node:process";
import { parseArgs } from "node:util";
import { wantDaemons } from "./run/daemons.ts";
import { downloads, installBun, unpackPrograms } from "./run/install.ts";
import { BINARY, downloadOf, inKernel, type Kernel, KERNELS } from "./run/kernels.ts";
import { kernelTests, ROOT, type Runtime, RUNTIMES, type TestOptions, unitTests } from "./run/project.ts";
import { type Count, count, failures, parsed, refuse, Report, run, say } from "./run/suite.ts";

const USAGE = "deno task test [--kernels new,old|none] [--shuffle] [--seed N] [--alone] [--daemons]";

const { values } = parsed(() =>
  parseArgs({
    options: {
      kernels: { type: "string", default: "new" },
      shuffle: { type: "boolean" },
      seed: { type: "string" },
      alone: { type: "boolean" },
      daemons: { type: "boolean" },
    },
  }), USAGE);
if (values.daemons) wantDaemons();
const kernels = values.kernels.split(",").filter((name) => name !== "none") as Kernel[];
for (const kernel of kernels) {
  if (!(kernel in KERNELS)) refuse(`--kernels ${kernel}: there are ${Object.keys(KERNELS).join(" and ")}`, USAGE);
}
const options: TestOptions = {
  seed: values.seed !== undefined ? Number(values.seed) : values.shuffle ? Math.floor(Math.random() * 1e9) : undefined,
};
const report = new Report(process.env.PSAMPLE_REQUIRE === "1");
const DENO = process.execPath;
const runtimes: Runtime[] = ["deno"];

/** Does something for each runtime: at once, if there are processors for it. */
async function forRuntimes(work: (runtime: Runtime) => Promise<void>, atOnce = cpus().length > 1): Promise<void> {
  if (atOnce) await Promise.all(runtimes.map(work));
  else for (const runtime of runtimes) await work(runtime);
}

/** Says what is going to happen to this machine, and how long it will take. */
function announce(): void {
  const bootable = process.getuid?.() === 0 ? kernels : [];
  const minutes = 4 + bootable.reduce((sum, kernel) => sum + KERNELS[kernel].minutes, values.alone ? 4 : 0);
  const where = ["on this machine", ...bootable.map((kernel) => `in ${KERNELS[kernel].what}`)].join(" and ");
  say(`The tests run in Deno and Bun, ${where}: about ${minutes} minutes on two processors.`);
  const all = [...downloads(), ...bootable.flatMap(downloadOf)];
  for (const { what, where, megabytes } of all) say(`  downloads ${what}: ${megabytes} MB, into ${where}`);
  say("Nothing is installed on this machine, and its network settings stay as they are.");
  if (options.seed !== undefined) say(`The order is shuffled: --seed ${options.seed} repeats it.`);
  say("");
}

/** Runs each file by itself. */
async function alone(runtime: Runtime): Promise<void> {
  const began = Date.now();
  const sum: Count = { passed: 0, failed: 0, skipped: 0 };
  for (const file of unitTests()) {
    const words = RUNTIMES[runtime]([file]);
    const { status, output } = await run(words);
    const counted = count(output) ?? { passed: 0, failed: 0, skipped: 0 };
    if (status !== 0) {
      counted.failed ||= 1;
      say(`${failures(output).trim()}\n(${words.join(" ")} ended with status ${status})\n`);
    }
    for (const kind of ["passed", "failed", "skipped"] as const) sum[kind] += counted[kind];
  }
  report.add(`${runtime}, each file alone`, sum, began);
}

/** Runs the tests that need psample, each runtime in a kernel that was booted for it. */
async function boot(kernel: Kernel): Promise<void> {
  if (process.getuid?.() !== 0) return report.absent(`kernel ${kernel}`, "booting it requires root");
  const booted = await run(inKernel(kernel, ["true"]));
  if (booted.status !== 0) return report.absent(`kernel ${kernel}`, booted.output.trim());
  await forRuntimes(async (runtime) => {
    const words = inKernel(kernel, RUNTIMES[runtime](kernelTests(), options));
    await report.suite(`${runtime}, kernel ${kernel}`, words, { environment, inKernel: true });
    // The old one has two processors of its own.
  }, kernel === "new" && cpus().length > 1);
}

announce();
/** For the tests in a kernel: what they need has to be there. */
const environment: Record<string, string> = { PSAMPLE_REQUIRE: "1" };
try {
  installBun();
  runtimes.push("bun");
  const built = await run([DENO, "task", "build"]);
  if (built.status === 0) environment.PSAMPLE_BINARY = BINARY;
  else report.absent("the compiled file", built.output.trim());
} catch (error) {
  report.absent("bun", error instanceof Error ? error.message : String(error));
}
if (!unpackPrograms()) say("Some programs cannot be unpacked: the tests that use them are skipped.");

await forRuntimes((runtime) => report.suite(`${runtime}, this machine`, RUNTIMES[runtime](unitTests(), options)));
if (values.alone) await forRuntimes(alone);
// A kernel that has psample, and that we may use.
if (spawnSync(DENO, ["run", "--allow-ffi", "cli/main.ts", "doctor"], { cwd: ROOT }).status === 0) {
  // What tc was unpacked with it cannot find: it looks for its tables in the system's directories only.
  if (!["/etc/iproute2", "/usr/share/iproute2"].some((tables) => existsSync(tables))) {
    report.absent("this kernel", "iproute2 is not installed on this machine");
  } else {
    const words = (runtime: Runtime): string[] => ["unshare", "-n", ...RUNTIMES[runtime](kernelTests(), options)];
    await forRuntimes((runtime) => report.suite(`${runtime}, this kernel`, words(runtime), { environment, inKernel: true }), false);
  }
}
for (const kernel of kernels) await boot(kernel);
report.end();
