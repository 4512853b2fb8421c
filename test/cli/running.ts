/** The command as a process, and what it is given. */
import { Buffer } from "node:buffer";
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { assertEquals } from "@std/assert";
import { COMMAND } from "../support/command.ts";
import { hears } from "../support/hears.ts";
import { soon, until } from "../support/waiting.ts";

/** A recording that has samples. */
export const RECORDING = fileURLToPath(new URL("../golden/ingress.new.pcap", import.meta.url));
/** How long it may take until a command has ended, from its start. */
const ENDING_MS = 100_000;

/**
 * Starts it with the signals as a terminal has them: whoever starts these tests in the background may have let them ignore some, which
 * programs inherit.
 */
export const EXEC = 'exec env --default-signal=HUP,QUIT "$0" "$@"';

/** The command, running. Its standard input stays open, and what it prints is read. */
export class Running implements AsyncDisposable {
  readonly child: ChildProcess;
  readonly ended: Promise<{ status: number | null; signal: string | null }>;
  out = "";
  err = "";

  constructor(args: readonly string[], { shell = EXEC } = {}) {
    const env = { ...process.env, NO_COLOR: "1" };
    const child = spawn("sh", ["-c", shell, ...COMMAND, ...args], { env, stdio: ["pipe", "pipe", "pipe"] });
    child.stdout!.setEncoding("utf8").on("data", (text: string) => this.out += text);
    child.stderr!.setEncoding("utf8").on("data", (text: string) => this.err += text);
    this.child = child;
    // Not "close": a pipe that nobody reads is never done.
    const ended = new Promise<{ status: number | null; signal: string | null }>((resolve, reject) => {
      child.on("error", reject);
      child.on("exit", (status, signal) => resolve({ status, signal }));
    });
    this.ended = soon(ended, () => `the end of ${args.join(" ")}; it said ${this.err}`, ENDING_MS);
    this.ended.catch(() => {});
  }

  get isOver(): boolean {
    return this.child.exitCode !== null || this.child.signalCode !== null;
  }

  /** Sends a signal, once it is handled. */
  async signal(name: "SIGINT" | "SIGTERM" | "SIGHUP" | "SIGQUIT" | "SIGALRM" | "SIGUSR1" | "SIGUSR2"): Promise<void> {
    await until(() => `it hears signals; it said ${this.err}`, () => this.child.exitCode !== null || hears(this.child.pid!));
    process.kill(this.child.pid!, name);
  }

  /** Writes to its standard input, which stays open. Resolves when it has read nearly all of that: the rest is in the pipe. */
  async write(bytes: Uint8Array): Promise<void> {
    const written = new Promise<void>((resolve, reject) => this.child.stdin!.write(bytes, (error) => error ? reject(error) : resolve()));
    await soon(written, () => `it to read; it said ${this.err}`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (!this.isOver) this.child.kill("SIGKILL");
    await this.ended.catch(() => {});
  }
}

export function fifo(path: string): string {
  assertEquals(spawnSync("mkfifo", [path]).status, 0);
  return path;
}

/** Enough messages to be busy until it is ended. */
export const ENDLESS = ["demo", "--loop", "100000000"];

/** Every command, in a form that ends on its own. Some fail where there is no psample or no privilege: that is their end too. */
export const EVERY = [
  ["--list-groups"],
  ["--duration", "100ms"],
  ["--explain", "--filter", "tcp"],
  ["capture", "lo", "--rate", "1", "--duration", "100ms"],
  ["capture", "l?", "--explain", "--match", "tcp"],
  ["top", "lo", "--once", "--interval", "100ms"],
  ["top", RECORDING],
  ["read", RECORDING],
  ["demo"],
  ["list"],
  ["doctor"],
  ["cleanup", "--dry-run"],
  ["tc", "qdisc", "show", "dev", "lo"],
  ["tc", "actions", "list", "action", "sample"],
];

/** The length of the header of a pcap file. */
export const FILE_HEADER_BYTES = 24;

/** Enough samples for any pipe between two processes to overflow. */
export function longRecording(): Uint8Array {
  const short = readFileSync(RECORDING);
  const packets = short.subarray(FILE_HEADER_BYTES);
  return Buffer.concat([short.subarray(0, FILE_HEADER_BYTES), ...Array<Buffer>(Math.ceil(2 ** 20 / packets.length)).fill(packets)]);
}
