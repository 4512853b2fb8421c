/**
 * What the kernel's own test of psample does (tools/testing/selftests/drivers/net/netdevsim/psample.sh): it runs `psample` with both
 * streams in one file until timeout(1) ends it, and counts and cuts the lines. It allows two seconds; here a run lasts until the command
 * listens, and then as long as there is something to wait for: an emulated processor takes longer to start a program.
 */
import { readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { assert, assertEquals } from "@std/assert";
import { COMMANDS, listensToSamples, openDirectory, Program } from "./runtime.ts";
import { pause, sample, scene, tc, until, wire } from "./scene.ts";

const linesOf = (file: string): string[] => readFileSync(file, "utf8").split("\n").slice(0, -1);

/** Both streams of a command, as lines: of one that runs until `enough`, and is then ended as timeout(1) does it. */
async function capture(words: readonly string[], file: string, enough: () => Promise<void>): Promise<string[]> {
  await using program = new Program(["sh", "-c", 'exec "$@" >"$0" 2>&1', file, ...words]);
  await until(() => `it listens; so far it said ${readFileSync(file, "utf8")}`, () => listensToSamples(program.pid));
  await enough();
  program.signal("SIGTERM");
  await program.ended;
  return linesOf(file);
}

for (const { name, words } of COMMANDS) {
  scene(`${name}: nothing at all is printed while nothing is sampled, and one line for each sample`, async () => {
    wire();
    sample("a egress", "rate 1 group 10");
    const directory = openDirectory();
    try {
      const file = join(directory, "out");
      assertEquals(await capture(words(), file, () => pause(500)), []);
      await using _sender = new Program(["ping", "-q", "-i", "0.05", "-I", "a", "192.0.2.2"]);
      const all = await capture(words(), file, () => until("ten samples are printed", () => linesOf(file).length >= 10));
      // The numbers at the end are told, since there are some.
      const lines = all.filter((line) => !line.startsWith("psample: received "));
      assert(lines.length >= 10, `${lines.length} lines`);
      for (const field of ["group 10 ", "out-ifindex ", "sample-rate 1 ", "origsize "]) {
        assertEquals(lines.filter((line) => line.includes(field)).length, lines.length, field);
      }
      tc("filter del dev a egress");
      assertEquals((await capture(words(), file, () => pause(500))).filter((line) => !line.startsWith("psample:")), []);
    } finally {
      rmSync(directory, { recursive: true });
    }
  });
}
