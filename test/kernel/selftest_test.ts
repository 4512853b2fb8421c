/**
 * What the kernel's own test of psample does (tools/testing/selftests/drivers/net/netdevsim/psample.sh): it runs `psample` with both
 * streams in one file until timeout(1) ends it, and counts and cuts the lines. Its device is not in these kernels, so here a veth is
 * sampled. It allows two seconds; here a run lasts until the command listens, and then as long as there is something to wait for: an
 * emulated processor takes longer to start a program.
 */
import { existsSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { assert, assertEquals } from "@std/assert";
import { COMMANDS, listensToSamples, openDirectory, Program } from "./runtime.ts";
import { pause, sample, scene, tc, until, wire } from "./scene.ts";

const linesOf = (file: string): string[] => readFileSync(file, "utf8").split("\n").slice(0, -1);

/** Both streams of a command, as lines. It runs until `enough` resolves, and is then ended by timeout(1) as if its time were over. */
async function capture(words: readonly string[], file: string, enough: () => Promise<void>): Promise<string[]> {
  const pid = `${file}.pid`;
  const shell = `exec timeout --preserve-status 900 sh -c 'echo $$ >"$0.pid"; exec "$@"' "$0" "$@" >"$0" 2>&1`;
  await using program = new Program(["sh", "-c", shell, file, ...words]);
  const said = (): string => existsSync(file) ? readFileSync(file, "utf8") : "";
  await until(
    () => `it listens; so far it said ${said()}`,
    async () => existsSync(pid) && await listensToSamples(Number(readFileSync(pid, "utf8"))),
  );
  await enough();
  // The signal makes timeout(1) do what it does when the time is over.
  program.signal("SIGTERM");
  const { status } = await program.ended;
  assertEquals(status, 0, said());
  rmSync(pid);
  return linesOf(file);
}

for (const { name, words } of COMMANDS) {
  scene(`${name}: nothing at all is printed while nothing is sampled, and one line for each sample`, "program:timeout", async () => {
    wire();
    const directory = openDirectory();
    try {
      const file = join(directory, "out");
      await using _sender = new Program(["ping", "-q", "-i", "0.05", "-I", "a", "192.0.2.2"]);
      assertEquals(await capture(words(), file, () => pause(500)), []);
      sample("a egress", "rate 1 group 1234 trunc 96");
      const all = await capture(words(), file, () => until("ten samples are printed", () => linesOf(file).length >= 10));
      // There is a summary at the end, because samples were received.
      const lines = all.filter((line) => !line.startsWith("psample: received "));
      assertEquals(all.length - lines.length, 1, all.at(-1));
      assert(lines.length >= 10, `${lines.length} lines`);
      for (const field of ["group 1234 ", "out-ifindex ", "sample-rate 1 ", "origsize "]) {
        assertEquals(lines.filter((line) => line.includes(field)), lines, field);
      }
      tc("filter del dev a egress");
      assertEquals(await capture(words(), file, () => pause(500)), []);
    } finally {
      rmSync(directory, { recursive: true });
    }
  });
}
