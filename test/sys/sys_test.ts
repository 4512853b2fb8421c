/** The real backend of this runtime. No test here requires a privilege. */
import { spawn } from "node:child_process";
import { readFileSync, readlinkSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { test } from "node:test";
import process from "node:process";
import { assert, assertEquals, assertNotEquals, assertRejects } from "@std/assert";
import { NetlinkError } from "../../src/errors.ts";
import { findFamily } from "../../src/socket/family.ts";
import { NetlinkSocket } from "../../src/socket/netlink_socket.ts";
import { Requests } from "../../src/socket/requests.ts";
import { Receiver } from "../../src/socket/receiver.ts";
import { loadSys } from "../../src/sys/load.ts";
import {
  AF_NETLINK,
  CLONE_NEWNET,
  EBADF,
  EINVAL,
  EPERM,
  EPROTONOSUPPORT,
  NETLINK_GENERIC,
  NETLINK_ROUTE,
  NETLINK_USERSOCK,
  SO_MEMINFO,
  SO_RCVBUF,
  SOCK_CLOEXEC,
  SOCK_NONBLOCK,
  SOCK_RAW,
  SOL_SOCKET,
  type Watch,
} from "../../src/sys/sys.ts";
import { encodeMessage, NLM_F_DUMP, NLM_F_REQUEST } from "../../src/wire/message.ts";
import { LITTLE, memory, viewOf } from "../../src/wire/native.ts";
import { settle } from "../fake_sys.ts";
import { openFds, settledFds } from "../support/fds.ts";
import { soon } from "../support/waiting.ts";

const ENOPROTOOPT = 92;
const TYPE = SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC;

const sys = await loadSys();

/** New memory, as the seam takes it. */
function bytes(size: number, value = 0): Uint8Array<ArrayBuffer> {
  return memory(size).fill(value);
}

test("loadSys opens the backend of this runtime, once", async () => {
  assertEquals(sys.runtime, process.versions["bun"] ? "bun" : "deno");
  assertEquals(await loadSys(), sys);
});

test("a call that fails returns the negative error number", () => {
  assertEquals(sys.close(-1), -EBADF);
  assertEquals(sys.socket(AF_NETLINK, TYPE, 99), -EPROTONOSUPPORT);
  assertEquals(sys.bind(-1, bytes(12)), -EBADF);
  assertEquals(sys.getsockname(-1, bytes(12)), -EBADF);
  assertEquals(sys.setsockopt(-1, SOL_SOCKET, SO_RCVBUF, bytes(4)), -EBADF);
  assertEquals(sys.getsockopt(-1, SOL_SOCKET, SO_RCVBUF, bytes(4)), -EBADF);
  assertEquals(sys.sendto(-1, bytes(16), 0, bytes(12)), -EBADF);
  assertEquals(sys.recvmmsg(-1, sys.addressOf(bytes(64)), 1, 0), -EBADF);
  assertEquals(sys.write(-1, bytes(1)), -EBADF);
  assertEquals(sys.readlink(new TextEncoder().encode("/nothing/here\0"), bytes(64)), -2);
  assertEquals(sys.seekable(-1), false);
});

test("errno is right for 100,000 failing calls with garbage between them", () => {
  const address = bytes(12);
  const wrong: string[] = [];
  let garbage: unknown[] = [];
  for (let i = 0; i < 25_000; i++) {
    const results = [sys.close(-1), sys.socket(AF_NETLINK, TYPE, 99), sys.getsockname(0x7fffffff, address), sys.socket(-1, TYPE, 0)];
    garbage.push({ i, text: `${i}`, array: new Uint8Array(i % 512) });
    if (garbage.length > 2000) garbage = [];
    if (results.join() !== "-9,-93,-9,-97") wrong.push(results.join());
  }
  assertEquals(wrong, []);
});

test("a socket has its own port, and returns its options in their actual size", () => {
  const one = new NetlinkSocket(sys, NETLINK_USERSOCK);
  const two = new NetlinkSocket(sys, NETLINK_USERSOCK);
  assert(one.portId !== 0 && two.portId !== 0);
  assertNotEquals(one.portId, two.portId);
  const address = bytes(12);
  assertEquals(sys.getsockname(one.fd, address), 0);
  assertEquals([viewOf(address).getUint16(0, LITTLE), viewOf(address).getUint32(4, LITTLE)], [AF_NETLINK, one.portId]);
  assertEquals(sys.getsockopt(one.fd, SOL_SOCKET, SO_RCVBUF, bytes(4)), 4);
  assertEquals(sys.getsockopt(one.fd, SOL_SOCKET, SO_RCVBUF, bytes(64)), 4);
  assertEquals(sys.getsockopt(one.fd, SOL_SOCKET, SO_MEMINFO, bytes(36)), 36);
  assertEquals(sys.getsockopt(one.fd, SOL_SOCKET, SO_MEMINFO, bytes(20)), 20);
  assertEquals(sys.getsockopt(one.fd, SOL_SOCKET, 9999, bytes(4)), -ENOPROTOOPT);
  assertEquals(sys.setsockopt(one.fd, SOL_SOCKET, 9999, bytes(4)), -ENOPROTOOPT);
  assertEquals(one.drops(), 0);
  one.close();
  two.close();
});

test("a receive buffer is granted, and reported in the requested unit", () => {
  const socket = new NetlinkSocket(sys, NETLINK_USERSOCK);
  assertEquals(socket.setReceiveBuffer(65536), 65536);
  assert(socket.setReceiveBuffer(1) > 0);
  socket.close();
});

test("addressOf returns the address of memory, offsets included", () => {
  const buffer = new ArrayBuffer(4096);
  const start = sys.addressOf(new Uint8Array(buffer));
  assert(start > 4096n);
  assertEquals(sys.addressOf(new Uint8Array(buffer, 100, 8)), start + 100n);
  assertEquals(sys.addressOf(new Uint8Array(buffer)), start);
});

test("geteuid and readlink agree with the runtime", () => {
  assertEquals(sys.geteuid(), process.geteuid!());
  const into = bytes(4096);
  const size = sys.readlink(new TextEncoder().encode("/proc/self/exe\0"), into);
  assert(size > 0);
  assert(new TextDecoder().decode(into.subarray(0, size)).startsWith("/"));
});

test("the process has its number, and the monotonic clock is that of the kernel", () => {
  assertEquals(sys.getpid(), process.pid);
  // The boot was at most as long ago as the kernel says, which includes suspension.
  const [uptimeS] = readFileSync("/proc/uptime", "utf8").split(" ");
  const before = sys.monotonicUs();
  assert(before > 0n && Number(before) / 1e6 <= Number(uptimeS) + 1);
  assert(sys.monotonicUs() >= before);
});

test("the controller describes itself, and does not know missing families", async () => {
  const requests = new Requests(sys, NETLINK_GENERIC);
  const family = await findFamily(requests, "nlctrl");
  assertEquals([family!.id, family!.name, family!.groups.get("notify")], [0x10, "nlctrl", 0x10]);
  assertEquals(await findFamily(requests, "no such family"), undefined);
  // Both again at the same time: the answers do not mix.
  const [yes, no] = await Promise.all([findFamily(requests, "nlctrl"), findFamily(requests, "nothing")]);
  assertEquals([yes!.id, no], [0x10, undefined]);
  requests.close();
});

test("a dump of the kernel arrives whole", async () => {
  const requests = new Requests(sys, NETLINK_ROUTE);
  // RTM_GETLINK with struct ifinfomsg: every network namespace has a loopback device.
  const links = await requests.request(encodeMessage({ type: 18, flags: NLM_F_REQUEST | NLM_F_DUMP }, bytes(16)), "list links");
  assert(links.length > 0 && links.every((link) => link.type === 16 && link.payload.length > 16));
  requests.close();
});

test("a refusal of the kernel is an error with its number", async () => {
  const requests = new Requests(sys, NETLINK_ROUTE);
  // RTM_GETLINK for a device that does not exist.
  const header = bytes(16);
  viewOf(header).setInt32(4, 0x7ffffff0, LITTLE);
  const error = await assertRejects(
    () => requests.request(encodeMessage({ type: 18, flags: NLM_F_REQUEST }, header), "look up a device"),
    NetlinkError,
  );
  assertEquals([error.code, error.op], ["ENODEV", "look up a device"]);
  requests.close();
});

test("recvmmsg fills a batch: bytes, sizes, senders, and the rest of a large one", () => {
  const from = new NetlinkSocket(sys, NETLINK_USERSOCK);
  const to = new NetlinkSocket(sys, NETLINK_USERSOCK);
  to.setReceiveBuffer(1 << 20);
  const batch = to.batch(8, { senders: true });
  const sizes = [1, 255, 256, 257, 2048, 2049, 69631, 69632];
  for (let round = 0; round < 20; round++) {
    assertEquals(to.receive(batch), 0);
    sizes.forEach((size, i) => assert(from.send(bytes(size, i + 1), "send", to.portId)));
    assertEquals(to.receive(batch), 8);
    const datagrams = new Uint8Array(batch.own(8).buffer);
    sizes.forEach((size, i) => {
      const datagram = datagrams.subarray(batch.start(i), batch.start(i) + batch.length(i));
      assertEquals([datagram.length, batch.portId(i), batch.truncated(i), batch.nsid(i)], [size, from.portId, false, undefined]);
      assert(datagram.every((byte) => byte === i + 1), `datagram ${i} of round ${round}`);
    });
    sizes.push(sizes.shift()!);
  }
  // More than a slot and what is kept for the rest of a large one.
  assert(from.send(bytes(180_000, 9), "send", to.portId));
  assertEquals([to.receive(batch), batch.truncated(0)], [1, true]);
  from.close();
  to.close();
});

test("a full receive buffer refuses the sender, which may try again", () => {
  const from = new NetlinkSocket(sys, NETLINK_USERSOCK);
  const to = new NetlinkSocket(sys, NETLINK_USERSOCK);
  to.setReceiveBuffer(8192);
  let sent = 0;
  while (from.send(bytes(1000), "send", to.portId)) assert(++sent < 1000);
  assert(sent > 0);
  assertEquals(to.receive(to.batch(64)), sent);
  assertEquals(from.send(bytes(1000), "send", to.portId), true);
  to.close();
  try {
    from.send(bytes(1000), "send", to.portId);
    throw new Error("sent to nobody");
  } catch (error) {
    assertEquals((error as NetlinkError).code, "ECONNREFUSED");
  }
  from.close();
});

test("watch calls once for each wait, when something is readable", async () => {
  const from = new NetlinkSocket(sys, NETLINK_USERSOCK);
  const to = new NetlinkSocket(sys, NETLINK_USERSOCK);
  const batch = to.batch(8);
  let calls = 0;
  let called = (): void => {};
  const read: number[] = [];
  const watch = await sys.watch(to.fd, (first) => {
    calls++;
    if (first) read.push(first[0]!);
    called();
  });
  const drain = (): void => {
    const count = to.receive(batch);
    const datagrams = new Uint8Array(batch.own(count).buffer);
    for (let i = 0; i < count; i++) read.push(datagrams[batch.start(i)]!);
  };
  from.send(bytes(20, 1), "send", to.portId);
  await settle();
  assertEquals(calls, 0);
  for (let round = 1; round <= 20; round++) {
    const arrived = new Promise<void>((resolve) => called = resolve);
    watch.wait();
    // The first is queued already; the others arrive while it waits.
    if (round > 1) setTimeout(() => from.send(bytes(20, round), "send", to.portId), round % 3);
    await soon(arrived, "a wake-up");
    drain();
    assertEquals(calls, round);
  }
  assertEquals(read, Array.from({ length: 20 }, (_, i) => i + 1));
  await watch.close();
  from.close();
});

test("closing a watch that waits is done at once, and closes the descriptor", async () => {
  const to = new NetlinkSocket(sys, NETLINK_USERSOCK);
  let calls = 0;
  const watch = await sys.watch(to.fd, () => calls++);
  watch.wait();
  await settle();
  // Nothing arrives: without being woken by close it would wait for ever.
  await soon(Promise.all([watch.close(), watch.close()]), "closing");
  assertEquals(calls, 0);
  assertEquals(sys.getsockname(to.fd, bytes(12)), -EBADF);
  watch.wait();
  await watch.close();
});

test("a watch of something other than a socket fails or calls, but does not hang", async () => {
  await soon(
    (async () => {
      let watch: Watch | undefined;
      try {
        const ready = await new Promise<boolean>((resolve, reject) => {
          sys.watch(0x7ffffff0, () => resolve(true)).then((made) => (watch = made).wait(), reject);
        });
        assertEquals(ready, true);
      } catch (error) {
        assertEquals((error as NetlinkError).code, "EBADF");
      }
      await watch?.close();
    })(),
    "the watch",
  );
});

test("many watches wait at the same time and leave the runtime's threads to others", async () => {
  const before = await settledFds();
  const from = new NetlinkSocket(sys, NETLINK_USERSOCK);
  const called: number[] = [];
  let arrived = (): void => {};
  const made = await Promise.all(Array.from({ length: 100 }, async (_, i) => {
    const socket = new NetlinkSocket(sys, NETLINK_USERSOCK);
    const watch = await sys.watch(socket.fd, () => {
      called.push(i);
      arrived();
    });
    watch.wait();
    return { socket, watch };
  }));
  await settle();
  // Reading a file takes a thread of the runtime's pool: all would be taken if each watch had one.
  await soon(readFile(new URL(import.meta.url)), "reading a file");
  for (const i of [77, 3, 99]) {
    const next = new Promise<void>((resolve) => arrived = resolve);
    from.send(bytes(20, i), "send", made[i]!.socket.portId);
    await soon(next, "a wake-up");
  }
  assertEquals(called, [77, 3, 99]);
  await soon(Promise.all(made.map(({ watch }) => watch.close())), "closing");
  from.close();
  assertEquals(called, [77, 3, 99]);
  assertEquals(openFds(), before);
});

test("as many descriptors are open after 1000 sockets as before", async () => {
  await (await Receiver.open(sys, NETLINK_USERSOCK, { receiveBufferBytes: 4096 })).close();
  const before = await settledFds();
  for (let i = 0; i < 1000; i++) new NetlinkSocket(sys, NETLINK_USERSOCK).close();
  for (let i = 0; i < 200; i++) {
    const receiver = await Receiver.open(sys, NETLINK_USERSOCK, { receiveBufferBytes: 4096 });
    const sink = { datagram: (): void => {}, truncated: (): void => {} };
    const waiting = i % 2 ? receiver.read(sink) : undefined;
    if (i % 4 === 3) await new Promise((resolve) => setImmediate(resolve));
    await receiver.close();
    if (waiting) assertEquals(await soon(waiting, "the end of a read"), false);
  }
  assertEquals(openFds(), before);
});

test("a socket that cannot be opened or bound leaves nothing open", () => {
  const before = openFds();
  for (let i = 0; i < 100; i++) {
    try {
      new NetlinkSocket(sys, 99);
      throw new Error("opened a protocol that there is not");
    } catch (error) {
      assertEquals((error as NetlinkError).errno, EPROTONOSUPPORT);
    }
  }
  assertEquals(openFds(), before);
});

test("received bytes stay unchanged, however much garbage is made", async () => {
  const from = new NetlinkSocket(sys, NETLINK_USERSOCK);
  const receiver = await Receiver.open(sys, NETLINK_USERSOCK, { receiveBufferBytes: 1 << 20 });
  const kept: Uint8Array[] = [];
  let next = 0;
  let wrong = 0;
  const sink = {
    datagram: (view: DataView, start: number, end: number): void => {
      const datagram = new Uint8Array(view.buffer, view.byteOffset + start, end - start);
      const number = new DataView(datagram.buffer, datagram.byteOffset).getUint32(0, true);
      if (number !== next++ || !datagram.subarray(4).every((byte) => byte === (number & 0xff))) wrong++;
      if (number % 50 === 0) kept.push(datagram);
    },
    truncated: (): void => {
      wrong++;
    },
  };
  let sent = 0;
  while (next < 20_000) {
    for (let i = 0; i < 100 && sent < 20_000; i++) {
      const message = bytes(20 + (sent * 37) % 900, sent & 0xff);
      viewOf(message).setUint32(0, sent, true);
      if (!from.send(message, "send", receiver.portId)) break;
      sent++;
    }
    // Old arenas, headers and views are collected while the kernel writes to the present ones.
    for (let i = 0; i < 20; i++) new Uint8Array(100_000).fill(0x55);
    await soon(receiver.read(sink), "reading");
  }
  assertEquals(wrong, 0);
  kept.forEach((datagram, i) => {
    assertEquals(new DataView(datagram.buffer, datagram.byteOffset).getUint32(0, true), i * 50);
    assert(datagram.subarray(4).every((byte) => byte === ((i * 50) & 0xff)), `kept ${i}`);
  });
  await receiver.close();
  from.close();
});

// --- signals -----------------------------------------------------------------------------------------

const SIGKILL = 9;
const SIGUSR2 = 12;

test("signalAction returns what a signal does: its default, nothing, or a call of a handler", () => {
  assertEquals(sys.signalAction(SIGUSR2), "default");
  const handler = (): void => {};
  process.on("SIGUSR2", handler);
  assertEquals(sys.signalAction(SIGUSR2), "caught");
  process.off("SIGUSR2", handler);
  assertEquals(sys.signalAction(SIGKILL), "default");
  assertEquals(sys.signalAction(1000), -EINVAL);
});

test("a signal ignored by the caller is recognised, and raiseDefault ends the process by a signal that has a handler", async () => {
  const path = new URL("./signal_program.ts", import.meta.url).pathname;
  const words = "Bun" in globalThis ? [path] : ["run", "--no-check", "--allow-ffi", path];
  const run = async (shell: string): Promise<{ out: string; signal: string | null }> => {
    const child = spawn("sh", ["-c", shell, process.execPath, ...words], { stdio: ["ignore", "pipe", "inherit"] });
    let out = "";
    child.stdout!.setEncoding("utf8").on("data", (text: string) => out += text);
    const signal = await new Promise<string | null>((resolve) => child.on("close", (_, signal) => resolve(signal)));
    return { out, signal };
  };
  assertEquals(await run(`exec "$0" "$@"`), { out: "default\n", signal: "SIGUSR2" });
  assertEquals(await run(`trap "" USR2; exec "$0" "$@"`), { out: "ignored\n", signal: "SIGUSR2" });
});

test("openNetns opens the namespace that the thread is in; setns says what a descriptor is not", () => {
  const fd = sys.openNetns();
  assert(fd >= 0);
  const status = sys.stat(fd);
  const [, , inode] = typeof status === "number" ? [] : status.identity.split(":");
  assertEquals(`net:[${inode}]`, readlinkSync("/proc/thread-self/ns/net"));
  // With the right to, or without: one's own namespace.
  assert([0, -EPERM].includes(sys.setns(fd, CLONE_NEWNET)));
  assertEquals(sys.setns(-1, CLONE_NEWNET), -EBADF);
  const CLONE_NEWUTS = 0x04000000;
  assertEquals(sys.setns(fd, CLONE_NEWUTS), -EINVAL);
  sys.close(fd);
  assertEquals(readlinkSync("/proc/thread-self/ns/net"), `net:[${inode}]`);
});
