/** Collectors of other people, in a network namespace of their own: nothing on the machine is in their way, nor they in anybody's. */
import { spawnSync, type SpawnSyncReturns } from "node:child_process";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import process from "node:process";
import { programs } from "../support/programs.ts";

/** In a user namespace of its own no privilege is needed; where that is not allowed, root can do without. */
const WAYS = [["--user", "--map-root-user"], []];
const way = WAYS.find((words) => spawnSync("unshare", [...words, "--net", "--pid", "--fork", "ip", "link"]).status === 0);

/** How long a collector may take: less than a test may. */
const LIMIT_SECONDS = 40;

/** For the options of `node:test`: the collectors and a namespace for them. */
export function collectors(...names: string[]): ReturnType<typeof programs> {
  const needed = programs("ip", ...names);
  if (needed.skip || way || process.env.PSAMPLE_REQUIRE === "1") return needed;
  return { ...needed, skip: "this system allows no network namespaces" };
}

/** How a collector is run. */
export interface Collector {
  /** What is run: it must listen on {@linkcode Collector.port} of the loopback address. */
  readonly words: readonly string[];
  readonly port: number;
  /** A condition of the shell: whether it is ready, besides listening. What it has printed is in the file `$printed`. */
  readonly isReady?: string;
  /** Another one: whether it has dealt with what it has taken from its socket. */
  readonly isDone?: string;
  /** What ends it. Defaults to TERM. */
  readonly signal?: "TERM" | "KILL";
}

/** Runs a script of bash in a network namespace of its own; what it has started ends with it. */
function spawnAlone(script: string, words: readonly string[], input = ""): SpawnSyncReturns<string> {
  return spawnSync("unshare", [...way!, "--net", "--pid", "--fork", "--kill-child", "bash", "-c", script, "bash", ...words], {
    input,
    encoding: "utf8",
    env: { ...process.env, TZ: "UTC" },
    timeout: 1000 * (LIMIT_SECONDS + 10),
    killSignal: "SIGKILL",
  });
}

/**
 * Runs a script of bash in a network namespace of its own; what it has started ends with it.
 *
 * @param words Its arguments.
 * @returns What it printed on standard output.
 */
export function runAlone(script: string, words: readonly string[]): string {
  const { status, stdout, stderr, error } = spawnAlone(script, words);
  if (error || status !== 0) throw new Error(`the script ended with ${error ?? status}: ${stderr}${stdout}`);
  return stdout;
}

/**
 * Starts a collector, sends it datagrams from one socket, and ends it.
 *
 * @param directory Where files may be.
 * @returns What it printed.
 */
export function collect(directory: (name: string) => string, datagrams: readonly Uint8Array[], collector: Collector): string {
  const { words, port, isReady = "true", isDone = "true", signal = "TERM" } = collector;
  mkdirSync(directory("datagrams"));
  const names = datagrams.map((bytes, i) => {
    const name = directory(`datagrams/${String(i).padStart(6, "0")}`);
    writeFileSync(name, bytes);
    return name;
  });
  // A write to bash's /dev/udp is a datagram, of a socket that stays. In /proc/net/udp what waits in the queue of a socket is the second
  // half of the fifth field.
  const script = `
    set -u
    ip link set lo up
    printed='${directory("printed")}'
    "$@" >"$printed" 2>&1 & collector=$!
    at=$(printf ':%04X' ${port})
    queued() { awk -v at="$at" 'index($2, at) { split($5, queues, ":"); print queues[2] }' /proc/net/udp; }
    wait_for() { until "$@"; do kill -0 $collector || exit 9; [ $SECONDS -lt ${LIMIT_SECONDS} ] || exit 8; sleep 0.02; done; }
    is_ready() { [ -n "$(queued)" ] && ${isReady}; }
    has_read() { [ "$(queued)" = 00000000 ]; }
    is_done() { ${isDone}; }
    wait_for is_ready
    exec 3>/dev/udp/127.0.0.1/${port}
    while read -r name; do cat "$name" >&3; wait_for has_read; done
    wait_for is_done
    kill -${signal} $collector
    wait $collector
    exit 0`;
  const { status, stderr, error } = spawnAlone(script, words, names.map((name) => `${name}\n`).join(""));
  const printed = readFileSync(directory("printed"), "utf8");
  if (error || status !== 0) throw new Error(`${words[0]} ended with ${error ?? status}: ${stderr}${printed}`);
  return printed;
}
