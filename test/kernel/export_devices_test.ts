/** Which devices `psample export` samples, whatever there is when it starts. */
import { assert, assertEquals, assertMatch } from "@std/assert";
import { listActions, listSampling } from "../../mod.ts";
import { spawnSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { decodeDatagram, type DecodedSample } from "../export/sflow/decoder.ts";
import { valuesOf } from "../export/prometheus/reader.ts";
import { get } from "../support/http.ts";
import { UdpReceiver } from "../support/udp_receiver.ts";
import { frameOut } from "./frames.ts";
import { Command } from "./in_process.ts";
import { loadPsample, unloadPsample } from "./module.ts";
import { bareWire, ip, pause, scene, send, tc, until } from "./scene.ts";
import { tcDump } from "./tc_dump.ts";

/** Starts an export, which follows devices when this resolves. */
async function start(words: string): Promise<Command> {
  // Counters have tests of their own.
  const command = new Command(["export", ...words.split(" "), "--polling", "0"]);
  await command.samples();
  return command;
}

/** The flow samples that have arrived. */
function samplesOf(receiver: UdpReceiver): DecodedSample[] {
  return receiver.receive().flatMap((bytes) => decodeDatagram(new Uint8Array(bytes)).samples);
}

scene("words that mean no device yet are told and followed, also if there is none at all", "guest", "module:dummy", async () => {
  ip("link set dev lo up");
  await unloadPsample();
  using sflow = new UdpReceiver();
  using other = new UdpReceiver();
  const words = "--direction egress --agent 192.0.2.1 --sflow";
  const command = await start(`x*:1 y* ${words} ${sflow.target}`);
  const any = await start(`any:2 ${words} ${other.target}`);
  const told = ["x", "y"].map((name) => `psample: no device matches ${name}* yet: those that come later are sampled\n`).join("");
  assert(command.io.errors().startsWith(`${told}psample: sampling nothing yet, group `), command.io.errors());
  assertMatch(
    any.io.errors(),
    /^psample: no device is up but lo: those that come up later are sampled\npsample: sampling nothing yet, group /,
  );
  const numbers = [command, any].map(({ io }) => /group (\d+)/.exec(io.errors())![1]);
  assertEquals([new Set(numbers).size, (await listActions()).length], [2, 0]);
  ip("link add name x0 type dummy", "link set dev x0 up");
  const rates = async (): Promise<string> => (await listSampling()).map(({ device, rate }) => `${device} ${rate}`).sort().join();
  await until(() => `it is sampled: ${command.io.errors()}`, async () => await rates() === "x0 1,x0 2");
  const { ifindex } = (await listSampling())[0]!;
  await until("it has arrived", async () => {
    send(ifindex!, frameOut());
    await pause(20);
    return samplesOf(sflow).length > 0 && samplesOf(other).length > 0;
  });
  for (const one of [command, any]) await one.end();
  assertEquals(await rates(), "");
  assertMatch(command.io.errors(), /packets? passed \(rule hits\), 1 in 1: \d+ sampled; lost 0; sFlow/);
});

/** Renames devices, which some kernels only allow while they are down. */
function rename(...names: readonly (readonly [string, string])[]): void {
  ip(...names.flatMap(([from, to]) => [`link set dev ${from} down`, `link set dev ${from} name ${to}`, `link set dev ${to} up`]));
}

/** The devices that are sampled. */
async function sampledDevices(): Promise<string> {
  return (await listSampling()).map(({ device }) => device).sort().join();
}

scene("a device that is renamed out of a pattern is left as it was, and others stay under their new names", "module:dummy", async () => {
  ip(
    "link set dev lo up",
    ...["x0", "x1", "x2"].flatMap((name, i) => [`link add name ${name} index ${150 + i} type dummy`, `link set dev ${name} up`]),
  );
  tc("qdisc add dev x0 clsact", "filter add dev x0 egress pref 7 matchall action sample rate 9 group 9");
  const before = ["x0", "x1"].map((name) => tcDump(name));
  using sflow = new UdpReceiver();
  const command = await start(`x*:1 x[9]:2 --direction egress --agent 192.0.2.1 --sflow ${sflow.target} --prometheus 0`);
  const errors = (): string => command.io.errors();
  const sampledUntil = async (arrived: number): Promise<void> => {
    const now = (): number => samplesOf(sflow).filter(({ sourceIndex }) => sourceIndex === 152).length;
    await until(() => `${arrived} have arrived: ${errors()}`, () => now() === arrived);
  };
  send(152, frameOut());
  await sampledUntil(1);
  rename(["x0", "y0"], ["x1", "y1"], ["x2", "x3"]);
  await until(() => `two are left: ${errors()}`, async () => (await listSampling()).filter(({ ours }) => ours).length === 1);
  // What others have there stays.
  assertEquals(["y0", "y1"].map((name) => tcDump(name)), before);
  send(152, frameOut());
  await sampledUntil(2);
  const [, port] = /127\.0\.0\.1:(\d+)\//.exec(errors())!;
  await until("metrics have the new name, and no old one", async () => {
    const { body } = await get(Number(port), "/metrics");
    const series = Object.keys(valuesOf(body, "psample_sampler_packets_total"));
    return series.length > 0 && series.every((labels) => labels.split(" ").includes("x3"));
  });
  // The name may also change what is wanted; and what was left is sampled again when it is wanted.
  rename(["x3", "x9"], ["y1", "x1"]);
  await until(() => `both are sampled: ${errors()}`, async () => {
    return (await listSampling()).filter(({ ours }) => ours).map(({ device, rate }) => `${device} ${rate}`).sort().join() === "x1 1,x9 2";
  });
  await until(() => `it is told: ${errors()}`, () => errors().includes("psample: sampling x1 too, 1 in 1\n"));
  await command.end();
  assertEquals(["y0", "x1"].map((name) => tcDump(name)), before);
  for (
    const text of [
      "x0 is called y0 now: it is not sampled any more",
      "x1 is called y1 now: it is not sampled any more",
      "x2 is called x3 now",
      "x3 is called x9 now",
      "sampling x9, now 1 in 2",
    ]
  ) assertEquals(errors().split(`psample: ${text}\n`).length, 2, `${text}: ${errors()}`);
});

scene("a device given by its name stays sampled under another, until another device gets the name", "module:dummy", async () => {
  ip(
    "link set dev lo up",
    ...["x0", "y0"].flatMap((name, i) => [`link add name ${name} index ${150 + i} type dummy`, `link set dev ${name} up`]),
  );
  const before = tcDump("y0");
  using sflow = new UdpReceiver();
  const command = await start(`x0:1 --direction egress --agent 192.0.2.1 --sflow ${sflow.target}`);
  const errors = (): string => command.io.errors();
  const arrives = async (device: number): Promise<void> =>
    await until(() => `it has arrived: ${errors()}`, async () => {
      const all = (): number => samplesOf(sflow).filter(({ sourceIndex }) => sourceIndex === device).length;
      const arrived = all();
      send(device, frameOut());
      await pause(20);
      return all() > arrived;
    });
  rename(["x0", "z0"]);
  await until(() => `it is told: ${errors()}`, () => errors().includes("psample: x0 is called z0 now\n"));
  await arrives(150);
  // Also if somebody removes it: then it is set up under the new name.
  tc("qdisc del dev z0 clsact");
  await until(() => `it is sampled again: ${errors()}`, () => errors().includes("psample: sampling z0 again, 1 in 1\n"));
  await arrives(150);
  rename(["y0", "x0"]);
  await until(() => `the other is sampled: ${errors()}`, async () => await sampledDevices() === "x0");
  await arrives(151);
  await until(() => `it is told: ${errors()}`, () => errors().includes("psample: sampling x0 too, 1 in 1\n"));
  await command.end();
  assertEquals(["x0", "z0"].map((name) => tcDump(name)), [before, before]);
  assertEquals(errors().split("psample: z0 is not sampled any more\n").length, 2, errors());
});

scene("any: a device that goes down stays sampled, and misses nothing when it is up again", "module:dummy", async () => {
  ip("link set dev lo up", "link add name x0 index 150 type dummy", "link set dev x0 up", "link add name y0 type dummy");
  using sflow = new UdpReceiver();
  const command = await start(`any:1 --direction egress --agent 192.0.2.1 --sflow ${sflow.target}`);
  const errors = (): string => command.io.errors();
  const before = tcDump("x0");
  ip("link set dev x0 down");
  await until(() => `it is told: ${errors()}`, () => /x0 is down/.test(errors()));
  ip("link set dev y0 up");
  await until(() => `another is sampled: ${errors()}`, () => errors().includes("psample: sampling y0 too, 1 in 1\n"));
  assertEquals(tcDump("x0"), before);
  ip("link set dev x0 up");
  send(150, frameOut());
  await until(() => `it has arrived: ${errors()}`, () => samplesOf(sflow).length === 1);
  await command.end();
  assertEquals(await sampledDevices(), "");
});

scene("the module may be unloaded and come back: sampling is set up again, which is told and counted", "guest", async () => {
  bareWire();
  const before = tcDump("a");
  using sflow = new UdpReceiver();
  const command = await start(`a:1 --direction egress --latency low --sflow ${sflow.target}`);
  const errors = (): string => command.io.errors();
  const told = (text: string): number => errors().split(`psample: ${text}\n`).length - 1;
  const arrives = async (): Promise<void> => {
    const arrived = samplesOf(sflow).length;
    await until(() => `samples arrive: ${errors()}`, async () => {
      send("a", frameOut());
      await pause(20);
      return samplesOf(sflow).length > arrived;
    });
  };
  /** Removes all filters, and unloads the module before the command gets its turn. */
  const unload = async (): Promise<void> => {
    const unloads = told(UNLOADED);
    await until(() => `the module is unloaded: ${errors()}`, () => {
      spawnSync("tc", ["qdisc", "del", "dev", "a", "clsact"]);
      for (const name of ["openvswitch", "act_sample", "psample"]) spawnSync("modprobe", ["-r", name]);
      return told(UNLOADED) > unloads;
    });
  };
  const UNLOADED = "the psample module was unloaded: nothing is sampled until it is loaded again";
  const LOADED = "the psample module is loaded again";
  await arrives();
  // The kernel loads it when sampling is set up again.
  await unload();
  await arrives();
  // Now it cannot: somebody else has to.
  const helper = "/proc/sys/kernel/modprobe";
  const program = readFileSync(helper, "utf8");
  try {
    writeFileSync(helper, "/nowhere\n");
    await unload();
    await until(() => `it is told: ${errors()}`, () => /psample: Cannot sample egress traffic on a: .*\n$/.test(errors()));
    assertEquals(told(UNLOADED) - told(LOADED), 1, errors());
    loadPsample();
    await until(() => `it is told: ${errors()}`, () => told(UNLOADED) === told(LOADED));
  } finally {
    writeFileSync(helper, program);
    loadPsample();
  }
  await arrives();
  await command.end();
  assertEquals(tcDump("a"), before);
  const [, times] = /lost 0; the psample module was unloaded (\d+) times; sFlow \S+: \d+ datagrams sent\n$/.exec(errors()) ?? [];
  assertEquals([Number(times), told("sampling a again, 1 in 1")], [told(UNLOADED), told(UNLOADED)], errors());
});
