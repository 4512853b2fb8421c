/**
 * What the kernel's own test of psample does (tools/testing/selftests/drivers/net/netdevsim/psample.sh): it runs `psample` for two seconds
 * with both streams in one file, and counts and cuts the lines.
 */
import { spawnSync } from "node:child_process";
import { readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { assert, assertEquals } from "@std/assert";
import { COMMANDS, openDirectory } from "./runtime.ts";
import { sample, scene, tc, wire } from "./scene.ts";

/** Both streams of two seconds, as lines. */
function capture(words: readonly string[], file: string): string[] {
  spawnSync("timeout", ["2", "sh", "-c", 'exec "$@" >"$0" 2>&1', file, ...words]);
  return readFileSync(file, "utf8").split("\n").slice(0, -1);
}

for (const { name, words } of COMMANDS) {
  scene(`${name}: nothing at all is printed while nothing is sampled, and one line for each sample`, () => {
    wire();
    sample("a egress", "rate 1 group 10");
    const directory = openDirectory();
    try {
      const file = join(directory, "out");
      assertEquals(capture(words(), file), []);
      // The numbers at the end are told, since there are some.
      const lines = captureWhileSending(words(), file).filter((line) => !line.startsWith("psample: received "));
      assert(lines.length > 1, `${lines.length} lines`);
      for (const field of ["group 10 ", "out-ifindex ", "sample-rate 1 ", "origsize "]) {
        assertEquals(lines.filter((line) => line.includes(field)).length, lines.length, field);
      }
      tc("filter del dev a egress");
      assertEquals(capture(words(), file).filter((line) => !line.startsWith("psample:")), []);
    } finally {
      rmSync(directory, { recursive: true });
    }
    return Promise.resolve();
  });
}

/** The same while a process beside it sends. */
function captureWhileSending(words: readonly string[], file: string): string[] {
  const ping = 'ping -q -i 0.05 -w 4 -I a 192.0.2.2 >"$1" 2>&1 & pinging=$!; shift';
  spawnSync("sh", ["-c", `file=$0; ${ping}; timeout 2 "$@" >"$file" 2>&1; kill $pinging`, file, "/dev/null", ...words]);
  return readFileSync(file, "utf8").split("\n").slice(0, -1);
}
