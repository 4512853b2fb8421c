/** The kernel module, which scenes of a kernel that `boot` started may load and unload. */
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { run, until } from "./scene.ts";

/** Loads psample and the modules that use it. */
export function loadPsample(): void {
  run("modprobe", ["-a", "psample", "act_sample"]);
}

/** Unloads psample. The kernel removes what earlier scenes left when it has time. */
export async function unloadPsample(): Promise<void> {
  const users = (): string => readFileSync("/proc/modules", "utf8").split("\n").filter((line) => line.includes("sample")).join("; ");
  await until(() => `the psample module is unloaded: ${users()}`, () => {
    spawnSync("modprobe", ["-r", "openvswitch"]);
    return spawnSync("modprobe", ["-r", "act_sample"]).status === 0 && spawnSync("modprobe", ["-r", "psample"]).status === 0;
  }, 40_000);
}
