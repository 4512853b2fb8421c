/** The command as a process that waits for a reader of what it prints or records: signals end it all the same. */
import { test } from "node:test";
import { assertEquals } from "@std/assert";
import { closeSync, constants, openSync } from "node:fs";
import { inDirectory } from "../support/directory.ts";
import { soon, until } from "../support/waiting.ts";
import { BOUND_MS, FullPipe, isIdle } from "./full_pipe.ts";
import { ENDLESS, EXEC, fifo, longRecording, RECORDING, Running } from "./running.ts";

/** Waits until processes wait. */
async function areIdle(...all: Running[]): Promise<void> {
  await Promise.all(all.map((running) => until(() => `it waits; it said ${running.err}`, () => isIdle(running.child.pid!))));
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

for (const output of [[], ["--json"], ["-w", "-"]]) {
  test(
    `read ${["-", ...output].join(" ")}: if the reader of its output goes away, it ends, though there is nothing to write`,
    inDirectory(async (path) => {
      const pipe = fifo(path("pipe"));
      const reader = openSync(pipe, constants.O_RDONLY | constants.O_NONBLOCK);
      // Its input never ends, and has no samples yet.
      await using running = new Running(["read", "-", ...output], { shell: `exec "$0" "$@" >${pipe}` });
      await areIdle(running);
      assertEquals(running.isOver, false, running.err);
      closeSync(reader);
      assertEquals(await running.ended, { status: 0, signal: null }, running.err);
    }),
  );
}
