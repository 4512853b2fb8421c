/**
 * Collectors, databases and service managers of other people: what they make of our exports is tested only in a run that asks for
 * them, `deno task test --daemons`, because they are large and start slowly. This is the one place that knows which they are.
 * A test asks for one as for any program, by `programs()`, `collectors()` or `needs()`.
 */
import process from "node:process";

/** The programs, and the Debian packages that have them. */
export const DAEMONS: Record<string, string> = {
  nfacctd: "pmacct",
  sfacctd: "pmacct",
  sfcapd: "nfdump-sflow",
  nfcapd: "nfdump",
  nfdump: "nfdump",
  prometheus: "prometheus",
  promtool: "prometheus",
  initdb: "postgresql-15",
  postgres: "postgresql-15",
  psql: "postgresql-client-15",
  "clickhouse-server": "clickhouse-server",
  "clickhouse-client": "clickhouse-client",
  // No daemon, but as large: an emulated processor, for the executables of other machines.
  "qemu-aarch64": "qemu-user",
};

/** Packages of npm that are as large: those of `test/tools/daemons`. */
export const DAEMON_PACKAGES: readonly string[] = ["@duckdb/node-api"];

/** What the programs' packages take to download, with what they depend on. */
export const DAEMONS_MEGABYTES = 127;
/** And those of npm. */
export const DAEMON_PACKAGES_MEGABYTES = 24;

/** What `--daemons` sets, so that the processes of the tests know. */
const VARIABLE = "PSAMPLE_DAEMONS";

/** Asks for them, in this process and in those that it starts. */
export function wantDaemons(): void {
  process.env[VARIABLE] = "1";
}

/** Whether this run asks for them. */
export function daemonsWanted(): boolean {
  return process.env[VARIABLE] === "1";
}

/** Those of these programs and packages that this run does not ask for. */
export function unwanted(names: readonly string[]): string[] {
  return daemonsWanted() ? [] : names.filter((name) => name in DAEMONS || DAEMON_PACKAGES.includes(name));
}

/** Why a test of one is skipped, and what runs it. */
export const UNWANTED = `foreign daemons take part only in deno task test --daemons (${VARIABLE}=1)`;
