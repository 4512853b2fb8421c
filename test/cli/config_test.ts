import { test } from "node:test";
import { assert, assertEquals, assertMatch, assertRejects, assertStrictEquals, assertThrows } from "@std/assert";
import process from "node:process";
import { chmodSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { type Config, ConfigReader, parseConfig } from "../../cli/config.ts";
import { CONFIG_EXAMPLE, EXPORT_OPTIONS, NOT_IN_CONFIG } from "../../cli/commands/export_options.ts";
import { processIo } from "../../cli/io.ts";
import { choice, flag, number, several, texts, UsageError, value, valuesOf } from "../../cli/options.ts";
import { SystemError } from "../../mod.ts";
import { inDirectory } from "../support/directory.ts";
import { fakeIo } from "./fake_io.ts";

const ABOUT = { help: "does something", details: "It does." };

const TABLE = {
  device: texts({ ...ABOUT, value: "NAME" }),
  match: texts({ ...ABOUT, value: "EXPR" }),
  rate: number({ ...ABOUT, value: "N", least: 1, letter: "r" }),
  allNamespaces: flag(ABOUT),
  color: choice(["always", "never"], { ...ABOUT, value: "WHEN" }),
  odd: value({ ...ABOUT, value: "TEXT" }, (text) => text),
  check: flag(ABOUT),
};

/** The directory of the project. */
const ROOT = join(dirname(fileURLToPath(import.meta.url)), "../..");

const NONE: ReadonlySet<string> = new Set();

/** What a file says, by option. */
function said(text: string): Record<string, readonly string[]> {
  return Object.fromEntries(parseConfig(text, "x.conf", TABLE).texts(NONE));
}

/** Why a file is refused. */
function refusal(text: string): string {
  return assertThrows(() => parseConfig(text, "x.conf", TABLE, new Map([["check", "it is for trying out"]])), UsageError).message;
}

test("options are one per line, the value is the rest of it, and comments and blank lines are skipped", () => {
  const text = [
    "\uFEFF# a comment",
    "",
    "   \t ",
    "device eth0:1000",
    "  device\t eth1   # the other one",
    "match tcp port 443 or (ip[6:2] & 0x1fff = 0 and udp)\r",
    "all-namespaces # on",
    "rate 0x10",
    "odd a#b",
    "#rate 7",
  ].join("\n");
  assertEquals(said(text), {
    device: ["eth0:1000", "eth1"],
    match: ["tcp port 443 or (ip[6:2] & 0x1fff = 0 and udp)"],
    allNamespaces: [""],
    rate: ["0x10"],
    odd: ["a#b"],
  });
  assertEquals(said(""), {});
});

test("quotes are around a whole value, and keep what would be a comment", () => {
  assertEquals(said(`odd "a # b"`), { odd: ["a # b"] });
  assertEquals(said(`odd 'a "b"'   # c`), { odd: [`a "b"`] });
  assertEquals(said(`odd it's "b"`), { odd: [`it's "b"`] });
  assertMatch(refusal(`odd "a`), /^x\.conf, line 1: the value of odd begins with " and does not end with it$/);
  assertMatch(refusal(`odd "a" b`), /line 1: "b" follows the quotes of odd: they are around the whole value/);
  assertMatch(refusal(`odd ""`), /line 1: odd needs a value: odd TEXT$/);
});

test("what is wrong is refused with its line, and the cure", () => {
  const wrong: [string, RegExp][] = [
    ["\n\nrat 7", /^x\.conf, line 3: unknown option rat; the nearest is rate$/],
    ["Rate 7", /unknown option Rate; the nearest is rate$/],
    ["all_namespaces", /unknown option all_namespaces; the nearest is all-namespaces$/],
    ["allNamespaces", /unknown option allNamespaces; the nearest is all-namespaces$/],
    ["r 7", /unknown option r$/],
    ["eth0:1000", /unknown option eth0:1000: for a device write device eth0:1000$/],
    ["[export]", /\[export\] looks like a section header: the file has no sections/],
    ["--rate 7", /write rate 7$/],
    ["--rate=7", /write rate 7$/],
    ["-rate 7", /write rate 7$/],
    ["-r 7", /^x\.conf, line 1: options have their long names here, without dashes: write rate 7$/],
    ["-x 7", /unknown option -x$/],
    ["rate=7", /write rate 7$/],
    ["rate = 7", /nothing but a blank comes between name and value: write rate 7$/],
    ["rate: 7", /write rate 7$/],
    ["--all-namespaces", /write all-namespaces$/],
    ["all-namespaces yes", /all-namespaces takes no value, but "yes" was given: to turn it off, remove the line, or put # before it$/],
    ["rate", /rate needs a value: rate N$/],
    ["rate # 7", /rate needs a value: rate N$/],
    ["rate x", /line 1: rate is "x": expected a whole number from 1 to 4294967295$/],
    ["color red", /color is "red": expected always or never$/],
    ["rate 7\n\nrate 8", /line 3: rate is in line 1 already: it takes one value$/],
    ["check", /check cannot be in a file: it is for trying out$/],
    ["rate x\nrat 7", /line 1: rate is "x".*\nand another line is wrong$/],
    ["rate x\nrat 7\nfoo", /line 1: rate is "x".*\nand 2 other lines are wrong$/],
    ["rate \x1b[2J", /rate is "\\u001b\[2J"/],
  ];
  for (const [text, message] of wrong) assertMatch(refusal(text), message, text);
});

test("lines that do not go together are counted in their order among others that are wrong", () => {
  const repeated = [1, 2, 3].map(() => "ipfix 192.0.2.9").join("\n");
  const message = (text: string): string => assertThrows(() => parseConfig(text, "x.conf", EXPORT_OPTIONS), UsageError).message;
  assertMatch(message(`${repeated}\nrat 7`), /^x\.conf, line 2: ipfix 192\.0\.2\.9 was given twice\nand 2 other lines are wrong$/);
  assertMatch(message(`rat 7\n${repeated}`), /^x\.conf, line 1: unknown option rat.*\nand 2 other lines are wrong$/);
});

test("each line of thousands is read twice: alone, and with all others of its option", () => {
  let reads = 0;
  const device = several({ ...ABOUT, value: "DEVICE" }, (texts) => void (reads += texts.length));
  parseConfig(Array.from({ length: 5000 }, (_, i) => `device eth${i}`).join("\n"), "x.conf", { device });
  assertEquals(reads, 10_000, "each line alone, and all of them together");
});

test("no message has what may be secret", () => {
  const wrong = [
    "otlp-header=Authorization=Bearer t0ken",
    "otlp-header = Authorization=Bearer t0ken",
    "--otlp-header Authorization=t0ken",
    "otlp_header=Authorization=t0ken",
    'otlp-header "Authorization=Bearer" t0ken',
    "otlp-header Authorization: Bearer t0ken",
    "otlp-header A=t0ken\notlp-header A=t0ken",
    "otlp=https://otlp.example.net/?key=t0ken",
    "otlp = https://otlp.example.net/?key=t0ken",
    "otlp ftp://otlp.example.net/?key=t0ken",
  ];
  for (const text of wrong) {
    const { message } = assertThrows(() => parseConfig(text, "x.conf", EXPORT_OPTIONS, NOT_IN_CONFIG), UsageError);
    assert(!message.includes("t0ken"), message);
    assertMatch(message, /^x\.conf, line [12]: /);
  }
});

test("values that do not go together are refused with the line of the second", () => {
  const twice = "sflow 192.0.2.9\n# again\nsflow 192.0.2.9";
  const error = assertThrows(() => parseConfig(twice, "/etc/x.conf", EXPORT_OPTIONS, NOT_IN_CONFIG), UsageError);
  assertEquals(error.message, "/etc/x.conf, line 3: sflow 192.0.2.9 was given twice");
  const other = "ipfix 192.0.2.9\nipfix tcp:192.0.2.9\nipfix 192.0.2.9:4739";
  assertThrows(
    () => parseConfig(other, "x.conf", EXPORT_OPTIONS, NOT_IN_CONFIG),
    UsageError,
    "x.conf, line 3: ipfix 192.0.2.9:4739 was given twice: 192.0.2.9 is the same collector",
  );
});

test("the command line replaces what the file says about an option", () => {
  const config = parseConfig("device a\ndevice b\nrate 7", "x.conf", TABLE);
  assertEquals(Object.fromEntries(config.texts(new Set(["device"]))), { rate: ["7"] });
});

test("an error about several options has the line of the one that the file has", () => {
  const config = parseConfig("device a\nrate 7\nall-namespaces", "x.conf", TABLE);
  const located = (message: string, keys: string[], ...typed: string[]): string =>
    (config.locate(new UsageError(message, { keys }), new Set(typed)) as Error).message;
  assertEquals(
    located("--all-namespaces is not for --device", ["allNamespaces", "device"]),
    "x.conf, line 3: --all-namespaces is not for --device",
  );
  assertEquals(located("--rate requires --color", ["rate", "color"], "rate"), "--rate requires --color");
  assertEquals(located("--color requires --rate", ["color", "rate"], "color"), "x.conf, line 2: --color requires --rate");
  assertEquals(located("the same device was given twice", []), "x.conf: the same device was given twice");
  const other = new SystemError("read x", 2);
  assertStrictEquals(config.locate(other, NONE), other);
});

test("an option that is only mentioned in an error does not give it its line", () => {
  const config = parseConfig("device a\nrate 7", "x.conf", TABLE);
  const error = new UsageError("--match: expected a port\n  tcp port --rate 7\n           ^~~~~~", { keys: ["match"] });
  assertStrictEquals(config.locate(error, new Set(["match"])), error);
  assertEquals((config.locate(error, NONE) as Error).message, `x.conf: ${error.message}`);
});

test("what is wrong with a value is about its option", () => {
  const error = assertThrows(() => valuesOf(new Map([["rate", ["0"]]]), TABLE), UsageError);
  assertEquals(error.about, { keys: ["rate"] });
  assertEquals(assertThrows(() => valuesOf(new Map([["rate", ["1", "2"]]]), TABLE), UsageError).about, { keys: ["rate"] });
});

test("a file that somebody else could have written is refused while root reads it, also later", async () => {
  const read = (textFile: object): Promise<Config> => {
    const io = fakeIo({ textFile, input: { "b.conf": new TextEncoder().encode("rate 7") } });
    return new ConfigReader("b.conf", TABLE, new Map(), io).read();
  };
  const wrong: [object, RegExp][] = [
    [{ mode: 0o664 }, /b\.conf can be written by its group, who could control what root does: chmod go-w b\.conf$/],
    [{ mode: 0o646 }, /can be written by everybody/],
    [{ owner: 1000 }, /belongs to the user 1000, who could control what root does: chown root b\.conf$/],
  ];
  for (const [file, message] of wrong) assertMatch((await assertRejects(() => read(file), UsageError)).message, message);
  for (const file of [{}, { mode: 0o640 }, { mode: 0o666, reader: 1000 }, { owner: 1000, reader: 1000 }]) await read(file);

  // Root that has become somebody else still has rights that others have not.
  const file = { mode: 0o644, reader: 0 };
  const io = fakeIo({ textFile: file, input: { x: new TextEncoder().encode("rate 7") } });
  const original = io.readText;
  const reader = new ConfigReader("x", TABLE, new Map(), io);
  await reader.read();
  io.readText = async (path) => ({ ...await original(path), mode: 0o666, reader: 65534 });
  await assertRejects(() => reader.read(), UsageError, "can be written by everybody");
});

test(
  "a file is read as it is: with its owner, its mode and the user that reads it; only a regular one, of text",
  inDirectory(async (at) => {
    const { readText } = processIo();
    const path = at("größe.conf");
    writeFileSync(path, "rate 7 # ä\n");
    chmodSync(path, 0o640);
    const uid = process.geteuid!();
    assertEquals(await readText(path), { text: "rate 7 # ä\n", owner: uid, mode: 0o640, reader: uid });
    mkdirSync(at("directory"));
    await assertRejects(() => readText(at("directory")), SystemError, "is a directory");
    await assertRejects(() => readText(at("none")), SystemError, "no such file");
    await assertRejects(() => readText("/dev/null"), SystemError, "It is a character device, not a regular file");
    writeFileSync(at("binary"), new Uint8Array([0xff, 0xfe]));
    await assertRejects(() => readText(at("binary")), UsageError, "it is not text in UTF-8");
    writeFileSync(at("long"), new Uint8Array((1 << 20) + 1).fill(35));
    await assertRejects(() => readText(at("long")), UsageError, "it has more than 1048576 bytes");
  }),
);

test("the example of the help is a configuration", () => {
  const config = parseConfig(CONFIG_EXAMPLE, "x.conf", EXPORT_OPTIONS, NOT_IN_CONFIG);
  assertEquals(config.texts(NONE).get("device"), ["eth0:1000", "eth1"]);
});

test("the example in docs has only options that there are, with values that they take", () => {
  const text = readFileSync(join(ROOT, "docs/export.conf"), "utf8");
  const offered = text.replaceAll(/^#(?=[a-z])/gm, "");
  const config = parseConfig(offered, "docs/export.conf", EXPORT_OPTIONS, NOT_IN_CONFIG);
  const values = config.texts(NONE);
  for (const name of ["device", "rate", "match", "sflow", "ipfix", "flows", "prometheus", "write"]) assert(values.has(name), name);
  assertEquals([...parseConfig(text, "docs/export.conf", EXPORT_OPTIONS).texts(NONE)], []);
  // The service can write nowhere else.
  const [, state] = /^StateDirectory=(.*)$/m.exec(readFileSync(join(ROOT, "examples/psample-export.service"), "utf8"))!;
  assertEquals(dirname(values.get("write")![0]!), `/var/lib/${state}`);
});

test("whatever is in a file, it is read or refused with a line", () => {
  const pieces = [
    "device",
    "rate",
    "match",
    "all-namespaces",
    "--",
    "=",
    ":",
    " ",
    "\t",
    "\n",
    "\r",
    "#",
    '"',
    "'",
    "7",
    "eth0",
    "[x]",
    "\u{1F600}",
    "\x1b",
    "\\",
  ];
  // Always the same numbers: a failure can be repeated.
  let state = 1;
  const random = (below: number): number => (state = (state * 48271) % 0x7fff_ffff) % below;
  for (let i = 0; i < 3000; i++) {
    const text = Array.from({ length: random(12) }, () => pieces[random(pieces.length)]).join("");
    try {
      parseConfig(text, "x.conf", TABLE);
    } catch (error) {
      if (!(error instanceof UsageError)) throw error;
      assertMatch(error.message, /^x\.conf, line \d+: ./);
    }
  }
});
