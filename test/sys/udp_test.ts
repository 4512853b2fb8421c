/** UDP through the real backend, over the loopback device. No test here takes a privilege. */
import { spawnSync } from "node:child_process";
import process from "node:process";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { assert, assertEquals, assertMatch, assertRejects } from "@std/assert";
import { LookupError } from "../../src/errors.ts";
import { UdpTarget, type UdpTargetOptions } from "../../src/socket/udp_target.ts";
import { hostAddresses } from "../../src/sys/host_addresses.ts";
import { loadSys } from "../../src/sys/load.ts";
import { AF_INET, EBADF, ECONNREFUSED, ENODEV, SOCK_CLOEXEC, SOCK_DGRAM } from "../../src/sys/sys.ts";
import { memory } from "../../src/wire/native.ts";
import { settledFds } from "../support/fds.ts";
import { until } from "../support/waiting.ts";
import { UdpReceiver } from "../support/udp_receiver.ts";

const sys = await loadSys();

async function open(target: string, options: Partial<UdpTargetOptions> = {}): Promise<UdpTarget> {
  return await UdpTarget.open(sys, target, { defaultPort: 9, blockBytes: 1 << 16, most: 32, ...options });
}

/** Sends a datagram for each size, filled with `value`. */
function send(target: UdpTarget, value: number, ...sizes: number[]): void {
  let end = 0;
  const ends = Uint32Array.from(sizes, (size) => {
    target.block.fill(value, end, end + size);
    return end += size;
  });
  target.send(ends, sizes.length, () => {});
}

test("calls for UDP that fail return the negative error number", () => {
  assertEquals(sys.connect(-1, memory(16)), -EBADF);
  assertEquals(sys.sendmmsg(-1, sys.addressOf(memory(64)), 1, 0), -EBADF);
  assertEquals(sys.interfaceIndex(-1, "lo"), -EBADF);
});

test("interfaceIndex knows the interfaces by their names", () => {
  const fd = sys.socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  assert(sys.interfaceIndex(fd, "lo") > 0);
  for (const name of ["", "nothing", "a name that is too long"]) assertEquals(sys.interfaceIndex(fd, name), -ENODEV);
  sys.close(fd);
});

/** Whether a socket can be bound to `::1`: IPv6 may not be in the kernel, or be disabled. */
function hasIpv6(): boolean {
  try {
    new UdpReceiver("::1")[Symbol.dispose]();
    return true;
  } catch {
    return false;
  }
}

for (const address of ["127.0.0.1", "::1"]) {
  test(`datagrams arrive at ${address} as they were sent`, {
    skip: address === "::1" && !hasIpv6() && "the kernel has no IPv6 on its loopback device",
  }, async () => {
    const receiver = new UdpReceiver(address);
    const fds = await settledFds();
    const target = await open(receiver.target);
    try {
      const sizes = Array.from({ length: 32 }, (_, i) => 40 * i + 1);
      send(target, 7, ...sizes);
      send(target, 8, 1400);
      const datagrams = await receiver.until(33);
      assertEquals(datagrams.map(({ length }) => length), [...sizes, 1400]);
      assert(datagrams.slice(0, 32).every((datagram) => datagram.every((byte) => byte === 7)));
      assertEquals([target.counts.sent, target.counts.dropped, target.counts.returned], [33, 0, 0]);
    } finally {
      target.close();
      receiver[Symbol.dispose]();
    }
    // That of the receiver is closed too.
    assertEquals(await settledFds(), fds.filter((fd, i) => fd !== "socket:[N]" || i !== fds.indexOf("socket:[N]")));
  });
}

test("a port at which nobody listens is told, and one that listens again is served from the same port", async () => {
  const receiver = new UdpReceiver();
  const problems: string[] = [];
  let recovered = 0;
  const options = { onProblem: (error: Error) => void problems.push(error.message), onRecovery: () => void recovered++ };
  const target = await open(receiver.target, options);
  const { port } = receiver;
  receiver[Symbol.dispose]();
  for (let i = 0; i < 3; i++) send(target, i, 100, 100);
  assert(target.counts.returned > 0);
  assertEquals([target.counts.returnedBy, target.counts.dropped, problems.length], [ECONNREFUSED, 0, 1]);
  assertMatch(problems[0]!, /connection refused \(ECONNREFUSED\)\. The host is there, but nothing listens on that port$/);
  using again = new UdpReceiver("127.0.0.1", port);
  const local = target.localPort;
  await target.renew();
  for (let i = 0; i < 4; i++) send(target, 9, 10);
  assertEquals((await again.until(4)).map((datagram) => [...datagram]), Array(4).fill(Array(10).fill(9)));
  await until("all is well", () => {
    send(target, 9, 10);
    return recovered > 0;
  });
  assertEquals([recovered, target.localPort], [1, local]);
  target.close();
});

test("hostAddresses finds this machine, and says of what there is not that it is not there", async () => {
  const addresses = await hostAddresses("localhost");
  assert(addresses.some((address) => address === "127.0.0.1" || address === "::1"), addresses.join());
  const error = await assertRejects(
    () => hostAddresses("no-such-host.invalid"),
    LookupError,
    "Cannot look up the host name no-such-host.invalid",
  );
  assertMatch(error.code, /^(ENOTFOUND|EAI_AGAIN)$/);
  using receiver = new UdpReceiver();
  const target = await open(`localhost:${receiver.port}`, {
    lookup: (name) => hostAddresses(name).then((all) => all.filter((one) => one.includes("."))),
  });
  send(target, 1, 5);
  assertEquals((await receiver.until(1)).map(({ length }) => length), [5]);
  target.close();
});

test("addresses need no permission of Deno but that for libc; names are refused with the cure", {
  skip: process.versions["bun"] !== undefined && "Bun has no permissions",
}, async () => {
  const program = fileURLToPath(new URL("udp_program.ts", import.meta.url));
  using receiver = new UdpReceiver();
  const run = (target: string): { status: number | null; stdout: string; stderr: string } =>
    spawnSync(process.execPath, ["run", "--no-check", "--no-prompt", "--allow-ffi", program, target], { encoding: "utf8" });
  assertEquals(run(receiver.target).stdout, "1 sent\n");
  assertEquals((await receiver.until(1)).map((datagram) => [...datagram]), [[1, 2, 3]]);
  const refused = run(`localhost:${receiver.port}`);
  assertMatch(
    refused.stderr,
    /Cannot look up the host name localhost: EPERM\. On Deno that requires net access: run again with the --allow-net flag/,
  );
  assertEquals(refused.status, 1);
});
