/**
 * Runs test files of `test/kernel` in one of the kernels that `boot` boots, in both runtimes unless told:
 *
 *   deno task kernel new|old FILE... [--runtime deno|bun] [--filter TEXT] [--daemons]
 */
import { existsSync } from "node:fs";
import { join, relative } from "node:path";
import process from "node:process";
import { parseArgs } from "node:util";
import { wantDaemons } from "./daemons.ts";
import { unpackPrograms } from "./install.ts";
import { BINARY, inKernel, type Kernel, KERNELS } from "./kernels.ts";
import { ROOT, type Runtime, RUNTIMES } from "./project.ts";
import { parsed, refuse, Report, run, say } from "./suite.ts";

const USAGE = "deno task kernel new|old FILE... [--runtime deno|bun] [--filter TEXT] [--daemons]";

const { values: { runtime, filter, daemons }, positionals: [kernel = "", ...files] } = parsed(() =>
  parseArgs({
    allowPositionals: true,
    options: { runtime: { type: "string" }, filter: { type: "string" }, daemons: { type: "boolean" } },
  }), USAGE);

/** The path of a file may be relative to the project, the current directory, or test/kernel. */
function find(name: string): string {
  const called = process.env.INIT_CWD ?? ROOT;
  const path = [join(called, name), join(ROOT, name), join(ROOT, "test/kernel", name)].find((path) => existsSync(path));
  if (path === undefined) refuse(`There is no test file ${name}, neither here nor in test/kernel`, USAGE);
  return `./${relative(ROOT, path)}`;
}

if (kernel === "") refuse("Which kernel?", USAGE);
if (!(kernel in KERNELS)) refuse(`There is no kernel ${kernel}`, USAGE);
if (runtime !== undefined && !(runtime in RUNTIMES)) refuse(`There is no runtime ${runtime}`, USAGE);
if (files.length === 0) refuse("Which test file?", USAGE);
const paths = files.map(find);
if (daemons) {
  wantDaemons();
  if (!unpackPrograms()) say("Some programs cannot be unpacked: the tests that use them fail.");
}
const report = new Report(true);
say("Compiling the command, and downloading what that needs if this is the first time ...");
const built = await run([process.execPath, "task", "build"]);
if (built.status !== 0) {
  say(`The command cannot be compiled:\n${built.output.trim()}`);
  process.exit(1);
}
const environment = { PSAMPLE_REQUIRE: "1", PSAMPLE_BINARY: BINARY };
for (const name of runtime === undefined ? Object.keys(RUNTIMES) as Runtime[] : [runtime as Runtime]) {
  const words = inKernel(kernel as Kernel, RUNTIMES[name](paths, { filter }));
  await report.suite(`${name}, kernel ${kernel}`, [words], { environment, live: true, inKernel: true });
}
report.end();
