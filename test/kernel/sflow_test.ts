/** What collectors of sFlow count of real samples: to the unit what a second listener hears, and what the kernel counts. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { addSampling, listen, pump, type Sample, sflowTo, type SflowToOptions, type Summary, watchLinks } from "../../mod.ts";
import { decodeDatagram } from "../export/sflow/decoder.ts";
import { UdpReceiver } from "../support/udp_receiver.ts";
import { INNER, packetIn, superFrame, vxlan } from "./frames.ts";
import { ETH_IPV4, ETH_QINQ, ETH_VLAN, ethernet, frameIn, frameOut, inOrder, join, OURS, PEER, SEGMENT_BYTES, words } from "./frames.ts";
import { Neighbour } from "./namespace.ts";
import { openDirectory } from "./runtime.ts";
import {
  asSamples,
  type Ear,
  hear,
  IFINDEX,
  ip,
  run,
  sample,
  scene,
  secondWire,
  send,
  Sender,
  sendToBeCut,
  soon,
  tc,
  until,
  wire,
} from "./scene.ts";
import { addTun } from "./tun.ts";

const PORT = 6343;
const INTERNAL = 0x3fff_ffff;
const FCS_BYTES = 4;

/** A program that receives datagrams on the loopback device, and the directory that it writes into. */
class Collector implements AsyncDisposable {
  readonly directory = openDirectory();
  readonly #process: ChildProcess;
  readonly #ended: Promise<unknown[]>;
  #said = "";

  private constructor(program: string, args: (directory: string) => readonly string[]) {
    this.#process = spawn(program, args(this.directory), { stdio: ["ignore", "pipe", "pipe"] });
    this.#ended = once(this.#process, "close");
    for (const stream of [this.#process.stdout!, this.#process.stderr!]) stream.on("data", (data: Uint8Array) => this.#said += `${data}`);
  }

  /** Resolves when it listens. */
  static async start(program: string, args: (directory: string) => readonly string[]): Promise<Collector> {
    const collector = new Collector(program, args);
    await until(() => `${program} listens: ${collector.#said}`, () => collector.#queued() !== undefined);
    return collector;
  }

  /** What it has printed. */
  get said(): string {
    return this.#said;
  }

  /** Resolves when it has read everything that was sent to it. */
  async hasRead(): Promise<void> {
    await until("the collector has read everything", () => this.#queued() === "00000000");
  }

  async end(signal: "SIGTERM" | "SIGKILL"): Promise<void> {
    this.#process.kill(signal);
    await soon(this.#ended, "the end of the collector");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#process.exitCode === null && this.#process.signalCode === null) await this.end("SIGKILL");
    rmSync(this.directory, { recursive: true });
  }

  /** How much waits in the queue of its socket, in hexadecimal; `undefined` if it has none. */
  #queued(): string | undefined {
    const table = readFileSync("/proc/thread-self/net/udp", "utf8").split("\n").map((line) => line.trim().split(/\s+/));
    const port = PORT.toString(16).toUpperCase().padStart(4, "0");
    return table.find(([, local]) => local?.endsWith(`:${port}`))?.[4]?.split(":")[1];
  }
}

/** sfcapd, which stores each sample as a flow of N packets. */
function startSfcapd(): Promise<Collector> {
  return Collector.start("sfcapd", (directory) => ["-b", "127.0.0.1", "-p", String(PORT), "-w", directory, "-t", "3600"]);
}

/** Exports what is sampled while `work` goes on, to the collector; a second listener hears the same. */
async function exported(
  collector: Collector,
  ear: Ear,
  options: SflowToOptions,
  work: () => void | Promise<void>,
): Promise<{ samples: Sample[]; summary: Summary }> {
  await using listener = await listen({ events: false, devices: await watchLinks() });
  const sink = await sflowTo(`127.0.0.1:${PORT}`, { agent: "192.0.2.1", forwards: false, ...options });
  const pumped = pump(listener, [], [sink]);
  await work();
  listener.end();
  const summary = await soon(pumped, "the end of the export");
  const samples = asSamples(await ear.rest());
  assertEquals(ear.listener.stats().lost, 0);
  assertEquals([summary.stats.lost, summary.samples, summary.sinks[0]!.written], [0, samples.length, samples.length]);
  await collector.hasRead();
  return { samples, summary };
}

/** What sfcapd stored: input, output, packets and bytes of each flow. */
function stored({ directory }: Collector): string[] {
  const out = run("nfdump", ["-R", directory, "-q", "-N", "-o", "fmt:%in %out %pkt %byt"]);
  return out.trim().split("\n").map((line) => line.trim().split(/\s+/).join(" ")).sort();
}

/** Packets and bytes. */
interface Traffic {
  readonly packets: number;
  readonly bytes: number;
}

/** What sfcapd stored of what came in by a device. */
function storedOf(flows: readonly string[], ifindex: number): Traffic {
  const its = flows.map((flow) => flow.split(" ").map(Number)).filter(([input]) => input === ifindex);
  return {
    packets: its.reduce((sum, [, , packets]) => sum + packets!, 0),
    bytes: its.reduce((sum, [, , , bytes]) => sum + bytes!, 0),
  };
}

/**
 * What the kernel has counted of what a device received, in the lengths of sFlow. The kernel counts a frame without its check sequence
 * (rx_bytes in include/uapi/linux/if_link.h), sFlow with it (frame_length in "SAMPLED_HEADER" of the standard). The counter of the action is
 * no measure of this: on ingress the kernel takes the length for it while the Ethernet header is taken off (sch_handle_ingress() in
 * net/core/dev.c).
 */
function received(device: string): Traffic {
  const [{ stats64: { rx: { packets, bytes } } }] = JSON.parse(run("ip", ["-json", "-stats", "link", "show", "dev", device]));
  return { packets, bytes: bytes + FCS_BYTES * packets };
}

/** Input, output, packets and bytes that a sample stands for; `wide` are the indexes of more than 16 bits. */
function expected({ inIfindex, outIfindex, oneIn, originalBytes, protocol, data }: Sample, wide: readonly number[] = []): string {
  const whole = (index: number): number => wide.find((one) => (one & 0xffff) === index) ?? index;
  const isFrame = inIfindex !== 110;
  const isOurs = !isFrame || (data !== undefined && data.length >= 6 && (data[0]! & 1 || data[5] === 0x01 || data[5] === 0x11));
  const input = inIfindex === undefined ? INTERNAL : whole(inIfindex);
  const output = outIfindex !== undefined ? whole(outIfindex) : isOurs ? INTERNAL : 0;
  assert(protocol !== undefined);
  return `${input} ${output} ${oneIn} ${oneIn! * (originalBytes! + (isFrame ? FCS_BYTES : 0))}`;
}

scene(
  "sfcapd counts what a second listener hears: two groups, rates, VLAN, tun, GSO, forwarding, cut packets",
  "module:tun",
  "program:sfcapd",
  "program:nfdump",
  async () => {
    wire();
    secondWire();
    using tun = addTun("tun0", 110);
    ip("link set dev tun0 up");
    tc("qdisc add dev tun0 clsact");
    sample("a ingress", "rate 10 group 5");
    sample("a ingress", "rate 3 group 6 trunc 13");
    sample("a egress", "rate 1 group 7 trunc 0");
    sample("c egress", "rate 1 group 8 trunc 64");
    sample("tun0 ingress", "rate 1 group 9");
    writeFileSync("/proc/sys/net/ipv4/ip_forward", "1");
    await using collector = await startSfcapd();
    await using ear = await hear({ events: false });
    const { samples } = await exported(collector, ear, {}, () => {
      using sender = new Sender("b", frameIn());
      sender.send(1000);
      send("b", ...inOrder(50, ({ id, size }) => frameIn({ id, size, to: "198.51.100.2" })));
      send("b", ethernet(OURS, PEER, ETH_QINQ, join(words(100, ETH_VLAN, 42, ETH_IPV4), packetIn())));
      for (let i = 0; i < 20; i++) sendToBeCut("b", superFrame(20), SEGMENT_BYTES);
      send("a", ...inOrder(30, frameOut));
      for (let i = 0; i < 10; i++) tun.write(packetIn({ id: i }));
    });
    assert(samples.length > 300, `${samples.length} samples`);
    await collector.end("SIGTERM");
    assertEquals(stored(collector), samples.map((one) => expected(one)).sort());
    assertStringIncludes(collector.said, "Sequence Errors: 0, Bad Packets: 0");
  },
);

scene(
  "at 1 in 1 sfcapd counts what the kernel counts, also with an index above 2^24 and truncation",
  "program:sfcapd",
  "program:nfdump",
  async () => {
    wire();
    const index = 20_000_101;
    ip(
      `link add name big index ${index} address 02:00:00:00:00:01 type veth peer name far index 130`,
      "link set dev big up",
      "link set dev far up",
    );
    await using sampling = await addSampling({ device: "a", rate: 1, group: 5, direction: "ingress" });
    await using large = await addSampling({ device: "big", rate: 1, group: 5, direction: "ingress", truncateBytes: 64 });
    await using collector = await startSfcapd();
    await using ear = await hear({ events: false });
    const { samples } = await exported(collector, ear, { maxDatagramBytes: 512 }, async () => {
      send("b", ...inOrder(100, frameIn));
      send(130, ...inOrder(100, frameIn));
      send("b", ...inOrder(100, frameIn, 1000));
      await until("the counters show all", async () => (await sampling.passed()).trials === 200n);
    });
    assertEquals([(await sampling.passed()).trials, (await large.passed()).trials], [200n, 100n]);
    assertEquals(samples.length, 300);
    await collector.end("SIGTERM");
    const flows = stored(collector);
    assertEquals(flows, samples.map((one) => expected(one, [index])).sort());
    for (const [device, ifindex] of [["a", IFINDEX.a], ["big", index]] as const) {
      assertEquals(storedOf(flows, ifindex), received(device));
    }
  },
);

/** 99.9 % of a normal distribution lie within this many standard errors. */
const STANDARD_ERRORS = 3.29;
/**
 * A round in which one of four figures is outside is repeated, so that chance alone does not fail the test. Of few samples a little more
 * than 0.1 % is outside. With the packets of the scene below one of the four is, by the binomial distribution, in at most 0.72 % of rounds,
 * and so in three rounds running less than once in two million runs. Figures that are wrong by a factor of 2 are outside in each round: at
 * 1 in 10 all but once in 10^12, at 1 in 1000 all but once in 190.
 */
const ROUNDS = 3;

/** How far off an estimate is, in its standard errors: the sum of what was drawn 1 in N, N times each (Horvitz and Thompson). */
function deviation(estimate: number, counted: number, oneIn: number, drawn: readonly number[]): number {
  return Math.abs(estimate - counted) / Math.sqrt(oneIn * (oneIn - 1) * drawn.reduce((sum, one) => sum + one * one, 0));
}

scene(
  "at 1 in 10 and 1 in 1000 what the kernel counts lies in the 99.9 % interval of what sfcapd counts",
  "program:sfcapd",
  "program:nfdump",
  async () => {
    wire();
    secondWire();
    const rates = { c: 10, a: 1000 } as const;
    for (const [device, rate] of Object.entries(rates)) sample(`${device} ingress`, `rate ${rate} group 5 trunc 128`);
    const outside: string[] = [];
    for (let round = 0; round < ROUNDS; round++) {
      const before = { c: received("c"), a: received("a") };
      await using collector = await startSfcapd();
      await using ear = await hear({ events: false });
      const { samples } = await exported(collector, ear, {}, () => {
        for (const size of [300, 1000]) {
          using few = new Sender("d", frameIn({ size }));
          few.send(1500);
          using many = new Sender("b", frameIn({ size }));
          many.send(50_000);
        }
      });
      await collector.end("SIGTERM");
      const flows = stored(collector);
      assertEquals(flows.length, samples.length);
      const figures = (["c", "a"] as const).flatMap((device) => {
        const estimate = storedOf(flows, IFINDEX[device]);
        const now = received(device);
        const drawn = samples.filter(({ inIfindex }) => inIfindex === IFINDEX[device]).map(({ originalBytes }) =>
          originalBytes! + FCS_BYTES
        );
        const [packets, bytes] = [now.packets - before[device].packets, now.bytes - before[device].bytes];
        return [
          { what: `packets of ${device}`, deviation: deviation(estimate.packets, packets, rates[device], drawn.map(() => 1)) },
          { what: `bytes of ${device}`, deviation: deviation(estimate.bytes, bytes, rates[device], drawn) },
        ];
      });
      // Nothing drawn makes it infinite, or no number.
      if (figures.every(({ deviation }) => deviation <= STANDARD_ERRORS)) break;
      outside.push(figures.map(({ what, deviation }) => `${what}: ${deviation.toFixed(2)}`).join(", "));
    }
    assert(outside.length < ROUNDS, `off by these numbers of standard errors: ${outside.join("; ")}`);
  },
);

scene(
  "tunnels: sfcapd takes what is inside for the packet, as long as they are not described",
  "module:vxlan",
  "program:sfcapd",
  "program:nfdump",
  async () => {
    wire();
    ip("link add name tunnel0 index 120 address 02:00:00:00:00:11 type vxlan external dstport 4789", "link set dev tunnel0 up");
    tc("qdisc add dev tunnel0 clsact");
    sample("tunnel0 ingress", "rate 1 group 20");
    await using collector = await startSfcapd();
    await using ear = await hear({ events: false });
    const { samples } = await exported(collector, ear, {}, () => send("b", vxlan(4, false), vxlan(4, true)));
    assertEquals(samples.map(({ data }) => data), [INNER, INNER]);
    await collector.end("SIGTERM");
    assertEquals(stored(collector), samples.map((one) => expected(one)).sort());
  },
);

scene("sfacctd counts packets and bytes, N times each", "program:sfacctd", async () => {
  wire();
  sample("a ingress", "rate 10 group 5");
  const flows = (directory: string): string => `${directory}/flows`;
  await using collector = await Collector.start("sfacctd", (directory) => {
    const config = [
      "daemonize: false",
      "sfacctd_ip: 127.0.0.1",
      `sfacctd_port: ${PORT}`,
      "sfacctd_renormalize: true",
      "plugins: print",
      "aggregate: src_host,dst_host,in_iface,out_iface",
      "print_output: json",
      "print_refresh_time: 1",
      `print_output_file: ${flows(directory)}`,
      "print_output_file_append: true",
      "",
    ];
    mkdirSync(directory, { recursive: true });
    writeFileSync(`${directory}/config`, config.join("\n"));
    return ["-f", `${directory}/config`];
  });
  // Its plugin is another process, which misses what comes before it is ready.
  await until("sfacctd is ready", () => collector.said.includes("Purging cache - END"));
  await using ear = await hear({ events: false });
  const { samples } = await exported(collector, ear, {}, () => {
    using sender = new Sender("b", frameIn());
    sender.send(3000);
  });
  const counted = (): Record<string, unknown>[] => {
    try {
      return readFileSync(flows(collector.directory), "utf8").trim().split("\n").map((line) => JSON.parse(line));
    } catch {
      return [];
    }
  };
  const sum = (name: string): number => counted().reduce((total, flow) => total + Number(flow[name]), 0);
  const packets = 10 * samples.length;
  await until(() => `sfacctd has counted ${packets} packets: ${JSON.stringify(counted())}`, () => sum("packets") >= packets);
  assertEquals([sum("packets"), sum("bytes")], [packets, 146 * packets]);
  for (const { ip_src, ip_dst, iface_in, iface_out } of counted()) {
    assertEquals([ip_src, ip_dst, iface_in, iface_out], ["192.0.2.2", "192.0.2.1", 101, INTERNAL]);
  }
  await collector.end("SIGKILL");
});

scene("each network namespace is an agent, or a sub-agent, and numbers its own samples", async () => {
  using named = new Neighbour();
  using unnamed = new Neighbour();
  await named.setNsid(7);
  await unnamed.setNsid(9);
  const places: readonly ((work: () => void) => void)[] = [(work) => work(), (work) => named.inside(work), (work) => unnamed.inside(work)];
  for (const inside of places) {
    inside(() => {
      wire();
      sample("a egress", "rate 2 group 5");
    });
  }
  using receiver = new UdpReceiver();
  await using listener = await listen({ events: false, allNamespaces: true, devices: await watchLinks() });
  const sink = await sflowTo(receiver.target, { agent: "192.0.2.1", subAgent: 20, agents: new Map([[7, "192.0.2.77"]]) });
  const pumped = pump(listener, [], [sink]);
  // In turn, so that the samples of all three arrive mixed.
  for (let round = 0; round < 20; round++) for (const inside of places) inside(() => send("a", ...inOrder(10, frameOut)));
  listener.end();
  const { sinks: [sent] } = await soon(pumped, "the end of the export");
  const datagrams = (await receiver.until(sink.datagrams.sent)).map((bytes) => decodeDatagram(new Uint8Array(bytes)));
  assertEquals(datagrams.flatMap(({ samples }) => samples).length, sent!.written);
  for (const [agent, subAgent] of [["192.0.2.1", 20], ["192.0.2.77", 20], ["192.0.2.1", 30]] as const) {
    const its = datagrams.filter((datagram) => datagram.agent === agent && datagram.subAgent === subAgent);
    assertEquals(its.map(({ sequence }) => sequence), its.map((_, i) => i + 1));
    const samples = its.flatMap(({ samples }) => samples);
    // Of 200 packets; fewer than 50 come once in 10^12.
    assert(samples.length > 50, `${samples.length} samples of ${agent}, sub-agent ${subAgent}`);
    assertEquals(
      samples.map(({ sequence, sourceIndex, pool, rate }) => [sequence, sourceIndex, pool, rate]),
      samples.map((_, i) => [i + 1, 101, 2 * (i + 1), 2]),
    );
  }
});
