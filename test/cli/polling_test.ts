/** `psample export --counters`: an agent that sends counters, on any machine. */
import { test } from "node:test";
import { assert, assertEquals, assertMatch } from "@std/assert";
import { main } from "../../cli/main.ts";
import { decodeDatagram, type DecodedSample, wordsOf } from "../export/sflow/decoder.ts";
import { UdpReceiver } from "../support/udp_receiver.ts";
import { until } from "../support/waiting.ts";
import { fakeIo } from "./fake_io.ts";

/** The index of the loopback device, in every network namespace. */
const LO = 1;

function samplesOf(receiver: UdpReceiver): DecodedSample[] {
  return receiver.receive().flatMap((bytes) => decodeDatagram(new Uint8Array(bytes)).samples);
}

test("counters alone are sent too, whether or not this machine can receive samples", async () => {
  using receiver = new UdpReceiver();
  const io = fakeIo();
  const words = ["export", "--sflow", receiver.target, "--agent", "192.0.2.1", "--counters", "l[o]", "--polling", "1s"];
  const running = main(words, io);
  const countersOf = (type: number, index: number): DecodedSample[] =>
    samplesOf(receiver).filter(({ format, sourceType, sourceIndex }) => format === 2 && sourceType === type && sourceIndex === index);
  await until(() => `they have come twice: ${io.errors()}`, () => countersOf(0, LO).length > 1 && countersOf(2, 1).length > 1);
  assert(io.signal("SIGINT"));
  assertEquals(await running, 0, io.errors());
  const [first, second] = countersOf(0, LO);
  assertEquals([first!.sequence, second!.sequence, wordsOf(first!, 1)!.slice(0, 2)], [1, 2, [LO, 24]]);
  // Our own datagrams pass it.
  assert(wordsOf(second!, 1)![7]! + 2 ** 32 * wordsOf(second!, 1)![6]! > wordsOf(first!, 1)![7]! + 2 ** 32 * wordsOf(first!, 1)![6]!);
  assertEquals(countersOf(2, 1)[0]!.records.slice(0, 3).map(({ format }) => format), [2000, 2003, 2004]);
  const count = samplesOf(receiver).filter(({ format }) => format === 2).length;
  assertMatch(io.errors(), new RegExp(`; sFlow \\S+: \\d+ datagrams sent, ${count} counter samples in them\n$`));
});

/** What `--check` says and sends with these words. */
async function checked(...words: string[]): Promise<{ text: string; errors: string; sources: string[] }> {
  using receiver = new UdpReceiver();
  const io = fakeIo();
  assertEquals(await main(["export", "--sflow", receiver.target, "--agent", "192.0.2.1", ...words, "--check"], io), 0, io.errors());
  const sources = samplesOf(receiver).map(({ format, sourceType, sourceIndex }) => `${format} of ${sourceType}:${sourceIndex}`);
  return { text: io.text().replace(receiver.target, "TARGET"), errors: io.errors(), sources };
}

test("--check sends the counters that a run would send, and says how many", async () => {
  const one = await checked("lo:5");
  assertEquals(one.text, "sFlow TARGET: 3 datagrams sent, 2 counter samples in them; no error came back\n");
  assertEquals([one.sources.slice(1), one.errors], [["2 of 2:1", `2 of 0:${LO}`], ""]);
  const pattern = await checked("l[o]");
  assertEquals(pattern.sources.slice(1), ["2 of 2:1", `2 of 0:${LO}`]);
  // What others sample may be anything.
  const already = await checked();
  const counters = already.sources.slice(1);
  assertEquals(counters[0], "2 of 2:1");
  assertMatch(already.text, new RegExp(` datagrams sent, ${counters.length} counter samples? in them; no error came back\n$`));
  const none = await checked("lo:5", "--polling", "0");
  assertEquals([none.text, none.sources.length], ["sFlow TARGET: 1 datagram sent; no error came back\n", 1]);
});

test("--check sends named counters once, and says how many", async () => {
  using receiver = new UdpReceiver();
  const io = fakeIo();
  const words = ["--sflow", receiver.target, "--agent", "192.0.2.1", "--counters", "lo", "--counters", "no-such-device*", "--check"];
  assertEquals(await main(["export", ...words], io), 0, io.errors());
  assertEquals(io.text(), `sFlow ${receiver.target}: 3 datagrams sent, 2 counter samples in them; no error came back\n`);
  const missing = "psample: --counters no-such-device*: there is no such device now; its counters are sent when there is\n";
  assertEquals(io.errors(), missing);
  const sources = samplesOf(receiver).map(({ format, sourceType, sourceIndex }) => `${format} of ${sourceType}:${sourceIndex}`);
  assertEquals(sources.slice(1), ["2 of 2:1", `2 of 0:${LO}`]);
});

test("a device of --counters that is not there is told at the start, and at the reload that names it", async () => {
  using receiver = new UdpReceiver();
  const input: Record<string, Uint8Array> = {};
  const write = (...devices: string[]): void => {
    const lines = [`sflow ${receiver.target}`, "agent 192.0.2.1", ...devices.map((device) => `counters ${device}`)];
    input["x.conf"] = new TextEncoder().encode(lines.join("\n"));
  };
  write("lo", "none0", "all");
  const io = fakeIo({ input });
  const running = main(["export", "--config", "x.conf"], io);
  const missing = (): string[] => [...io.errors().matchAll(/--counters (\S+): there is no such device now/g)].map(([, word]) => word!);
  await until(() => `it exports: ${io.errors()}`, () => /exporting to/.test(io.errors()));
  assertEquals(missing(), ["none0"]);
  write("none0", "none1*");
  assert(io.signal("SIGHUP"));
  await until(() => `it is read again: ${io.errors()}`, () => /was read again/.test(io.errors()));
  assertEquals(missing(), ["none0", "none0", "none1*"]);
  assert(io.signal("SIGINT"));
  assertEquals(await running, 0, io.errors());
});

test("counters are not for recordings", async () => {
  const io = fakeIo();
  assertEquals(await main(["export", "--from", "x.pcapng", "--sflow", "192.0.2.9", "--counters", "all"], io), 2);
  assertMatch(io.errors(), /--counters is not for recordings: it cannot be combined with --from/);
});
