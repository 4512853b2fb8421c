import type { Io } from "./io.ts";
import { type Option, optionHelp } from "./args.ts";

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

/** The help of a command. */
export function commandHelp(command: Command): string {
  const width = Math.max(...command.examples.map(([line]) => line.length)) + 2;
  const examples = command.examples.map(([line, what]) => `  ${line.padEnd(width)}${what}\n`).join("");
  const options = command.options.length > 0 ? `\nOptions:\n${optionHelp(command.options)}` : "";
  return `Usage: psample ${command.usage}\n\n${command.about}\n${options}\nExamples:\n${examples}`;
}
