/** `psample export`: what collectors get is what was sampled, whatever happens on the way. */
import { assert, assertEquals, assertMatch, assertRejects } from "@std/assert";
import { existsSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { listSampling, sflowTo, SystemError } from "../../mod.ts";
import { decodeDatagram, type DecodedSample, headerOf } from "../export/sflow/decoder.ts";
import { IpfixDecoder, type IpfixRecord, unsigned } from "../export/ipfix/decoder.ts";
import { UdpReceiver } from "../support/udp_receiver.ts";
import { frameIn, frameOut, inOrder } from "./frames.ts";
import { Command } from "./in_process.ts";
import { loadPsample, unloadPsample } from "./module.ts";
import { Named } from "./namespace.ts";
import { COMMANDS, ending, openDirectory, Program } from "./runtime.ts";
import { bareWire, IFINDEX, ip, pause, sample, scene, secondWire, send, Sender, tc, until, wire } from "./scene.ts";
import { tcDump } from "./tc_dump.ts";

/** Where the host itself is the other end (sFlow version 5, section 5). */
const INTERNAL = 0x3fff_ffff;

/** For sFlow: counters have tests of their own. */
const NO_COUNTERS = ["--polling", "0"];

/** Starts an export, which samples when this resolves. */
async function start(words: string): Promise<Command> {
  const command = new Command(["export", ...words.split(" "), ...words.includes("--sflow") ? NO_COUNTERS : []]);
  await command.samples();
  return command;
}

/** Starts an export as a process, which samples when this resolves. `command` are the words that start psample. */
async function startProgram(command: readonly string[], words: string): Promise<Program> {
  const program = new Program([...command, "export", ...words.split(" "), ...NO_COUNTERS]);
  try {
    await until(() => `it exports: ${program.err}`, () => program.err.includes("exporting to "));
    return program;
  } catch (error) {
    await program[Symbol.asyncDispose]();
    throw error;
  }
}

/** The flow samples that have arrived. */
function samplesOf(receiver: UdpReceiver): DecodedSample[] {
  return receiver.receive().flatMap((bytes) => decodeDatagram(new Uint8Array(bytes)).samples);
}

/** The packet reports that have arrived. */
function reportsOf(receiver: UdpReceiver): IpfixRecord[] {
  const decoder = new IpfixDecoder();
  return receiver.receive().flatMap((bytes) => decoder.read(bytes).records).filter(({ scopes }) => scopes === 0);
}

scene("every sample reaches every collector once, as JSON has it, and nothing is left behind", async () => {
  bareWire();
  const before = tcDump("a");
  using sflow = new UdpReceiver();
  using ipfix = new UdpReceiver();
  using flows = new UdpReceiver();
  const words = `a:1 --direction egress --sflow ${sflow.target} --ipfix ${ipfix.target} --domain 7 --header 60 --trunc 100`;
  const command = await start(`${words} --json -w all.pcapng`);
  const other = await start(`--ipfix ${flows.target} --flows --domain 9`);
  const frames = inOrder(200, frameOut);
  send("a", ...frames);
  await until(() => `all have arrived: ${command.io.errors()}`, () => samplesOf(sflow).length === 200 && reportsOf(ipfix).length === 200);
  for (const one of [command, other]) await one.end();
  assertEquals(tcDump("a"), before);
  const samples = samplesOf(sflow);
  assertEquals(samples.map((one) => headerOf(one).header), frames.map((frame) => new Uint8Array(frame.slice(0, 60))));
  assertEquals(samples.map(({ sequence }) => sequence), frames.map((_, i) => i + 1));
  assertEquals(
    samples.every(({ rate, sourceIndex, output, input }) =>
      rate === 1 && sourceIndex === IFINDEX.a && output === IFINDEX.a && input === INTERNAL
    ),
    true,
  );
  // The agent is known by its most public address; the frame check sequence is counted, and was taken off.
  const agents = new Set(sflow.receive().map((bytes) => decodeDatagram(new Uint8Array(bytes)).agent));
  assertEquals([[...agents], headerOf(samples[0]!).frameLength, headerOf(samples[0]!).stripped], [["192.0.2.1"], 142 + 4, 4]);
  const reports = reportsOf(ipfix);
  assertEquals(reports.map(({ fields }) => fields.get("315")), frames.map((frame) => frame.slice(0, 60)));
  assertEquals(new Set(reports.map(({ domain }) => domain)), new Set([7]));
  // Of one flow there is one record, which counts all.
  const records = reportsOf(flows);
  assertEquals(records.reduce((sum, record) => sum + Number(new DataView(record.fields.get("2")!.slice().buffer).getBigUint64(0)), 0), 200);
  const lines = command.io.text().trim().split("\n");
  assertEquals([lines.length, JSON.parse(lines[0]!).sequence], [200, 0]);
  assert(command.io.files.get("all.pcapng")!.length > 200 * 100);
  assertMatch(
    command.io.errors(),
    /psample: 200 packets passed \(rule hits\), 1 in 1: 200 sampled; lost 0; sFlow \S+: \d+ datagrams sent; IPFIX \S+: \d+ datagrams sent\n$/,
  );
  assertMatch(other.io.errors(), /psample: received 200 samples; lost 0; IPFIX \S+: \d+ datagrams? sent\n$/);
});

scene("the rate is that of the link's speed, or the device's own, and the pool is what passed", async () => {
  bareWire();
  using sflow = new UdpReceiver();
  const command = await start(`a b:3 --direction egress --sflow ${sflow.target} --agent 198.51.100.7`);
  const rates = (await listSampling()).map(({ device, rate }) => [device, rate]).sort();
  // A veth device says that it has 10 Gbit/s.
  assertEquals(rates, [["a", 10_000], ["b", 3]]);
  assertMatch(command.io.errors(), /psample: sampling 1 in 10000 of a \(10\.0 Gbit\/s\); --rate N or DEVICE:N sets it\n/);
  assertMatch(command.io.errors(), /psample: sampling a \(1 in 10000\), b \(1 in 3\), egress, group \d+; Ctrl-C ends it\n/);
  using sender = new Sender("b", frameIn());
  sender.send(300);
  await until("samples came", () => samplesOf(sflow).length > 40);
  // The kernel's counters are read every second.
  await until("the pool is exact", async () => {
    sender.send(1);
    await pause(50);
    const pools = samplesOf(sflow).map(({ pool }) => pool!);
    return pools.some((pool) => pool > 300);
  });
  await command.end();
  assertMatch(command.io.errors(), /packets passed \(rule hits\), each device at its rate: \d+ sampled; lost 0; sFlow/);
  assertEquals(samplesOf(sflow).every(({ rate, sourceIndex }) => rate === 3 && sourceIndex === IFINDEX.b), true);
  assertEquals(decodeDatagram(new Uint8Array(sflow.receive()[0]!)).agent, "198.51.100.7");
});

scene("what is sampled already is exported without a device, and only the groups that are asked for", async () => {
  wire();
  sample("a ingress", "rate 1 group 5");
  sample("a egress", "rate 1 group 6");
  using all = new UdpReceiver();
  using one = new UdpReceiver();
  const commands = [await start(`--sflow ${all.target}`), await start(`--sflow ${one.target} -g 5 --filter udp`)];
  assertMatch(commands[0]!.io.errors(), /^psample: exporting to sFlow \S+; Ctrl-C ends it\n$/);
  // Nothing is there that would answer.
  send("b", frameIn({ to: "192.0.2.77" }));
  send("a", frameOut(), frameOut());
  await until("all have arrived", () => samplesOf(all).length === 3 && samplesOf(one).length === 1);
  for (const command of commands) await command.end();
  assertEquals(samplesOf(one).map(({ input, output }) => [input, output]), [[IFINDEX.a, INTERNAL]]);
});

scene("a packet that was sampled when it arrived is not counted again when it leaves", async () => {
  bareWire();
  secondWire();
  writeFileSync("/proc/sys/net/ipv4/ip_forward", "1");
  using sflow = new UdpReceiver();
  using ipfix = new UdpReceiver();
  using leaving = new UdpReceiver();
  const command = await start(`a c --rate 1 --sflow ${sflow.target} --ipfix ${ipfix.target}`);
  // Whoever wants only what leaves gets all of it.
  const other = await start(`a c --rate 1 --filter egress --sflow ${leaving.target}`);
  send("b", ...[1, 2, 3].map((id) => frameIn({ id, to: "198.51.100.2" })));
  send("a", frameOut());
  await until("all have arrived", () => [sflow, leaving].every((one) => samplesOf(one).length === 4) && reportsOf(ipfix).length === 4);
  await until(() => `it is told: ${command.io.errors()}`, () => {
    command.io.signal("SIGUSR1");
    return /3 samples left out, whose packets were sampled when they arrived/.test(command.io.errors());
  });
  for (const one of [command, other]) await one.end();
  assertEquals(samplesOf(leaving).map(({ input, output }) => [input, output]).sort(), [
    ...Array(3).fill([IFINDEX.a, IFINDEX.c]),
    [INTERNAL, IFINDEX.a],
  ]);
  // It forwards: nobody knows where an arriving packet goes.
  assertEquals(samplesOf(sflow).map(({ input, output }) => [input, output]).sort(), [
    ...Array(3).fill([IFINDEX.a, 0]),
    [INTERNAL, IFINDEX.a],
  ]);
  const places = reportsOf(ipfix).map((report) => ["10", "14", "61"].map((key) => unsigned(report, key)).join()).sort();
  assertEquals(places, [`0,${IFINDEX.a},1`, ...Array(3).fill(`${IFINDEX.a},0,0`)]);
});

scene("a collector that goes and comes back costs what is sent meanwhile; the others get everything, from the same port", async () => {
  bareWire();
  const gone = new UdpReceiver();
  using there = new UdpReceiver();
  const { port } = gone;
  const command = await start(`a --rate 1 --direction egress --latency low --sflow ${gone.target} --sflow ${there.target}`);
  let count = 0;
  const sendOne = async (): Promise<void> => {
    send("a", frameOut());
    count++;
    await pause(20);
  };
  await sendOne();
  await until("it has arrived at both", () => samplesOf(gone).length === 1 && samplesOf(there).length === 1);
  gone[Symbol.dispose]();
  await until(() => `it is told: ${command.io.errors()}`, async () => {
    await sendOne();
    return /psample: Cannot send to 127\.0\.0\.1:\d+: connection refused \(ECONNREFUSED\)/.test(command.io.errors());
  });
  using back = new UdpReceiver("127.0.0.1", port);
  await until(() => `it is told: ${command.io.errors()}`, async () => {
    await sendOne();
    return /psample: sFlow 127\.0\.0\.1:\d+ accepts datagrams again\n/.test(command.io.errors());
  });
  assert(samplesOf(back).length > 0);
  await until("the other has everything", () => samplesOf(there).length === count);
  await command.end();
  assertEquals(command.io.errors().match(/connection refused/g)!.length, 1, command.io.errors());
  assertMatch(command.io.errors(), /errors came back for at least \d+ \(ECONNREFUSED\); sFlow \S+: \d+ datagrams sent\n$/);
});

scene("a collector on another host that never listened is told, with its reason, and never said to be back", async () => {
  bareWire();
  secondWire();
  using away = new Named();
  ip(`link set dev d netns ${away.name}`);
  away.inside(() => {
    ip("link set dev lo up", "address add 198.51.100.2/24 dev d", "link set dev d address 02:00:00:00:00:04", "link set dev d up");
  });
  ip("neighbour replace 198.51.100.2 lladdr 02:00:00:00:00:04 dev c");
  const command = await start("a --rate 1 --direction egress --sflow 198.51.100.2 --max-datagram 512 --agent 192.0.2.1");
  const beginMs = performance.now();
  // Several datagrams in each second: the host reports one of them.
  await until(() => `it has gone on for long enough: ${command.io.errors()}`, async () => {
    send("a", ...inOrder(10, frameOut));
    await pause(100);
    return performance.now() - beginMs > 8000;
  });
  await command.end();
  const errors = command.io.errors();
  assertMatch(errors, /psample: Cannot send to 198\.51\.100\.2:6343: connection refused \(ECONNREFUSED\)/);
  assertEquals(errors.includes("again"), false, errors);
  assertMatch(errors, /errors came back for at least \d+ \(ECONNREFUSED\)\n/);
});

scene("routes that prohibit or drop keep nothing else from being exported, and a broadcast is refused", async () => {
  bareWire();
  ip("route add prohibit 203.0.113.0/25", "route add blackhole 203.0.113.128/25");
  using there = new UdpReceiver();
  const [prohibited, dropped] = ["203.0.113.1", "203.0.113.129"];
  const away = `--sflow ${prohibited} --sflow ${dropped} --ipfix tcp:${prohibited} --ipfix tcp:${dropped}`;
  const command = await start(`a --rate 1 --direction egress ${away} --sflow ${there.target} --agent 192.0.2.1`);
  send("a", ...inOrder(5, frameOut));
  await until("the other has everything", () => samplesOf(there).length === 5);
  await command.end();
  const errors = command.io.errors();
  for (const [name, code] of [[`${prohibited}:6343`, "EACCES"], [`${dropped}:6343`, "EINVAL"]]) {
    assert(errors.includes(`Cannot send to ${name}: `), errors);
    assertMatch(errors, new RegExp(`sFlow ${name}: 0 datagrams sent, \\d+ dropped with 5 samples \\(${code}\\)`));
  }
  for (const code of ["EACCES", "EINVAL"]) {
    assertMatch(errors, new RegExp(`IPFIX tcp:\\S+:4739: 0 messages sent, there was no connection \\(${code}\\)`));
  }
  await assertRejects(() => sflowTo("192.0.2.255", { agent: "192.0.2.1" }), SystemError, "It is a broadcast address");
});

scene("an interface that goes down costs what is sent meanwhile, counted; up again the collector gets the rest", async () => {
  bareWire();
  secondWire();
  using away = new Named();
  using collector = behindC(away);
  const command = await start(`a --rate 1 --direction egress --latency low --sflow ${collector.target} --agent 192.0.2.1`);
  let count = 0;
  const sendUntil = async (what: string, yes: () => boolean): Promise<void> =>
    await until(() => `${what}: ${command.io.errors()}`, async () => {
      send("a", frameOut());
      count++;
      await pause(20);
      return yes();
    });
  await sendUntil("something has arrived", () => samplesOf(collector).length > 0);
  ip("link set dev c down");
  await sendUntil(
    "it is told",
    () => /Cannot send to 198\.51\.100\.2:\d+: network is unreachable \(ENETUNREACH\)/.test(command.io.errors()),
  );
  ip("link set dev c up", "neighbour replace 198.51.100.2 lladdr 02:00:00:00:00:04 dev c");
  const before = samplesOf(collector).length;
  await sendUntil("it is told", () => /sFlow 198\.51\.100\.2:\d+ accepts datagrams again/.test(command.io.errors()));
  await until("more has arrived", () => samplesOf(collector).length > before);
  await command.end();
  const [, lost] = /dropped with (\d+) samples? \(.*ENETUNREACH/.exec(command.io.errors())!;
  await until("every other sample has arrived", () => samplesOf(collector).length === count - Number(lost));
});

scene("a device that is too slow drops, which is counted sample by sample", "module:sch_tbf", async () => {
  bareWire();
  secondWire();
  tc("qdisc add dev c root tbf rate 8kbit burst 2000 limit 4000");
  using there = new UdpReceiver();
  const command = await start(`a --rate 1 --direction egress --sflow 198.51.100.2 --sflow ${there.target} --agent 192.0.2.1`);
  using sender = new Sender("a", frameOut());
  sender.send(500);
  await until("the other has everything", () => samplesOf(there).length === 500);
  await command.end();
  const errors = command.io.errors();
  assertMatch(
    errors,
    /psample: Cannot send to 198\.51\.100\.2:6343: no buffer space available \(ENOBUFS\)\. The queue of the device is full/,
  );
  const [, sent, dropped, samples] = /sFlow 198\.51\.100\.2:6343: (\d+) datagrams? sent, (\d+) dropped with (\d+) samples \(ENOBUFS\)/.exec(
    errors,
  )!;
  assert(Number(sent) > 0 && Number(dropped) > 0);
  assertMatch(errors, new RegExp(`; ${500 - Number(samples)} samples to sFlow 198\\.51\\.100\\.2:6343\n$`));
});

/** Puts the other end of `c` into another namespace, where a collector has 198.51.100.2. */
function behindC(away: Named): UdpReceiver {
  ip(`link set dev d netns ${away.name}`);
  return away.inside(() => {
    ip("link set dev lo up", "address add 198.51.100.2/24 dev d", "link set dev d address 02:00:00:00:00:04", "link set dev d up");
    return new UdpReceiver("198.51.100.2");
  });
}

scene(
  "a send buffer that is full drops, and neither the stream nor the end is held up; what was sent and dropped is all",
  "module:sch_tbf",
  async () => {
    bareWire();
    secondWire();
    using away = new Named();
    using collector = behindC(away);
    tc("qdisc add dev c root tbf rate 8kbit burst 2000 limit 100mb");
    const words = `--sflow ${collector.target} --agent 192.0.2.1 --max-datagram 512 --header 160`;
    const command = await start(`a --rate 1 --direction egress ${words}`);
    using sender = new Sender("a", frameOut({ size: 400 }));
    let offered = 0;
    await until(() => `the buffer is full: ${command.io.errors()}`, async () => {
      sender.send(500);
      offered += 500;
      await pause(20);
      command.io.signal("SIGUSR1");
      return /dropped with \d+ samples \(EAGAIN\)/.test(command.io.errors());
    });
    await command.end();
    const account = command.io.errors().trim().split("\n").at(-1)!.replace(/(?<=\d),(?=\d{3})/g, "");
    const [, sampled, exported, lost] = /: (\d+) sampled, (\d+) of them exported; lost (\d+)/.exec(account)!.map(Number);
    const [, sent, dropped] = /: (\d+) datagrams sent, \d+ dropped with (\d+) samples \(EAGAIN\)$/.exec(account)!.map(Number);
    assertEquals([sampled! + lost!, exported! + dropped!], [offered, sampled!], account);
    // The device takes its time for what it has; now it may hurry.
    tc("qdisc change dev c root tbf rate 1gbit burst 1mb limit 100mb");
    await until("everything that was sent has arrived", () => samplesOf(collector).length === exported);
    assertEquals(collector.receive().length, sent, account);
  },
);

scene("datagrams that the path does not take in one piece arrive all the same, and the size that fits is told", async () => {
  bareWire();
  secondWire();
  using away = new Named();
  using collector = behindC(away);
  ip("route add 198.51.100.2/32 dev c mtu 600");
  const command = await start(`a --rate 1 --direction egress --sflow ${collector.target} --agent 192.0.2.1`);
  send("a", ...inOrder(20, frameOut));
  await until("all have arrived", () => samplesOf(collector).length === 20);
  await command.end();
  assertMatch(
    command.io.errors(),
    /in one piece: message too long \(EMSGSIZE\)\..*those of at most 572 bytes are not fragmented \(--max-datagram, now 1400\)/,
  );
  assertMatch(command.io.errors(), /sFlow \S+: \d+ datagrams sent\n$/);
});

scene("HUP takes the route again and reopens the recording, and it goes on", async () => {
  bareWire();
  using sflow = new UdpReceiver();
  const directory = openDirectory();
  try {
    const file = join(directory, "x.pcapng");
    const words = COMMANDS[0]!.words(`--allow-read=${directory}`, `--allow-write=${directory}`);
    await using program = await startProgram(words, `a:1 --direction egress --sflow ${sflow.target} -w ${file}`);
    send("a", frameOut());
    await until("it has arrived", () => samplesOf(sflow).length === 1);
    renameSync(file, `${file}.1`);
    program.signal("SIGHUP");
    const told = "psample: host names are looked up again, and templates sent again\n";
    await until(() => `it is reopened: ${program.err}`, () => existsSync(file) && program.err.includes(told));
    send("a", frameOut());
    await until("it has arrived", () => samplesOf(sflow).length === 2);
    program.signal("SIGTERM");
    assertEquals((await program.ended).status, 0, program.err);
    // The same agent goes on.
    assertEquals(samplesOf(sflow).map(({ sequence }) => sequence), [1, 2]);
    assert(statSync(file).size > 142);
  } finally {
    rmSync(directory, { recursive: true });
  }
});

scene("in another network namespace it samples there, and sends from there", "module:dummy", async () => {
  using there = new Named();
  there.inside(() => {
    ip("link set dev lo up", "link add name eth0 index 150 type dummy", "address add 203.0.113.7/24 dev eth0", "link set dev eth0 up");
  });
  using sflow = there.inside(() => new UdpReceiver());
  const command = await start(`eth0:1 --direction egress --netns ${there.name} --sflow ${sflow.target}`);
  there.inside(() => send(150, frameOut()));
  await until("it has arrived", () => samplesOf(sflow).length === 1);
  await command.end();
  assertEquals(decodeDatagram(new Uint8Array(sflow.receive()[0]!)).agent, "203.0.113.7");
});

scene("sampling that somebody removes is set up again, told once each time, and the collector hears nothing of it", async () => {
  bareWire();
  using sflow = new UdpReceiver();
  const command = await start(`a:1 --sflow ${sflow.target}`);
  const sendUntil = async (count: number): Promise<void> =>
    await until(() => `${count} samples have arrived: ${command.io.errors()}`, async () => {
      send("a", frameOut());
      await pause(20);
      return samplesOf(sflow).length >= count;
    });
  await sendUntil(1);
  // Everything, then one direction.
  for (const [round, words] of [[1, "qdisc del dev a clsact"], [2, "filter del dev a egress"]] as const) {
    tc(words);
    await until(
      () => `it is told: ${command.io.errors()}`,
      () => command.io.errors().split("psample: sampling a again, 1 in 1\n").length === round + 1,
    );
    await sendUntil(samplesOf(sflow).length + 5);
  }
  assertEquals((await listSampling()).map(({ device, direction }) => `${device} ${direction}`).sort(), ["a egress", "a ingress"]);
  await command.end();
  assertEquals((await listSampling()).length, 0);
  const [first] = samplesOf(sflow);
  // One source, numbered on.
  assertEquals(samplesOf(sflow).map(({ sequence }) => sequence), samplesOf(sflow).map((_, i) => first!.sequence + i));
  assertMatch(command.io.errors(), /packets passed \(rule hits\), 1 in 1: \d+ sampled; lost \d+; sFlow/);
});

scene("devices of a pattern are sampled as they come, and again when they come back; others are left alone", "module:dummy", async () => {
  ip("link set dev lo up", "link add name x0 type dummy", "link set dev x0 up");
  using sflow = new UdpReceiver();
  const command = await start(`x*:1 --direction egress --agent 192.0.2.1 --sflow ${sflow.target}`);
  const sampledDevices = async (): Promise<string> => (await listSampling()).map(({ device }) => device).sort().join();
  ip("link add name x1 type dummy", "link set dev x1 up", "link add name y0 type dummy", "link set dev y0 up");
  await until(() => `it is sampled: ${command.io.errors()}`, async () => await sampledDevices() === "x0,x1");
  ip("link del dev x1");
  await until("it is gone", async () => await sampledDevices() === "x0");
  // Nothing is left for a moment.
  ip(
    "link del dev x0",
    "link add name x1 type dummy",
    "link set dev x1 up",
    "link set dev y0 down",
    "link set dev y0 name x2",
    "link set dev x2 up",
  );
  await until(() => `both are sampled: ${command.io.errors()}`, async () => await sampledDevices() === "x1,x2");
  const [link] = (await listSampling()).filter(({ device }) => device === "x2");
  await until("it has arrived", async () => {
    send(link!.ifindex!, frameOut());
    await pause(20);
    return samplesOf(sflow).some(({ sourceIndex }) => sourceIndex === link!.ifindex);
  });
  await command.end();
  assertEquals(await sampledDevices(), "");
  assertEquals(command.io.errors().match(/sampling x\d too, 1 in 1\n/g)!.length, 3, command.io.errors());
});

scene("a collector whose name cannot be looked up holds up no other, and gets what is sampled as soon as it can be", "guest", async () => {
  bareWire();
  using sflow = new UdpReceiver();
  using late = new UdpReceiver();
  const name = "collector.example.net";
  // A guest has no name server.
  const hosts = readFileSync("/etc/hosts");
  const words = [...COMMANDS[0]!.words("--allow-net"), "export"];
  const targets = ["--sflow", `${name}:${late.port}`, "--ipfix", `tcp:${name}`, "--sflow", sflow.target, ...NO_COUNTERS];
  const checked = await ending([...words, ...targets, "--check"]);
  assertEquals([checked.status, checked.out], [1, `sFlow ${sflow.target}: 1 datagram sent; no error came back\n`]);
  // An emulated processor may take longer than psample waits for the answer at the start.
  assertMatch(checked.err, /Cannot look up the host name collector\.example\.net: (EAI_AGAIN\. No name server answers|ETIMEDOUT)/);
  assertMatch(checked.err, /sFlow \S+: 0 datagrams sent, 1 dropped with 1 sample \((EAI_AGAIN|ETIMEDOUT)\): not delivered\n/);
  assertMatch(checked.err, /IPFIX tcp:\S+: 0 messages sent, there was no connection \((EAI_AGAIN|ETIMEDOUT)\).*: not delivered\n/);
  const before = samplesOf(sflow).length;
  await using program = new Program([...words, "a:1", "--direction", "egress", ...targets]);
  try {
    await until(() => `it exports: ${program.err}`, () => program.err.includes("exporting to "));
    send("a", frameOut());
    await until("another collector has it", () => samplesOf(sflow).length === before + 1);
    writeFileSync("/etc/hosts", `${hosts}\n127.0.0.1 ${name}\n`);
    await until(() => `the name is looked up again: ${program.err}`, () => {
      send("a", frameOut());
      return samplesOf(late).length > 0;
    });
  } finally {
    writeFileSync("/etc/hosts", hosts);
  }
  program.signal("SIGTERM");
  const { status, err } = await program.ended;
  assertEquals(status, 0, err);
  // Once for each of the two, not at each attempt.
  const told = [...err.matchAll(/Cannot look up the host name \S+: (\w+)/g)].map(([, code]) => code);
  assert(told.length >= 2 && told.filter((code) => code === "EAI_AGAIN").length <= 2, err);
});

scene("--user: it exports as somebody else, who can only remove what was added", async () => {
  bareWire();
  const before = tcDump("a");
  using sflow = new UdpReceiver();
  const words = `a:1 --direction egress --sflow ${sflow.target} --user nobody`;
  await using program = await startProgram(COMMANDS[0]!.words(), words);
  const status = readFileSync(`/proc/${program.pid}/status`, "utf8");
  assertMatch(status, /^Uid:\s*65534\s+65534\s+65534\s+65534$/m);
  assertMatch(status, /^CapEff:\s*0000000000001000$/m);
  send("a", frameOut());
  await until("it has arrived", () => samplesOf(sflow).length === 1);
  program.signal("SIGTERM");
  assertEquals((await program.ended).status, 0, program.err);
  assertEquals(tcDump("a"), before);
});

scene("--wait: it goes on when the module is back", "guest", async () => {
  wire();
  sample("a egress", "rate 1 group 5");
  using sflow = new UdpReceiver();
  const command = await start(`--wait --sflow ${sflow.target}`);
  send("a", frameOut());
  await until("it has arrived", () => samplesOf(sflow).length === 1);
  tc("qdisc del dev a clsact");
  await unloadPsample();
  loadPsample();
  tc("qdisc add dev a clsact");
  sample("a egress", "rate 1 group 6");
  await until("samples arrive again", async () => {
    send("a", frameOut());
    await pause(20);
    return samplesOf(sflow).length > 1;
  });
  await command.end();
});

for (const { name, words } of COMMANDS) {
  scene(`${name}: TERM sends what is gathered; addresses need no permission of Deno but that for libc`, async () => {
    bareWire();
    using sflow = new UdpReceiver();
    await using program = await startProgram(words(), `a --rate 1 --direction egress --sflow ${sflow.target}`);
    send("a", ...inOrder(30, frameOut));
    program.signal("SIGTERM");
    const { status, err } = await program.ended;
    assertEquals([status, samplesOf(sflow).length], [0, 30], err);
    assertMatch(err, /30 sampled; lost 0; sFlow \S+: \d+ datagrams? sent\n$/);
    assertEquals((await listSampling()).length, 0);
  });
}
