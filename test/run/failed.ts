/** Which tests failed and why, for the end of a run: what stood above may be thousands of lines away. */
import { fileBegunBy } from "./skipped.ts";

/** A failed test. */
export interface Failed {
  /** Its file, as far as the runner has said. */
  readonly file: string | undefined;
  readonly name: string;
  /** What its error said, without most of the calls that led to it; may be empty. */
  readonly message: string;
}

/** How many lines of an error are kept. */
const MESSAGE_LINES = 40;
/** How many calls are kept of those that led to it: the test is among the first of its own. */
const CALLS = 4;

/** The failed tests in the output of a test runner, each once. */
export function failedTests(output: string): Failed[] {
  const failed: Failed[] = [];
  /** The files of tests in Deno. */
  const files = new Map<string, string | undefined>();
  let file: string | undefined;
  let since: string[] = [];
  for (const line of output.split("\n")) {
    // Bun lists them again at its end.
    if (/^\d+ tests? (?:skipped|failed):$/.test(line)) break;
    const begun = fileBegunBy(line);
    file = begun ?? file;
    const deno = /^(.+?) \.\.\./.exec(line)?.[1];
    if (deno !== undefined) files.set(deno, file);
    const bun = /^\(fail\) (.+?)(?: \[[\d.]+m?s\])?$/.exec(line)?.[1];
    if (bun !== undefined) failed.push({ file, name: bun, message: shortened(since) });
    if (begun !== undefined || bun !== undefined || /^\((?:pass|skip|todo)\) /.test(line)) since = [];
    else since.push(line);
  }
  return [...failed, ...[...gatheredByDeno(output)].map(([name, lines]) => ({ file: files.get(name), name, message: shortened(lines) }))];
}

/** The errors that Deno prints at its end, by the names of the tests. */
function gatheredByDeno(output: string): Map<string, string[]> {
  const errors = new Map<string, string[]>();
  const section = / ERRORS \n([^]*?)\n FAILURES \n/.exec(output)?.[1] ?? "";
  let lines: string[] = [];
  for (const line of section.split("\n")) {
    const name = /^(.+) => \S+:\d+:\d+$/.exec(line)?.[1];
    if (name !== undefined) errors.set(name, lines = []);
    else lines.push(line);
  }
  return errors;
}

function shortened(lines: readonly string[]): string {
  let calls = 0;
  const kept = lines.filter((line) => line.trim() !== "" && (!/^ +at /.test(line) || ++calls <= CALLS));
  const more = kept.length - MESSAGE_LINES;
  return [...kept.slice(0, MESSAGE_LINES), ...more > 0 ? [`... and ${more} more lines`] : []].join("\n");
}
