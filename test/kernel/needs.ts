/**
 * What a test requires and not every machine has. If it is missing the test is skipped, and standard error says
 * why; with PSAMPLE_REQUIRE=1 that is a failure. Four things are a skip even then: what the kernel is too old
 * for, or built without, what may only be done to a kernel that `boot` started, other people's readers of our
 * recordings, and foreign daemons in a run that does not ask for them.
 */
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { release } from "node:os";
import process from "node:process";
import { test } from "node:test";
import { listGroups } from "../../mod.ts";
import { UNWANTED, unwanted } from "../run/daemons.ts";
import { controllers } from "./cgroup.ts";

/**
 * - `psample`: the kernel has psample, or can load it
 * - `net_admin`: the user may make network namespaces and set up devices and sampling in them
 * - `initial-namespace`: the same, and not only in a user namespace
 * - `guest`: the kernel is one that `boot` started, so that modules may come and go
 * - `linux>=6.11`: a feature of that kernel
 * - `program:NAME`: a program in PATH
 * - `module:NAME`: a kernel module besides psample's own
 * - `controller:NAME`: a controller of control groups, in a kernel that `boot` started: elsewhere somebody else manages them
 */
export type Need =
  | "psample"
  | "net_admin"
  | "initial-namespace"
  | "guest"
  | `linux>=${number}.${number}`
  | `program:${string}`
  | `module:${string}`
  | `controller:${string}`;

const CAP_NET_ADMIN = 12n;
const CAP_SYS_ADMIN = 21n;

/** For the options of `node:test`: `test(name, needs("psample"), ...)`. */
export function needs(...all: Need[]): { skip: string | false } {
  for (const need of all) {
    const missing = unmet(need);
    if (missing === undefined) continue;
    told(need, missing);
    return { skip: missing };
  }
  return { skip: false };
}

// Debian's User Mode Linux is built without the drop monitor.
const EXCUSED = /^(linux>=|guest$|controller:|program:tshark$|module:drop_monitor$)/;

/** Runtimes keep the reason of a skip to themselves. */
const toldAlready = new Set<string>();
function told(need: Need, missing: string): void {
  if (toldAlready.has(need)) return;
  toldAlready.add(need);
  process.stderr.write(`test/kernel: skipping what needs ${need}: ${missing}\n`);
  if (process.env.PSAMPLE_REQUIRE === "1" && !EXCUSED.test(need) && missing !== UNWANTED) {
    test(`this machine has what the tests need: ${need}`, () => {
      throw new Error(`PSAMPLE_REQUIRE=1 is set, but ${missing}`);
    });
  }
}

const known = new Map<Need, string | undefined>();
function unmet(need: Need): string | undefined {
  if (!known.has(need)) known.set(need, examine(need));
  return known.get(need);
}

function examine(need: Need): string | undefined {
  const [kind, name] = split(need);
  switch (kind) {
    case "psample":
      return psampleMissing;
    case "net_admin":
      if (!may(CAP_NET_ADMIN) || !may(CAP_SYS_ADMIN)) return "it takes CAP_NET_ADMIN and CAP_SYS_ADMIN: run it as root";
      if (spawnSync("unshare", ["--net", "true"]).status !== 0) return "this system allows no network namespaces";
      for (const program of ["ip", "tc"]) if (!has(program)) return `the program ${program} is missing: install iproute2`;
      return undefined;
    case "initial-namespace":
      // Only the initial user namespace maps every user to itself.
      return /^\s*0\s+0\s+4294967295\s*$/.test(read("/proc/self/uid_map")) ? unmet("net_admin") : "this is a user namespace";
    case "guest":
      return process.env.PSAMPLE_GUEST
        ? undefined
        : "nobody wants modules unloaded from a kernel in use: run it in one that test/kernel/boot starts";
    case "linux":
      return atLeast(release(), name) ? undefined : `this kernel is ${release()}`;
    case "controller":
      return unmet("guest") ??
        (controllers().includes(name) ? undefined : `this kernel is built without the controller ${name} of control groups`);
    case "program":
      if (unwanted([name]).length > 0) return UNWANTED;
      return has(name) ? undefined : `the program ${name} is missing`;
    default:
      return modprobe(name) ? undefined : `this kernel has no module ${name}`;
  }
}

function split(need: Need): [kind: string, name: string] {
  const at = need.search(/:|>=/);
  return at < 0 ? [need, ""] : [need.slice(0, at), need.slice(at).replace(/^(:|>=)/, "")];
}

function may(capability: bigint): boolean {
  const effective = /^CapEff:\s*([0-9a-f]+)$/m.exec(read("/proc/thread-self/status"))?.[1] ?? "0";
  return (BigInt(`0x${effective}`) >> capability & 1n) === 1n;
}

function has(program: string): boolean {
  return spawnSync("sh", ["-c", `command -v "$0"`, program]).status === 0;
}

function modprobe(name: string): boolean {
  return new RegExp(`^${name} `, "m").test(read("/proc/modules")) || spawnSync("modprobe", ["-q", name]).status === 0;
}

/** Whether this kernel is of a version, or newer. */
export function linuxAtLeast(version: string): boolean {
  return atLeast(release(), version);
}

function atLeast(version: string, least: string): boolean {
  const [major = 0, minor = 0] = version.split(".").map((part) => parseInt(part));
  const [leastMajor = 0, leastMinor = 0] = least.split(".").map(Number);
  return major > leastMajor || (major === leastMajor && minor >= leastMinor);
}

function read(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}

const psampleMissing = await (async (): Promise<string | undefined> => {
  if (may(CAP_SYS_ADMIN)) modprobe("act_sample");
  try {
    await listGroups();
    return undefined;
  } catch (error) {
    return `psample cannot be reached: ${error instanceof Error ? error.message : error}`;
  }
})();
