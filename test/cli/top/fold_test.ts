import { test } from "node:test";
import { assertEquals } from "@std/assert";
import { folded, foldedText } from "../../../cli/top/fold.ts";

test("a line is folded between words, and continues behind a margin", () => {
  assertEquals(folded("one two three four", 9), ["one two", "  three", "  four"]);
  assertEquals(folded("one two three four", 18), ["one two three four"]);
  assertEquals(folded("      -> the cure of it", 14, 9), ["      -> the", "         cure", "         of it"]);
  // A word is never broken, and takes its columns.
  assertEquals(folded("a verylongword b", 5), ["a", "  verylongword", "  b"]);
  assertEquals(folded("日本 日本 ab", 9, 0), ["日本 日本", "ab"]);
  assertEquals(folded("", 9), [""]);
});

test("of a text each line, unless somebody has laid it out", () => {
  assertEquals(foldedText("one two\nthree\n  four five six\n", 7), "one two\nthree\n  four five six\n");
  assertEquals(foldedText("psample: one\nTry: that one\n", 9), "psample:\n  one\nTry: that\n  one\n");
});
