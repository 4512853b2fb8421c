/** What a service manager is told, and where. Real sockets in both runtimes. */
import { spawnSync } from "node:child_process";
import { rmSync } from "node:fs";
import process from "node:process";
import { test } from "node:test";
import { assert, assertEquals, assertMatch, assertThrows } from "@std/assert";
import { ServiceManager } from "../../src/control/service_manager.ts";
import { ArgumentError } from "../../src/errors.ts";
import { loadSys } from "../../src/sys/load.ts";
import { FakeSys } from "../fake_sys.ts";
import { inDirectory } from "../support/directory.ts";
import { NotifyReceiver, sysWith } from "../support/notify_receiver.ts";
import { programs } from "../support/programs.ts";
import { until } from "../support/waiting.ts";

const sys = await loadSys();

/** The manager that has this address. */
function managerAt(NOTIFY_SOCKET: string): ServiceManager {
  return ServiceManager.openWith(sysWith({ NOTIFY_SOCKET }))!;
}

test("nobody is told anything unless NOTIFY_SOCKET is set", () => {
  const fake = new FakeSys();
  assertEquals(ServiceManager.openWith(fake), undefined);
  assertEquals(ServiceManager.openWith(sysWith({ NOTIFY_SOCKET: "" })), undefined);
  fake.assertClean();
});

test(
  "every message arrives as sd_notify(3) has it, at a path and at an abstract name",
  inDirectory((path) => {
    for (const name of [path("notify"), `@psample-test-${sys.getpid()}`]) {
      using receiver = new NotifyReceiver(name);
      const manager = managerAt(name);
      manager.extendTimeout(60_000);
      manager.ready();
      manager.status("received 1 sample; lost 0");
      manager.status("received 1 sample; lost 0");
      const before = sys.monotonicUs();
      manager.reloading();
      manager.ready();
      manager.alive();
      manager.failed("two\n lines", 13);
      manager.stopping();
      manager.close();
      manager.close();
      const messages = [...receiver.receive()];
      const [, us] = /^RELOADING=1\nMONOTONIC_USEC=(\d+)$/.exec(messages[3]!)!;
      assert(BigInt(us!) >= before && BigInt(us!) <= sys.monotonicUs());
      messages.splice(3, 1);
      assertEquals(messages, [
        "EXTEND_TIMEOUT_USEC=60000000",
        "READY=1",
        "STATUS=received 1 sample; lost 0",
        "READY=1",
        "WATCHDOG=1",
        "STATUS=two lines",
        "ERRNO=13",
        "STOPPING=1",
      ]);
    }
  }),
);

test("systemd-notify, another implementation, reaches the receiver of these tests alike", programs("systemd-notify"), () => {
  const name = `@psample-test-tool-${sys.getpid()}`;
  using receiver = new NotifyReceiver(name);
  // Without --no-block it waits for an answer that only a service manager gives.
  const { status } = spawnSync("systemd-notify", ["--no-block", "--ready", "--status=up"], {
    env: { ...process.env, NOTIFY_SOCKET: name },
  });
  assertEquals([status, receiver.receive()], [0, ["READY=1\nSTATUS=up"]]);
});

test(
  "what finds no room is sent when there is some, in order, and only the last of each kind",
  inDirectory(async (path) => {
    using receiver = new NotifyReceiver(path("notify"));
    const manager = managerAt(path("notify"));
    // The kernel queues net.unix.max_dgram_qlen messages: 10 unless set.
    for (let i = 0; i < 5000; i++) manager.status(`status ${i}`);
    manager.ready();
    manager.status("last");
    manager.stopping();
    const { length } = receiver.receive();
    assert(length < 5000, `${length} messages found room`);
    await until("the rest is there", () => receiver.receive().at(-1) === "STOPPING=1");
    assertEquals(receiver.messages.slice(length), ["READY=1", "STATUS=last", "STOPPING=1"]);
    manager.close();
  }),
);

test(
  "a service manager that went away is reported once, and one that comes back at the same address is told again",
  inDirectory((path) => {
    const manager = managerAt(path("notify"));
    const problems: string[] = [];
    manager.onProblem = ({ message }) => void problems.push(message);
    manager.ready();
    manager.alive();
    assertEquals(problems.length, 1);
    assertMatch(
      problems[0]!,
      /^Cannot send a message to the service manager: no such file or directory \(ENOENT\)\. The environment variable NOTIFY_SOCKET/,
    );
    for (const round of [1, 2]) {
      using receiver = new NotifyReceiver(path("notify"));
      manager.status(`round ${round}`);
      assertEquals(receiver.receive(), [`STATUS=round ${round}`]);
      rmSync(path("notify"));
    }
    manager.close();
  }),
);

test("addresses that mean nothing are refused", () => {
  for (const name of ["notify", "vsock:2:1234", `/${"x".repeat(107)}`, `@${"x".repeat(108)}`]) {
    assertMatch(assertThrows(() => managerAt(name), ArgumentError).message, /^Cannot send to the service manager: NOTIFY_SOCKET/);
  }
  // As long as possible.
  for (const name of [`/${"x".repeat(106)}`, `@${"x".repeat(107)}`]) managerAt(name).close();
});

test("the watchdog's time is for the process that it was set for", () => {
  const watchdog = (variables: Parameters<typeof sysWith>[0]): number | undefined => {
    const manager = ServiceManager.openWith(sysWith({ NOTIFY_SOCKET: "@psample-test-nobody", ...variables }))!;
    manager.close();
    return manager.watchdogMs;
  };
  assertEquals(watchdog({}), undefined);
  assertEquals(watchdog({ WATCHDOG_USEC: "30000000" }), 30_000);
  assertEquals(watchdog({ WATCHDOG_USEC: "30000000", WATCHDOG_PID: `${sys.getpid()}` }), 30_000);
  assertEquals(watchdog({ WATCHDOG_USEC: "30000000", WATCHDOG_PID: "1" }), undefined);
  for (const WATCHDOG_USEC of ["0", "", "soon"]) assertEquals(watchdog({ WATCHDOG_USEC }), undefined);
});
