/** The command line: words in, checked options out, or a sentence that says what is wrong with them. */
import { parseArgs } from "@std/cli/parse-args";
import { closestString } from "@std/text/closest-string";
import { levenshteinDistance } from "@std/text/levenshtein-distance";

/** The command was called wrongly: exit status 2. */
export class UsageError extends Error {
  override readonly name = "UsageError";
}

/** One option of a command. */
export interface Option {
  /** The long name, without dashes. */
  name: string;
  /** The short name, one letter. */
  letter?: string;
  /** What its value is called in the help; an option without one is a switch. */
  value?: string;
  /** It may be given more than once. */
  repeats?: boolean;
  /** One line for the help. */
  help: string;
}

/** What {@linkcode parseCommand} found. */
export interface Parsed {
  /** Switches that were given. */
  readonly switches: ReadonlySet<string>;
  /** The values of each option that has one, in the order they were given. */
  readonly values: ReadonlyMap<string, readonly string[]>;
  /** Words that are no options. */
  readonly words: readonly string[];
}

/** Splits the words of a command line by the options that its command has. */
export function parseCommand(args: readonly string[], options: readonly Option[]): Parsed {
  const names = new Set(options.map((option) => option.name));
  const withValue = options.filter((option) => option.value !== undefined).map((option) => option.name);
  const words: string[] = [];
  const parsed = parseArgs(joinValues(args, options), {
    boolean: options.filter((option) => option.value === undefined).map((option) => option.name),
    string: withValue,
    collect: withValue,
    alias: Object.fromEntries(options.filter((option) => option.letter).map((option) => [option.letter!, option.name])),
    // Called for words too, then without a key. They are kept here: the parser would make numbers of some, and "--_" its list of them.
    unknown: (arg: string, key?: string): boolean => {
      if (key !== undefined) throw new UsageError(unknownOption(arg, [...names]));
      words.push(arg);
      return false;
    },
  }) as Record<string, unknown> & { _: string[] };
  const switches = new Set<string>();
  const values = new Map<string, string[]>();
  for (const option of options) {
    const given = parsed[option.name];
    if (option.value === undefined) {
      if (given === true) switches.add(option.name);
      continue;
    }
    const list = given as string[];
    if (list.length === 0) continue;
    if (list.includes("")) throw new UsageError(`--${option.name} needs a value: --${option.name} ${option.value}`);
    if (list.length > 1 && !option.repeats) throw new UsageError(`--${option.name} was given ${list.length} times, it takes one value`);
    values.set(option.name, list);
  }
  // What stands behind "--" comes last.
  return { switches, values, words: [...words, ...parsed._] };
}

/** The parser takes "-" behind a long option for a word of its own: join what belongs together. */
function joinValues(args: readonly string[], options: readonly Option[]): string[] {
  const long = new Set(options.filter((option) => option.value !== undefined).map((option) => `--${option.name}`));
  const joined: string[] = [];
  for (let i = 0; i < args.length; i++) {
    if (long.has(args[i]!) && args[i + 1] === "-") joined.push(`${args[i]}=${args[++i]}`);
    else joined.push(args[i]!);
  }
  return joined;
}

function unknownOption(arg: string, names: string[]): string {
  const name = arg.replace(/^-+/, "").replace(/=.*/, "");
  const near = arg.startsWith("--") && name !== "" ? nearest(name, names) : undefined;
  return `unknown option ${arg}${near ? `; the nearest is --${near}` : ""}`;
}

/** The one that is likely to be meant, where there is one. */
function nearest(word: string, known: readonly string[]): string | undefined {
  const near = closestString(word, [...known]);
  return 2 * levenshteinDistance(word, near) <= Math.max(word.length, near.length) ? near : undefined;
}

/** A whole number from 0 to `most`. */
export function wholeNumber(text: string, what: string, most = 0xffffffff, least = 0): number {
  const value = /^(0x[0-9a-fA-F]+|\d+)$/.test(text) ? Number(text) : NaN;
  if (!(value >= least && value <= most)) throw new UsageError(`${what} is "${text}": expected a whole number from ${least} to ${most}`);
  return value;
}

/** A span of time such as `10s`, `500ms`, `2m`, `1h`; a bare number is seconds. In milliseconds. */
export function duration(text: string, what: string): number {
  const match = /^(\d+(?:\.\d+)?)(ms|s|m|h)?$/.exec(text);
  const unit = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 }[match?.[2] ?? "s"]!;
  const ms = match ? Number(match[1]) * unit : NaN;
  // Longer than a timer can be set.
  if (!(ms > 0 && ms <= 0x7fffffff)) {
    throw new UsageError(`${what} is "${text}": expected a time such as 10s, 500ms, 2m or 1h, up to 24 days`);
  }
  return ms;
}

/** A word that a command does not know, and the nearest that it does. */
export function unknownWord(word: string, what: string, known: readonly string[]): string {
  const near = nearest(word, known);
  return `unknown ${what} ${JSON.stringify(word)}${near ? `; the nearest is ${near}` : ""}`;
}

/** The options of a command as lines of its help. */
export function optionHelp(options: readonly Option[]): string {
  const rows = options.map((option) => {
    const value = option.value ? ` ${option.value}` : "";
    return [`${option.letter ? `-${option.letter}, ` : "    "}--${option.name}${value}`, option.help] as const;
  });
  return table(rows);
}

/** Two columns, the second wrapped. */
export function table(rows: readonly (readonly [string, string])[]): string {
  const width = Math.max(...rows.map(([left]) => left.length)) + 4;
  return rows.map(([left, right]) => `  ${left.padEnd(width - 2)}${wrap(right, width).trimStart()}`).join("");
}

const COLUMNS = 79;

/** Text in lines of less than 80 columns, all of them indented. */
export function wrap(text: string, indent = 0): string {
  const margin = " ".repeat(indent);
  const lines: string[] = [];
  let line = margin;
  for (const word of text.split(/\s+/)) {
    if (line !== margin && line.length + 1 + word.length > COLUMNS) {
      lines.push(line);
      line = margin;
    }
    line += line === margin ? word : ` ${word}`;
  }
  return [...lines, line].map((line) => `${line}\n`).join("");
}
