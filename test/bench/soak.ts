/**
 * A soak: the command under steady load in a real kernel, in both runtimes at once. Prints memory by the minute,
 * and at the end whether what was received and what was lost add up to what was sent.
 *
 *   test/kernel/boot new -t 4000 -- deno run -A --no-check test/bench/soak.ts --minutes 60 --rate 2000
 */
import { spawn } from "node:child_process";
import { openSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { parseArgs } from "@std/cli/parse-args";
import { frameOut } from "../kernel/frames.ts";
import { cpuSeconds, holdings } from "../kernel/load.ts";
import { inFreshNamespace } from "../kernel/namespace.ts";
import { ROOT } from "../kernel/runtime.ts";
import { run, sample, send, wire } from "../kernel/scene.ts";
import { BUN_PROGRAM } from "../run/project.ts";
import { printRow } from "./table.ts";

const { minutes, rate } = parseArgs(process.argv.slice(2), { default: { minutes: 60, rate: 2000 } });
/** How often frames are sent: in bursts, like real traffic. */
const TICK_MS = 20;

interface Subject {
  readonly name: string;
  readonly pid: number;
  readonly summary: () => string;
  readonly ended: Promise<number | null>;
}

function start(name: string, words: readonly string[]): Subject {
  const [program, ...args] = [...words, join(ROOT, "cli/main.ts"), "--json", "-g", "5"];
  const child = spawn(program!, args, { stdio: ["ignore", openSync("/dev/null", "w"), "pipe"] });
  let err = "";
  child.stderr!.on("data", (chunk) => err += chunk);
  const ended = new Promise<number | null>((resolve) => child.on("close", resolve));
  return { name, pid: child.pid!, summary: () => err.trim(), ended };
}

async function soak(): Promise<boolean> {
  wire();
  const subjects = [
    start("deno", [process.execPath, "run", "--no-check", "--allow-ffi"]),
    start("bun", [BUN_PROGRAM]),
  ];
  await new Promise((resolve) => setTimeout(resolve, 5000));
  sample("a egress", "rate 1 group 5 trunc 128");
  const burst = new Array(Math.round(rate * TICK_MS / 1000)).fill(frameOut());
  printRow("minute", "sent", ...subjects.flatMap(({ name }) => [`${name} MB`, `${name} CPU s`]));
  printRow(...new Array(2 + 2 * subjects.length).fill("---"));
  let sent = 0;
  const begin = performance.now();
  for (let minute = 0; minute <= minutes; minute++) {
    printRow(minute, sent, ...subjects.flatMap(({ pid }) => [(holdings(pid).residentKiB / 1024).toFixed(1), cpuSeconds(pid).toFixed(1)]));
    while (minute < minutes && performance.now() - begin < (minute + 1) * 60_000) {
      send("a", ...burst);
      sent += burst.length;
      await new Promise((resolve) => setTimeout(resolve, TICK_MS));
    }
  }
  await new Promise((resolve) => setTimeout(resolve, 2000));
  for (const { pid } of subjects) process.kill(pid, "SIGINT");
  let whole = true;
  for (const subject of subjects) {
    const status = await subject.ended;
    const summary = subject.summary();
    const received = Number(/received (\d+)/.exec(summary)?.[1]);
    const lost = Number(/lost (\d+)/.exec(summary)?.[1]);
    whole &&= status === 0 && received + lost === sent;
    process.stdout.write(`\n${subject.name}: ${summary}; sent ${sent}, received + lost = ${received + lost}, status ${status}\n`);
  }
  process.stdout.write(run("tc", ["-s", "filter", "show", "dev", "a", "egress"]).replace(/^/gm, "    "));
  return whole;
}

let whole = false;
await inFreshNamespace(async () => void (whole = await soak()));
process.exit(whole ? 0 : 1);
