/** A terminal, made by script(1), and what is written to it. */
import { type ChildProcess, spawn } from "node:child_process";
import process from "node:process";

/** The start of a screen: xterm's alternate screen, without a cursor. */
export const ENTER = "\x1b[?1049h\x1b[?25l";
/** The end of a screen. */
export const LEAVE = "\x1b[?25h\x1b[?1049l";

/** A terminal in which a shell runs. */
export class Terminal implements AsyncDisposable {
  /** Everything written to it. */
  shown = "";
  readonly #child: ChildProcess;
  readonly #ended: Promise<unknown>;

  /** @param line What the shell runs. */
  constructor(line: string, environment: Readonly<Record<string, string | undefined>> = {}, directory?: string) {
    this.#child = spawn("script", ["-qfec", line, "/dev/null"], {
      cwd: directory,
      env: { ...process.env, TERM: "xterm", ...environment },
      stdio: ["pipe", "pipe", "inherit"],
    });
    this.#child.stdout!.setEncoding("utf8").on("data", (text: string) => this.shown += text);
    this.#ended = new Promise((resolve) => this.#child.on("close", resolve));
  }

  type(text: string): void {
    this.#child.stdin!.write(text);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.kill("SIGKILL");
    await this.#ended;
  }
}
