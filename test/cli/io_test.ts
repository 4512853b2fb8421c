import { spawnSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import process from "node:process";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { assert, assertEquals } from "@std/assert";
import { escapeControls } from "../../cli/io.ts";
import { COMMAND } from "../support/command.ts";
import { inDirectory } from "../support/directory.ts";
import { programs } from "../support/programs.ts";

test("messages: nothing in them controls a terminal, or hides or reorders text", () => {
  const escaped: [string, string][] = [
    ["plain ü 日本 text\twith\nlines\n", "plain ü 日本 text\twith\nlines\n"],
    ["\u001b[31mred\u007f", "\\x1b[31mred\\x7f"],
    ["c1 \u009b2J", "c1 \\xc2\\x9b2J"],
    ["bidi \u202e\u2066\u200f", "bidi \\xe2\\x80\\xae\\xe2\\x81\\xa6\\xe2\\x80\\x8f"],
    ["zero \u200b\u2028\u2029\ufeff", "zero \\xe2\\x80\\x8b\\xe2\\x80\\xa8\\xe2\\x80\\xa9\\xef\\xbb\\xbf"],
    ["half \ud800 of a pair", "half \\xef\\xbf\\xbd of a pair"],
    // What printable() has escaped stays as it is.
    ["a\\x5cb", "a\\x5cb"],
    // A progress line, and its end.
    ["\rpsample: 10 % read", "\rpsample: 10 % read"],
    ["\r\u001b[K", "\r\u001b[K"],
    ["over\rwritten", "over\\x0dwritten"],
  ];
  for (const [text, expected] of escaped) assertEquals(escapeControls(text), expected);
});

/** Runs the words in a shell, with `WRITTEN` written to a pipe whose reader has ended; returns the exit status and the other stream. */
function withoutReader(words: readonly string[], written: string): string {
  // The shell writes until it cannot: then the reader is gone.
  const script = `trap "" PIPE; { { while echo; do :; done 2>/dev/null; "$@" ${written}; echo "status $?" >&3; } | true; } 3>&2`;
  return spawnSync("sh", ["-c", script, "sh", ...words], { encoding: "utf8", env: { ...process.env, NO_COLOR: "1" } }).stderr;
}

test("the reader of standard output is gone: the command ends silently", () => {
  for (
    const args of [["--help"], ["help", "capture"], ["--version"], ["list"], ["list", "--json"], ["demo", "-q"], [
      "tc",
      "qdisc",
      "show",
      "dev",
      "lo",
    ]]
  ) {
    for (const written of ["2>&3", "2>&1"]) {
      assertEquals(withoutReader([...COMMAND, ...args], written), "status 0\n", `${args.join(" ")} ${written}`);
    }
  }
});

test("standard output on a full disk is one sentence, and status 1", () => {
  for (const args of [["--help"], ["help", "capture"], ["--version"], ["list"]]) {
    const { status, stderr } = spawnSync("sh", ["-c", 'exec "$@" > /dev/full', "sh", ...COMMAND, ...args], { encoding: "utf8" });
    assertEquals([status, stderr], [1, "psample: Cannot write standard output: no space left on device (ENOSPC)\n"], args.join(" "));
  }
});

test("the reader of standard error is gone: the command continues, with the same status", () => {
  assertEquals(withoutReader([...COMMAND, "--nonsense"], "2>&1 >&3"), "status 2\n");
  const code = `const { processIo } = await import(${JSON.stringify(new URL("../../cli/io.ts", import.meta.url))});
    const io = processIo();
    for (let i = 0; i < 3; i++) {
      io.err("a warning\\n");
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
    await io.data("done\\n");`;
  const words = [process.execPath, "Bun" in globalThis ? "-e" : "eval", code];
  assertEquals(withoutReader(words, "2>&1 >&3"), "done\nstatus 0\n");
});

test(
  "standard output that is the file that is read is refused, however it was opened",
  inDirectory((at) => {
    const path = at("a.pcap");
    const recording = readFileSync(fileURLToPath(new URL("../golden/ingress.new.pcap", import.meta.url)));
    for (const redirection of ['>> "$FILE"', '1<> "$FILE"']) {
      for (const options of ["", "--json", "-w -"]) {
        for (const input of ['"$FILE"', '- < "$FILE"']) {
          writeFileSync(path, recording);
          const script = `exec "$@" read ${options} ${input} ${redirection}`;
          const { status, stderr } = spawnSync("sh", ["-c", script, "sh", ...COMMAND], {
            encoding: "utf8",
            env: { ...process.env, FILE: path },
          });
          assertEquals([status, stderr.split("\n")[0]], [2, "psample: standard output is the input file"], script);
          assertEquals(readFileSync(path), recording);
        }
      }
    }
  }),
);

test("at a terminal messages are folded between words", programs("script", "stty"), () => {
  const message = 'psample: unknown command "nonsense1": to sample a device of that name, psample capture nonsense1';
  const command = [...COMMAND, "nonsense1"].map((word) => `'${word}'`).join(" ");
  const at = (columns: number): string[] => {
    const { stdout } = spawnSync("script", ["-qec", `stty cols ${columns} rows 24; ${command}`, "/dev/null"], {
      encoding: "utf8",
      env: { ...process.env, NO_COLOR: "1" },
      stdio: ["ignore", "pipe", "pipe"],
    });
    // Not what the runtime itself writes before.
    return stdout.slice(stdout.indexOf("psample:")).replaceAll("\r", "").trimEnd().split("\n");
  };
  const narrow = at(40);
  assert(narrow.every((line) => line.length <= 40), narrow.join("\n"));
  assertEquals(narrow.slice(0, -1).join("\n").replaceAll("\n  ", " "), message);
  assertEquals(at(200)[0], message);
  // Elsewhere nothing is folded.
  assertEquals(spawnSync(COMMAND[0]!, [...COMMAND.slice(1), "nonsense1"], { encoding: "utf8" }).stderr.split("\n")[0], message);
});
