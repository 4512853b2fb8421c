/**
 * The options of a command: one table that gives the parser their names, the compiler their types, and the help its text.
 */
import { ArgumentError } from "../mod.ts";
import { LONGEST_TIMER_MS } from "../src/stream/clock.ts";
import { shellWord } from "../src/wire/text.ts";
import { nearest } from "./words.ts";

/** What an error is about, for code that knows in which line of a file it is. */
export interface Subject {
  /** The options, by their names in camel case: the one that is wrong before those that it does not go with. */
  readonly keys: readonly string[];
  /** The value of the first one that is wrong, if it has several. */
  readonly value?: string;
}

/** A usage error: exit status 2. */
export class UsageError extends Error {
  override readonly name = "UsageError";
  /** What it is about, unless that is not known, or no option. */
  readonly about: Subject | undefined;

  constructor(message: string, about?: Subject) {
    super(message);
    this.about = about;
  }
}

/** Does something whose usage errors are about this, unless they are about something more exact. */
export function concerning<Result>(what: Subject, work: () => Result): Result {
  try {
    return work();
  } catch (error) {
    if (error instanceof UsageError && error.about === undefined) throw new UsageError(error.message, what);
    throw error;
  }
}

/** Why something is refused as a usage error; `undefined` if it is not. */
export function refusal(work: () => void): string | undefined {
  try {
    work();
    return undefined;
  } catch (error) {
    if (error instanceof UsageError) return error.message;
    throw error;
  }
}

/** What is there now, and a shell may offer for a value. */
export type Thing = "device" | "group" | "namespace" | "file" | "user" | "host";

/** What a shell offers for a value, or for an argument. */
export interface Offers {
  /** These words; one that ends with a colon is the beginning of a value. Defaults to none. */
  readonly words?: readonly string[];
  /** These things. Defaults to none. */
  readonly things?: readonly Thing[];
  /** Whether a value is a list of them, with commas between. Defaults to false. */
  readonly list?: boolean;
}

/** The description of an option. */
export interface About {
  /** The short name, one letter. */
  readonly letter?: string | undefined;
  /** Other letters for the same option, known from tcpdump. */
  readonly otherLetters?: string;
  /** One line for the help: no capital letter, no period. */
  readonly help: string;
  /** The text below that line in the long help: whole sentences. */
  readonly details: string;
  /** Whether a value may have a secret in it, and is in no message. Defaults to false. */
  readonly secret?: boolean;
  /** What a shell offers for its value. Defaults to nothing. */
  readonly offers?: Offers;
}

/** One option of a command; `Value` is what the command gets. */
export interface Option<out Value> extends About {
  /** The name of its value in the help; `undefined` for a switch. */
  readonly value: string | undefined;
  /** Whether it may be given more than once with a value. */
  readonly repeats: boolean;
  /** Its default, as the help describes it. */
  readonly fallback: string | undefined;
  /** What a user who gives this value to a switch, or to a number, may have meant. */
  readonly meant?: (value: string) => string | undefined;
  /**
   * Turns what was typed into the value.
   *
   * @param texts Its values in the order in which they were given; a switch has an empty one for each time.
   * @param name The option's name in messages: `"--group"`.
   * @throws {UsageError} if a value is invalid.
   */
  read(texts: readonly string[], name: string): Value;
}

/** The options of a command by their names in camel case: `allNamespaces` is `--all-namespaces`. */
export type OptionTable = Readonly<Record<string, Option<unknown>>>;

/** The values of a command's options. */
export type Values<Table extends OptionTable> = { readonly [Key in keyof Table]: Table[Key] extends Option<infer Value> ? Value : never };

/** A switch. */
export function flag(about: About & Pick<Option<boolean>, "meant">): Option<boolean> {
  return { ...about, value: undefined, repeats: true, fallback: undefined, read: (texts) => texts.length > 0 };
}

/** A switch whose meaning depends on how often it is given: the value is that number. */
export function repeated(most: number, about: About): Option<number> {
  return {
    ...about,
    value: undefined,
    repeats: true,
    fallback: undefined,
    read: ({ length }, name) => {
      if (length > most) throw new UsageError(`${name} was given ${length} times, but at most ${most} times make sense`);
      return length;
    },
  };
}

/** The additional description of an option with one value. */
interface Single<Default> extends About {
  /** The name of its value. */
  readonly value: string;
  /** Its value if it is not given. */
  readonly default?: Default;
  /** The default in words. Defaults to the value itself. */
  readonly fallback?: string;
}

function single<Value, Default>(about: Single<Default>, parse: (text: string, name: string) => Value): Option<Value | Default> {
  const { default: value, fallback = value === undefined ? undefined : `${value}` } = about;
  return {
    ...about,
    repeats: false,
    fallback,
    read: (texts, name) => texts.length > 0 ? parse(texts[0]!, name) : value as Default,
  };
}

/** The limits of a number. */
interface Range {
  /** Defaults to 0. */
  readonly least?: number;
  /** Defaults to the largest u32. */
  readonly most?: number;
}

/** A whole number. */
export function number<Default extends number | undefined = undefined>(
  about: Single<Default> & Range & Pick<Option<number>, "meant">,
): Option<number | Default> {
  return single(about, (text, name) => {
    const meant = about.meant?.(text);
    if (meant !== undefined) throw new UsageError(`${name} is ${JSON.stringify(text)}, which is not a number: ${meant}`);
    return wholeNumber(text, name, about.most, about.least);
  });
}

/** Several whole numbers, one for each time that the option is given. */
export function numbers(about: About & Range & { readonly value: string }): Option<readonly number[] | undefined> {
  return several(about, (texts, name) => texts.map((text) => wholeNumber(text, name, about.most, about.least)));
}

/** Some text. */
export function text<Default extends string | undefined = undefined>(about: Single<Default>): Option<string | Default> {
  return single(about, (text) => text);
}

/** Several texts, one for each time that the option is given. */
export function texts(about: About & { readonly value: string }): Option<readonly string[] | undefined> {
  return several(about, (texts) => texts);
}

/** A file to write to; `-` is standard output, however it is spelled. */
export function outputFile(about: Omit<Single<undefined>, "value">): Option<string | undefined> {
  return single<string, undefined>({ ...about, value: "FILE", offers: { things: ["file"] } }, (text) => streamName(text, 1));
}

/** One of several words. */
export function choice<Word extends string, Default extends Word | undefined = undefined>(
  words: readonly Word[],
  about: Single<Default>,
): Option<Word | Default> {
  return single({ offers: { words }, ...about }, (text, name) => {
    const word = words.find((word) => word === text);
    if (word === undefined) throw wrongValue(name, text, `${words.slice(0, -1).join(", ")} or ${words.at(-1)}`);
    return word;
  });
}

/** As in GNU coreutils (its manual, "Block size") and tcpdump(1) -C: a letter alone is a power of 1024, with B one of 1000. */
const UNITS: Readonly<Record<string, number>> = {
  b: 1,
  kb: 1e3,
  mb: 1e6,
  gb: 1e9,
  k: 2 ** 10,
  m: 2 ** 20,
  g: 2 ** 30,
  kib: 2 ** 10,
  mib: 2 ** 20,
  gib: 2 ** 30,
};
/** What help says about them. */
export const SIZE_UNITS = "KB, MB and GB are powers of 1000; K, M and G, or KiB, MiB and GiB, are powers of 1024.";

/** The bytes of a size such as `100MB` or `128M`; `undefined` if the text is not one. */
export function bytesOf(text: string): number | undefined {
  const [, number, unit] = /^(\d+(?:\.\d+)?)(b|[kmg](?:i?b)?)$/i.exec(text) ?? [];
  return number === undefined ? undefined : Math.floor(Number(number) * UNITS[unit!.toLowerCase()]!);
}

/** A size in bytes: a whole number, or one such as `4MB` or `4M`. */
export function size<Default extends number | undefined = undefined>(about: Single<Default> & Range): Option<number | Default> {
  const { least = 0, most = 0xffffffff } = about;
  return single(about, (text, name) => {
    const bytes = bytesOf(text) ?? (/^(0x[0-9a-fA-F]+|\d+)$/.test(text) ? Number(text) : NaN);
    if (!(bytes >= least && bytes <= most)) {
      throw wrongValue(name, text, `a number of bytes from ${least} to ${most}, or a size such as 4MB`);
    }
    return bytes;
  });
}

/** Has the library check a value, which is shown as `text`. What it refuses is a usage error that names the option. */
export function asUsage<Result>(option: string, text: string, parse: () => Result): Result {
  try {
    return parse();
  } catch (error) {
    if (error instanceof ArgumentError) throw new UsageError(`${option} is ${JSON.stringify(text)}: ${error.why}`);
    throw error;
  }
}

/** A span of time, in milliseconds. */
export function duration<Default extends number | undefined = undefined>(about: Single<Default>): Option<number | Default> {
  return single(about, milliseconds);
}

/** A value with its own parser. */
export function value<Value>(about: Single<undefined>, parse: (text: string, name: string) => Value): Option<Value | undefined> {
  return single<Value, undefined>(about, parse);
}

/** One value made from all values that the option was given. */
export function several<Value>(
  about: About & { readonly value: string },
  parse: (texts: readonly string[], name: string) => Value,
): Option<Value | undefined> {
  return { ...about, repeats: true, fallback: undefined, read: (texts, name) => texts.length > 0 ? parse(texts, name) : undefined };
}

/** What a shell offers for devices to sample. */
export const DEVICES: Offers = { words: ["any"], things: ["device"] };

/** The network namespace that a command works in: the same option for all commands that ask the kernel. */
export const NETNS: Option<string | undefined> = value({
  value: "NAME",
  fallback: "the one it is started in",
  offers: { things: ["namespace"] },
  help: "the network namespace to work in",
  details: "NAME is a name as ip netns lists them, or a path such as /proc/PID/ns/net. Only the sockets to the kernel are opened there: " +
    "files, and the process itself, are not affected. Requires CAP_SYS_ADMIN; with --user it is entered before privileges are dropped. " +
    "Deno also requires permission to read the path: --allow-read=/run/netns.",
}, (text, name) => {
  if (text === "." || text === "..") throw wrongValue(name, text, "a name as ip netns lists them, or a path such as /proc/PID/ns/net");
  return text;
});

/** The option for the network namespace in another command that is recommended. */
export function netnsWords(netns: string | undefined): string {
  return netns === undefined ? "" : ` --netns ${shellWord(netns)}`;
}

/** The error about a value. */
export function wrongValue(name: string, text: string, expected: string): UsageError {
  return new UsageError(`${name} is ${JSON.stringify(text)}: expected ${expected}`);
}

/** A whole number from `least` to `most`, decimal or hexadecimal. */
export function wholeNumber(text: string, name: string, most = 0xffffffff, least = 0): number {
  const value = /^(0x[0-9a-fA-F]+|\d+)$/.test(text) ? Number(text) : NaN;
  if (!(value >= least && value <= most)) throw wrongValue(name, text, `a whole number from ${least} to ${most}`);
  return value;
}

/** A span of time such as `10s`, `500ms`, `2m`, `1h`, in milliseconds. A number alone is seconds. */
export function milliseconds(text: string, name: string): number {
  const match = /^(\d+(?:\.\d+)?)(ms|s|m|h)?$/.exec(text);
  const unit = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 }[match?.[2] ?? "s"]!;
  const ms = match ? Number(match[1]) * unit : NaN;
  if (!(ms > 0 && ms <= LONGEST_TIMER_MS)) throw wrongValue(name, text, "a time such as 10s, 500ms, 2m or 1h, up to 24 days");
  return ms;
}

/** A file given by name: `-` if that is the standard stream with this descriptor. */
export function streamName(file: string, fd: 0 | 1): string {
  const names = [fd === 0 ? "/dev/stdin" : "/dev/stdout", `/dev/fd/${fd}`, `/proc/self/fd/${fd}`];
  return names.includes(file) ? "-" : file;
}

/** The long name of an option, as it is typed: `--all-namespaces`. */
export function longName(key: string): string {
  return `--${key.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;
}

/** The result of {@linkcode parse}. */
export interface Parsed<Table extends OptionTable> {
  /** The value of each option. */
  readonly options: Values<Table>;
  /** The options that were given. */
  readonly given: ReadonlySet<string>;
  /** The arguments that are not options, in their order. */
  readonly words: readonly string[];
  /** What was typed for each option that was given; a switch has an empty text for each time. */
  readonly texts: OptionTexts;
}

/** What was typed for options, by their names in camel case. */
export type OptionTexts = ReadonlyMap<string, readonly string[]>;

/**
 * Parses a command line as getopt_long(3) does, with options and other arguments in any order, but without abbreviations, and never takes
 * an option for a value.
 *
 * @param answers What to answer to an option that the command does not have, by its letter.
 * @throws {UsageError} if an option is unknown, or its value missing, unexpected or wrong.
 */
export function parse<const Table extends OptionTable>(
  args: readonly string[],
  table: Table,
  answers: Readonly<Record<string, string>> = {},
): Parsed<Table> {
  return new Parser(args, table, answers).parse() as Parsed<Table>;
}

/** Whether the argument after this one is the value of an option. */
export function takesNext(arg: string, table: OptionTable): boolean {
  return optionBefore(arg, table) !== undefined;
}

/** The option whose value is the argument after this one. */
export function optionBefore(arg: string, table: OptionTable): Option<unknown> | undefined {
  if (!/^-./.test(arg)) return undefined;
  if (arg.startsWith("--")) return Object.entries(table).find(([key, { value }]) => value !== undefined && longName(key) === arg)?.[1];
  const letters = [...arg.slice(1)];
  const first = letters.findIndex((letter) => byLetter(table, letter)?.[1].value !== undefined);
  return first >= 0 && first === letters.length - 1 ? byLetter(table, letters[first]!)![1] : undefined;
}

function byLetter(table: OptionTable, letter: string): [string, Option<unknown>] | undefined {
  return Object.entries(table).find(([, option]) => option.letter === letter || option.otherLetters?.includes(letter));
}

/**
 * The values of all options of a table, made from what was typed.
 *
 * @throws {UsageError} if a value is wrong.
 */
export function valuesOf<const Table extends OptionTable>(typed: OptionTexts, table: Table): Values<Table> {
  const options: Record<string, unknown> = {};
  for (const [key, option] of Object.entries(table)) {
    const texts = typed.get(key) ?? [];
    const name = longName(key);
    if (texts.length > 1 && !option.repeats) {
      throw new UsageError(`${name} was given ${texts.length} times, but takes one value`, { keys: [key] });
    }
    options[key] = concerning({ keys: [key] }, () => option.read(texts, name));
  }
  return options as Values<Table>;
}

class Parser {
  readonly #args: readonly string[];
  readonly #table: OptionTable;
  readonly #answers: Readonly<Record<string, string>>;
  readonly #texts = new Map<string, string[]>();
  readonly #words: string[] = [];
  #at = 0;

  constructor(args: readonly string[], table: OptionTable, answers: Readonly<Record<string, string>>) {
    this.#args = args;
    this.#table = table;
    this.#answers = answers;
  }

  parse(): Parsed<OptionTable> {
    while (this.#at < this.#args.length) {
      const arg = this.#args[this.#at++]!;
      if (arg === "--") {
        this.#words.push(...this.#args.slice(this.#at));
        break;
      }
      if (arg === "-" || !arg.startsWith("-")) this.#word(arg);
      else if (arg.startsWith("--")) this.#long(arg);
      else this.#short(arg);
    }
    return { options: valuesOf(this.#texts, this.#table), given: new Set(this.#texts.keys()), words: this.#words, texts: this.#texts };
  }

  #word(word: string): void {
    const before = this.#args[this.#at - 2];
    const last = before !== undefined && /^-[^-]/.test(before) ? byLetter(this.#table, before.at(-1)!) : undefined;
    const meant = last?.[1].value === undefined ? last?.[1].meant?.(word) : undefined;
    if (meant) throw new UsageError(`-${before!.at(-1)} takes no value: ${meant}`);
    this.#words.push(word);
  }

  #long(arg: string): void {
    const [, name, value] = /^--([^=]*)(?:=(.*))?$/s.exec(arg)!;
    const entry = Object.entries(this.#table).find(([key]) => longName(key) === `--${name}`);
    if (!entry) throw this.#unknown(`--${name}`);
    const [key, option] = entry;
    if (option.value === undefined) {
      if (value !== undefined) throw takesNone(`--${name}`, value, option);
      this.#give(key, "");
    } else {
      this.#give(key, value ?? this.#next(key, option));
    }
  }

  #short(arg: string): void {
    const letters = [...arg.slice(1)];
    for (let i = 0; i < letters.length; i++) {
      const letter = letters[i]!;
      const entry = byLetter(this.#table, letter);
      if (!entry) {
        const before = i > 0 ? byLetter(this.#table, letters[i - 1]!) : undefined;
        const rest = letters.slice(i).join("");
        if (before && !/^[a-zA-Z]/.test(rest)) throw takesNone(`-${letters[i - 1]}`, rest.replace(/^=/, ""), before[1]);
        throw this.#unknown(`-${letter}`, arg);
      }
      const [key, option] = entry;
      if (option.value === undefined) {
        this.#give(key, "");
        continue;
      }
      const rest = letters.slice(i + 1).join("");
      return this.#give(key, rest === "" ? this.#next(key, option) : rest.replace(/^=/, ""));
    }
  }

  #give(key: string, text: string): void {
    const option = this.#table[key]!;
    if (option.value !== undefined && text === "") {
      throw new UsageError(`${longName(key)} was given an empty value: expected ${option.value}`);
    }
    const texts = this.#texts.get(key);
    if (texts) texts.push(text);
    else this.#texts.set(key, [text]);
  }

  /** The value in the next argument, which is not itself an option. */
  #next(key: string, option: Option<unknown>): string {
    const next = this.#args[this.#at++];
    if (next === undefined || /^-[^\d]/.test(next)) throw needsValue(key, option);
    return next;
  }

  #unknown(name: string, arg = name): UsageError {
    const names = Object.keys(this.#table).map(longName);
    const where = arg === name ? "" : ` in ${arg}`;
    // A long name with only one dash.
    const long = names.find((known) => known === `-${arg.replace(/=.*/s, "")}`);
    if (long) return new UsageError(`unknown option ${arg}: did you mean ${long}?`);
    const answer = name.startsWith("--") ? undefined : this.#answers[name.slice(1)];
    if (answer) return new UsageError(`unknown option ${name}${where}: ${answer}`);
    // Without the dashes, which all of them have.
    const near = name.length > 3 ? nearest(name.slice(2), names.map((name) => name.slice(2))) : undefined;
    return new UsageError(`unknown option ${name}${where}${near ? `; the nearest is --${near}` : ""}`);
  }
}

function needsValue(key: string, { value }: Option<unknown>): UsageError {
  return new UsageError(`${longName(key)} needs a value: ${longName(key)} ${value}`);
}

function takesNone(name: string, value: string, option: Option<unknown>): UsageError {
  const meant = option.meant?.(value);
  return new UsageError(`${name} takes no value, but ${JSON.stringify(value)} was given${meant ? `: ${meant}` : ""}`);
}
