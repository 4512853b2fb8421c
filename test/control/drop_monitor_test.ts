import { test } from "node:test";
import { assert, assertEquals, assertMatch, assertRejects } from "@std/assert";
import { checkDropMonitor, DropMonitor, type DropMonitorOptions, stopLeftMonitor } from "../../src/control/drop_monitor.ts";
import { NetlinkError } from "../../src/errors.ts";
import { NetlinkSocket } from "../../src/socket/netlink_socket.ts";
import { NETLINK_GENERIC } from "../../src/sys/sys.ts";
import type { FakeSys } from "../fake_sys.ts";
import { CONFIG, DropKernel, EVENTS, type Report, START, STOP } from "./drop_kernel.ts";
import { until } from "../support/waiting.ts";

const PACKET: Report = { ifindex: 3, symbol: "ip_rcv+0x1/0x2", reason: "NO_SOCKET", protocol: 0x800, data: new Uint8Array([1, 2, 3]) };

/** What a monitor has reported, and what it had to say. */
class Heard implements DropMonitorOptions {
  readonly truncateBytes = 64;
  readonly packets: { ifindex: number | undefined; reason: string | undefined; unreported: number }[] = [];
  readonly problems: string[] = [];
  restarts = 0;
  constructor(readonly perSecond = 100) {}
  readonly onDrop: DropMonitorOptions["onDrop"] = ({ inIfindex, reason }, unreported) =>
    void this.packets.push({ ifindex: inIfindex, reason, unreported });
  readonly onProblem = (error: Error): void => void this.problems.push(error.message);
  readonly onRestart = (): void => void this.restarts++;
}

function member(sys: FakeSys): NetlinkSocket {
  const socket = new NetlinkSocket(sys, NETLINK_GENERIC);
  socket.join(EVENTS, "events");
  return socket;
}

for (const readsFirst of [false, true]) {
  test(`it is configured, started, and put back as it was${readsFirst ? "; the runtime reads first" : ""}`, async () => {
    const kernel = new DropKernel({ readsFirst });
    const heard = new Heard();
    kernel.config = { alertMode: 0, truncateBytes: 100, queueLength: 5 };
    const monitor = await DropMonitor.start(kernel.sys, heard);
    assertEquals([kernel.config, kernel.software, kernel.hardware], [
      { alertMode: 1, truncateBytes: 64, queueLength: 1009 },
      true,
      true,
    ]);
    kernel.report(PACKET, { trap: ["l3_drops", "blackhole_route"], protocol: 0x800, data: new Uint8Array(4) });
    await until("both are reported", () => heard.packets.length === 2);
    assertEquals(heard.packets, [{ ifindex: 3, reason: "NO_SOCKET", unreported: 0 }, {
      ifindex: undefined,
      reason: undefined,
      unreported: 0,
    }]);
    await Promise.all([monitor.stop(), monitor.stop()]);
    assertEquals([kernel.config, kernel.software, kernel.hardware], [{ alertMode: 0, truncateBytes: 100, queueLength: 5 }, false, false]);
    assertEquals(kernel.commands, [CONFIG, START, STOP, CONFIG]);
    assertEquals(monitor.stats(), { reported: 2, beyondLimit: 0, lost: 0, notPackets: 0, malformed: 0 });
    assertEquals(heard.problems, []);
    kernel.sys.assertClean();
  });
}

test("what waits when it is stopped is reported", async () => {
  const kernel = new DropKernel();
  const heard = new Heard();
  const monitor = await DropMonitor.start(kernel.sys, heard);
  kernel.report(...Array<Report>(30).fill(PACKET));
  await monitor.stop();
  assertEquals(heard.packets.length, 30);
  kernel.sys.assertClean();
});

test("in a storm the limit is kept, everything else is counted, and it rests between its reads", async () => {
  const kernel = new DropKernel();
  const heard = new Heard(10);
  const beganMs = performance.now();
  const monitor = await DropMonitor.start(kernel.sys, heard);
  const socket = kernel.sys.listener;
  socket.room = 2000;
  kernel.report({ ...PACKET, protocol: 0 }, ...Array<Report>(2500).fill(PACKET));
  await until("it has read something", () => socket.queue.length < 2000);
  // One read takes 128 at most.
  assert(socket.queue.length >= 2000 - 128, `${2000 - socket.queue.length} read at once`);
  await until("it has read everything", () => socket.queue.length === 0);
  const { reported, beyondLimit, lost, notPackets } = monitor.stats();
  assertEquals([reported + beyondLimit, lost, notPackets], [1999, 501, 1]);
  // It may take more than a second on a busy machine.
  const seconds = 1 + Math.floor((performance.now() - beganMs) / 1000);
  assert(reported >= 10 && reported <= 10 * seconds, `${reported} reported in ${seconds} s`);
  assertEquals([heard.packets[0]!.unreported, heard.packets.length], [501, reported]);
  await monitor.stop();
  kernel.sys.assertClean();
});

test("what the kernel's own queue had no room for counts from the start on", async () => {
  const kernel = new DropKernel();
  const heard = new Heard();
  const monitor = await DropMonitor.start(kernel.sys, heard);
  assertEquals(monitor.stats().lost, 0);
  kernel.losses = [17n, 5n];
  await until("it is counted", () => monitor.stats().lost === 13);
  kernel.losses = [18n, 5n];
  await monitor.stop();
  assertEquals(monitor.stats().lost, 14);
  kernel.sys.assertClean();
});

test("messages that nobody understands are counted, and end nothing", async () => {
  const kernel = new DropKernel();
  const heard = new Heard();
  const monitor = await DropMonitor.start(kernel.sys, heard);
  kernel.sys.multicast(EVENTS, new Uint8Array(7));
  kernel.report(PACKET);
  await until("the next one is reported", () => heard.packets.length === 1);
  await monitor.stop();
  assertEquals(monitor.stats().malformed, 1);
  kernel.sys.assertClean();
});

test("another program's monitor is left alone", async () => {
  const kernel = new DropKernel();
  kernel.software = true;
  using _other = disposable(member(kernel.sys));
  const error = await assertRejects(() => DropMonitor.start(kernel.sys, new Heard()), NetlinkError);
  assertMatch(
    error.message,
    /^Cannot monitor discarded packets: .*\(EBUSY\)\. Another program monitors them already, such as dropwatch or hsflowd, .*: end that program$/,
  );
  assertEquals([kernel.commands, kernel.software], [[], true]);
});

test("one that a killed program left behind is taken over: nobody listens to it", async () => {
  const kernel = new DropKernel();
  kernel.software = kernel.hardware = true;
  kernel.config = { alertMode: 1, truncateBytes: 128, queueLength: 7 };
  const heard = new Heard();
  const monitor = await DropMonitor.start(kernel.sys, heard);
  kernel.report(PACKET);
  await until("it reports", () => heard.packets.length === 1);
  await monitor.stop();
  assertEquals([kernel.commands, kernel.software, kernel.hardware], [[STOP, CONFIG, START, STOP, CONFIG], false, false]);
  // What had been before is not known: the kernel's defaults.
  assertEquals(kernel.config, { alertMode: 0, truncateBytes: 0, queueLength: 1000 });
  kernel.sys.assertClean();
});

test("where nobody can tell whether somebody listens, it is another program's", async () => {
  const kernel = new DropKernel({ noSocketDiag: true });
  kernel.software = true;
  await assertRejects(() => DropMonitor.start(kernel.sys, new Heard()), NetlinkError, "EBUSY");
  assertEquals(kernel.commands, []);
  kernel.sys.assertClean();
});

test("when somebody stops it, it is started again", async () => {
  const kernel = new DropKernel();
  const heard = new Heard();
  const monitor = await DropMonitor.start(kernel.sys, heard);
  kernel.software = kernel.hardware = false;
  await until("it is started again", () => heard.restarts === 1);
  kernel.report(PACKET);
  await until("it reports", () => heard.packets.length === 1);
  await monitor.stop();
  assertEquals([kernel.software, kernel.config.alertMode, heard.problems], [false, 0, []]);
  kernel.sys.assertClean();
});

test("when somebody else takes it over, that is told once, and it is theirs to stop", async () => {
  const kernel = new DropKernel();
  const heard = new Heard();
  const monitor = await DropMonitor.start(kernel.sys, heard);
  const theirs = kernel.config = { alertMode: 1, truncateBytes: 0, queueLength: 1000 };
  await until("it is told", () => heard.problems.length > 0);
  await monitor.stop();
  assertEquals([kernel.software, kernel.config, kernel.commands], [true, theirs, [CONFIG, START]]);
  assertMatch(heard.problems.join(), /^Cannot monitor discarded packets: .*\(EBUSY\)\. Another program[^,]*, such[^,]*, [^,]*$/);
  kernel.sys.assertClean();
});

test("a kernel without devlink reports what it discards itself", async () => {
  const kernel = new DropKernel();
  kernel.hasDevlink = false;
  const monitor = await DropMonitor.start(kernel.sys, new Heard());
  assertEquals([kernel.software, kernel.hardware], [true, false]);
  await monitor.stop();
  assertEquals([kernel.software, kernel.hardware], [false, false]);
  kernel.sys.assertClean();
});

test("without the module, or the privilege, the cure is told, and nothing stays open", async () => {
  const without = new DropKernel();
  without.sys.family = undefined;
  for (const attempt of [() => DropMonitor.start(without.sys, new Heard()), () => checkDropMonitor(without.sys)]) {
    const missing = await assertRejects(attempt, NetlinkError);
    assertMatch(
      missing.message,
      /\(ENOENT\)\. Load the kernel module: modprobe drop_monitor\. It answers in the initial network namespace/,
    );
  }
  without.sys.assertClean();
  const unprivileged = new DropKernel({ unprivileged: true });
  const refused = await assertRejects(() => DropMonitor.start(unprivileged.sys, new Heard()), NetlinkError);
  assertMatch(refused.message, /\(EPERM\)\. Requires CAP_NET_ADMIN, and CAP_SYS_ADMIN since Linux 6\.7 .*: run as root$/);
  await checkDropMonitor(unprivileged.sys);
  unprivileged.sys.assertClean();
});

test("a bug in the consumer of packets is thrown when it is stopped, and leaves nothing behind", async () => {
  const kernel = new DropKernel();
  const bug = new TypeError("no such thing");
  const onDrop = (): void => {
    throw bug;
  };
  const monitor = await DropMonitor.start(kernel.sys, { truncateBytes: 1, perSecond: 1, onDrop });
  kernel.report(PACKET);
  await until("it was thrown", () => monitor.stats().reported === 1);
  assertEquals(await monitor.stop().catch((error) => error), bug);
  assertEquals(kernel.software, false);
  kernel.sys.assertClean();
});

test("it is put back also if the kernel does not tell the last numbers", async () => {
  const kernel = new DropKernel();
  const monitor = await DropMonitor.start(kernel.sys, new Heard());
  kernel.lossesErrno = 12;
  await assertRejects(() => monitor.stop(), NetlinkError, "ENOMEM");
  assertEquals([kernel.software, kernel.hardware, kernel.config.queueLength], [false, false, 1000]);
  kernel.sys.assertClean();
});

test("what a killed process left running is stopped later, and nothing else is", async () => {
  const ours = { alertMode: 1, truncateBytes: 128, queueLength: 1009 };
  const defaults = { alertMode: 0, truncateBytes: 0, queueLength: 1000 };
  const left = (config = ours, options = {}): DropKernel =>
    Object.assign(new DropKernel(options), { config, software: true, hardware: true });
  const kernel = left();
  assertEquals([await stopLeftMonitor(kernel.sys, { dryRun: true }), kernel.software, kernel.commands], [true, true, []]);
  assertEquals([await stopLeftMonitor(kernel.sys), kernel.software, kernel.hardware, kernel.config], [true, false, false, defaults]);
  assertEquals([await stopLeftMonitor(kernel.sys), kernel.commands], [false, [STOP, CONFIG]]);
  kernel.sys.assertClean();
  // It is another program's, somebody listens, nobody knows whether anybody does, it does not run, there is none.
  const others = [
    left({ ...ours, queueLength: 1000 }),
    left({ ...ours, alertMode: 0 }),
    left(),
    left(ours, { noSocketDiag: true }),
    left(),
    left(),
  ];
  using _listener = disposable(member(others[2]!.sys));
  Object.assign(others[4]!, { software: false, hardware: false });
  others[5]!.sys.family = undefined;
  for (const { sys, commands } of others) assertEquals([await stopLeftMonitor(sys), commands], [false, []]);
  const unprivileged = left(ours, { unprivileged: true });
  assertEquals(await stopLeftMonitor(unprivileged.sys, { dryRun: true }), true);
  await assertRejects(() => stopLeftMonitor(unprivileged.sys), NetlinkError, "EPERM");
  unprivileged.sys.assertClean();
});

function disposable(socket: NetlinkSocket): Disposable {
  return { [Symbol.dispose]: () => socket.close() };
}
