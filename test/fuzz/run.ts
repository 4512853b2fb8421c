/**
 * The long run of the fuzz: every truncation and ten million mutations of every recording, for each target, in the
 * runtime that it is started with.
 *
 *     deno run -A test/fuzz/run.ts [--target NAME]... [--seed N] [--mutations N] [--seconds N]
 *     bun test/fuzz/run.ts ...
 *
 * `--seconds` ends each target after that time, however far it came, and its truncations after half of it. What is found is printed with its seed, the number
 * of the mutation and the smallest input that fails alike, in hexadecimal or as words; the exit status is then 1. An input that
 * takes longer than a minute is found too: the work is done in a Worker.
 */
import process from "node:process";
import { parseArgs } from "node:util";
import { toHex } from "../../src/wire/text.ts";
import { truncations } from "./engine.ts";
import { Random } from "./mutate.ts";
import type { Order, Report } from "./run_worker.ts";
import { TARGETS } from "./targets.ts";

const HANGS_MS = 60_000;
const TELL_MS = 30_000;
const LOOK_MS = 1000;

const { values } = parseArgs({
  options: {
    target: { type: "string", multiple: true, default: TARGETS.map(({ name }) => name) },
    seed: { type: "string", default: "1" },
    mutations: { type: "string", default: "10000000" },
    seconds: { type: "string", default: "0" },
  },
});

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}

/** Runs one target in a Worker; true if nothing was found. */
function run(name: string): Promise<boolean> {
  const target = TARGETS.find((target) => target.name === name);
  if (!target) throw new TypeError(`Cannot fuzz ${name}: the targets are ${TARGETS.map(({ name }) => name).join(", ")}`);
  const position = new Int32Array(new SharedArrayBuffer(8));
  const order: Order = {
    target: name,
    seed: Number(values.seed),
    mutations: Number(values.mutations),
    seconds: Number(values.seconds),
    position,
  };
  const began = performance.now();
  const whole = truncations(target);
  const worker = new Worker(new URL("./run_worker.ts", import.meta.url), { type: "module" });
  return new Promise((resolve) => {
    let seen = -1;
    let seenAt = began;
    let told = began;
    const end = (good: boolean): void => {
      clearInterval(timer);
      worker.terminate();
      resolve(good);
    };
    const spent = (): string => `${Math.round((performance.now() - began) / 1000)} s, ${Math.round(process.memoryUsage().rss / 1e6)} MB`;
    const timer = setInterval(() => {
      const mutating = Atomics.load(position, 1) === 1;
      const index = Atomics.load(position, 0);
      const now = performance.now();
      const place = mutating ? index + whole.count : index;
      if (place !== seen) {
        seen = place;
        seenAt = now;
      } else if (now - seenAt > HANGS_MS) {
        const input = mutating ? target.mutate(new Random(order.seed, index), target.recordings) : whole.at(index);
        say(`${name}, ${mutating ? `seed ${order.seed}, mutation` : "truncation"} ${index} takes longer than a minute: ${toHex(input)}`);
        end(false);
      }
      if (now - told > TELL_MS) {
        told = now;
        say(`  ${name}: ${mutating ? "mutation" : "truncation"} ${index} (${spent()})`);
      }
    }, LOOK_MS);
    worker.onmessage = ({ data }: { data: Report }): void => {
      if (data.kind === "found") {
        say(data.message);
        end(false);
      } else {
        const { truncated, mutated } = data;
        const tried = truncated.value + truncated.refused + mutated.value + mutated.refused;
        say(
          `${name}: ${truncated.value + truncated.refused} truncations and ${mutated.value + mutated.refused} mutations of ` +
            `${target.recordings.length} recordings, seed ${order.seed}: ${tried - truncated.refused - mutated.refused} values, ` +
            `${truncated.refused + mutated.refused} refused (${spent()})`,
        );
        end(true);
      }
    };
    worker.onerror = (event: Event & { message?: string }): void => {
      say(`${name}: ${event.message ?? "the Worker failed"}`);
      end(false);
    };
    worker.postMessage(order);
  });
}

let good = true;
for (const name of values.target) good = await run(name) && good;
process.exit(good ? 0 : 1);
