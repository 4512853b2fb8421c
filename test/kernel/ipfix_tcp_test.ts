/** `psample export --ipfix tcp:HOST`: every sample of a kernel arrives, whatever becomes of the connection. */
import { readFileSync, writeFileSync } from "node:fs";
import { assert, assertEquals, assertMatch } from "@std/assert";
import { listSampling } from "../../mod.ts";
import { IpfixDecoder, type IpfixRecord, unsigned } from "../export/ipfix/decoder.ts";
import { TcpReceiver } from "../support/tcp_receiver.ts";
import { UdpReceiver } from "../support/udp_receiver.ts";
import { frameIn, frameOut, inOrder } from "./frames.ts";
import { Command } from "./in_process.ts";
import { Named } from "./namespace.ts";
import { COMMANDS, Program, script } from "./runtime.ts";
import { bareWire, IFINDEX, ip, pause, scene, secondWire, send, Sender, tc, until } from "./scene.ts";

/**
 * Reads the first connection as far as it has come, and returns all packet reports so far; throws if it does not begin with the templates,
 * or a number is missing.
 */
function reader(receiver: TcpReceiver): () => readonly IpfixRecord[] {
  return readerOf(receiver, ({ scopes }) => scopes === 0);
}

/** The same of records of options. */
function optionsReader(receiver: TcpReceiver): () => readonly IpfixRecord[] {
  return readerOf(receiver, ({ scopes }) => scopes > 0);
}

function readerOf(receiver: TcpReceiver, isWanted: (record: IpfixRecord) => boolean): () => readonly IpfixRecord[] {
  const decoder = new IpfixDecoder();
  const reports: IpfixRecord[] = [];
  let read = 0;
  return () => {
    const { messages } = receiver.messages();
    for (; read < messages.length; read++) reports.push(...decoder.read(messages[read]!).records.filter(isWanted));
    return reports;
  };
}

async function start(words: string): Promise<Command> {
  const command = new Command(["export", ...words.split(" ")]);
  await command.samples();
  return command;
}

/** A collector as a program, in the namespace that the thread is in. */
function collector(port: number, address?: string): Program {
  return new Program(script("test/kernel/tcp_collector.ts", "--allow-net", "--allow-read").concat(`${port}`, ...address ? [address] : []));
}

async function listens(program: Program): Promise<number> {
  await until(() => `it listens: ${program.err}`, () => /listening on \d+\n/.test(program.out));
  return Number(/listening on (\d+)/.exec(program.out)![1]);
}

function reportsTold({ out }: Program): number {
  return Number([...out.matchAll(/^(\d+) reports by/gm)].at(-1)?.[1] ?? 0);
}

scene("at 1 in 1 every sample arrives, by count and byte by byte, beside a collector by UDP", async () => {
  bareWire();
  await using receiver = await TcpReceiver.listen();
  using beside = new UdpReceiver();
  const command = await start(`a:1 --direction egress --ipfix tcp:${receiver.target} --sflow ${beside.target} --polling 0 --header 60`);
  const frames = inOrder(200, frameOut);
  send("a", ...frames);
  using sender = new Sender("a", frameOut());
  for (let i = 0; i < 20; i++) {
    sender.send(250);
    await pause(5);
  }
  const reportsSoFar = reader(receiver);
  await until(() => `all have arrived: ${command.io.errors()}`, () => reportsSoFar().length === 5200);
  await command.end();
  await until("the end has arrived", () => receiver.streams[0]!.isEnded);
  const reports = reportsSoFar();
  assertEquals(reports.slice(0, 200).map(({ fields }) => fields.get("315")), frames.map((frame) => frame.slice(0, 60)));
  assert(reports.every((report) => unsigned(report, "14") === IFINDEX.a));
  assertEquals([receiver.streams.length, receiver.messages().rest], [1, 0]);
  assertMatch(
    command.io.errors(),
    /5,200 packets passed \(rule hits\), 1 in 1: 5,200 sampled; lost 0; sFlow \S+: \d+ datagrams sent[^;]*; IPFIX tcp:\S+: \d+ messages sent\n$/,
  );
});

scene("packets observed are what the kernel's samplers have counted, in each direction", async () => {
  bareWire();
  await using receiver = await TcpReceiver.listen();
  const command = await start(`a:10 --ipfix tcp:${receiver.target} --psamp strict --template-refresh 200ms`);
  using out = new Sender("a", frameOut());
  // Nothing is there that would answer.
  using into = new Sender("b", frameIn({ to: "192.0.2.77" }));
  out.send(1000);
  into.send(300);
  const options = optionsReader(receiver);
  await until(() => `they are told: ${command.io.errors()}`, () => {
    const observed = options().filter(({ fields }) => fields.has("318"));
    return [1000, 300].every((count) => observed.some((record) => unsigned(record, "318") === count));
  });
  await command.end();
});

scene("a collector that restarts gets what is sampled meanwhile, and the way there may be down for a while", async () => {
  bareWire();
  secondWire();
  using away = new Named();
  ip(`link set dev d netns ${away.name}`);
  const begin = (port: number): Program => away.inside(() => collector(port, "198.51.100.2"));
  away.inside(() => {
    ip("link set dev lo up", "address add 198.51.100.2/24 dev d", "link set dev d address 02:00:00:00:00:04", "link set dev d up");
  });
  const first = begin(0);
  const port = await listens(first);
  const command = await start(`a:1 --direction egress --ipfix tcp:198.51.100.2:${port}`);
  send("a", ...inOrder(50, frameOut));
  await until(() => `they have arrived: ${first.err}`, () => reportsTold(first) === 50);
  await first[Symbol.asyncDispose]();
  await until(() => `it is told: ${command.io.errors()}`, () => /Cannot send to tcp:198\.51\.100\.2:\d+: /.test(command.io.errors()));
  send("a", ...inOrder(70, frameOut));
  ip("link set dev c down");
  await using second = begin(port);
  await listens(second);
  ip("link set dev c up", "neighbour replace 198.51.100.2 lladdr 02:00:00:00:00:04 dev c");
  await until(() => `they have arrived: ${second.err}${command.io.errors()}`, () => reportsTold(second) === 70);
  await until(() => `it is told: ${command.io.errors()}`, () => /accepts messages again/.test(command.io.errors()));
  await command.end();
  assertMatch(command.io.errors(), /120 sampled; lost 0; IPFIX tcp:\S+: \d+ messages sent, 2 connections\n$/);
});

scene("a port that the kernel may choose for this end of a connection too is no collector, and stays free for one", async () => {
  bareWire();
  const path = "/proc/sys/net/ipv4/ip_local_port_range";
  const range = readFileSync(path, "utf8");
  const port = 47_390;
  writeFileSync(path, `${port} ${port + 1}`);
  try {
    const command = await start(`a:1 --direction egress --ipfix tcp:127.0.0.1:${port}`);
    await until(() => `it is told: ${command.io.errors()}`, () => /tcp:127\.0\.0\.1:47390: connection refused/.test(command.io.errors()));
    send("a", ...inOrder(50, frameOut));
    await using receiver = await TcpReceiver.listen({ port });
    const reportsSoFar = reader(receiver);
    await until(() => `all have arrived: ${command.io.errors()}`, () => reportsSoFar().length === 50);
    await command.end();
  } finally {
    writeFileSync(path, range);
  }
});

scene(
  "--netns and --user: without the right to enter it again, connections are made again there, and devices that come later are sampled",
  async () => {
    using there = new Named();
    there.inside(() => {
      bareWire();
      ip("link add name x0 index 158 type veth peer name y0 index 159", "link set dev x0 up", "link set dev y0 up");
    });
    const first = there.inside(() => collector(0));
    const port = await listens(first);
    using byUdp = there.inside(() => new UdpReceiver());
    const words = [
      ...COMMANDS[0]!.words("--allow-read=/run/netns,/proc"),
      ...["export", "a", "x*", "--rate", "1", "--direction", "egress", "--netns", there.name],
      ...["--ipfix", `tcp:127.0.0.1:${port}`, "--ipfix", byUdp.target, "--user", "nobody"],
    ];
    await using program = new Program(words);
    await until(() => `it exports: ${program.err}`, () => program.err.includes("exporting to "));
    there.inside(() => send("a", frameOut()));
    await until(() => `it has arrived: ${program.err}${first.err}`, () => reportsTold(first) === 1);
    await first[Symbol.asyncDispose]();
    await using second = there.inside(() => collector(port));
    await listens(second);
    there.inside(() => send("a", frameOut(), frameOut()));
    await until(() => `they have arrived: ${program.err}${second.err}`, () => reportsTold(second) === 2);
    there.inside(() => ip("link add name x1 index 160 type veth peer name y1 index 161", "link set dev x1 up", "link set dev y1 up"));
    await until(() => `it is sampled: ${program.err}`, () => program.err.includes("sampling x1 too, 1 in 1\n"));
    there.inside(() => send(160, frameOut()));
    await until(() => `it has arrived: ${program.err}${second.err}`, () => reportsTold(second) === 3);
    // The way is taken again, and the templates are sent again.
    const before = byUdp.receive().length;
    program.signal("SIGHUP");
    await until(() => `it is looked up again: ${program.err}`, () => program.err.includes("host names are looked up again"));
    await until("it has arrived", () => {
      there.inside(() => send(160, frameOut()));
      return byUdp.receive().length > before;
    });
    // What somebody removes is set up again too.
    there.inside(() => tc("qdisc del dev a clsact"));
    await until(() => `it is sampled again: ${program.err}`, () => program.err.includes("sampling a again, 1 in 1\n"));
    program.signal("SIGTERM");
    assertEquals((await program.ended).status, 0, program.err);
    assertEquals(await listSampling({ netns: there.name }), []);
  },
);
