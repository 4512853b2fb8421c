/** The command as a process that is asked for something: USR1 and USR2 end none. */
import { existsSync, readdirSync, readFileSync, readlinkSync, renameSync, statSync } from "node:fs";
import process from "node:process";
import { test } from "node:test";
import { assert, assertEquals } from "@std/assert";
import { main } from "../../cli/main.ts";
import { inDirectory } from "../support/directory.ts";
import { pause, until } from "../support/waiting.ts";
import { fakeIo } from "./fake_io.ts";
import { EVERY, EXEC, FILE_HEADER_BYTES, longRecording, Running } from "./running.ts";

test(
  "USR1 prints the numbers so far; USR2 reopens the recording once it was renamed, and leaves it alone before",
  inDirectory(async (path) => {
    const [file, moved] = [path("x.pcapng"), path("moved.pcapng")];
    await using running = new Running(["read", "-", "-w", file]);
    const samples = longRecording().subarray(FILE_HEADER_BYTES);
    await running.write(longRecording());
    await until("it records", () => existsSync(file) && statSync(file).size > 100_000);
    await running.signal("SIGUSR1");
    await until("it has told", () => /^psample: read \d+ samples.*\n/m.test(running.err));
    await running.signal("SIGUSR2");
    await until("it has refused", () => running.err.includes("it is still the file being recorded to"));
    renameSync(file, moved);
    await running.signal("SIGUSR2");
    // Some of this it may have had before.
    await until("it has a new file", async () => {
      if (existsSync(file) && statSync(file).size > 100_000) return true;
      await running.write(samples);
      return false;
    });
    await running.signal("SIGINT");
    assertEquals(await running.ended, { status: 0, signal: null });
    let recorded = 0;
    for (const name of [moved, file]) {
      const io = fakeIo();
      assertEquals(await main(["read", name, "-w", "x.pcapng"], io), 0, io.errors());
      const read = Number(/read (\d+) samples/.exec(io.errors())![1]);
      assert(read > 100, `${name} has ${read} samples`);
      recorded += read;
    }
    // Nothing is missing in between.
    const last = running.err.trimEnd().split("\n").at(-1)!;
    assertEquals(recorded, Number(/, (\d+) of them/.exec(last)?.[1] ?? /read (\d+)/.exec(last)![1]), last);
  }),
);

/** Whether a process listens on a TCP port of 127.0.0.1. */
function listensOn(pid: number, port: number): boolean {
  const local = `0100007F:${port.toString(16).toUpperCase().padStart(4, "0")}`;
  const LISTEN = "0A";
  const inodes = readFileSync(`/proc/${pid}/net/tcp`, "utf8").split("\n").map((line) => line.trim().split(/ +/))
    .filter((words) => words[1] === local && words[3] === LISTEN).map((words) => `socket:[${words[9]}]`);
  return readdirSync(`/proc/${pid}/fd`).some((fd) => {
    try {
      return inodes.includes(readlinkSync(`/proc/${pid}/fd/${fd}`));
    } catch {
      // Closed meanwhile.
      return false;
    }
  });
}

test("USR1 opens no debugger, whenever it comes", async () => {
  await using running = new Running(["read", "-"]);
  await running.signal("SIGUSR1");
  await until("it has told once", () => running.err.includes("read 0 samples"));
  // Deno handles it itself from half a second after the start.
  await pause(1000);
  await running.signal("SIGUSR1");
  await until("it has told twice", () => running.err.split("read 0 samples").length === 3);
  assert(!listensOn(running.child.pid!, 9229), running.err);
  await running.signal("SIGINT");
  assertEquals(await running.ended, { status: 0, signal: null });
  // Deno would report the debugger, and wait for a connection.
  assert(!/debugger|inspector/i.test(running.err), running.err);
});

/** Signals in `/proc/PID/status`. */
function hasUsr1(pid: number, set: "SigIgn" | "SigCgt"): boolean {
  const USR1 = 10;
  try {
    const [, bits] = new RegExp(`^${set}:\\s*([0-9a-f]+)$`, "m").exec(readFileSync(`/proc/${pid}/status`, "utf8")) ?? [];
    return (BigInt(`0x${bits ?? "0"}`) >> BigInt(USR1 - 1) & 1n) === 1n;
  } catch {
    // It is gone.
    return false;
  }
}

for (const shell of [EXEC, 'trap "" USR1; exec "$0" "$@"']) {
  const when = shell.startsWith("trap") ? "from its start, where whoever starts it ignores it until it hears it" : "from when it hears it";
  test(`USR1 ends no command, however often it comes: ${when}`, async () => {
    await Promise.all(EVERY.map(async (args) => {
      await using running = new Running(args, { shell });
      const { child } = running;
      const sets = shell.startsWith("trap") ? ["SigIgn", "SigCgt"] as const : ["SigCgt"] as const;
      await until(() => `${args} begins`, () => running.isOver || sets.some((set) => hasUsr1(child.pid!, set)));
      // Not by the child's own method: Deno takes a signal sent to a process that has just ended for the cause of its end.
      const sending = setInterval(() => {
        try {
          if (!running.isOver) process.kill(child.pid!, "SIGUSR1");
        } catch (error) {
          // It has just ended.
          if ((error as { code?: string }).code !== "ESRCH") throw error;
        }
      }, 2);
      const { status, signal } = await running.ended.finally(() => clearInterval(sending));
      assert(signal === null && status! <= 1, `psample ${args.join(" ")}: ${status} ${signal} ${running.err}`);
    }));
  });
}

test("commands that only query the kernel say so at USR1", async () => {
  const asks: readonly (readonly [string, readonly string[]])[] = [
    ["asking the kernel: there is no answer yet", ["tc", "qdisc", "show", "dev", "lo"]],
    ["asking the kernel for the groups", ["--list-groups"]],
    ["asking the kernel for its devices: nothing is sampled yet", ["--explain", "--filter", "tcp"]],
    ["asking the kernel for its devices: nothing is sampled yet", ["capture", "l?", "--dry-run"]],
    ["asking the kernel for its devices: nothing is sampled yet", ["top", "lo", "--explain", "--match", "tcp"]],
  ];
  for (const [said, args] of asks) {
    const io = fakeIo();
    await main(args, {
      ...io,
      hearSignals: (handler) => {
        handler("SIGUSR1");
        return io.hearSignals(handler);
      },
    });
    assertEquals(io.errors().split("\n")[0], `psample: ${said}`, args.join(" "));
    assert(!io.signal("SIGUSR1"), `${args}: nobody hears signals any more`);
  }
});
