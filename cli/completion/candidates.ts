/** What a shell may offer for the word that is being typed: commands, options, their values, and what there is on this machine. */
import { listGroups, listLinks } from "../../mod.ts";
import { NETNS_NAMES } from "../../src/socket/open.ts";
import { printable } from "../../src/wire/text.ts";
import type { Command } from "../command.ts";
import type { Io } from "../io.ts";
import { longName, type Offers, type Option, optionBefore, type OptionTable, type Thing } from "../options.ts";
import { tcOffers } from "../tc/mod.ts";

/** What may stand for the word that is being typed. */
export interface Candidates {
  /** The beginning of the word that stays as it is: `--by=ipsource,`. The words come after it. */
  readonly head: string;
  /** The words, and what each means. */
  readonly rows: readonly (readonly [word: string, about: string])[];
  /** What the shell knows better. */
  readonly things: readonly Thing[];
  /** Whether something comes after a word without a blank: a comma, or more of the value. */
  readonly open: "no" | "list" | "value";
}

/** The world that is asked for what is there now. */
export type CompletionIo = Pick<Io, "openFiles">;

const NOTHING: Candidates = { head: "", rows: [], things: [], open: "no" };
const HELP_WORDS: readonly string[] = ["--help", "-h", "-?"];

/**
 * The candidates for the last of the words after `psample`. All of them, whatever it begins with: shells differ in what they let match.
 *
 * @param unnamed The command that runs without a name.
 */
export async function candidates(
  words: readonly string[],
  unnamed: Command,
  commands: readonly Command[],
  io: CompletionIo,
): Promise<Candidates> {
  const before = words.slice(0, -1);
  const current = words.at(-1) ?? "";
  const [first] = before;
  if (first === undefined && !current.startsWith("-")) {
    return {
      ...NOTHING,
      rows: [...commands.map(({ name, summary }) => [name, summary] as const), ["help", "explain a command or an option"]],
    };
  }
  if (first === "help") return before.length > 1 ? NOTHING : topics([unnamed, ...commands], commands);
  if (first === undefined || first.startsWith("-")) return await new Typed(unnamed, before, io).candidates(current);
  const command = commands.find(({ name }) => name === first);
  if (!command) return NOTHING;
  if (command.name === "tc") return await offered(tcOffers(before.slice(1)), current, "", undefined, io);
  return await new Typed(command, before.slice(1), io).candidates(current);
}

/** As the scripts of the shells read them: the things and what is open, the head, and a line for each word. */
export function candidateLines({ head, rows, things, open }: Candidates): string {
  const marks = [...things, ...open === "no" ? [] : [`open-${open}`]].join(" ");
  return [marks, head, ...rows.map(([word, about]) => `${word}\t${about}`)].map((line) => `${line}\n`).join("");
}

/** What was typed before the word, for one command. */
class Typed {
  readonly #command: Command;
  readonly #io: CompletionIo;
  readonly #given = new Set<string>();
  #operands = 0;
  #optionsEnded = false;
  /** The option that the word is the value of. */
  #option: Option<unknown> | undefined;
  #asksForHelp = false;
  #netns: string | undefined;

  constructor(command: Command, before: readonly string[], io: CompletionIo) {
    this.#command = command;
    this.#io = io;
    for (let i = 0; i < before.length; i++) i += this.#take(before[i]!, before[i + 1]);
  }

  /** Takes a word, and returns how many after it are part of it. */
  #take(word: string, next: string | undefined): number {
    const { options } = this.#command;
    if (this.#optionsEnded || word === "-" || !word.startsWith("-")) {
      this.#operands++;
      return 0;
    }
    if (word === "--") {
      this.#optionsEnded = true;
      return 0;
    }
    for (const key of keysIn(word, options)) this.#given.add(key);
    const option = optionBefore(word, options);
    if (next === undefined) {
      this.#option = option;
      this.#asksForHelp = HELP_WORDS.includes(word);
    }
    const [isNetns, netns = next] = /^--netns(?:=(.*))?$/s.exec(word) ?? [];
    if (isNetns && netns) this.#netns = netns;
    return option ? 1 : 0;
  }

  async candidates(current: string): Promise<Candidates> {
    if (this.#option) return await this.#values(this.#option, current, "");
    if (this.#asksForHelp) return topics([this.#command], []);
    const { options, operands } = this.#command;
    if (!this.#optionsEnded && current.startsWith("-")) {
      const [, name, text] = /^(--[^=]+)=(.*)$/s.exec(current) ?? [];
      if (name === undefined) return this.#options();
      const option = optionBefore(name, options);
      return option ? await this.#values(option, text!, `${name}=`) : NOTHING;
    }
    if (operands && this.#operands < operands.most) return await offered(operands.offers, current, "", this.#netns, this.#io);
    return this.#optionsEnded ? NOTHING : this.#options();
  }

  async #values({ offers }: Option<unknown>, text: string, head: string): Promise<Candidates> {
    return await offered(offers, text, head, this.#netns, this.#io);
  }

  #options(): Candidates {
    const { options, name } = this.#command;
    const left = Object.entries(options).filter(([key, { repeats }]) => repeats || !this.#given.has(key));
    const rows = left.map(([key, { help }]) => [longName(key), help] as const);
    const version = name === "" && this.#given.size === 0 ? [["--version", "print the version"] as const] : [];
    return { ...NOTHING, rows: [...rows, ["--help", "list the options, or explain one"], ...version] };
  }
}

/** The options that a word gives. */
function keysIn(word: string, options: OptionTable): string[] {
  if (word.startsWith("--")) return Object.keys(options).filter((key) => longName(key) === word.replace(/=.*$/s, ""));
  const letters = word.slice(1);
  return Object.entries(options).filter(([, { letter }]) => letter !== undefined && letters.includes(letter)).map(([key]) => key);
}

/** What the help explains: options of these commands, and other commands. */
function topics(withOptions: readonly Command[], others: readonly Command[]): Candidates {
  const rows = new Map(others.map(({ name, summary }) => [name, summary]));
  for (const { options } of withOptions) {
    for (const [key, { help }] of Object.entries(options)) {
      const name = longName(key).slice(2);
      if (!rows.has(name)) rows.set(name, help);
    }
  }
  return { ...NOTHING, rows: [...rows] };
}

/** Candidates for a value of which `text` is typed. */
async function offered(
  { words = [], things = [], list = false }: Offers = {},
  text: string,
  head: string,
  netns: string | undefined,
  io: CompletionIo,
): Promise<Candidates> {
  const typed = list ? text.slice(0, text.lastIndexOf(",") + 1) : "";
  const has = new Set(typed.split(","));
  const rows: (readonly [string, string])[] = words.map((word) => [word, ""]);
  if (things.includes("device")) rows.push(...await devices(netns));
  if (things.includes("group")) rows.push(...await groups(netns));
  const isPath = things.includes("namespace") && text.includes("/");
  if (things.includes("namespace") && !isPath) rows.push(...await namespaces(io));
  const open = list ? "list" : words.some((word) => word.endsWith(":")) ? "value" : "no";
  const left = things.filter((thing) => thing === "file" || thing === "user" || thing === "host");
  return { head: head + typed, rows: rows.filter(([word]) => !has.has(word)), things: isPath ? ["file"] : left, open };
}

/** What may be typed as it is: anybody may choose the name of a device. */
function isPlain(name: string): boolean {
  return name !== "" && printable(name) === name;
}

/** The devices; none if the kernel does not list them. */
async function devices(netns: string | undefined): Promise<[string, string][]> {
  return await orNone(async () => {
    const links = [...(await listLinks({ netns })).links()];
    return links.map(({ name, up }): [string, string] => [name ?? "", up ? "up" : "down"]).filter(([name]) => isPlain(name));
  });
}

/** The groups that are in use. */
async function groups(netns: string | undefined): Promise<[string, string][]> {
  return await orNone(async () => {
    return (await listGroups({ netns })).map(({ group, refcount }): [string, string] => [`${group}`, `used by ${refcount}`]);
  });
}

/** The network namespaces that have a name. */
async function namespaces(io: CompletionIo): Promise<[string, string][]> {
  return await orNone(async () => {
    const names = (await io.openFiles([])).namesBeside(`${NETNS_NAMES}/`);
    return names.filter((name) => name !== "." && name !== ".." && isPlain(name)).map((name): [string, string] => [name, ""]);
  });
}

/** What there is; nothing if the module, the right or a permission is missing: a shell that is being typed in wants no errors. */
async function orNone<Item>(ask: () => Promise<Item[]>): Promise<Item[]> {
  try {
    return await ask();
  } catch {
    return [];
  }
}
