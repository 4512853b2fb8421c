/** A terminal shows what is drawn, and is restored afterwards. */
import { spawn } from "node:child_process";
import process from "node:process";
import { test } from "node:test";
import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { programs } from "../../support/programs.ts";
import { ENTER, LEAVE, Terminal } from "../../support/terminal.ts";
import { until } from "../../support/waiting.ts";

const PROGRAM = new URL("screen_program.ts", import.meta.url).pathname;
const WORDS = [
  process.execPath,
  ..."Bun" in globalThis ? [] : ["run", "--no-check", "--no-prompt", "-A"],
  PROGRAM,
];
const NEEDS = programs("script", "stty", "bash");

/** A terminal of 80 by 24, in which an interactive shell runs, with job control. */
class Shell extends Terminal {
  constructor(environment: Readonly<Record<string, string | undefined>> = {}) {
    super("stty cols 80 rows 24; exec bash --norc --noprofile --noediting -i", {
      NO_COLOR: undefined,
      PS1: "",
      LC_ALL: "C.UTF-8",
      ...environment,
    });
  }

  /** Waits until it has shown this after offset `from`; returns the offset after it. */
  async shows(what: string | RegExp, from = 0): Promise<number> {
    let end = -1;
    await until(() => `${what} is in ${JSON.stringify(this.shown.slice(from))}`, () => {
      const rest = this.shown.slice(from);
      const [found] = typeof what === "string" ? rest.includes(what) ? [what] : [] : what.exec(rest) ?? [];
      if (found !== undefined) end = from + rest.indexOf(found) + found.length;
      return end >= 0;
    });
    return end;
  }

  /** Its settings, as stty -g prints them. */
  async mode(): Promise<string> {
    const from = this.shown.length;
    this.type('echo "mode=$(stty -g)=end"\n');
    // Not the echo of the line.
    const end = await this.shows(/mode=[\da-f:]+=end/, from);
    return this.shown.slice(this.shown.lastIndexOf("mode=", end), end);
  }

  /** Starts the program, and waits until it has drawn. Returns where its output ends. */
  async start(how: string): Promise<number> {
    const from = this.shown.length;
    this.type(`${WORDS.map((word) => `'${word}'`).join(" ")} ${how}; echo "status=$?"\n`);
    return await this.shows("colours", await this.shows('typed ""', await this.shows("screen of 80 x 24", await this.shows(ENTER, from))));
  }
}

for (const [how, status] of [["close", 0], ["throw", 1], ["reject", 1], ["exit", 7]] as const) {
  test(`a screen that ends by ${how} leaves the terminal as it was`, NEEDS, async () => {
    await using terminal = new Shell();
    const before = await terminal.mode();
    const from = await terminal.start(how);
    terminal.type("ab");
    await terminal.shows('typed "ab"', from);
    terminal.type("q");
    const left = await terminal.shows(LEAVE, from);
    await terminal.shows(`status=${status}\r`, from);
    assertEquals(terminal.shown.indexOf(ENTER, from), -1, "entered again");
    assertEquals(await terminal.mode(), before);
    // A bug is reported on the normal screen.
    if (how === "throw" || how === "reject") assert(terminal.shown.indexOf("a bug", from) > left);
  });
}

test("Ctrl-Z gives the terminal back, and fg takes it again", NEEDS, async () => {
  await using terminal = new Shell();
  const before = await terminal.mode();
  let at = await terminal.start("close");
  for (let i = 0; i < 2; i++) {
    terminal.type("\x1a");
    at = await terminal.shows(LEAVE, at);
    at = await terminal.shows("Stopped", at);
    assertEquals(await terminal.mode(), before);
    at = terminal.shown.length;
    terminal.type("fg\n");
    at = await terminal.shows("screen of 80 x 24", await terminal.shows(ENTER, at));
    terminal.type("x");
    at = await terminal.shows(`typed "${"x".repeat(i + 1)}"`, at);
  }
  terminal.type("q");
  await terminal.shows(LEAVE, at);
  assertEquals(await terminal.mode(), before);
});

test("another size is drawn at once, all of it", NEEDS, async () => {
  await using terminal = new Shell();
  const from = await terminal.start("close");
  const [, device] = /on (\/dev\/pts\/\d+)/.exec(terminal.shown)!;
  await output("stty", "-F", device!, "cols", "100", "rows", "30");
  await terminal.shows("colours", await terminal.shows("screen of 100 x 30", from));
  terminal.type("q");
  await terminal.shows("status=0\r", from);
});

test("NO_COLOR has no colours; a terminal without a cursor, and none at all, are no screen", NEEDS, async () => {
  await using plain = new Shell({ NO_COLOR: "1" });
  await plain.start("close");
  assertStringIncludes(plain.shown, "no colours");
  for (const TERM of ["dumb", ""]) {
    await using dumb = new Shell({ TERM });
    dumb.type(`${WORDS.map((word) => `'${word}'`).join(" ")} close; echo "status=$?"\n`);
    await dumb.shows("status=0\r", await dumb.shows("no screen\r"));
    assertEquals(dumb.shown.includes("\x1b[?1049h"), false);
  }
  const { stdout } = await output(WORDS[0]!, ...WORDS.slice(1), "close");
  assertMatch(stdout, /^no screen\n$/);
});

function output(program: string, ...args: string[]): Promise<{ stdout: string }> {
  return new Promise((resolve) => {
    let stdout = "";
    const child = spawn(program, args, { stdio: ["ignore", "pipe", "inherit"] });
    child.stdout.setEncoding("utf8").on("data", (text: string) => stdout += text);
    child.on("close", () => resolve({ stdout }));
  });
}
