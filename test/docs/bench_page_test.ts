/** BENCH.md agrees with the bench about its targets, prints in bold what is within them, and README.md summarises it. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { assert, assertEquals } from "@std/assert";
import { cleanUp, RUNTIME } from "../bench/process.ts";
import { ROWS } from "../bench/rows.ts";
import { ROOT } from "../run/project.ts";

// The bench makes a directory for its programs when it is loaded.
cleanUp();

const read = (path: string): string => readFileSync(join(ROOT, path), "utf8");

type Runtime = "Deno" | "Bun";

/** A row of a table of BENCH.md. */
interface Line {
  readonly work: string;
  readonly most: Readonly<Record<Runtime, number>>;
  readonly cells: Readonly<Record<Runtime, string>>;
}

/** The target in a cell, which may be one for each runtime: `1.0 Deno, 1.1 Bun`. */
function target(text: string, runtime: Runtime): number {
  return parseFloat(new RegExp(`([\\d.]+)[ %]*${runtime}`).exec(text)?.[1] ?? text);
}

/** The rows of all tables with a column of targets. */
function lines(page: string): Line[] {
  const tables = page.matchAll(/^\| work [^\n]*\| at most [^\n]*\|\n\| -[^\n]*\n((?:\|[^\n]*\n)+)/gm);
  return [...tables].flatMap(([, rows]) =>
    rows!.trimEnd().split("\n").map((row) => {
      const cells = row.split("|").slice(1, -1).map((cell) => cell.trim());
      const [most, deno, bun] = cells.slice(-3);
      return {
        work: cells[0]!,
        most: { Deno: target(most!, "Deno"), Bun: target(most!, "Bun") },
        cells: { Deno: deno!, Bun: bun! },
      };
    })
  );
}

const LINES = lines(read("BENCH.md"));
const RUNTIMES: readonly Runtime[] = ["Deno", "Bun"];

/** The figure in a cell. */
const figure = (cell: string): number => parseFloat(cell.replaceAll("**", ""));

test("figures of BENCH.md are bold if, and only if, they are within their target", () => {
  assert(LINES.length > 60, `${LINES.length}`);
  const wrong = LINES.flatMap(({ work, most, cells }) =>
    RUNTIMES.filter((runtime) => cells[runtime] !== "" && cells[runtime].startsWith("**") !== figure(cells[runtime]) <= most[runtime])
      .map((runtime) => `${work}: ${cells[runtime]} on ${runtime}, at most ${most[runtime]}`)
  );
  assertEquals(wrong, []);
});

test("the targets of uniform messages in BENCH.md are those of the bench", () => {
  const runtime = RUNTIME === "deno" ? "Deno" : "Bun";
  const targets = new Map(
    ROWS.flatMap(({ work, figures }) =>
      figures.map(({ label, target }) => [label === undefined ? work : `${work}: ${label}`, target] as const)
    ),
  );
  const [, uniform] = /^## Uniform messages\n(.*?)^## /ms.exec(read("BENCH.md"))!;
  const shown = lines(uniform!).filter(({ work }) => targets.get(work) !== undefined);
  assert(shown.length >= 15, `${shown.length}: ${shown.map(({ work }) => work).join(", ")}`);
  assertEquals(shown.map(({ work, most }) => [work, most[runtime]]), shown.map(({ work }) => [work, targets.get(work)]));
});

test("the ranges of README.md contain what BENCH.md has of them, mixed messages too", () => {
  const sources: Readonly<Record<string, RegExp>> = {
    "decode a sample": /^decode, (borrowed, mixed|reused view)/,
    "receive, samples borrowed (`lentBatches()`)": /^drain(, borrowed, mixed 128 B| a full socket, batches, (128|1500) B)$/,
    "receive, samples given away (`for await`)": /^drain(, given away, | a full socket, for await)/,
  };
  for (const [work, source] of Object.entries(sources)) {
    const row = read("README.md").split("\n").find((line) => line.startsWith(`| ${work} `));
    const cells = row!.split("|").slice(2, 4).map((cell) => cell.trim().split(" - ").map(Number));
    const lines = LINES.filter((line) => source.test(line.work));
    assert(lines.length >= 3, work);
    RUNTIMES.forEach((runtime, i) => {
      const figures = lines.map(({ cells }) => figure(cells[runtime]));
      const [low, high = low] = cells[i]!;
      const shown = [Math.min(...figures), Math.max(...figures)];
      // README rounds to a twentieth.
      assert(
        Math.abs(shown[0]! - low!) < 0.05 && Math.abs(shown[1]! - high!) < 0.05,
        `${work} on ${runtime}: README has ${cells[i]!.join(" - ")}, BENCH.md ${shown.join(" - ")}`,
      );
    });
  }
});
