/** Lines of the documentation, typed unchanged into a shell in which `psample` is the command. */
import { spawn } from "node:child_process";
import process from "node:process";
import { installCommand } from "../support/command.ts";
import { COMMANDS, type Ended, script } from "./runtime.ts";
import { pause, until } from "./scene.ts";

/** A line that runs. */
export interface Running {
  readonly pid: number;
  /** Its output so far. */
  readonly out: string;
  readonly err: string;
}

/** What happens while a line runs. */
export interface Meanwhile {
  /** Sends packets, again and again. */
  readonly send: () => void;
  /** For a command that does not end on its own: when it has run long enough to be ended as a user would. */
  readonly isEnough?: ((running: Running) => boolean | Promise<boolean>) | undefined;
}

/** Installs the command in a directory: with the permissions that the README names, and these. */
export function installIn(directory: string, ...permissions: string[]): void {
  const words = process.env.PSAMPLE_BINARY
    ? COMMANDS.at(-1)!.words()
    : script("cli/main.ts", "--allow-read", "--allow-write", ...permissions);
  installCommand(`${directory}/psample`, words);
}

/** Types a line in a directory with the command. */
export async function typeLine(line: string, directory: string, { send, isEnough }: Meanwhile): Promise<Ended> {
  const child = spawn("sh", ["-c", `exec ${line}`], {
    cwd: directory,
    env: { ...process.env, PATH: `${directory}:${process.env.PATH}` },
    stdio: ["ignore", "pipe", "pipe"],
  });
  let out = "";
  let err = "";
  let status: number | null | undefined;
  child.stdout.on("data", (chunk) => out += chunk);
  child.stderr.on("data", (chunk) => err += chunk);
  child.on("close", (code) => status = code);
  let told = false;
  await until(() => `${line} ends; so far it said ${err}${out}`, async () => {
    send();
    if (isEnough !== undefined && !told && await isEnough({ pid: child.pid!, out, err })) {
      told = true;
      await pause(500);
      if (status === undefined) process.kill(child.pid!, "SIGINT");
    }
    return status !== undefined;
  });
  return { status: status!, out, err };
}
