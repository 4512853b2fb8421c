/** Counters that sFlow collectors get are the kernel's, whatever happens to devices while they are polled. */
import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { decodeDatagram, type DecodedSample, recordOf, wordsOf } from "../export/sflow/decoder.ts";
import { number } from "../psample/build.ts";
import { pcapFile } from "../support/capture_files.ts";
import { UdpReceiver } from "../support/udp_receiver.ts";
import { frameOut, inOrder } from "./frames.ts";
import { Command } from "./in_process.ts";
import { Named } from "./namespace.ts";
import { COMMANDS, ending, openDirectory, Program } from "./runtime.ts";
import { bareWire, IFINDEX, ip, pause, run, sample, scene, secondWire, send, tc, until } from "./scene.ts";

const ONES = 0xffff_ffff;

/** What `ip -s -s -j link` says that a device has counted. */
interface Stats64 {
  readonly rx: Readonly<Record<"bytes" | "packets" | "errors" | "dropped" | "multicast" | "missed_errors", number>>;
  readonly tx: Readonly<Record<"bytes" | "packets" | "errors" | "dropped", number>>;
}

function ipStats(device: string): Stats64 {
  return JSON.parse(run("ip", ["-s", "-s", "-j", "link", "show", "dev", device]))[0].stats64;
}

function halves(count: number): [number, number] {
  return [Math.floor(count / 2 ** 32), count % 2 ** 32];
}

/** The counters of the generic record, made of what `ip` says. */
function expected({ rx, tx }: Stats64): number[] {
  return [
    ...halves(rx.bytes),
    rx.packets - rx.multicast,
    rx.multicast,
    ONES,
    rx.dropped + rx.missed_errors,
    rx.errors,
    ONES,
    ...halves(tx.bytes),
    tx.packets,
    ONES,
    ONES,
    tx.dropped,
    tx.errors,
  ];
}

function samplesOf(receiver: UdpReceiver): DecodedSample[] {
  return receiver.receive().flatMap((bytes) => decodeDatagram(new Uint8Array(bytes)).samples);
}

function ofInterface({ format, sourceType }: DecodedSample): boolean {
  return (format === 2 || format === 4) && sourceType === 0;
}

/** The counters of an interface that have arrived. */
function countersOf(receiver: UdpReceiver, index: number): DecodedSample[] {
  return samplesOf(receiver).filter((sample) => ofInterface(sample) && sample.sourceIndex === index);
}

function generic(sample: DecodedSample): number[] {
  return wordsOf(sample, 1)!.slice(6, 21);
}

function nameOf(sample: DecodedSample): string {
  const body = recordOf(sample, 1005)!;
  return new TextDecoder().decode(body.subarray(4, 4 + new DataView(body.buffer).getUint32(0)));
}

/** Starts an export that polls every second. */
async function start(words: string): Promise<Command> {
  const command = new Command(["export", ...words.split(" "), "--polling", "1s", "--agent", "192.0.2.1"]);
  await command.samples();
  return command;
}

/** Waits until another sample of an interface has arrived, and returns it. */
async function next(receiver: UdpReceiver, index: number, command: Command): Promise<DecodedSample> {
  const before = countersOf(receiver, index).length;
  await until(() => `counters of ${index} arrive: ${command.io.errors()}`, () => countersOf(receiver, index).length > before);
  return countersOf(receiver, index).at(-1)!;
}

scene("counters are those of ip, to the unit, of sampled devices and of others; and those of the host come too", async () => {
  bareWire();
  secondWire();
  using receiver = new UdpReceiver();
  const before = ipStats("a");
  const command = await start(`a:1 --direction egress --counters b --sflow ${receiver.target}`);
  const frames = inOrder(300, frameOut);
  send("a", ...frames);
  await until("all samples have arrived", () => samplesOf(receiver).filter(({ format }) => format === 1).length >= 300);
  for (const device of ["a", "b"] as const) {
    const isThat = (sample: DecodedSample): boolean => generic(sample).join() === expected(ipStats(device)).join();
    await until(
      () => `${device} has ${expected(ipStats(device))}, not ${countersOf(receiver, IFINDEX[device]).map(generic).at(-1)}`,
      () => countersOf(receiver, IFINDEX[device]).some(isThat),
    );
  }
  const { tx } = ipStats("a");
  // The kernel may add a packet of its own, but takes none away.
  assert(tx.packets - before.tx.packets >= 300);
  assert(tx.bytes - before.tx.bytes >= frames.reduce((sum, { length }) => sum + length, 0));
  const last = countersOf(receiver, IFINDEX.a).at(-1)!;
  // Ethernet, of the speed and duplex that veth reports, up and with a carrier; named.
  assertEquals(wordsOf(last, 1)!.slice(0, 6), [IFINDEX.a, 6, ...halves(1e10), 1, 3]);
  assertEquals([nameOf(last), wordsOf(last, 1)!.at(-1)], ["a", 0]);
  // Nobody asked for those.
  assertEquals([countersOf(receiver, IFINDEX.c), countersOf(receiver, 1)], [[], []]);
  await until("the host has come", () => samplesOf(receiver).some(({ sourceType }) => sourceType === 2));
  // A datagram has either samples or counters.
  for (const bytes of receiver.receive()) {
    assertEquals(new Set(decodeDatagram(new Uint8Array(bytes)).samples.map(({ format }) => format)).size, 1);
  }
  await command.end();
  assertMatch(command.io.errors(), /300 sampled; lost 0; sFlow \S+: \d+ datagrams sent, \d+ counter samples in them\n$/);
});

scene("what the host is and does is what its kernel says", async () => {
  ip("link set dev lo up");
  using receiver = new UdpReceiver();
  const command = await start(`--counters lo --sflow ${receiver.target}`);
  const host = (): DecodedSample | undefined => samplesOf(receiver).filter(({ sourceType }) => sourceType === 2).at(-1);
  await until(() => `it has come: ${command.io.errors()}`, () => host() !== undefined);
  await command.end();
  const sample = host()!;
  const memory = wordsOf(sample, 2004)!;
  const [, total] = /^MemTotal:\s+(\d+) kB/m.exec(readFileSync("/proc/meminfo", "utf8"))!;
  assertEquals(memory.slice(0, 2), halves(Number(total) * 1024));
  const cpu = wordsOf(sample, 2003)!;
  const processors = readFileSync("/proc/stat", "utf8").match(/^cpu\d+ /gm)!.length;
  const [uptime] = readFileSync("/proc/uptime", "utf8").split(" ").map(Number);
  assertEquals(cpu[5], processors);
  assert(cpu[7]! > 0 && cpu[7]! <= uptime! + 1, `${cpu[7]} s up, ${uptime} by /proc/uptime`);
  assert(cpu[8]! + cpu[10]! > 0, "no time of a processor was used");
  const description = new TextDecoder().decode(recordOf(sample, 2000)!);
  assertStringIncludes(description, readFileSync("/proc/sys/kernel/osrelease", "utf8").trim());
  assertStringIncludes(description, readFileSync("/proc/sys/kernel/hostname", "utf8").trim());
});

scene("devices that are renamed, go, and come again with the same index while they are polled", async () => {
  bareWire();
  secondWire();
  using receiver = new UdpReceiver();
  const command = await start(`--counters all --sflow ${receiver.target}`);
  const first = await next(receiver, IFINDEX.c, command);
  assertEquals([first.sequence, nameOf(first)], [1, "c"]);
  const second = await next(receiver, IFINDEX.c, command);
  assertEquals(second.sequence, 2);
  // Older kernels rename only what is down.
  ip("link set dev c down", "link set dev c name uplink0", "link set dev uplink0 up");
  const renamed = await next(receiver, IFINDEX.c, command);
  assert(renamed.sequence > 2, `number ${renamed.sequence}`);
  await until("it has its new name", () => nameOf(countersOf(receiver, IFINDEX.c).at(-1)!) === "uplink0");
  ip("link delete dev uplink0");
  // The other one has the index again, and has counted more before the next poll than the one that is gone.
  ip(`link add name again0 index ${IFINDEX.c} type dummy`, "link set dev again0 up");
  send(IFINDEX.c, ...inOrder(50, frameOut));
  await until("the sequence begins again", () => nameOf(countersOf(receiver, IFINDEX.c).at(-1)!) === "again0");
  const again = countersOf(receiver, IFINDEX.c).find((sample) => nameOf(sample) === "again0")!;
  assertEquals(again.sequence, 1);
  ip("link delete dev again0");
  // What is polled now goes on, and nothing is said about what is gone.
  const others = countersOf(receiver, IFINDEX.a).length;
  await until("others go on", () => countersOf(receiver, IFINDEX.a).length > others + 2);
  const gone = countersOf(receiver, IFINDEX.c).length;
  await until("others go on", () => countersOf(receiver, IFINDEX.a).length > others + 4);
  assertEquals(countersOf(receiver, IFINDEX.c).length, gone);
  ip("link add name late0 index 190 type dummy");
  const late = await next(receiver, 190, command);
  // Down: neither administratively up nor with a carrier.
  assertEquals([late.sequence, nameOf(late), wordsOf(late, 1)![5]], [1, "late0", 0]);
  await command.end();
  assert(!/Cannot/.test(command.io.errors()), command.io.errors());
});

scene("nothing in datagrams of the counters of interfaces is malformed to tshark", "program:tshark", async () => {
  bareWire();
  ip("link add name wide index 20000190 type dummy", "link set dev wide up");
  using receiver = new UdpReceiver();
  const command = await start(`--counters all --sflow ${receiver.target}`);
  await until("all have come", () => countersOf(receiver, 20_000_190).length > 1);
  await command.end();
  const directory = openDirectory();
  try {
    const file = join(directory, "counters.pcap");
    // tshark 4.0 knows no record of the host, and does not skip what it does not know, but looks for the next record in what it contains.
    writeFileSync(file, capture(receiver.receive().filter((bytes) => decodeDatagram(new Uint8Array(bytes)).samples.every(ofInterface))));
    assertEquals(run("tshark", ["-n", "-r", file, "-Y", "_ws.malformed"]), "");
    const text = run("tshark", ["-n", "-r", file, "-V"]);
    assertStringIncludes(text, "Interface index: 20000190");
    assertStringIncludes(text, "Interface Speed: 10000000000");
  } finally {
    rmSync(directory, { recursive: true });
  }
});

scene("HUP: from then on counters are sent as the file says, and what is as it was goes on", async () => {
  bareWire();
  using receiver = new UdpReceiver();
  const files: Record<string, Uint8Array> = {};
  const write = (...lines: string[]): void => {
    files["x.conf"] = new TextEncoder().encode(["agent 192.0.2.1", `sflow ${receiver.target}`, ...lines].join("\n"));
  };
  const reload = async (...lines: string[]): Promise<void> => {
    const times = (): number => command.io.errors().split("was read again").length;
    const before = times();
    write(...lines);
    command.io.signal("SIGHUP");
    await until(() => `it is reloaded: ${command.io.errors()}`, () => times() > before);
  };
  write("polling 0");
  const command = new Command(["export", "--config", "x.conf"], { input: files });
  await command.samples();
  await reload("polling 1s", "counters a");
  await next(receiver, IFINDEX.a, command);
  assertEquals(countersOf(receiver, IFINDEX.b), []);
  await reload("polling 1s", "counters a", "header 60");
  await until("more come", () => countersOf(receiver, IFINDEX.a).length > 3);
  await reload("polling 2s", "counters b");
  await next(receiver, IFINDEX.b, command);
  const ofA = countersOf(receiver, IFINDEX.a).length;
  await reload("polling 0");
  const all = samplesOf(receiver).length;
  await pause(2500);
  assertEquals([countersOf(receiver, IFINDEX.a).length, samplesOf(receiver).length], [ofA, all]);
  assert(!/next start/.test(command.io.errors()), command.io.errors());
  await command.end();
});

scene("--user: counters are read by somebody without any privilege", async () => {
  bareWire();
  using receiver = new UdpReceiver();
  const words = ["export", "--sflow", receiver.target, "--agent", "192.0.2.1", "--counters", "a", "--polling", "1s", "--user", "nobody"];
  await using program = new Program([...COMMANDS[0]!.words(), ...words]);
  await until(() => `they come: ${program.err}`, () => countersOf(receiver, IFINDEX.a).length > 1);
  assertMatch(readFileSync(`/proc/${program.pid}/status`, "utf8"), /^CapEff:\s*0+$/m);
  assertEquals(generic(countersOf(receiver, IFINDEX.a).at(-1)!), expected(ipStats("a")));
  await until("the host has come", () => samplesOf(receiver).some(({ sourceType }) => sourceType === 2));
  program.signal("SIGTERM");
  const { status, err } = await program.ended;
  assertEquals([status, /Cannot/.test(err)], [0, false], err);
});

scene("--check sends those of what is sampled or would be, also in a namespace that it may not enter again", async () => {
  using there = new Named();
  using receiver = there.inside(() => {
    bareWire();
    return new UdpReceiver();
  });
  const words = [
    ...COMMANDS[0]!.words("--allow-read=/run/netns,/proc"),
    ...["export", "--netns", there.name, "--user", "nobody", "--sflow", receiver.target, "--agent", "192.0.2.1", "--check"],
  ];
  const sources = (): string[] =>
    samplesOf(receiver).filter(({ format }) => format !== 1).map(({ sourceType, sourceIndex }) => `${sourceType}:${sourceIndex}`);
  const wanted: string[] = [];
  const check = async (devices: readonly string[], ...indexes: readonly number[]): Promise<void> => {
    const { status, out, err } = await ending([...words, ...devices]);
    assertEquals([status, err], [0, ""]);
    assertMatch(out, new RegExp(` datagrams sent, ${indexes.length + 1} counter samples? in them; no error came back\\n$`));
    wanted.push("2:1", ...indexes.map((index) => `0:${index}`));
    assertEquals(sources(), wanted);
  };
  await check([]);
  await check(["a"], IFINDEX.a);
  await check(["[ab]"], IFINDEX.a, IFINDEX.b);
  there.inside(() => {
    tc("qdisc add dev a clsact");
    sample("a egress", "rate 7 group 5");
  });
  await check([], IFINDEX.a);
});

scene("--netns: counters are of the devices there, also when the name is gone", async () => {
  using there = new Named();
  using receiver = there.inside(() => {
    bareWire();
    return new UdpReceiver();
  });
  const command = await start(`--netns ${there.name} --counters all --sflow ${receiver.target}`);
  const first = await next(receiver, IFINDEX.a, command);
  assertEquals(nameOf(first), "a");
  there.delete();
  assertEquals((await next(receiver, IFINDEX.a, command)).sequence > 1, true);
  there.inside(() => ip("link set dev a down", "link set dev a name z"));
  await until("its new name is known", () => nameOf(countersOf(receiver, IFINDEX.a).at(-1)!) === "z");
  await command.end();
});

/** A capture of these datagrams, in packets to the port of sFlow. */
function capture(datagrams: readonly Uint8Array[]): Uint8Array {
  const records = datagrams.map((body) => {
    const [size, length] = [number(2, 28 + body.length, false), number(2, 8 + body.length, false)];
    const header = [0x45, 0, ...size, 0, 0, 0, 0, 0x40, 17, 0, 0, 192, 0, 2, 1, 192, 0, 2, 9];
    return { bytes: Uint8Array.from([...header, ...number(2, 50_000, false), ...number(2, 6343, false), ...length, 0, 0, ...body]) };
  });
  return pcapFile(records, { linkType: 101 });
}
