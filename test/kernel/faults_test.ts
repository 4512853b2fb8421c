/** `psample export` outlives what happens to a machine in months: nothing is lost without being told, and nothing grows. */
import { assert, assertEquals, assertMatch } from "@std/assert";
import { listSampling } from "../../mod.ts";
import { spawnSync } from "node:child_process";
import { mkdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { IpfixDecoder } from "../export/ipfix/decoder.ts";
import { valuesOf } from "../export/prometheus/reader.ts";
import { decodeDatagram, type DecodedSample } from "../export/sflow/decoder.ts";
import { get } from "../support/http.ts";
import { TcpReceiver } from "../support/tcp_receiver.ts";
import { UdpReceiver } from "../support/udp_receiver.ts";
import { frameOut } from "./frames.ts";
import { Command } from "./in_process.ts";
import { Named } from "./namespace.ts";
import { COMMANDS, openDirectory, Program } from "./runtime.ts";
import { bareWire, IFINDEX, ip, pause, run, say, scene, send, Sender, until } from "./scene.ts";

/** Starts an export, which samples when this resolves. */
async function start(words: string): Promise<Command> {
  // Counters have tests of their own.
  const command = new Command(["export", ...words.split(" "), ...words.includes("--sflow") ? ["--polling", "0"] : []]);
  await command.samples();
  return command;
}

/** The flow samples that have arrived. */
function samplesOf(receiver: UdpReceiver): DecodedSample[] {
  return receiver.receive().flatMap((bytes) => decodeDatagram(new Uint8Array(bytes)).samples);
}

/** Numbers without the commas of thousands. */
function plain(text: string): string {
  return text.replace(/(?<=\d),(?=\d{3})/g, "");
}

/** What the account says was received and lost. */
function accountIn(text: string): { sampled: number; lost: number } {
  const { sampled, lost } = /(?<sampled>\d+) sampled; lost (?<lost>\d+)/.exec(plain(text).trim().split("\n").at(-1)!)?.groups ?? {};
  return { sampled: Number(sampled), lost: Number(lost) };
}

/** How many samples an export has received, by its metrics. */
async function receivedBy(port: number): Promise<number | undefined> {
  const { body } = await get(port, "/metrics");
  return Object.values(valuesOf(body, "psample_received_samples_total"))[0];
}

/** How much memory a program takes now. */
function residentKilobytes({ pid }: Program): number {
  return Number(/^VmRSS:\s*(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))![1]);
}

scene("a route that moves to another device takes the datagrams along", async () => {
  bareWire();
  using away = new Named();
  // Two ways to the collector.
  ip(
    "link add name c index 103 type veth peer name d index 104",
    `link set dev d netns ${away.name}`,
    "address add 198.51.100.1/24 dev c",
    "link set dev c up",
    "link add name e index 105 type veth peer name f index 106",
    `link set dev f netns ${away.name}`,
    "address add 203.0.113.1/24 dev e",
    "link set dev e up",
    "route add 192.0.2.200/32 via 198.51.100.2",
  );
  using collector = away.inside(() => {
    ip(
      "link set dev lo up",
      "address add 198.51.100.2/24 dev d",
      "link set dev d up",
      "address add 203.0.113.2/24 dev f",
      "link set dev f up",
      "address add 192.0.2.200/32 dev lo",
      "route add 192.0.2.0/24 via 203.0.113.1",
    );
    return new UdpReceiver("192.0.2.200");
  });
  const command = await start(`a:1 --direction egress --latency low --sflow ${collector.target} --agent 192.0.2.1`);
  let count = 0;
  const sendUntil = async (arrived: number): Promise<void> =>
    await until(() => `${arrived} have arrived, not ${samplesOf(collector).length}: ${command.io.errors()}`, async () => {
      send("a", frameOut());
      count++;
      await pause(20);
      return samplesOf(collector).length >= arrived;
    });
  await sendUntil(3);
  ip("route replace 192.0.2.200/32 via 203.0.113.2");
  ip("link set dev c down");
  await sendUntil(samplesOf(collector).length + 5);
  await command.end();
  const [, dropped = "0"] = /dropped with (\d+) sample/.exec(command.io.errors()) ?? [];
  await until("all others have arrived", () => samplesOf(collector).length === count - Number(dropped));
});

scene(
  "a clock that is set back and forth stops nothing: samples go on, templates come again, the uptime never goes back",
  "guest",
  async () => {
    bareWire();
    using sflow = new UdpReceiver();
    using ipfix = new UdpReceiver();
    const command = await start(
      `a:1 --direction egress --latency low --sflow ${sflow.target} --ipfix ${ipfix.target} --template-refresh 1s --prometheus 0`,
    );
    const templates = (): number =>
      ipfix.receive().filter((bytes) => new DataView(bytes.buffer, bytes.byteOffset).getUint16(16) <= 3).length;
    let count = 0;
    const goesOn = async (): Promise<void> => {
      const [samples, announced] = [samplesOf(sflow).length, templates()];
      await until(() => `samples and templates come: ${command.io.errors()}`, async () => {
        send("a", frameOut());
        count++;
        await pause(20);
        return samplesOf(sflow).length > samples && templates() > announced + 1;
      });
    };
    await goesOn();
    const now = Math.floor(Date.now() / 1000);
    try {
      for (const step of [-7200, 86_400, 0]) {
        run("date", ["-s", `@${now + step}`]);
        await goesOn();
      }
    } finally {
      run("date", ["-s", `@${now}`]);
    }
    await until("every sample has arrived", () => samplesOf(sflow).length === count);
    const [, port] = /127\.0\.0\.1:(\d+)\//.exec(command.io.errors())!;
    const { status, body } = await get(Number(port), "/metrics");
    assertEquals([status, Object.values(valuesOf(body, "psample_received_samples_total"))], [200, [count]]);
    await command.end();
    const uptimes = sflow.receive().map((bytes) => decodeDatagram(new Uint8Array(bytes)).uptimeMs);
    assertEquals(uptimes, [...uptimes].sort((one, other) => one - other));
    assertEquals(accountIn(command.io.errors()), { sampled: count, lost: 0 });
    const decoder = new IpfixDecoder();
    assertEquals(ipfix.receive().flatMap((bytes) => decoder.read(bytes).records).filter(({ scopes }) => scopes === 0).length, count);
  },
);

scene("suspended, what the socket has no room for is lost and told; the rest arrives", async () => {
  bareWire();
  using sflow = new UdpReceiver();
  const { words } = COMMANDS[0]!;
  const all = [...words(), "export", "a:1", "--direction", "egress", "--sflow", sflow.target, "--polling", "0", "--buffer", "64KB"];
  await using program = new Program(all);
  await until(() => `it exports: ${program.err}`, () => program.err.includes("exporting to "));
  send("a", frameOut());
  await until("it has arrived", () => samplesOf(sflow).length === 1);
  program.signal("SIGSTOP");
  await until("it is stopped", () => /^State:\s+T/m.test(readFileSync(`/proc/${program.pid}/status`, "utf8")));
  using sender = new Sender("a", frameOut());
  sender.send(3000);
  program.signal("SIGCONT");
  await until("it goes on", async () => {
    send("a", frameOut());
    await pause(20);
    return samplesOf(sflow).length > 2;
  });
  const settled = samplesOf(sflow).length;
  send("a", frameOut());
  await until("the last has arrived", () => samplesOf(sflow).length > settled);
  program.signal("SIGTERM");
  const { status, err } = await program.ended;
  assertEquals(status, 0, err);
  const { sampled, lost } = accountIn(err);
  assert(lost > 100, err);
  assertEquals(samplesOf(sflow).length, sampled);
  // Collectors are told the same.
  assertEquals(samplesOf(sflow).at(-1)!.drops, lost);
  const [, passed] = /(\d+) packets passed/.exec(plain(err))!;
  assertEquals(sampled + lost, Number(passed));
});

scene("suspended for more than a minute it goes on: counters, templates and metrics come again, and the account is exact", async () => {
  bareWire();
  using sflow = new UdpReceiver();
  using ipfix = new UdpReceiver();
  await using stream = await TcpReceiver.listen();
  const to = `--sflow ${sflow.target} --ipfix ${ipfix.target} --ipfix tcp:${stream.target} --prometheus 0`;
  const words = `export a:1 --direction egress --polling 2s --template-refresh 2s --buffer 64KB ${to}`;
  await using program = new Program([...COMMANDS[0]!.words("--allow-net"), ...words.split(" ")]);
  await until(() => `it exports: ${program.err}`, () => program.err.includes("exporting to "));
  const [, port] = /127\.0\.0\.1:(\d+)\//.exec(program.err)!;
  using sender = new Sender("a", frameOut());
  let sent = 0;
  const flows = (): DecodedSample[] => samplesOf(sflow).filter(({ rate }) => rate !== undefined);
  const counters = (): number => samplesOf(sflow).filter(({ rate, sourceIndex }) => rate === undefined && sourceIndex === IFINDEX.a).length;
  const templates = (): number => ipfix.receive().filter((bytes) => new DataView(bytes.buffer, bytes.byteOffset).getUint16(16) <= 3).length;
  const goesOn = async (): Promise<void> => {
    const before = [flows().length, counters(), templates()];
    await until(() => `samples, counters and templates come: ${program.err}`, async () => {
      sender.send(1);
      sent++;
      await pause(100);
      const now = [flows().length, counters(), templates()];
      return now.every((count, i) => count >= before[i]! + 2);
    });
    assertEquals((await get(Number(port), "/metrics")).status, 200);
  };
  await goesOn();
  program.signal("SIGSTOP");
  await until("it is stopped", () => /^State:\s+T/m.test(readFileSync(`/proc/${program.pid}/status`, "utf8")));
  // Only here the time itself is what is tested: it is longer than every interval.
  const stoppedMs = performance.now();
  while (performance.now() - stoppedMs < 61_000) {
    sender.send(50);
    sent += 50;
    await pause(1000);
  }
  program.signal("SIGCONT");
  await goesOn();
  program.signal("SIGTERM");
  const { status, err } = await program.ended;
  assertEquals(status, 0, err);
  const { sampled, lost } = accountIn(err);
  assert(lost > 100, err);
  assertEquals(sampled + lost, sent, err);
  assertEquals([flows().length, flows().at(-1)!.drops], [sampled, lost]);
  await until("the end of the stream has arrived", () => stream.streams[0]!.isEnded);
  const reportsIn = (messages: readonly Uint8Array[]): number => {
    // It throws at a gap in the numbers.
    const decoder = new IpfixDecoder();
    return messages.flatMap((bytes) => decoder.read(bytes).records).filter(({ scopes }) => scopes === 0).length;
  };
  assertEquals([reportsIn(stream.messages().messages), reportsIn(ipfix.receive())], [sampled, sampled]);
  assertEquals([stream.streams.length, err.includes("dropped with")], [1, false], err);
});

scene("ten thousand devices cost nothing but their names", "module:dummy", async () => {
  bareWire();
  const GROUP = 77;
  const add = (from: number, count: number): void =>
    ip(...Array.from({ length: count }, (_, i) => `link add name n${from + i} index ${1000 + from + i} group ${GROUP} type dummy`));
  add(0, 5000);
  using sflow = new UdpReceiver();
  const command = await start(`a:1 --direction egress --latency low --sflow ${sflow.target} --prometheus 0 --json`);
  let count = 0;
  const goesOn = async (): Promise<void> => {
    count++;
    send("a", frameOut());
    await until(() => `sample ${count} has arrived: ${command.io.errors()}`, () => samplesOf(sflow).length === count);
  };
  await goesOn();
  add(5000, 5000);
  await goesOn();
  const before = performance.now();
  for (let i = 0; i < 20; i++) await goesOn();
  const eachMs = (performance.now() - before) / 20;
  // Low latency is 50 ms, and a list of all of them takes longer than that.
  assert(eachMs < 1000, `${eachMs} ms for a sample`);
  // They go all at once.
  ip(`link del group ${GROUP}`);
  await goesOn();
  await command.end();
  assertEquals(accountIn(command.io.errors()), { sampled: count, lost: 0 });
  const lines = command.io.text().trim().split("\n");
  assertEquals(lines.length, count);
});

scene(
  "the counters of ten thousand devices are sent in every interval, in bounded memory, while no sample is lost",
  "module:dummy",
  async () => {
    bareWire();
    ip(...Array.from({ length: 10_000 }, (_, i) => `link add name n${i} index ${1000 + i} group 77 type dummy`));
    using sflow = new UdpReceiver();
    const words = ["export", "a:1", "--direction", "egress", "--sflow", sflow.target, "--counters", "all", "--polling", "10s"];
    await using program = new Program([...COMMANDS[0]!.words(), ...words]);
    await until(() => `it exports: ${program.err}`, () => program.err.includes("exporting to "));
    using sender = new Sender("a", frameOut());
    const polls = new Map<number, number>();
    let [read, sampled, sent] = [0, 0, 0];
    const take = (): void => {
      const datagrams = sflow.receive();
      for (; read < datagrams.length; read++) {
        for (const { rate, sourceIndex } of decodeDatagram(new Uint8Array(datagrams[read]!)).samples) {
          if (rate !== undefined) sampled++;
          else polls.set(sourceIndex, (polls.get(sourceIndex) ?? 0) + 1);
        }
      }
    };
    /** Sends packets until every device was polled this often. */
    const rounds = async (count: number): Promise<number> => {
      await until(() => `all were polled ${count} times: ${program.err}`, () => {
        sender.send(10);
        sent += 10;
        take();
        for (let i = 0; i < 10_000; i++) if ((polls.get(1000 + i) ?? 0) < count) return false;
        return true;
      });
      return residentKilobytes(program);
    };
    const once = await rounds(1);
    const twice = await rounds(2);
    say(`ten thousand devices polled: ${once} KiB after the first round, ${twice} KiB after the second`);
    // A runtime takes about 100 MB.
    assert(once < 400_000, `${once} KiB`);
    assert(twice < once + 50_000, `${once} KiB, then ${twice} KiB`);
    await until(() => `every sample has arrived: ${sampled} of ${sent}`, () => {
      take();
      return sampled === sent;
    });
    program.signal("SIGTERM");
    const { status, err } = await program.ended;
    assertEquals(status, 0, err);
    assertEquals(accountIn(err), { sampled: sent, lost: 0 });
    // One after the other they would take minutes on an emulated processor.
    ip("link del group 77");
  },
);

scene("hundreds of sampled devices share what it takes to sample them, and are left as they were", "module:dummy", async () => {
  ip("link set dev lo up", ...Array.from({ length: 300 }, (_, i) => `link add name n${i} index ${1000 + i} type dummy`));
  ip(...Array.from({ length: 300 }, (_, i) => `link set dev n${i} up`));
  const words = ["export", "n*:1000", "--direction", "egress", "--sflow", "127.0.0.1", "--agent", "192.0.2.1", "--polling", "0"];
  await using program = new Program([...COMMANDS[0]!.words(), ...words]);
  await until(() => `it exports: ${program.err}`, () => program.err.includes("exporting to "));
  const kilobytes = residentKilobytes(program);
  // A runtime takes about 100 MB; sockets and buffers of its own would take a megabyte for each device.
  assert(kilobytes < 250_000, `${kilobytes} KiB`);
  program.signal("SIGTERM");
  const { status, err } = await program.ended;
  assertEquals(status, 0, err);
  assertEquals(await listSampling(), []);
});

scene("a disk that is full ends the recording, which is told once; collectors get everything", "guest", async () => {
  bareWire();
  using sflow = new UdpReceiver();
  const directory = openDirectory();
  const disk = join(directory, "disk");
  mkdirSync(disk);
  run("mount", ["-t", "tmpfs", "-o", "size=64k", "none", disk]);
  try {
    const file = join(disk, "x.pcapng");
    const words = COMMANDS[0]!.words(`--allow-read=${disk}`, `--allow-write=${disk}`);
    await using program = new Program(
      [...words, "export", "a:1", "--direction", "egress", "--sflow", sflow.target, "--polling", "0", "-w", file],
    );
    await until(() => `it exports: ${program.err}`, () => program.err.includes("exporting to "));
    using sender = new Sender("a", frameOut());
    sender.send(1000);
    await until(() => `it is told: ${program.err}`, () => program.err.includes("ENOSPC"));
    sender.send(500);
    await until(() => `all have arrived: ${samplesOf(sflow).length}`, () => samplesOf(sflow).length === 1500);
    program.signal("SIGTERM");
    const { status, err } = await program.ended;
    assertEquals(status, 1, err);
    assertEquals(err.match(/ENOSPC/g)!.length, 1, err);
    assertMatch(plain(err), /1500 packets passed \(rule hits\), 1 in 1: 1500 sampled; lost 0; sFlow/);
    assert(statSync(file).size > 0);
  } finally {
    spawnSync("umount", [disk]);
  }
});

scene("collectors that are gone leave nothing behind in memory, however much they are sent", async () => {
  bareWire();
  // Nobody listens on these ports.
  const to = "--sflow 127.0.0.1:9 --ipfix 127.0.0.1:9 --ipfix tcp:127.0.0.1:9 --otlp http://127.0.0.1:9 --interval 1s --prometheus 9410";
  const words = `export a:1 --direction egress --header 256 --polling 0 --agent 192.0.2.1 ${to}`;
  await using program = new Program([...COMMANDS[0]!.words("--allow-net"), ...words.split(" ")]);
  await until(() => `it exports: ${program.err}`, () => program.err.includes("exporting to "));
  using sender = new Sender("a", frameOut({ size: 400 }));
  let sent = 0;
  /** Sends packets until it has received this many; returns the memory that it takes then. */
  const after = async (samples: number): Promise<number> => {
    while (sent < samples) {
      sender.send(5000);
      sent += 5000;
      await until(() => `it has received ${sent}: ${program.err}`, async () => await receivedBy(9410) === sent);
    }
    return residentKilobytes(program);
  };
  const before = await after(20_000);
  const end = await after(200_000);
  say(`collectors gone: ${before} KiB after 20,000 samples, ${end} KiB after 200,000`);
  // What one of these collectors was sent since is more than that.
  assert(end < before + 40_000, `${before} KiB, then ${end} KiB`);
  program.signal("SIGTERM");
  const { status, err } = await program.ended;
  assertEquals(status, 0, err);
  assertMatch(plain(err), /: 200000 sampled; lost 0 while receiving; sFlow /);
  assertMatch(
    plain(err),
    /; IPFIX tcp:127\.0\.0\.1:9: 0 messages sent, there was no connection \(ECONNREFUSED\), \d+ dropped with 200000 samples/,
  );
});

scene("a scrape every 10 ms is answered, holds up no sample, and leaves nothing behind in memory", async () => {
  bareWire();
  using sflow = new UdpReceiver();
  const words = `export a:1 --direction egress --latency low --sflow ${sflow.target} --polling 0 --prometheus 9410 --top 10`;
  await using program = new Program([...COMMANDS[0]!.words("--allow-net"), ...words.split(" ")]);
  await until(() => `it exports: ${program.err}`, () => program.err.includes("exporting to "));
  using sender = new Sender("a", frameOut());
  let sent = 0;
  /** Scrapes this often; returns the memory that it takes then. */
  const scrape = async (times: number): Promise<number> => {
    for (let i = 0; i < times; i++) {
      sender.send(10);
      sent += 10;
      const { status } = await get(9410, "/metrics");
      assertEquals(status, 200);
      await pause(10);
    }
    return residentKilobytes(program);
  };
  const before = await scrape(200);
  const end = await scrape(1000);
  say(`scrapes: ${before} KiB after 200, ${end} KiB after 1,200`);
  assert(end < before + 60_000, `${before} KiB, then ${end} KiB`);
  await until(() => `every sample has arrived: ${samplesOf(sflow).length}`, () => samplesOf(sflow).length === sent);
  await until("the metrics have them all", async () => await receivedBy(9410) === sent);
  program.signal("SIGTERM");
  const { status, err } = await program.ended;
  assertEquals(status, 0, err);
  assertEquals(accountIn(err), { sampled: sent, lost: 0 });
});
