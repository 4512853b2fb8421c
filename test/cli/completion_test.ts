/** What shells may offer: commands, options and their values, and what the parser says to them. */
import { test } from "node:test";
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { COMMANDS } from "../../cli/command_list.ts";
import { monitor } from "../../cli/commands/monitor.ts";
import { candidates as candidatesOf } from "../../cli/completion/candidates.ts";
import { main } from "../../cli/main.ts";
import { longName } from "../../cli/options.ts";
import { TC_HELP } from "../../cli/tc/mod.ts";
import { CSV_FIELDS } from "../../src/format/csv.ts";
import { fakeIo } from "./fake_io.ts";

/** What is answered to a script: what it marks, what stays of the word, and the words. */
async function asked(...words: string[]): Promise<{ marks: string; head: string; words: string[]; abouts: string[] }> {
  const io = fakeIo();
  assertEquals(await main(["__complete", ...words], io), 0);
  assertEquals(io.errors(), "");
  const [marks, head, ...rows] = io.text().replace(/\n$/, "").split("\n");
  for (const row of rows) assertEquals(row.split("\t").length, 2, row);
  const halves = rows.map((row) => row.split("\t"));
  return { marks: marks!, head: head!, words: halves.map(([word]) => word!), abouts: halves.map(([, about]) => about!) };
}

test("the first word is a command, each with what it does", async () => {
  const { words, abouts, marks, head } = await asked("");
  assertEquals(words, [...COMMANDS.map(({ name }) => name), "help"]);
  assertEquals(abouts.slice(0, -1), COMMANDS.map(({ summary }) => summary));
  assertEquals([marks, head], ["", ""]);
  assertEquals((await asked("exp")).words, words);
});

test("every option of every command is offered, with its line of the help", async () => {
  for (const { name, options } of [monitor, ...COMMANDS.filter(({ name }) => name !== "tc")]) {
    const { words, abouts } = await asked(...name === "" ? [] : [name], "--");
    const own = [...Object.keys(options).map(longName), "--help", ...name === "" ? ["--version"] : []];
    assertEquals(words, own, name);
    assertEquals(abouts.slice(0, Object.keys(options).length), Object.values(options).map(({ help }) => help), name);
  }
});

test("the words offered for a value are values", async () => {
  const io = { openFiles: () => Promise.reject(new Error("no files here")) };
  let checked = 0;
  for (const { name, options } of [monitor, ...COMMANDS]) {
    for (const [key, option] of Object.entries(options)) {
      for (const word of option.offers?.words ?? []) {
        if (!word.endsWith(":")) option.read([word], longName(key));
        checked++;
      }
      if (!option.offers) continue;
      assert(option.value, `${name} ${key} is a switch`);
      const before = name === "" ? [longName(key)] : [name, longName(key)];
      const { rows } = await candidatesOf([...before, ""], monitor, COMMANDS, io);
      for (const word of option.offers.words ?? []) assert(rows.some(([offered]) => offered === word), `${name} ${key} ${word}`);
    }
  }
  assert(checked > 200);
});

test("values are offered after the option, after its equals sign, and after its letter", async () => {
  assertEquals((await asked("capture", "--direction", "")).words, ["ingress", "egress", "both"]);
  assertEquals(await asked("export", "eth0", "--psamp=st"), { marks: "", head: "--psamp=", words: ["basic", "strict"], abouts: ["", ""] });
  assertEquals((await asked("capture", "-Z", "")).marks, "user");
  assertEquals((await asked("capture", "-evZ", "")).marks, "user");
  assertEquals((await asked("--write", "re")).marks, "file");
  assertEquals((await asked("export", "--sflow", "")).marks, "host");
  assertEquals((await asked("top", "--label", "")).marks, "open-value");
  // Nothing is known about a number.
  assertEquals(await asked("capture", "--rate", ""), { marks: "", head: "", words: [], abouts: [] });
  assertEquals((await asked("capture", "--rate=", "")).words.includes("any"), true);
});

test("of a list the rest is offered", async () => {
  const first = await asked("demo", "--fields", "");
  assertEquals([first.marks, first.head, first.words], ["open-list", "", [...CSV_FIELDS]]);
  const second = await asked("top", "--by=ipsource,device,");
  assertEquals(second.head, "--by=ipsource,device,");
  assert(!second.words.includes("ipsource") && !second.words.includes("device") && second.words.includes("ipdestination"));
});

test("an option that takes one value is offered once; an argument only where there is room for one", async () => {
  assert(!(await asked("capture", "--rate", "9", "-")).words.includes("--rate"));
  assert(!(await asked("capture", "-r9", "-")).words.includes("--rate"));
  assert((await asked("export", "--sflow", "192.0.2.9", "-")).words.includes("--sflow"));
  assertEquals((await asked("read", "")).marks, "file");
  assertEquals((await asked("top", "")).marks, "file");
  assertEquals((await asked("capture", "--", "")).words[0], "any");
  // A command without arguments, or with all that it takes, has options left.
  assert((await asked("list", "")).words.includes("--interval"));
  assert((await asked("doctor", "eth0", "")).words.includes("--group"));
  assertEquals((await asked("list", "--", "")).words, []);
  assertEquals((await asked("completions", "")).words, ["bash", "zsh", "fish"]);
});

test("help has commands and options, and --help the options of its command", async () => {
  const all = await asked("help", "");
  for (const word of ["capture", "by", "fields", "no-config"]) assert(all.words.includes(word), word);
  assertEquals(new Set(all.words).size, all.words.length);
  const own = await asked("list", "--help", "");
  assertEquals(own.words, ["json", "netns", "interval"]);
  assertEquals((await asked("help", "capture", "")).words, []);
});

test("tc has its own words, all of which its help has", async () => {
  for (const before of [[], ["qdisc"], ["filter"], ["actions"], ["-s", "filter"], ["filter", "add", "dev", "eth0"], ["actions", "add"]]) {
    const { words } = await asked("tc", ...before, "");
    assert(words.length > 2, before.join(" "));
    for (const word of words) if (word !== "help" && word !== "--netns") assertStringIncludes(TC_HELP, word);
  }
  assertEquals((await asked("tc", "no", "")).words, []);
  assertEquals(
    (await asked("tc", "filter", "add", "dev", "eth0", "ingress", "matchall", "action", "sample", "rate", "1", "group", "")).marks,
    "",
  );
});

test("what is not a command, or not an option, has nothing, and nothing ever fails", async () => {
  const odd = [["captrue", ""], ["capture", "--nosuch=", ""], ["capture", "--nosuch=x"], ["capture", "--json=x"], ["--", ""], ["-", ""], [
    "\\",
    "'",
  ]];
  for (const words of odd) await asked(...words);
  assertEquals((await asked("captrue", "")).words, []);
  assertEquals((await asked("capture", "--nosuch=x")).words, []);
  assertEquals(await asked(), await asked(""));
  assertEquals((await asked("capture", "--netns", "/no/such", "")).words, ["any"]);
});

test("the help of the command names the shells, an unknown one is refused, and the question is hidden", async () => {
  for (const shell of ["bash", "zsh", "fish"]) {
    const io = fakeIo();
    assertEquals(await main(["completions", shell], io), 0);
    assertStringIncludes(io.text(), "__complete");
  }
  const io = fakeIo();
  assertEquals(await main(["completions", "zhs"], io), 2);
  assertEquals(
    io.errors(),
    'psample: unknown shell "zhs": expected bash, zsh or fish\nTry: psample completions --help\n',
  );
  const missing = fakeIo();
  assertEquals(await main(["completions"], missing), 2);
  assertEquals(missing.errors(), "psample: missing SHELL (usage: psample completions bash|zsh|fish)\nTry: psample completions --help\n");
  const help = fakeIo();
  assertEquals(await main(["--help"], help), 0);
  assert(!help.text().includes("__complete"));
});
