/** Packets of a recording that does not say when they were captured: pcapng's simple packets. */
import { test } from "node:test";
import { assert, assertEquals, assertMatch } from "@std/assert";
import { main } from "../../cli/main.ts";
import { MADE } from "../packet/made.ts";
import { join, number } from "../psample/build.ts";
import { pcapngParts } from "../support/capture_files.ts";
import { optionNumber, pcapngBlocks } from "../support/pcapng_blocks.ts";
import { fakeIo } from "./fake_io.ts";

const FRAME = MADE["tcp4"]!;
const [ENHANCED, STATISTICS] = [6, 5];
const [STARTTIME, ENDTIME] = [2, 3];

/** Simple packets before, between and after two that have a time. */
function recording(): Uint8Array {
  const { section, interface: ethernet, block, n, packet } = pcapngParts(true);
  const simple = block(3, n(4, FRAME.length), FRAME);
  const at = (seconds: bigint): Uint8Array => packet(0, seconds * 1_000_000n, FRAME);
  return join(section(), ethernet(1), simple, at(1_784_000_000n), simple, at(1_784_000_002n), simple);
}

/** What the command prints of a recording, and the file that it writes. */
async function outcome(words: readonly string[], file: Uint8Array = recording()): Promise<{ text: string; file: Uint8Array | undefined }> {
  const io = fakeIo({ input: { "in.pcapng": file } });
  assertEquals(await main([...words, "in.pcapng"], io), 0, io.errors());
  return { text: io.text(), file: io.files.get("out.pcapng") ?? io.files.get("out.pcap") };
}

test("group events do not decide how long a recording is", async () => {
  for (const [format, name] of [["pcapng", "x.pcapng"], ["netlink", "x.pcap"]] as const) {
    const io = fakeIo();
    assertEquals(await main(["demo", "-q", "--loop", "1000", "--count", "19", "--format", format, "-w", name], io), 0, io.errors());
    const file = io.files.get(name)!;
    const top = async (input: Uint8Array): Promise<string> => {
      const { text } = await outcome(["top"], input);
      return /^19 samples in [\d.]+ (?:s|min \d+ s) until 2026-11-21 /.exec(text)?.[0] ?? text;
    };
    assertMatch(await top(file), /^19 samples in /, format);
    // Nor do they have a time before the first packet in a format where everything has one.
    const again = (await outcome(["read", "-q", "--format", "netlink", "-w", "out.pcap"], file)).file!;
    const seconds = new DataView(again.buffer, again.byteOffset).getUint32(24, true);
    assert(seconds > 1_700_000_000, `${format}: the first record is of ${seconds}`);
    assertMatch(await top(again), /^19 samples in /, format);
  }
});

const KNOWN = [false, true, false, true, false];

test("JSON and CSV leave the time out", async () => {
  const lines = (await outcome(["read", "--json", "--details"])).text.trim().split("\n").map((line) => JSON.parse(line));
  assertEquals(lines.map(({ at }) => at), [
    undefined,
    "2026-07-14T03:33:20.000000000Z",
    undefined,
    "2026-07-14T03:33:22.000000000Z",
    undefined,
  ]);
  const [head, ...rows] = (await outcome(["read", "--csv", "--fields", "at,originalBytes"])).text.trim().split("\r\n");
  assertEquals([head, ...rows.map((row) => row.startsWith("2026-"))], ["at,originalBytes", ...KNOWN]);
  assertEquals(rows[0], `,${FRAME.length}`);
});

test("JSON without details has the time of a sample that has no time stamp of its own", async () => {
  const of = async (file: Uint8Array | undefined): Promise<unknown[]> =>
    (await outcome(["read", "--json"], file)).text.trim().split("\n").map((line) => JSON.parse(line).at);
  const times = [undefined, "2026-07-14T03:33:20.000000000Z", undefined, "2026-07-14T03:33:22.000000000Z", undefined];
  assertEquals(await of(undefined), times);
  // And of those that psample wrote as pcap, where nothing but the packet and the time has room.
  const { file } = await outcome(["read", "-w", "out.pcap"]);
  assertEquals((await of(file)).filter((at) => times.includes(at as string)).length, 4);
  // A time stamp says it already.
  const io = fakeIo();
  assertEquals(await main(["demo", "-q", "--json", "--loop", "1000", "--count", "1"], io), 0);
  assertEquals(Object.keys(JSON.parse(io.text().trim().split("\n").at(-1)!)).filter((key) => /^(at|timestampNs)$/.test(key)), [
    "timestampNs",
  ]);
});

test("lines have dashes, as wide as a time, and the time since another line is that since one with a time", async () => {
  const starts = async (...words: string[]): Promise<string[]> =>
    (await outcome(["read", ...words])).text.trimEnd().split("\n").map((line) => line.slice(0, 16));
  assertEquals(await starts("--color", "never"), [
    "--:--:--.------ ",
    "03:33:20.000000 ",
    "--:--:--.------ ",
    "03:33:22.000000 ",
    "--:--:--.------ ",
  ]);
  const of = async (option: string): Promise<string[]> => (await outcome(["read", option])).text.trimEnd().split("\n");
  for (
    const [option, unknown, known] of [
      ["-t", "", ""],
      ["-tt", "----------.------ ", "1784000002.000000 "],
      ["-ttt", " --:--:--.------ ", " 00:00:02.000000 "],
      ["-tttt", "---------- --:--:--.------ ", "2026-07-14 03:33:22.000000 "],
      ["-ttttt", " --:--:--.------ ", " 00:00:02.000000 "],
    ] as const
  ) {
    const [first, , , second] = await of(option) as [string, string, string, string];
    assertEquals([first.length, second.length], [first.length, first.length], option);
    assertEquals([first.startsWith(unknown), second.startsWith(known)], [true, true], `${option}: ${first}\n${second}`);
  }
});

test("recorded again as pcapng they still have none; other programs see the time of the packet before", async () => {
  const { file } = await outcome(["read", "-w", "out.pcapng"]);
  assertEquals((await outcome(["read", "--json", "--details"], file)).text, (await outcome(["read", "--json", "--details"])).text);
  const blocks = pcapngBlocks(file!);
  const halves = (bytes: Uint8Array): bigint => {
    const view = new DataView(bytes.buffer, bytes.byteOffset);
    return BigInt(view.getUint32(4, true)) << 32n | BigInt(view.getUint32(8, true));
  };
  const [first, second] = [1_784_000_000n, 1_784_000_002n].map((seconds) => seconds * 1_000_000_000n) as [bigint, bigint];
  assertEquals(blocks.filter(({ type }) => type === ENHANCED).map(({ body }) => halves(body)), [0n, first, first, second, second]);
  const statistics = blocks.find(({ type }) => type === STATISTICS)!;
  const time = (value: bigint): bigint => value >> 32n | (value & 0xffff_ffffn) << 32n;
  assertEquals([STARTTIME, ENDTIME].map((code) => time(optionNumber(statistics, code)!)), [first, second]);
});

test("recorded again as pcap they have the time of the packet before, since its records have no room for none", async () => {
  const { file } = await outcome(["read", "-w", "out.pcap"]);
  const lines = (await outcome(["read", "--json", "--details"], file)).text.trim().split("\n").map((line) => JSON.parse(line).at);
  const [first, second] = ["2026-07-14T03:33:20.000000000Z", "2026-07-14T03:33:22.000000000Z"];
  assertEquals(lines, ["1970-01-01T00:00:00.000000000Z", first, first, second, second]);
});

test("top counts them, over the time between those that have one", async () => {
  const { text } = await outcome(["top", "--rate", "10"]);
  assertMatch(text, /^5 samples in 2\.0 s until 2026-07-14 03:33:22Z, lost 0\n/);
  const only = pcapngParts(true);
  const none = join(only.section(), only.interface(1), only.block(3, number(4, FRAME.length), FRAME));
  assertMatch((await outcome(["top", "--rate", "10"], none)).text, /^1 sample, lost 0\n/);
});
