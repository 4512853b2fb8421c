/** Starting programs: this runtime again, the command psample, and both without privilege. */
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { findFamily } from "../../src/socket/family.ts";
import type { Family } from "../../src/genl/ctrl.ts";
import { Requests } from "../../src/socket/requests.ts";
import { loadSys } from "../../src/sys/load.ts";
import { NETLINK_GENERIC } from "../../src/sys/sys.ts";
import { PATIENCE_MS, soon, until } from "./scene.ts";

/** The directory of the project. */
export const ROOT: string = join(dirname(fileURLToPath(import.meta.url)), "../..");

/** True in Bun. */
export const BUN: boolean = "Bun" in globalThis;

/** The words that run a script of the project in the runtime that the tests run in. */
export function script(path: string, ...permissions: string[]): string[] {
  const file = join(ROOT, path);
  const ffi = permissions.some((permission) => permission.startsWith("--allow-ffi")) ? [] : ["--allow-ffi"];
  return BUN ? [process.execPath, file] : [process.execPath, "run", "--no-check", "--no-prompt", ...ffi, ...permissions, file];
}

/** The words that run a file outside the project, with all permissions. */
export function scriptWords(file: string): string[] {
  return BUN ? [process.execPath, file] : [process.execPath, "run", "--no-check", "-A", file];
}

/** The command: the script, and the compiled file if PSAMPLE_BINARY names one. */
export const COMMANDS: readonly { name: string; words: (...permissions: string[]) => string[] }[] = [
  { name: "psample", words: (...permissions) => script("cli/main.ts", ...permissions) },
  ...(process.env.PSAMPLE_BINARY ? [{ name: "psample (compiled)", words: () => [process.env.PSAMPLE_BINARY!] }] : []),
];

/** The words that run a program with its standard output in a file or named pipe, with the same process ID. */
export function writingTo(file: string, words: readonly string[]): string[] {
  return ["sh", "-c", 'exec "$@" >"$0"', file, ...words];
}

/** How a program ended. */
export interface Ended {
  status: number | null;
  out: string;
  err: string;
}

/** A program that runs. */
export class Program implements AsyncDisposable {
  readonly ended: Promise<Ended>;
  /** Its output so far. */
  out = "";
  err = "";
  readonly #child: ChildProcess;

  constructor(words: readonly string[], environment: Record<string, string> = {}, directory: string = ROOT) {
    const [program, ...args] = words;
    const env = { ...process.env, NO_COLOR: "1", ...environment };
    const child = spawn(program!, args, { cwd: directory, env, stdio: ["ignore", "pipe", "pipe"] });
    child.stdout!.setEncoding("utf8").on("data", (text: string) => this.out += text);
    child.stderr!.setEncoding("utf8").on("data", (text: string) => this.err += text);
    this.#child = child;
    const ended = new Promise<Ended>((resolve, reject) => {
      child.on("error", reject);
      child.on("close", (status) => resolve({ status, out: this.out, err: this.err }));
    });
    // Some scenes take as long as the limit of others.
    this.ended = soon(ended, () => `the end of ${words.join(" ")}; so far it said ${JSON.stringify(this.err + this.out)}`, 2 * PATIENCE_MS);
    this.ended.catch(() => {});
  }

  /** Its process ID. */
  get pid(): number {
    return this.#child.pid!;
  }

  /** Sends it a signal. */
  signal(
    name: "SIGINT" | "SIGTERM" | "SIGHUP" | "SIGQUIT" | "SIGALRM" | "SIGXCPU" | "SIGIO" | "SIGKILL" | "SIGSTOP" | "SIGCONT" | "SIGUSR2",
  ): void {
    // Not by child.kill(): after that Deno reports the signal as the way the child ended, even if it exited.
    process.kill(this.pid, name);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.kill("SIGKILL");
    await this.ended.catch(() => {});
  }
}

/** Runs a program to its end. */
export async function ending(words: readonly string[], environment?: Record<string, string>): Promise<Ended> {
  await using program = new Program(words, environment);
  return await program.ended;
}

/** Starts the command, and waits until it listens: to samples unless `-s`, to events unless `-c` is given. */
export async function startListening(words: readonly string[]): Promise<Program> {
  const [program] = await startAllListening(words);
  return program!;
}

/** Starts several commands at once, and waits until all listen. */
export async function startAllListening(...commands: readonly (readonly string[])[]): Promise<Program[]> {
  const programs = commands.map((words) => new Program(words));
  let ended: Ended | undefined;
  for (const program of programs) program.ended.then((how) => ended ??= how, () => {});
  const family = await psampleFamily();
  const groups = commands.map((words) => [...words.includes("-s") ? [] : ["packets"], ...words.includes("-c") ? [] : ["config"]]);
  await until(() => `all listen; so far they said ${JSON.stringify(programs.map(({ err }) => err))}`, () => {
    if (ended) throw new Error(`a program ended with status ${ended.status} instead of listening: ${ended.err}${ended.out}`);
    return programs.every(({ pid }, i) => groups[i]!.every((name) => isMember(pid, family!.groups.get(name)!)));
  });
  return programs;
}

/** Whether a process listens to samples. It handles signals by then. */
export async function listensToSamples(pid: number): Promise<boolean> {
  const group = (await psampleFamily())?.groups.get("packets");
  return group !== undefined && isMember(pid, group);
}

async function psampleFamily(): Promise<Family | undefined> {
  const requests = new Requests(await loadSys(), NETLINK_GENERIC);
  return await findFamily(requests, "psample").finally(() => requests.close());
}

/** Whether the first generic netlink socket of a process has joined a multicast group of generic netlink. */
function isMember(pid: number, group: number): boolean {
  if (group > 32) throw new Error(`the kernel shows members of the first 32 multicast groups only, this is ${group}`);
  const groups = genericSocket(pid)?.groups ?? 0n;
  return (groups >> BigInt(group - 1) & 1n) === 1n;
}

/** The kernel's view of a netlink socket. */
export interface SocketState {
  readonly portId: number;
  readonly groups: bigint;
  /** The bytes in its queue. */
  readonly queued: number;
  readonly drops: number;
}

/**
 * The kernel's view of all generic netlink sockets of a network namespace; none if the process is gone.
 *
 * @param seenBy A process, as named in /proc, that is in the namespace.
 */
export function genericSockets(seenBy: number | "thread-self"): SocketState[] {
  let table: string;
  try {
    table = readFileSync(`/proc/${seenBy}/net/netlink`, "utf8");
  } catch {
    return [];
  }
  // sk, protocol, port id, groups in hexadecimal, Rmem, Wmem, Dump, Locks, Drops, inode.
  return table.split("\n").map((line) => line.trim().split(/\s+/)).filter(([, protocol]) => Number(protocol) === NETLINK_GENERIC)
    .map(([, , portId, groups, queued, , , , drops]) => {
      return { portId: Number(portId), groups: BigInt(`0x${groups}`), queued: Number(queued), drops: Number(drops) };
    });
}

/**
 * The kernel's view of the first generic netlink socket of a process.
 *
 * @param seenBy The process, as named in /proc, whose network namespace is searched. Defaults to the process itself.
 */
export function genericSocket(pid: number, seenBy: number | "thread-self" = pid): SocketState | undefined {
  // The kernel uses the process ID as the port of a process's first socket.
  return genericSockets(seenBy).find(({ portId }) => portId === pid);
}

/**
 * Words before a program that remove its privileges: it runs as nobody or, if nobody may not read the
 * project, as the same user without capabilities, which is the same to the kernel.
 */
export const WITHOUT_PRIVILEGE: readonly string[] = ((): string[] => {
  const nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--inh-caps=-all", "--bounding-set=-all"];
  const readable = spawnSync(nobody[0]!, [...nobody.slice(1), "test", "-r", join(ROOT, "mod.ts"), "-a", "-x", process.execPath]);
  return readable.status === 0 ? nobody : ["setpriv", "--inh-caps=-all", "--bounding-set=-all"];
})();

/** Words before a program that remove only CAP_NET_ADMIN: it can still read and write what root can. */
export const WITHOUT_NET_ADMIN: readonly string[] = ["setpriv", "--inh-caps=-net_admin", "--bounding-set=-net_admin"];

/** A directory that everybody can write to. */
export function openDirectory(): string {
  const path = mkdtempSync(join(tmpdir(), "psample-"));
  spawnSync("chmod", ["777", path]);
  return path;
}
