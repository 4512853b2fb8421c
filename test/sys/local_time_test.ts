/** Local time is libc's: both runtimes understand what C programs do, with no permission except FFI. */
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { test } from "node:test";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { assertEquals } from "@std/assert";

const RUN = "Bun" in globalThis ? [] : ["run", "--no-check", "--allow-ffi"];
const SCRIPT = fileURLToPath(new URL("local_time.ts", import.meta.url));

const COMMAND = fileURLToPath(new URL("../../cli/main.ts", import.meta.url));

/** The output of a script with this TZ. */
function output(zone: string, ...words: string[]): string {
  const { stdout, stderr, status } = spawnSync(process.execPath, [...RUN, ...words], {
    encoding: "utf8",
    env: { ...process.env, TZ: zone, NO_COLOR: "1" },
  });
  assertEquals(status, 0, stderr);
  return stdout;
}

function offsets(zone: string, ...times: number[]): number[] {
  return output(zone, SCRIPT, ...times.map(String)).trim().split("\n").map(Number);
}

const JANUARY = 1768435200;
const JULY = 1784000000;
/** The seconds before summer time begins and ends in Central Europe, in 2026. */
const SPRING = 1774745999;
const AUTUMN = 1792889999;
const HOUR = 3600;

test("a POSIX zone with rules, as OpenWrt sets it, is local time", () => {
  assertEquals(
    offsets("CET-1CEST,M3.5.0,M10.5.0/3", JANUARY, JULY, SPRING, SPRING + 1, AUTUMN, AUTUMN + 1),
    [HOUR, 2 * HOUR, HOUR, 2 * HOUR, 2 * HOUR, HOUR],
  );
});

test("POSIX zones without rules, quoted, west of Greenwich, and south of the equator are local time", () => {
  assertEquals(offsets("<+0530>-5:30", JULY), [5.5 * HOUR]);
  assertEquals(offsets("BRT3", JULY), [-3 * HOUR]);
  assertEquals(offsets("AEST-10AEDT,M10.1.0,M4.1.0/3", JANUARY, JULY), [11 * HOUR, 10 * HOUR]);
});

test("a file is local time, as /etc/localtime is", () => {
  // TZif, RFC 9636: in version 2's block one transition, in 1970; the footer is for what comes after it.
  const ascii = (text: string): number[] => [...text].map((letter) => letter.charCodeAt(0));
  const header = (transitions: number): number[] => {
    const counts = [0, 0, 0, transitions, 1, 4].flatMap((count) => [0, 0, 0, count]);
    return [...ascii("TZif2"), ...new Array(15).fill(0), ...counts];
  };
  const type = [0, 0, 0, 0, 0, 0, ...ascii("UTC\0")];
  const transition = [...new Array(8).fill(0), 0];
  const footer = ascii("\nCET-1CEST,M3.5.0,M10.5.0/3\n");
  const directory = mkdtempSync(join(tmpdir(), "psample-zone-"));
  try {
    const file = join(directory, "zone");
    writeFileSync(file, Uint8Array.from([...header(0), ...type, ...header(1), ...transition, ...type, ...footer]));
    assertEquals(offsets(`:${file}`, JANUARY, JULY), [HOUR, 2 * HOUR]);
  } finally {
    rmSync(directory, { recursive: true });
  }
});

test("an empty TZ is UTC, and so is every year that libc cannot represent", () => {
  assertEquals(offsets("", JULY), [0]);
  assertEquals(offsets("BRT3", JULY, 9e17), [-3 * HOUR, 0]);
});

test("the command prints local time", () => {
  const timestamp = (zone: string): number => {
    const [, text] = /timestamp \w+ (.*) \d+ nsec/.exec(output(zone, COMMAND, "demo", "-q", "--text", "--count", "1"))!;
    return Date.parse(`${text} UTC`) / 1000;
  };
  assertEquals(timestamp("IST-5:30") - timestamp(""), 5.5 * HOUR);
});
