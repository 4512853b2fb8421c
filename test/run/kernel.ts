/**
 * Runs test files of `test/kernel` in one of the kernels that `boot` boots, in both runtimes unless told:
 *
 *   deno task kernel new|old FILE... [--runtime deno|bun] [--filter TEXT]
 */
import { existsSync } from "node:fs";
import { join, relative } from "node:path";
import process from "node:process";
import { parseArgs } from "node:util";
import { BINARY, inKernel, type Kernel, KERNELS } from "./kernels.ts";
import { ROOT, type Runtime, RUNTIMES } from "./project.ts";
import { Report, run, say } from "./suite.ts";

const { values: { runtime, filter }, positionals: [kernel = "", ...files] } = parseArgs({
  allowPositionals: true,
  options: { runtime: { type: "string" }, filter: { type: "string" } },
});

/** The path of a file may be relative to the project, the current directory, or test/kernel. */
function find(name: string): string {
  const called = process.env.INIT_CWD ?? ROOT;
  const path = [join(called, name), join(ROOT, name), join(ROOT, "test/kernel", name)].find((path) => existsSync(path));
  if (path === undefined) throw new Error(`no such file: ${name}`);
  return `./${relative(ROOT, path)}`;
}

if (!(kernel in KERNELS) || files.length === 0 || (runtime !== undefined && !(runtime in RUNTIMES))) {
  say("usage: deno task kernel new|old FILE... [--runtime deno|bun] [--filter TEXT]");
  process.exit(2);
}
const paths = files.map(find);
const report = new Report(true);
const built = await run([process.execPath, "task", "build"]);
if (built.status !== 0) throw new Error(built.output);
const environment = { PSAMPLE_REQUIRE: "1", PSAMPLE_BINARY: BINARY };
for (const name of runtime === undefined ? Object.keys(RUNTIMES) as Runtime[] : [runtime as Runtime]) {
  const words = inKernel(kernel as Kernel, RUNTIMES[name](paths, { filter }));
  await report.suite(`${name}, kernel ${kernel}`, words, { environment, live: true });
}
report.end();
