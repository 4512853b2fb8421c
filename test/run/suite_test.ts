import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import process from "node:process";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { buildWords } from "./build.ts";
import { Pool } from "./pool.ts";
import { failedTests } from "./failed.ts";
import { kernelTests, quickTests, unitTests } from "./project.ts";
import { skippedTests } from "./skipped.ts";
import { count, failures, Report } from "./suite.ts";

const DENO_OUTPUT = `running 2 tests from ./test/a_test.ts
one ... ok (1ms)
two ...'two' has been running for over (1m0s)
 FAILED (1m2s)

 ERRORS 

two => ./test/a_test.ts:5:1
error: AssertionError: Values are not equal.

 FAILURES 

two => ./test/a_test.ts:5:1

FAILED | 7 passed (4 steps) | 1 failed | 3 ignored (12ms)
`;
const BUN_OUTPUT = `bun test v1.4.5 (a7733435c)

test/other_test.ts:
(pass) one [0.10ms]

test/a_test.ts:
(pass) one [0.20ms]
(skip) three
AssertionError: Values are not equal.
      at assertEquals (assert.js:40:9)
(fail) two [0.74ms]

1 tests failed:
(fail) two [0.74ms]

 7 pass
 3 skip
 1 fail
Ran 11 tests across 1 file. [14.00ms]
`;

test("the counts of a test runner are read from its last lines", () => {
  for (const output of [DENO_OUTPUT, BUN_OUTPUT]) assertEquals(count(output), { passed: 7, failed: 1, skipped: 3 });
  assertEquals(count("ok | 3 passed | 0 failed (1s)"), { passed: 3, failed: 0, skipped: 0 });
  assertEquals(count(" 3 pass\n 0 fail\n"), { passed: 3, failed: 0, skipped: 0 });
  assertEquals(count("error: Module not found"), undefined);
});

test("of a failed run, only the failures are shown", () => {
  for (const output of [DENO_OUTPUT, BUN_OUTPUT]) {
    assertStringIncludes(failures(output), "AssertionError: Values are not equal.");
    assert(!/one|other_test/.test(failures(output)), failures(output));
  }
  assertEquals(failures("error: Module not found\n"), "error: Module not found\n");
});

test("every failed test is named at the end of a run, with what its error said", () => {
  const [deno, bun] = [DENO_OUTPUT, BUN_OUTPUT].map(failedTests);
  const two = { file: "test/a_test.ts", name: "two" };
  assertEquals(deno, [{ ...two, message: "error: AssertionError: Values are not equal." }]);
  assertEquals(bun, [{ ...two, message: "AssertionError: Values are not equal.\n      at assertEquals (assert.js:40:9)" }]);
  const long = failedTests(`${"a line\n".repeat(100)}${"    at f (f.ts:1:1)\n".repeat(9)}(fail) three\n`)[0]!;
  assertEquals([long.file, long.message.split("\n").length, long.message.split("\n").at(-1)], [undefined, 41, "... and 64 more lines"]);
  const report = new Report(false);
  report.ranInKernel();
  report.noteFailed("bun, here", bun!);
  assertEquals(report.summary, [
    "FAILED in bun, here: test/a_test.ts: two",
    "  AssertionError: Values are not equal.\n        at assertEquals (assert.js:40:9)",
    "0 passed, 0 failed, 0 skipped",
  ]);
});

test("every test file is of one kind, and the quick ones start no program", () => {
  const quick = quickTests();
  assert(quick.length > unitTests().length / 2);
  assertEquals(quick.filter((path) => !unitTests().includes(path)), []);
  assertEquals(unitTests().filter((path) => kernelTests().includes(path)), []);
  for (const path of ["./test/rules_test.ts", "./test/wire/attr_test.ts", "./test/stream/pump_test.ts"]) assert(quick.includes(path), path);
  // By itself, by a helper, by a thread.
  for (const path of ["./test/readme_test.ts", "./test/format/pcapng_tools_test.ts", "./test/sys/edge_test.ts"]) {
    assert(!quick.includes(path), path);
  }
});

test("a run ends with what was not tested, says so if no real kernel was used, and has the counts in its last line", () => {
  const report = new Report(false);
  report.add("deno, this machine", { passed: 7, failed: 0, skipped: 1 }, Date.now());
  report.absent("kernel new", "Unpacking it\nbooting it requires root");
  const [absent, kernels, last, ...more] = report.summary;
  assertEquals([absent, last, more], ["Not tested: kernel new (booting it requires root)", "7 passed, 0 failed, 2 skipped", []]);
  assertStringIncludes(kernels!, "NO REAL KERNEL WAS TESTED");
  report.ranInKernel();
  assertEquals(report.summary, [absent!, last!]);
});

test("the files of a suite may be divided among several runners: their counts are one, and so are their failures", async () => {
  const report = new Report(false);
  report.ranInKernel();
  const prints = (text: string, status = 0): string[] => ["sh", "-c", 'printf "$0"; exit $1', text, `${status}`];
  const [one, two, crashed] = [prints(" 3 pass\\n 1 skip\\n 0 fail\\n"), prints(" 4 pass\\n 0 fail\\n"), prints("crashed\\n", 1)];
  await report.suite("bun, this machine", [one, two]);
  assertEquals([report.summary, report.failed], [["7 passed, 0 failed, 1 skipped"], false]);
  await report.suite("bun, kernel new", [one, crashed], { pool: new Pool(1) });
  assertEquals([report.summary, report.failed], [["10 passed, 1 failed, 2 skipped"], true]);
});

test("every skipped test is named at the end of a run, with the reason in its file or that of its helper", () => {
  const files: Record<string, string> = {
    "test/a_test.ts": `test("three", { skip: error ? "the program bash is missing" : false }, () => {`,
    "test/kernel/b_test.ts": `scene("four", "linux>=6.11", async () => {\ntest("five", programs("tshark"), () => {`,
    "test/d_test.ts": `const needed = [programs("tshark"), programs("nmap")];\ntest(\`seven \${name}\`, needed[i], () => {`,
    "test/c_test.ts": `const skip = LITTLE ? false : "the bytes are of a little-endian machine";\ntest("six", { skip }, () => {`,
  };
  const told =
    "test/kernel: skipping what needs linux>=6.11: this kernel is 6.1.0\ntest: skipping what needs tshark, tcpdump: missing here\ntest: skipping what needs nmap: missing here\n";
  const expected = [
    "test/a_test.ts: three (the program bash is missing)",
    "test/kernel/b_test.ts: four (it needs linux>=6.11: this kernel is 6.1.0)",
    "test/kernel/b_test.ts: five (it needs tshark, tcpdump: missing here)",
    "test/d_test.ts: seven 7 (it needs tshark, tcpdump or nmap: missing here)",
    "test/c_test.ts: six (the bytes are of a little-endian machine)",
  ];
  const deno = `running 2 tests from ./test/a_test.ts\none ... ok (1ms)\nthree ... ignored (0ms)\n${told}` +
    "running 2 tests from ./test/kernel/b_test.ts\nfour ... ignored (0ms)\nfive ... ignored (0ms)\n" +
    "running 1 test from ./test/d_test.ts\nseven 7 ... ignored (0ms)\n" +
    "running 1 test from ./test/c_test.ts\nsix ... ignored (1ms)\n";
  const bun =
    `\ntest/a_test.ts:\n(pass) one [0.1ms]\n(skip) three\n${told}\ntest/kernel/b_test.ts:\n(skip) four\n(skip) five\n\ntest/d_test.ts:\n(skip) seven 7\n` +
    "\ntest/c_test.ts:\n(skip) six [0.01ms]\n\n4 tests skipped:\n(skip) three\n(skip) four\n(skip) five\n(skip) six\n";
  for (const output of [deno, bun]) {
    const skipped = skippedTests(output, (path) => files[path]!);
    assertEquals(skipped.map(({ file, name, reason }) => `${file}: ${name} (${reason})`), expected);
    const report = new Report(false);
    report.skipped("deno, this machine", skipped);
    report.skipped("bun, this machine", skipped);
    report.ranInKernel();
    assertEquals(report.summary.slice(0, -1), expected.map((test) => `Skipped in deno, this machine and bun, this machine: ${test}`));
  }
});

test("a task that is called wrongly says so in one line, and how to call it", () => {
  for (
    const [script, words, what] of [
      ["kernel.ts", ["new", "nosuch_test.ts"], "There is no test file nosuch_test.ts, neither here nor in test/kernel"],
      ["kernel.ts", ["newer", "groups_test.ts"], "There is no kernel newer"],
      ["kernel.ts", [], "Which kernel?"],
      ["kernel.ts", ["new", "--nosuch"], "Unknown option '--nosuch'"],
      ["../run.ts", ["--nosuch"], "Unknown option '--nosuch'"],
      ["../run.ts", ["--kernels", "newer"], "--kernels newer: there are new and old"],
    ] as const
  ) {
    const command = [process.execPath, ..."Bun" in globalThis ? [] : ["run", "-A", "--no-check"]];
    const path = fileURLToPath(new URL(script, import.meta.url));
    const { status, stdout, stderr } = spawnSync(command[0]!, [...command.slice(1), path, ...words], { encoding: "utf8" });
    const lines = stderr.trimEnd().split("\n");
    assertEquals([status, stdout, lines[0], lines.length], [2, "", what, 2], stderr);
    assertStringIncludes(lines[1]!, "usage: deno task ");
  }
});

test("the compiled file of another machine does not replace that of this one, and a failed compilation replaces none", () => {
  const file = (...more: string[]): string => buildWords(more).filter((word) => word.startsWith("--outfile=")).at(-1)!;
  assertEquals(file(), "--outfile=dist/psample");
  assertEquals(file("--minify"), "--outfile=dist/psample");
  assertEquals(file("--target=bun-linux-arm64"), "--outfile=dist/psample-linux-arm64");
  assertEquals(file("--target", "bun-linux-arm64"), "--outfile=dist/psample-linux-arm64");
  assertEquals(file("--target=bun-linux-arm64", "--outfile=dist/mine"), "--outfile=dist/mine");
  const { tasks } = JSON.parse(readFileSync(new URL("../../deno.json", import.meta.url), "utf8"));
  const [, made, renamed] = /--output (\S+) cli\/main\.ts && mv (\S+) dist\/psample$/.exec(tasks.compile.command)!;
  assertEquals([made, renamed], ["dist/psample.new", "dist/psample.new"]);
});
