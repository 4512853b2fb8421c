/** What the packages of all distributions say and do alike. */
import { spawnSync } from "node:child_process";
import process from "node:process";

/** One line. */
export const SUMMARY = "see, measure, record and export Linux packet samples";
/** More lines; an empty one separates paragraphs. */
export const TEXT: readonly string[] = [
  "Linux samples packets: a tc action, switch drivers or Open vSwitch pick one packet",
  "in N and pass it to user space (psample). This command sets sampling up and removes",
  "it again, prints and records samples, estimates who talks how much, with error",
  "bounds, and sends samples to collectors (sFlow, IPFIX, Prometheus, OpenTelemetry).",
  "",
  "The executable contains the runtime Bun: no other package is needed. Do not strip it,",
  "and do not give it file capabilities (SECURITY.md).",
];
/** The services that the package has: a new version restarts those that run. */
export const SERVICES: readonly string[] = ["psample-export.service", "psample.service"];
/** Its recordings of devices, by timers: each ends on its own, so that one that runs goes on with the version that began it. */
export const RECORDINGS: readonly string[] = ["psample-record@.service", "psample-record@.timer"];

/** What ends all of them before the package is removed: for sh(1). */
export const END_SERVICES = `systemctl disable --now ${SERVICES.join(" ")}
  systemctl stop 'psample-record@*'
  systemctl disable psample-record@.timer`;

/** What a package says about itself, and how it is made. */
export interface PackageOptions<Architecture extends string> {
  version: string;
  /** The machine, as the distribution calls it. */
  architecture: Architecture;
  /** Name and address of who answers for the package. */
  maintainer: string;
  /** The time of everything in it, in seconds since 1970. */
  seconds: number;
  /** Compresses nothing, for tests. */
  fast: boolean;
}

/** Runs a program that makes a package; fails with what it said. */
export function runTool(program: string, words: readonly string[], environment: Record<string, string>): void {
  const { status, signal, stdout, stderr, error } = spawnSync(program, words, {
    env: { ...process.env, ...environment },
    encoding: "utf8",
  });
  if (error) throw new Error(`Cannot start ${program}: ${error.message}`);
  if (status !== 0) throw new Error(`${program} ended with ${signal ?? `status ${status}`}: ${(stderr + stdout).trim()}`);
}
