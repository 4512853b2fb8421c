/** SIGHUP in `psample export --config`: what stays is not interrupted, what has changed changes, and a wrong file changes nothing. */
import { assert, assertEquals, assertMatch, assertRejects } from "@std/assert";
import { chmodSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { listSampling } from "../../mod.ts";
import { decodeDatagram, type DecodedSample } from "../export/sflow/decoder.ts";
import { IpfixDecoder } from "../export/ipfix/decoder.ts";
import { valuesOf } from "../export/prometheus/reader.ts";
import { get } from "../support/http.ts";
import { UdpReceiver } from "../support/udp_receiver.ts";
import { frameIn, frameOut } from "./frames.ts";
import { Command } from "./in_process.ts";
import { COMMANDS, openDirectory, Program } from "./runtime.ts";
import { bareWire, IFINDEX, ip, pause, sample, scene, secondWire, send, Sender, tc, until } from "./scene.ts";
import { tcDump } from "./tc_dump.ts";

/** The datagrams that have arrived, from one socket of one agent. */
function datagramsOf(receiver: UdpReceiver): { sequence: number; samples: readonly DecodedSample[] }[] {
  return receiver.receive().map((bytes) => decodeDatagram(new Uint8Array(bytes)));
}

/** The flow samples of an interface that have arrived. */
function samplesOf(receiver: UdpReceiver, ifindex: number): DecodedSample[] {
  return datagramsOf(receiver).flatMap(({ samples }) => samples).filter(({ sourceIndex }) => sourceIndex === ifindex);
}

/** What is sampled: each device and direction with its rate. */
async function sampling(): Promise<string> {
  return (await listSampling()).map(({ device, direction, rate }) => `${device} ${direction} ${rate}`).sort().join(", ");
}

/** An export that is configured by a file in memory, and reads it again when it is told to. */
class Configured {
  readonly command: Command;
  readonly #files: Record<string, Uint8Array> = {};

  private constructor(lines: readonly string[], words: readonly string[]) {
    this.write(lines);
    this.command = new Command(["export", "--config", "x.conf", ...words], { input: this.#files });
  }

  static async start(lines: readonly string[], ...words: string[]): Promise<Configured> {
    const configured = new Configured(lines, words);
    await configured.command.samples();
    return configured;
  }

  get errors(): string {
    return this.command.io.errors();
  }

  write(lines: readonly string[]): void {
    this.#files["x.conf"] = new TextEncoder().encode(lines.join("\n"));
  }

  /** Reads other lines, until that is done. */
  async reload(lines: readonly string[], told: RegExp = /x\.conf was read again/): Promise<string> {
    const before = this.errors.length;
    this.write(lines);
    this.command.io.signal("SIGHUP");
    const since = (): string => this.errors.slice(before);
    await until(() => `it is reloaded: ${since()}`, () => told.test(since()));
    return since();
  }
}

scene("HUP in the middle of a stream: a device and a collector that stay lose nothing, all else is as the file says", async () => {
  bareWire();
  secondWire();
  ip("link add name e0 index 160 type veth peer name e1 index 161", "link set dev e0 up", "link set dev e1 up");
  const before = ["a", "c", "e0"].map((device) => tcDump(device));
  using stays = new UdpReceiver();
  using goes = new UdpReceiver();
  using comes = new UdpReceiver();
  const common = ["direction egress", "agent 192.0.2.1", "latency low", "polling 0", `sflow ${stays.target}`];
  const export_ = await Configured.start([...common, "device a:1", "device c:1", `ipfix ${goes.target}`]);
  assertEquals(await sampling(), "a egress 1, c egress 1");
  const filter = tcDump("a");
  using onA = new Sender("a", frameOut());
  using onC = new Sender("c", frameOut());
  using onE = new Sender(160, frameOut());
  let sent = 0;
  let isOver = false;
  const stream = (async () => {
    while (!isOver) {
      onA.send(5);
      sent += 5;
      onC.send(5);
      onE.send(5);
      await pause(5);
    }
  })();
  await until("both are sampled", () => samplesOf(stays, IFINDEX.a).length > 50 && samplesOf(stays, IFINDEX.c).length > 50);
  const told = await export_.reload([...common, "device a:1", "device e0:1", `sflow ${comes.target}`]);
  assertMatch(told, /psample: IPFIX \S+ is closed: \d+ datagrams sent\n/);
  assertMatch(told, /psample: c is not sampled any more\n/);
  assertMatch(told, /psample: sampling e0 too, 1 in 1\n/);
  assertMatch(told, /psample: x\.conf was read again: exporting to sFlow \S+, sFlow \S+\n$/);
  assertEquals(await sampling(), "a egress 1, e0 egress 1");
  assertEquals(tcDump("c"), before[1]);
  await until("the new ones are there", () => samplesOf(comes, 160).length > 50 && samplesOf(stays, 160).length > 50);
  // Rates: that of one device, while the other goes on.
  await export_.reload([...common, "device a:1", "device e0:10", `sflow ${comes.target}`]);
  assertMatch(export_.errors, /psample: sampling e0, now 1 in 10\n/);
  assertEquals(await sampling(), "a egress 1, e0 egress 10");
  await until("the rate is in the datagrams", () => samplesOf(comes, 160).some(({ rate }) => rate === 10));
  assertEquals(tcDump("a"), filter, "nobody has touched the filter of the device that stayed");
  isOver = true;
  await stream;
  await until(() => `all have arrived: ${export_.errors}`, () => samplesOf(stays, IFINDEX.a).length === sent);
  await export_.command.end();
  // To the collector that stayed: every packet of the device that stayed, and every datagram, one after the other.
  const samples = samplesOf(stays, IFINDEX.a);
  assertEquals(samples.length, sent);
  assertEquals(samples.every(({ sequence }, i) => sequence === i + 1), true);
  assertEquals(datagramsOf(stays).every(({ sequence }, i) => sequence === i + 1), true);
  // Both collectors have seen the same of the device that came.
  const rates = new Set(samplesOf(comes, 160).map(({ rate }) => rate));
  assertEquals([...rates].sort(), [1, 10]);
  assert(new IpfixDecoder().read(goes.receive()[0]!).records.length > 0);
  assertEquals(["a", "c", "e0"].map((device) => tcDump(device)), before);
  assertMatch(export_.errors, /lost 0; sFlow \S+: \d+ datagrams sent; sFlow \S+: \d+ datagrams sent\n$/);
});

scene("a file that is wrong changes nothing, says why, and is put in force when it is right", async () => {
  bareWire();
  secondWire();
  using sflow = new UdpReceiver();
  const common = ["direction egress", "agent 192.0.2.1", "latency low", "polling 0"];
  const right = [...common, "device a:1", `sflow ${sflow.target}`];
  const export_ = await Configured.start(right);
  using sender = new Sender("a", frameOut());
  let sent = 0;
  const sendOne = (): void => (sender.send(1), void sent++);
  sendOne();
  await until("it has arrived", () => samplesOf(sflow, IFINDEX.a).length === sent);
  const filter = tcDump("a");
  const wrong: [string[], RegExp][] = [
    [[...right, "ipfx 192.0.2.9"], /psample: x\.conf, line 7: unknown option ipfx; the nearest is ipfix\n/],
    [[...right, "device c:0"], /psample: x\.conf, line 7: the rate in c:0 is "0"/],
    [[...right, "domain 7"], /psample: x\.conf, line 7: --domain requires --ipfix\n/],
    [[...common, `sflow ${sflow.target}`, "device a:5", "device nosuch0"], /psample: x\.conf, line 7: there is no device nosuch0/],
    [[...right, "device c", "ipfix 192.0.2.9", "prometheus 203.0.113.7:9410"], /psample: Cannot listen on \S+: .* \(EADDRNOTAVAIL\)/],
    [[...right, "device c", "keep 3"], /psample: x\.conf, line 8: --keep requires --rotate\n/],
    [[...common, "device a:1"], /psample: x\.conf: nowhere to export to/],
  ];
  for (const [lines, message] of wrong) {
    const told = await export_.reload(lines, /x\.conf was not applied: everything continues as before\n/);
    assertMatch(told, message);
    sendOne();
  }
  assertEquals([await sampling(), tcDump("a")], ["a egress 1", filter]);
  await until("all have arrived", () => samplesOf(sflow, IFINDEX.a).length === sent);
  assertEquals(datagramsOf(sflow).map(({ sequence }) => sequence), datagramsOf(sflow).map((_, i) => i + 1));
  // What a running export cannot change is told, each time, and the rest is done.
  for (const rate of [3, 1]) {
    const told = await export_.reload([...common, `device a:${rate}`, `sflow ${sflow.target}`, "buffer 1MB", "group 7"]);
    assertMatch(told, /psample: takes effect at the next start: buffer, group\n/);
    assertEquals(await sampling(), `a egress ${rate}`);
  }
  const without = ["agent 192.0.2.1", "latency low", "polling 0", `sflow ${sflow.target}`];
  assertMatch(await export_.reload(without), /psample: takes effect at the next start: direction, device\n/);
  assertEquals(await sampling(), "a egress 1");
  await export_.command.end();
  assertEquals(await sampling(), "");
});

scene("what else is sampled changes on every device, and the pool counts on", async () => {
  bareWire();
  using sflow = new UdpReceiver();
  const common = ["agent 192.0.2.1", "latency low", "polling 0", `sflow ${sflow.target}`, "device a:1"];
  const export_ = await Configured.start([...common, "direction egress"]);
  using sender = new Sender("a", frameOut());
  sender.send(100);
  await until("all have arrived", () => samplesOf(sflow, IFINDEX.a).length === 100);
  await export_.reload([...common, "direction egress", "trunc 60", "match udp"]);
  assertMatch(export_.errors, /psample: sampling a, now match udp, trunc 60\n/);
  sender.send(100);
  await until("all have arrived", () => samplesOf(sflow, IFINDEX.a).length === 200);
  await export_.reload([...common, "match tcp"]);
  assertEquals(await sampling(), "a egress 1, a ingress 1");
  sender.send(100);
  await export_.reload([...common, "direction egress"]);
  sender.send(100);
  await until("all have arrived, but what the match left out", () => samplesOf(sflow, IFINDEX.a).length === 300);
  await export_.command.end();
  const samples = samplesOf(sflow, IFINDEX.a);
  assertEquals(samples.map(({ sequence }) => sequence), samples.map((_, i) => i + 1));
  const pools = samples.map(({ pool }) => pool!);
  assert(pools.every((pool, i) => i === 0 || pool >= pools[i - 1]!), `${pools}`);
  assertEquals(pools.at(-1), 300);
});

scene("metrics show other flows and move to another address, and count on", async () => {
  bareWire();
  using sflow = new UdpReceiver();
  const common = ["agent 192.0.2.1", "direction egress", "polling 0", "device a:1", `sflow ${sflow.target}`];
  const export_ = await Configured.start([...common, "prometheus 9410"]);
  using sender = new Sender("a", frameOut());
  sender.send(50);
  const counted = async (port: number): Promise<number> => {
    const values = Object.values(valuesOf((await get(port, "/metrics")).body, "psample_samples_total"));
    return values.reduce((sum, value) => sum + value, 0);
  };
  await until("all are counted", async () => await counted(9410) === 50);
  await export_.reload([...common, "prometheus 9410", "top 3", "by device"]);
  sender.send(50);
  await until("all are counted", async () => await counted(9410) === 100);
  assertMatch((await get(9410, "/metrics")).body, /psample_top_bytes_per_second\{device="a"\}/);
  await export_.reload([...common, "prometheus 9411"]);
  sender.send(50);
  await until("all are counted", async () => await counted(9411) === 150);
  await assertRejects(() => get(9410, "/metrics"));
  await export_.command.end();
});

scene("counters begin at a collector that stays, and end again", async () => {
  bareWire();
  using sflow = new UdpReceiver();
  const common = ["agent 192.0.2.1", "device a:1", `sflow ${sflow.target}`];
  const export_ = await Configured.start([...common, "polling 0"]);
  const counters = (): number => {
    const before = export_.errors.length;
    export_.command.io.signal("SIGUSR1");
    return Number(/(\d+) counter samples? in them/.exec(export_.errors.slice(before))?.[1] ?? 0);
  };
  assertEquals(counters(), 0);
  await export_.reload([...common, "polling 1s", "counters b"]);
  await until(() => `they are sent: ${export_.errors}`, async () => {
    await pause(50);
    return counters() >= 6;
  });
  await export_.reload([...common, "polling 0"]);
  const sent = counters();
  // Longer than the interval was.
  await pause(1500);
  assertEquals(counters(), sent);
  await export_.command.end();
  assertEquals(new Set(datagramsOf(sflow).map(({ sequence }) => sequence)).size, datagramsOf(sflow).length);
});

scene("samples of a device that comes are own ones, also in a group that others sample into", async () => {
  bareWire();
  secondWire();
  tc("qdisc add dev b clsact");
  sample("b egress", "rate 1 group 7");
  using sflow = new UdpReceiver();
  const common = ["agent 192.0.2.1", "latency low", "polling 0", "direction egress", "group 7", `sflow ${sflow.target}`];
  const export_ = await Configured.start([...common, "device a:1"]);
  assertMatch(export_.errors, /others also sample into group 7 \(b egress\): their samples are left out/);
  await export_.reload([...common, "device a:1", "device c:1"]);
  send("b", frameIn());
  for (const device of ["a", "c"] as const) send(device, frameOut());
  await until("both have arrived", () => samplesOf(sflow, IFINDEX.a).length > 0 && samplesOf(sflow, IFINDEX.c).length > 0);
  await export_.command.end();
  assertEquals(samplesOf(sflow, IFINDEX.b), []);
  assertMatch(export_.errors, /[1-9]\d* samples? of others left out/);
});

for (const { name, words } of COMMANDS) {
  scene(`${name}: with --user HUP works with the rights that are left, and says what they are not enough for`, async () => {
    bareWire();
    secondWire();
    using sflow = new UdpReceiver();
    const directory = openDirectory();
    try {
      const file = join(directory, "export.conf");
      const write = (...lines: string[]): void => writeFileSync(file, ["user nobody", `sflow ${sflow.target}`, ...lines, ""].join("\n"));
      write("device a:1");
      const permissions = [`--allow-read=${directory}`, "--allow-net"];
      await using program = new Program([...words(...permissions), "export", "--config", file]);
      await until(() => `it exports: ${program.err}`, () => program.err.includes("exporting to "));
      const reload = async (told: RegExp): Promise<void> => {
        const before = program.err.length;
        program.signal("SIGHUP");
        await until(() => `it is told: ${program.err}`, () => told.test(program.err.slice(before)));
      };
      write("device a:1", "device c:5", "prometheus 9410");
      await reload(/export\.conf was read again/);
      assertEquals(await sampling(), "a egress 1, a ingress 1, c egress 5, c ingress 5");
      write("device a:1", "prometheus 80");
      await reload(/\(EACCES\).*That is done as the user nobody: a restart does it with full privileges\n.*was not applied/s);
      chmodSync(file, 0o666);
      await reload(/can be written by everybody, who could control what root does: chmod go-w \S+export\.conf\n/);
      chmodSync(file, 0o600);
      await reload(/Cannot read \S+export\.conf: permission denied \(EACCES\)/);
      assertEquals(await sampling(), "a egress 1, a ingress 1, c egress 5, c ingress 5");
      program.signal("SIGTERM");
      assertEquals((await program.ended).status, 0, program.err);
      assertEquals(await sampling(), "");

      // That it cannot be read again is known at the start.
      await using other = new Program([...words(...permissions), "export", "--config", file]);
      await until(() => `it is told: ${other.err}`, () => /SIGHUP will not be able to read .* as the user nobody: /.test(other.err));
      other.signal("SIGTERM");
      assertEquals((await other.ended).status, 0, other.err);
    } finally {
      rmSync(directory, { recursive: true });
    }
  });
}
