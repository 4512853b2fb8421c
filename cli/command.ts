/** A command: its description, and what it does with its checked options. */
import type { Io } from "./io.ts";
import { type Offers, type OptionTable, parse, type Parsed, UsageError } from "./options.ts";
import { TCPDUMP_ANSWERS } from "./words.ts";

/** The description of a command. */
export interface Description {
  /** Its name: `"read"`; empty for the command without a name. */
  readonly name: string;
  /** One line for the list of commands. */
  readonly summary: string;
  /** What follows `psample` in the usage line. */
  readonly usage: string;
  /** The help text above the options. */
  readonly about: string;
  /** Example command lines, each with what it does. */
  readonly examples: readonly (readonly [string, string])[];
  /** Its options. */
  readonly options: OptionTable;
  /** Its arguments that are not options. Defaults to none. */
  readonly operands?: Operands;
}

/** One command of `psample`. */
export interface Command extends Description {
  /** Runs it with the arguments after its name; resolves to the exit status. */
  run(args: readonly string[], io: Io): Promise<number>;
}

/** The arguments that are not options. */
export interface Operands {
  /** What one is called: `"FILE"`. */
  readonly name: string;
  /** Minimum number. */
  readonly least: number;
  /** Maximum number. */
  readonly most: number;
  /** What a shell offers for one. Defaults to nothing. */
  readonly offers?: Offers;
}

/** For {@linkcode command}. */
export interface CommandOf<Table extends OptionTable> extends Description {
  readonly options: Table;
  /** Runs the command. */
  readonly run: (parsed: Parsed<Table>, io: Io) => Promise<number>;
}

/** A command whose options have the types of its table. */
export function command<const Table extends OptionTable>(
  { run, ...description }: CommandOf<Table>,
): Command {
  const { usage, options, operands = { name: "", least: 0, most: 0 } } = description;
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
