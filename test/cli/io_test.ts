import { test } from "node:test";
import { assertEquals } from "@std/assert";
import { escapeControls } from "../../cli/io.ts";

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
