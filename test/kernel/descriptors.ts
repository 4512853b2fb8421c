/**
 * What endurance_test.ts runs with a low limit of descriptors, all of which it uses.
 *
 *   descriptors.ts start               listens, again and again: with no descriptor left, with one, and so on, until it can.
 *                                      Prints what each attempt came to, and how many descriptors were left afterwards
 *   descriptors.ts later [ARGUMENT]... the command; from the moment that it gets SIGUSR2 none is left
 */
import { closeSync, openSync } from "node:fs";
import process from "node:process";
import { main } from "../../cli/main.ts";
import { listen, listGroups } from "../../mod.ts";

/** Opens descriptors until none is left. */
function fill(): number[] {
  const opened: number[] = [];
  try {
    for (;;) opened.push(openSync("/dev/null", "r"));
  } catch (error) {
    if ((error as { code?: string }).code !== "EMFILE") throw error;
    return opened;
  }
}

async function start(): Promise<void> {
  // Everything is loaded by now: this is not about a program whose own files cannot be read.
  await listGroups();
  const opened = fill();
  const attempts: { free: number; left: number; said: string }[] = [];
  let said: string | undefined;
  for (let free = 0; said !== "listening"; free++) {
    said = await listen().then((listener) => listener.close()).then(() => "listening", (error) => `${error}`);
    const left = fill();
    for (const fd of left) closeSync(fd);
    attempts.push({ free, left: left.length, said });
    closeSync(opened.pop()!);
  }
  process.stdout.write(JSON.stringify(attempts));
}

const [when, ...args] = process.argv.slice(2);
if (when === "start") {
  await start();
} else {
  process.once("SIGUSR2", () => {
    fill();
    process.stderr.write("no descriptors left\n");
  });
  process.exit(await main(args));
}
