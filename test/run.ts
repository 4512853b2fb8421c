/**
 * Runs the tests in both runtimes, on this machine and in kernels that it boots, and ends with what could not be tested, what
 * failed, and one line that counts: `deno task test`.
 *
 *   --kernels new,old   the kernels, or "none"; defaults to new
 *   --divide            in the old kernel, whose processor is emulated, each file in one of the runtimes
 *   --shuffle           the tests of each file in another order
 *   --seed N            the order of an earlier run
 *   --alone             each file of unit tests again, separately
 *   --daemons           also the tests that need collectors and databases of other people, which are skipped otherwise
 *
 * Nothing is installed on the machine: what it lacks is unpacked into caches. What cannot be had is skipped with a
 * reason; with PSAMPLE_REQUIRE=1 in the environment that is a failure.
 */
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { cpus, totalmem } from "node:os";
import process from "node:process";
import { parseArgs } from "node:util";
import { wantDaemons } from "./run/daemons.ts";
import { failedTests } from "./run/failed.ts";
import { downloads, installBun, unpackPrograms } from "./run/install.ts";
import { BINARY, downloadOf, inKernel, type Kernel, KERNELS } from "./run/kernels.ts";
import { Pool, seatsOf, shares } from "./run/pool.ts";
import { kernelTests, ROOT, type Runtime, RUNTIMES, type TestOptions, unitTests } from "./run/project.ts";
import { addTo, type Count, count, failures, parsed, refuse, Report, run, say } from "./run/suite.ts";

const USAGE = "deno task test [--kernels new,old|none] [--divide] [--shuffle] [--seed N] [--alone] [--daemons]";

const { values } = parsed(() =>
  parseArgs({
    options: {
      kernels: { type: "string", default: "new" },
      divide: { type: "boolean", default: false },
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

/** Where runners wait for their turn. */
const pool = new Pool(seatsOf(cpus().length, totalmem()));
/** How many runners divide each runtime's unit tests. */
const UNIT_RUNNERS = 2;

/** Does something for each runtime, at once. */
async function forRuntimes(work: (runtime: Runtime) => Promise<void>): Promise<void> {
  await Promise.all(runtimes.map(work));
}

/** Whether each file runs in only one of the runtimes. */
function isDivided(kernel: Kernel): boolean {
  return values.divide && kernel === "old";
}

/** Says what is going to happen to this machine, and how long it will take. */
function announce(): void {
  const bootable = process.getuid?.() === 0 ? kernels : [];
  const minutes = 4 + bootable.reduce((sum, kernel) => sum + KERNELS[kernel].minutes / (isDivided(kernel) ? 2 : 1), values.alone ? 4 : 0);
  const where = ["on this machine", ...bootable.map((kernel) => `in ${KERNELS[kernel].what}`)].join(" and ");
  say(`The tests run in Deno and Bun, ${where}: about ${minutes} minutes on two processors.`);
  const all = [...downloads(), ...bootable.flatMap(downloadOf)];
  for (const { what, where, megabytes } of all) say(`  downloads ${what}: ${megabytes} MB, into ${where}`);
  say("Nothing is installed on this machine, and its network settings stay as they are.");
  if (options.seed !== undefined) say(`The order is shuffled: --seed ${options.seed} repeats it.`);
  say("");
}

/** Runs each file separately. */
async function alone(runtime: Runtime): Promise<void> {
  let began: number | undefined;
  const sum: Count = { passed: 0, failed: 0, skipped: 0 };
  await Promise.all(
    unitTests().map((file) =>
      pool.run(1, async () => {
        began ??= Date.now();
        const words = RUNTIMES[runtime]([file]);
        const { status, output } = await run(words);
        const counted = count(output) ?? { passed: 0, failed: 0, skipped: 0 };
        if (status !== 0) {
          counted.failed ||= 1;
          report.noteFailed(`${runtime}, alone`, failedTests(output));
          say(`${failures(output).trim()}\n(${words.join(" ")} ended with status ${status})\n`);
        }
        addTo(sum, counted);
      })
    ),
  );
  report.add(`${runtime}, each file alone`, sum, began ?? Date.now());
}

/** Whether a kernel can be booted; if not, that is in the report. */
async function boots(kernel: Kernel): Promise<boolean> {
  const { status, output } = process.getuid?.() === 0
    ? await run(inKernel(kernel, ["true"]))
    : { status: 1, output: "booting it requires root" };
  if (status !== 0) report.absent(`kernel ${kernel}`, output.trim());
  return status === 0;
}

/** Runs the tests that need psample, in guests with a kernel that has it. */
async function inGuests(kernel: Kernel): Promise<void> {
  const { guests, seats } = KERNELS[kernel];
  const files = isDivided(kernel) ? shares(kernelTests(), runtimes.length) : runtimes.map(kernelTests);
  await forRuntimes((runtime) => {
    const runners = shares(files[runtimes.indexOf(runtime)]!, guests).map((files) => inKernel(kernel, RUNTIMES[runtime](files, options)));
    return report.suite(`${runtime}, kernel ${kernel}`, runners, { environment, inKernel: true, pool, seats });
  });
}

/** Runs the tests that need psample in the kernel of this machine, if it has that and we may use it. */
async function here(): Promise<void> {
  if (spawnSync(DENO, ["run", "--allow-ffi", "cli/main.ts", "doctor"], { cwd: ROOT }).status !== 0) return;
  // What tc was unpacked with it cannot find: it looks for its tables in the system's directories only.
  if (!["/etc/iproute2", "/usr/share/iproute2"].some((tables) => existsSync(tables))) {
    return report.absent("this kernel", "iproute2 is not installed on this machine");
  }
  await forRuntimes((runtime) => {
    const words = ["unshare", "-n", ...RUNTIMES[runtime](kernelTests(), options)];
    // Alone: to this kernel everything counts that anybody does on the machine.
    return report.suite(`${runtime}, this kernel`, [words], { environment, inKernel: true, pool, seats: pool.seats });
  });
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

const suites = [forRuntimes((runtime) => {
  const runners = shares(unitTests(), UNIT_RUNNERS).map((files) => RUNTIMES[runtime](files, options));
  return report.suite(`${runtime}, this machine`, runners, { pool });
})];
for (const kernel of kernels) {
  if (await boots(kernel)) suites.push(inGuests(kernel));
}
// Last, because many short runs leave no processor without work at the end.
if (values.alone) suites.push(forRuntimes(alone));
suites.push(here());
await Promise.all(suites);
report.end();
