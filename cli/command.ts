import type { Io } from "./io.ts";
import { type Option, optionHelp, wrap } from "./args.ts";

/** One command of `psample`. */
export interface Command {
  /** How it is called: `"read"`. */
  readonly name: string;
  /** One line for the list of commands. */
  readonly summary: string;
  /** What comes behind the name in the line that shows its use. */
  readonly usage: string;
  /** What the help says above the options. */
  readonly about: string;
  /** Lines to type, each with what it does. */
  readonly examples: readonly (readonly [string, string])[];
  /** Its options. */
  readonly options: readonly Option[];
  /** Does it; resolves to the exit status. */
  run(args: readonly string[], io: Io): Promise<number>;
}

/** The help of a command, for a terminal of 80 columns. */
export function commandHelp(command: Command): string {
  const options = command.options.length > 0 ? `\nOptions:\n${optionHelp(command.options)}` : "";
  const examples = command.examples.map(([line, what]) => `  ${line}\n${what ? wrap(what, 6) : ""}`).join("");
  return `Usage: psample ${command.usage}\n\n${wrap(command.about)}${options}\nExamples:\n${examples}`;
}
