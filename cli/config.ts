/**
 * Configuration files: the long options of a command without dashes, one per line. A line means what it would on the command line, and
 * needs no quotes, because no shell reads it: `match tcp port 443`.
 */
import { printable, printableText, shellWord } from "../src/wire/text.ts";
import type { Io } from "./io.ts";
import { longName, type Option, type OptionTable, type OptionTexts, refusal, UsageError } from "./options.ts";
import type { TextFile } from "./text_file.ts";
import { nearest } from "./words.ts";

/** One line that says something. */
interface Entry {
  /** The name of the option in camel case. */
  readonly key: string;
  readonly text: string;
  /** From 1. */
  readonly line: number;
}

/** Bits of a mode: the group, or everybody, may write. */
const GROUP_WRITES = 0o020;
const ALL_WRITE = 0o002;

/** Reads configuration files of a command, again and again. */
export class ConfigReader {
  readonly path: string;
  readonly #io: Io;
  readonly #table: OptionTable;
  readonly #apart: ReadonlyMap<string, string>;
  /** Whether this process was root when it first read the file: it may have become somebody else since, and still has rights of root. */
  #wasRoot = false;

  /** `apart` are the options of the table that a file cannot have, and why. */
  constructor(path: string, table: OptionTable, apart: ReadonlyMap<string, string>, io: Io) {
    this.path = path;
    this.#table = table;
    this.#apart = apart;
    this.#io = io;
  }

  /**
   * Reads the file as it is now.
   *
   * @throws {SystemError} if it cannot be read.
   * @throws {UsageError} if others may have written it, or a line is wrong.
   */
  async read(): Promise<Config> {
    const file = await this.#io.readText(this.path);
    this.#wasRoot ||= file.reader === 0;
    if (this.#wasRoot) refuseOthers(this.path, file);
    return parseConfig(file.text, this.path, this.#table, this.#apart);
  }
}

/** Refuses a file that users other than root can write to: its options take effect with root's privileges. */
function refuseOthers(path: string, { owner, mode }: TextFile): void {
  const name = printableText(path);
  const word = shellWord(path);
  if (owner !== 0) {
    throw new UsageError(`${name} belongs to the user ${owner}, who could control what root does: chown root ${word}`);
  }
  if ((mode & (GROUP_WRITES | ALL_WRITE)) === 0) return;
  const who = (mode & ALL_WRITE) === 0 ? "its group" : "everybody";
  throw new UsageError(`${name} can be written by ${who}, who could control what root does: chmod go-w ${word}`);
}

/** What a configuration file says. */
export class Config {
  readonly #path: string;
  readonly #entries: readonly Entry[];

  constructor(path: string, entries: readonly Entry[]) {
    this.#path = path;
    this.#entries = entries;
  }

  /** What it says for each option, except for those that are given elsewhere. */
  texts(except: ReadonlySet<string>): OptionTexts {
    const texts = new Map<string, string[]>();
    for (const { key, text } of this.#entries) {
      if (except.has(key)) continue;
      const before = texts.get(key);
      if (before) before.push(text);
      else texts.set(key, [text]);
    }
    return texts;
  }

  /**
   * An error about options, with the line of the first of them that the file has; with the file, if none of them was `typed`, which are the
   * options of the command line. Other errors stay as they are.
   */
  locate(error: unknown, typed: ReadonlySet<string>): unknown {
    if (!(error instanceof UsageError)) return error;
    const { keys, value } = error.about ?? { keys: [] };
    const inFile = this.#entries.filter(({ key }) => keys.includes(key) && !typed.has(key));
    const entry = value === undefined
      ? keys.map((wanted) => inFile.find(({ key }) => key === wanted)).find(Boolean)
      // The first one was still right. A device may have a rate behind it.
      : inFile.findLast(({ text }) => text === value || text.startsWith(`${value}:`));
    if (!entry && keys.some((key) => typed.has(key))) return error;
    return new UsageError(`${entry ? placeOf(this.#path, entry.line) : printableText(this.#path)}: ${error.message}`);
  }
}

function placeOf(path: string, line: number): string {
  return `${printableText(path)}, line ${line}`;
}

/**
 * Reads the text of a configuration file. An error in one line does not keep the others from being checked.
 *
 * @throws {UsageError} with the first line that is wrong, and how many others are.
 */
export function parseConfig(text: string, path: string, table: OptionTable, apart: ReadonlyMap<string, string> = new Map()): Config {
  const entries: Entry[] = [];
  const wrong: Wrong[] = [];
  const byKey = new Map<string, Entry[]>();
  const names = new Map(Object.keys(table).map((key) => [longName(key).slice(2), key]));
  text.replace(/^\uFEFF/, "").split(/\r?\n/).forEach((content, i) => {
    const line = i + 1;
    const message = refusal(() => {
      const entry = entryOf(content, line, table, names, apart);
      if (!entry) return;
      const same = byKey.get(entry.key) ?? [];
      checkEntry(entry, same[0], table);
      byKey.set(entry.key, same);
      same.push(entry);
      entries.push(entry);
    });
    if (message !== undefined) wrong.push({ line, message });
  });
  for (const [key, same] of byKey) wrong.push(...conflicts(same, longName(key).slice(2), table[key]!));
  const [first, ...others] = wrong.sort((one, other) => one.line - other.line);
  if (!first) return new Config(path, entries);
  const more = others.length === 0
    ? ""
    : others.length === 1
    ? "\nand another line is wrong"
    : `\nand ${others.length} other lines are wrong`;
  throw new UsageError(`${placeOf(path, first.line)}: ${first.message}${more}`);
}

/** A line that is wrong, and why. */
interface Wrong {
  readonly line: number;
  readonly message: string;
}

/** The lines of an option whose values do not go together with those of earlier lines. */
function conflicts(same: readonly Entry[], name: string, option: Option<unknown>): readonly Wrong[] {
  // All at once first: thousands of devices, one per line, are read at every reload.
  if (same.length < 2 || refusal(() => option.read(same.map(({ text }) => text), name)) === undefined) return [];
  const right: string[] = [];
  return same.flatMap(({ text, line }) => {
    const message = refusal(() => option.read([...right, text], name));
    if (message !== undefined) return [{ line, message }];
    right.push(text);
    return [];
  });
}

/** What a line says; `undefined` for one that says nothing. `names` are the options of the table by their names in a file. */
function entryOf(
  content: string,
  line: number,
  table: OptionTable,
  names: ReadonlyMap<string, string>,
  apart: ReadonlyMap<string, string>,
): Entry | undefined {
  const trimmed = content.trim();
  if (trimmed === "" || trimmed.startsWith("#")) return undefined;
  const [, word, rest] = /^(\S+)\s*(.*)$/s.exec(trimmed)!;
  // What people write who know other files. The name is what is left of it.
  const name = /^-*([^=:]*)/.exec(word!)![1]!;
  if (word !== name && names.has(name)) {
    const value = (word!.slice(word!.indexOf(name) + name.length).replace(/^[=:]/, "") + ` ${rest}`).trim();
    const meant = written(name, shown(value, table[names.get(name)!]!));
    throw new UsageError(`options have no dashes here, and nothing but a blank between name and value: write ${meant}`);
  }
  const key = names.get(word!);
  if (key === undefined) {
    const lettered = /^-[A-Za-z]$/.test(word!) ? [...names].find(([, key]) => table[key]!.letter === word![1]) : undefined;
    if (lettered) {
      const meant = written(lettered[0], shown(rest!, table[lettered[1]]!));
      throw new UsageError(`options have their long names here, without dashes: write ${meant}`);
    }
    if (/^\[.*\]$/.test(trimmed)) {
      throw new UsageError(`${printableText(trimmed)} looks like a section header: the file has no sections, only options, one per line`);
    }
    // A device with its rate.
    if (rest === "" && /^[^\s:]+:\d+$/.test(word!)) {
      throw new UsageError(`unknown option ${printable(word!)}: for a device write ${written("device", word!)}`);
    }
    const near = nearest(name.replaceAll("_", "-").toLowerCase(), [...names.keys()]);
    // What follows an equals sign may be secret.
    throw new UsageError(`unknown option ${printable(word!.replace(/=.*$/s, ""))}${near ? `; the nearest is ${near}` : ""}`);
  }
  if (/^=/.test(rest!)) {
    const meant = written(word!, shown(rest!.slice(1).trim(), table[key]!));
    throw new UsageError(`nothing but a blank comes between name and value: write ${meant}`);
  }
  const why = apart.get(key);
  if (why !== undefined) throw new UsageError(`${word} cannot be in a file: ${why}`);
  return { key, text: valueOf(rest!, word!, table[key]!), line };
}

/** A value for a message. */
function shown(text: string, { secret, value = "" }: Option<unknown>): string {
  return secret ? value : text;
}

function written(name: string, value: string): string {
  return printableText(value === "" ? name : `${name} ${value}`);
}

/** The value in the rest of a line: all of it up to a comment, or what is in quotes. */
function valueOf(rest: string, name: string, option: Option<unknown>): string {
  const quote = rest[0];
  if (quote !== '"' && quote !== "'") return rest.replace(/(^|\s)#.*$/s, "").trim();
  const end = rest.indexOf(quote, 1);
  if (end < 0) throw new UsageError(`the value of ${name} begins with ${quote} and does not end with it`);
  const after = rest.slice(end + 1).trim();
  if (after !== "" && !/^\s+#/.test(rest.slice(end + 1))) {
    throw new UsageError(
      `${
        option.secret ? "something" : JSON.stringify(after)
      } follows the quotes of ${name}: they are around the whole value, and only needed if it contains " #"`,
    );
  }
  return rest.slice(1, end);
}

/** Refuses a value that is invalid, and a second one of an option that takes one; `before` is the first line with that option. */
function checkEntry({ key, text }: Entry, before: Entry | undefined, table: OptionTable): void {
  const option = table[key]!;
  const name = longName(key).slice(2);
  const { value, repeats } = option;
  if (value === undefined && text !== "") {
    const meant = option.meant?.(text) ?? "to turn it off, remove the line, or put # before it";
    throw new UsageError(`${name} takes no value, but ${JSON.stringify(text)} was given: ${meant}`);
  }
  if (value !== undefined && text === "") throw new UsageError(`${name} needs a value: ${name} ${value}`);
  if (before && !repeats) throw new UsageError(`${name} is in line ${before.line} already: it takes one value`);
  option.read([text], name);
}
