/** docs/metrics.md describes exactly the metrics that there are. */
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { assertEquals } from "@std/assert";
import { everything, everythingElse } from "./made.ts";

const page = readFileSync(new URL("../../../docs/metrics.md", import.meta.url), "utf8");

test("docs/metrics.md has every metric once, and its queries use no others", () => {
  const text = everything().text("text", 1_000_000_000n, {
    ...everythingElse,
    stats: { ...everythingElse.stats, others: { received: 1, lost: 0, late: 0, duplicates: 0 } },
  });
  const families = [...text.matchAll(/^# TYPE (\S+) /gm)].map(([, name]) => name!);
  const [tables, queries] = page.split("\n## Queries\n") as [string, string];
  const documented = [...tables.matchAll(/^\| `(psample_\w+)` /gm)].map(([, name]) => name!);
  assertEquals(documented.toSorted(), families.toSorted());
  const used = new Set([...queries.matchAll(/psample_\w+/g)].map(([name]) => name.replace(/_bucket$/, "")));
  assertEquals([...used].filter((name) => !families.includes(name)), []);
});
