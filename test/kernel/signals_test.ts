/**
 * `psample capture` under random signals, whatever it is waiting for: nothing of ours stays, and the exit status is right.
 * PSAMPLE_SIGNALS=200 in the environment sends that many.
 */
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { closeSync, constants, openSync, rmSync, writeSync } from "node:fs";
import process from "node:process";
import { assert, assertEquals, assertThrows } from "@std/assert";
import { listSampling } from "../../mod.ts";
import { Random } from "../fuzz/mutate.ts";
import { hears } from "../support/hears.ts";
import { frameOut } from "./frames.ts";
import { listensToSamples, openDirectory, Program, script, writingTo } from "./runtime.ts";
import { bareWire, PATIENCE_MS, pause, run, scene, send, soon, tc, until } from "./scene.ts";
import { tcActions, tcDump } from "./tc_dump.ts";

/** Number of commands that a scene starts, all at once: an emulated processor starts them slowly. */
const RUNS = 5;
const SCENES = Math.ceil(Number(process.env.PSAMPLE_SIGNALS ?? 20) / RUNS);
/** How long they sample at most before a signal: later ones find nothing that these do not. */
const SAMPLING_MS = 2000;
/** How long they take until they sample, once measured. */
let startMs: number | undefined;

const ENDING = ["SIGINT", "SIGTERM", "SIGHUP"] as const;
const DEADLY = ["SIGQUIT", "SIGALRM"] as const;
const ASKING = ["SIGUSR1", "SIGUSR2"] as const;
type Signal = typeof ENDING[number] | typeof DEADLY[number] | typeof ASKING[number];
const SIGNALS: readonly Signal[] = [...ENDING, ...DEADLY, ...ASKING];

/** What the command waits for, as shell code; `$0` is a full pipe that nobody reads, `$1` one that nobody opens. */
const SITUATIONS: readonly { readonly name: string; readonly shell: string; readonly words: readonly string[] }[] = [
  { name: "its output is read", shell: 'shift; exec "$@"', words: [] },
  { name: "its output is not read", shell: 'shift; exec "$@" >"$0"', words: ["--json"] },
  { name: "neither its output nor its notices are read", shell: 'shift; exec "$@" >"$0" 2>&1', words: [] },
  { name: "it records to a pipe that nobody reads", shell: 'shift; exec "$@" -w "$0"', words: [] },
  { name: "it records to a pipe that nobody opens", shell: 'lonely=$1; shift; exec "$@" -w "$lonely"', words: ["--json"] },
  { name: "it has no descriptor left", shell: 'shift; exec "$@"', words: [] },
];

/** Writes to a pipe until nothing more fits in. */
function fill(pipe: number): void {
  assertThrows(() => {
    for (;;) writeSync(pipe, new Uint8Array(4096));
  });
}

/** One run: what is sent, and when after the start. */
interface Plan {
  readonly situation: typeof SITUATIONS[number];
  readonly signals: readonly { readonly name: Signal; readonly afterMs: number }[];
}

/** A plan for commands that take `startMs` until they sample. */
function planOf(random: Random, startMs: number): Plan {
  const signals = Array.from({ length: 1 + random.below(2) }, () => {
    const name = SIGNALS[random.below(SIGNALS.length)]!;
    // From before it handles signals until after it samples; sometimes two close to each other.
    const [fromMs, withinMs] = random.below(3) === 0 ? [0, startMs] : [startMs, Math.min(startMs, SAMPLING_MS)];
    return { name, afterMs: Math.round(fromMs + withinMs * random.below(1000) / 1000) };
  }).sort((a, b) => a.afterMs - b.afterMs);
  return { situation: SITUATIONS[random.below(SITUATIONS.length)]!, signals };
}

/** How a command ended, and whether it sampled when it got a signal. */
interface Outcome {
  readonly status: number | null;
  readonly signal: string | null;
  readonly sampled: boolean;
  readonly err: string;
}

async function play({ situation, signals }: Plan, stalled: string, lonely: string): Promise<Outcome> {
  const command = script("cli/main.ts", "--allow-read", "--allow-write");
  const words = [...command, "capture", "a", "--rate", "1", "--direction", "egress", ...situation.words];
  const child: ChildProcess = spawn("sh", ["-c", situation.shell, stalled, lonely, ...words], { stdio: ["ignore", "pipe", "pipe"] });
  let err = "";
  child.stdout!.resume();
  child.stderr!.setEncoding("utf8").on("data", (text: string) => err += text);
  const ended = new Promise<[number | null, string | null]>((resolve, reject) => {
    child.on("error", reject);
    child.on("exit", (status, signal) => resolve([status, signal]));
  });
  let over = false;
  ended.then(() => over = true, () => {});
  const kill = (name: Signal): void => {
    try {
      process.kill(child.pid!, name);
    } catch (error) {
      // It has just ended.
      if ((error as { code?: string }).code !== "ESRCH") throw error;
    }
  };
  if (situation.name.includes("descriptor")) {
    await until(() => `it samples; it said ${err}`, () => err.includes("Ctrl-C ends it"));
    run("prlimit", ["--pid", `${child.pid}`, "--nofile=3:3"]);
  }
  const started = performance.now();
  let sampled = false;
  for (const { name, afterMs } of signals) {
    while (!over && performance.now() - started < afterMs) await pause(20);
    if (over) break;
    sampled ||= hears(child.pid!);
    kill(name);
  }
  // Signals that only ask for something do not end it.
  if (signals.every(({ name }) => (ASKING as readonly Signal[]).includes(name))) {
    await until("it hears signals", () => over || hears(child.pid!));
    kill("SIGTERM");
  }
  const [status, signal] = await soon(ended, () => `the end of ${JSON.stringify({ situation, signals })}; it said ${err}`, PATIENCE_MS);
  return { status, signal, sampled, err };
}

/** How long the commands that run at once take until they sample. */
async function measureStart(directory: string): Promise<number> {
  const words = [...script("cli/main.ts"), "capture", "a", "--rate", "1"];
  const children = Array.from(
    { length: RUNS },
    () => spawn(words[0]!, words.slice(1), { cwd: directory, stdio: ["ignore", "ignore", "pipe"] }),
  );
  const started = performance.now();
  const errs = children.map(() => "");
  children.forEach((child, i) => child.stderr.setEncoding("utf8").on("data", (text: string) => errs[i] += text));
  await until(() => `all sample; they said ${errs}`, () => errs.every((err) => err.includes("Ctrl-C ends it")));
  const startMs = performance.now() - started;
  for (const child of children) child.kill("SIGTERM");
  await until("all have ended", () => errs.every((err) => err.includes("lost 0")));
  return startMs;
}

function check({ situation, signals }: Plan, { status, signal, sampled, err }: Outcome): void {
  const what = `${situation.name}; ${
    signals.map(({ name, afterMs }) => `${name} at ${afterMs}`).join(", ")
  }; status ${status} ${signal}; ${err}`;
  const names: readonly string[] = signals.map(({ name }) => name);
  if (!sampled) {
    // It may not have handled it: then it had done nothing yet.
    assert(status === 0 || (signal !== null && names.includes(signal)) || signal === "SIGTERM", what);
    return;
  }
  const deadly = names.filter((name) => (DEADLY as readonly string[]).includes(name));
  // Nobody may have read all of it; if nobody reads its notices either, it cannot say so.
  const right = /^psample: .* is incomplete: /m.test(err) ? [1] : situation.name.startsWith("neither") ? [0, 1] : [0];
  if (deadly.length === 0) assert(signal === null && right.includes(status!), what);
  else if (deadly.length === names.length) assert(deadly.includes(signal!), what);
  // The other signal may have ended it before.
  else assert(right.includes(status!) || deadly.includes(signal!), what);
}

for (let seed = 1; seed <= SCENES; seed++) {
  scene(`${RUNS} captures under random signals (seed ${seed}): nothing of ours stays, and the exit status is right`, async () => {
    bareWire();
    tc("qdisc add dev a clsact", "filter add dev a egress pref 5 protocol ip u32 match ip protocol 17 0xff action continue");
    const [before, actions] = [tcDump("a"), tcActions()];
    const directory = openDirectory();
    const [stalled, lonely] = [`${directory}/stalled`, `${directory}/lonely`];
    run("mkfifo", [stalled, lonely]);
    // Both ends, so that opening it does not block.
    const fd = openSync(stalled, constants.O_RDWR | constants.O_NONBLOCK);
    fill(fd);
    // Seldom enough that an emulated processor has time for more than that.
    const sending = setInterval(() => send("a", frameOut()), 50);
    try {
      const random = new Random(seed, 0);
      const takesMs = startMs ??= await measureStart(directory);
      const plans = Array.from({ length: RUNS }, () => planOf(random, takesMs));
      const outcomes = await Promise.all(plans.map((plan) => play(plan, stalled, lonely)));
      plans.forEach((plan, i) => check(plan, outcomes[i]!));
      const left = (await listSampling()).filter(({ ours }) => ours);
      assertEquals(left, [], JSON.stringify([plans, outcomes]));
    } finally {
      clearInterval(sending);
      closeSync(fd);
      rmSync(directory, { recursive: true });
    }
    assertEquals(tcDump("a"), before);
    await until("the actions are what they were", () => tcActions() === actions);
  });
}

scene("nobody reads the output of captures that have come to their limit: one TERM ends each within a bound, with status 1", async () => {
  bareWire();
  const before = tcDump("a");
  const directory = openDirectory();
  const full = `${directory}/full`;
  run("mkfifo", [full]);
  const fd = openSync(full, constants.O_RDWR | constants.O_NONBLOCK);
  fill(fd);
  const commands = [["--count", "3"], ["capture", "a", "--rate", "1", "--count", "3"], ["top", "a", "--rate", "1", "--duration", "500ms"]];
  await using all = new AsyncDisposableStack();
  const start = (args: readonly string[]): Program => all.use(new Program(writingTo(full, [...script("cli/main.ts"), ...args])));
  const listener = start(commands[0]!);
  // It needs others to sample, and hears that only while it listens.
  await until(() => `it listens; it said ${listener.err}`, () => listensToSamples(listener.pid));
  const programs = [listener, ...commands.slice(1).map(start)];
  const sending = setInterval(() => send("a", frameOut()), 5);
  try {
    const [, capture] = programs;
    await until(() => `it samples; it said ${capture!.err}`, () => capture!.err.includes("Ctrl-C ends it"));
    // They have reached their limits when the filters of both are gone.
    await until(() => `its limit is reached; it said ${capture!.err}`, () => tcDump("a") === before);
    for (const program of programs) await until("it hears signals", () => hears(program.pid));
    for (const program of programs) program.signal("SIGTERM");
    for (const [i, program] of programs.entries()) {
      const { status, err } = await program.ended;
      assertEquals(status, 1, `${commands[i]}: ${err}`);
      assert(err.includes("psample: standard output is incomplete: "), err);
    }
  } finally {
    clearInterval(sending);
    closeSync(fd);
    rmSync(directory, { recursive: true });
  }
});

scene("two processes that do not read each other's output: one TERM ends a capture within a bound", async () => {
  bareWire();
  const before = tcDump("a");
  const words = script("cli/main.ts").map((word) => `'${word}'`).join(" ");
  const shell = `{ ${words} capture a --rate 1 --json & echo $! >&2; wait $!; echo status $? >&2; } | sleep 1000`;
  const child = spawn("bash", ["-c", shell], { stdio: ["ignore", "ignore", "pipe"], detached: true });
  let err = "";
  let endedMs: number | undefined;
  child.stderr!.setEncoding("utf8").on("data", (text: string) => {
    err += text;
    if (/^status 1$/m.test(err)) endedMs ??= performance.now();
  });
  try {
    await until(() => `it samples; it said ${err}`, () => err.includes("Ctrl-C ends it"));
    // Several times what fits into the pipe. On a fast machine it is waiting for the reader when it gets the signal.
    send("a", ...Array.from({ length: 1000 }, () => frameOut()));
    await pause(2000);
    const pid = Number(/^(\d+)$/m.exec(err)![1]);
    process.kill(pid, "SIGTERM");
    await until("the filters are gone", async () => (await listSampling()).length === 0);
    const removedMs = performance.now();
    // The reader never reads: without a bound it would not end.
    await until(() => `it has ended; it said ${err}`, () => endedMs !== undefined);
    // It removes them first, and then waits for the reader for five seconds.
    assert(endedMs! - removedMs > 1000, `it ended ${endedMs! - removedMs} ms after the filters were gone`);
    assert(err.includes("psample: waiting for the reader of standard output for up to 5 s; a second signal ends at once\n"), err);
    assertEquals(tcDump("a"), before);
  } finally {
    spawnSync("kill", ["-KILL", "--", `-${child.pid}`]);
  }
});
