import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { assertEquals } from "@std/assert";
import { escapeControls } from "../../cli/io.ts";

const MAIN = fileURLToPath(new URL("../../cli/main.ts", import.meta.url));
const WORDS: readonly string[] = "Bun" in globalThis
  ? [process.execPath, MAIN]
  : [process.execPath, "run", "--no-check", "--allow-ffi", "--allow-read", "--allow-write", MAIN];

test("text for people: nothing in it controls a terminal, hides or turns around what stands there", () => {
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

test("standard output that is the file that is read is refused, however it was opened", () => {
  const directory = mkdtempSync(join(tmpdir(), "psample-io-"));
  try {
    const path = join(directory, "a.pcap");
    const recording = readFileSync(fileURLToPath(new URL("../golden/ingress.new.pcap", import.meta.url)));
    for (const redirection of ['>> "$FILE"', '1<> "$FILE"']) {
      for (const options of ["", "--json", "-w -"]) {
        for (const input of ['"$FILE"', '- < "$FILE"']) {
          writeFileSync(path, recording);
          const script = `exec "$@" read ${options} ${input} ${redirection}`;
          const { status, stderr } = spawnSync("sh", ["-c", script, "sh", ...WORDS], {
            encoding: "utf8",
            env: { ...process.env, FILE: path },
          });
          assertEquals([status, stderr.split("\n")[0]], [2, "psample: standard output is the input file"], script);
          assertEquals(readFileSync(path), recording);
        }
      }
    }
  } finally {
    rmSync(directory, { recursive: true });
  }
});
