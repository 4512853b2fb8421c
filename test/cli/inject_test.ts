/** `psample inject`: what is refused before anything is sent. What it sends is tested in kernels. */
import { test } from "node:test";
import { assertEquals, assertMatch, assertNotMatch, assertStringIncludes } from "@std/assert";
import { main } from "../../cli/main.ts";
import { Recordings } from "../../cli/recordings.ts";
import { Rounds } from "../../cli/rounds.ts";
import { readRecording, type RecordingSource } from "../../mod.ts";
import { pcapFile } from "../support/capture_files.ts";
import { pieces } from "../support/reading.ts";
import { fakeIo } from "./fake_io.ts";

async function run(...args: string[]): Promise<{ status: number; text: string; errors: string }> {
  const io = fakeIo();
  const status = await main(["inject", ...args], io);
  return { status, text: io.text(), errors: io.errors() };
}

test("wrong command lines are refused, with what is expected", async () => {
  for (
    const [args, why] of [
      [[], "missing FILE (usage: psample inject [OPTION]... FILE|-...)"],
      [["--speed", "fast", "a"], '--speed is "fast": expected a number above 0 such as 1, 0.5 or 10, or max'],
      [["--speed", "0", "a"], '--speed is "0": expected a number above 0'],
      [["--speed", "1e3", "a"], '--speed is "1e3": expected a number above 0'],
      [["--loop", "-"], "--loop requires files: standard input can be read only once"],
      [["-", "/dev/stdin"], "standard input was given twice, but can be read only once"],
      [["--packet-rate", "0", "a"], '--packet-rate is "0": expected a whole number from 1'],
      [["--filter", "tcp port", "a"], "--filter"],
    ] as const
  ) {
    const { status, errors } = await run(...args);
    assertEquals(status, 2, errors);
    assertStringIncludes(errors, why);
  }
});

test("a file that is not there is an error before the kernel is asked for anything", async () => {
  const { status, errors } = await run("no-such.pcap");
  assertEquals(status, 1);
  assertStringIncludes(errors, "no-such.pcap");
  // No device can be injected.
  assertNotMatch((await run("va")).errors, /device/);
});

test("--explain sends nothing, and the help has examples", async () => {
  const explained = await run("--explain", "--filter", "tcp port 443", "a.pcap");
  assertEquals([explained.status, explained.errors], [0, ""]);
  assertStringIncludes(explained.text, "tcp port 443");
  const help = await run("--help");
  assertMatch(help.text, /psample inject --speed max samples\.pcapng/);
});

/** A recording of packets at these seconds. */
async function recording(...seconds: number[]): Promise<RecordingSource> {
  return await readRecording(pieces(pcapFile(seconds.map((seconds) => ({ seconds, bytes: new Uint8Array(20) })), { linkType: 1 })));
}

/** The times of what comes from a source. */
async function times(source: Rounds): Promise<number[]> {
  const all: number[] = [];
  for (let batch = await source.read(); batch; batch = await source.read()) {
    for (let i = 0; i < batch.count; i++) all.push(Number(batch.timeNs(i) / 1_000_000_000n));
  }
  return all;
}

test("rounds read the same recordings again, as often as asked, and count those of one", async () => {
  const open = async (): Promise<Recordings> => new Recordings([await recording(1, 2), await recording(5)]);
  let left = 2;
  const rounds = new Rounds(await open(), open, () => left-- > 0);
  assertEquals(await times(rounds), [1, 2, 5, 1, 2, 5, 1, 2, 5]);
  assertEquals([rounds.round, rounds.counts.samples, rounds.stats().received], [3, 3, 3]);
  await rounds.close();
});

test("rounds end where they are ended, also while recordings are opened, and an error ends them too", async () => {
  const open = async (): Promise<Recordings> => new Recordings([await recording(1)]);
  const rounds: Rounds = new Rounds(await open(), async () => {
    const opened = await open();
    rounds.end();
    return opened;
  }, () => true);
  assertEquals(await times(rounds), [1]);
  const gone = new Rounds(await open(), () => Promise.reject(new Error("gone")), () => true);
  assertEquals(await times(gone).catch((error: Error) => error.message), "gone");
});
