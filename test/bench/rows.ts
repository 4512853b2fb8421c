/** What is measured, against what, and what is to be reached. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { alternate, DIRECTORY, file, firstByte, type Load, peer, type Results, run, RUNTIME, subject } from "./process.ts";
import { median } from "./table.ts";

/** How much is measured: `1` for the whole table. */
export interface Size {
  /** Multiplies the number of messages or of rounds. */
  scale: number;
  /** Samples for the row about memory. */
  memory: number;
}

/** A number that is measured, and the most it may be. */
export interface Figure {
  /** What the table says behind the work: `"p99"`. */
  label?: string;
  /** Its name in the results. */
  name: string;
  /** The most it may be: a ratio to C where there is C, else in its unit. */
  target: number | undefined;
  /** Compared with the same figure of C. */
  ratio?: boolean;
  /** Factor and unit for printing. */
  unit: string;
  factor?: number;
}

/** A line of the table, or a few that come out of the same run. */
export interface Row {
  /** What is done. */
  work: string;
  /** What comes out. */
  figures: Figure[];
  /** Measures it; whose turn is first is the caller's to change, since the first one may find the machine warm, or cold. */
  measure: (size: Size, cFirst: boolean) => Promise<Pair[]>;
  /** Only once, whatever was asked for: what takes long. */
  once?: boolean;
}

/** What was measured one after the other, within as little time as can be. */
export interface Pair {
  /** By C, where there is such. */
  c: Results | undefined;
  /** By this package. */
  ours: Results;
}

/** Rounds of two processes that take turns. */
const ROUNDS = 20;
const DRAIN = { 128: 20_000, 1500: 8_000 } as const;

function ratio(target: number): Figure[] {
  return [{ name: "cpu", target, ratio: true, unit: "ns" }];
}

function n(count: number, { scale }: Size): number {
  return Math.max(1, Math.round(count * scale));
}

/** Two processes that take turns. */
function turns(work: string, target: number, c: string[], ours: string[]): Row {
  return {
    work,
    figures: ratio(target),
    measure: async (size, cFirst) => {
      const both = await alternate(cFirst ? [c, ours] : [ours, c], n(ROUNDS, size));
      return both.map(([first, second]) => cFirst ? { c: first, ours: second } : { c: second, ours: first });
    },
  };
}

/** Two processes, one after the other. */
function runs(c: (size: Size) => Promise<Results>, ours: (size: Size) => Promise<Results>): Row["measure"] {
  return async (size, cFirst) => {
    const before = cFirst ? await c(size) : undefined;
    const result = await ours(size);
    return [{ c: before ?? await c(size), ours: result }];
  };
}

/** This package alone. */
function alone(ours: (size: Size) => Promise<Results>): Row["measure"] {
  return async (size) => [{ c: undefined, ours: await ours(size) }];
}

function decode(form: string, bytes: number, target: number): Row {
  const count = form === "reused" ? 500_000 : 100_000;
  const work = form === "owned" ? "decode, owned" : "decode, reused view";
  return turns(`${work}, ${bytes} B`, target, peer("decode", bytes, count), subject("decode", form, bytes, count));
}

function drain(form: string, bytes: 128 | 1500, target: number): Row {
  const work = {
    batches: "drain a full socket, batches",
    samples: "drain a full socket, for await",
    text: "text lines",
    json: "JSON lines",
  };
  const c = form === "text" || form === "json" ? ["print"] : ["drain", "one"];
  const count = DRAIN[bytes];
  return turns(
    `${work[form as keyof typeof work]}, ${bytes} B`,
    target,
    peer("recv", ...c, bytes, count),
    subject("drain", form, bytes, count),
  );
}

function pcap(bytes: number, target: number): Row {
  const count = bytes > 1000 ? 10_000 : 50_000;
  const path = join(DIRECTORY, "bench.pcap");
  return turns(`pcap records to a file, ${bytes} B`, target, peer("pcap", path, bytes, count), subject("pcap", path, bytes, count));
}

function wait(rate: number, target: number): Row {
  const load = (size: Size): Load => ({ bytes: 128, count: n(rate * 2, size), rate, burst: 10 });
  return {
    work: `wait and receive at ${rate.toLocaleString("en")}/s`,
    figures: ratio(target),
    measure: runs(
      (size) => run(peer("recv", "wait", load(size).count), load(size)),
      (size) => run(subject("wait", "batches", load(size).count), load(size)),
    ),
  };
}

/** The command, as it is started: the compiled file on Bun, with its permission alone on Deno. */
async function command(): Promise<string[]> {
  const [runtime = "", verb = ""] = subject();
  const main = file("../../cli/main.ts");
  if (RUNTIME === "deno") return [runtime, verb, "--allow-ffi", main, "demo"];
  const compiled = join(DIRECTORY, "psample");
  if (!existsSync(compiled)) await run([runtime, "build", "--compile", main, "--outfile", compiled]);
  return [compiled, "demo"];
}

/** All rows. */
export const ROWS: readonly Row[] = [
  decode("reused", 128, 0.35),
  decode("reused", 1500, 0.35),
  decode("owned", 128, 0.7),
  decode("owned", 1500, 1.0),
  drain("batches", 128, 0.8),
  drain("batches", 1500, 0.8),
  drain("samples", 128, 1.0),
  drain("samples", 1500, 1.5),
  wait(50_000, 1.3),
  wait(200_000, 0.8),
  drain("text", 128, 0.3),
  drain("text", 1500, 0.3),
  drain("json", 128, 0.6),
  drain("json", 1500, 0.6),
  pcap(128, 0.8),
  pcap(1500, 0.8),
  {
    work: "wake-up at 500/s",
    figures: [
      { label: "p50", name: "p50", target: 100, unit: "us", factor: 1e-3 },
      { label: "p99", name: "p99", target: 1000, unit: "us", factor: 1e-3 },
    ],
    measure: runs(
      (size) => run(peer("recv", "latency", n(2000, size)), { bytes: 128, count: n(2000, size), rate: 500, burst: 1 }),
      (size) => run(subject("wait", "latency", n(2000, size)), { bytes: 128, count: n(2000, size), rate: 500, burst: 1 }),
    ),
  },
  {
    work: "whole process, text lines at 1,000/s",
    figures: [{ name: "percent", target: RUNTIME === "deno" ? 6 : 4, unit: "% of a core" }],
    measure: alone((size) => run(subject("wait", "text", n(5000, size)), { bytes: 128, count: n(5000, size), rate: 1000, burst: 1 })),
  },
  {
    work: "idle",
    figures: [
      { label: "CPU", name: "percent", target: 0.2, unit: "% of a core" },
      { label: "context switches", name: "switches", target: undefined, unit: "/s" },
    ],
    measure: alone((size) => run(subject("idle", n(5, size)))),
    once: true,
  },
  {
    work: RUNTIME === "deno" ? "start to first sample printed, warm cache" : "start to first sample printed, compiled file",
    figures: [{ name: "ms", target: RUNTIME === "deno" ? 150 : 60, unit: "ms" }],
    measure: alone(async () => {
      const demo = await command();
      const times: number[] = [];
      for (let i = 0; i < 5; i++) times.push(await firstByte(demo));
      return new Map([["ms", median(times)]]);
    }),
  },
  {
    work: "memory at 100,000/s",
    figures: [
      { label: "growth", name: "growth", target: 5, unit: "MB" },
      { label: "resident", name: "resident", target: 90, unit: "MB" },
    ],
    measure: alone((size) => run(subject("wait", "memory", size.memory), { bytes: 128, count: size.memory, rate: 100_000, burst: 10 })),
    once: true,
  },
];
