/** The README's commands, typed unchanged, on a device of the name that they use. */
import { rmSync } from "node:fs";
import { assert, assertEquals } from "@std/assert";
import { needsKernel, readmeCommands } from "../support/readme.ts";
import { ethernet, PEER } from "./frames.ts";
import { type Ended, listensToSamples, openDirectory } from "./runtime.ts";
import { ip, scene, send, tc } from "./scene.ts";
import { installIn, typeLine } from "./typing.ts";

const ETH0 = 150;
/** Commands that do not end on their own: they are ended as a user would. */
const ENDLESS = /^psample( capture .*| export .*| -g .*)?$/;
/** Commands that set sampling up themselves. */
const SAMPLES = /^psample (capture|export) /;

/** Types a line. */
async function type(line: string, directory: string): Promise<Ended> {
  return await typeLine(line, directory, {
    // Without packets there is nothing to sample.
    send: () => send(ETH0, ...Array.from({ length: 3 }, () => ethernet(PEER, PEER, 0x88b5, new Uint8Array(60)))),
    // With 1 in 1000, by hand and by capture, it would take too long to wait for samples.
    isEnough: ENDLESS.test(line)
      ? async ({ pid, out, err }) => {
        if (SAMPLES.test(line)) return err.includes("sampling eth0");
        return line.includes("--details") ? await listensToSamples(pid) : out.includes("\n");
      }
      : undefined,
  });
}

/** Two groups that receive everything that leaves the device. */
function sampleEverything(): void {
  tc("qdisc add dev eth0 clsact");
  for (const group of [5, 6]) tc(`filter add dev eth0 egress pref ${group} matchall action sample rate 1 group ${group} continue`);
}

/** Types lines into one shell after the other, in a directory of their own. */
async function typed(lines: readonly string[]): Promise<void> {
  ip(`link add name eth0 index ${ETH0} type dummy`, "link set dev eth0 up");
  // A collector knows the machine by an address, and is reached by one.
  if (lines.some((line) => line.includes(" export "))) ip("address add 192.0.2.1/24 dev eth0");
  // The lines with tc begin with the qdisc; capture and export create their own.
  if (!lines.some((line) => line.startsWith("tc ") || SAMPLES.test(line))) sampleEverything();
  const directory = openDirectory();
  try {
    installIn(directory);
    for (const line of lines) {
      const { status, out, err } = await type(line, directory);
      assertEquals(status, 0, `${line}\n${out}${err}`);
      if (/^psample(?!.* -w )/.test(line) && !SAMPLES.test(line) && !lines[0]!.startsWith("tc ")) assert(out.length > 0, line);
    }
  } finally {
    rmSync(directory, { recursive: true });
  }
}

for (const block of readmeCommands().map((block) => block.filter(needsKernel)).filter((block) => block.length > 0)) {
  // The lines for doing it by hand belong together; the others are independent, except that what is read was written before.
  const together = block[0]!.startsWith("tc ") ? [block] : block.map((line, i) => line.includes(" read ") ? [block[i - 1]!, line] : [line]);
  for (const lines of together) scene(`README: ${lines.at(-1)} works as it stands there`, "module:dummy", () => typed(lines));
}
