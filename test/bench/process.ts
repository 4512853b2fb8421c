/** Processes of the bench: C peers and our own, their results, and the senders of the load. */
import { ArgumentError } from "../../src/errors.ts";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, existsSync, ftruncateSync, mkdtempSync, openSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { messageFile } from "./messages.ts";

/** What a process measured: `"cpu"`, `"p99"` and so on. */
export type Results = Map<string, number>;

/** The load for a process that reports the port on which it listens. */
export interface Load {
  /** Which messages, see messages.ts. */
  kind: string;
  /** How many samples. */
  count: number;
  /** Samples a second. */
  rate: number;
  /** Samples at once. */
  burst: number;
  /** Whether messages that do not fit into the receiver's queue are lost, instead of waiting for room. */
  drop?: boolean;
}

/** The runtime that runs this. */
export const RUNTIME: "deno" | "bun" = "Bun" in globalThis ? "bun" : "deno";

/** The runtime's command and what comes before a script's name. */
export const RUN: readonly string[] = RUNTIME === "bun" ? [process.execPath] : [process.execPath, "run", "-A", "--no-check"];

/** A file of this repository, by its path below test/bench. */
export function file(path: string): string {
  return fileURLToPath(new URL(path, import.meta.url));
}

/** The directory of binaries and recordings, until {@linkcode cleanUp}. */
export const DIRECTORY: string = mkdtempSync(join(tmpdir(), "psample-bench-"));

/** Removes what was built and written. */
export function cleanUp(): void {
  rmSync(DIRECTORY, { recursive: true, force: true });
}

/** Compiles C peers: unless told otherwise, those that need no psample in the kernel. */
export async function buildPeers(
  names: readonly string[] = ["decode", "recv", "pcap", "send", "cost", "filter", "headers"],
): Promise<void> {
  for (const name of names) {
    try {
      // Only the library that tcpdump has, not its headers.
      const libraries = name === "filter" ? ["-lmnl", "-l:libpcap.so.0.8"] : ["-lmnl"];
      await run(["gcc", "-O2", "-o", join(DIRECTORY, name), file(`peer/${name}.c`), ...libraries]);
    } catch (error) {
      const cure = "it takes a compiler, libmnl and libpcap, on Debian and Ubuntu: apt-get install gcc libc6-dev libmnl-dev libpcap0.8";
      throw new ArgumentError(`Cannot compile peer/${name}.c: ${cure}`, { why: cure, cause: error });
    }
  }
}

/** Where Debian's packages for Go are. */
const GO_PATH = "/usr/share/gocode";

/** Compiles the peer in Go, once. */
export async function buildGopacket(): Promise<void> {
  const binary = join(DIRECTORY, "gopacket");
  if (existsSync(binary)) return;
  const build = ["go", "build", "-o", binary, file("peer/gopacket.go")];
  try {
    await run(["env", "GO111MODULE=off", `GOPATH=${GO_PATH}`, ...build]);
  } catch (error) {
    const cure = "it takes Go and gopacket, on Debian and Ubuntu: apt-get install golang-go golang-github-google-gopacket-dev";
    throw new ArgumentError(`Cannot compile peer/gopacket.go: ${cure}`, { why: cure, cause: error });
  }
}

/** The command of a peer. */
export function peer(name: string, ...args: (string | number)[]): string[] {
  return [join(DIRECTORY, name), ...args.map(String)];
}

/** The file with messages of a kind, see messages.ts. */
export function messages(kind: string): string {
  return messageFile(DIRECTORY, kind);
}

/** The command of our own work, see subject.ts. */
export function subject(...args: (string | number)[]): string[] {
  return [...RUN, file("subject.ts"), ...args.map(String)];
}

/** A file that is deleted once nobody has it open. Writes append. */
function outputFile(): number {
  const path = join(DIRECTORY, "output");
  const output = openSync(path, "a");
  rmSync(path);
  return output;
}

/**
 * Runs a command and reads its results from standard error. Its output goes to a file; or, with `blockedMs`, to a pipe that nobody
 * reads during that time.
 */
export function run(command: readonly string[], load?: Load, blockedMs?: number): Promise<Results> {
  const [program = "", ...args] = command;
  const results: Results = new Map();
  const output = outputFile();
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, { stdio: ["ignore", blockedMs === undefined ? output : "pipe", "pipe"] });
    closeSync(output);
    const unblock = setTimeout(() => child.stdout?.resume(), blockedMs);
    let text = "";
    let sending: Promise<unknown> = Promise.resolve();
    child.stderr!.setEncoding("utf8").on("data", (piece: string) => {
      text += piece;
      const port = /^port (\d+)/m.exec(text)?.[1];
      if (!port || !load) return;
      const { kind, count, rate, burst, drop } = load;
      load = undefined;
      sending = run(peer("send", Number(port), messages(kind), count, rate, burst, ...drop ? ["drop"] : []));
      sending.catch(() => child.kill());
    });
    child.on("error", reject);
    child.on("close", (status) => {
      clearTimeout(unblock);
      if (status !== 0) return reject(new ArgumentError(`Cannot run ${command.join(" ")}: status ${status}\n${text}`));
      for (const line of text.split("\n")) {
        const [name, value] = line.split(" ");
        if (name && value) results.set(name, Number(value));
      }
      sending.then(() => resolve(results), reject);
    });
  });
}

/** A process that works in rounds: it says when it is warm, and then does one for each byte that it is sent. */
class Rounds {
  readonly #command: readonly string[];
  readonly #child: ChildProcess;
  readonly #output = outputFile();
  #line: ((line: string) => void) | undefined;
  #failed: (error: Error) => void = () => {};

  constructor(command: readonly string[]) {
    const [program = "", ...args] = command;
    this.#command = command;
    this.#child = spawn(program, args, { stdio: ["pipe", this.#output, "pipe"] });
    this.#child.stdin!.on("error", () => {});
    createInterface({ input: this.#child.stderr! }).on("line", (line) => this.#line?.(line));
    this.#child.on("error", (error) => this.#failed(error));
    this.#child.on("close", () => this.#failed(new ArgumentError(`Cannot run ${command.join(" ")}: it ended`)));
  }

  /** The next value that it reports for `name`. */
  #next(name: string): Promise<number> {
    return new Promise((resolve, reject) => {
      let text = "";
      this.#failed = (error) => reject(text ? new ArgumentError(`${error.message}\n${text}`) : error);
      this.#line = (line) => {
        if (line.startsWith(`${name} `)) resolve(Number(line.slice(name.length)));
        else text += `${line}\n`;
      };
    });
  }

  /** Its result for the messages once it is warm; 1 if it reports none. */
  async ready(): Promise<number> {
    return await this.#next("ready");
  }

  async round(): Promise<Results> {
    // Earlier output would keep the disk busy.
    ftruncateSync(this.#output);
    const cpu = this.#next("cpu");
    this.#child.stdin!.write("\n");
    return new Map([["cpu", await cpu]]);
  }

  async end(): Promise<void> {
    this.#child.stdin!.end();
    if (this.#child.exitCode === null && this.#child.signalCode === null) await once(this.#child, "close");
    closeSync(this.#output);
    if (this.#child.exitCode !== 0) throw new ArgumentError(`Cannot run ${this.#command.join(" ")}: status ${this.#child.exitCode}`);
  }
}

/** Runs two commands that work in rounds: first one round of one, then one of the other, again and again. */
export async function alternate(commands: readonly [string[], string[]], rounds: number): Promise<[Results, Results][]> {
  const processes: Rounds[] = [];
  const found: number[] = [];
  const results: [Results, Results][] = [];
  try {
    for (const command of commands) {
      const process = new Rounds(command);
      processes.push(process);
      found.push(await process.ready());
    }
    if (found[0] !== found[1]) {
      throw new ArgumentError(
        `Cannot compare ${commands.map((words) => words.join(" ")).join(" and ")}: they found ${found.join(" and ")}`,
      );
    }
    for (let i = 0; i < rounds; i++) results.push([await processes[0]!.round(), await processes[1]!.round()]);
  } finally {
    for (const process of processes) await process.end();
  }
  return results;
}

/** Milliseconds until a command prints its first byte. It is then stopped. */
export function firstByte(command: readonly string[]): Promise<number> {
  const [program = "", ...args] = command;
  return new Promise((resolve, reject) => {
    const start = performance.now();
    const child = spawn(program, args, { stdio: ["ignore", "pipe", "ignore"] });
    let took = -1;
    child.stdout.once("data", () => {
      took = performance.now() - start;
      child.kill();
    }).resume();
    child.on("error", reject);
    child.on("close", () => took < 0 ? reject(new ArgumentError(`Cannot run ${command.join(" ")}: it prints nothing`)) : resolve(took));
  });
}
