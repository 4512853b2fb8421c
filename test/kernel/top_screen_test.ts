/** The live screen of `psample top`: however it ends, tc and the terminal are unchanged afterwards. */
import { readdirSync, readFileSync } from "node:fs";
import process from "node:process";
import { assert, assertEquals, assertMatch } from "@std/assert";
import { ENTER, LEAVE, Terminal } from "../support/terminal.ts";
import { frameOut } from "./frames.ts";
import { COMMANDS, ROOT } from "./runtime.ts";
import { bareWire, pause, scene, Sender, until } from "./scene.ts";
import { tcDump } from "./tc_dump.ts";

/** `psample top` in its own terminal. */
class Screen extends Terminal {
  /** Distinguishes its processes from others. */
  readonly #mark: string;

  constructor(words: readonly string[], mark: string) {
    const line = words.map((word) => `'${word}'`).join(" ");
    // The shell outlives the signals that a terminal sends.
    super(
      `trap '' INT QUIT HUP; stty cols 80 rows 24; stty -g; (trap - INT QUIT HUP; ${line}); echo "status=$?"; stty -g; echo over`,
      { SHELL: "/bin/sh" },
      ROOT,
    );
    this.#mark = mark;
  }

  /** Sends a signal to the command alone. */
  signal(name: "SIGTERM" | "SIGHUP" | "SIGQUIT"): void {
    const pid = readdirSync("/proc").find((pid) => {
      if (!/^\d+$/.test(pid)) return false;
      try {
        const words = readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0");
        return words[0] !== "script" && !words.includes("-c") && words.includes(this.#mark);
      } catch {
        return false;
      }
    });
    process.kill(Number(pid), name);
  }

  /** The words of the screen as they were drawn last, without what moves the cursor. */
  get text(): string {
    // deno-lint-ignore no-control-regex -- sequences of the terminal: colours, and what moves the cursor
    return this.shown.replace(/\x1b\[[\d;]*m/g, "").replace(/\x1b\[[\d;?]*[A-Za-z]/g, "\n");
  }
}

const ENDINGS = [
  { how: "q", status: 0, end: (terminal: Screen) => terminal.type("q") },
  { how: "Ctrl-C", status: 0, end: (terminal: Screen) => terminal.type("\x03") },
  { how: "Ctrl-\\", status: 131, end: (terminal: Screen) => terminal.type("\x1c") },
  { how: "SIGTERM", status: 0, end: (terminal: Screen) => terminal.signal("SIGTERM") },
  { how: "SIGHUP", status: 0, end: (terminal: Screen) => terminal.signal("SIGHUP") },
] as const;

for (const [i, { name, words }] of COMMANDS.entries()) {
  // The compiled file is the same program: one ending is enough. On an emulated processor all of them at once take minutes.
  const endings = i > 0 ? ENDINGS.slice(0, 1) : process.env.PSAMPLE_GUEST === "old" ? ENDINGS.slice(0, 2) : ENDINGS;
  scene(
    `${name} top at a terminal: ${endings.map(({ how }) => how).join(", ")} leave nothing behind, and the terminal unchanged`,
    async () => {
      bareWire();
      const before = tcDump("a");
      await using stack = new AsyncDisposableStack();
      const terminals = endings.map((ending, i) => ({
        ...ending,
        terminal: stack.use(
          new Screen([...words(), "top", "a", "--rate", "1", "--direction", "egress", "--group", `${50 + i}`], `${50 + i}`),
        ),
      }));
      using sender = new Sender("a", frameOut());
      await until(() => `all show a flow; so far ${terminals.map(({ terminal }) => terminal.text)}`, async () => {
        sender.send(2);
        await pause(50);
        // Not exact for a moment if a sample arrives after its packet was counted.
        return terminals.every(({ terminal: { text } }) =>
          /192\.0\.2\.1 {2}192\.0\.2\.2/.test(text) && /total +\S+ k?bit\/s +±0%/.test(text)
        );
      });
      for (const { terminal, end } of terminals) {
        assert(terminal.shown.includes(ENTER));
        assertMatch(terminal.text, /psample top a: 1 in 1, egress, group 5\d +2 s \[10 s\] 40 s/);
        end(terminal);
      }
      for (const { terminal, how, status } of terminals) {
        await until(() => `${how} has ended it; it showed ${JSON.stringify(terminal.shown)}`, () => /\nover\r\n/.test(terminal.shown));
        const left = terminal.shown.lastIndexOf(LEAVE);
        assert(left > 0, how);
        const after = terminal.shown.slice(left);
        assertMatch(after, new RegExp(`status=${status}\\r\\n`), how);
        // The summary is on the normal screen.
        assertMatch(after, /psample: \d+ packets? passed \(rule hits\), 1 in 1: \d+ sampled/, how);
        const [mode] = /^[\da-f:]{20,}\r\n/m.exec(terminal.shown)!;
        assertEquals(/\n([\da-f:]{20,}\r\n)over/.exec(after)![1], mode, how);
      }
      assertEquals(tcDump("a"), before);
    },
  );
}
