import { test } from "node:test";
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { kernelTests, quickTests, unitTests } from "./project.ts";
import { count, failures, Report } from "./suite.ts";

const DENO_OUTPUT = `running 2 tests from ./test/a_test.ts
one ... ok (1ms)
two ... FAILED (2ms)

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
