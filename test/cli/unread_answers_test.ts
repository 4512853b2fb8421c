/** Every command as a process whose answer nobody reads: a signal ends it, whenever it comes. */
import process from "node:process";
import { test } from "node:test";
import { assertEquals } from "@std/assert";
import { inDirectory } from "../support/directory.ts";
import { hears } from "../support/hears.ts";
import { pause, soon, until } from "../support/waiting.ts";
import { BOUND_MS, FullPipe, isIdle } from "./full_pipe.ts";
import { EVERY, Running } from "./running.ts";

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

test(
  "a signal is not lost that comes to a stopped command whose answer nobody reads",
  inDirectory(async (path) => {
    using full = new FullPipe(path("full"));
    await Promise.all([["list"], ["doctor", "--interval", "1ms"]].map(async (args) => {
      await using running = new Running(args, { shell: `exec "$0" "$@" >${full.path}` });
      const pid = running.child.pid!;
      await until(() => `${args} can be signalled; it said ${running.err}`, () => hears(pid));
      // It prints by now, and will be late for all that it meant to do within a second: whenever it is stopped, the signal ends it.
      await pause(300);
      // Not by the child's own method: Deno takes any signal sent for the cause of its end.
      process.kill(pid, "SIGSTOP");
      await pause(1500);
      process.kill(pid, "SIGTERM");
      process.kill(pid, "SIGCONT");
      assertEquals(await soon(running.ended, () => `the end of ${args}`, BOUND_MS), { status: null, signal: "SIGTERM" });
    }));
  }),
);
