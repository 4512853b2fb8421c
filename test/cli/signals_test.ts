/** The command as a process: whatever it waits for, signals and limits end it. */
import { Buffer } from "node:buffer";
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import {
  closeSync,
  constants,
  existsSync,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  statSync,
  writeSync,
} from "node:fs";
import process from "node:process";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { assert, assertEquals, assertMatch, assertThrows } from "@std/assert";
import { main } from "../../cli/main.ts";
import { COMMAND } from "../support/command.ts";
import { inDirectory } from "../support/directory.ts";
import { hears } from "../support/hears.ts";
import { programs } from "../support/programs.ts";
import { pause, soon, until } from "../support/waiting.ts";
import { fakeIo } from "./fake_io.ts";

/** A recording that has samples. */
const RECORDING = fileURLToPath(new URL("../golden/ingress.new.pcap", import.meta.url));
/** How long it may take until a command has ended, from its start. */
const ENDING_MS = 100_000;
/** How long a signal may take if something is not read, on a busy machine. */
const BOUND_MS = 20_000;

/** The command, running. Its standard input stays open, and what it prints is read. */
class Running implements AsyncDisposable {
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

function fifo(path: string): string {
  assertEquals(spawnSync("mkfifo", [path]).status, 0);
  return path;
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

/**
 * Starts it with the signals as a terminal has them: whoever starts these tests in the background may have let them ignore some, which
 * programs inherit.
 */
const EXEC = 'exec env --default-signal=HUP,QUIT "$0" "$@"';

/** Enough messages to be busy until it is ended. */
const ENDLESS = ["demo", "--loop", "100000000"];

/** The length of the header of a pcap file. */
const FILE_HEADER_BYTES = 24;

/** Enough samples for any pipe between two processes to overflow. */
function longRecording(): Uint8Array {
  const short = readFileSync(RECORDING);
  const packets = short.subarray(FILE_HEADER_BYTES);
  return Buffer.concat([short.subarray(0, FILE_HEADER_BYTES), ...Array<Buffer>(Math.ceil(2 ** 20 / packets.length)).fill(packets)]);
}

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

/** Every command, in a form that ends on its own. Some fail where there is no psample or no privilege: that is their end too. */
const EVERY = [
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
    ["asking the kernel: there is nothing to tell before it answers", ["tc", "qdisc", "show", "dev", "lo"]],
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
