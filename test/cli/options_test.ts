import { test } from "node:test";
import { assert, assertEquals, assertThrows } from "@std/assert";
import { main } from "../../cli/main.ts";
import { capture, CAPTURE_OPTIONS, samplingOptions } from "../../cli/commands/capture.ts";
import { demo } from "../../cli/commands/demo.ts";
import { doctor } from "../../cli/commands/doctor.ts";
import { cleanup } from "../../cli/commands/cleanup.ts";
import { list } from "../../cli/commands/list.ts";
import { monitor } from "../../cli/commands/monitor.ts";
import { read } from "../../cli/commands/read.ts";
import { command } from "../../cli/command.ts";
import {
  choice,
  duration,
  flag,
  longName,
  milliseconds,
  number,
  numbers,
  outputFile,
  parse,
  type Parsed,
  takesNext,
  text,
  texts,
  UsageError,
  wholeNumber,
} from "../../cli/options.ts";
import type { SamplingOptions } from "../../mod.ts";
import { fakeIo } from "./fake_io.ts";

const ABOUT = { help: "", details: "" };
const TABLE = {
  verbose: flag({ ...ABOUT, letter: "v", otherLetters: "xX" }),
  noEvents: flag({ ...ABOUT, letter: "c", meant: (value) => `--count ${value}` }),
  json: flag(ABOUT),
  group: numbers({ ...ABOUT, letter: "g", value: "N" }),
  count: number({ ...ABOUT, value: "N", least: 1 }),
  rate: number({ ...ABOUT, letter: "r", value: "N", default: 1000 }),
  user: text({ ...ABOUT, value: "NAME" }),
  device: texts({ ...ABOUT, letter: "i", value: "DEVICE" }),
  direction: choice(["in", "out", "both"], { ...ABOUT, value: "DIR", default: "both" }),
  write: outputFile({ ...ABOUT, letter: "w" }),
  duration: duration({ ...ABOUT, value: "TIME" }),
};

const NOTHING = {
  verbose: false,
  noEvents: false,
  json: false,
  group: undefined,
  count: undefined,
  rate: 1000,
  user: undefined,
  device: undefined,
  direction: "both",
  write: undefined,
  duration: undefined,
};

function parsed(...args: string[]): Parsed<typeof TABLE> {
  return parse(args, TABLE);
}

/** The options that differ from their defaults, and the other arguments. */
function found(...args: string[]): Record<string, unknown> {
  const { options, words } = parsed(...args);
  const differ = Object.entries(options).filter(([key, value]) => value !== NOTHING[key as keyof typeof NOTHING]);
  return { ...Object.fromEntries(differ), ...(words.length > 0 ? { words } : {}) };
}

function refusal(...args: string[]): string {
  return assertThrows(() => parse(args, TABLE, { D: "ip link lists devices" }), UsageError).message;
}

test("the table gives each option its type, and a wrong name is a compile error", () => {
  const { options } = parsed();
  assertEquals({ ...options }, NOTHING);
  const count: number | undefined = options.count;
  const rate: number = options.rate;
  const group: readonly number[] | undefined = options.group;
  const direction: "in" | "out" | "both" = options.direction;
  assertEquals([count, rate, group, direction], [undefined, 1000, undefined, "both"]);
  // @ts-expect-error: there is no such option.
  assertEquals(options.cuont, undefined);
  // @ts-expect-error: it may be undefined.
  const wrong: number = options.count;
  assertEquals(wrong, undefined);
  // @ts-expect-error: the default is none of the words.
  choice(["in", "out"], { ...ABOUT, value: "DIR", default: "up" });
});

test("parse takes short, long and joined options, in any order", () => {
  assertEquals(found("-v", "-g", "5", "file", "--json"), { verbose: true, group: [5], json: true, words: ["file"] });
  assertEquals(found("-g5"), { group: [5] });
  assertEquals(found("-g=5"), { group: [5] });
  assertEquals(found("--group=5", "--group", "6"), { group: [5, 6] });
  assertEquals(found("-vg", "7"), { verbose: true, group: [7] });
  assertEquals(found("-vg7", "--no-events"), { verbose: true, group: [7], noEvents: true });
  assertEquals(found("-vvv", "--json", "--json"), { verbose: true, json: true });
  assertEquals(found("-xX"), { verbose: true });
  assertEquals(found("--user=a=b"), { user: "a=b" });
  assertEquals(found("--duration", "2m"), { duration: 120_000 });
});

test("parse reports which options were given, even if they change nothing", () => {
  assertEquals([...parsed("--rate", "1000", "-v").given].sort(), ["rate", "verbose"]);
});

test("everything after -- is a word, and words are unchanged", () => {
  assertEquals(found("a", "--", "-v", "--json"), { words: ["a", "-v", "--json"] });
  assertEquals(found("0x10", "--", "--"), { words: ["0x10", "--"] });
  assertEquals(found("", "_", "__proto__"), { words: ["", "_", "__proto__"] });
});

test("- is standard output and a word, and so are its other names", () => {
  for (const name of ["-", "/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"]) {
    assertEquals(found("-w", name), { write: "-" });
    assertEquals(found("--write", name), { write: "-" });
    assertEquals(found(`--write=${name}`), { write: "-" });
  }
  assertEquals(found("-"), { words: ["-"] });
});

test("a value on a switch is refused, never ignored", () => {
  assertEquals(refusal("-v5"), '-v takes no value, but "5" was given');
  assertEquals(refusal("-v=5"), '-v takes no value, but "5" was given');
  assertEquals(refusal("-v-"), '-v takes no value, but "-" was given');
  assertEquals(refusal("--json=x"), '--json takes no value, but "x" was given');
  assertEquals(refusal("--json="), '--json takes no value, but "" was given');
  assertEquals(refusal("--json=false"), '--json takes no value, but "false" was given');
  assertEquals(refusal("-c5"), '-c takes no value, but "5" was given: --count 5');
  assertEquals(refusal("-vc5"), '-c takes no value, but "5" was given: --count 5');
  assertEquals(refusal("-c", "5"), "-c takes no value: --count 5");
});

test("an unknown option is refused, with the nearest one or an equivalent", () => {
  assertEquals(refusal("--verbos"), "unknown option --verbos; the nearest is --verbose");
  assertEquals(refusal("--gruop=5"), "unknown option --gruop; the nearest is --group");
  assertEquals(refusal("--noEvents"), "unknown option --noEvents; the nearest is --no-events");
  assertEquals(refusal("--color"), "unknown option --color");
  assertEquals(refusal("--__proto__"), "unknown option --__proto__");
  assertEquals(refusal("-k"), "unknown option -k");
  assertEquals(refusal("-vk"), "unknown option -k in -vk");
  assertEquals(refusal("-json"), "unknown option -json: did you mean --json?");
  assertEquals(refusal("-D"), "unknown option -D: ip link lists devices");
});

test("an option without its value is refused: another option is not a value", () => {
  for (const args of [["-w"], ["--write"], ["-w", "--json"], ["-w", "-v"], ["--write", "--"]]) {
    assertEquals(refusal(...args), "--write needs a value: --write FILE", args.join(" "));
  }
  for (const args of [["--write="], ["-w", ""]]) {
    assertEquals(refusal(...args), "--write was given an empty value: expected FILE", args.join(" "));
  }
  // With an equals sign there is no doubt.
  assertEquals(found("--write=-v"), { write: "-v" });
});

test("an option that takes one value is refused twice", () => {
  assertEquals(refusal("-w", "a", "-w", "b"), "--write was given 2 times, but takes one value");
});

test("a wrong value is refused, with what was expected", () => {
  assertEquals(refusal("--count", "0"), '--count is "0": expected a whole number from 1 to 4294967295');
  assertEquals(refusal("--count", "-1"), '--count is "-1": expected a whole number from 1 to 4294967295');
  assertEquals(refusal("--direction", "up"), '--direction is "up": expected in, out or both');
  assertEquals(refusal("--duration", "soon"), '--duration is "soon": expected a time such as 10s, 500ms, 2m or 1h, up to 24 days');
});

test("takesNext knows whether the next word is a value", () => {
  assertEquals(["-w", "-vw", "--write", "-g"].map((arg) => takesNext(arg, TABLE)), [true, true, true, true]);
  assertEquals(["-v", "-wx", "--write=x", "--json", "-", "--", "x", "", "-k"].filter((arg) => takesNext(arg, TABLE)), []);
});

test("wholeNumber takes decimal and hexadecimal within its bounds only", () => {
  assertEquals(wholeNumber("4294967295", "it"), 4294967295);
  assertEquals(wholeNumber("0x10", "it"), 16);
  for (const text of ["4294967296", "-1", "1.5", "", " 1", "1e3", "five"]) assertThrows(() => wholeNumber(text, "it"), UsageError);
  assertThrows(() => wholeNumber("0", "it", 10, 1), UsageError);
});

test("milliseconds takes units, and seconds without one", () => {
  assertEquals(["10s", "500ms", "2m", "1h", "3", "0.5"].map((text) => milliseconds(text, "it")), [
    10_000,
    500,
    120_000,
    3_600_000,
    3000,
    500,
  ]);
  for (const text of ["0", "10x", "", "-1s", "99999999h"]) assertThrows(() => milliseconds(text, "it"), UsageError);
});

test("a command gets its options and words, and refuses too few and too many words", async () => {
  const description = { name: "try", summary: "", usage: "try FILE", about: "", examples: [], options: TABLE };
  let got: unknown;
  const one = command({
    ...description,
    operands: { name: "FILE", least: 1, most: 1 },
    run: ({ options, words }) => {
      got = [options.group, words];
      return Promise.resolve(7);
    },
  });
  assertEquals([await one.run(["-g", "5", "x"], fakeIo()), got], [7, [[5], ["x"]]]);
  const refused = async (...args: string[]): Promise<string> => {
    return await one.run(args, fakeIo()).then(() => "", (error) => (error as UsageError).message);
  };
  assertEquals(await refused(), "missing FILE (usage: psample try FILE)");
  assertEquals(await refused("a", "b"), 'unexpected argument "b"');
  assertEquals(await refused(""), "FILE is empty");
});

const COMMANDS = [monitor, capture, read, list, doctor, demo, cleanup];

test("every option has one short line and at least one complete sentence, and no letter is used twice", () => {
  for (const { name, options } of COMMANDS) {
    const letters: string[] = [];
    for (const [key, { help, details, letter, otherLetters = "" }] of Object.entries(options)) {
      const where = `${name} ${longName(key)}`;
      assert(help.length < 75 && !help.endsWith("."), `${where}: ${help}`);
      assert(/[.:]$/m.test(details) && details.length > 20, `${where}: ${details}`);
      letters.push(...(letter ?? ""), ...otherLetters);
    }
    assertEquals(letters, [...new Set(letters)], name);
    assert(!letters.includes("h") && !letters.includes("V"), name);
  }
});

test("--help and --version take no value: what is typed behind them is no option that is unknown", async () => {
  for (
    const [args, said] of [
      [
        ["capture", "--help=x"],
        '--help takes no value, but "x" was given: psample capture --help lists the options, psample capture --help OPTION explains one',
      ],
      [
        ["--help=capture"],
        '--help takes no value, but "capture" was given: psample --help lists the options, psample --help OPTION explains one',
      ],
      [["tc", "--help=x"], '--help takes no value, but "x" was given: psample tc --help lists the options'],
      [["read", "a.pcap", "--version="], '--version takes no value, but "" was given'],
    ] as const
  ) {
    const io = fakeIo();
    assertEquals(await main(args, io), 2);
    assertEquals(io.errors().split("\n")[0], `psample: ${said}`);
  }
});

test("the help of one option is found by its name or its letter, in one command or in all", async () => {
  const help = async (...args: string[]): Promise<string> => {
    const io = fakeIo();
    assertEquals(await main(args, io), 0, args.join(" "));
    return io.text();
  };
  for (const args of [["help", "match"], ["--help", "match"], ["capture", "--help", "match"], ["capture", "-h", "--match"]]) {
    const text = await help(...args);
    assert(text.startsWith("  --match EXPR\n") && text.includes("ip and tcp dst portrange 80-90"), text);
  }
  assert((await help("capture", "--help", "r")).startsWith("  -r, --rate N\n"));
  // It has a different meaning in each.
  assertEquals((await help("help", "c")).split("\n").filter((line) => /^ {2}-c,/.test(line)), ["  -c, --no-config", "  -c, --count N"]);
  const io = fakeIo();
  assertEquals(await main(["help", "mtach"], io), 2);
  assert(io.errors().includes('unknown topic "mtach"; the nearest is match'), io.errors());
});

/**
 * Each field of `SamplingOptions`: what is typed after `capture` for it, and its value then. Two have no option, because the command gives
 * them itself: `signal` aborts when a signal comes or a limit is reached, and `onWarning` prints on standard error.
 */
const SAMPLING_FIELDS = {
  device: { typed: ["--device", "eth1"], value: "eth1" },
  direction: { typed: ["--direction", "ingress"], value: "ingress" },
  rate: { typed: ["--rate", "5"], value: 5 },
  group: { typed: ["--group", "6"], value: 6 },
  truncateBytes: { typed: ["--trunc", "128"], value: 128 },
  index: { typed: ["--index", "7"], value: 7 },
  cookie: { typed: ["--cookie", "c0ffee"], value: Uint8Array.of(0xc0, 0xff, 0xee) },
  control: { typed: ["--control", "jump 2"], value: { jump: 2 } },
  match: { typed: ["--match", "arp", "--match", "udp"], value: ["arp", "udp"] },
  hardware: { typed: ["--hardware", "never"], value: "never" },
  netns: { typed: ["--netns", "blue"], value: "blue" },
} satisfies Record<
  Exclude<keyof SamplingOptions, "signal" | "onWarning">,
  { readonly typed: readonly string[]; readonly value: SamplingOptions[keyof SamplingOptions] }
>;

test("every field of SamplingOptions can be set in capture", () => {
  const sampling = (...args: string[]): SamplingOptions => {
    const { options, given, words } = parse(args, CAPTURE_OPTIONS);
    return samplingOptions(options, given, [...options.device ?? [], ...words])[0]!;
  };
  const fields = Object.keys(SAMPLING_FIELDS) as (keyof typeof SAMPLING_FIELDS)[];
  assertEquals(Object.keys(sampling("eth0")).sort(), [...fields].sort());
  for (const field of fields) {
    const { typed, value } = SAMPLING_FIELDS[field];
    assertEquals(sampling(...typed, ...field === "device" ? [] : ["eth0"])[field], value, field);
  }
});
