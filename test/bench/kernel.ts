/**
 * The command against a C program that does what libpsample's tool does (peer/psample.c), in a real kernel, on what
 * sample actions make of packets: a line for each sample to /dev/null. The tools take turns, in the same boot. Prints
 * what each lost and what a sample cost it in CPU time of the whole process: the medians of the rounds. In User Mode
 * Linux and in an emulator a system call is dear: that is hard on who makes two for each sample.
 *
 *   test/kernel/boot new -t 300 -- deno run -A --no-check test/bench/kernel.ts
 *
 *   --rates N,N    samples a second; 20000,100000
 *   --seconds N    how long they are offered; 5
 *   --rounds N     how often each tool has its turn; 3
 */
import { cpus, release } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { parseArgs } from "@std/cli/parse-args";
import { cpuSeconds, hearsOneMore, Load, quiet } from "../kernel/load.ts";
import { inFreshNamespace } from "../kernel/namespace.ts";
import { genericSocket, ROOT, startListening, writingTo } from "../kernel/runtime.ts";
import { tc, wire } from "../kernel/scene.ts";
import { BUN_PROGRAM } from "../run/project.ts";
import { buildPeers, cleanUp, peer } from "./process.ts";
import { median, printRow } from "./table.ts";

const { rates, seconds, rounds } = parseArgs(process.argv.slice(2), {
  string: ["rates"],
  default: { rates: "20000,100000", seconds: 5, rounds: 3 },
});

/** A sender makes about so many packets a second without being what is measured; the rest is several samples a packet. */
const PACKETS = 5000;

interface Tool {
  readonly name: string;
  readonly words: readonly string[];
}

/** What one tool did in its turn. */
interface Turn {
  /** Samples a second that it was offered. */
  offered: number;
  /** Of them, how many it did not get, in percent. */
  lost: number;
  /** CPU time for each that it got, in microseconds. */
  cpu: number;
}

async function turn({ name, words }: Tool, rate: number): Promise<Turn> {
  using load = new Load([5], Math.ceil(rate / PACKETS), "trunc 128");
  try {
    await using program = await startListening(writingTo("/dev/null", words));
    // The start, and the compilers' work at first, are not what is measured.
    await load.offer(rate / 2, 2);
    await hearsOneMore(program, load);
    await quiet(program);
    const count = (): number => load.sent - genericSocket(program.pid)!.drops;
    const [sent, received, spent] = [load.sent, count(), cpuSeconds(program.pid)];
    const offered = await load.offer(rate, seconds);
    await quiet(program);
    const [more, took] = [count() - received, cpuSeconds(program.pid) - spent];
    const all = count();
    program.signal("SIGINT");
    const { err } = await program.ended;
    // What the kernel has not dropped at the socket the tool has got, and printed.
    if (Number(/received (\d+)/.exec(err)?.[1]) !== all) throw new Error(`${name} should have received ${all} samples; it says: ${err}`);
    return { offered, lost: 100 * (1 - more / (load.sent - sent)), cpu: took / more * 1e6 };
  } finally {
    tc("filter del dev a egress pref 1");
  }
}

async function bench(tools: readonly Tool[]): Promise<void> {
  wire();
  printRow("tool", "offered/s", "lost", "CPU us a sample", "of C");
  printRow(...new Array(5).fill("---"));
  for (const rate of rates.split(",").map(Number)) {
    const turns: Turn[][] = tools.map(() => []);
    for (let round = 0; round < rounds; round++) for (const [i, tool] of tools.entries()) turns[i]!.push(await turn(tool, rate));
    const c = median(turns[0]!.map(({ cpu }) => cpu));
    for (const [i, { name }] of tools.entries()) {
      const middle = (field: keyof Turn): number => median(turns[i]!.map((turn) => turn[field]));
      const [offered, lost, cpu] = [middle("offered"), middle("lost"), middle("cpu")];
      printRow(name, Math.round(offered).toLocaleString("en"), `${lost.toFixed(2)} %`, cpu.toFixed(2), (cpu / c).toFixed(2));
    }
  }
}

try {
  await buildPeers(["psample"]);
  const main = join(ROOT, "cli/main.ts");
  const tools = [
    // With TZ set libc does not look for each line whether the time zone's file has changed: in a guest, whose files are
    // the host's, that costs up to milliseconds. Nobody here listens to group events.
    { name: "C", words: ["env", "TZ=:/etc/localtime", ...peer("psample"), "-c"] },
    { name: "Deno", words: [process.execPath, "run", "--no-check", "--allow-ffi", main, "-c"] },
    { name: "Bun", words: [BUN_PROGRAM, main, "-c"] },
  ];
  process.stdout.write(`Linux ${release()}, ${cpus().length} x ${cpus()[0]?.model ?? "?"}, ${rounds} rounds of ${seconds} s\n\n`);
  await inFreshNamespace(() => bench(tools));
} finally {
  cleanUp();
}
