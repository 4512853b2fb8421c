/**
 * The command `psample`: prints, records and explains Linux packet samples. Run it with
 * `deno run --allow-ffi jsr:@psample/psample/cli`, or call {@linkcode main} from a program of yours.
 *
 * @example Ask the command for its version
 * ```ts
 * import { main } from "@psample/psample/cli";
 *
 * const status = await main(["--version"]);
 * if (status !== 0) throw new Error(`psample ended with status ${status}`);
 * ```
 *
 * @module
 */
import { realpathSync } from "node:fs";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { NetlinkError } from "../mod.ts";
import { findOp } from "../src/control/traffic_control.ts";
import { shellWord } from "../src/wire/text.ts";
import type { Command } from "./command.ts";
import { COMMANDS } from "./command_list.ts";
import { candidateLines, candidates } from "./completion/candidates.ts";
import { failureText } from "./failure.ts";
import { commandHelp, optionHelp, table, wrap } from "./help.ts";
import { type Io, processIo } from "./io.ts";
import { isExtcapCall } from "./commands/extcap.ts";
import { monitor } from "./commands/monitor.ts";
import { longName, takesNext, UsageError } from "./options.ts";
import { STATUS } from "./session.ts";
import { tc } from "./commands/tc.ts";
import { VERSION } from "./version.ts";
import { notACommand, unknownWord } from "./words.ts";

export type { RecordingInput } from "../src/receive/recording_input.ts";
export type { Destination } from "../src/sink/destination.ts";
export type { Files, Io, Terminal } from "./io.ts";
export type { TextFile } from "./text_file.ts";
export type { Screen, ScreenEvents } from "./top/terminal.ts";

/** The first word of a question that the scripts of `psample completions` ask. It is for nobody else, and may change at any time. */
const COMPLETE = "__complete";

/**
 * Runs one command line and resolves to its exit status: 0 success, 1 something was not done, 2 usage error, 3 samples were lost and
 * `--fail-on-loss` was given. It never throws because of a mistake of the user.
 *
 * @category Command
 */
export async function main(args: readonly string[], io: Io = processIo()): Promise<number> {
  if (isExtcapCall(args)) return await main(["extcap", ...args], io);
  let command = monitor;
  try {
    if (args[0] === COMPLETE) {
      await io.data(candidateLines(await candidates(args.slice(1), monitor, COMMANDS, io)));
      return STATUS.done;
    }
    command = commandOf(args);
    const rest = command === monitor ? args : args.slice(1);
    refuseValues(command, rest);
    const asked = args[0] === "help" ? { topic: args[1], long: true } : helpAsked(command, rest);
    if (asked) {
      await io.print(help(command, asked.topic, asked.long));
      return STATUS.done;
    }
    if (rest[0] === "--version" || rest[0] === "-V") {
      await io.print(`psample ${VERSION}\n`);
      return STATUS.done;
    }
    return await command.run(rest, io);
  } catch (error) {
    if (error instanceof UsageError) {
      io.err(`psample: ${error.message}\nTry: psample ${command.name ? `${command.name} ` : ""}--help\n`);
      return STATUS.usage;
    }
    // Nobody reads the output any more. This is a SystemError, or the runtime's own error: text goes through process.stdout.
    if (error instanceof Error && "code" in error && error.code === "EPIPE") return STATUS.done;
    const text = failureText(error);
    if (text === undefined) throw error;
    io.err(`psample: ${text}${await fileHint(error, command, args, io)}\n`);
    return STATUS.failure;
  } finally {
    await io.settled();
  }
}

/** The command that the arguments begin with; the one without a name if they begin with an option. */
function commandOf(args: readonly string[]): Command {
  const [first] = args;
  const names = COMMANDS.map(({ name }) => name);
  if (first === undefined || /^-./.test(first)) {
    const at = args.findIndex((arg, i) => names.includes(arg) && !takesNext(args[i - 1] ?? "", monitor.options));
    if (at < 0 || helpAsked(monitor, args)) return monitor;
    throw new UsageError(`the command comes first: psample ${[args[at], ...args.slice(0, at), ...args.slice(at + 1)].join(" ")}`);
  }
  const command = COMMANDS.find(({ name }) => name === first);
  if (command) return command;
  if (first === "help") return monitor;
  throw new UsageError(notACommand(first, [...names, "help"]));
}

/** How the file of a name is read instead of sampling the device of that name, by the name of the command. */
const FILE_WORDS: ReadonlyMap<string, string> = new Map([["top", "top"], ["capture", "read"], ["export", "export --from"]]);

/** If a device was not found and there is a file of that name: how to say that the file is meant. */
async function fileHint(error: unknown, command: Command, words: readonly string[], io: Io): Promise<string> {
  if (!(error instanceof NetlinkError && error.code === "ENODEV")) return "";
  const reads = FILE_WORDS.get(command.name);
  if (reads === undefined) return "";
  const word = words.find((word) => error.op === findOp(word));
  if (word === undefined) return "";
  try {
    (await io.openRecording(word)).close();
  } catch {
    return "";
  }
  return `. There is a file of that name: psample ${reads} ${shellWord(`./${word}`)}`;
}

/** Whether the arguments ask for help, and for which topic. */
function helpAsked(command: Command, args: readonly string[]): { topic: string | undefined; long: boolean } | undefined {
  const own = args.includes("--") ? args.slice(0, args.indexOf("--")) : args;
  const at = own.findIndex((arg) => arg === "--help" || arg === "-h" || arg === "-?");
  // tc's arguments are its own.
  if (at < 0 || command === tc && at > 0) return undefined;
  return { topic: own[at + 1], long: false };
}

/** Refuses a value on `--help` or `--version`: the tables of options do not have them. */
function refuseValues(command: Command, args: readonly string[]): void {
  const own = command === tc ? args.slice(0, 1) : args.includes("--") ? args.slice(0, args.indexOf("--")) : args;
  for (const arg of own) {
    const [, name, value] = /^--(help|version)=(.*)$/s.exec(arg) ?? [];
    if (name === undefined) continue;
    const words = command === monitor ? "psample" : `psample ${command.name}`;
    const one = Object.keys(command.options).length > 0 ? `, ${words} --help OPTION explains one` : "";
    const meant = name === "help" ? `: ${words} --help lists the options${one}` : "";
    throw new UsageError(`--${name} takes no value, but ${JSON.stringify(value)} was given${meant}`);
  }
}

/** The help of a command, or about a topic: a command, or an option. */
function help(command: Command, topic: string | undefined, long: boolean): string {
  if (topic === undefined) return command === monitor ? overview() : commandHelp(command);
  const named = COMMANDS.find(({ name }) => name === topic);
  // `psample tc` has those of iproute2's tc.
  if (named) return `${commandHelp(named, long)}${long && named !== tc ? `\n${statuses(named)}` : ""}`;
  const key = topic.replace(/^-+/, "");
  const commands = command === monitor ? [monitor, ...COMMANDS] : [command];
  const texts = commands.flatMap(({ options }) => {
    return Object.entries(options).filter(([name, { letter }]) => longName(name) === `--${key}` || letter === key)
      .map(([name, option]) => optionHelp(name, option));
  });
  if (texts.length > 0) return [...new Set(texts)].join("\n");
  const options = commands.flatMap(({ options }) => Object.keys(options).map((name) => longName(name).slice(2)));
  const wrong = unknownWord(key, "topic", [...COMMANDS.map(({ name }) => name), ...new Set(options)]);
  throw new UsageError(wrong);
}

/** The exit statuses of a command. */
function statuses({ options }: Pick<Command, "options">): string {
  const lost = "failOnLoss" in options ? ", 3 if samples were lost and --fail-on-loss was given" : "";
  return wrap(`Exit status: 0 success, 1 something was not done (the error is on standard error), 2 usage error${lost}.`);
}

function overview(): string {
  const commands = table(COMMANDS.map((command) => [`psample ${command.name}`, command.summary]));
  const more = "psample COMMAND --help lists a command's options, psample help COMMAND explains each, psample help OPTION one.";
  return `${commandHelp(monitor)}\nCommands:\n${commands}\n${wrap(more)}\n${statuses(monitor)}`;
}

/**
 * Whether this file is the program that was started, if the runtime does not say so: Node before version 24. There the command reports that
 * it cannot work, instead of doing nothing. In a bundle this file is not the program, but part of another.
 */
function isStarted(): boolean {
  const [, program] = process.argv;
  if (program === undefined || !/\/cli\/main\.[jt]s$/.test(import.meta.url)) return false;
  try {
    return realpathSync(program) === fileURLToPath(import.meta.url);
  } catch {
    return false;
  }
}

if (import.meta.main ?? isStarted()) process.exit(await main(process.argv.slice(2)));
