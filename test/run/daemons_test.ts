/** Foreign daemons take part only in a run that asks for them. */
import { spawnSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { test } from "node:test";
import { assert, assertEquals } from "@std/assert";
import { DAEMONS, UNWANTED } from "./daemons.ts";
import { kernelTests, ROOT, unitTests } from "./project.ts";

const PROGRAMS = join(ROOT, "test/support/programs.ts");
const NEEDS = join(ROOT, "test/kernel/needs.ts");

/** What `expression` is in a process with these variables in the environment: the tests of this one have said already what they skip. */
function inProcess(environment: Record<string, string>, expression: string): unknown {
  const words = "Bun" in globalThis ? ["-e"] : ["eval", "--no-check", "--quiet"];
  const code = `const { programs } = await import(${JSON.stringify(PROGRAMS)});
    const { needs } = await import(${JSON.stringify(NEEDS)});
    console.log(JSON.stringify(${expression}));`;
  const { status, stdout, stderr } = spawnSync(process.execPath, [...words, code], {
    cwd: ROOT,
    encoding: "utf8",
    // Deno adds these to the variables of its own: leaving out one that is set here would not unset it.
    env: { ...process.env, PSAMPLE_DAEMONS: "", PSAMPLE_REQUIRE: "", ...environment, NO_COLOR: "1" },
  });
  assertEquals(status, 0, stderr);
  return JSON.parse(stdout);
}

/** In all of these places. */
const ASKED = '[programs("sh", "nfacctd", "sfcapd").skip, needs("program:nfacctd").skip, programs("sh").skip]';

test("tests of foreign daemons are skipped, with how to run them, also where everything is required", () => {
  const expected = [`skipping what needs nfacctd, sfcapd: ${UNWANTED}`, UNWANTED, false];
  for (const environment of [{}, { PSAMPLE_REQUIRE: "1" }] as Record<string, string>[]) {
    assertEquals(inProcess(environment, ASKED), expected);
  }
  for (const word of ["deno task test --daemons", "PSAMPLE_DAEMONS=1"]) assert(UNWANTED.includes(word));
});

test("in a run that asks for them, a missing one is skipped as any program is, and a failure where everything is required", () => {
  // A PATH where nothing is found but the shell that looks.
  const environment = { PSAMPLE_DAEMONS: "1", PATH: "/bin", XDG_CACHE_HOME: "/nowhere" };
  const asked = 'programs("nfacctd").skip';
  const missing = "skipping what needs nfacctd: it is missing here (deno task tools --daemons may get it)";
  if (!existsSync("/usr/sbin/nfacctd")) assertEquals(inProcess(environment, asked), missing);
  assertEquals(inProcess({ ...environment, PSAMPLE_REQUIRE: "1" }, asked), false);
});

test("every daemon has a test that asks for it", () => {
  const code = [...unitTests(), ...kernelTests()].map((path) => readFileSync(join(ROOT, path), "utf8")).join("\n");
  assertEquals(Object.keys(DAEMONS).filter((name) => !code.includes(`"${name}"`) && !code.includes(`"program:${name}"`)), []);
});
