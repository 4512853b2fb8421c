/** The command as a process whose output nobody reads: signals end it all the same. */
import { closeSync, constants, openSync, readdirSync, readFileSync, writeSync } from "node:fs";
import { test } from "node:test";
import { assertEquals, assertThrows } from "@std/assert";
import { inDirectory } from "../support/directory.ts";
import { hears } from "../support/hears.ts";
import { pause, soon, until } from "../support/waiting.ts";
import { ENDLESS, EVERY, EXEC, fifo, longRecording, RECORDING, Running } from "./running.ts";

/** How long a signal may take if something is not read, on a busy machine. */
const BOUND_MS = 20_000;

/** The fields of proc_pid_stat(5) after the name, which may contain blanks; none if it is gone. */
function statOf(path: string): string[] {
  try {
    return readFileSync(path, "utf8").replace(/^.*\) /s, "").split(" ");
  } catch {
    return [];
  }
}

/** Whether a thread of a process runs, or would if it got a processor. */
function wantsToRun(pid: number): boolean {
  try {
    return readdirSync(`/proc/${pid}/task`).some((thread) => statOf(`/proc/${pid}/task/${thread}/stat`)[0] === "R");
  } catch {
    // It is gone.
    return false;
  }
}

/** Whether a process waits, and has used hardly any processor time for a while; after it has started, which takes some. */
async function isIdle(pid: number): Promise<boolean> {
  // In hundredths of a second.
  const spent = (): number => {
    const [user = 0, system = 0] = statOf(`/proc/${pid}/stat`).slice(11, 13).map(Number);
    return user + system;
  };
  const before = spent();
  for (let i = 0; i < 10; i++) {
    // On a busy machine it may use little and yet not wait.
    if (wantsToRun(pid)) return false;
    await pause(50);
  }
  return before > 3 && spent() - before <= 5;
}

/** Waits until processes wait. */
async function areIdle(...all: Running[]): Promise<void> {
  await Promise.all(all.map((running) => until(() => `it waits; it said ${running.err}`, () => isIdle(running.child.pid!))));
}

/** A pipe that nobody reads, and into which nothing more fits. */
class FullPipe implements Disposable {
  readonly path: string;
  readonly #descriptor: number;

  constructor(path: string) {
    this.path = fifo(path);
    this.#descriptor = openSync(path, constants.O_RDWR | constants.O_NONBLOCK);
    assertThrows(() => {
      for (;;) writeSync(this.#descriptor, new Uint8Array(4096));
    });
  }

  [Symbol.dispose](): void {
    closeSync(this.#descriptor);
  }
}

/** A command that waits for a reader that is missing. */
interface Stuck {
  readonly args: readonly string[];
  /** How it is started. Defaults to printing to a full pipe. */
  readonly shell?: string;
  /** It reads a recording from its standard input, which does not end. */
  readonly reads?: boolean;
  readonly signals: 1 | 2;
  /** Whose reader it says is missing. */
  readonly says?: string;
}

test(
  "nobody reads what it prints or records, or opens that, also if it has come to its end or to a limit: one signal ends it within a bound, two at once",
  inDirectory(async (path) => {
    using full = new FullPipe(path("full"));
    using stalled = new FullPipe(path("stalled"));
    const lonely = fifo(path("lonely"));
    const output = "standard output";
    const all: readonly Stuck[] = [
      // This one stops receiving, because what it holds for a reader is limited: with bytes in its lines soon.
      { args: [...ENDLESS, "-x"], signals: 1 },
      // These wait for more. Nobody reads the notices of one either.
      { args: ["read", "-"], reads: true, signals: 2 },
      { args: ["read", "-"], reads: true, signals: 1, shell: `exec "$0" "$@" >${full.path} 2>&1` },
      { args: ["read", "-", "-w", fifo(path("unopened"))], reads: true, signals: 2, shell: EXEC },
      { args: ["read", "-", "-w", stalled.path], reads: true, signals: 2, shell: EXEC },
      // These have nothing but the reader left to wait for.
      { args: ["demo", "-w", lonely], signals: 1, says: lonely },
      { args: ["demo", "--count", "10"], signals: 1, says: output },
      { args: ["read", RECORDING], signals: 1, says: output },
      { args: ["read", "--text", "--duration", "1h", RECORDING], signals: 1, says: output },
      { args: ["read", "-w", full.path, RECORDING], signals: 1, says: full.path },
      { args: ["top", RECORDING], signals: 1, says: output },
    ];
    await using running = new AsyncDisposableStack();
    const commands = all.map(({ args, shell = `exec "$0" "$@" >${full.path}` }) => running.use(new Running(args, { shell })));
    const recording = longRecording();
    await Promise.all(commands.map((command, i) => all[i]!.reads ? command.write(recording) : undefined));
    await areIdle(...commands);
    const isOver = async (command: Running, { args, says }: Stuck): Promise<void> => {
      const outcome = await soon(command.ended, () => `the end of ${args}; it said ${command.err}`, BOUND_MS);
      assertEquals(outcome, { status: 1, signal: null }, `${args}: ${command.err}`);
      if (says === undefined) return;
      await until(() => `${args} has told of ${says}; it said ${command.err}`, () => {
        return command.err.includes(`psample: waiting for the reader of ${says} for up to 5 s; a second signal ends at once\n`) &&
          command.err.includes(`psample: ${says} is incomplete: `);
      }, BOUND_MS);
    };
    for (const command of commands) await command.signal("SIGTERM");
    for (const [i, command] of commands.entries()) if (all[i]!.signals === 2) await command.signal("SIGTERM");
    // Those that end at once first: what they take on a busy machine is no part of the bound.
    const sorted = commands.map((command, i) => ({ command, stuck: all[i]! })).sort((a, b) => b.stuck.signals - a.stuck.signals);
    for (const { command, stuck } of sorted) await isOver(command, stuck);
  }),
);

test(
  "no command that prints to a full pipe outlives one signal",
  inDirectory(async (path) => {
    using full = new FullPipe(path("full"));
    await using all = new AsyncDisposableStack();
    const ends = async (args: readonly string[], isReady: (pid: number) => boolean | Promise<boolean>): Promise<void> => {
      const running = all.use(new Running(args, { shell: `exec "$0" "$@" >${full.path}` }));
      const { child } = running;
      await until(() => `${args} has ended, or can be signalled`, () => running.isOver || isReady(child.pid!));
      // It may have gone just now.
      if (!running.isOver) child.kill("SIGTERM");
      await soon(running.ended, () => `the end of ${args}; it said ${running.err}`, BOUND_MS);
    };
    const commands = [...EVERY, ["--help"], ["help", "match"], ["--version"]];
    // Nor a signal that comes while it still asks the kernel, just before it prints.
    const asking = [["list"], ["doctor"], ["-l"]].flatMap((args) => [args, args, args]);
    await Promise.all([...commands.map((args) => ends(args, isIdle)), ...asking.map((args) => ends(args, hears))]);
  }),
);
