/** Sampling that starts and stops while another program keeps changing the same clsact qdisc. */
import { spawn } from "node:child_process";
import { assert, assertEquals } from "@std/assert";
import { addSampling, cleanUpSampling, NetlinkError } from "../../mod.ts";
import { EBUSY } from "../../src/sys/sys.ts";
import { script } from "./runtime.ts";
import { ip, say, scene, soon, until } from "./scene.ts";
import { tcFilters } from "./tc_dump.ts";

const IFINDEX = 150;
/** As many as time allows: an emulated processor on a busy machine manages one or two in a second. */
const CYCLES = 1000;
const MOST_MS = 30_000;

/** What the other program prints at its end. */
interface Told {
  put: number;
  replaced: number;
  lost: number;
  qdiscsLost: number;
  foundGone: number;
}

/** Does something while the other program works on the device; returns what that prints. */
async function besideStranger(work: () => Promise<void>): Promise<Told> {
  const [program, ...args] = [...script("test/kernel/stranger.ts"), `${IFINDEX}`, "1"];
  const child = spawn(program!, args, { stdio: ["pipe", "pipe", "inherit"] });
  let out = "";
  child.stdout.setEncoding("utf8").on("data", (text: string) => out += text);
  const end = new Promise((resolve) => child.on("close", resolve));
  try {
    await until("it is at it", () => out.startsWith("ready\n"));
    await work();
    child.stdin.end();
    await soon(end, "the end of the stranger");
    return JSON.parse(out.slice("ready\n".length));
  } finally {
    child.kill("SIGKILL");
  }
}

scene(
  "another program on the same clsact: what it loses it loses at the one possible moment, and we report it",
  "module:dummy",
  async () => {
    ip(`link add name d0 index ${IFINDEX} type dummy`, "link set dev d0 up");
    const warnings: string[] = [];
    let cycles = 0;
    let refused = 0;
    const told = await besideStranger(async () => {
      const deadline = Date.now() + MOST_MS;
      for (; cycles < CYCLES && Date.now() < deadline; cycles++) {
        const direction = (["ingress", "egress", "both"] as const)[cycles % 3]!;
        try {
          const handle = await addSampling({ device: "d0", direction, rate: 1, onWarning: (message) => warnings.push(message) });
          await handle.remove();
        } catch (error) {
          // On an emulated processor the other program may interfere with every attempt.
          if (!(error instanceof NetlinkError && error.errno === EBUSY)) throw error;
          refused++;
        }
      }
    });
    say(`${cycles} cycles beside a stranger, ${refused} of them given up: ${JSON.stringify(told)}, ${warnings.length} warnings`);
    assert(told.put > 0 && told.replaced > 0, "it did nothing");
    assert(refused < cycles / 10, `${refused} of ${cycles} were given up`);
    assert(told.lost + told.qdiscsLost <= warnings.length, `it lost more than we warned of: ${JSON.stringify(warnings)}`);
    const left = tcFilters(["d0"]).filter(({ filter }) => filter.options?.actions?.some(({ kind }) => kind === "sample"));
    assertEquals(left, []);
    assertEquals((await cleanUpSampling()).removed, []);
  },
);
