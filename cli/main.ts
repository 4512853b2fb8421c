/**
 * The command `psample`: prints, records and explains Linux packet samples. Run it with
 * `deno run --allow-ffi jsr:@psample/psample/cli`, or call {@linkcode main} from a program of yours.
 *
 * @module
 */
import process from "node:process";
import { DecodeError, SystemError } from "../mod.ts";
import { table, unknownWord, UsageError } from "./args.ts";
import { capture } from "./commands/capture.ts";
import { cleanup } from "./commands/cleanup.ts";
import { type Command, commandHelp } from "./command.ts";
import { demo } from "./commands/demo.ts";
import { doctor } from "./commands/doctor.ts";
import { type Io, processIo } from "./io.ts";
import { list } from "./commands/list.ts";
import { monitor } from "./commands/monitor.ts";
import { read } from "./commands/read.ts";
import { tc } from "./commands/tc.ts";
import { VERSION } from "./version.ts";

export type { Io, Out, OutFile } from "./io.ts";

const COMMANDS: readonly Command[] = [capture, read, list, doctor, demo, cleanup, tc];

/** The exit statuses: done, a failure, a wrong call. */
const DONE = 0;
const FAILURE = 1;
const USAGE = 2;

/**
 * Runs one command line and resolves to its exit status: 0 done, 1 a failure, 2 a wrong call. It never throws
 * for what a user can do wrong.
 */
export async function main(args: readonly string[], io: Io = processIo()): Promise<number> {
  const command = COMMANDS.find((command) => command.name === args[0]) ?? monitor;
  const rest = command === monitor ? args : args.slice(1);
  try {
    if (args[0] === "help" || rest.some((arg) => arg === "--help" || arg === "-h" || arg === "-?")) {
      await io.print(args[0] === "help" ? help(args[1]) : command === monitor ? overview() : commandHelp(command));
      return DONE;
    }
    if (rest[0] === "--version" || rest[0] === "-V") {
      await io.print(`psample ${VERSION}\n`);
      return DONE;
    }
    if (command === monitor && args[0] !== undefined && /^[a-z]/.test(args[0])) {
      throw new UsageError(unknownWord(args[0], "command", [...COMMANDS.map((command) => command.name), "help"]));
    }
    return await command.run(rest, io);
  } catch (error) {
    if (error instanceof UsageError) {
      io.err(`psample: ${error.message}\nTry: psample ${command.name ? `${command.name} ` : ""}--help\n`);
      return USAGE;
    }
    if (error instanceof SystemError && error.code === "EPIPE") return DONE;
    if (error instanceof SystemError || error instanceof DecodeError) {
      io.err(`psample: ${error.message}\n`);
      return FAILURE;
    }
    // A refused permission, a file that is not there, a full disk: one sentence, no stack.
    if (error instanceof Error && ("code" in error || error.name === "NotCapable" || error.name === "PermissionDenied")) {
      io.err(`psample: ${error.message}\n`);
      return FAILURE;
    }
    throw error;
  }
}

function help(name: string | undefined): string {
  if (name === undefined) return overview();
  const command = COMMANDS.find((command) => command.name === name);
  if (!command) throw new UsageError(unknownWord(name, "command", COMMANDS.map((command) => command.name)));
  return commandHelp(command);
}

function overview(): string {
  const commands = table(COMMANDS.map((command) => [`psample ${command.name}`, command.summary]));
  return `${commandHelp(monitor)}\nCommands (psample COMMAND --help tells more):\n${commands}`;
}

if (import.meta.main) process.exit(await main(process.argv.slice(2)));
