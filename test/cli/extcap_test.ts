/** `psample extcap` without a kernel: its sentences, its messages, its file in Wireshark's folder. */
import { test } from "node:test";
import { assert, assertEquals, assertMatch, assertStringIncludes, assertThrows } from "@std/assert";
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { CAPTURE_OPTIONS } from "../../cli/commands/capture.ts";
import { extcap, isExtcapCall } from "../../cli/commands/extcap.ts";
import { MONITOR_OPTIONS } from "../../cli/commands/monitor.ts";
import { controlBytes, ControlReader } from "../../cli/extcap/control.ts";
import { DEVICE_FIELDS, type Field, SAMPLED_FIELDS } from "../../cli/extcap/fields.ts";
import { install, ownWords, personalFolders } from "../../cli/extcap/install.ts";
import { deviceOf, interfaceOf } from "../../cli/extcap/interfaces.ts";
import { answerTo } from "../../cli/extcap/questions.ts";
import { sentence } from "../../cli/extcap/sentences.ts";
import { main } from "../../cli/main.ts";
import { longName, type OptionTable, UsageError } from "../../cli/options.ts";
import { inDirectory } from "../support/directory.ts";
import { fakeIo } from "./fake_io.ts";

async function answered(...args: string[]): Promise<{ status: number; out: string; err: string }> {
  const io = fakeIo();
  return { status: await main(args, io), out: io.text(), err: io.errors() };
}

/** The fields of a sentence, as Wireshark finds them (extcap_parser.c). */
function fieldsOf(line: string): Record<string, string> {
  assertMatch(line, /^(arg|value|interface|extcap|dlt|control) \{/);
  return Object.fromEntries([...line.matchAll(/\{([a-zA-Z_-]*?)=(.*?)\}(?=\{|$|\s)/g)].map(([, name, value]) => [name, value]));
}

const linesOf = (text: string): string[] => text.split("\n").slice(0, -1);

test("a value never ends its sentence, whatever is in it", () => {
  const line = sentence("interface", { value: "x}{y=1} z", display: "two\nlines", absent: undefined }).trimEnd();
  assertEquals(fieldsOf(line), { value: "x)(y=1) z", display: "two lines" });
});

test("a device and its interface have one name for each other, whatever is in it", () => {
  for (const name of ["eth0", "br-lan.5@x", "a}{b", "50%", "ä #*", "-", "psample"]) {
    const value = interfaceOf(name);
    assertMatch(value, /^psample-[A-Za-z0-9_.:@+%-]+$/);
    assertEquals(deviceOf(value), name);
  }
  for (const name of ["psample", "psample-", "eth0", "psample-%"]) assertEquals(deviceOf(name), undefined);
});

test("the list has what is sampled already, any, every device, and the toolbar; nobody needs a privilege", async () => {
  const { status, out, err } = await answered("extcap", "--extcap-interfaces", "--extcap-version=4.0");
  assertEquals([status, err], [0, ""]);
  const all = linesOf(out).map((line) => ({
    kind: line.split(" ")[0],
    ...fieldsOf(line) as { value: string; display: string; number: string },
  }));
  assertEquals(all[0]!.kind, "extcap");
  const interfaces = all.filter(({ kind }) => kind === "interface").map(({ value, display }) => `${value} ${display}`);
  assertEquals(interfaces.slice(0, 2), ["psample psample: what is sampled already", "psample-any psample: every device that is up"]);
  assert(interfaces.includes("psample-lo psample: lo"), `${interfaces}`);
  assertEquals(all.filter(({ kind }) => kind === "control").map(({ number }) => number), ["0", "1", "2", "3"]);
});

test("the dialog asks in the words of psample capture and psample, and offers what these take", async () => {
  const tables: [Record<string, Field>, OptionTable][] = [[DEVICE_FIELDS, CAPTURE_OPTIONS], [SAMPLED_FIELDS, MONITOR_OPTIONS]];
  for (const [fields, options] of tables) {
    for (const [key, field] of Object.entries(fields)) {
      const option = options[key]!;
      assertEquals(longName(key), `--${key}`);
      assertEquals(field.tooltip, `${option.help.charAt(0).toUpperCase()}${option.help.slice(1)}.`);
      if (field.default !== undefined) assertEquals(field.default, option.fallback);
      else if (field.type === "string" && option.fallback !== undefined) assertEquals(field.placeholder, option.fallback);
      if (field.values) assertEquals(field.values.map(([word]) => word).sort(), [...option.offers!.words!].sort());
      if (field.values) assertEquals(field.values[0]![0], option.fallback);
      assert(key in extcap.options, key);
      assertEquals(option.value === undefined, field.type === "boolflag");
    }
  }
  const { status, out } = await answered("extcap", "--extcap-config", "--extcap-interface", "psample-eth0");
  const calls = linesOf(out).map((line) => fieldsOf(line).call).filter((call) => call !== undefined);
  assertEquals([status, calls], [0, ["--rate", "--direction", "--match", "--trunc", "--group"]]);
  const sampled = await answered("extcap", "--extcap-config", "--extcap-interface", "psample");
  assertEquals(linesOf(sampled.out).map((line) => fieldsOf(line).call), ["--group", "--wait"]);
});

test("questions about others' interfaces are refused", async () => {
  for (const question of ["--extcap-config", "--extcap-dlts"]) {
    const own = await answered("extcap", question, "--extcap-interface", "psample-eth0");
    assertEquals([own.status, own.err], [0, ""]);
    const { status, out, err } = await answered("extcap", question, "--extcap-interface", "eth0");
    assertEquals([status, out], [2, ""]);
    assertStringIncludes(err, 'unknown interface "eth0": it is psample, or psample-DEVICE');
  }
  assertEquals(await answerTo(["--extcap-config"]), undefined);
  assertEquals(await answerTo(["--help", "--extcap-interfaces"]), undefined);
  assertEquals((await answered("extcap")).status, 2);
  assertEquals(
    (await answered("extcap", "--capture", "--extcap-interface", "psample-lo")).err,
    "psample: --capture requires --fifo PIPE\n",
  );
});

test("a capture filter is checked: nothing is said of a good one", async () => {
  const check = (filter: string): ReturnType<typeof answered> =>
    answered("--extcap-interface", "psample-lo", "--extcap-capture-filter", filter);
  assertEquals(await check("tcp port 443"), { status: 0, out: "", err: "" });
  assertStringIncludes((await check("tcp prt 443")).out, "--filter: expected");
});

test("the program is an extcap by its arguments too: it may be linked into Wireshark's folder", async () => {
  const args = ["--extcap-interfaces", "--extcap-version=4.4"];
  assertEquals((await answered(...args)).out, (await answered("extcap", ...args)).out);
  assert(isExtcapCall(["--capture", "--extcap-interface", "psample"]));
  for (const args of [[], ["capture", "--extcap-x"], ["--json"], ["-w", "file"]]) assert(!isExtcapCall(args));
});

test("messages of the toolbar are read whatever pieces they come in", () => {
  const messages = [
    { control: 0, command: 0, text: "" },
    { control: 2, command: 1, text: "ä".repeat(300) },
    { control: 255, command: 9, text: "x" },
  ];
  const bytes = messages.flatMap((message) => [...controlBytes(message)]);
  // "T", 24 bits of length, control, command.
  assertEquals(bytes.slice(0, 6), [0x54, 0, 0, 2, 0, 0]);
  for (const size of [1, 5, 64, bytes.length]) {
    const reader = new ControlReader();
    const read = [];
    for (let at = 0; at < bytes.length; at += size) read.push(...reader.read(new Uint8Array(bytes.slice(at, at + size))));
    assertEquals(read, messages);
  }
  assertEquals(new ControlReader().read(new Uint8Array([1, 2, 3, ...bytes.slice(0, 6)])), messages.slice(0, 1));
  assertEquals(controlBytes({ control: 0, command: 1, text: "x".repeat(70_000) }).length, 6 + 65_535);
});

test("the folders are those of Wireshark", () => {
  const folders = (environment: Record<string, string>): string[] => personalFolders((name) => environment[name]);
  assertEquals(folders({ HOME: "/home/me" }), ["/home/me/.local/lib/wireshark/extcap", "/home/me/.config/wireshark/extcap"]);
  assertEquals(folders({ HOME: "/h", XDG_CONFIG_HOME: "/x" })[1], "/x/wireshark/extcap");
  assertEquals(folders({ HOME: "/h", XDG_CONFIG_HOME: "/x", WIRESHARK_CONFIG_DIR: "/w" })[1], "/w/extcap");
  assertEquals(folders({ HOME: "/h", WIRESHARK_EXTCAP_DIR: "/e" }), ["/e"]);
  assertThrows(() => folders({}), UsageError, "HOME is not set");
});

test(
  "what is installed answers Wireshark, from any directory; another program of that name stays",
  inDirectory((path) => {
    const [file] = install([path("a folder/extcap")], ownWords());
    assertEquals(file, path("a folder/extcap/psample"));
    assertEquals(statSync(file!).mode & 0o777, 0o755);
    const { status, stdout, stderr } = spawnSync(file!, ["--extcap-interfaces", "--extcap-version=4.0"], { cwd: "/", encoding: "utf8" });
    assertEquals([status, stderr], [0, ""]);
    assertStringIncludes(stdout, "{value=psample-lo}{display=psample: lo}");
    const wrong = spawnSync(file!, ["--extcap-config", "--extcap-interface", "eth0"], { cwd: "/", encoding: "utf8" });
    assertEquals(wrong.status, 2);
    assertStringIncludes(wrong.stderr, "unknown interface");

    // Again replaces it.
    assertEquals(install([path("a folder/extcap")], ["/bin/true"]), [file]);
    assertMatch(readFileSync(file!, "utf8"), /^#!\/bin\/sh\n# Made by .*\nexec \/bin\/true "\$@"\n$/);
    mkdirSync(path("other"));
    writeFileSync(path("other/psample"), "#!/bin/sh\n");
    assertThrows(
      () => install([path("new"), path("other")], ["/bin/true"]),
      UsageError,
      "exists, and is not from psample extcap --install",
    );
    assert(!existsSync(path("new")));
    assertEquals(readFileSync(path("other/psample"), "utf8"), "#!/bin/sh\n");
  }),
);
