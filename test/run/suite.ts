/** Runs test runners, counts what they count, and shows what failed. */
import { spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { type Failed, failedTests } from "./failed.ts";
import { Pool } from "./pool.ts";
import { ROOT } from "./project.ts";
import { type Skipped, skippedTests } from "./skipped.ts";

/** What a test runner counted. */
export interface Count {
  passed: number;
  failed: number;
  skipped: number;
}

/** How a program ended. */
export interface Ended {
  status: number;
  /** The output on both streams, without colours. */
  output: string;
}

/** Prints a line. */
export function say(line: string): void {
  process.stdout.write(`${line}\n`);
}

/** Ends this process, because it was called wrongly: one line, and how to call it. */
export function refuse(what: string, usage: string): never {
  process.stderr.write(`${what}\nusage: ${usage}\n`);
  process.exit(2);
}

/** What `parse` returns; refuses what it does not understand. */
export function parsed<Result>(parse: () => Result, usage: string): Result {
  try {
    return parse();
  } catch (error) {
    return refuse(error instanceof Error ? error.message.split(". ")[0]! : `${error}`, usage);
  }
}

/** Settings of {@linkcode run}. */
export interface RunOptions {
  /** Variables besides those of this process. */
  environment?: Record<string, string> | undefined;
  /** Called with its output as it is printed. */
  hear?: ((chunk: string) => void) | undefined;
}

/** Runs a program in the project to its end. */
export function run(words: readonly string[], { environment = {}, hear = () => {} }: RunOptions = {}): Promise<Ended> {
  return new Promise((resolve) => {
    const env = { ...process.env, NO_COLOR: "1", ...environment };
    const child = spawn(words[0]!, words.slice(1), { cwd: ROOT, env, stdio: ["ignore", "pipe", "pipe"] });
    let output = "";
    const take = (chunk: string): void => {
      output += chunk;
      hear(chunk);
    };
    child.stdout.setEncoding("utf8").on("data", take);
    child.stderr.setEncoding("utf8").on("data", take);
    child.on("error", (error) => resolve({ status: 127, output: `${output}${error.message}\n` }));
    child.on("close", (status) => resolve({ status: status ?? 128, output }));
  });
}

/** How often a silent suite reports its progress. */
const PROGRESS_MS = 60_000;
/** A finished test. */
const DONE = /^\((pass|fail|skip)\) | \.\.\. (ok|FAILED|ignored)\b/gm;

/** The counts in the last lines of a test runner's output; `undefined` if there are none. */
export function count(output: string): Count | undefined {
  const deno = [...output.matchAll(/(?:ok|FAILED) \| (\d+) passed.*? \| (\d+) failed(?: \| (\d+) ignored)?/g)].at(-1);
  if (deno) return { passed: Number(deno[1]), failed: Number(deno[2]), skipped: Number(deno[3] ?? 0) };
  const number = (word: string): number | undefined => {
    const match = [...output.matchAll(new RegExp(`^ *(\\d+) ${word}$`, "gm"))].at(-1);
    return match && Number(match[1]);
  };
  const passed = number("pass");
  return passed === undefined ? undefined : { passed, failed: number("fail") ?? 0, skipped: number("skip") ?? 0 };
}

/** The part of an output about failures. Deno prints it at the end, Bun before the line of the failed test. */
export function failures(output: string): string {
  const gathered = output.search(/^ *ERRORS *$/m);
  if (gathered >= 0) return output.slice(gathered);
  return output.replace(/^\((pass|skip|todo)\) .*\n/gm, "").replace(/^\S+_test\.ts:\n\n/gm, "").replace(
    /\n*^\d+ tests skipped:\n+/m,
    "\n\n",
  );
}

/** Settings of a suite. */
export interface SuiteOptions {
  /** Variables besides those of this process. */
  environment?: Record<string, string> | undefined;
  /** Shows all that the test runner prints. */
  live?: boolean | undefined;
  /** Whether it runs in a kernel that has psample. */
  inKernel?: boolean | undefined;
  /** Where its runners wait for their turn. Defaults to none: all run at once. */
  pool?: Pool | undefined;
  /** How many seats of that each of its runners takes. Defaults to 1. */
  seats?: number | undefined;
}

/** The sum of several suites. */
export class Report {
  readonly #total: Count = { passed: 0, failed: 0, skipped: 0 };
  readonly #require: boolean;
  /** The suites that could not be run, and why. */
  readonly #absent: string[] = [];
  /** The failed tests, as lines. */
  readonly #failures: string[] = [];
  /** The skipped tests, and the suites in which they were. */
  readonly #skipped = new Map<string, string[]>();
  #realKernels = 0;

  /** With `require`, what is not available is a failure. */
  constructor(require: boolean) {
    this.#require = require;
  }

  /** Whether something has failed so far. */
  get failed(): boolean {
    return this.#total.failed > 0;
  }

  /** Notes that a suite has run in a kernel that has psample. */
  ranInKernel(): void {
    this.#realKernels++;
  }

  /** Notes the tests that have failed in a suite. */
  noteFailed(suite: string, tests: readonly Failed[]): void {
    for (const { file, name, message } of tests) {
      this.#failures.push(
        `FAILED in ${suite}: ${file === undefined ? "" : `${file}: `}${name}`,
        ...message === "" ? [] : [message.replace(/^/gm, "  ")],
      );
    }
  }

  /** Notes the tests that a suite has skipped. */
  skipped(suite: string, tests: readonly Skipped[]): void {
    for (const { file, name, reason } of tests) {
      const test = `${file === undefined ? "" : `${file}: `}${name} (${reason})`;
      this.#skipped.set(test, [...this.#skipped.get(test) ?? [], suite]);
    }
  }

  /**
   * Runs a suite, whose files may be divided among several runners, and adds its counts; shows everything, or only failures. A runner that
   * fails without a failed test is a failure.
   */
  async suite(
    name: string,
    runners: readonly (readonly string[])[],
    { environment, live = false, inKernel = false, seats = 1, pool = new Pool(runners.length * seats) }: SuiteOptions = {},
  ): Promise<void> {
    const sum: Count = { passed: 0, failed: 0, skipped: 0 };
    let began: number | undefined;
    let heard = "";
    const hear = (chunk: string): void => {
      heard += chunk;
      if (live) process.stdout.write(chunk);
    };
    const progress = live ? undefined : setInterval(() => {
      if (began !== undefined) say(`  ${name}: ${heard.match(DONE)?.length ?? 0} tests so far`);
    }, PROGRESS_MS);
    await Promise.all(runners.map((words) =>
      pool.run(seats, async () => {
        began ??= Date.now();
        const ended = await run(words, { environment, hear });
        const counted = count(ended.output) ?? { passed: 0, failed: 0, skipped: 0 };
        if (counted.passed + counted.failed + counted.skipped === 0 || (ended.status !== 0 && counted.failed === 0)) counted.failed++;
        addTo(sum, counted);
        this.skipped(name, skippedTests(ended.output, (path) => readFileSync(join(ROOT, path), "utf8")));
        this.noteFailed(name, failedTests(ended.output));
        if (counted.failed > 0 && !live) {
          say(`${failures(ended.output).trim()}\n(${words.join(" ")} ended with status ${ended.status})\n`);
        }
      })
    ));
    clearInterval(progress);
    this.add(name, sum, began ?? Date.now());
    if (inKernel && sum.passed > 0) this.#realKernels++;
  }

  /** Adds other counts. */
  add(name: string, counted: Count, began: number): void {
    addTo(this.#total, counted);
    say(`${name}: ${inWords(counted)} in ${Math.round((Date.now() - began) / 1000)} s`);
  }

  /** Counts a suite that cannot be run. */
  absent(name: string, why: string): void {
    this.#total[this.#require ? "failed" : "skipped"]++;
    this.#absent.push(`${name} (${why.split("\n").at(-1)})`);
    say(`${name}: ${this.#require ? "failed" : "skipped"}: ${why}`);
  }

  /** The end of a run: what was not tested and what failed, impossible to overlook, and the sum in the last line. */
  get summary(): string[] {
    const lines = [
      ...[...this.#skipped].map(([test, suites]) => `Skipped in ${suites.join(" and ")}: ${test}`),
      ...this.#absent.map((suite) => `Not tested: ${suite}`),
    ];
    if (this.#realKernels === 0) {
      lines.push(
        "NO REAL KERNEL WAS TESTED: nothing above has sampled a packet. Booting one takes root, and Debian or a system derived from it",
      );
    }
    return [...lines, ...this.#failures, inWords(this.#total)];
  }

  /** Prints the summary, and ends this process. */
  end(): never {
    say(`\n${this.summary.join("\n")}`);
    process.exit(this.failed ? 1 : 0);
  }
}

/** Adds a count to a sum. */
export function addTo(sum: Count, { passed, failed, skipped }: Count): void {
  sum.passed += passed;
  sum.failed += failed;
  sum.skipped += skipped;
}

function inWords({ passed, failed, skipped }: Count): string {
  return `${passed} passed, ${failed} failed, ${skipped} skipped`;
}
