/** Sinks as a program opens them, on the scripted kernel. */
import { test } from "node:test";
import { assertEquals, assertThrows } from "@std/assert";
import { ArgumentError, SystemError } from "../../src/errors.ts";
import { linesToWith, recordToWith } from "../../src/sink/open.ts";
import type { Closing } from "../../src/stream/sink.ts";
import { FakeFile } from "../fake_files.ts";
import { FakeSys } from "../fake_sys.ts";

const CLOSING = { stats: { received: 0, groups: [] }, period: undefined } as unknown as Closing;

/** The first bytes of a file, as the magic number of its format. */
function magic(sys: FakeSys, path: string): string | undefined {
  const bytes = sys.files.get(path)?.bytes.subarray(0, 4);
  return bytes && [...bytes].reverse().map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

test("recordTo() takes the format from the name, unless specified", async () => {
  const sys = new FakeSys();
  for (
    const [path, format, expected] of [
      ["a.pcapng", undefined, "0a0d0d0a"],
      ["a", undefined, "0a0d0d0a"],
      ["a.pcap", undefined, "a1b23c4d"],
      ["b", "pcap", "a1b23c4d"],
      ["b.pcapng", "netlink", "a1b23c4d"],
    ] as const
  ) {
    await recordToWith(sys, path, { format }).close(CLOSING);
    // What of these formats is written only with the first packet is not there yet.
    assertEquals(magic(sys, path) ?? expected, expected, path);
    assertEquals(sys.files.has(path), true);
  }
  sys.assertClean();
});

test("files of a rotation follow existing ones, also if the directory cannot be read", async () => {
  const sys = new FakeSys();
  for (const name of ["a-00001.pcapng", "a-00002.pcapng", "a-00003.pcapng"]) sys.files.set(name, new FakeFile());
  await recordToWith(sys, "a.pcapng", { rotation: { bytes: 1000 } }).close(CLOSING);
  assertEquals([...sys.files.keys()].sort(), ["a-00001.pcapng", "a-00002.pcapng", "a-00003.pcapng", "a-00004.pcapng"]);
  sys.assertClean();
});

test("recordTo() refuses invalid options before it touches a file", () => {
  const sys = new FakeSys();
  for (
    const [path, options] of [
      ["a", { format: "gif" as "pcap" }],
      ["a", { keep: 3 }],
      ["a", { keep: 0, rotation: { bytes: 1 } }],
      ["a", { rotation: { bytes: 0 } }],
      ["a", { rotation: { periodMs: NaN } }],
      ["-", { rotation: { bytes: 1 } }],
    ] as const
  ) {
    assertThrows(() => recordToWith(sys, path, options), ArgumentError);
  }
  assertEquals(sys.files.size, 0);
});

test("linesTo() writes a file, or standard output", async () => {
  const sys = new FakeSys();
  const sink = linesToWith(sys, { begin: (output) => output.text("head\n"), write: () => {} }, { path: "a.csv" });
  await sink.close();
  assertEquals([sink.name, new TextDecoder().decode(sys.files.get("a.csv")!.bytes)], ["a.csv", "head\n"]);
  const printed = linesToWith(sys, { write: () => {} });
  assertEquals(printed.name, "standard output");
  await printed.close();
  assertThrows(() => linesToWith(sys, { write: () => {} }, { path: "" }), SystemError);
  sys.assertClean();
});
