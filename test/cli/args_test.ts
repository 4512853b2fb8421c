import { test } from "node:test";
import { assertEquals, assertThrows } from "@std/assert";
import { duration, type Option, parseCommand, UsageError, wholeNumber } from "../../cli/args.ts";

const OPTIONS: readonly Option[] = [
  { name: "verbose", letter: "v", help: "" },
  { name: "json", help: "" },
  { name: "group", letter: "g", value: "N", repeats: true, help: "" },
  { name: "write", letter: "w", value: "FILE", help: "" },
];

function parsed(...args: string[]): { switches: string[]; values: Record<string, readonly string[]>; words: readonly string[] } {
  const { switches, values, words } = parseCommand(args, OPTIONS);
  return { switches: [...switches], values: Object.fromEntries(values), words };
}

function refusal(...args: string[]): string {
  return assertThrows(() => parseCommand(args, OPTIONS), UsageError).message;
}

test("parseCommand takes short, long and joined options, in any order", () => {
  assertEquals(parsed("-v", "-g", "5", "file", "--json"), { switches: ["verbose", "json"], values: { group: ["5"] }, words: ["file"] });
  assertEquals(parsed("-g5"), { switches: [], values: { group: ["5"] }, words: [] });
  assertEquals(parsed("--group=5", "--group", "6"), { switches: [], values: { group: ["5", "6"] }, words: [] });
  assertEquals(parsed("-vg", "7"), { switches: ["verbose"], values: { group: ["7"] }, words: [] });
});

test("parseCommand leaves values as text: they are not numbers yet", () => {
  assertEquals(parsed("-w", "007"), { switches: [], values: { write: ["007"] }, words: [] });
  assertEquals(parsed("0x10").words, ["0x10"]);
});

test("parseCommand takes - for standard output, behind a short and a long option, and as a word", () => {
  assertEquals(parsed("-w", "-").values, { write: ["-"] });
  assertEquals(parsed("--write", "-").values, { write: ["-"] });
  assertEquals(parsed("-").words, ["-"]);
});

test("parseCommand names the option nearest to an unknown one", () => {
  assertEquals(refusal("--verbos"), "unknown option --verbos; the nearest is --verbose");
  assertEquals(refusal("--gruop=5"), "unknown option --gruop=5; the nearest is --group");
  assertEquals(refusal("--color"), "unknown option --color");
  assertEquals(refusal("-x"), "unknown option -x");
});

test("parseCommand refuses an option without its value, and one that is given too often", () => {
  assertEquals(refusal("-w"), "--write needs a value: --write FILE");
  assertEquals(refusal("--write"), "--write needs a value: --write FILE");
  assertEquals(refusal("-w", "a", "-w", "b"), "--write was given 2 times, it takes one value");
});

test("wholeNumber takes decimal and hexadecimal within its bounds only", () => {
  assertEquals(wholeNumber("4294967295", "it"), 4294967295);
  assertEquals(wholeNumber("0x10", "it"), 16);
  for (const text of ["4294967296", "-1", "1.5", "", " 1", "1e3", "five"]) assertThrows(() => wholeNumber(text, "it"), UsageError);
  assertThrows(() => wholeNumber("0", "it", 10, 1), UsageError);
});

test("duration takes units, and seconds without one", () => {
  assertEquals(["10s", "500ms", "2m", "1h", "3", "0.5"].map((text) => duration(text, "it")), [10_000, 500, 120_000, 3_600_000, 3000, 500]);
  for (const text of ["0", "10x", "", "-1s", "99999999h"]) assertThrows(() => duration(text, "it"), UsageError);
});
