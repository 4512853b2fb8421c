/** The README's commands, typed as they stand there, on a device that has the name that they say. */
import { spawn, spawnSync } from "node:child_process";
import { rmSync, writeFileSync } from "node:fs";
import process from "node:process";
import { assert, assertEquals } from "@std/assert";
import { needsKernel, readmeCommands } from "../support/readme.ts";
import { ethernet, PEER } from "./frames.ts";
import { COMMANDS, openDirectory, script } from "./runtime.ts";
import { ip, pause, scene, send, until } from "./scene.ts";

const ETH0 = 150;
/** What takes no end by itself: it is ended as a person would. */
const ENDLESS = /^psample( capture .*| -g .*)?$/;

/** Types a line into a shell in which `psample` is the command. */
async function type(line: string, directory: string): Promise<{ status: number | null; out: string; err: string }> {
  const command = process.env.PSAMPLE_BINARY ? COMMANDS.at(-1)!.words() : script("cli/main.ts", "--allow-read", "--allow-write");
  writeFileSync(`${directory}/psample`, `#!/bin/sh\nexec ${command.map((word) => `'${word}'`).join(" ")} "$@"\n`, { mode: 0o755 });
  const child = spawn("sh", ["-c", `exec ${line}`], {
    cwd: directory,
    env: { ...process.env, PATH: `${directory}:${process.env.PATH}` },
    stdio: ["ignore", "pipe", "pipe"],
  });
  let out = "";
  let err = "";
  let status: number | null | undefined;
  child.stdout.on("data", (chunk) => out += chunk);
  child.stderr.on("data", (chunk) => err += chunk);
  child.on("close", (code) => status = code);
  let told = false;
  await until(`${line} ends; so far it said ${err}${out}`, async () => {
    // Somebody has to use the network, or there is nothing to sample.
    for (let i = 0; i < 20; i++) send(ETH0, ethernet(PEER, PEER, 0x88b5, new Uint8Array(60)));
    const seen = line.includes("capture") ? err.includes("sampling eth0") : out.includes("\n");
    if (ENDLESS.test(line) && seen && !told) {
      told = true;
      await pause(500);
      if (status === undefined) process.kill(child.pid!, "SIGINT");
    }
    return status !== undefined;
  });
  return { status: status!, out, err };
}

scene("README: every command about a real machine works as it stands there", "module:dummy", async () => {
  ip(`link add name eth0 index ${ETH0} type dummy`, "link set dev eth0 up");
  const commands = readmeCommands().flat().filter(needsKernel);
  assert(commands.length > 10);
  const directory = openDirectory();
  try {
    for (const line of commands) {
      // Some of them want to see samples: of everything, all the time.
      const background = line.startsWith("psample") && !line.includes("capture");
      if (background) {
        spawnSync("tc", ["qdisc", "add", "dev", "eth0", "clsact"]);
        for (const group of [5, 6]) {
          const where = ["dev", "eth0", "egress", "pref", `${group}`, "matchall"];
          const { status, stderr } = spawnSync("tc", [
            "filter",
            "replace",
            ...where,
            "action",
            "sample",
            "rate",
            "1",
            "group",
            `${group}`,
            "continue",
          ]);
          assertEquals(status, 0, stderr.toString());
        }
      }
      const { status, out, err } = await type(line, directory);
      assertEquals(status, 0, `${line}\n${out}${err}`);
      if (line.startsWith("psample") && !line.includes("-w") && !line.includes("capture")) assert(out.length > 0, line);
      if (background) spawnSync("tc", ["filter", "del", "dev", "eth0", "egress"]);
    }
  } finally {
    rmSync(directory, { recursive: true });
  }
});
