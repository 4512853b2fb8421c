/** A terminal's properties through the seam, and its user's settings. */
import { spawnSync } from "node:child_process";
import process from "node:process";
import { test } from "node:test";
import { assertEquals } from "@std/assert";
import { loadSys } from "../../src/sys/load.ts";
import { O_RDONLY } from "../../src/sys/sys.ts";
import { programs } from "../support/programs.ts";

const ROOT = new URL("../..", import.meta.url).pathname;
const COMMAND = ["Bun" in globalThis ? [] : ["run", "--no-check", "--no-prompt", "--allow-ffi"], [
  "cli/main.ts",
  "demo",
  "-q",
  "--count",
  "1",
  "--filter",
  "group 9",
]].flat();

/** The output of the demo in a terminal of this width, with this environment. */
function inTerminal(columns: number, environment: Readonly<Record<string, string | undefined>> = {}, ...options: string[]): string {
  // By env(1), because Deno passes on variables that spawnSync was told to leave out.
  const variables = Object.entries({ NO_COLOR: undefined, TERM: "xterm", ...environment });
  const env = ["env", ...variables.flatMap(([name, value]) => value === undefined ? [`--unset=${name}`] : [])];
  const set = variables.flatMap(([name, value]) => value === undefined ? [] : [`${name}=${value}`]);
  const line = [...env, ...set, process.execPath, ...COMMAND, ...options].map((word) => `'${word}'`).join(" ");
  const { status, stdout, stderr } = spawnSync("script", ["-qec", `stty cols ${columns} rows 24; ${line}`, "/dev/null"], {
    cwd: ROOT,
    encoding: "utf8",
    stdio: ["ignore", "pipe", "pipe"],
  });
  assertEquals(status, 0, stdout + stderr);
  return stdout.replaceAll("\r", "");
}

test("a descriptor other than a terminal has no size", async () => {
  const sys = await loadSys();
  const fd = sys.open("/dev/null", O_RDONLY, 0);
  assertEquals(sys.windowSize(fd), undefined);
  sys.close(fd);
  assertEquals(sys.windowSize(-1), undefined);
});

test("lines fit the terminal's width", programs("script", "stty"), () => {
  const plain = { NO_COLOR: "1" };
  const length = (columns: number): string => inTerminal(columns, plain).trimEnd().split("\n").at(-1)!.slice(15);
  const udp = "192.0.2.2.4000 > 192.0.2.1.5000: UDP";
  assertEquals(length(100), ` tun0     <   128 ${udp}, length 100`);
  assertEquals(length(72), ` tun0     <   128 ${udp}`);
  assertEquals(length(60), ` tun0  < ${udp}`);
  // A terminal that does not know how wide it is.
  assertEquals(length(0), ` tun0     <   128 ${udp}`);
});

test("colours are used if the terminal has them and the user wants them", programs("script", "stty"), () => {
  const has = (environment: Readonly<Record<string, string | undefined>>, ...options: string[]): boolean =>
    // deno-lint-ignore no-control-regex -- not what the runtime itself writes before
    /\x1b\[\d+m/.test(inTerminal(80, environment, ...options));
  assertEquals(
    [has({}), has({ NO_COLOR: "1" }), has({ NO_COLOR: "" }), has({ TERM: "dumb" }), has({ TERM: undefined })],
    [true, false, true, false, true],
  );
  assertEquals([has({}, "--color", "never"), has({ NO_COLOR: "1" }, "--color", "always")], [false, true]);
});
