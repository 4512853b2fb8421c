/** `psample export --ipfix tcp:HOST`: its words, and what it says. */
import { spawn } from "node:child_process";
import { test } from "node:test";
import { assert, assertEquals, assertMatch } from "@std/assert";
import { main } from "../../cli/main.ts";
import { IpfixDecoder } from "../export/ipfix/decoder.ts";
import { recordings } from "../psample/recordings.ts";
import { COMMAND } from "../support/command.ts";
import { TcpReceiver } from "../support/tcp_receiver.ts";
import { until } from "../support/waiting.ts";
import { type FakeIo, fakeIo } from "./fake_io.ts";

const RECORDING = new URL("../golden/ingress.new.pcap", import.meta.url).pathname;

async function run(...args: string[]): Promise<FakeIo & { status: number }> {
  const io = fakeIo();
  return Object.assign(io, { status: await main(["export", ...args], io) });
}

/** A port that nobody listens on. */
async function unused(): Promise<number> {
  const receiver = await TcpReceiver.listen();
  await receiver.close();
  return receiver.port;
}

test("wrong targets, and options without effect, end with 2 and say why", async () => {
  const wrong: [string[], RegExp][] = [
    [["--sflow", "tcp:192.0.2.9"], /--sflow is "tcp:192.0.2.9": sFlow is sent by UDP only, .*--ipfix tcp:192.0.2.9 sends IPFIX/],
    [["--ipfix", "tcp:192.0.2"], /--ipfix is "192.0.2": "192.0.2" is not an IPv4 address/],
    [["--ipfix", "tcp:"], /--ipfix is "tcp:": expected a host after tcp:, such as tcp:192\.0\.2\.9 or tcp:192\.0\.2\.9:4739\n/],
    [["--ipfix", "a b"], /--ipfix is "a b": expected .* 192\.0\.2\.9:4739, .* collector\.example\.net:4739\n/],
    [["--ipfix", "tcp:192.0.2.9", "--ipfix", "tcp:192.0.2.9"], /--ipfix tcp:192.0.2.9 was given twice/],
    [["--ipfix", "tcp:192.0.2.9", "--ipfix", "tcp:192.0.2.9:4739"], /--ipfix tcp:192.0.2.9:4739 was given twice/],
    [["--ipfix", "udp:192.0.2.9", "--ipfix-spool", "1MB"], /--ipfix-spool requires --ipfix tcp:HOST/],
    [["--ipfix", "tcp:192.0.2.9", "--ipfix-spool", "1kB"], /--ipfix-spool is "1kB": expected a number of bytes from 131072/],
  ];
  for (const [args, message] of wrong) {
    const { status, text, errors } = await run(...args);
    assertEquals([status, text()], [2, ""], args.join(" "));
    assertMatch(errors(), message, args.join(" "));
  }
});

test("--check says that a connection was made and the sample confirmed, or why not", async () => {
  await using receiver = await TcpReceiver.listen();
  const one = await run("--ipfix", `tcp:${receiver.target}`, "--check");
  assertEquals([one.status, one.errors()], [0, ""]);
  assertMatch(one.text(), /^IPFIX tcp:\S+: \d messages? sent; a connection was made, and the system at its other end has confirmed it\n$/);
  await until("it has arrived", () => receiver.streams[0]?.isEnded ?? false);
  const decoder = new IpfixDecoder();
  const records = receiver.messages().messages.flatMap((bytes) => decoder.read(bytes).records);
  assertEquals(records.filter(({ scopes }) => scopes === 0).length, 1);

  const port = await unused();
  const other = await run("--ipfix", `tcp:127.0.0.1:${port}`, "--check");
  assertEquals([other.status, other.text()], [1, ""]);
  assertMatch(other.errors(), /^psample: Cannot send to tcp:127.0.0.1:\d+: connection refused \(ECONNREFUSED\)\. .*nothing listens/);
  assertMatch(
    other.errors(),
    /IPFIX tcp:\S+: 0 messages sent, there was no connection \(ECONNREFUSED\), 1 message with 1 sample waiting: not delivered\n$/,
  );
});

test("--check says why a connection was not made also if the process has had no processor for a while", async () => {
  const port = await unused();
  const now = Object.getOwnPropertyDescriptor(performance, "now");
  const real = performance.now.bind(performance);
  let stoppedMs = 0;
  // A second has passed whenever anybody looks.
  Object.defineProperty(performance, "now", { value: () => real() + (stoppedMs += 1000), configurable: true, writable: true });
  try {
    const { status, errors } = await run("--ipfix", `tcp:127.0.0.1:${port}`, "--check");
    assertEquals(status, 1);
    assertMatch(errors(), /^psample: Cannot send to tcp:127.0.0.1:\d+: connection refused \(ECONNREFUSED\)/);
  } finally {
    if (now) Object.defineProperty(performance, "now", now);
    else Reflect.deleteProperty(performance, "now");
  }
});

test("a recording arrives whole, and the account says so", async () => {
  await using receiver = await TcpReceiver.listen();
  const { status, errors } = await run("--from", RECORDING, "--speed", "max", "--ipfix", `tcp:${receiver.target}`);
  assertEquals(status, 0);
  await until("it has ended", () => receiver.streams[0]?.isEnded ?? false);
  const decoder = new IpfixDecoder();
  const reports = receiver.messages().messages.flatMap((bytes) => decoder.read(bytes).records).filter(({ scopes }) => scopes === 0);
  const samples = recordings().find(({ name }) => name === "ingress.new.pcap")!.items.filter(({ type }) => type === "sample");
  assertEquals(reports.length, samples.length);
  assertMatch(errors(), /IPFIX tcp:\S+: \d+ messages? sent\n$/);
});

test("what a collector that is not there did not get is said at the end", async () => {
  const { status, errors } = await run("--from", RECORDING, "--speed", "max", "--ipfix", `tcp:127.0.0.1:${await unused()}`);
  assertEquals(status, 1);
  assertMatch(
    errors(),
    /IPFIX tcp:\S+: 0 messages sent, there was no connection \(ECONNREFUSED\), \d+ dropped with \d+ samples? \(ECONNREFUSED\)\npsample: nothing was sent to IPFIX tcp:\S+: all of it was dropped \(ECONNREFUSED\)\n$/,
  );
});

test("a collector that closes the connection does not end the process, and addresses need no permission of Deno but for libc", async () => {
  const receiver = await TcpReceiver.listen();
  const [program, ...args] = COMMAND;
  const words = ["export", "--from", "-", "--ipfix", `tcp:${receiver.target}`];
  const child = spawn(program!, [...args, ...words], { stdio: ["pipe", "ignore", "pipe"] });
  let errors = "";
  child.stderr.on("data", (chunk) => errors += String(chunk));
  const ended = new Promise<number | null>((resolve) => child.on("close", resolve));
  // One sample after the other keeps it sending.
  const { file } = recordings().find(({ name }) => name === "ingress.new.pcap")!;
  child.stdin.on("error", () => {});
  child.stdin.write(file);
  // The first message may have no sample, and a collector that got none at all is a failure.
  await until(() => `a sample has arrived: ${errors}`, () => {
    const decoder = new IpfixDecoder();
    return receiver.messages().messages.flatMap((bytes) => decoder.read(bytes).records).some(({ scopes }) => scopes === 0);
  });
  await receiver.close();
  await until(() => `it is told: ${errors}`, () => /Cannot send to tcp:\S+: .*(ECONNRESET|ECONNREFUSED|EPIPE)/.test(errors));
  child.stdin.end();
  assertEquals(await ended, 0, errors);
  assert(/IPFIX tcp:\S+: \d+ messages? sent/.test(errors), errors);
});
