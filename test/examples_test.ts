/** The examples of the library's documentation: there are enough, and those without requirements run in this runtime too. */
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { test } from "node:test";
import { assertEquals } from "@std/assert";
import { ROOT } from "./run/project.ts";
import { examples, withFiles } from "./support/examples.ts";
import { programs } from "./support/programs.ts";
import { publicFace } from "./support/public_face.ts";
import { DENO } from "./support/published.ts";

/** What programs begin with. */
const ENTRIES = [
  "listen",
  "pump",
  "filter",
  "linesTo",
  "recordTo",
  "sflowTo",
  "ipfixTo",
  "metricsTo",
  "otlpTo",
  "injectInto",
  "paced",
  "readRecording",
  "replay",
  "addSampling",
  "listSampling",
  "diagnose",
  "parsePacket",
  "Estimator",
  "decodeMessage",
];

test("each main entry has an example of itself in its own documentation", { ...programs(DENO), timeout: 120_000 }, async () => {
  const symbols = await publicFace();
  const offences = ENTRIES.flatMap((entry) => {
    const tags = symbols.filter(({ name }) => name === entry).flatMap(({ declarations }) => declarations[0]!.jsDoc?.tags ?? []);
    const code = tags.filter(({ kind }) => kind === "example").flatMap(({ doc = "" }) => [...doc.matchAll(/^```ts\b(.*?)^```$/gms)]);
    return code.some(([, text]) => new RegExp(`\\b${entry}\\(`).test(text!)) ? [] : [`${entry} has no @example that calls ${entry}()`];
  });
  assertEquals(offences, []);
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
