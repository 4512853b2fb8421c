/** What Prometheus' own checker says of the text. */
import { spawnSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { test } from "node:test";
import { assertEquals } from "@std/assert";
import { inDirectory } from "../../support/directory.ts";
import { programs } from "../../support/programs.ts";
import { everything, everythingElse as state } from "./made.ts";
import { readExposition } from "./reader.ts";

const needed = programs("promtool");

function check(text: string): { status: number | null; said: string } {
  const { status, stdout, stderr } = spawnSync("promtool", ["check", "metrics"], { input: text, encoding: "utf8" });
  return { status, said: stdout + stderr };
}

test("promtool has nothing to say against the text format", needed, () => {
  assertEquals(check(everything().text("text", 1_000_000_000n, state)), { status: 0, said: "" });
});

test("promtool has nothing to say against OpenMetrics, and Prometheus' parser of it takes every line", needed, async () => {
  const open = everything().text("openmetrics", 1_000_000_000n, state);
  // The checker knows only the text format: what is said of counters and of information must have the names of that.
  const types = new Map([...open.matchAll(/^# TYPE (\S+) (\S+)$/gm)].map(([, name, type]) => [name!, type!]));
  const plain = open.replace(/^# (HELP|TYPE|UNIT) (\S+) (.*)$/gm, (_, word, name, rest) => {
    const type = types.get(name);
    const named = `${name}${type === "counter" ? "_total" : type === "info" ? "_info" : ""}`;
    return `# ${word} ${named} ${word === "TYPE" && type === "info" ? "gauge" : rest}`;
  });
  assertEquals(check(plain), { status: 0, said: "" });
  await inDirectory((path) => {
    // It imports what has times.
    writeFileSync(path("metrics"), open.replace(/^[^#\n].*$/gm, (line) => `${line} 1700000000`));
    const imported = spawnSync("promtool", ["tsdb", "create-blocks-from", "openmetrics", path("metrics"), path("blocks")], {
      encoding: "utf8",
    });
    assertEquals([imported.status, imported.stderr], [0, ""]);
    // BLOCK ULID, MIN TIME, MAX TIME, DURATION, NUM SAMPLES, NUM CHUNKS, NUM SERIES, SIZE
    const [, samples, chunks, series] = /(\d+) +(\d+) +(\d+) +\d+\s*$/.exec(imported.stdout) ?? [];
    const count = readExposition(open).length;
    assertEquals([samples, chunks, series].map(Number), [count, count, count], imported.stdout);
  })();
});
