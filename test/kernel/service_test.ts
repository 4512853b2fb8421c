/** The unit examples/psample-export.service: systemd itself runs the command, in the sandbox that the unit asks for. */
import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { appendFileSync, mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { listSampling } from "../../mod.ts";
import { decodeDatagram, type DecodedSample, wordsOf } from "../export/sflow/decoder.ts";
import { UdpReceiver } from "../support/udp_receiver.ts";
import { frameOut, inOrder } from "./frames.ts";
import { COMMANDS, ROOT } from "./runtime.ts";
import { bareWire, PATIENCE_MS, scene, send, until } from "./scene.ts";
import { ETC, Systemd } from "./systemd.ts";
import { tcDump } from "./tc_dump.ts";

const UNIT = "psample-export.service";
const TEXT = readFileSync(join(ROOT, "examples", UNIT), "utf8");
const DROP_IN = readFileSync(join(ROOT, "examples", `${UNIT}.d`, "collectors.conf"), "utf8");
const DOCUMENT = readFileSync(join(ROOT, "docs/service.md"), "utf8");
const CONFIG = "/etc/psample/export.conf";
/** Where DynamicUser= has the directories of StateDirectory= (systemd.exec(5)). */
const STATE = "/var/lib/private/psample-export";

/** Number of CAP_NET_ADMIN (include/uapi/linux/capability.h) and of filters (include/uapi/linux/seccomp.h). */
const NET_ADMIN = "0000000000001000";
const SECCOMP_MODE_FILTER = "2";
/** The first user that DynamicUser= chooses (systemd.exec(5)). */
const FIRST_USER = 61_184;

/** How many samples of packets have arrived; there are counters too. */
function samplesIn(receiver: UdpReceiver): number {
  return allIn(receiver).filter(({ rate }) => rate !== undefined).length;
}

function allIn(receiver: UdpReceiver): DecodedSample[] {
  return receiver.receive().flatMap((bytes) => decodeDatagram(new Uint8Array(bytes)).samples);
}

/** In which time the service has to be heard of where that is waited for: an emulated processor may be silent for a while. */
const WATCHDOG = process.env.PSAMPLE_GUEST === "old" ? "30s" : "10s";

/** Times that need not be waited for long, and a line about how the service ended. */
function dropIn(watchdog: string): string[] {
  return [`WatchdogSec=${watchdog}`, "RestartSec=100ms", "ExecStopPost=/bin/sh -c 'echo result $SERVICE_RESULT'"];
}

/** Writes the configuration. */
function configure({ target }: UdpReceiver): void {
  mkdirSync("/etc/psample", { recursive: true });
  const lines = ["device a:1", "direction egress", `sflow ${target}`, "polling 1s", "prometheus 9410", "write samples.pcapng"];
  writeFileSync(CONFIG, `${lines.join("\n")}\n`, { mode: 0o644 });
}

/** Starts the service; it is ready when this returns. */
function start(systemd: Systemd): void {
  const { status, out } = systemd.ctl("start", UNIT);
  assertEquals(status, 0, `${out}${systemd.ctl("status", UNIT).out}${systemd.output}`);
}

/** A scene with a systemd, in a kernel that nobody else lives in. */
function served(name: string, play: (systemd: Systemd, receiver: UdpReceiver) => Promise<void>): void {
  scene(name, "guest", "program:systemd", async () => {
    using receiver = new UdpReceiver();
    configure(receiver);
    try {
      await using systemd = await Systemd.start();
      await play(systemd, receiver);
    } finally {
      for (const path of ["/etc/psample", STATE, join(ETC, UNIT), join(ETC, `${UNIT}.d`)]) rmSync(path, { recursive: true, force: true });
    }
  });
}

for (const { name, words } of COMMANDS) {
  const binary = name === "psample" ? undefined : words()[0];

  served(`${name} as a service: it is ready, exports, reloads, tells how it is, and leaves nothing`, async (systemd, receiver) => {
    bareWire();
    const before = tcDump("a");
    systemd.prepare(UNIT, dropIn(WATCHDOG), binary);
    systemd.install(UNIT, TEXT);
    start(systemd);
    const pid = systemd.mainPid(UNIT);
    // What the kernel says of the sandbox.
    const status = readFileSync(`/proc/${pid}/status`, "utf8");
    const field = (name: string): string => new RegExp(`^${name}:\\s+(\\S+)`, "m").exec(status)![1]!;
    assert(Number(field("Uid")) >= FIRST_USER, `it has a user of its own: ${field("Uid")}`);
    assertEquals(["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"].map(field), Array(5).fill(NET_ADMIN));
    assertEquals([field("NoNewPrivs"), field("Seccomp")], ["1", SECCOMP_MODE_FILTER]);
    assertMatch(systemd.show(UNIT, "StatusText"), /^(exporting to sFlow 127\.0\.0\.1:\d+, Prometheus|0 packets passed)/);

    send("a", ...inOrder(200, frameOut));
    await until(() => `all have arrived: ${systemd.output}`, () => samplesIn(receiver) === 200);
    await until(
      () => `the status is the account: ${systemd.show(UNIT, "StatusText")}${systemd.output}`,
      () => /^200 packets passed .*: 200 sampled; lost 0; sFlow /.test(systemd.show(UNIT, "StatusText")),
    );
    const heard = (): bigint => BigInt(systemd.show(UNIT, "WatchdogTimestampMonotonic"));
    const first = heard();
    await until("the watchdog has heard of it again", () => heard() > first);
    assertEquals([systemd.show(UNIT, "NRestarts"), systemd.mainPid(UNIT)], ["0", pid]);

    // By a program of this scene: the runtimes' own requests may come from a thread that is in another network namespace.
    const get = "exec 3<>/dev/tcp/127.0.0.1/9410; printf 'GET /metrics HTTP/1.0\\r\\nHost: localhost\\r\\n\\r\\n' >&3; cat <&3";
    const metrics = systemd.run("bash", "-c", get).out;
    assertMatch(metrics, /^psample_samples_total\S* 200$/m);
    // Those of the host too, whose files the sandbox does not hide.
    const counters = (): DecodedSample[] => allIn(receiver).filter(({ format }) => format === 2);
    await until("counters have arrived", () => [0, 2].every((type) => counters().some(({ sourceType }) => sourceType === type)));
    const cpu = wordsOf(counters().find(({ sourceType }) => sourceType === 2)!, 2003)!;
    assert(cpu[5]! > 0 && cpu.slice(8).every((word) => word !== 0xffff_ffff), `${cpu}`);
    assert(!/Cannot/.test(systemd.output), systemd.output);

    using other = new UdpReceiver();
    appendFileSync(CONFIG, `sflow ${other.target}\n`);
    const reload = systemd.ctl("reload", UNIT);
    assertEquals(reload.status, 0, reload.out);
    let more = 50;
    await until(() => `the new collector gets samples: ${systemd.output}`, () => {
      send("a", frameOut());
      more++;
      return samplesIn(other) > 0;
    });
    await until("it is active again", () => systemd.show(UNIT, "ActiveState") === "active");
    assertEquals(systemd.mainPid(UNIT), pid);
    send("a", ...inOrder(50, frameOut));
    // What was gathered is sent before it ends.
    assertEquals(systemd.ctl("stop", UNIT).status, 0);
    const all = 200 + more;
    assertEquals(samplesIn(receiver), all);
    assertStringIncludes(
      systemd.output,
      `\npsample: ${all} packets passed (rule hits), 1 in 1: ${all} sampled; lost 0; sFlow ${receiver.target}: `,
    );
    assertMatch(systemd.output, /nothing was left behind\nresult success\n$/);
    assertEquals([systemd.show(UNIT, "Result"), tcDump("a")], ["success", before]);
    assert(statSync(join(STATE, "samples.pcapng")).size > 250 * 100);
  });

  served(`${name} as a service: one that is killed is started again, and what it left behind is removed`, async (systemd, receiver) => {
    bareWire();
    systemd.prepare(UNIT, dropIn("30s"), binary);
    systemd.install(UNIT, TEXT);
    start(systemd);
    process.kill(systemd.mainPid(UNIT), "SIGKILL");
    await until(
      () => `it runs again: ${systemd.output}`,
      () => systemd.show(UNIT, "NRestarts") === "1" && systemd.show(UNIT, "SubState") === "running",
      2 * PATIENCE_MS,
    );
    assertMatch(systemd.output, /\nremoved a egress pref \d+ \(rate 1, group \d+\)\nresult signal\n/);
    assertEquals((await listSampling()).length, 1);
    send("a", frameOut());
    await until("it exports", () => samplesIn(receiver) === 1);
    assertEquals(systemd.ctl("stop", UNIT).status, 0);
    assertEquals(await listSampling(), []);
  });

  served(`${name} as a service: the watchdog ends one that hangs, and starts it again`, async (systemd) => {
    bareWire();
    systemd.prepare(UNIT, dropIn(WATCHDOG), binary);
    systemd.install(UNIT, TEXT);
    start(systemd);
    process.kill(systemd.mainPid(UNIT), "SIGSTOP");
    await until(
      () => `it runs again: ${systemd.output}`,
      () => systemd.show(UNIT, "NRestarts") !== "0" && systemd.show(UNIT, "SubState") === "running",
      2 * PATIENCE_MS,
    );
    assertMatch(systemd.output, /\nresult watchdog\n/);
    assertEquals((await listSampling()).length, 1);
    assertEquals(systemd.ctl("stop", UNIT).status, 0);
  });
}

served("the drop-in collectors.conf lets it reach the collectors that it names, and nobody else", async (systemd, receiver) => {
  bareWire();
  using other = new UdpReceiver("127.0.0.2");
  appendFileSync(CONFIG, `sflow ${other.target}\n`);
  const lines = DROP_IN.replace(/^IPAddressAllow=.*\n/gm, "").split("\n").filter((line) => line.startsWith("IPAddress"));
  systemd.prepare(UNIT, [...dropIn("60s"), ...lines, "IPAddressAllow=127.0.0.2"]);
  systemd.install(UNIT, TEXT);
  start(systemd);
  send("a", ...inOrder(20, frameOut));
  await until(() => `all have arrived: ${systemd.output}`, () => samplesIn(other) === 20);
  assertEquals(systemd.ctl("stop", UNIT).status, 0);
  assertEquals(samplesIn(receiver), 0);
  assertMatch(
    systemd.output,
    /sFlow 127\.0\.0\.1:\d+: 0 datagrams sent, \d+ dropped with 20 samples( and \d+ counter samples?)? \(EPERM\)/,
  );
});

served("a service that cannot start tells why", (systemd) => {
  systemd.prepare(UNIT, [...dropIn("30s"), "Restart=no"]);
  systemd.install(UNIT, TEXT);
  // There is no device a.
  assertEquals(systemd.ctl("start", UNIT).status, 1);
  assertMatch(systemd.show(UNIT, "StatusText"), /^Cannot .*no such device/i);
  assertEquals([systemd.show(UNIT, "Result"), systemd.show(UNIT, "StatusErrno")], ["exit-code", "19"]);
  return Promise.resolve();
});

served("every command of docs/service.md does what it says", async (systemd, receiver) => {
  bareWire();
  systemd.prepare(UNIT, dropIn("30s"));
  const blocks = [...DOCUMENT.matchAll(/^```sh\n([\s\S]*?)^```$/gm)].map(([, block]) => block!);
  assertEquals(blocks.length, 6);
  for (const [i, block] of blocks.entries()) {
    // The command is installed already.
    const commands = `cd "$0"\n${block.replace(/^install .* dist\/psample .*$/m, "")}`;
    const { status, out } = systemd.run("sh", "-ec", commands, ROOT);
    assertEquals(status, 0, `${block}${out}${systemd.output}`);
    if (i === 0) configure(receiver);
    const isOver = i === blocks.length - 1;
    const state = isOver || i === 0 ? "inactive" : "active";
    // Reloading goes on when systemctl has returned.
    await until(() => `it is ${state} after ${block}${systemd.output}`, () => systemd.show(UNIT, "ActiveState") === state);
  }
  assertMatch(systemd.output, /\npsample: 0 packets passed .* sampled; lost 0; sFlow/);
  assertEquals(await listSampling(), []);
});
