/** What a command is: what it says about itself, and what it does with options that are checked. */
import type { Io } from "./io.ts";
import { type OptionTable, parse, type Parsed, UsageError } from "./options.ts";
import { TCPDUMP_ANSWERS } from "./words.ts";

/** What a command says about itself. */
export interface Description {
  /** How it is called: `"read"`; empty for the command without a name. */
  readonly name: string;
  /** One line for the list of commands. */
  readonly summary: string;
  /** What follows `psample` in the line that shows its use. */
  readonly usage: string;
  /** What the help says above the options. */
  readonly about: string;
  /** Lines to type, each with what it does. */
  readonly examples: readonly (readonly [string, string])[];
  /** Its options. */
  readonly options: OptionTable;
}

/** One command of `psample`. */
export interface Command extends Description {
  /** Runs it with the words behind its name; resolves to the exit status. */
  run(args: readonly string[], io: Io): Promise<number>;
}

/** The words that are no options. */
export interface Operands {
  /** What one of them is called: `"FILE"`. */
  readonly name: string;
  /** How many there are at least. */
  readonly least: number;
  /** How many there are at most. */
  readonly most: number;
}

/** What {@linkcode command} makes a command of. */
export interface CommandOf<Table extends OptionTable> extends Description {
  readonly options: Table;
  /** Defaults to none. */
  readonly operands?: Operands;
  /** Does what it is for. */
  readonly run: (parsed: Parsed<Table>, io: Io) => Promise<number>;
}

/** A command whose options have the types of its table. */
export function command<const Table extends OptionTable>(
  { run, operands = { name: "", least: 0, most: 0 }, ...description }: CommandOf<Table>,
): Command {
  const { usage, options } = description;
  return {
    ...description,
    run: async (args, io) => {
      const parsed = parse(args, options, TCPDUMP_ANSWERS);
      const { words } = parsed;
      if (words.length > operands.most) throw new UsageError(`unexpected argument ${JSON.stringify(words[operands.most])}`);
      if (words.length < operands.least) throw new UsageError(`missing ${operands.name} (usage: psample ${usage})`);
      if (words.includes("")) throw new UsageError(`${operands.name} is empty`);
      return await run(parsed, io);
    },
  };
}
