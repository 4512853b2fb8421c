/** Which tests were skipped and why. The runtimes print their names only, so the reasons are taken from the tests themselves. */

/** A skipped test. */
export interface Skipped {
  /** Its file, as far as the runner has said. */
  readonly file: string | undefined;
  readonly name: string;
  readonly reason: string;
}

/** The test file whose tests follow a line of a test runner's output. */
export function fileBegunBy(line: string): string | undefined {
  // Deno, and Bun.
  const begun = /^running \d+ tests? from (\S+)/.exec(line) ?? /^(\S+_test\.ts):$/.exec(line);
  return begun?.[1]?.replace(/^\.\//, "");
}

/** The skipped tests in the output of a test runner, each once. `read` returns the text of a test file. */
export function skippedTests(output: string, read: (path: string) => string): Skipped[] {
  // What helpers say when they skip: `needs` and `programs`.
  const reported = new Map([...output.matchAll(/\bskipping what needs (.+?): (.+)$/gm)].map(([, need, why]) => [need!, why!]));
  const found = new Map<string, Skipped>();
  let file: string | undefined;
  for (const line of output.split("\n")) {
    // Bun lists them again at its end.
    if (/^\d+ tests? skipped:$/.test(line)) break;
    file = fileBegunBy(line) ?? file;
    const name = (/^(.+) \.\.\. ignored\b/.exec(line) ?? /^\(skip\) (.+?)(?: \[[\d.]+m?s\])?$/.exec(line))?.[1];
    if (name === undefined) continue;
    found.set(`${file} ${name}`, { file, name, reason: reasonOf(name, file === undefined ? "" : read(file), reported) });
  }
  return [...found.values()];
}

/** How far from its name a test says what it needs. */
const HEAD = 400;
const STRING = /"((?:[^"\\]|\\.)*)"/g;

function reasonOf(name: string, code: string, reported: ReadonlyMap<string, string>): string {
  const at = code.indexOf(JSON.stringify(name));
  const head = at < 0 ? "" : code.slice(at + name.length + 2, at + name.length + 2 + HEAD).split(/=>|\binDirectory\(/)[0]!;
  const words = strings(head);
  for (const [need, why] of reported) if (need.split(", ").some((one) => words.includes(one))) return `it needs ${need}: ${why}`;
  // Its own reason, or the one that its file has for several tests.
  const own = /\bskip:([^]*)/.exec(head)?.[1];
  const shared = /^const skip =([^;]*);/m.exec(code)?.[1];
  const literal = strings(own ?? shared ?? "").at(-1);
  if (literal !== undefined) return literal;
  const inFile = strings(code);
  const needs = [...reported].filter(([need]) => need.split(", ").some((one) => inFile.includes(one)));
  if (needs.length > 0) {
    const reasons = Map.groupBy(needs, ([, why]) => why);
    return [...reasons].map(([why, all]) => `it needs ${all.map(([need]) => need).join(" or ")}: ${why}`).join("; or ");
  }
  return "its file says why";
}

function strings(code: string): string[] {
  return [...code.matchAll(STRING)].map(([, text]) => text!);
}
