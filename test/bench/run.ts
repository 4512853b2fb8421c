/**
 * This package against C, in one table: `deno run -A test/bench/run.ts` and `bun test/bench/run.ts`.
 *
 * Rounds of C and of ours alternate and what counts is the median of the ratios within a round, because a
 * machine's speed changes from one second to the next; the spread of the rounds is printed beside it.
 *
 *   --quick        some rows, in a few minutes, with more noise
 *   --only TEXT    rows whose name contains TEXT; may be repeated
 *   --list         only the names of the rows
 *   --rounds N     rounds of each row; 7, or 1 with --quick
 *   --samples N    millions of samples for the row about memory; 20, or 0.5 with --quick
 *   --json         as JSON
 */
import { cpus, release } from "node:os";
import process from "node:process";
import { parseArgs } from "node:util";
import { buildPeers, cleanUp, type Results, RUNTIME } from "./process.ts";
import type { Figure, Pair, Row, Size } from "./row.ts";
import { ROWS } from "./rows.ts";
import { median, printRow } from "./table.ts";

/** One line of the table. */
interface Line {
  work: string;
  unit: string;
  /** What it is compared with: C, another program, or this package with less of something. */
  c: number | undefined;
  ours: number;
  /** Median of the ratios of the rounds. */
  ratio: number | undefined;
  /** Spread of the rounds, in the figure that has the target: (largest - smallest) / median. */
  spread: number;
  target: number | undefined;
  met: boolean | undefined;
}

const { values: options } = parseArgs({
  options: {
    quick: { type: "boolean" },
    list: { type: "boolean" },
    only: { type: "string", multiple: true },
    rounds: { type: "string" },
    samples: { type: "string" },
    json: { type: "boolean" },
  },
});

async function measure(row: Row, rounds: number, size: Size): Promise<Line[]> {
  const measured: Pair[][] = [];
  for (let round = 0; round < (row.once ? 1 : rounds); round++) measured.push(await row.measure(size, round % 2 === 0));
  return row.figures.map((figure) => line(row, figure, measured));
}

function line(row: Row, { label, name, target, ratio, unit, factor = 1 }: Figure, measured: readonly Pair[][]): Line {
  const value = (results: Results | undefined): number => (results?.get(name) ?? NaN) * factor;
  // The processes of a round resemble each other, so this is the median of the medians of rounds.
  const middle = (of: (pair: Pair) => number): number[] => measured.map((pairs) => median(pairs.map(of)));
  const peers = middle(({ c }) => value(c));
  const values = middle(({ ours }) => value(ours));
  const compared = ratio ? middle(({ c, ours }) => value(ours) / value(c)) : values;
  const result = median(compared);
  return {
    work: label ? `${row.work}: ${label}` : row.work,
    unit,
    c: Number.isNaN(peers[0]) ? undefined : median(peers),
    ours: median(values),
    ratio: ratio ? result : undefined,
    spread: result === 0 ? 0 : (Math.max(...compared) - Math.min(...compared)) / result,
    target,
    met: target === undefined ? undefined : result <= target,
  };
}

function cells({ work, unit, c, ours, ratio, spread, target, met }: Line): string[] {
  const number = (value: number): string => value.toFixed(value < 10 ? 2 : value < 100 ? 1 : 0);
  return [
    work,
    c === undefined ? "" : `${number(c)} ${unit}`,
    `${number(ours)} ${unit}`,
    ratio === undefined ? "" : ratio.toFixed(2),
    `${Math.round(spread * 100)} %`,
    target === undefined ? "" : ratio === undefined ? `${target} ${unit}` : target.toFixed(2),
    met === undefined ? "" : met ? "yes" : "NO",
  ];
}

const HEAD = ["work", "peer", `ours (${RUNTIME})`, "ratio", "spread", "target", "met"];
const WIDTHS = [50, 12, 18, 6, 7, 18, 4];

function print(row: readonly string[]): void {
  printRow(...row.map((cell, i) => cell.padEnd(WIDTHS[i]!)));
}

const quick = options.quick ?? false;
const rounds = Number(options.rounds ?? (quick ? 1 : 7));
const size: Size = { scale: quick ? 0.25 : 1, memory: Number(options.samples ?? (quick ? 0.5 : 20)) * 1e6 };
const only = options.only;
const rows = ROWS.filter(({ work, quick: isQuick }) => only ? only.some((text) => work.includes(text)) : !quick || isQuick);
if (options.list) {
  process.stdout.write(rows.map(({ work }) => `${work}\n`).join(""));
  process.exit();
}
const lines: Line[] = [];
try {
  await buildPeers();
  for (const { prepare } of rows) await prepare?.();
  if (!options.json) {
    process.stdout.write(`${RUNTIME} ${process.versions[RUNTIME]}, Linux ${release()}, ${cpus().length} x ${cpus()[0]?.model ?? "?"}, `);
    process.stdout.write(`${rounds} rounds; CPU time of the whole process for one sample\n\n`);
    print(HEAD);
    print(WIDTHS.map((width) => "-".repeat(width)));
  }
  for (const row of rows) {
    for (const line of await measure(row, rounds, size)) {
      lines.push(line);
      if (!options.json) print(cells(line));
    }
  }
  if (options.json) process.stdout.write(`${JSON.stringify(lines, null, 2)}\n`);
} finally {
  cleanUp();
}
