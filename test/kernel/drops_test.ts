/**
 * `psample export --drops`: what the kernel discards, and why.
 *
 * The kernel has one drop monitor, which answers in the initial network namespace: so these take place there, in a kernel that `boot`
 * started.
 */
import { spawnSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { test } from "node:test";
import { assert, assertEquals, assertMatch } from "@std/assert";
import { DropMonitor } from "../../src/control/drop_monitor.ts";
import { decodeDropMonitorConfig, type DropMonitorConfig, dropMonitorRequests } from "../../src/genl/net_dm.ts";
import { findFamily } from "../../src/socket/family.ts";
import { Requests } from "../../src/socket/requests.ts";
import { EBUSY, NETLINK_GENERIC } from "../../src/sys/sys.ts";
import { loadSys } from "../../src/sys/load.ts";
import { NetlinkError } from "../../src/errors.ts";
import { decodeDatagram, type DecodedSample, headerOf, recordOf } from "../export/sflow/decoder.ts";
import { valuesOf } from "../export/prometheus/reader.ts";
import { get } from "../support/http.ts";
import { UdpReceiver } from "../support/udp_receiver.ts";
import { counting, ETH_IPV4, ethernet, frameIn, frameOut, OURS, PEER, udp } from "./frames.ts";
import { Command } from "./in_process.ts";
import { needs } from "./needs.ts";
import { dropForwarded } from "./netfilter.ts";
import { COMMANDS, Program } from "./runtime.ts";
import { IFINDEX, ip, PATIENCE_MS, scene, secondWire, send, Sender, tc, until, wire } from "./scene.ts";

const sys = await loadSys();

/** A scene in the initial network namespace, with two wires. */
function initially(name: string, play: () => Promise<void>): void {
  test(name, { ...needs("guest", "psample", "net_admin", "module:drop_monitor"), timeout: 4 * PATIENCE_MS }, async () => {
    try {
      wire();
      secondWire();
      writeFileSync("/proc/sys/net/ipv4/ip_forward", "1");
      await play();
    } finally {
      // Namespaces that are made later inherit it.
      writeFileSync("/proc/sys/net/ipv4/ip_forward", "0");
      spawnSync("ip", ["-force", "-batch", "-"], { input: "link del dev a\nlink del dev c\n" });
    }
  });
}

/** How the kernel's monitor is configured, and whether it runs. */
async function monitorState(): Promise<DropMonitorConfig & { runs: boolean }> {
  const requests = new Requests(sys, NETLINK_GENERIC);
  try {
    const ask = dropMonitorRequests((await findFamily(requests, "NET_DM"))!);
    const [reply] = await requests.request(ask.getConfig(), "read the configuration");
    // Changes nothing, and is refused while it runs.
    const refused = await requests.request(ask.config(), "configure nothing").then(() => undefined, (error) => error);
    assert(refused === undefined || (refused instanceof NetlinkError && refused.errno === EBUSY), `${refused}`);
    return { ...decodeDropMonitorConfig(reply!), runs: refused !== undefined };
  } finally {
    requests.close();
  }
}

async function start(words: string): Promise<Command> {
  // Counters have tests of their own.
  const command = new Command(["export", ...words.split(" "), "--polling", "0"]);
  await command.samples();
  return command;
}

/** The discarded packets that have arrived. */
function discardsOf(receiver: UdpReceiver): DecodedSample[] {
  return receiver.receive().flatMap((bytes) => decodeDatagram(new Uint8Array(bytes)).samples).filter(({ format }) => format === 5);
}

function text(sample: DecodedSample, format: number): string {
  const body = recordOf(sample, format)!;
  return new TextDecoder().decode(body.subarray(4, 4 + new DataView(body.buffer, body.byteOffset).getUint32(0)));
}

/** A frame to us, whose UDP destination port tells it from all others. */
function frame(port: number, { to = "192.0.2.1", ttl = 64 } = {}): Uint8Array {
  return ethernet(OURS, PEER, ETH_IPV4, udp({ from: "192.0.2.2", to, ttl }, 4000, port, counting(100)));
}

function portOf(sample: DecodedSample): number {
  const { header } = headerOf(sample);
  return header.length < 38 ? 0 : header[36]! << 8 | header[37]!;
}

initially("each packet that is discarded is reported once, with the reason, the function, the interface and its first bytes", async () => {
  const before = await monitorState();
  using sflow = new UdpReceiver();
  const command = await start(`--sflow ${sflow.target} --agent 192.0.2.1 --drops --drop-limit 1000 --header 60 --latency low`);
  const during = await monitorState();
  assertEquals([during.runs, during.alertMode, during.truncateBytes], [true, 1, 60]);
  ip("route add blackhole 203.0.113.0/25", "route add unreachable 203.0.113.128/25");
  // Nobody listens; no more hops; no way.
  const frames: Uint8Array[] = [frame(9001), frame(9002, { to: "198.51.100.2", ttl: 1 }), frame(9003, { to: "203.0.113.130" })];
  send("b", ...frames);
  tc("filter add dev a ingress pref 5 protocol ip flower ip_proto udp dst_port 9004 action drop");
  frames.push(frame(9004));
  send("b", frames[3]!);
  tc("filter add dev c egress pref 5 protocol ip flower ip_proto udp dst_port 9005 action drop");
  frames.push(frame(9005, { to: "198.51.100.2" }));
  send("b", frames[4]!);
  const ours = (): DecodedSample[] =>
    discardsOf(sflow).filter((one) => portOf(one) > 9000 && portOf(one) < 9010).sort((one, other) => portOf(one) - portOf(other));
  await until(() => `all have arrived: ${JSON.stringify(ours().map(portOf))} ${command.io.errors()}`, () => ours().length === 5);
  {
    using _everything = await dropForwarded();
    frames.push(frame(9006, { to: "198.51.100.2" }));
    send("b", frames[5]!);
    await until("the last has arrived", () => ours().length === 6);
  }
  await command.end();
  assertEquals(ours().map((one) => [portOf(one), one.reason, text(one, 1042)]), [
    [9001, 3, "NO_SOCKET"],
    [9002, 257, "IP_INHDR"],
    // Linux 6.1 says no more of a packet that it forwards nowhere.
    [9003, 285, "NOT_SPECIFIED"],
    [9004, 365, "TC_INGRESS"],
    [9005, 366, "TC_EGRESS"],
    [9006, 258, "NETFILTER_DROP"],
  ]);
  assertEquals(ours().map(({ input, sourceIndex }) => [input, sourceIndex]), Array(6).fill([IFINDEX.a, IFINDEX.a]));
  // A packet that was about to leave has one hop less.
  assertEquals(
    ours().slice(0, 4).map((one) => headerOf(one)),
    frames.slice(0, 4).map((frame) => ({ protocol: 1, frameLength: 142 + 4, stripped: 4, header: new Uint8Array(frame.slice(0, 60)) })),
  );
  const functions = ours().map((one) => text(one, 1038));
  assertEquals(functions.slice(1, 3), ["ip_forward", "ip_error"]);
  assert(functions.every((name) => /^[a-z_0-9.]+$/.test(name)), `${functions}`);
  assertEquals(await monitorState(), before);
  assertMatch(command.io.errors(), /lost 0; \d+ discarded packets reported; sFlow \S+: \d+ datagrams? sent\n$/);
});

initially("more than the limit a second are counted, collectors are told the number, and samples are not held up", async () => {
  using sflow = new UdpReceiver();
  const command = await start(`a:1 --direction egress --sflow ${sflow.target} --agent 192.0.2.1 --drops --drop-limit 5 --latency low`);
  using sender = new Sender("b", frameIn({ port: 9001 }));
  for (let round = 0; round < 10; round++) {
    sender.send(300);
    send("a", frameOut());
  }
  const samples = (): number =>
    sflow.receive().flatMap((bytes) => decodeDatagram(new Uint8Array(bytes)).samples).filter(({ format }) => format !== 5).length;
  await until(() => `every sample has arrived: ${samples()}`, () => samples() >= 10);
  const numbers = (): number[] => {
    command.io.signal("SIGUSR1");
    const [last] = command.io.errors().trim().split("\n").slice(-1);
    const [, reported] = /(\d+) discarded packets? reported/.exec(last!) ?? [];
    const [, beyond = "0"] = /(\d+) more beyond --drop-limit/.exec(last!) ?? [];
    const [, lost = "0"] = /reports of (\d+) more lost/.exec(last!) ?? [];
    return [reported, beyond, lost].map(Number);
  };
  await until(() => `all are counted: ${numbers()}`, () => numbers().reduce((sum, number) => sum + number) >= 3000);
  // One more, whose report has the number.
  await until("the number has arrived", () => {
    send("b", frame(9002));
    return discardsOf(sflow).some(({ drops }) => drops! > 2000);
  });
  await command.end();
  assert(numbers()[0]! < 3000);
});

initially("metrics have the numbers of the account, and the page has them too", async () => {
  using sflow = new UdpReceiver();
  const command = await start(`--sflow ${sflow.target} --agent 192.0.2.1 --drops --drop-limit 5 --latency low --prometheus 0`);
  const [, port] = /Prometheus at http:\/\/127\.0\.0\.1:(\d+)\//.exec(command.io.errors())!;
  const NAMES = ["reported", "skipped", "lost", "nonpacket", "malformed"];
  let body = "";
  const scraped = async (): Promise<(number | undefined)[]> => {
    ({ body } = await get(Number(port), "/metrics"));
    return NAMES.map((name) => valuesOf(body, `psample_${name}_discards_total`)[""]);
  };
  await until(() => `there are such metrics: ${body}`, async () => (await scraped()).every((value) => value !== undefined));
  send("b", ...Array.from({ length: 300 }, () => frame(9001)));
  await until(() => `all are in the metrics: ${body}`, async () => {
    const [reported, skipped, lost] = await scraped();
    return reported! >= 5 && reported! + skipped! + lost! >= 300;
  });
  await until("they are on the page", async () => {
    const page = (await get(Number(port), "/")).body;
    return /<h2>Discarded by the kernel<\/h2>/.test(page) && /<td>packets reported to collectors<\/td><td class="number">[1-9]/.test(page);
  });
  // The kernel may discard something at any time: that it has not meanwhile shows in both.
  await until(() => `they are the account's: ${body} ${command.io.errors()}`, async () => {
    const values = await scraped();
    command.io.signal("SIGUSR1");
    const said = command.io.errors().trimEnd().split("\n").at(-1)!;
    const forms = [
      /; (\d+) discarded packets? reported/,
      / (\d+) more beyond --drop-limit/,
      / reports of (\d+) more lost/,
      / (\d+) buffers? left out/,
      / (\d+) malformed/,
    ];
    const told = forms.map((form) => Number(form.exec(said)?.[1] ?? 0));
    return `${told}` === `${values}` && await scraped().then((later) => `${later}` === `${values}`);
  });
  await command.end();
});

initially("another program's monitor stays as it is, and the rest goes on", async () => {
  using sflow = new UdpReceiver();
  const other = await DropMonitor.start(sys, { truncateBytes: 77, perSecond: 1, onDrop: () => {} });
  try {
    const command = await start(`a:1 --direction egress --sflow ${sflow.target} --agent 192.0.2.1 --drops --prometheus 0`);
    assertMatch(command.io.errors(), /psample: Cannot monitor discarded packets: .* \(EBUSY\)\. Another program monitors them already/);
    send("a", frameOut());
    await until("the sample has arrived", () => sflow.receive().length === 1);
    // 0 would say that nothing is discarded.
    const [, port] = /Prometheus at http:\/\/127\.0\.0\.1:(\d+)\//.exec(command.io.errors())!;
    assert(!(await get(Number(port), "/metrics")).body.includes("discards"));
    command.io.signal("SIGINT");
    // What was asked for was not done.
    assertEquals(await command.status, 1);
    const { truncateBytes, runs } = await monitorState();
    assertEquals([truncateBytes, runs], [77, true]);
  } finally {
    await other.stop();
  }
});

for (const { name, words } of COMMANDS) {
  initially(`${name}: KILL leaves it running, and the next one takes it over; QUIT stops it`, async () => {
    using sflow = new UdpReceiver();
    const before = await monitorState();
    const all = [...words(), "export", "--sflow", sflow.target, "--agent", "192.0.2.1", "--polling", "0", "--drops", "--latency", "low"];
    for (const signal of ["SIGKILL", "SIGQUIT"] as const) {
      await using program = new Program(all);
      await until(() => `it exports: ${program.err}`, () => program.err.includes("exporting to "));
      const arrived = discardsOf(sflow).length;
      await until(() => `it reports: ${program.err}`, () => {
        send("b", frame(9001));
        return discardsOf(sflow).length > arrived;
      });
      program.signal(signal);
      assertEquals((await program.ended).status, null, program.err);
      assertEquals((await monitorState()).runs, signal === "SIGKILL");
    }
    assertEquals(await monitorState(), before);
  });
}

initially("cleanup stops what a killed process has left running, and nothing else", async () => {
  const before = await monitorState();
  const cleanUp = async (...words: string[]): Promise<string> => {
    const command = new Command(["cleanup", ...words]);
    assertEquals(await command.status, 0, command.io.errors());
    return command.io.text();
  };
  const monitor = await DropMonitor.start(sys, { truncateBytes: 64, perSecond: 1, onDrop: () => {} });
  const { runs: _runs, ...config } = await monitorState();
  assertEquals(await cleanUp(), "");
  await monitor.stop();
  // As a killed process leaves it.
  const requests = new Requests(sys, NETLINK_GENERIC);
  const ask = dropMonitorRequests((await findFamily(requests, "NET_DM"))!);
  await requests.request(ask.config(config), "configure it");
  await requests.request(ask.start(false), "start it");
  requests.close();
  assertEquals(await cleanUp("--dry-run"), "would stop the monitor of discarded packets\n");
  assertEquals(await cleanUp(), "stopped the monitor of discarded packets\n");
  assertEquals([await cleanUp(), await monitorState()], ["", before]);
});

initially("without CAP_SYS_ADMIN the cure is told, and the rest goes on", async () => {
  using sflow = new UdpReceiver();
  const without = ["setpriv", "--inh-caps=-sys_admin", "--bounding-set=-sys_admin"];
  const words = [
    ...without,
    ...COMMANDS[0]!.words(),
    "export",
    "--sflow",
    sflow.target,
    "--agent",
    "192.0.2.1",
    "--polling",
    "0",
    "--drops",
  ];
  await using program = new Program(words);
  await until(() => `it exports: ${program.err}`, () => program.err.includes("exporting to "));
  assertMatch(program.err, /Cannot .*NET_DM: .*\(EPERM\)\. Requires CAP_NET_ADMIN, and CAP_SYS_ADMIN since Linux 6\.7/);
  program.signal("SIGTERM");
  assertEquals((await program.ended).status, 1);
  assertEquals((await monitorState()).runs, false);
});

scene("where the kernel has no monitor, as in a container, the cure is told, and the rest goes on", async () => {
  wire();
  using sflow = new UdpReceiver();
  const command = await start(`a:1 --direction egress --sflow ${sflow.target} --drops`);
  assertMatch(command.io.errors(), /Cannot monitor discarded packets: .* \(ENOENT\)\. Load the kernel module: modprobe drop_monitor\./);
  send("a", frameOut());
  await until("the sample has arrived", () => sflow.receive().length === 1);
  command.io.signal("SIGINT");
  assertEquals(await command.status, 1);
  assertMatch(command.io.errors(), /\npsample: everything else continues, without discarded packets; the exit status will be 1\n/);
  assertMatch(command.io.errors(), /; lost 0; discarded packets were not monitored \(ENOENT\); sFlow \S+: \d+ datagrams? sent\n$/);
});
