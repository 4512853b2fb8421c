/** Shells at a terminal, in which the command is completed. */
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { COMMAND } from "./command.ts";
import { Terminal } from "./terminal.ts";
import { until } from "./waiting.ts";

/** How a shell is started. */
export interface Shell {
  readonly name: string;
  /** What starts it without anybody's settings. */
  readonly line: string;
  /** What it is told first: to read the script. */
  readonly setup: string;
  /** The same with the script as a file in the place where packages install it and the shell looks for it. */
  readonly installed: string;
}

/** Those that complete the command. */
export const SHELLS: readonly Shell[] = [
  {
    name: "bash",
    line: "bash --norc --noprofile",
    setup:
      "bind 'set show-all-if-ambiguous on'; bind 'set bell-style none'; bind 'set enable-bracketed-paste off'; bind 'set page-completions off'; " +
      "source <(psample completions bash)",
    // The package bash-completion reads the file when the command is first completed.
    installed: "psample completions bash > psample.bash; source ./psample.bash",
  },
  {
    name: "zsh",
    line: "zsh -f",
    setup: "autoload -U compinit; compinit -u -D; setopt noautomenu; source <(psample completions zsh)",
    installed:
      "mkdir functions; psample completions zsh > functions/_psample; fpath+=($PWD/functions); autoload -U compinit; compinit -u -D",
  },
  {
    name: "fish",
    line: "fish --no-config",
    setup: "psample completions fish | source",
    installed: "mkdir files; psample completions fish > files/psample.fish; set -p fish_complete_path $PWD/files",
  },
];

/** A shell that has the script, in a directory of its own; `psample` answers its questions, and otherwise prints its arguments. */
export class CompletingShell implements AsyncDisposable {
  readonly name: string;
  readonly #terminal: Terminal;
  readonly #directory: string;

  private constructor(name: string, terminal: Terminal, directory: string) {
    this.name = name;
    this.#terminal = terminal;
    this.#directory = directory;
  }

  /** Starts one where these files are. */
  static async start({ name, line, setup }: Shell, files: readonly string[] = []): Promise<CompletingShell> {
    const directory = mkdtempSync(join(tmpdir(), "psample-"));
    for (const made of ["home", "bin", "here/sub"]) mkdirSync(join(directory, made), { recursive: true });
    for (const file of files) writeFileSync(join(directory, "here", file), "");
    // The runtime looks for what it has cached below its own user's directory, and is no program of the cache of programs.
    const program = `#!/bin/bash\ncase $1 in\n__complete | completions) unset LD_LIBRARY_PATH\n` +
      `[[ ! -e '${directory}/answer' ]] || exec cat '${directory}/answer'\n` +
      `HOME='${process.env.HOME}' exec '${COMMAND.join("' '")}' "$@" ;;\n*) printf '<%s>' "$@"; echo . ;;\nesac\n`;
    for (const file of [join(directory, "bin/psample"), join(directory, "here/psample")]) {
      writeFileSync(file, program);
      chmodSync(file, 0o755);
    }
    const environment = {
      PATH: `${join(directory, "bin")}:${process.env.PATH}`,
      HOME: join(directory, "home"),
      HISTFILE: "/dev/null",
      XDG_CONFIG_HOME: undefined,
      XDG_DATA_HOME: undefined,
    };
    const shell = new CompletingShell(name, new Terminal(line, environment, join(directory, "here")), directory);
    // In two parts, so that what is typed is not taken for what is printed.
    shell.#terminal.type(`${setup}; echo "set""up"\n`);
    await shell.#shows("it has the script", /setup/);
    return shell;
  }

  /** From now on answers all questions of the script with these lines. */
  answer(...lines: readonly string[]): void {
    writeFileSync(join(this.#directory, "answer"), lines.map((line) => `${line}\n`).join(""));
  }

  /** Types a line, and resolves to what is shown when it has run: the arguments that the command got, as `<read><FILE>.` */
  async run(typed: string): Promise<string> {
    this.#terminal.shown = "";
    this.#terminal.type(`${typed}\n`);
    return await this.#shows(JSON.stringify(typed), />\.\r?\n/);
  }

  /** Types the beginning of a line, waits until all of this is shown, and removes the line again. */
  async lists(typed: string, ...patterns: readonly RegExp[]): Promise<void> {
    this.#terminal.shown = "";
    this.#terminal.type(typed);
    await this.#shows(JSON.stringify(typed), ...patterns);
    this.#terminal.type("\x15");
  }

  async #shows(what: string, ...patterns: readonly RegExp[]): Promise<string> {
    const terminal = this.#terminal;
    await until(
      () => `${this.name} shows ${patterns.join(" and ")} for ${what}: ${JSON.stringify(terminal.shown)}`,
      () => patterns.every((pattern) => pattern.test(terminal.shown)),
    );
    return terminal.shown;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#terminal[Symbol.asyncDispose]();
    rmSync(this.#directory, { recursive: true, force: true });
  }
}
