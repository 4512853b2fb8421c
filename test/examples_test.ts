/** The examples of the library's documentation: there are enough, and those without requirements run in this runtime too. */
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { test } from "node:test";
import { assert, assertEquals } from "@std/assert";
import { ROOT } from "./run/project.ts";
import { examples, withFiles } from "./support/examples.ts";

test("each main entry has an example", () => {
  const all = examples().map(({ code }) => code).join("\n");
  for (
    const entry of [
      "listen(",
      "pump(",
      "linesTo(",
      "recordTo(",
      "sflowTo(",
      "ipfixTo(",
      "metricsTo(",
      "otlpTo(",
      "injectInto(",
      "paced(",
      "readRecording(",
      "replay(",
      "addSampling(",
      "listSampling(",
      "diagnose(",
      "parsePacket(",
      "new Estimator(",
      "decodeMessage(",
    ]
  ) {
    assert(all.includes(entry), entry);
  }
});

for (const { name, code } of examples().filter(({ needsKernel }) => !needsKernel)) {
  test(`the example in ${name} runs unchanged`, () => {
    const directory = mkdtempSync(join(tmpdir(), "psample-example-"));
    try {
      const file = join(directory, "example.ts");
      writeFileSync(file, withFiles(code));
      // The command imports @std/text, which deno.json maps.
      const words = "Bun" in globalThis ? [file] : ["run", "--no-check", "-A", "--config", join(ROOT, "deno.json"), file];
      const { status, stdout, stderr } = spawnSync(process.execPath, words, { encoding: "utf8" });
      assertEquals(status, 0, stdout + stderr);
    } finally {
      rmSync(directory, { recursive: true });
    }
  });
}
