/** The command as a process: whatever it waits for, signals and limits end it. */
import { closeSync, constants, existsSync, openSync, readFileSync } from "node:fs";
import process from "node:process";
import { test } from "node:test";
import { assertEquals, assertMatch } from "@std/assert";
import { inDirectory } from "../support/directory.ts";
import { hears } from "../support/hears.ts";
import { programs } from "../support/programs.ts";
import { pause, until } from "../support/waiting.ts";
import { ENDLESS, EXEC, fifo, RECORDING, Running } from "./running.ts";

test("read waits for standard input that has nothing: a signal ends it, and so does --duration", async () => {
  await using signalled = new Running(["read", "-"]);
  await using limited = new Running(["read", "-", "--duration", "300ms"]);
  await signalled.signal("SIGINT");
  assertEquals(await signalled.ended, { status: 0, signal: null });
  assertEquals(await limited.ended, { status: 0, signal: null });
});

test(
  "a file of labels that never ends keeps nothing waiting: a signal ends it, and so does --duration",
  inDirectory(async (path) => {
    const labels = fifo(path("labels"));
    await using signalled = new Running(["read", "--labels", labels, RECORDING]);
    await using limited = new Running(["read", "--labels", labels, "--duration", "300ms", RECORDING]);
    await signalled.signal("SIGTERM");
    assertEquals(await signalled.ended, { status: 0, signal: null });
    assertEquals(await limited.ended, { status: 0, signal: null });
  }),
);

test(
  "read waits for a pipe without a writer, or one that says nothing: a signal ends it, and so does --duration",
  inDirectory(async (path) => {
    const [lonely, silent] = [fifo(path("lonely")), fifo(path("silent"))];
    // For both, so that it does not block.
    const writer = openSync(silent, constants.O_RDWR);
    try {
      await using one = new Running(["read", lonely]);
      await using two = new Running(["read", silent]);
      await using three = new Running(["read", lonely, "--duration", "300ms"]);
      await one.signal("SIGTERM");
      await two.signal("SIGINT");
      for (const running of [one, two, three]) assertEquals(await running.ended, { status: 0, signal: null }, running.err);
    } finally {
      closeSync(writer);
    }
  }),
);

test("QUIT and ALRM end it, and it dies of them", async () => {
  await Promise.all((["SIGQUIT", "SIGALRM"] as const).map(async (name) => {
    // Nobody needs a memory image of it.
    await using running = new Running(ENDLESS, { shell: `ulimit -c 0; ${EXEC}` });
    await until("it prints", () => running.out !== "");
    await running.signal(name);
    assertEquals(await running.ended, { status: null, signal: name });
    assertMatch(running.err, /received \d+ samples/);
  }));
});

test("a HUP that was ignored at the start stays ignored, as with nohup; otherwise it ends the command", async () => {
  await using ignoring = new Running(["read", "-"], { shell: 'trap "" HUP; exec "$0" "$@"' });
  await using hearing = new Running(["read", "-"]);
  for (const running of [ignoring, hearing]) await running.signal("SIGHUP");
  assertEquals(await hearing.ended, { status: 0, signal: null });
  await ignoring.write(readFileSync(RECORDING));
  await until(() => `it goes on; it said ${ignoring.err}`, () => ignoring.out.split("\n").length > 5);
  await ignoring.signal("SIGINT");
  assertEquals(await ignoring.ended, { status: 0, signal: null });
});

test(
  "a HUP at a terminal is handled too, and ignored if it was ignored at the start",
  programs("script"),
  inDirectory(async (path) => {
    await Promise.all(["", "trap '' HUP; "].map(async (prelude) => {
      const [pipe, file] = [fifo(path(`pipe${prelude.length}`)), path(`pid${prelude.length}`)];
      const shell = `${prelude}SHELL=/bin/sh COMMAND="$0 $*" exec script -qec 'echo $$ >${file}; exec $COMMAND' /dev/null`;
      await using running = new Running(["read", pipe], { shell });
      const pid = (): number => existsSync(file) ? Number(readFileSync(file, "utf8")) : 0;
      await until(() => `it hears signals; it said ${running.out}`, () => pid() > 0 && hears(pid()));
      process.kill(pid(), "SIGHUP");
      // If it were not ignored, it would end the command.
      if (prelude) {
        await pause(200);
        process.kill(pid(), "SIGTERM");
      }
      assertEquals(await running.ended, { status: 0, signal: null }, running.out);
    }));
  }),
);

test(
  "export reloads at a HUP that somebody sends, and ends at that of its terminal when it is closed",
  programs("script"),
  inDirectory(async (path) => {
    const [pidFile, errors] = [path("pid"), path("errors")];
    const shell = `SHELL=/bin/sh COMMAND="$0 $*" exec script -qec 'echo $$ >${pidFile}; exec $COMMAND 2>${errors}' /dev/null`;
    const target = ["--sflow", "127.0.0.1:9", "--agent", "192.0.2.1"];
    await using running = new Running(["export", "--from", RECORDING, "--speed", "0.000001", ...target], { shell });
    const said = (): string => existsSync(errors) ? readFileSync(errors, "utf8") : "";
    const pid = (): number => Number(readFileSync(pidFile, "utf8"));
    const hasSaid = async (text: RegExp): Promise<void> => await until(() => `it says ${text}; it said ${said()}`, () => text.test(said()));
    await hasSaid(/exporting to sFlow/);
    const exported = pid();
    // Before that a HUP ends it.
    await until(() => `it exports; it said ${said()}`, () => process.kill(exported, "SIGUSR1") && /: read \d+ sample/.test(said()));
    process.kill(exported, "SIGHUP");
    await hasSaid(/host names are looked up again/);
    // Its other end is closed with it, as that of tmux or sshd.
    running.child.kill("SIGKILL");
    await until(() => `it ends; it said ${said()}`, () => !existsSync(`/proc/${exported}`));
    assertMatch(said(), /looked up again[^]*\npsample: read \d+ samples?; .*sFlow/);
  }),
);
