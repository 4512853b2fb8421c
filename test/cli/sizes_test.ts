import { test } from "node:test";
import { assertEquals, assertThrows } from "@std/assert";
import { LISTEN_OPTIONS } from "../../cli/commands/listening.ts";
import { bytesOf, parse } from "../../cli/options.ts";
import { OUTPUT_OPTIONS } from "../../cli/output_options.ts";
import { STREAM_OPTIONS } from "../../cli/stream_targets.ts";

test("KB, MB and GB are powers of 1000; K, M and G, and KiB, MiB and GiB, of 1024", () => {
  const rows = {
    "1b": 1,
    "4kB": 4000,
    "1.5MB": 1_500_000,
    "2gb": 2_000_000_000,
    "4K": 4096,
    "128M": 128 * 1024 * 1024,
    "128m": 128 * 1024 * 1024,
    "1.5G": 1536 * 1024 * 1024,
    "4KiB": 4096,
    "10MiB": 10 * 1024 * 1024,
    "2gib": 2 * 1024 * 1024 * 1024,
    "10": undefined,
    "10MI": undefined,
    "10iB": undefined,
    "10 M": undefined,
    "M": undefined,
    "": undefined,
  };
  for (const [text, bytes] of Object.entries(rows)) assertEquals(bytesOf(text), bytes, text);
});

test("the receive buffer is given as other sizes are", () => {
  const buffer = (text: string): unknown => parse(["--buffer", text], LISTEN_OPTIONS).options.buffer;
  assertEquals(["4096", "0x1000", "10MB", "64kb", "10M", "64K"].map(buffer), [4096, 4096, 10_000_000, 64_000, 10_485_760, 65_536]);
  for (const text of ["10T", "0", "0.5b", "2GB", "x"]) assertThrows(() => buffer(text), Error, "or a size such as 4MB");
});

test("files are rotated at such sizes; a small m is minutes there", () => {
  const rotate = (text: string): unknown => parse(["--rotate", text], OUTPUT_OPTIONS).options.rotate;
  assertEquals(
    ["100MB", "100M", "1GiB"].map(rotate),
    [100_000_000, 104_857_600, 1_073_741_824].map((bytes) => ({ bytes, periodMs: undefined })),
  );
  assertEquals(rotate("10m"), { bytes: undefined, periodMs: 600_000 });
  assertThrows(() => rotate("10b"), Error, "a size such as 100MB or a time such as 1h");
});

test("what waits for a collector is given as other sizes are", () => {
  const spool = (text: string): unknown => parse(["--ipfix-spool", text], STREAM_OPTIONS).options.ipfixSpool;
  assertEquals(["8M", "8MiB", "8MB"].map(spool), [8_388_608, 8_388_608, 8_000_000]);
});
